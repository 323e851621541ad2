"""A body composition in two indications becomes one observation, and no half of it is lost."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from bumble.device import Connection

from devices.gatt.body_composition import BodyCompositionMeasurement as Composition
from devices.nomenclature import BODY_COMPOSITION
from devices.observation import Observation
from gateway.errors import OutboxFull
from gateway.outbox import Outbox
from simulators.embedded.broker import Broker
from simulators.peripheral import Kept, Measurement
from simulators.peripheral_indicating import _Indicating, date_time
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge, OpenReceiver, StartGateway

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
WHOLE = (21.5, 71.35, 1.71, None, None, 40.2, None, 52.0, None, 510.0)
HALF = (21.5, 71.35, None, None, None, None, None, None, None, None)


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


class CompositionScale(_Indicating):
    """Each composition goes out in two frames: fat and weight, then the rest. halves: how many are sent at all."""

    service = 0x181B
    measurement = 0x2A9C
    halves = 2

    def frame(self, measurement: Measurement, stamp: datetime | None) -> bytes:
        raise AssertionError("two frames a measurement")

    def record(self, measurement: Measurement, stamp: datetime | None) -> Kept:
        fat, weight, height, *_, water, _, muscle, _, impedance = measurement.values
        slot = measurement.slot
        first = Composition(
            body_fat_percentage=fat, time_stamp=date_time(stamp), user_id=slot, weight=weight, multiple_packet=True
        )
        second = Composition(
            body_fat_percentage=None,
            time_stamp=date_time(stamp),
            user_id=slot,
            height=height,
            body_water_mass=water,
            muscle_mass=muscle,
            impedance=impedance,
            multiple_packet=True,
        )
        frames = (("2A9C", first.encode()), ("2A9C", second.encode()))
        return Kept(record_no=0, measurement=measurement, device_at=stamp, frames=frames)

    async def _send(self, connection: Connection) -> None:
        for record in self.pending:
            for _, frame in record.frames[: self.halves]:
                await self.bumble.indicate_subscriber(connection, self._sending, frame)
                self.confirmed(frame)
            if self.halves < 2:
                self.halves = 2
                await self.hang_up(connection, after_s=0)
                return
            self.acknowledged(record)
        await self.hang_up(connection)

    def confirmed(self, frame: bytes) -> None:
        """A gateway has confirmed this frame."""


def scale_on(air: Air, **settings: Any) -> CompositionScale:
    return CompositionScale(air, address="F0:00:00:00:00:05", serial="BC-1", **settings)


def composition(minutes_ago: int = 0, fat: float = 21.5) -> Measurement:
    return Measurement(
        kind=BODY_COMPOSITION,
        values=(fat, *WHOLE[1:]),
        unit="%",
        taken_at=NOW - timedelta(minutes=minutes_ago),
        slot=2,
    )


def on_disk(path: Path) -> list[Observation]:
    """What another process finds in the file at this moment."""
    database = sqlite3.connect(path)
    try:
        rows = database.execute("SELECT body FROM observation ORDER BY id").fetchall()
    finally:
        database.close()
    return [msgspec.json.decode(body, type=Observation) for (body,) in rows]


def due_in(outbox: Outbox, seconds: float) -> int:
    """How many observations would leave so many seconds from now."""
    return sum(parcel.size for parcel in outbox.due(datetime.now(UTC) + timedelta(seconds=seconds), 10_000))


async def until_on_disk(outbox: Outbox, count: int) -> None:
    while outbox.figures().backlog < count:  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.02)


async def test_two_indications_of_one_composition_become_one_observation(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        await within(scale.measure(composition(minutes_ago=3)))
        (found,) = running.kept
        assert (found.device, found.kind, found.slot) == (scale.device, BODY_COMPOSITION, 2)
        assert found.values == WHOLE
        assert found.measured_at == NOW - timedelta(minutes=3)


async def test_a_memory_of_compositions_arrives_pair_by_pair(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        await within(scale.measure(*(composition(minutes_ago=9 - n, fat=20.0 + n) for n in range(4))))
        assert [one.values for one in running.kept] == [(20.0 + n, *WHOLE[1:]) for n in range(4)]


async def test_each_part_is_on_disk_when_the_device_hears_that_it_was_received(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge(), scale_on(air) as scale:
        seen: list[list[Observation]] = []
        scale.confirmed = lambda frame: seen.append(on_disk(tmp_path / "outbox.sqlite"))  # type: ignore[method-assign]
        await within(scale.measure(composition()))
        assert [[one.values for one in found] for found in seen] == [[HALF], [WHOLE]]


async def test_a_first_part_waits_for_its_second_and_goes_alone_in_time(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        scale.halves = 1
        scale.keep(composition())
        offer = asyncio.create_task(scale.offer())
        await within(until_on_disk(running.outbox, 1))
        await scale.stop()
        offer.cancel()
        assert due_in(running.outbox, 25) == 0
        assert due_in(running.outbox, 35) == 1
        (found,) = running.kept
        assert found.values == HALF
        assert set(found.absent) == {2, 3, 4, 5, 6, 7, 8, 9}
        assert set(found.absent.values()) == {"not-sent"}


async def test_a_link_that_drops_between_the_parts_leaves_one_whole_reading(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        scale.halves = 1
        await within(scale.measure(composition()))
        assert scale.connections == 2
        assert [one.values for one in running.kept] == [WHOLE]


async def test_a_first_part_after_which_another_reading_comes_is_kept_once_beside_it(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        lonely, other = scale.keep(composition(minutes_ago=8, fat=20.0), composition(minutes_ago=2))
        scale.kept[0] = dataclasses.replace(lonely, frames=lonely.frames[:1])
        await within(scale.offer())
        assert [one.values for one in running.kept] == [(20.0, *HALF[1:]), WHOLE]
        assert [one.device_at for one in running.kept] == [lonely.device_at, other.device_at]


async def test_a_composition_in_one_frame_lets_a_lonely_first_part_go(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        lonely, other = scale.keep(composition(minutes_ago=8, fat=20.0), composition(minutes_ago=2))
        plain = Composition(body_fat_percentage=33.0, time_stamp=date_time(other.device_at), user_id=2).encode()
        scale.kept[:] = [
            dataclasses.replace(lonely, frames=lonely.frames[:1]),
            dataclasses.replace(other, frames=(("2A9C", plain),)),
        ]
        await within(scale.offer())
        assert due_in(running.outbox, 0) == 2
        assert [one.values[:2] for one in running.kept] == [(20.0, 71.35), (33.0, None)]


async def test_a_second_part_that_does_not_fit_the_disk_is_not_confirmed_and_comes_again(
    air: Air, edge: OpenEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with edge() as running, scale_on(air) as scale:
        full = asyncio.Event()

        def refuse(*_: object) -> bool:
            full.set()
            raise OutboxFull

        with monkeypatch.context() as patch:
            patch.setattr(running.outbox, "complete", refuse)
            scale.keep(composition())
            offer = asyncio.create_task(scale.offer())
            await within(full.wait())
            await asyncio.sleep(0.3)
            assert scale.delivered == []
        await within(offer)
        assert [one.values for one in running.kept] == [WHOLE]


async def test_a_gateway_that_dies_between_the_parts_has_kept_the_first(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, scale_on(air) as scale:
        scale.halves = 1
        scale.keep(composition())
        offer = asyncio.create_task(scale.offer())
        await within(until_on_disk(running.outbox, 1))
        await scale.stop()
        offer.cancel()
    with Outbox(tmp_path / "outbox.sqlite") as after:
        assert due_in(after, 0) == 1


async def test_a_composition_reaches_the_far_end_whole_and_a_stopped_gateway_holds_nothing_back(
    air: Air, gateway: StartGateway, receiver: OpenReceiver, broker: Broker
) -> None:
    with gateway(broker, air=air) as process:
        async with receiver(broker) as far_end, scale_on(air) as scale:
            await within(scale.measure(composition(minutes_ago=4)))
            await far_end.until(lambda one: len(one.stored) == 1)
            lonely = scale.keep(composition(minutes_ago=1, fat=20.0))[0]
            scale.kept[1] = dataclasses.replace(lonely, frames=lonely.frames[:1])
            await within(scale.offer())
            await process.interrupt()
            await far_end.until(lambda one: len(one.stored) == 2)
            assert sorted(one.values for one in far_end.stored.values()) == [(20.0, *HALF[1:]), WHOLE]

"""Live and stored observations of health sensors: put together from their segments, placed by the sensor's clock."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bumble import att, core
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue, Service

from devices.catalogue import decode
from devices.clock import IDENTITY_ZONE
from devices.gatt.elapsed_time import ElapsedTime
from devices.gatt.segmentation import Header
from simulators.peripheral import INDICATE, READ, WRITE
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge
from tests.health_bodies import body, number, stamp
from tests.segmented_records import (
    CELSIUS,
    MMHG,
    NOW,
    TEMPERATURE,
    Memory,
    cut,
    oddities,
    within,
)


class Sensor(Memory):
    """A health sensor: it sends what it measures once it is told to, each observation in segments.

    shows: what its own clock shows, by the octets.
    """

    service = 0x1840
    record_uuid = "2BDD"
    wide = 4

    def __init__(
        self,
        air: Air,
        live: Iterable[list[bytes]] = (),
        shows: Callable[[], ElapsedTime] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(air, **settings)
        self.shows = shows
        self.live = list(live)
        self.commands: list[bytes] = []

    def characteristics(self) -> list[Characteristic[Any]]:
        found = super().characteristics()
        self._sending["2B8B"] = self.notifying(0x2B8B, INDICATE)
        command = CharacteristicValue[bytes](write=self._on_command)
        self._sending["2BF4"] = self.notifying(0x2BF4, INDICATE | WRITE, value=command)
        return [*found, self._sending["2B8B"], self._sending["2BF4"]]

    def _plate(self) -> list[Service]:
        found = super()._plate()
        if (shows := self.shows) is not None:
            value = CharacteristicValue[bytes](read=lambda _connection: shows().octets)
            clock = Characteristic[Any]("2BF2", READ, Characteristic.READABLE, value)
            found.append(Service(core.UUID.from_16_bits(0x183F), [clock]))
        return found

    def _on_command(self, connection: Connection, value: bytes) -> None:
        self.commands.append(value)
        self.work(self._tell(connection))

    async def _tell(self, connection: Connection) -> None:
        await self.bumble.indicate_subscriber(connection, self._sending["2BF4"], b"\x80")
        for frames in self.live:
            for frame in frames:
                await self.bumble.indicate_subscriber(connection, self._sending["2B8B"], frame)
        self.live = []


def counted(at: datetime) -> ElapsedTime:
    """A counter that began three days ago, in tenths of a second, and has not begun anew since."""
    return ElapsedTime(0x25, (at - NOW + timedelta(days=3)) // timedelta(milliseconds=100), 0, 0)


def counted_temperature(value: float, minutes_ago: int) -> bytes:
    time = counted(NOW - timedelta(minutes=minutes_ago))
    return body(1, number(value, CELSIUS), type=TEMPERATURE, time=time, status=0, supplemental=(1, 2, 3, 4)).octets


def temperature(value: float, minutes_ago: int = 0) -> bytes:
    at = NOW - timedelta(minutes=minutes_ago)
    return body(1, number(value, CELSIUS), type=TEMPERATURE, time=stamp(at), status=0, supplemental=(1, 2, 3, 4)).octets


async def until_odd(path: Path, count: int) -> None:
    """What a session leaves unfinished is odd once the edge has ended it, which is after the peer has hung up."""
    while len(oddities(path)) < count:  # noqa: ASYNC110  the edge tells nobody
        await asyncio.sleep(0.02)


# -- health observations


async def test_live_observations_in_segments_are_kept_provisionally(air: Air, edge: OpenEdge) -> None:
    live = [cut(temperature(36.0 + n, minutes_ago=3 - n), counter=60) for n in range(3)]
    assert all(len(frames) > 1 for frames in live)
    async with edge() as running, Sensor(air, live) as sensor:
        await within(sensor.come())
        assert sensor.commands == [b"\x01"]
        assert [one.values[0] for one in running.kept] == [36.0, 37.0, 38.0]
        assert {one.facts for one in running.kept} == {("provisional",)}
        assert [one.measured_at for one in running.kept] == [NOW - timedelta(minutes=3 - n) for n in range(3)]


async def test_stored_observations_are_kept_by_their_number(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Sensor(air) as sensor:
        numbers = (70_000, 70_001)
        sensor.records = {n: cut(n.to_bytes(4, "little") + temperature(n - 69_964.0, n - 69_990)) for n in numbers}
        await within(sensor.come())
        await within(sensor.come())
        assert sensor.asked_from == [None, 70_001]
        assert [one.values[0] for one in running.kept] == [36.0, 37.0]
        assert [one.device_at for one in running.kept[:2]] == [NOW - timedelta(minutes=n) for n in (10, 11)]


async def test_an_observation_that_has_no_place_is_kept_as_odd_with_its_reason(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    unknown = body(1, number(5.0, MMHG), type=4 << 16 | 1, time=stamp(NOW), supplemental=(1, 2, 3)).octets
    short = temperature(36.5)[:-1]
    async with edge() as running, Sensor(air, [cut(unknown), cut(short), cut(temperature(36.6))]) as sensor:
        await within(sensor.come())
        assert [one.values[0] for one in running.kept] == [36.6]
        assert oddities(tmp_path) == [("2B8B", "type", "NoKind"), ("2B8B", "value", "Truncated")]


async def test_segments_without_an_end_are_one_oddity_and_bounded(
    air: Air, edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.segments.MOST", 8)
    endless = [bytes([Header(n == 0, False, n).octet]) for n in range(30)]
    async with edge() as running, Sensor(air, [endless, cut(temperature(36.6)), endless[:2]]) as sensor:
        await within(sensor.come())
        assert [one.values[0] for one in running.kept] == [36.6]
        await within(until_odd(tmp_path, 2))
        assert oddities(tmp_path) == [("2B8B", "header", "BadValue")] * 2


async def test_what_an_oddity_keeps_of_a_value_in_segments_can_be_decoded_again(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    unknown = body(1, number(5.0, MMHG), type=4 << 16 | 1, time=stamp(NOW), supplemental=(1, 2, 3)).octets
    async with edge(), Sensor(air, [cut(unknown)]) as sensor:
        await within(sensor.come())
        database = sqlite3.connect(tmp_path / "outbox.sqlite")
        ((frame,),) = database.execute("SELECT frame FROM oddity").fetchall()
        database.close()
        assert decode("2B8B", frame).segment == unknown  # type: ignore[attr-defined]


# -- beside others


class Unwilling(Sensor):
    """It refuses its memory, and measures afterwards."""

    def _on_command(self, connection: Connection, value: bytes) -> None:
        self.commands.append(value)

    def _on_request(self, connection: Connection, value: bytes) -> None:
        self.work(self._measure(connection))
        raise att.ATT_Error(att.ErrorCode(0x80))

    async def _measure(self, connection: Connection) -> None:
        await self._tell(connection)
        await self.hang_up(connection)


async def test_a_sensor_that_refuses_its_memory_is_listened_to_all_the_same(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Unwilling(air, [cut(temperature(36.6))]) as sensor:
        await within(sensor.come())
        assert [one.values[0] for one in running.kept] == [36.6]


async def test_stamps_that_count_are_placed_by_what_the_counter_shows_now(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Sensor(air, shows=lambda: counted(datetime.now(UTC))) as sensor:
        sensor.records = {n: cut(n.to_bytes(4, "little") + counted_temperature(36.0 + n, 600 - n)) for n in (1, 2)}
        await within(sensor.come())
        await within(sensor.come())
        found = running.kept
        assert [one.values[0] for one in found] == [37.0, 38.0]
        for one, minutes_ago in zip(found, (599, 598), strict=True):
            assert abs(one.measured_at - NOW + timedelta(minutes=minutes_ago)) < timedelta(seconds=2)
            assert (one.device_at, one.facts) == (None, ("clock-corrected", "provisional"))


async def test_stamps_that_count_have_lost_their_timeline_where_the_counter_is_not_shown(
    air: Air, edge: OpenEdge
) -> None:
    async with edge() as running, Sensor(air) as sensor:
        sensor.records = {1: cut((1).to_bytes(4, "little") + counted_temperature(36.0, 600))}
        await within(sensor.come())
        assert [one.facts for one in running.kept] == [("lost-timeline", "provisional")]


async def test_local_time_of_a_sensor_whose_clock_is_off_is_corrected(air: Air, edge: OpenEdge) -> None:
    def shown(at: datetime) -> ElapsedTime:
        wall = at.astimezone(IDENTITY_ZONE) - timedelta(hours=2)
        return stamp(wall, flags=0x20, source=0)

    measured = NOW - timedelta(minutes=30)
    octets = body(
        1, number(36.6, CELSIUS), type=TEMPERATURE, time=shown(measured), status=0, supplemental=(1, 2, 3, 4)
    ).octets
    async with edge() as running, Sensor(air, shows=lambda: shown(datetime.now(UTC)), has_clock=False) as sensor:
        sensor.records = {1: cut((1).to_bytes(4, "little") + octets)}
        await within(sensor.come())
        (found,) = running.kept
        assert found.facts == ("clock-corrected", "provisional")
        assert abs(found.measured_at - measured) < timedelta(seconds=2)

"""Scales that advertise what they measure: over Bumble and bleak to the outbox, once, and without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from devices.nomenclature import BODY_MASS
from devices.observation import Fact, Observation
from gateway.advertised import Advertised
from gateway.collector import wanted_by
from gateway.connected import Terms
from gateway.outbox import Outbox
from gateway.radio import Discovery
from gateway.roster import sheets
from simulators.embedded.broker import Broker
from simulators.peripheral import Measurement
from simulators.peripheral_advertised import AdvertisingScale
from simulators.peripheral_indicating import WeightScale
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge, OpenReceiver, StartGateway, kept_in

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


def scale_on(air: Air, **settings: object) -> AdvertisingScale:
    return AdvertisingScale(air, address="F0:00:00:00:00:07", clock=lambda: NOW, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("composition", [False, True], ids=["181D", "181B"])
async def test_a_weighing_is_one_observation_however_often_it_is_advertised_and_nobody_connects(
    air: Air, edge: OpenEdge, composition: bool
) -> None:
    async with edge(facts=Fact.SIMULATED) as running, scale_on(air, composition=composition) as scale:
        weighing = await within(scale.weigh(71.35))
        assert running.kept == [
            Observation(
                device="ble:f0:00:00:00:00:07",
                kind=BODY_MASS,
                values=(71.35, None, None),
                unit="kg",
                measured_at=NOW,
                device_at=weighing.device_at,
                absent={1: "not-sent", 2: "not-sent"},
                facts=("simulated",),
            )
        ]
        assert scale.connections == 0


async def test_the_next_weighing_is_another_observation(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air, shows_s=0.1) as scale:
        await within(scale.weigh(71.35))
        scale.clock_offset = timedelta(minutes=-1)
        await within(scale.weigh(71.35))
        assert [one.device_at for one in running.kept] == [one.device_at for one in scale.weighed]
        assert len({one.device_at for one in scale.weighed}) == 2


async def test_a_thing_on_the_scale_is_kept_as_no_bodys_weight(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        await within(scale.weigh(9.55, not_person=True))
        assert [one.facts for one in running.kept] == [("invalid",)]


async def test_the_same_seed_shows_the_same_frames(air: Air) -> None:
    first, again, other = (scale_on(air, composition=True, seed=seed).weighing(80).frames for seed in (1, 1, 2))
    assert first == again
    assert first != other


async def test_a_scale_that_leaves_its_name_out_is_known_by_its_layout(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air, name="") as scale:
        await within(scale.weigh(64.2))
        assert [one.values[0] for one in running.kept] == [64.2]
        assert scale.connections == 0


async def test_another_name_with_the_same_service_data_is_another_product(air: Air, edge: OpenEdge) -> None:
    async with edge(call_s=0.5) as running, scale_on(air, name="OTHER") as scale:
        await within(scale.weigh(64.2))
        assert running.kept == []


async def test_a_scale_off_the_allow_list_is_neither_kept_nor_connected_to(air: Air, edge: OpenEdge) -> None:
    async with edge(accept="F0:00:00:00:00:09") as running, scale_on(air) as scale:
        await within(scale.weigh(64.2))
        assert (running.kept, scale.connections) == ([], 0)


async def test_a_standard_scale_beside_it_is_connected_to_as_ever(air: Air, edge: OpenEdge) -> None:
    standard = WeightScale(air, address="F0:00:00:00:00:04", serial="WS-1")
    weight = Measurement(kind=BODY_MASS, values=(55.5, None, None), unit="kg", taken_at=NOW)
    async with edge() as running, scale_on(air) as scale, standard:
        await within(asyncio.gather(scale.weigh(71.35), standard.measure(weight)))
        assert {one.device: one.values[0] for one in running.kept} == {scale.device: 71.35, standard.device: 55.5}


async def test_what_cannot_be_read_is_kept_raw_once(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        await within(scale.show(bytes.fromhex("22c836")))
        figures = running.outbox.figures()
        assert (figures.oddities, running.kept, scale.connections) == (1, [], 0)


async def test_the_roster_names_a_scale_that_was_only_heard(air: Air, edge: OpenEdge, tmp_path: Path) -> None:
    async with edge() as _, scale_on(air) as scale:
        await within(scale.weigh(71.35))
        (sheet,) = sheets(tmp_path / "outbox.sqlite")
    found = (sheet.device, sheet.name, sheet.manufacturer, sheet.services, sheet.outcome)
    assert found == (scale.device, "MI_SCALE", "Xiaomi", ("181D",), "advertised")


async def test_a_reading_that_does_not_fit_the_outbox_is_taken_from_a_later_repeat(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, scale_on(air) as scale:
        weighing = scale.weighing(71.35)
        running.outbox._most_octets = 0  # while a scan is under way
        await within(scale.show(weighing.frames[3]))
        assert running.kept == []
        running.outbox._most_octets = 1 << 28
        async with asyncio.timeout(20):
            while not running.kept:
                await within(scale.show(weighing.frames[3]))
        assert [one.values[0] for one in running.kept] == [71.35]


def test_a_scale_without_a_clock_is_heard_again_after_a_silence_and_not_before(tmp_path: Path) -> None:
    times = [NOW]
    frame = bytes.fromhex("22c836") + bytes(7)  # stable, no date
    heard = Discovery("F0:00:00:00:00:07", "MI_SCALE", frozenset({"181D"}), -60, None, {"181D": frame})
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        advertised = Advertised(outbox, Terms(), wanted_by(frozenset()).hears, lambda: times[-1], lambda: None)
        for seconds in (0, 5, 50, 100, 100 + 8 * 3600):
            times.append(NOW + timedelta(seconds=seconds))
            assert advertised.hear(heard)
        found = kept_in(outbox)
    assert [one.measured_at - NOW for one in found] == [timedelta(0), timedelta(seconds=100 + 8 * 3600)]
    assert [one.device_at for one in found] == [None, None]


async def test_an_advertised_weight_goes_to_the_far_end(
    air: Air, broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    async with receiver(broker) as far_end, scale_on(air) as scale:
        with gateway(broker, air) as process:
            async with asyncio.timeout(30):
                while not far_end.stored:
                    # nobody tells a scale that it was heard; people step on it again
                    await scale.weigh(71.35)
            assert await process.interrupt() == 0
        assert {(one.device, one.values[0]) for one in far_end.stored.values()} == {(scale.device, 71.35)}
        assert scale.connections == 0

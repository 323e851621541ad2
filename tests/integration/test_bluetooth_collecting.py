"""From a simulated device over Bumble and bleak to the outbox."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.device import BLEDevice
from bleak.uuids import normalize_uuid_str

from devices.nomenclature import BLOOD_PRESSURE, BODY_MASS, PULSE_OXIMETRY
from devices.observation import Fact, Observation
from gateway.bluez import BleakRadio, Limits
from gateway.collector import wanted_by
from gateway.roster import sheets
from simulators.peripheral import Kept, Measurement, Peripheral
from simulators.peripheral_indicating import BloodPressureCuff, PulseOximeter, WeightScale
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)


def pressure(systolic: float | None, *, minutes_ago: int = 0, facts: frozenset[str] = frozenset()) -> Measurement:
    values = (systolic, None, None, None) if systolic is None else (systolic, 79.0, 95.0, 66.0)
    taken_at = NOW - timedelta(minutes=minutes_ago)
    return Measurement(kind=BLOOD_PRESSURE, values=values, unit="mm[Hg]", taken_at=taken_at, facts=facts)


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


def cuff_on(air: Air, **settings: object) -> BloodPressureCuff:
    return BloodPressureCuff(air, address="F0:00:00:00:00:01", serial="BP-1", **settings)  # type: ignore[arg-type]


async def test_a_cuff_reading_becomes_one_observation_with_its_identity_and_time(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        await within(cuff.measure(pressure(128, minutes_ago=3)))
        assert running.kept == [
            Observation(
                device=cuff.device,
                kind=BLOOD_PRESSURE,
                values=(128.0, 79.0, 95.0, 66.0),
                unit="mm[Hg]",
                measured_at=NOW - timedelta(minutes=3),
                device_at=cuff.kept[0].device_at,
            )
        ]


async def test_the_reading_is_on_disk_when_the_device_hears_that_it_was_received(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        kept_when_confirmed = []
        note = cuff.acknowledged
        cuff.acknowledged = lambda record: (kept_when_confirmed.append(len(running.kept)), note(record))[1]  # type: ignore[method-assign]
        await within(cuff.measure(pressure(121, minutes_ago=2), pressure(122, minutes_ago=1)))
        assert kept_when_confirmed == [1, 2]


async def test_a_wrong_device_clock_is_corrected_and_the_stamp_is_kept(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air, clock_offset=timedelta(hours=-26)) as cuff:
        await within(cuff.measure(pressure(131, minutes_ago=10)))
        (found,) = running.kept
        assert abs(found.measured_at - (NOW - timedelta(minutes=10))) <= timedelta(seconds=2)
        assert found.device_at == cuff.kept[0].device_at
        assert "clock-corrected" in found.facts


async def test_a_failed_reading_arrives_with_absent_values_and_no_number(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        await within(cuff.measure(pressure(None, facts=frozenset({"body-movement"}))))
        (found,) = running.kept
        assert found.values == (None, None, None, None)
        assert found.absent == dict.fromkeys(range(4), "not-a-number")
        assert found.facts == ("body-movement",)


async def test_a_backlog_is_collected_in_one_connection_oldest_first(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        cuff.keep(*(pressure(110 + n, minutes_ago=60 - n) for n in range(12)))
        await within(cuff.offer())
        assert [found.values[0] for found in running.kept] == [110.0 + n for n in range(12)]
        assert cuff.connections == 1


async def test_oximeter_and_scale_are_followed_side_by_side(air: Air, edge: OpenEdge) -> None:
    oximeter = PulseOximeter(air, address="F0:00:00:00:00:03", serial="OX-1")
    scale = WeightScale(air, address="F0:00:00:00:00:04", serial="WS-1")
    saturation = Measurement(
        kind=PULSE_OXIMETRY, values=(96, 71, 3.2), unit="%", taken_at=NOW, facts=frozenset({"low-perfusion"})
    )
    weight = Measurement(kind=BODY_MASS, values=(71.35, 24.4, 1.71), unit="kg", taken_at=NOW, slot=2)
    async with edge(facts=Fact.SIMULATED) as running, oximeter, scale:
        await within(asyncio.gather(oximeter.measure(saturation), scale.measure(weight)))
        found = {one.device: one for one in running.kept}
        assert found[oximeter.device].values == (96.0, 71.0, 3.2)
        assert found[oximeter.device].facts == ("simulated", "low-perfusion")
        assert found[scale.device].values == (71.35, 24.4, 1.71)
        assert found[scale.device].slot == 2


async def test_a_link_that_drops_midway_is_taken_up_again_and_everything_arrives_once(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        cuff.drops_after = 2
        cuff.keep(*(pressure(120 + n, minutes_ago=20 - n) for n in range(5)))
        await within(cuff.offer())
        assert [found.values[0] for found in running.kept] == [120.0 + n for n in range(5)]
        assert cuff.connections == 2


async def test_a_device_that_repeats_itself_has_the_same_identity_again(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air, clock_offset=timedelta(minutes=-90)) as cuff:
        await within(cuff.measure(pressure(140, minutes_ago=5)))
        cuff.sends_again = 1
        await within(cuff.offer())
        first, again = running.kept
        assert (first.device, first.kind, first.device_at, first.record_no) == (
            again.device,
            again.kind,
            again.device_at,
            again.record_no,
        )


async def test_a_truncated_frame_is_kept_raw_with_its_field_and_the_rest_goes_on(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        cuff.corrupts_next = 1
        await within(cuff.measure(pressure(133)))
        assert [found.values[0] for found in running.kept] == [133.0]
        figures = running.outbox.figures()
        assert figures.oddities == 1


async def test_a_device_off_the_allow_list_is_left_alone(air: Air, edge: OpenEdge) -> None:
    other = BloodPressureCuff(air, address="F0:00:00:00:00:09", serial="BP-9")
    async with edge(accept="F0:00:00:00:00:01") as running, cuff_on(air) as cuff, other:
        ignored = asyncio.create_task(other.measure(pressure(199)))
        await within(cuff.measure(pressure(118)))
        await within(cuff.measure(pressure(119)))
        ignored.cancel()
        assert {found.device for found in running.kept} == {cuff.device}
        assert other.connections == 0


async def test_a_device_that_says_nothing_does_not_hold_up_the_next(air: Air, edge: OpenEdge) -> None:
    class Mute(BloodPressureCuff):
        async def _send(self, connection: object) -> None:
            await asyncio.Event().wait()

    mute = Mute(air, address="F0:00:00:00:00:08", serial="BP-8")
    async with edge(idle_s=0.3) as running, mute, cuff_on(air) as cuff:
        silent = asyncio.create_task(mute.measure(pressure(100)))
        await within(cuff.measure(pressure(117)))
        assert [found.values[0] for found in running.kept] == [117.0]
        silent.cancel()


async def test_a_bond_is_made_where_the_device_demands_one_and_used_again(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with cuff_on(air, secure=True) as cuff:
        async with edge() as running:
            await within(cuff.measure(pressure(125, minutes_ago=2)))
        bond = (tmp_path / "bonds.json").read_text()
        assert "F0:00:00:00:00:01" in bond
        async with edge() as running:
            await within(cuff.measure(pressure(126, minutes_ago=1)))
            assert [found.values[0] for found in running.kept] == [125.0, 126.0]
        assert (tmp_path / "bonds.json").read_text() == bond


async def test_a_full_outbox_confirms_nothing_and_the_device_keeps_its_reading(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        running.outbox._most_octets = running.outbox.figures().octets  # as full as the file is now
        cuff.keep(pressure(127))
        offer = asyncio.create_task(cuff.offer())
        await asyncio.sleep(0.3)
        assert (cuff.delivered, running.kept) == ([], [])
        running.outbox._most_octets = 1 << 28
        await within(offer)
        assert [found.values[0] for found in running.kept] == [127.0]


async def test_an_outbox_that_fills_up_midway_leaves_the_next_reading_unconfirmed(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        filled = asyncio.Event()

        def note(record: Kept) -> None:
            Peripheral.acknowledged(cuff, record)
            if not filled.is_set():
                running.outbox._most_octets = 0
                filled.set()

        cuff.acknowledged = note  # type: ignore[method-assign]
        cuff.keep(pressure(127, minutes_ago=2), pressure(128, minutes_ago=1))
        offer = asyncio.create_task(cuff.offer())
        await within(filled.wait())
        await asyncio.sleep(0.3)
        assert [record.measurement.values[0] for record in cuff.delivered] == [127]
        running.outbox._most_octets = 1 << 28
        await within(offer)
        assert [found.values[0] for found in running.kept] == [127.0, 128.0]


async def test_a_full_memory_that_goes_out_of_range_midway_arrives_whole_when_the_device_is_back(
    air: Air, edge: OpenEdge
) -> None:
    async with edge() as running, cuff_on(air) as cuff:
        cuff.keep(*(pressure(100 + n, minutes_ago=300 - n) for n in range(120)))
        offer = asyncio.create_task(cuff.offer())
        await within(cuff.until_delivered(40))
        await cuff.stop()
        offer.cancel()
        assert len(cuff.pending) > 0
        await cuff.start()
        await within(cuff.offer())
        assert {found.values[0] for found in running.kept} == {100.0 + n for n in range(120)}
        # at most the one that was on its way was sent twice, and it has the same stamp
        assert len(running.kept) - len({found.device_at for found in running.kept}) in {0, len(running.kept) - 120}
        assert len(running.kept) <= 121


async def test_a_device_that_is_heard_and_cannot_be_connected_to_is_shown_as_that(
    air: Air, edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def until_shown(outcome: str) -> None:
        async with asyncio.timeout(20):
            while [sheet.outcome for sheet in sheets(tmp_path / "outbox.sqlite")] != [outcome]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # a file has no event

    monkeypatch.setattr("tests.fix_bluetooth.Limits", lambda **given: Limits(0.5, given["call_s"]))
    async with edge() as running, cuff_on(air) as cuff:
        await within(cuff.measure(pressure(121, minutes_ago=2)))
        await until_shown("collected")
        # its advertisements still arrive, what is sent to it does not
        monkeypatch.setattr(air._link, "advertiser", lambda _address: None)
        cuff.keep(pressure(122, minutes_ago=1))
        offer = asyncio.create_task(cuff.offer())
        await until_shown("no-connection")
        monkeypatch.undo()
        await within(offer)
        assert [found.values[0] for found in running.kept] == [121.0, 122.0]


@pytest.mark.parametrize("devices", [10])
async def test_every_device_of_a_small_ward_is_collected_in_one_connection_each(
    air: Air, edge: OpenEdge, devices: int
) -> None:
    cuffs: list[Peripheral] = [
        BloodPressureCuff(air, address=f"F0:00:00:00:01:{n:02X}", serial=f"BP-{n}") for n in range(devices)
    ]
    async with edge() as running:
        await asyncio.gather(*(cuff.start() for cuff in cuffs))
        await within(asyncio.gather(*(cuff.measure(pressure(120 + n)) for n, cuff in enumerate(cuffs))))
        assert {found.device for found in running.kept} == {cuff.device for cuff in cuffs}
        assert [cuff.connections for cuff in cuffs] == [1] * devices
        await asyncio.gather(*(cuff.stop() for cuff in cuffs))


async def test_a_device_whose_link_a_killed_gateway_left_behind_is_found_without_advertising() -> None:
    class System(BaseBleakAdapter):
        @classmethod
        async def get(cls, **_: object) -> System:
            return cls()

        async def get_connected_devices(self, service_uuids: frozenset[str]) -> list[BLEDevice]:
            mine = normalize_uuid_str("1810") in service_uuids
            return [BLEDevice("F0:00:00:00:00:01", "cuff", None)] if mine else []

    radio = BleakRadio(None, None, None, Limits(), set())
    await radio.take_over(System)
    found = await radio.discover(wanted_by(frozenset()).admits, within_s=0.1)
    assert found is not None
    assert (found.address, found.services) == ("F0:00:00:00:00:01", {"1810"})

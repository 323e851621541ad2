"""Stored blood pressures: asked for, put together from their segments, and kept once."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bumble.gatt import Characteristic

from devices.gatt.blood_pressure import BloodPressureFeature, Feature
from devices.gatt.blood_pressure_record import segments_of
from devices.nomenclature import BLOOD_PRESSURE
from gateway.outbox import Outbox
from gateway.roster import sheets
from simulators.peripheral import INDICATE, READ, Measurement
from simulators.peripheral_indicating import BloodPressureCuff
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge, kept_in
from tests.segmented_records import (
    NOW,
    Memory,
    oddities,
    pressure,
    within,
)


class Sealing(Memory):
    """Says by its feature whether its records have a CRC."""

    seals = True

    def characteristics(self) -> list[Characteristic[Any]]:
        octets = BloodPressureFeature(features=Feature.E2E_CRC if self.seals else 0).encode()
        return [*super().characteristics(), Characteristic[Any]("2A49", READ, Characteristic.READABLE, octets)]


def recorded(number: int, systolic: int, *, crc: bool = True) -> list[bytes]:
    value = pressure(systolic, minutes_ago=600 - number)
    return [part.encode() for part in segments_of(number, value, most=16, counter=number % 64, crc=crc)]


def systolics(outbox: Outbox) -> list[float | None]:
    return [one.values[0] for one in kept_in(outbox)]


async def test_stored_blood_pressures_are_put_together_and_kept_at_their_own_time(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n, crc=n % 2 == 0) for n in range(1, 4)}
        assert {len(frames) for frames in cuff.records.values()} == {2}
        await within(cuff.come())
        assert cuff.asked_from == [None]
        found = running.kept
        assert [(one.kind, one.values, one.slot) for one in found] == [
            (BLOOD_PRESSURE, (120.0 + n, 80.0, 95.0, 64.0), 1) for n in range(1, 4)
        ]
        assert [one.measured_at for one in found] == [NOW - timedelta(minutes=600 - n) for n in range(1, 4)]


async def test_the_next_connection_asks_for_what_is_new(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n) for n in (1, 2)}
        await within(cuff.come())
        cuff.records[3] = recorded(3, 133)
        await within(cuff.come())
        assert cuff.asked_from == [None, 2]
        assert systolics(running.outbox) == [121.0, 122.0, 133.0]


async def test_a_link_that_drops_amid_a_record_keeps_those_before_it_and_asks_for_the_rest(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n) for n in (1, 2, 3)}
        cuff.stops_after = len(cuff.records[1]) + 1
        await within(cuff.come())
        await within(cuff.come())
        assert cuff.asked_from == [None, 1]
        assert systolics(running.outbox) == [121.0, 122.0, 123.0]
        assert oddities(tmp_path) == [("2B36", "header", "BadValue")]


async def test_numbers_that_began_anew_are_all_fetched(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n) for n in (1, 2)}
        await within(cuff.come())
        cuff.records = {n: recorded(n, 150 + n) for n in (1, 2, 3)}
        await within(cuff.come())
        assert cuff.asked_from == [None, 2, None]
        assert systolics(running.outbox)[-3:] == [151.0, 152.0, 153.0]
        cuff.records = {1: recorded(1, 161)}
        await within(cuff.come())
        assert cuff.asked_from[3:] == [3, None]
        assert systolics(running.outbox)[-1] == 161.0


async def test_a_record_with_a_missing_segment_is_odd_once_and_asked_for_again(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n, crc=False) for n in (1, 2, 3)}
        whole = cuff.records[2]
        assert len(whole) == 2
        cuff.records[2] = whole[1:]
        await within(cuff.come())
        assert systolics(running.outbox) == [121.0, 123.0]
        assert oddities(tmp_path) == [("2B36", "header", "BadValue")]
        cuff.records[2] = whole
        await within(cuff.come())
        assert cuff.asked_from == [None, 1]
        assert systolics(running.outbox)[2:] == [122.0, 123.0]


async def test_a_record_whose_crc_is_wrong_is_odd_and_the_next_is_kept(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, Memory(air) as cuff:
        cuff.records = {n: recorded(n, 120 + n) for n in (1, 2)}
        cuff.records[1][-1] = cuff.records[1][-1][:-1] + bytes([cuff.records[1][-1][-1] ^ 1])
        await within(cuff.come())
        assert systolics(running.outbox) == [122.0]
        assert oddities(tmp_path) == [("2B36", "e2e_crc", "BadValue")]


async def test_a_record_without_the_crc_that_the_feature_announces_is_odd(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, Sealing(air) as cuff:
        cuff.records = {1: recorded(1, 121, crc=False), 2: recorded(2, 122)}
        await within(cuff.come())
        assert systolics(running.outbox) == [122.0]
        assert oddities(tmp_path) == [("2B36", "e2e_crc", "BadValue")]


async def test_two_octets_more_are_no_crc_where_the_feature_announces_none(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, Sealing(air) as cuff:
        cuff.seals = False
        await cuff.stop()
        await cuff.start()
        cuff.records = {1: recorded(1, 121)}
        await within(cuff.come())
        (found,) = running.kept
        assert (found.values[0], found.facts) == (121.0, ("trailing-bytes",))


async def test_a_cuff_with_an_empty_memory_has_nothing_new(air: Air, edge: OpenEdge, tmp_path: Path) -> None:
    async with edge() as running, Memory(air) as cuff:
        await within(cuff.come())
        assert running.kept == []
        assert [sheet.outcome for sheet in sheets(tmp_path / "outbox.sqlite")] == ["nothing-new"]


class EnhancedCuff(BloodPressureCuff):
    """It has the plain measurement and the enhanced one, and sends what is switched on."""

    def characteristics(self) -> list[Characteristic[Any]]:
        self.plain = self.notifying(0x2A35, INDICATE)
        self.measurement = 0x2B34  # type: ignore[misc]
        return [self.plain, *super().characteristics()]

    def frame(self, measurement: Measurement, stamp: datetime | None) -> bytes:
        return pressure(int(measurement.values[0] or 0), minutes_ago=5).encode()


async def test_of_a_plain_and_an_enhanced_measurement_the_enhanced_one_is_heard(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, EnhancedCuff(air, address="F0:00:00:00:00:07", serial="BP-7") as cuff:
        switched = []
        cuff.plain.on(Characteristic.EVENT_SUBSCRIPTION, lambda *_: switched.append("2A35"))
        await within(
            cuff.measure(Measurement(kind=BLOOD_PRESSURE, values=(128, 80, 95, 64), unit="mm[Hg]", taken_at=NOW))
        )
        assert [one.values for one in running.kept] == [(128.0, 80.0, 95.0, 64.0)]
        assert switched == []

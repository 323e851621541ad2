"""A continuous glucose sensor's stored and live records, from Bumble to the outbox."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bumble import att
from bumble.device import Connection

from devices.clock import DateTime
from devices.gatt.cgm import CgmSessionStartTime
from devices.gatt.glucose import SampleLocation, SampleType
from devices.gatt.record_access import report_all, report_from
from devices.nomenclature import GLUCOSE_CONTROL, GLUCOSE_INTERSTITIAL
from devices.observation import Context, Fact, Observation, Site
from simulators.peripheral import Kept
from simulators.peripheral_cgm import GlucoseSensor
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge
from tests.sensing_glucose import BEGAN, NOW, glucose, minutes, sensor_on, until_kept, within

BUSY = 0xFE


def oddities(path: Path) -> list[tuple[str, str, str]]:
    database = sqlite3.connect(path / "outbox.sqlite")
    try:
        return database.execute("SELECT characteristic, field, reason FROM oddity ORDER BY id").fetchall()
    finally:
        database.close()


# -- stored records


@pytest.mark.parametrize("e2e_crc", [True, False], ids=["crc", "no-crc"])
async def test_stored_records_are_kept_at_the_start_of_the_session_plus_their_minutes(
    air: Air, edge: OpenEdge, e2e_crc: bool
) -> None:
    async with edge(facts=Fact.SIMULATED) as running, sensor_on(air, e2e_crc=e2e_crc) as sensor:
        sensor.keep(*(glucose(minute) for minute in (5, 10, 15)))
        await within(sensor.offer())
        assert running.kept == [
            Observation(
                device=sensor.device,
                kind=GLUCOSE_INTERSTITIAL,
                values=(100.0 + minute,),
                unit="mg/dL",
                measured_at=BEGAN + timedelta(minutes=minute),
                device_at=sensor.kept[n].device_at,
                record_no=minute,
                facts=("simulated",),
                context=Context(site=Site.SUBCUTANEOUS),
            )
            for n, minute in enumerate((5, 10, 15))
        ]
        assert sensor.requests == [report_all()]


@pytest.mark.parametrize("knows_start", [True, False], ids=["dated", "undated"])
async def test_a_sensor_in_control_solution_measures_nobody(air: Air, edge: OpenEdge, knows_start: bool) -> None:
    sample = (SampleType.CONTROL_SOLUTION, SampleLocation.CONTROL_SOLUTION)
    async with edge() as running, sensor_on(air, sample=sample, knows_start=knows_start) as sensor:
        await within(sensor.measure(glucose(5)))
        (seen,) = running.kept
        assert (seen.kind, seen.context) == (GLUCOSE_CONTROL, None)
        assert "control-solution" in seen.facts


async def test_several_records_in_one_notification_are_so_many_observations(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, together=7) as sensor:
        sensor.keep(*(glucose(5 * n) for n in range(1, 24)))
        await within(sensor.offer())
        assert minutes(running.kept) == [5 * n for n in range(1, 24)]


async def test_the_next_connection_asks_for_what_is_new_alone(air: Air, edge: OpenEdge) -> None:
    async with sensor_on(air) as sensor:
        async with edge() as running:
            await within(sensor.measure(glucose(5), glucose(10)))
        async with edge() as running:
            await within(sensor.measure(glucose(15)))
            assert sensor.requests == [report_all(), report_from(11)]
            assert minutes(running.kept) == [5, 10, 15]


async def test_a_link_that_drops_amid_the_records_keeps_what_came_and_asks_for_the_rest(
    air: Air, edge: OpenEdge
) -> None:
    async with edge() as running, sensor_on(air) as sensor:
        sensor.drops_after = 4
        sensor.keep(*(glucose(5 * n) for n in range(1, 8)))
        await within(sensor.offer())
        assert sensor.connections == 2
        assert sensor.requests == [report_all(), report_from(21)]
        assert minutes(running.kept) == [5, 10, 15, 20, 25, 30, 35]


class Interrupting(GlucoseSensor):
    """Measures in the middle of telling what it has stored, and then loses the link; once."""

    interrupts = True

    async def transmit(self, connection: Connection, chosen: list[Kept]) -> bool:
        if not self.interrupts:
            return await super().transmit(connection, chosen)
        self.interrupts = False
        await super().transmit(connection, chosen[:2])
        await self.sense(glucose((datetime.now(UTC) - BEGAN) // timedelta(minutes=1)))
        await self.hang_up(connection, after_s=0)
        return True


async def test_what_is_measured_amid_the_stored_records_does_not_hide_the_rest_of_them(
    air: Air, edge: OpenEdge
) -> None:
    sensor = Interrupting(air, address="F0:00:00:00:00:08", serial="CGM-1", started_at=BEGAN)
    async with edge() as running, sensor:
        await within(sensor.measure(*(glucose(5 * n) for n in range(1, 6))))
        assert sensor.requests == [report_all(), report_from(11)]
        assert {one.record_no for one in running.kept} == {5, 10, 15, 20, 25, sensor.kept[-1].record_no}


async def test_a_link_that_drops_before_the_answer_costs_no_record_and_no_repeat(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air) as sensor:
        sensor.drops_after = 3
        await within(sensor.measure(*(glucose(5 * n) for n in (1, 2, 3))))
        assert sensor.requests == [report_all(), report_from(16)]
        assert minutes(running.kept) == [5, 10, 15]


async def test_a_gap_in_the_records_holds_nothing_up(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air) as sensor:
        await within(sensor.measure(*(glucose(minute) for minute in (5, 10, 120, 125))))
        await within(sensor.measure(glucose(300)))
        assert sensor.requests == [report_all(), report_from(126)]
        assert minutes(running.kept) == [5, 10, 120, 125, 300]


async def test_a_day_of_records_is_committed_in_portions_while_it_comes(air: Air, edge: OpenEdge) -> None:
    began = NOW - timedelta(hours=24)
    async with edge() as running, sensor_on(air, started_at=began, together=5) as sensor:
        sensor.drops_after = 270
        sensor.keep(*(glucose(5 * n, began=began) for n in range(288)))
        await within(sensor.offer())
        assert minutes(running.kept) == [5 * n for n in range(288)]
        assert sensor.requests[0] == report_all()
        assert sensor.requests[1].bounds >= (5 * 265,)


# -- frames that cannot be read


async def test_a_record_whose_crc_is_wrong_is_odd_and_asked_for_again_at_once(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, sensor_on(air) as sensor:
        sensor.spoils = {10: 1}
        await within(sensor.measure(*(glucose(5 * n) for n in (1, 2, 3))))
        assert sensor.requests == [report_all(), report_from(6)]
        assert sorted(minutes(running.kept)) == [5, 10, 15]
        assert oddities(tmp_path) == [("2AA7", "e2e_crc", "BadValue")]


async def test_a_record_whose_crc_stays_wrong_is_passed_over(air: Air, edge: OpenEdge, tmp_path: Path) -> None:
    async with edge() as running, sensor_on(air) as sensor:
        sensor.spoils = {10: 99}
        await within(sensor.measure(*(glucose(5 * n) for n in (1, 2, 3))))
        await within(sensor.measure(glucose(20)))
        assert sensor.requests == [report_all(), report_from(6), report_from(16)]
        assert minutes(running.kept) == [5, 15, 20]
        assert oddities(tmp_path) == [("2AA7", "e2e_crc", "BadValue")]


async def test_a_frame_cut_short_costs_no_record(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air) as sensor:
        sensor.corrupts_next = 1
        await within(sensor.measure(glucose(5), glucose(10)))
        assert minutes(running.kept) == [5, 10]
        assert running.outbox.figures().oddities == 1


# -- time


async def test_without_a_start_the_minutes_are_counted_back_from_the_status(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, knows_start=False) as sensor:
        await within(sensor.measure(glucose(5), glucose(300)))
        found = running.kept
        assert [one.device_at for one in found] == [None, None]
        for one, minute in zip(found, (5, 300), strict=True):
            assert abs(one.measured_at - BEGAN - timedelta(minutes=minute)) <= timedelta(seconds=90)
            assert one.facts == ("no-device-clock",)


async def test_without_a_start_too_the_next_connection_asks_for_the_rest(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, knows_start=False) as sensor:
        await within(sensor.measure(glucose(5), glucose(10)))
        await within(sensor.measure(glucose(15)))
        assert sensor.requests == [report_all(), report_from(11)]
        assert minutes(running.kept) == [5, 10, 15]


async def test_with_neither_start_nor_status_the_records_have_lost_their_timeline_and_are_kept_once(
    air: Air, edge: OpenEdge
) -> None:
    async with edge() as running, sensor_on(air, knows_start=False, tells_offset=False) as sensor:
        await within(sensor.measure(glucose(5), glucose(10)))
        await within(sensor.measure(glucose(15)))
        # the mark's own record shows that the numbers are the same
        assert sensor.requests == [report_all(), report_from(10)]
        assert minutes(running.kept) == [5, 10, 15]
        assert {one.facts for one in running.kept} == {("clock-not-set", "lost-timeline")}


async def test_a_start_by_a_wrong_clock_is_corrected_by_the_status(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, clock_offset=timedelta(hours=-3)) as sensor:
        await within(sensor.measure(glucose(60)))
        (found,) = running.kept
        assert found.facts == ("clock-corrected",)
        assert found.device_at == sensor.kept[0].device_at
        assert abs(found.measured_at - BEGAN - timedelta(minutes=60)) <= timedelta(seconds=90)


async def test_a_start_is_read_in_the_zone_that_the_sensor_tells(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, zone=UTC) as sensor:
        await within(sensor.measure(glucose(60)))
        (found,) = running.kept
        assert (found.measured_at, found.facts) == (BEGAN + timedelta(minutes=60), ())


class Refusing(GlucoseSensor):
    """Is busy when it is asked the first time, measures meanwhile, and refuses from the second time on."""

    asked = 0

    def _on_request(self, connection: Connection, value: bytes) -> None:
        self.asked += 1
        if self.asked == 1:
            self.work(self.sense(glucose(355)))
            raise att.ATT_Error(BUSY)
        raise att.ATT_Error(att.ErrorCode.WRITE_NOT_PERMITTED)


async def test_what_is_measured_while_the_sensor_is_busy_is_kept_though_it_refuses_its_records(
    air: Air, edge: OpenEdge
) -> None:
    sensor = Refusing(air, address="F0:00:00:00:00:08", serial="CGM-1", started_at=BEGAN, stays=True)
    async with edge() as running, sensor:
        sensor.keep(glucose(350))
        offer = asyncio.ensure_future(sensor.offer())
        assert minutes(await until_kept(running, 1)) == [355]
        offer.cancel()


class BeyondTheCalendar(GlucoseSensor):
    def _session_start(self, _connection: Connection) -> bytes:
        return CgmSessionStartTime(session_start_time=DateTime(9999, 12, 31, 23, 0, 0), time_zone=-48).encode()


async def test_a_start_at_the_end_of_the_calendar_ends_nothing(air: Air, edge: OpenEdge) -> None:
    sensor = BeyondTheCalendar(air, address="F0:00:00:00:00:08", serial="CGM-1", started_at=BEGAN, e2e_crc=False)
    async with edge() as running, sensor:
        await within(sensor.measure(glucose(5), glucose(350)))
        assert minutes(running.kept) == [5, 350]

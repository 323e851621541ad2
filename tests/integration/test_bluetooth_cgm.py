"""A continuous glucose sensor's stored and live records, from Bumble to the outbox."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from bumble.device import Connection

from devices.clock import DateTime
from devices.gatt.cgm import INTERSTITIAL_FLUID, CgmSessionStartTime
from devices.gatt.cgm_operations import CgmOpCode
from devices.gatt.record_access import report_all, report_from
from devices.observation import Context, Fact, Observation, Site
from gateway.roster import sheets
from gateway.sensors import listed
from gateway.sessions import Outcome
from simulators.embedded.broker import Broker
from simulators.peripheral import Kept, Measurement
from simulators.peripheral_cgm import GlucoseSensor
from simulators.radio import Air
from tests.fix_bluetooth import Edge, OpenEdge, OpenReceiver, StartGateway

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
BEGAN = NOW - timedelta(hours=6)


def glucose(minute: int, value: float | None = None, began: datetime = BEGAN) -> Measurement:
    """minute: of the session. Without a value it follows from the minute."""
    return Measurement(
        kind=INTERSTITIAL_FLUID,
        values=(100.0 + minute % 50 if value is None else value,),
        unit="mg/dL",
        taken_at=began + timedelta(minutes=minute),
    )


def sensor_on(air: Air, **settings: Any) -> GlucoseSensor:
    settings.setdefault("started_at", BEGAN)
    return GlucoseSensor(air, address="F0:00:00:00:00:08", serial="CGM-1", **settings)


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


async def until_kept(running: Edge, count: int) -> list[Observation]:
    async with asyncio.timeout(20):
        while len(running.kept) < count:  # noqa: ASYNC110 - the outbox is the edge's
            await asyncio.sleep(0.02)
    return running.kept


async def until_marked(running: Edge, sensor: GlucoseSensor, minute: int) -> None:
    while (running.outbox.mark(sensor.device, "181F") or (None,) * 3)[2] != minute:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.02)


def minutes(found: list[Observation]) -> list[int]:
    return [one.record_no for one in found]


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
                kind=INTERSTITIAL_FLUID,
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


class BeyondTheCalendar(GlucoseSensor):
    def _session_start(self, _connection: Connection) -> bytes:
        return CgmSessionStartTime(session_start_time=DateTime(9999, 12, 31, 23, 0, 0), time_zone=-48).encode()


async def test_a_start_at_the_end_of_the_calendar_ends_nothing(air: Air, edge: OpenEdge) -> None:
    sensor = BeyondTheCalendar(air, address="F0:00:00:00:00:08", serial="CGM-1", started_at=BEGAN, e2e_crc=False)
    async with edge() as running, sensor:
        await within(sensor.measure(glucose(5), glucose(350)))
        assert minutes(running.kept) == [5, 350]


# -- sessions


async def test_a_new_session_is_fetched_from_its_beginning(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air) as sensor:
        await within(sensor.measure(glucose(5), glucose(10)))
        sensor.restart(NOW - timedelta(hours=1))
        await within(sensor.measure(*(glucose(minute, 200.0, began=sensor.started_at) for minute in (5, 10, 15))))
        assert sensor.requests == [report_all(), report_all()]
        found = running.kept[2:]
        assert minutes(found) == [5, 10, 15]
        assert found[0].measured_at == sensor.started_at + timedelta(minutes=5)


async def test_a_session_that_is_over_is_fetched_and_not_listened_to(air: Air, edge: OpenEdge, tmp_path: Path) -> None:
    async with edge(idle_s=60.0) as running, sensor_on(air) as sensor:
        sensor.stopped = True
        await within(sensor.measure(glucose(5), glucose(10)))
        assert minutes(running.kept) == [5, 10]
        assert sensor.operations == []
        assert [sheet.outcome for sheet in sheets(tmp_path / "outbox.sqlite")] == ["collected"]


async def test_a_sensor_that_has_nothing_new_is_told_apart_in_the_roster(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge() as running, sensor_on(air) as sensor:
        sensor.stopped = True
        await within(sensor.measure(glucose(5)))
        sensor.stays = True
        await sensor.advertise_on()
        async with asyncio.timeout(20):
            while [sheet.outcome for sheet in sheets(tmp_path / "outbox.sqlite")] != [Outcome.NOT_YET]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert minutes(running.kept) == [5]


async def test_the_last_record_told_again_is_not_kept_again(air: Air, edge: OpenEdge) -> None:
    async with sensor_on(air, knows_start=False) as sensor:
        async with edge():
            await within(sensor.measure(glucose(5), glucose(10)))
        sensor.stays = True
        async with edge() as running:
            await sensor.advertise_on()
            await within(sensor.until_asked())
            await within(sensor.tell_again())
            await within(sensor.sense(glucose(15)))
            await within(until_marked(running, sensor, 15))
            assert minutes(running.kept) == [5, 10, 15]


async def test_nothing_but_the_interval_is_ever_asked_of_the_operations(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, stays=True) as sensor:
        await within(sensor.measure_and_stay(glucose(5)))
        await until_kept(running, 1)
        await within(sensor.until_asked())
        assert [one.op_code for one in sensor.operations] == [CgmOpCode.GET_COMMUNICATION_INTERVAL]
        assert [one.e2e_crc for one in sensor.operations] == [True]


# -- while it is listened to


async def test_what_is_measured_while_the_gateway_listens_is_kept_at_once(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, stays=True) as sensor:
        await within(sensor.measure_and_stay(glucose(5), glucose(10)))
        await within(sensor.until_asked())
        await within(sensor.sense(glucose(15)))
        await until_kept(running, 3)
        mark = running.outbox.mark(sensor.device, "181F")
        assert mark is not None
        # in the spacing of the stored ones: nothing was missed, nothing more is asked
        assert (mark.sequence, sensor.requests) == (15, [report_all()])


async def test_a_live_record_behind_a_gap_is_kept_and_what_lies_between_is_asked_for(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, stays=True) as sensor:
        await within(sensor.measure_and_stay(glucose(5), glucose(10)))
        await within(sensor.until_asked())
        sensor.keep(glucose(15), glucose(20))
        await within(sensor.sense(glucose(25)))
        await until_kept(running, 5)
        assert minutes(running.kept) == [5, 10, 25, 15, 20]
        assert sensor.requests == [report_all(), report_from(11)]


async def test_a_live_record_that_cannot_be_read_is_asked_for(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, stays=True) as sensor:
        await within(sensor.measure_and_stay(glucose(5), glucose(10)))
        await within(sensor.until_asked())
        sensor.spoils = {15: 1}
        await within(sensor.sense(glucose(15)))
        await until_kept(running, 3)
        assert minutes(running.kept) == [5, 10, 15]


async def test_a_session_begun_while_the_gateway_listens_is_read_anew(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, stays=True) as sensor:
        await within(sensor.measure_and_stay(glucose(100), glucose(105)))
        await within(sensor.until_asked())
        sensor.restart(NOW - timedelta(minutes=30))
        sensor.keep(glucose(5, 200.0, began=sensor.started_at))
        await within(sensor.sense(glucose(10, 200.0, began=sensor.started_at)))
        found = (await until_kept(running, 4))[2:]
        assert minutes(found) == [5, 10]
        assert [one.measured_at for one in found] == [sensor.started_at + timedelta(minutes=n) for n in (5, 10)]


async def test_the_status_shows_since_when_a_sensor_runs_and_how_long_it_will(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge(), sensor_on(air, run_time=240) as sensor:
        await within(sensor.measure(glucose(5), glucose(10)))
    database = sqlite3.connect(tmp_path / "outbox.sqlite")
    try:
        (shown,) = listed(database)
    finally:
        database.close()
    assert (shown["device"], shown["kept_until"], shown["stopped"]) == (sensor.device, 10, False)
    assert abs(datetime.fromisoformat(shown["began_at"]) - BEGAN) <= timedelta(seconds=90)
    assert datetime.fromisoformat(shown["ends_at"]) - datetime.fromisoformat(shown["began_at"]) == timedelta(hours=240)


async def test_a_sensor_that_demands_a_bond_is_paired_with(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, secure=True) as sensor:
        await within(sensor.measure(glucose(5)))
        assert minutes(running.kept) == [5]


class Halting(GlucoseSensor):
    """Stops in the middle of the first telling of what it has stored."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.halted = asyncio.Event()

    async def transmit(self, connection: Connection, chosen: list[Kept]) -> bool:
        if self.halted.is_set():
            return await super().transmit(connection, chosen)
        await super().transmit(connection, chosen[:70])
        self.halted.set()
        await asyncio.Event().wait()
        return True


async def test_a_gateway_that_is_killed_amid_the_records_goes_on_where_it_had_committed(
    air: Air, broker: Broker, gateway: StartGateway, receiver: OpenReceiver
) -> None:
    sensor = Halting(air, address="F0:00:00:00:00:08", serial="CGM-1", started_at=BEGAN)
    async with receiver(broker) as far_end, sensor:
        sensor.keep(*(glucose(2 * n) for n in range(120)))
        offer = asyncio.create_task(sensor.offer())
        with gateway(broker, air=air) as process:
            await within(sensor.halted.wait())
            await far_end.until(lambda end: len(end.stored) >= 50)
            process.kill()
        with gateway(broker, air=air):
            await within(offer)
            await far_end.until(lambda end: len(end.stored) >= 120)
    assert sensor.requests == [report_all(), report_from(2 * 49 + 1)]
    assert {one.record_no: one.values for one in far_end.stored.values()} == {
        2 * n: glucose(2 * n).values for n in range(120)
    }
    assert len(far_end.stored) == 120

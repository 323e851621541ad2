"""A continuous glucose sensor's sessions, and what it measures while the gateway listens, from Bumble to the outbox."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bumble.device import Connection

from devices.gatt.cgm_operations import CgmOpCode
from devices.gatt.record_access import report_all, report_from
from gateway.roster import sheets
from gateway.sensors import listed
from gateway.sessions import Outcome
from simulators.embedded.broker import Broker
from simulators.peripheral import Kept
from simulators.peripheral_cgm import GlucoseSensor
from simulators.radio import Air
from tests.fix_bluetooth import OpenEdge, OpenReceiver, StartGateway
from tests.sensing_glucose import BEGAN, NOW, glucose, minutes, sensor_on, until_kept, until_marked, within

BUSY = 0xFE
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


async def test_a_session_begun_while_the_gateway_listens_may_number_as_the_one_before(air: Air, edge: OpenEdge) -> None:
    async with edge() as running, sensor_on(air, stays=True) as sensor:
        await within(sensor.measure_and_stay(glucose(5), glucose(10)))
        await within(sensor.until_asked())
        sensor.restart(NOW - timedelta(minutes=30))
        # the numbers are those of records that are kept; the records are others
        await within(sensor.sense(glucose(5, 200.0, began=sensor.started_at)))
        await until_kept(running, 3)
        await within(sensor.sense(glucose(10, 210.0, began=sensor.started_at)))
        found = (await until_kept(running, 4))[2:]
        assert [one.values for one in found] == [(200.0,), (210.0,)]
        assert [one.measured_at for one in found] == [sensor.started_at + timedelta(minutes=n) for n in (5, 10)]


async def test_a_session_whose_first_record_comes_after_a_long_warming_up_is_read_anew(
    air: Air, edge: OpenEdge
) -> None:
    async with edge() as running, sensor_on(air, stays=True) as sensor:
        await within(sensor.measure_and_stay(glucose(5), glucose(10)))
        await within(sensor.until_asked())
        sensor.restart(NOW - timedelta(minutes=60))
        # its number is behind the mark of the session before, as that of a record behind a gap
        await within(sensor.sense(glucose(60, 200.0, began=sensor.started_at)))
        found = (await until_kept(running, 3))[2:]
        assert [one.measured_at for one in found] == [sensor.started_at + timedelta(minutes=60)]


async def test_a_gateway_that_is_stopped_does_not_wait_for_a_sensor_that_goes_on(
    air: Air, edge: OpenEdge, tmp_path: Path
) -> None:
    async with edge(idle_s=60.0) as running, sensor_on(air, stays=True) as sensor:
        await within(sensor.measure_and_stay(glucose(5), glucose(10)))
        await within(sensor.until_asked())
        running.stop.set()
        await within(running.task)
        # the session was ended in good order, not cut short when the time to drain was over
        assert [sheet.outcome for sheet in sheets(tmp_path / "outbox.sqlite")] == ["collected"]


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

"""Roll-ups: the site's calendar, simulated readings, every value's code, one at a time, the service by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection

from devices.nomenclature import BLOOD_PRESSURE, BODY_COMPOSITION, KINDS
from devices.observation import Observation
from ingest import assignments, commit, database, rollup, upkeep
from ingest.directory import Directory
from ingest.intake import Limits
from ingest.rollup import Turn
from ingest.rollup_series import Grain, series
from simulators.embedded.broker import Broker
from tests.fix_ingest import IngestProcess, Source, ask, message, pressure, taken, wait_until

ZONE = "Asia/Shanghai"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANY_AGE = Limits(ancient=timedelta(days=36_525))
BEGAN = datetime(2026, 1, 1, 15, tzinfo=UTC)
"""23:00 in Shanghai: hours later is another day there, and not yet in UTC."""


async def everything_rolled_up(conn: AsyncConnection, zone: str = ZONE) -> None:
    while (rolled := await rollup.roll_up(conn, zone=zone, now=NOW)).turn is not Turn.NOTHING_DUE:
        assert rolled.turn is Turn.ROLLED_UP


async def put(conn: AsyncConnection, *sent: Observation) -> None:
    stored = await commit.store_with_retry(conn, Directory(), [taken(message(*sent), limits=ANY_AGE)], now=NOW)
    assert stored.refused == 0


async def own(conn: AsyncConnection, uid: str = "ble:cuff-1") -> UUID:
    subject = uuid4()
    await assignments.register_device(conn, uid, concept=None, label=None, now=NOW)
    await assignments.assign_device(conn, uid, subject, since=BEGAN - timedelta(days=900), by="test", now=NOW)
    return subject


def weeks_ago(number: int, hours: float, **changes: Any) -> Observation:
    at = BEGAN + timedelta(hours=hours)
    return pressure(number, measured_at=at, device_at=at, **changes)


async def seen(conn: AsyncConnection, subject: UUID, grain: Grain, **how: Any) -> list[tuple[datetime, int, float]]:
    found = await series(conn, subject, grain, since=BEGAN - timedelta(days=900), until=NOW, **how)
    return [(one.bucket_at, one.number, one.mean) for one in found if one.kind == BLOOD_PRESSURE and one.slot == 0]


async def test_a_day_is_one_of_the_sites_calendar_and_two_devices_are_added_up(
    telemetry: AsyncConnection,
) -> None:
    conn = telemetry
    subject = await own(conn)
    await assignments.register_device(conn, "ble:cuff-2", concept=None, label=None, now=NOW)
    await assignments.assign_device(conn, "ble:cuff-2", subject, since=BEGAN, by="test", now=NOW)
    # 23:00, 23:59 and 00:30 of the next day in Shanghai; all one day in UTC
    values = (100.0, 60.0, 70.0, 60.0)
    await put(conn, weeks_ago(1, 0, values=values), weeks_ago(2, 0.99), weeks_ago(3, 1.5))
    await put(conn, weeks_ago(4, 0.5, device="ble:cuff-2", values=(110.0, 60.0, 70.0, 60.0)))
    await everything_rolled_up(conn)
    first = datetime(2025, 12, 31, 16, tzinfo=UTC)
    assert await seen(conn, subject, Grain.DAY) == [
        (first, 3, pytest.approx((100 + 122 + 110) / 3)),
        (first + timedelta(days=1), 1, 123.0),
    ]
    assert [at for at, _, _ in await seen(conn, subject, Grain.HOUR)] == [BEGAN, BEGAN + timedelta(hours=1)]
    found = await conn.execute(
        "SELECT number, low, high, unit FROM telemetry.subject_day WHERE subject_id = %s AND code = 150021"
        " ORDER BY bucket_at",
        (subject,),
    )
    assert await found.fetchall() == [(3, 100.0, 122.0, "mm[Hg]"), (1, 123.0, 123.0, "mm[Hg]")]


async def test_another_zone_makes_them_anew(telemetry: AsyncConnection) -> None:
    conn = telemetry
    subject = await own(conn)
    await put(conn, weeks_ago(1, 0), weeks_ago(2, 1.5))
    await everything_rolled_up(conn)
    assert len(await seen(conn, subject, Grain.DAY)) == 2
    await everything_rolled_up(conn, "Asia/Kolkata")
    assert [(at, number) for at, number, _ in await seen(conn, subject, Grain.DAY)] == [
        (datetime(2025, 12, 31, 18, 30, tzinfo=UTC), 2)
    ]
    assert [at.minute for at, _, _ in await seen(conn, subject, Grain.HOUR)] == [30, 30]


async def test_simulated_readings_are_a_series_of_their_own(telemetry: AsyncConnection) -> None:
    conn = telemetry
    subject = await own(conn)
    await put(conn, weeks_ago(1, 0), weeks_ago(2, 0.1, facts=("simulated",)), weeks_ago(3, 0.2, facts=("demo-data",)))
    await everything_rolled_up(conn)
    assert [number for _, number, _ in await seen(conn, subject, Grain.HOUR)] == [1]
    assert await seen(conn, subject, Grain.HOUR, simulated=True) == [(BEGAN, 1, 122.0)]


async def test_every_value_of_a_kind_has_its_own_code_and_unit(telemetry: AsyncConnection) -> None:
    conn = telemetry
    subject = await own(conn)
    (kind,) = (kind for kind in KINDS if kind.code == BODY_COMPOSITION)
    values = (22.0, 70.0, 175.0, 50.0, 48.0, 38.0, 42.0, 30.0, 6500.0, None)
    sent = (*values[:2], 1.75, *values[3:])  # metres; the canonical unit is the centimetre
    await put(conn, weeks_ago(1, 0, kind=BODY_COMPOSITION, unit="%", values=sent, absent={9: "not-sent"}))
    await everything_rolled_up(conn)
    found = await series(conn, subject, Grain.DAY, since=BEGAN - timedelta(days=1), until=NOW, concepts=[kind.concept])
    assert [(one.ref, one.mean) for one in found] == [
        (slot.ref, value) for slot, value in zip(kind.slots, values, strict=True) if value is not None
    ]
    assert [one.unit for one in found][:3] == ["%", "kg", "cm"]
    assert not await series(conn, subject, Grain.DAY, since=BEGAN, until=NOW, concepts=["glucose"])


async def test_one_process_at_a_time_and_what_it_did_not_finish_stays_due(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    conn = telemetry
    await own(conn)
    await put(conn, weeks_ago(1, 0))
    rival = await database.connect(migrated_database_url)
    async with rival.transaction():
        await rival.execute("SELECT pg_advisory_xact_lock(%s)", (rollup.TURN,))
        assert (await rollup.roll_up(conn, zone=ZONE, now=NOW)).turn is Turn.BUSY
    await rival.close()
    assert (await rollup.waiting(conn)).batches == 1
    await everything_rolled_up(conn)
    assert await rollup.waiting(conn) == (0, None, 0, 0)


async def test_it_asks_after_each_piece_how_long_to_rest(telemetry: AsyncConnection) -> None:
    stored = taken(message(pressure(1), pressure(2)))
    await commit.store(telemetry, Directory(), [stored], now=datetime.now(UTC))
    asked: list[int] = []

    def rest() -> float:
        asked.append(1)
        return 0.0

    done = await upkeep.roll_up_everything(telemetry, zone="Asia/Shanghai", clock=lambda: datetime.now(UTC), rest=rest)
    assert done
    assert len(asked) == len(done)


def test_the_service_rolls_up_what_it_stored_by_itself(broker: Broker, migrated_database_url: str) -> None:
    async def begin() -> UUID:
        conn = await database.connect(migrated_database_url)
        subject = await own(conn)
        await conn.close()
        return subject

    subject = asyncio.run(begin())
    settings = {"rollup_seconds": "0.1", "keep_batch_days": "30"}
    with Source(broker) as source, IngestProcess(broker, migrated_database_url, **settings) as process:
        source.send(message(pressure(1), pressure(2)))
        assert source.receipt().stored == 2
        found = "SELECT sum(number) FROM telemetry.subject_day WHERE subject_id = %s AND code = 150021"
        wait_until(lambda: ask(migrated_database_url, found, subject) == [(2,)], "the day's roll-up")
        assert process.wait_for_line("retention applied")["rows"] == 0
        assert process.stop() == 0


async def test_they_are_right_after_rolling_up_while_two_processes_write(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    subject = await own(telemetry)
    done = asyncio.Event()

    async def write(numbers: range) -> None:
        conn = await database.connect(migrated_database_url)
        for start in numbers[::20]:
            some = (weeks_ago(number, number % 97) for number in range(start, start + 20))
            one = taken(message(*some), limits=ANY_AGE)
            await commit.store_with_retry(conn, Directory(), [one], now=NOW)
        await conn.close()

    async def roll() -> int:
        times = 0
        while not done.is_set():
            turn = (await rollup.roll_up(telemetry, zone=ZONE, now=NOW)).turn
            times += turn is Turn.ROLLED_UP
            await asyncio.sleep(0)
        return times

    rolling = asyncio.create_task(roll())
    await asyncio.gather(write(range(600)), write(range(300, 900)))
    done.set()
    assert await rolling > 1
    await everything_rolled_up(telemetry)
    counted = await seen(telemetry, subject, Grain.HOUR)
    assert [number for _, number, _ in counted] == [len(range(hour, 900, 97)) for hour in range(97)]
    assert sum(number for _, number, _ in await seen(telemetry, subject, Grain.DAY)) == 900

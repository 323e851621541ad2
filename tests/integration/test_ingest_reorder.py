"""Closed chunks in the order of their key: order, late rows, locks, writers meanwhile, quiet hours, plain tables."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from psycopg import AsyncConnection
from typer.testing import CliRunner, Result

from devices.observation import Observation
from ingest import cli, commit, database, reorder, timescale, upkeep
from ingest.directory import Directory
from ingest.intake import Limits
from ingest.reorder import Ability, Change, Chunk, QuietHours
from ingest.settings import Settings
from tests.fix_ingest import PATIENCE_SECONDS, message, pressure, taken

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
THREE_DAYS: Final = timedelta(days=3)
ANY_AGE: Final = Limits(ancient=timedelta(days=36_525))
SHANGHAI: Final = ZoneInfo("Asia/Shanghai")
OLD: Final = datetime(2026, 2, 3, tzinfo=UTC)
"""In the chunk of 29 January to 5 February; chunks begin on Thursdays."""


@pytest.fixture
async def chunks(telemetry: AsyncConnection) -> AsyncConnection:
    """A connection to a database whose observations are a hypertable."""
    if await timescale.hypertable_schema(telemetry) is None:
        pytest.skip("no hypertable here; to run this test unset DATABASE_URL")
    return telemetry


def mixed(number: int, at: datetime = OLD) -> Observation:
    """The devices take turns, as readings come in."""
    at += timedelta(seconds=number)
    return pressure(number, device=f"ble:cuff-{number % 40}", measured_at=at, device_at=at)


async def put(conn: AsyncConnection, *sent: Observation) -> None:
    """In batches of 500: a batch is written in the order of the key, the next one behind it."""
    for start in range(0, len(sent), 500):
        part = sent[start : start + 500]
        stored = await commit.store_with_retry(conn, Directory(), [taken(message(*part), limits=ANY_AGE)], now=NOW)
        assert (stored.stored, stored.duplicate, stored.refused) == (len(part), 0, 0)


async def run(conn: AsyncConnection, **options: Any) -> list[Chunk]:
    return [one async for one in reorder.reorder_closed(conn, older_than=THREE_DAYS, now=NOW, **options)]


async def changes(conn: AsyncConnection, **options: Any) -> list[Change]:
    return [one.change for one in await run(conn, **options)]


async def rows_in_place(conn: AsyncConnection, chunk: str) -> list[tuple[Any, ...]]:
    """Keys as they stand on the pages."""
    query = f"SELECT device_id, identity_at, kind, record_no FROM {chunk} ORDER BY ctid"
    return list(await (await conn.execute(query)).fetchall())


async def count(conn: AsyncConnection) -> int:
    row = await (await conn.execute("SELECT count(*) FROM telemetry.observation")).fetchone()
    assert row is not None
    return int(row[0])


async def waiting_for(conn: AsyncConnection, query: str, number: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (await (await conn.execute(query)).fetchone()) != (number,):
        assert time.monotonic() < deadline, f"waited in vain: {query}"
        await asyncio.sleep(0.01)


async def test_a_closed_chunk_is_put_in_the_order_of_its_key(chunks: AsyncConnection) -> None:
    await put(chunks, *(mixed(number) for number in range(2000)))
    (planned,) = await run(chunks, dry_run=True)
    before = await rows_in_place(chunks, planned.name)
    assert before != sorted(before)
    (done,) = await run(chunks)
    assert (done.name, done.change) == (planned.name, Change.REORDERED)
    assert done.seconds
    assert await rows_in_place(chunks, done.name) == sorted(before)
    assert await run(chunks) == []


async def test_the_newest_come_first_and_what_has_not_ended_for_long_enough_stays(chunks: AsyncConnection) -> None:
    # these chunks end 24 days, 17 days, and two days and a half before now; the last one has not ended
    now = datetime(2026, 3, 1, tzinfo=UTC)
    for at in (OLD, OLD + timedelta(days=7), now - timedelta(days=5), now):
        await put(chunks, *(mixed(number, at) for number in range(100)))
    query = "SELECT chunk_schema || '.' || chunk_name FROM timescaledb_information.chunks ORDER BY range_start"
    first, second, third, open_ = [name for (name,) in await (await chunks.execute(query)).fetchall()]
    assert [one.name for one in await run(chunks)] == [third, second, first]
    assert open_ not in [one.name for one in await run(chunks)]


async def test_a_chunk_that_late_readings_came_into_is_put_in_order_again(chunks: AsyncConnection) -> None:
    await put(chunks, *(mixed(number) for number in range(4000)))
    assert await changes(chunks) == [Change.REORDERED]
    await put(chunks, *(mixed(10_000 + number) for number in range(20)))
    assert await changes(chunks) == []
    await put(chunks, *(mixed(20_000 + number) for number in range(1000)))
    (again,) = await run(chunks)
    assert again.change is Change.REORDERED_AGAIN
    there = await rows_in_place(chunks, again.name)
    assert len(there) == 5020
    assert there == sorted(there)


async def test_a_chunk_in_use_is_left_and_the_next_ones_are_done(
    chunks: AsyncConnection, migrated_database_url: str
) -> None:
    await put(chunks, *(mixed(number) for number in range(100)))
    await put(chunks, *(mixed(number, OLD + timedelta(days=7)) for number in range(100)))
    newer, older = await run(chunks, dry_run=True)
    reader = await database.connect(migrated_database_url)
    async with reader.transaction():
        await reader.execute(f"SELECT count(*) FROM {newer.name}")
        assert [(one.name, one.change) for one in await run(chunks)] == [
            (newer.name, Change.LEFT_IN_USE),
            (older.name, Change.REORDERED),
        ]
    await reader.close()
    assert [(one.name, one.change) for one in await run(chunks)] == [(newer.name, Change.REORDERED)]


async def test_while_somebody_reads_everything_few_chunks_are_asked_for(
    chunks: AsyncConnection, migrated_database_url: str
) -> None:
    for week in range(-2, 3):
        await put(chunks, *(mixed(number, OLD + timedelta(days=7 * week)) for number in range(100)))
    reader = await database.connect(migrated_database_url)
    async with reader.transaction():
        await reader.execute("SELECT count(*) FROM telemetry.observation")
        assert await changes(chunks) == [Change.LEFT_IN_USE] * reorder.MOST_IN_USE
    await reader.close()
    assert await changes(chunks) == [Change.REORDERED] * 5


async def test_one_process_at_a_time_does_it(chunks: AsyncConnection, migrated_database_url: str) -> None:
    await put(chunks, *(mixed(number) for number in range(100)))
    other = await database.connect(migrated_database_url)
    async with other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock(%s)", (reorder.TURN,))
        assert await changes(chunks) == [Change.LEFT_BUSY]
    await other.close()
    assert await changes(chunks) == [Change.REORDERED]


async def test_a_writer_behind_the_lock_arrives_and_nothing_is_lost(
    chunks: AsyncConnection, migrated_database_url: str
) -> None:
    await put(chunks, *(mixed(number) for number in range(1000)))
    (planned,) = await run(chunks, dry_run=True)
    holder, job, writer = [await database.connect(migrated_database_url) for _ in range(3)]
    queued = f"SELECT count(*) FROM pg_locks WHERE relation = '{planned.name}'::regclass AND NOT granted"
    async with asyncio.TaskGroup() as group, holder.transaction():
        await holder.execute(f"SELECT count(*) FROM {planned.name}")
        done = group.create_task(changes(job))
        await waiting_for(chunks, queued, 1)
        # the writer stands in the queue behind the job, and is served after it
        group.create_task(put(writer, *(mixed(5000 + number) for number in range(500))))
        await waiting_for(chunks, queued, 2)
    assert done.result() == [Change.REORDERED]
    assert await count(chunks) == 1500
    assert len(await rows_in_place(chunks, planned.name)) == 1500
    for conn in (holder, job, writer):
        await conn.close()


async def test_writers_go_on_while_chunks_are_put_in_order(chunks: AsyncConnection, migrated_database_url: str) -> None:
    for week in range(3):
        await put(chunks, *(mixed(number, OLD + timedelta(days=7 * week)) for number in range(3000)))
    job = await database.connect(migrated_database_url)
    task = asyncio.create_task(run(job))
    written = 0
    while not task.done() or written == 0:
        at = OLD + timedelta(days=7 * (written % 3))
        await put(chunks, *(mixed(10_000 + written * 50 + number, at) for number in range(50)))
        written += 1
    assert {one.change for one in await task} == {Change.REORDERED}
    await job.close()
    assert await count(chunks) == 9000 + 50 * written
    await run(chunks)
    for (name,) in await (await chunks.execute("SELECT chunk FROM telemetry.reordered")).fetchall():
        assert (await rows_in_place(chunks, name))[:3000] == sorted((await rows_in_place(chunks, name))[:3000])


async def test_a_chunk_that_is_gone_is_forgotten(chunks: AsyncConnection) -> None:
    await put(chunks, *(mixed(number) for number in range(100)))
    assert await changes(chunks) == [Change.REORDERED]
    await chunks.execute("SELECT drop_chunks('telemetry.observation', %s::timestamptz)", (NOW,))
    assert await changes(chunks) == []
    assert await (await chunks.execute("SELECT count(*) FROM telemetry.reordered")).fetchone() == (0,)


async def test_the_service_does_it_in_the_quiet_hours_and_not_outside(
    chunks: AsyncConnection, migrated_database_url: str
) -> None:
    await put(chunks, *(mixed(number) for number in range(100)))
    settings = Settings.model_validate({"database_url": migrated_database_url, "rollup_seconds": 0})
    asked: list[datetime] = []
    decided = asyncio.Event()
    night, noon = (NOW.replace(tzinfo=SHANGHAI, hour=hour) for hour in (2, 12))

    def noon_clock() -> datetime:
        asked.append(noon)
        if len(asked) == 2:  # whether it is time, and when it is time again
            decided.set()
        return noon

    done = "SELECT count(*) FROM telemetry.reordered"
    (by_day,) = upkeep.tasks(settings, noon_clock)
    task = asyncio.create_task(by_day)
    await decided.wait()
    task.cancel()
    await task
    await waiting_for(chunks, done, 0)
    (by_night,) = upkeep.tasks(settings, lambda: night)
    task = asyncio.create_task(by_night)
    await waiting_for(chunks, done, 1)
    task.cancel()
    await task


@pytest.mark.parametrize("days", ["", "0"])
def test_empty_or_nought_switches_it_off(days: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUIFANG_INGEST_REORDER_DAYS", days)
    settings = Settings.model_validate({"database_url": "postgresql://127.0.0.1/x", "rollup_seconds": 0})
    assert upkeep.tasks(settings, lambda: NOW) == []


@pytest.mark.parametrize(
    ("from_hour", "until_hour", "hour", "quiet", "next_hours"),
    [(1, 5, 1, True, 24), (1, 5, 5, False, 20), (1, 5, 0, False, 1), (22, 4, 23, True, 23), (22, 4, 4, False, 18)],
)
def test_the_quiet_hours_are_those_of_the_site(
    from_hour: int, until_hour: int, hour: int, *, quiet: bool, next_hours: int
) -> None:
    hours = QuietHours(SHANGHAI, from_hour, until_hour)
    at = datetime(2026, 3, 1, hour, tzinfo=SHANGHAI).astimezone(UTC)
    assert hours.are_now(at) is quiet
    assert hours.next_after(at) == timedelta(hours=next_hours)


def test_the_same_hour_twice_is_always_quiet() -> None:
    assert all(QuietHours(SHANGHAI, 3, 3).are_now(NOW + timedelta(hours=hour)) for hour in range(24))


async def command(url: str, *options: str, hours: tuple[int, int] = (0, 0)) -> Result:
    environment = {
        "SUIFANG_INGEST_DATABASE_URL": url,
        "SUIFANG_INGEST_REORDER_FROM_HOUR": str(hours[0]),
        "SUIFANG_INGEST_REORDER_UNTIL_HOUR": str(hours[1]),
    }
    return await asyncio.to_thread(lambda: CliRunner().invoke(cli.app, ["reorder", *options], env=environment))


async def test_the_command_works_at_any_time_where_it_is_told_so(
    chunks: AsyncConnection, migrated_database_url: str
) -> None:
    await put(chunks, *(mixed(number) for number in range(100)))
    hour = datetime.now(SHANGHAI).hour
    later = ((hour + 5) % 24, (hour + 6) % 24)
    outcome = await command(migrated_database_url, hours=later)
    assert (outcome.exit_code, "not in the quiet hours" in outcome.output) == (1, True)
    planned = await command(migrated_database_url, "--dry-run", hours=later)
    assert (planned.exit_code, '"seconds": null' in planned.output) == (0, True)
    done = await command(migrated_database_url, "--now", hours=later)
    assert (done.exit_code, '"change": "reordered"' in done.output) == (0, True)
    assert (await command(migrated_database_url)).output == ""


async def test_one_plain_table_is_left_and_said_so(plain_postgres_url: str) -> None:
    database.migrate(plain_postgres_url)
    conn = await database.connect(plain_postgres_url)
    await put(conn, *(mixed(number) for number in range(100)))
    before = await rows_in_place(conn, "telemetry.observation")
    assert await reorder.ability(conn) is Ability.NO_EXTENSION
    assert await run(conn) == []
    assert await rows_in_place(conn, "telemetry.observation") == before
    await conn.close()
    outcome = await command(plain_postgres_url, "--now")
    assert outcome.exit_code == 1
    assert "not done here" in outcome.output

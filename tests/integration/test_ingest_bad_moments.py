"""A batch that is broken off, tried again or meets what no check foresaw: nothing is lost, nothing is there twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection, Error, errors, pq

from ingest import commit, database, steady
from ingest.directory import Directory
from tests.fix_ingest import AN_HOUR_AGO, message, pressure, taken

WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s"
ROWS = "SELECT record_no FROM telemetry.observation ORDER BY record_no"


@pytest.fixture
async def other(migrated_database_url: str) -> AsyncIterator[AsyncConnection]:
    """Somebody else's connection."""
    conn = await database.connect(migrated_database_url)
    yield conn
    await conn.close()


@pytest.fixture
async def watching(migrated_database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that looks on."""
    conn = await database.connect(migrated_database_url)
    yield conn
    await conn.close()


async def asked(conn: AsyncConnection, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    return await (await conn.execute(query, parameters or None)).fetchall()


async def until_it_waits(watching: AsyncConnection, conn: AsyncConnection, storing: asyncio.Task[Any]) -> None:
    while await asked(watching, WAITS, conn.info.backend_pid) == [(0,)]:
        assert not storing.done()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "held",
    [
        "SELECT pg_advisory_xact_lock(24349, bucket) FROM generate_series(0, 63) AS bucket",
        "INSERT INTO telemetry.observation (identity_at, measured_at, facts, batch_id, absent, device_id, kind,"
        " record_no, unit, v0) SELECT %(at)s, %(at)s, 0, 0, 0, device_id, 150020, 2, 3872, 1 FROM telemetry.device",
        "LOCK TABLE telemetry.batch IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE telemetry.account IN ACCESS EXCLUSIVE MODE",
    ],
    ids=["at-the-clocks", "at-the-rows", "at-the-batch", "just-before-the-commit"],
)
async def test_cancelled_while_it_waits_it_leaves_nothing_and_its_connection_is_fit_for_the_next(
    telemetry: AsyncConnection, other: AsyncConnection, watching: AsyncConnection, held: str
) -> None:
    directory, now = Directory(), datetime.now(UTC)
    await commit.store_with_retry(telemetry, directory, [taken(message(pressure(1)))], now=now)
    intake = taken(message(pressure(2), pressure(3)))
    async with other.transaction(force_rollback=True):
        await other.execute(held, {"at": AN_HOUR_AGO + timedelta(seconds=2)})
        storing = asyncio.create_task(commit.store_with_retry(telemetry, directory, [intake], now=now))
        await until_it_waits(watching, telemetry, storing)
        storing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await storing
    assert await asked(watching, ROWS) == [(1,)]
    assert telemetry.info.transaction_status is pq.TransactionStatus.IDLE
    assert telemetry.pgconn.pipeline_status == pq.PipelineStatus.OFF
    stored = await commit.store_with_retry(telemetry, directory, [intake], now=now)
    assert (stored.stored, stored.duplicate) == (2, 0)
    assert await asked(watching, ROWS) == [(1,), (2,), (3,)]
    assert await asked(watching, "SELECT messages, sent, stored FROM telemetry.account") == [(2, 3, 3)]


@pytest.mark.parametrize("table", ["batch", "touch", "account", "quarantine"])
async def test_an_error_beside_the_rows_takes_the_rows_with_it_and_the_connection_stores_the_next(
    telemetry: AsyncConnection, table: str
) -> None:
    directory, now = Directory(), datetime.now(UTC)
    await telemetry.execute(f"ALTER TABLE telemetry.{table} ADD CONSTRAINT unforeseen CHECK (false) NOT VALID")
    intake = taken(message(pressure(1), pressure(2), pressure(3, kind=7)))
    with pytest.raises(errors.CheckViolation):
        await commit.store_with_retry(telemetry, directory, [intake], now=now)
    assert await asked(telemetry, ROWS) == []
    await telemetry.execute(f"ALTER TABLE telemetry.{table} DROP CONSTRAINT unforeseen")
    stored = await commit.store_with_retry(telemetry, directory, [intake], now=now)
    assert (stored.stored, stored.refused) == (2, 1)
    assert await asked(telemetry, ROWS) == [(1,), (2,)]
    assert await asked(telemetry, "SELECT times FROM telemetry.quarantine") == [(1,)]


async def test_a_device_is_said_to_be_seen_by_the_attempt_that_was_committed(
    telemetry: AsyncConnection,
) -> None:
    directory, now = Directory(), datetime.now(UTC)
    first = now - timedelta(hours=1)
    await commit.store_with_retry(telemetry, directory, [taken(message(pressure(1)))], now=first)
    await telemetry.execute("ALTER TABLE telemetry.account ADD CONSTRAINT unforeseen CHECK (sent < 2) NOT VALID")
    intake = taken(message(pressure(2)))
    with pytest.raises(errors.CheckViolation):
        await commit.store_with_retry(telemetry, directory, [intake], now=now)
    await telemetry.execute("ALTER TABLE telemetry.account DROP CONSTRAINT unforeseen")
    await commit.store_with_retry(telemetry, directory, [intake], now=now)
    assert await asked(telemetry, "SELECT last_seen_at FROM telemetry.device") == [(now,)]


async def test_a_connection_that_staged_more_rows_than_an_int_counts_goes_on(telemetry: AsyncConnection) -> None:
    directory, now = Directory(), datetime.now(UTC)
    sent = taken(message(*(pressure(number) for number in range(20))))
    for _ in range(2):
        await commit.store_with_retry(telemetry, directory, [sent], now=now)
    await telemetry.execute("ALTER TABLE observation_stage ALTER ordinal RESTART WITH 2147483640")
    again = await commit.store_with_retry(telemetry, directory, [sent], now=now)
    assert (again.stored, again.duplicate, again.staged) == (0, 20, True)


async def test_a_row_let_go_between_the_merge_and_the_comparison_is_no_stored_row(telemetry: AsyncConnection) -> None:
    directory, now = Directory(), datetime.now(UTC)
    sent = taken(message(pressure(1), pressure(2)))
    await commit.store_with_retry(telemetry, directory, [taken(message(pressure(1)))], now=now)
    await telemetry.execute("CREATE SEQUENCE merges")
    # as retention would, once: behind the statement that finds the row there
    await telemetry.execute(
        "CREATE FUNCTION let_go() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('merges') = 2 THEN"
        " DELETE FROM telemetry.observation WHERE record_no = 1; END IF; RETURN NULL; END $$"
    )
    await telemetry.execute(
        "CREATE TRIGGER let_go AFTER INSERT ON telemetry.observation FOR EACH STATEMENT EXECUTE FUNCTION let_go()"
    )
    await telemetry.execute("SELECT nextval('merges')")
    stored = await commit.store_with_retry(telemetry, directory, [sent], now=now)
    ((there,),) = await asked(telemetry, "SELECT count(*) FROM telemetry.observation")
    ((counted,),) = await asked(telemetry, "SELECT sum(stored) FROM telemetry.account")
    assert (stored.attempts, stored.stored, stored.duplicate) == (2, 1, 1)
    assert (there, counted) == (2, 2)


async def test_a_connection_found_closed_is_a_lost_one(migrated_database_url: str) -> None:
    lost = []
    connection = steady.SteadyConnection(migrated_database_url, on_lost=lambda: lost.append(True))
    kept: list[AsyncConnection] = []

    async def closes(conn: AsyncConnection) -> None:
        kept.append(conn)
        await conn.close()
        raise ValueError("about the data")

    async def works(conn: AsyncConnection) -> None:
        kept.append(conn)
        await conn.execute("SELECT 1")

    with contextlib.suppress(ValueError):
        await connection.run(closes)
    await connection.run(works)
    await connection.close()
    assert kept[0] is not kept[1]
    assert lost == [True]


async def test_a_connection_that_cannot_roll_back_is_not_used_again(telemetry: AsyncConnection) -> None:
    await telemetry.execute("ALTER TABLE telemetry.account ADD CONSTRAINT unforeseen CHECK (false) NOT VALID")
    intake = taken(message(pressure(1)))
    with contextlib.suppress(Error):  # it ends with the connection
        async with telemetry.transaction():  # a caller's own: the driver refuses to roll back by itself
            with pytest.raises(errors.CheckViolation):
                await commit.store(telemetry, Directory(), [intake], now=datetime.now(UTC))
    assert telemetry.closed


async def test_what_was_there_already_is_touched_by_no_batch(telemetry: AsyncConnection) -> None:
    directory, now = Directory(), datetime.now(UTC)
    first = message(*(pressure(number) for number in range(1, 4)), pressure(9, device="ble:cuff-2", session="before"))
    await commit.store_with_retry(telemetry, directory, [taken(first)], now=now)
    again = message(*(pressure(n) for n in (2, 5, 6, 3)), pressure(9, device="ble:cuff-2", session="later"))
    stored = await commit.store_with_retry(telemetry, directory, [taken(again)], now=now)
    touched = (
        "SELECT device_uid, first_at, last_at, stored FROM telemetry.touch JOIN telemetry.device USING (device_id)"
    )
    assert await asked(telemetry, f"{touched} WHERE batch_id = %s", stored.batch_id) == [
        ("ble:cuff-1", AN_HOUR_AGO + timedelta(seconds=5), AN_HOUR_AGO + timedelta(seconds=6), 2)
    ]
    sessions = "SELECT session_uid FROM telemetry.session_touch JOIN telemetry.session USING (session_no)"
    assert await asked(telemetry, sessions) == [("before",)]


async def test_the_ledger_remembers_though_the_rows_beside_it_had_to_be_staged(telemetry: AsyncConnection) -> None:
    directory, now = Directory(), datetime.now(UTC)
    at = AN_HOUR_AGO - timedelta(days=9)
    odd = [
        pressure(7, measured_at=at + timedelta(days=days), device_at=at.replace(tzinfo=None) - timedelta(days=9000))
        for days in (0, 3)
    ]
    fates = []
    for sent in ([pressure(1)], [pressure(1), odd[0]], [odd[1]]):
        stored = await commit.store_with_retry(telemetry, directory, [taken(message(*sent))], now=now)
        fates.append((stored.stored, stored.duplicate))
    assert fates == [(1, 0), (1, 1), (0, 1)]


async def test_a_server_that_cuts_long_statements_off_does_not_cut_a_batch_off(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    name = telemetry.info.dbname
    await telemetry.execute(f'ALTER DATABASE "{name}" SET statement_timeout = 100'.encode())
    conn = await database.connect(migrated_database_url)
    try:
        holding = asyncio.Event()

        async def hold() -> None:
            async with telemetry.transaction():
                await telemetry.execute("LOCK TABLE telemetry.batch IN ACCESS EXCLUSIVE MODE")
                holding.set()
                await telemetry.execute("SELECT pg_sleep(0.5)")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold())
            await holding.wait()
            stored = await commit.store_with_retry(
                conn, Directory(), [taken(message(pressure(1)))], now=datetime.now(UTC)
            )
    finally:
        await conn.close()
    assert stored.stored == 1

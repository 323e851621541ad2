"""Writers that meet: the server ends one of them, ingest tries again, and the operator can see how often."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from psycopg import AsyncConnection

from ingest import commit, database, technical
from ingest.directory import Directory
from tests.fix_ingest import AN_HOUR_AGO, message, pressure, taken

ROW = (
    "INSERT INTO telemetry.observation (identity_at, measured_at, facts, batch_id, absent, device_id, kind, record_no,"
    " unit, v0, v1, v2, v3) SELECT %(at)s, %(at)s, 0, 0, 0, device_id, 150020, %(number)s, 3872, %(v0)s, 80, 93, 66"
    " FROM telemetry.device"
)
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s"


async def rival(conn: AsyncConnection, number: int) -> None:
    """Another writer's row, not committed."""
    at = AN_HOUR_AGO + timedelta(seconds=number)
    await conn.execute(ROW, {"at": at, "number": number, "v0": 120.0 + number})


async def test_a_deadlock_is_retried_counted_and_costs_no_reading(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    directory, now = Directory(), datetime.now(UTC)
    await commit.store_with_retry(telemetry, directory, [taken(message(pressure(9)))], now=now)
    before = (await technical.standing(telemetry)).deadlocks
    other = await database.connect(migrated_database_url)
    watching = await database.connect(migrated_database_url)
    await other.execute("SET deadlock_timeout = '1h'")  # the server must end ours
    async with other.transaction():
        await rival(other, 2)
        both = taken(message(pressure(1), pressure(2)))
        storing = asyncio.create_task(commit.store_with_retry(telemetry, directory, [both], now=now))
        while await (await watching.execute(WAITS, (telemetry.info.backend_pid,))).fetchone() == (0,):
            assert not storing.done()
            await asyncio.sleep(0.02)
        await rival(other, 1)  # ours has it, and waits for theirs
    stored = await storing
    assert (stored.attempts, stored.stored, stored.duplicate, stored.refused) == (2, 0, 2, 0)
    numbers = await (await watching.execute("SELECT record_no FROM telemetry.observation ORDER BY 1")).fetchall()
    assert numbers == [(1,), (2,), (9,)]
    assert await deadlocks_beyond(watching, before)
    await other.close()
    await watching.close()


async def deadlocks_beyond(conn: AsyncConnection, before: int) -> bool:
    """The server tells its counts a little later."""
    for _ in range(150):
        if (await technical.standing(conn)).deadlocks > before:
            return True
        await asyncio.sleep(0.1)
    return False

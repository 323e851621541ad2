"""What this server can do: plain PostgreSQL, TimescaleDB Apache edition, TimescaleDB Community edition.

The Apache edition (as Debian packages it) has hypertables and `drop_chunks`, but no policies, no columnstore and no
continuous aggregates; so retention is a call of our own there, and a plain DELETE where there is no extension at all.
"""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from ingest.named_sql import QUERIES

CHUNK: Final = timedelta(days=7)
"""Measured: 1 day makes planning slower by 6 times, 30 days gains nothing."""

KEEP_JUDGED_BATCHES: Final = timedelta(days=30)

log = structlog.get_logger(__name__)


class Edition(enum.StrEnum):
    """The kind of server."""

    PLAIN = "plain"
    APACHE = "apache"
    COMMUNITY = "timescale"


class Retained(enum.StrEnum):
    """How `apply_retention` let go of old observations."""

    CHUNKS_DROPPED = "chunks-dropped"
    ROWS_DELETED = "rows-deleted"


def ensure_extension(conn: psycopg.Connection[TupleRow]) -> None:
    """CREATE EXTENSION timescaledb where the server has it loaded and nobody has done so yet."""
    row = conn.execute(QUERIES["timescale_offered"]).fetchone()
    if row is None or not row[0]:
        return
    try:
        conn.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.errors.InsufficientPrivilege:
        log.warning("timescaledb is on this server but may not be created by this user: plain tables are used")


def ensure_hypertable(conn: psycopg.Connection[TupleRow]) -> bool:
    """Make `telemetry.observation` a hypertable where the extension is installed; rows already there move along.

    True: it is a hypertable now.
    """
    row = conn.execute(QUERIES["extension_schema"]).fetchone()
    if row is None:
        return False
    schema = sql.Identifier(row[0])
    conn.execute(
        sql.SQL(
            "SELECT {0}.create_hypertable('telemetry.observation', {0}.by_range('identity_at', %s::interval),"
            " create_default_indexes => false, if_not_exists => true, migrate_data => true)"
        ).format(schema),
        (CHUNK,),
    )
    return True


async def edition(conn: AsyncConnection) -> Edition:
    """What the server is, by its own word (`timescaledb.license`)."""
    row = await (await conn.execute(QUERIES["extension_schema"])).fetchone()
    if row is None:
        return Edition.PLAIN
    row = await (await conn.execute("SELECT current_setting('timescaledb.license', true)")).fetchone()
    return Edition.COMMUNITY if row is not None and row[0] == Edition.COMMUNITY else Edition.APACHE


async def apply_retention(conn: AsyncConnection, *, keep: timedelta, now: datetime) -> Retained:
    """Let go of observations whose identity time is older than `keep`, with their ledger rows and judged batches.

    Whole chunks go where there are chunks, so up to one chunk more is kept. Run it daily, in a transaction of its own.
    """
    before = (now - keep).astimezone(UTC)
    row = await (await conn.execute(QUERIES["hypertable_schema"])).fetchone()
    if row is not None:
        statement = sql.SQL("SELECT {}.drop_chunks('telemetry.observation', %s::timestamptz)")
        await conn.execute(statement.format(sql.Identifier(row[0])), (before,))
    else:
        await conn.execute(QUERIES["delete_observations"], (before,))
    # a chunk goes when its last day is past, so its first day's record may still be there: keep its ledger row too
    await conn.execute(QUERIES["delete_odd_identities"], (before - CHUNK,))
    await conn.execute(QUERIES["delete_judged_batches"], (now - KEEP_JUDGED_BATCHES,))
    await conn.execute(QUERIES["delete_judged_changes"], (now - KEEP_JUDGED_BATCHES,))
    return Retained.ROWS_DELETED if row is None else Retained.CHUNKS_DROPPED

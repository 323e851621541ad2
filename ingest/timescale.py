"""What this server can do: plain PostgreSQL, TimescaleDB Apache edition, TimescaleDB Community edition.

The Apache edition (as Debian packages it) has hypertables and `drop_chunks`, but no policies, no columnstore and no
continuous aggregates. So retention (`ingest.retention`) and roll-ups (`ingest.rollup`) are our own on all three, and
only the columnstore (`ingest.columnstore`) asks for the Community edition.
"""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import Final

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from ingest.named_sql import QUERIES

CHUNK: Final = timedelta(days=7)
"""Measured: 1 day makes planning slower by 6 times, 30 days gains nothing."""

log = structlog.get_logger(__name__)


class Edition(enum.StrEnum):
    """The kind of server."""

    PLAIN = "plain"
    APACHE = "apache"
    COMMUNITY = "timescale"


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


async def hypertable_schema(conn: AsyncConnection) -> str | None:
    """The extension's schema where the observations are a hypertable; None where they are a plain table."""
    row = await (await conn.execute(QUERIES["hypertable_schema"])).fetchone()
    return None if row is None else str(row[0])

"""The database door of ingest: migrations, the pool, and waiting for a server that is not there yet."""

from __future__ import annotations

import asyncio
import logging
import random
import warnings
from importlib.resources import as_file, files
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import structlog
import yoyo
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from devices.nomenclature import KINDS
from devices.units import BY_UCUM
from ingest import timescale
from ingest.errors import DatabaseUnavailable, NotMigrated
from ingest.named_sql import QUERIES

SCHEMA: Final = "telemetry"
MIGRATION_TABLE: Final = "migration"
"""In the schema, like yoyo's own log: rooms that share a database must not share yoyo's tables."""

_MIGRATE_LOCK: Final = 0x5F1D_0001
"""Advisory lock key: two processes that migrate at once take turns, and a killed one leaves nothing behind."""

_SILENCE: Final = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""A server behind a cut cable is given up after a minute (libpq's own default: two hours), and asked again."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0

log = structlog.get_logger(__name__)


def migrate(url: str, *, with_timescale: bool = True) -> None:
    """Bring the schema `telemetry` to this program's version: numbered migrations, hypertable where the server has
    TimescaleDB (unless declined), kinds from the nomenclature. Safe to repeat and to run twice at once.

    Errors: `DatabaseUnavailable`; `psycopg.Error` of a statement that failed (nothing of that migration stays).
    """
    try:
        guard = psycopg.connect(url, autocommit=True)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(str(error).strip()) from None
    with guard:
        guard.execute("SELECT pg_advisory_lock(%s)", (_MIGRATE_LOCK,))
        if with_timescale:
            timescale.ensure_extension(guard)
        guard.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        apply_migrations(url, room="ingest", table=MIGRATION_TABLE, schema=SCHEMA)
        with guard.transaction():
            timescale.ensure_hypertable(guard)
            sync_kinds(guard)


def apply_migrations(url: str, *, room: str, table: str, schema: str = "") -> None:
    """Apply the numbered migrations in the package `room` that are not applied yet.

    table: yoyo's own list of them, in `schema` (empty: where the connection's search path begins). The caller holds a
    lock against doing it twice at once. Errors: `psycopg.Error` of a statement that failed (nothing of it stays).
    """
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, f"schema={schema}" if schema else "")))
    address = urlunsplit(parts._replace(scheme="postgresql+psycopg", query=query))
    logging.getLogger("yoyo").setLevel(logging.WARNING)
    with warnings.catch_warnings(), as_file(files(room).joinpath("migrations")) as folder:
        warnings.simplefilter("ignore")  # yoyo imports what the standard library has deprecated
        backend = yoyo.get_backend(address, table)
        try:
            migrations = yoyo.read_migrations(str(folder))
            backend.apply_migrations(backend.to_apply(migrations))
        finally:
            backend.connection.close()


def sync_kinds(conn: psycopg.Connection[TupleRow]) -> None:
    """Make `telemetry.kind` and `telemetry.kind_value` equal to `devices.nomenclature`."""
    with conn.cursor() as cursor:
        cursor.executemany(QUERIES["put_kind"], [(kind.code, kind.ref, kind.concept) for kind in KINDS])
        cursor.executemany(
            QUERIES["put_kind_value"],
            [
                (
                    kind.code,
                    BY_UCUM[first].term,
                    index,
                    slot.code,
                    slot.ref,
                    units[index],
                    BY_UCUM[units[index]].canonical,
                    BY_UCUM[units[index]].factor,
                    BY_UCUM[units[index]].offset,
                )
                for kind in KINDS
                for first, units in kind.units.items()
                for index, slot in enumerate(kind.slots)
            ],
        )


async def open_pool(url: str, *, min_size: int = 1, max_size: int = 4) -> AsyncConnectionPool:
    """A pool, open, whose first connections are made in the background; the caller closes it. Times come in UTC."""
    pool = AsyncConnectionPool(
        _patient_to_a_point(url),
        min_size=min_size,
        max_size=max_size,
        open=False,
        kwargs={"autocommit": False},
        configure=_speak_utc,
    )
    await pool.open(wait=False)
    return pool


async def connect(url: str) -> AsyncConnection:
    """One connection for a writer: autocommit, so that each batch says where its transaction begins. Times come in
    UTC, whatever the server's own zone is; and no statement is too long, whatever the server allows others: a batch
    that was cut off would only be tried again, and cut off again.

    Errors: `DatabaseUnavailable` with the driver's line.
    """
    try:
        conn = await AsyncConnection.connect(_patient_to_a_point(url), autocommit=True, connect_timeout=5)
        await conn.execute("SET TIME ZONE 'UTC'; SET statement_timeout = 0")
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(" ".join(str(error).split())) from None
    return conn


def _patient_to_a_point(url: str) -> str:
    return make_conninfo(url, **_SILENCE)


async def _speak_utc(conn: AsyncConnection) -> None:
    await conn.execute("SET TIME ZONE 'UTC'")
    if not conn.autocommit:
        await conn.commit()


async def wait_for_database(url: str, *, attempts: int | None = None) -> AsyncConnection:
    """Connect, trying again with growing pauses (0.1 s to 5 s, jittered); says so once, and once when it is back.

    attempts: give up after so many (None: never). Errors: `DatabaseUnavailable`.
    """
    pause, tries = _FIRST_PAUSE, 0
    while True:
        try:
            conn = await connect(url)
        except DatabaseUnavailable as error:
            tries += 1
            if attempts is not None and tries >= attempts:
                raise
            if tries == 1:
                log.warning("database is not reachable, waiting", detail=error.detail)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, _LONGEST_PAUSE)
        else:
            if tries:
                log.info("database is back", attempts=tries)
            return conn


async def require_migrated(conn: AsyncConnection) -> None:
    """Errors: `NotMigrated` where a migration of this program was not applied."""
    wanted = {
        entry.name.removesuffix(".sql")
        for entry in files("ingest").joinpath("migrations").iterdir()
        if entry.name.endswith(".sql")
    }
    try:
        found = await (await conn.execute(QUERIES["applied_migrations"])).fetchall()
    except psycopg.errors.UndefinedTable:
        raise NotMigrated from None
    if missing := wanted - {row[0] for row in found}:
        raise NotMigrated(f"migration {min(missing)} is not applied: run `suifang-ingest migrate`")

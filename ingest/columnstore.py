"""Old chunks into columns, where the server is TimescaleDB's Community edition; elsewhere there is nothing to do.

Segmented by device and ordered as the key continues, so that a device's readings of a chunk stand together and a
repeat is looked for in one segment. Late readings go into a compressed chunk as rows beside its columns: the unique key
holds over both, and the next run puts them into the columns too.
Source: TimescaleDB documentation, "Columnstore"; `compress_chunk` is the name that all releases from 2.11 on have.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from psycopg import AsyncConnection, sql
from psycopg.rows import tuple_row

from ingest import timescale
from ingest.named_sql import load
from ingest.timescale import Edition

_SQL: Final = load("ingest", "sql/columnstore.sql")


class Ability(enum.StrEnum):
    """Whether this server can, by its own word."""

    READY = "ready"
    NO_EXTENSION = "no-extension"
    NO_HYPERTABLE = "no-hypertable"
    OTHER_LICENCE = "other-licence"
    """The Apache edition: the functions are declared, and refuse."""


class Change(enum.StrEnum):
    """What happened to a chunk."""

    COMPRESSED = "compressed"
    COMPRESSED_AGAIN = "compressed-again"
    """Late readings had come into it."""


class Chunk(NamedTuple):
    """A chunk that was, or would be, put into columns. Octets with indexes; None in a dry run."""

    name: str
    change: Change
    octets_before: int | None = None
    octets_after: int | None = None


async def ability(conn: AsyncConnection) -> Ability:
    """Ask before anything else."""
    found = await timescale.edition(conn)
    if found is Edition.PLAIN:
        return Ability.NO_EXTENSION
    if await timescale.hypertable_schema(conn) is None:
        return Ability.NO_HYPERTABLE
    return Ability.READY if found is Edition.COMMUNITY else Ability.OTHER_LICENCE


async def enable(conn: AsyncConnection) -> Ability:
    """Say how chunks are to be put into columns, once; the caller is in autocommit mode and owns table and database.

    Sessions that begin afterwards may touch any number of compressed rows in one transaction: a batch of late readings
    is bounded already, and a limit (100 000 by default) would stop it for ever.
    """
    found = await ability(conn)
    if found is Ability.READY and (await (await conn.execute(_SQL["enabled"])).fetchone()) is None:
        async with conn.transaction():
            await conn.execute(_SQL["enable"])
            name = await (await conn.execute("SELECT current_database()")).fetchone()
            assert name is not None
            await conn.execute(
                sql.SQL("ALTER DATABASE {} SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0").format(
                    sql.Identifier(name[0])
                )
            )
    return found


async def compress_old(
    conn: AsyncConnection, *, older_than: timedelta, now: datetime, dry_run: bool = False
) -> list[Chunk]:
    """Put every chunk whose last moment is past for `older_than` into columns, each in a transaction of its own.

    Readers go on; a writer of late readings into that very chunk waits for it. Where `ability` is not READY: nothing.
    Errors: `psycopg.Error`; the chunks done before it stay so.
    """
    if await enable(conn) is not Ability.READY:
        return []
    schema = await timescale.hypertable_schema(conn)
    assert schema is not None
    compress = sql.SQL("SELECT {}.compress_chunk(format('%%I.%%I', %s::text, %s::text)::regclass, true)").format(
        sql.Identifier(schema)
    )
    done = []
    for chunk_schema, name, is_compressed in await _due(conn, now - older_than):
        full, change = f"{chunk_schema}.{name}", Change.COMPRESSED_AGAIN if is_compressed else Change.COMPRESSED
        if dry_run:
            done.append(Chunk(full, change))
            continue
        before = await octets(conn, name)
        await conn.execute(compress, (chunk_schema, name))
        done.append(Chunk(full, change, before, await octets(conn, name)))
    return done


async def octets(conn: AsyncConnection, chunk: str | None = None) -> int:
    """Heap, columns, indexes and TOAST of one chunk, or of all chunks of the observations. Any edition with chunks."""
    schema = await timescale.hypertable_schema(conn)
    assert schema is not None
    statement = sql.SQL(
        "SELECT COALESCE(sum(total_bytes), 0)::bigint FROM {}.chunks_detailed_size('telemetry.observation')"
        " WHERE chunk_name = COALESCE(%s::text, chunk_name)"
    )
    async with conn.cursor(row_factory=tuple_row) as cursor:
        row = await (await cursor.execute(statement.format(sql.Identifier(schema)), (chunk,))).fetchone()
    assert row is not None
    return int(row[0])


async def _due(conn: AsyncConnection, before: datetime) -> list[tuple[str, str, bool]]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["chunks_to_compress"], {"before": before})
        return [(schema, name, is_compressed) for schema, name, is_compressed in await cursor.fetchall()]

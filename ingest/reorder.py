"""Closed chunks in the order of their key, so that a device's readings of a week stand on a few pages side by side.

They come in as time goes on, mixed over all devices: then each row that a resident's history is made of lies on a page
of its own, and a disk is asked for each. `CLUSTER` writes a chunk anew in the order of `observation_key`, under a lock
that keeps writers and readers of that chunk out while it does. On TimescaleDB, either edition; one plain table cannot
be locked for that long, and is left as it is.
Source: PostgreSQL documentation, `CLUSTER`.
"""

from __future__ import annotations

import enum
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection, errors, sql
from psycopg.rows import tuple_row

from ingest import timescale
from ingest.named_sql import load
from ingest.timescale import Edition

TURN: Final = 0x5F1D_0003
"""Advisory lock key: one process puts one chunk in order."""

MOST_LATE: Final = 1.05
"""A chunk whose heap grew beyond this, late readings behind the ordered ones, is put in order again."""

MOST_IN_USE: Final = 3
"""After so many in a row that are in use, somebody reads everything (`pg_dump` does), and the rest is not asked for."""

_SQL: Final = load("ingest", "sql/reorder.sql")
_LOCK_TIMEOUT: Final = sql.SQL("SET LOCAL lock_timeout = '2s'")
"""Writers and readers queue behind a lock that is asked for: rather give up, and try again later."""


class Ability(enum.StrEnum):
    """Whether this server has chunks."""

    READY = "ready"
    NO_EXTENSION = "no-extension"
    NO_HYPERTABLE = "no-hypertable"


class Change(enum.StrEnum):
    """What happened to a chunk."""

    REORDERED = "reordered"
    REORDERED_AGAIN = "reordered-again"
    """Late readings had come into it."""
    LEFT_IN_USE = "left-in-use"
    """Somebody held it for longer than one may wait for it."""
    LEFT_BUSY = "left-busy"
    """Another process puts a chunk in order."""


LEFT: Final = frozenset({Change.LEFT_IN_USE, Change.LEFT_BUSY})
"""To be tried again before long."""


class Chunk(NamedTuple):
    """A chunk that was, or would be, put in order. octets: its heap before; seconds: for how long nobody else could use
    it, None where it was not done."""

    name: str
    change: Change
    octets: int | None = None
    seconds: float | None = None


class QuietHours(NamedTuple):
    """The hours of the site's day when a chunk may be kept from everybody. Over midnight where they begin later than
    they end; the same hour twice: always."""

    zone: ZoneInfo
    from_hour: int
    until_hour: int

    def are_now(self, now: datetime) -> bool:
        """The hour that begins them is in, the one that ends them is not."""
        hour = now.astimezone(self.zone).hour
        if self.from_hour < self.until_hour:
            return self.from_hour <= hour < self.until_hour
        return self.from_hour == self.until_hour or hour >= self.from_hour or hour < self.until_hour

    def next_after(self, now: datetime) -> timedelta:
        """From now to when they begin next, a day at most (an hour more or less where clocks are changed)."""
        local = now.astimezone(self.zone)
        begin = local.replace(hour=self.from_hour, minute=0, second=0, microsecond=0, fold=0)
        if begin <= local:
            begin += timedelta(days=1)
        return begin.astimezone(UTC) - now


async def ability(conn: AsyncConnection) -> Ability:
    """Ask before anything else."""
    if await timescale.hypertable_schema(conn) is not None:
        return Ability.READY
    return Ability.NO_EXTENSION if await timescale.edition(conn) is Edition.PLAIN else Ability.NO_HYPERTABLE


async def reorder_closed(
    conn: AsyncConnection,
    *,
    older_than: timedelta,
    now: datetime,
    dry_run: bool = False,
    go_on: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Chunk]:
    """Put every chunk in order whose last moment is past for `older_than` and that is not, newest first, on a
    connection in autocommit mode: each in a transaction of its own, then VACUUM ANALYZE. go_on: asked before each.

    Where `ability` is not READY: nothing. Errors: `psycopg.Error`; the chunks done before it stay so.
    """
    if await ability(conn) is not Ability.READY:
        return
    if not dry_run:
        await conn.execute(_SQL["forget_dropped"])
    chunks = await (await conn.execute(_SQL["closed_chunks"], {"before": now - older_than})).fetchall()
    in_use = 0
    for schema, name in chunks:
        if not go_on():
            return
        chunk = await _one(conn, schema, name, dry_run)
        if chunk is None:
            continue
        yield chunk
        in_use = in_use + 1 if chunk.change is Change.LEFT_IN_USE else 0
        if chunk.change is Change.LEFT_BUSY or in_use == MOST_IN_USE:
            return


async def _one(conn: AsyncConnection, schema: str, name: str, dry_run: bool) -> Chunk | None:
    """None: it is in order, or gone."""
    table, full = sql.Identifier(schema, name), f"{schema}.{name}"
    names = {"chunk": full, "schema": schema, "name": name}
    try:
        async with conn.transaction():
            await conn.execute(_LOCK_TIMEOUT)
            if not dry_run and not (await _row(conn, "take_turn", {"lock": TURN}))[0]:
                return Chunk(full, Change.LEFT_BUSY)
            octets, ordered, index = await _row(conn, "standing", names) or (0, None, None)
            if not octets or index is None or (ordered is not None and octets <= ordered * MOST_LATE):
                return None
            change = Change.REORDERED if ordered is None else Change.REORDERED_AGAIN
            if dry_run:
                return Chunk(full, change, octets)
            await conn.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))
            began = time.perf_counter()
            await conn.execute(sql.SQL("CLUSTER {} USING {}").format(table, sql.Identifier(index)))
            await conn.execute(_SQL["put_reordered"], names)
        seconds = time.perf_counter() - began
    except errors.LockNotAvailable:
        return Chunk(full, Change.LEFT_IN_USE)
    except errors.UndefinedTable:
        return None
    # of a table written anew nothing is known to be visible to all; nobody waits for this
    await conn.execute(sql.SQL("VACUUM (ANALYZE) {}").format(table))
    return Chunk(full, change, octets, round(seconds, 3))


async def _row(conn: AsyncConnection, name: str, parameters: dict[str, Any]) -> Any:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        return await (await cursor.execute(_SQL[name], parameters)).fetchone()

"""Letting go of what is older than the site keeps it: nothing unless it is set, nothing that is still to be judged.

Whole chunks go where the table is a hypertable and every kind is old enough; else bounded DELETEs, some devices at a
time, each a transaction of its own, so that no writer waits long and an interrupted run goes on the next day. What is
not judged, or not in the roll-ups, holds the rest of its time back. How far it went stands in `telemetry.let_go`:
roll-ups of that time are not made again from what is left.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection, sql
from psycopg.rows import tuple_row

from devices.nomenclature import KINDS
from ingest import timescale
from ingest.named_sql import load
from ingest.rollup import SQL as ROLLUP
from ingest.rollup import TURN

_SQL: Final = load("ingest", "sql/retention.sql")
_MOST: Final = 5000
"""Rows of one DELETE."""
_DEVICES: Final = 500
_NEAR: Final = timedelta(days=3)
"""What waits with an identity time concerns hours up to a day earlier, and all hours of their day."""
_LOCK_TIMEOUT: Final = sql.SQL("SET LOCAL lock_timeout = '5s'")
"""Writers queue behind a lock that is asked for: rather give up, and try again later."""


class What(enum.StrEnum):
    """The sorts of data, each with a time of its own."""

    OBSERVATIONS = "observations"
    HOURS = "hours"
    DAYS = "days"
    BATCHES = "batches"
    CHANGES = "changes"
    QUARANTINE = "quarantine"


class Held(enum.StrEnum):
    """Why less went than is old enough."""

    NOT_JUDGED = "not-judged"
    NOT_ROLLED_UP = "not-rolled-up"
    CLOCK_AHEAD = "clock-ahead"
    """This machine's clock is a day or more ahead of the database's: nothing goes until somebody has looked at it."""


_RECONCILED: Final = {What.BATCHES: "batch", What.QUARANTINE: "quarantine"}
"""What the books are held against: `ingest.reconcile` must know where it ends."""


@dataclass(frozen=True, slots=True)
class Keep:
    """How long each sort is kept; None: for ever. kinds: of observations by the code of their kind, before
    `observations`; quarantine: resolved rows; batches: judged and rolled-up ones, and assignment changes."""

    observations: timedelta | None = None
    kinds: Mapping[int, timedelta] = field(default_factory=dict)
    hours: timedelta | None = None
    days: timedelta | None = None
    quarantine: timedelta | None = None
    batches: timedelta | None = None

    @property
    def everything(self) -> bool:
        """Nothing is ever removed."""
        times = (self.observations, self.hours, self.days, self.quarantine, self.batches)
        return not self.kinds and all(time is None for time in times)

    def sorts(self) -> tuple[What, ...]:
        """Those of which anything is removed."""
        some = self.observations is not None or self.kinds
        times = (self.hours, self.days, self.batches, self.quarantine)
        others = (What.HOURS, What.DAYS, What.BATCHES, What.QUARANTINE)
        found = tuple(what for what, time in zip(others, times, strict=True) if time is not None)
        return (What.OBSERVATIONS, *found) if some else found


class LetGo(NamedTuple):
    """One sort. before_at: older than this; kinds: empty for all; rows: removed, or to be, None for whole `chunks`;
    held: there is more that is old enough and must wait."""

    what: What
    before_at: datetime
    kinds: tuple[int, ...] = ()
    chunks: tuple[str, ...] = ()
    rows: int | None = None
    held: Held | None = None


async def retain(conn: AsyncConnection, keep: Keep, *, now: datetime, dry_run: bool = False) -> list[LetGo]:
    """Let go of what `keep` says, on a connection in autocommit mode. dry_run: only say it (counting takes its time).

    Errors: `psycopg.Error`; what went before it is gone, the rest waits for the next run.
    """
    run = _Run(conn, now, dry_run)
    if await run.is_ahead():
        return [LetGo(what, now, rows=0, held=Held.CLOCK_AHEAD) for what in keep.sorts()]
    done = await run.observations(keep)
    for what, time, is_table in (
        (What.HOURS, keep.hours, True),
        (What.DAYS, keep.days, True),
        (What.BATCHES, keep.batches, False),
        (What.CHANGES, keep.batches, False),
        (What.QUARANTINE, keep.quarantine, False),
    ):
        if time is not None:
            done.append(await (run.rollups(what, now - time) if is_table else run.rows(what, now - time)))
    return done


class _Run:
    def __init__(self, conn: AsyncConnection, now: datetime, dry_run: bool) -> None:
        self._conn = conn
        self._now = now
        self._dry_run = dry_run

    async def is_ahead(self) -> bool:
        """Of the database's own clock. A clock that jumps years ahead must not let go of years."""
        return bool(await self._value(_SQL["is_ahead"], {"now": self._now}))

    async def observations(self, keep: Keep) -> list[LetGo]:
        times: dict[timedelta, list[int]] = {}
        forever = False
        for kind in KINDS:
            time = keep.kinds.get(kind.code, keep.observations)
            if time is None:
                forever = True
            else:
                times.setdefault(time, []).append(kind.code)
        done = []
        schema = await timescale.hypertable_schema(self._conn)
        if times and not forever and schema is not None:
            # the kinds kept longest go with their chunks, up to a chunk later than asked for
            longest = max(times)
            del times[longest]
            done.append(await self._chunks(schema, self._now - longest))
        for time, kinds in sorted(times.items()):
            done.append(await self._kinds(self._now - time, kinds))
        return done

    async def rollups(self, what: What, before: datetime) -> LetGo:
        async with self._conn.transaction():
            await self._conn.execute(ROLLUP["wait_turn"], {"lock": TURN})
            before, held = await self._not_pending(before, margin=_NEAR)
            before = await self._value(_SQL["local_midnight"], {"before": before}) or before
            if what is What.HOURS and not self._dry_run:
                await self._conn.execute(_SQL["put_let_go"], self._limit("rollup_hour", [0], before))
        parameters = {"before": before}
        if self._dry_run:
            return LetGo(what, before, rows=await self._value(_SQL[f"count_{what.value}"], parameters), held=held)
        return LetGo(what, before, rows=await self._by_devices(_SQL[f"delete_{what.value}"], parameters), held=held)

    async def rows(self, what: What, before: datetime) -> LetGo:
        rows = await self._value(_SQL[f"count_{what.value}"], {"before": before})
        if rows and not self._dry_run:
            if what in _RECONCILED:
                await self._conn.execute(_SQL["put_let_go"], self._limit(_RECONCILED[what], [0], before))
            parameters = {"before": before, "most": _MOST}
            rows = await self._piece_by_piece(_SQL[f"delete_{what.value}"], parameters)
        return LetGo(what, before, rows=rows)

    async def _chunks(self, schema: str, before: datetime) -> LetGo:
        async with self._conn.transaction():
            await self._conn.execute(ROLLUP["wait_turn"], {"lock": TURN})
            if not self._dry_run:
                await self._conn.execute(_LOCK_TIMEOUT)
                await self._conn.execute(_SQL["hold_writers"])
            before, held = await self._not_pending(before)
            cursor = await self._conn.execute(_SQL["old_chunks"], {"before": before})
            chunks = await cursor.fetchall()
            names = tuple(name for name, _ in chunks)
            if not names:
                return LetGo(What.OBSERVATIONS, before, held=held)
            before = chunks[-1][1]
            if not self._dry_run:
                statement = sql.SQL("SELECT {}.drop_chunks('telemetry.observation', %s::timestamptz)")
                await self._conn.execute(statement.format(sql.Identifier(schema)), (before,))
                await self._conn.execute(_SQL["put_let_go"], self._limit("observation", [0], before))
                kinds = [kind.code for kind in KINDS]
                await self._conn.execute(_SQL["delete_odd_identities"], {"before": before, "kinds": kinds})
        return LetGo(What.OBSERVATIONS, before, chunks=names, held=held)

    async def _kinds(self, before: datetime, kinds: list[int]) -> LetGo:
        async with self._conn.transaction():
            # first said, then done: a roll-up in between would be made of what is left
            await self._conn.execute(ROLLUP["wait_turn"], {"lock": TURN})
            before, held = await self._not_pending(before)
            if not self._dry_run:
                await self._conn.execute(_SQL["put_let_go"], self._limit("observation", kinds, before))
        parameters = {"before": before, "kinds": kinds}
        if self._dry_run:
            rows = await self._value(_SQL["count_observations"], parameters)
        else:
            rows = await self._by_devices(_SQL["delete_observations"], parameters)
            await self._conn.execute(_SQL["delete_odd_identities"], parameters)
        return LetGo(What.OBSERVATIONS, before, tuple(kinds), rows=rows, held=held)

    def _limit(self, what: str, kinds: list[int], before: datetime) -> dict[str, Any]:
        return {"what": what, "kinds": kinds, "before": before, "now": self._now}

    async def _not_pending(self, before: datetime, margin: timedelta = timedelta()) -> tuple[datetime, Held | None]:
        cursor = await self._conn.execute(_SQL["pending"])
        row = await cursor.fetchone()
        assert row is not None
        waiting = [
            (at - margin, why)
            for at, why in zip(row, (Held.NOT_JUDGED, Held.NOT_ROLLED_UP), strict=True)
            if at is not None
        ]
        earliest, why = min(waiting, default=(before, None), key=lambda one: one[0])
        return (earliest, why) if earliest < before else (before, None)

    async def _by_devices(self, statement: sql.SQL, parameters: dict[str, Any]) -> int:
        cursor = await self._conn.execute(_SQL["all_devices"])
        devices = [device_id for (device_id,) in await cursor.fetchall()]
        removed = 0
        for start in range(0, len(devices), _DEVICES):
            some = {"devices": devices[start : start + _DEVICES], "most": _MOST}
            removed += await self._piece_by_piece(statement, parameters | some)
        return removed

    async def _piece_by_piece(self, statement: sql.SQL, parameters: dict[str, Any]) -> int:
        removed = 0
        while True:
            piece = (await self._conn.execute(statement, parameters)).rowcount
            removed += piece
            if piece < _MOST:
                return removed

    async def _value(self, statement: sql.SQL, parameters: dict[str, Any]) -> Any:
        async with self._conn.cursor(row_factory=tuple_row) as cursor:
            row = await (await cursor.execute(statement, parameters)).fetchone()
        return None if row is None else row[0]

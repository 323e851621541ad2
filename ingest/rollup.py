"""Roll-ups by hour and by day: exact whenever a reading comes, whoever it turns out to be of, whatever is corrected.

What changed is known without any work in the write path: a new batch by its touches, a reassignment by its
`assignment_change`, a corrected reading by a trigger on UPDATE. `roll_up` makes the hours concerned anew from their
readings and the days from their hours; so late data are one more hour, and doing it twice changes nothing.
A roll-up is kept for each device a subject had, and added up when read: a change concerns one device's readings only.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from devices.observation import NEVER_JUDGED, Fact
from ingest.named_sql import load

LEFT_OUT: Final = int(NEVER_JUDGED | Fact.TIME_FAULT)
"""Readings that no rule may see do not count: impossible, invalid, test, demo, entered in error, at an unknown time.
Simulated ones count for themselves."""

TURN: Final = 0x5F1D_0002
"""Advisory lock key: who rolls up, or lets go, does so alone."""

_MOST_BATCHES: Final = 500
_MOST_READINGS: Final = 50_000
_MOST_CHANGES: Final = 20
_MOST_SPANS: Final = 50
"""Of each in one transaction, so that none takes long."""

SQL: Final = load("ingest", "sql/rollup.sql")


class Turn(enum.StrEnum):
    """How one transaction went."""

    NOTHING_DUE = "nothing-due"
    BUSY = "busy"
    """Another process is at it."""
    ROLLED_UP = "rolled-up"


class Rolled(NamedTuple):
    """hours: hours of a device and kind that were made anew. frozen: those that were not, since retention has removed
    readings of their time."""

    turn: Turn
    batches: int = 0
    changes: int = 0
    spans: int = 0
    hours: int = 0
    frozen: int = 0


class Waiting(NamedTuple):
    """What is not rolled up yet. spans: of corrected readings, or everything after the rule changed."""

    batches: int
    oldest_stored_at: datetime | None
    changes: int
    spans: int


async def roll_up(conn: AsyncConnection, *, zone: str, now: datetime) -> Rolled:
    """Make some of what is due, in one transaction; call it until it says otherwise than `ROLLED_UP`.

    conn: in autocommit mode. zone: IANA name, where the site's hours and days begin. Errors: `psycopg.Error`; then
    nothing is lost, it stays due.
    """
    rule = {"zone": zone, "left_out": LEFT_OUT}
    if not await _value(conn, "is_due", rule):
        return Rolled(Turn.NOTHING_DUE)
    async with conn.transaction():
        if not await _value(conn, "take_turn", {"lock": TURN}):
            return Rolled(Turn.BUSY)
        await _follow_rule(conn, rule)
        due = {
            "batches": await _numbers(conn, "due_batches", {"most": _MOST_BATCHES, "rows": _MOST_READINGS}),
            "changes": await _numbers(conn, "due_changes", {"most": _MOST_CHANGES}),
            "spans": await _numbers(conn, "due_spans", {"most": _MOST_SPANS}),
        }
        hours, frozen = await _make(conn, due, zone)
        # last, so that the monitor waits for no row of a batch while readings are counted
        for name, which in (("mark_batches", "batches"), ("mark_changes", "changes"), ("drop_spans", "spans")):
            if due[which]:
                await conn.execute(SQL[name], {which: due[which], "now": now})
    return Rolled(Turn.ROLLED_UP, len(due["batches"]), len(due["changes"]), len(due["spans"]), hours, frozen)


async def mark_due(conn: AsyncConnection, device_id: int, *, first_at: datetime, last_at: datetime) -> None:
    """Readings of a device with such identity times are not what they were (they were removed, say). In the
    transaction that changes them; an UPDATE of `telemetry.observation` says so by itself."""
    await conn.execute(
        "INSERT INTO telemetry.rollup_due (device_id, first_at, last_at) VALUES (%s, %s, %s)",
        (device_id, first_at, last_at),
    )


async def make_everything_due(conn: AsyncConnection) -> None:
    """All roll-ups are made anew by the next calls of `roll_up`."""
    async with conn.transaction():
        await _value(conn, "wait_turn", {"lock": TURN})
        await conn.execute(SQL["forget_due"])
        await conn.execute(SQL["everything_due"])


async def waiting(conn: AsyncConnection) -> Waiting:
    """How far behind the roll-ups are."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        row = await (await cursor.execute(SQL["waiting"])).fetchone()
    assert row is not None
    return Waiting(*row)


async def _follow_rule(conn: AsyncConnection, rule: dict[str, Any]) -> None:
    """The first run, and the first after the zone or the facts that are left out changed, begin anew."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        before = await (await cursor.execute(SQL["rule"])).fetchone()
    if before == (rule["zone"], rule["left_out"]):
        return
    await conn.execute(SQL["put_rule"], rule)
    if before is not None and before[0] != rule["zone"]:
        await conn.execute(SQL["forget_days"])
    await conn.execute(SQL["forget_due"])
    await conn.execute(SQL["everything_due"])


async def _make(conn: AsyncConnection, due: dict[str, list[int]], zone: str) -> tuple[int, int]:
    """Hours made, hours left as they are."""
    for name in ("make_dirty", "make_day", "make_fresh"):
        await conn.execute(SQL[name])
    for name in ("batches", "changes", "spans"):
        if due[name]:
            await conn.execute(SQL[f"dirty_of_{name}"], {name: due[name], "zone": zone})
    before = await _value(conn, "hours_let_go", None)
    if before is not None:
        await conn.execute(SQL["dirty_whole_days"], {"before": before, "zone": zone})
    frozen = (await conn.execute(SQL["leave_frozen"])).rowcount
    hours: int = await _value(conn, "count_dirty", None)
    if hours:
        await conn.execute(SQL["analyze_dirty"])
        what = {"zone": zone, "left_out": LEFT_OUT, "simulated": int(Fact.SIMULATED)}
        await _replace(conn, "hours", what)
        await conn.execute(SQL["dirty_days"], what)
        await conn.execute(SQL["analyze_days"])
        await _replace(conn, "days", what)
    return hours, frozen


async def _replace(conn: AsyncConnection, which: str, what: dict[str, Any]) -> None:
    """Count the dirty hours or days, then change only what differs."""
    await conn.execute(SQL["empty_fresh"])
    await conn.execute(SQL[f"count_{which}"], what)
    await conn.execute(SQL["analyze_fresh"])
    await conn.execute(SQL[f"drop_gone_{which}"])
    await conn.execute(SQL[f"put_{which}"])


async def _value(conn: AsyncConnection, name: str, parameters: Any) -> Any:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        row = await (await cursor.execute(SQL[name], parameters)).fetchone()
    return None if row is None else row[0]


async def _numbers(conn: AsyncConnection, name: str, parameters: dict[str, int]) -> list[int]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(SQL[name], parameters)
        return [number for (number,) in await cursor.fetchall()]

"""The nurse's queue: one list of alerts, due visits and referral checks, in the order in which they press.

Names are masked unless the viewer holds a claim on this person. Opening an item is a look at a record: it is audited.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row, tuple_row

from ingest.named_sql import load
from monitor import audit, patients
from monitor.access import User, require_clinical
from monitor.desk import Desk
from monitor.explanation import JudgedReading, Sign, ThresholdLine, judged_readings, signs_to_ask, threshold_lines
from monitor.identity import masked_name
from monitor.severity import KIND_ORDER, ItemKind

_SQL: Final = load("monitor", "sql/queue.sql")
_ASKED: Final = frozenset({ItemKind.EMERGENCY, ItemKind.WORSENING, ItemKind.RECHECK})
"""Sections whose items are begun by asking for signs on the telephone."""
_UNASSIGNED_SINCE: Final = timedelta(days=30)
UNASSIGNED_COUNTED: Final = 100
"""More unassigned readings than this are not counted one by one."""

__all__ = ["Event", "Item", "ItemDetail", "JudgedReading", "Queue", "Sign", "ThresholdLine", "detail", "item", "queue"]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the queue. `sex_code`: GB/T 2261.1. `attempts`: calls that reached nobody."""

    followup_id: int
    subject_id: UUID
    kind: str
    severity: str
    state: str
    name_shown: str
    sex_code: str
    age: int
    simulated: bool
    programmes: tuple[str, ...]
    site: str
    sentence_zh: str
    sentence_en: str
    raised_at: datetime
    due_on: date | None
    holder_id: int | None
    holder_name: str | None
    claimed_at: datetime | None
    repeats: int
    late: bool
    attempts: int

    def __repr__(self) -> str:
        return f"Item({self.followup_id}, {self.kind}, {self.state})"


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """`counts`: of every section whatever is filtered, and `all`, `mine`, `unassigned`."""

    items: list[Item]
    counts: dict[str, int]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an item's history. `actor` None: the monitor itself."""

    at: datetime
    actor: str | None
    action: str
    note: str | None


class ItemDetail(msgspec.Struct, frozen=True, kw_only=True):
    """An item that explains itself. `citation`: document, clause, edition. `phone_shown`, `contact_*`: for the holder.
    `conventions`: the declared readings of the text that the finding rests on."""

    item: Item
    rule_id: str | None
    citation: dict[str, str]
    thresholds: list[ThresholdLine]
    readings: list[JudgedReading]
    ask_signs: list[Sign]
    history: list[Event]
    conventions: tuple[str, ...]
    questionable: bool
    phone_shown: str | None
    contact_name_shown: str | None
    contact_phone_shown: str | None

    def __repr__(self) -> str:
        return f"ItemDetail({self.item.followup_id})"


async def queue(
    conn: AsyncConnection[TupleRow],
    *,
    viewer: User,
    desk: Desk,
    now: datetime,
    kind: str | None = None,
    mine: bool = False,
) -> Queue:
    """The open items of the viewer's sites in their order. Raises NotAllowed for a role without clinical detail."""
    require_clinical(viewer)
    values = {
        "sites": list(viewer.sites),
        "user_id": viewer.user_id,
        "kind": kind,
        "holder": viewer.user_id if mine else None,
        "kinds": list(KIND_ORDER),
    }
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["items"], values)
        rows = await cursor.fetchall()
    held = {row["subject_id"] for row in rows if row["holder_id"] == viewer.user_id}
    items = [_item(row, desk, now, revealed=row["subject_id"] in held) for row in rows]
    counts = dict.fromkeys((*KIND_ORDER, "all", "mine"), 0)
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["counts"], values)
        for section, open_items, held_items in await cursor.fetchall():
            counts[section] = open_items
            counts["all"] += open_items
            counts["mine"] += held_items
        # what the judge noted, not a search of the readings table: this runs at every look at the queue
        await cursor.execute(_SQL["count_waiting"], {"since": now - _UNASSIGNED_SINCE, "limit": UNASSIGNED_COUNTED})
        waiting = await cursor.fetchone()
        counts["unassigned"] = int(waiting[0]) if waiting else 0
    return Queue(items=items, counts=counts)


async def item(
    conn: AsyncConnection[TupleRow], followup_id: int, *, viewer: User, desk: Desk, now: datetime
) -> Item | None:
    """One row of the queue, also when closed; None when unknown or outside the viewer's sites."""
    row = await _row(conn, followup_id, viewer)
    return None if row is None else _item(row, desk, now, revealed=row["holder_id"] == viewer.user_id)


async def detail(
    conn: AsyncConnection[TupleRow], followup_id: int, *, viewer: User, desk: Desk, now: datetime
) -> ItemDetail | None:
    """An item with why it stands; None when unknown or outside the viewer's sites. The look is audited."""
    row = await _row(conn, followup_id, viewer)
    if row is None:
        return None
    mine = row["holder_id"] == viewer.user_id
    await audit.record(
        conn,
        actor=viewer.login,
        action="view_followup",
        subject_id=row["subject_id"],
        purpose="claimed" if mine else "",
        detail={"followup": followup_id},
        now=now,
    )
    evidence: dict[str, Any] = row["evidence"] or {}
    pack = desk.pack(evidence.get("programme") or row["programme"] or "")
    reach = await patients.reach(conn, row["subject_id"], viewer=viewer, desk=desk) if mine else None
    return ItemDetail(
        item=_item(row, desk, now, revealed=mine),
        rule_id=row["rule_id"],
        citation=row["citation"],
        thresholds=threshold_lines(evidence, pack),
        readings=await judged_readings(
            conn, row["subject_id"], row["alert_id"], (row["measured_at"], row["last_measured_at"]), evidence
        ),
        ask_signs=signs_to_ask(pack) if row["kind"] in _ASKED else [],
        history=await _history(conn, followup_id, desk),
        conventions=tuple(evidence.get("conventions", ())),
        questionable=bool(evidence.get("questionable", False)),
        phone_shown=reach.phone if reach else None,
        contact_name_shown=reach.contact_name if reach else None,
        contact_phone_shown=reach.contact_phone if reach else None,
    )


async def _row(conn: AsyncConnection[TupleRow], followup_id: int, viewer: User) -> dict[str, Any] | None:
    require_clinical(viewer)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["item"], {"followup_id": followup_id, "sites": list(viewer.sites)})
        return await cursor.fetchone()


async def _history(conn: AsyncConnection[TupleRow], followup_id: int, desk: Desk) -> list[Event]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["events"], {"followup_id": followup_id})
        rows = await cursor.fetchall()
    return [
        Event(
            at=at,
            actor=actor,
            action=action,
            note=desk.keys.unseal(followup_id, "note", key_id, note) if note is not None else None,
        )
        for at, actor, action, note, key_id in rows
    ]


def _item(row: dict[str, Any], desk: Desk, now: datetime, *, revealed: bool) -> Item:
    name = patients.open_name(row, desk.keys)
    return Item(
        followup_id=row["followup_id"],
        subject_id=row["subject_id"],
        kind=row["kind"],
        severity=row["severity"],
        state=row["state"],
        name_shown=name if revealed else masked_name(name),
        sex_code=str(row["sex"]),
        age=patients.age_on(row["birth_date"], desk.day(now)),
        simulated=row["simulated"],
        programmes=tuple(row["programmes"]),
        site=row["site"],
        sentence_zh=row["sentence_zh"],
        sentence_en=row["sentence_en"],
        raised_at=row["raised_at"],
        due_on=row["due_on"],
        holder_id=row["holder_id"],
        holder_name=row["holder_name"],
        claimed_at=row["claimed_at"],
        repeats=row["repeats"],
        late=row["late"],
        attempts=row["attempts"],
    )

"""Opening work items, their history, and telling the desks.

What happens to an item is written to its history and told by `NOTIFY suifang_queue` at commit.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, tuple_row
from psycopg.types.json import Jsonb

from ingest.named_sql import load
from monitor.desk import Desk
from monitor.severity import ItemKind, Severity

_SQL: Final = load("monitor", "sql/followups.sql")


class NewFollowup(msgspec.Struct, frozen=True, kw_only=True):
    """An item to open. `origin`: what the schedule opens it for; the same origin opens once. `citation`: document,
    clause, edition."""

    subject_id: UUID
    kind: ItemKind
    severity: Severity
    sentence_zh: str
    sentence_en: str
    citation: dict[str, str]
    raised_at: datetime
    due_on: date | None = None
    programme: str | None = None
    alert_id: int | None = None
    finding_id: int | None = None
    follows: int | None = None
    origin: str | None = None
    late: bool = False


async def open_followup(conn: AsyncConnection[TupleRow], new: NewFollowup) -> int | None:
    """The new item's id; None when one of this origin was opened before."""
    values = {field: getattr(new, field) for field in new.__struct_fields__}
    values |= {"kind": new.kind.value, "severity": new.severity.value, "citation": Jsonb(new.citation)}
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["open"], values)
        row = await cursor.fetchone()
    if row is None:
        return None
    followup_id = int(row[0])
    await add_event(conn, followup_id, "opened", now=new.raised_at)
    await notify(conn, followup_id, "opened", new.severity)
    return followup_id


async def add_event(
    conn: AsyncConnection[TupleRow],
    followup_id: int,
    action: str,
    *,
    now: datetime,
    user_id: int | None = None,
    note: str = "",
    desk: Desk | None = None,
) -> None:
    """One line of an item's history. A note is sealed like an identity: nurses write names; it needs `desk`."""
    values = {"followup_id": followup_id, "now": now, "user_id": user_id, "action": action}
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["add_event"], values)
        row = await cursor.fetchone()
        if note.strip() and desk is not None:
            sealed = desk.keys.seal(followup_id, "note", note.strip())
            event_id = row[0] if row else None
            await cursor.execute(_SQL["seal_note"], {"event_id": event_id, "note": sealed, "key_id": desk.keys.current})


async def notify(conn: AsyncConnection[TupleRow], followup_id: int, event: str, severity: str) -> None:
    """Tell the desks at commit: no names, no values."""
    payload = msgspec.json.encode({"id": followup_id, "event": event, "severity": str(severity)}).decode()
    await conn.execute(_SQL["notify"], {"payload": payload})

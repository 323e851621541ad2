"""Work items: opening, claiming, giving back, acknowledging, closing with an outcome.

An item is worked by one person at a time: whoever claims first holds it, everybody else is told who does. Each step is
written to the item's history and to the audit trail, and told to the desks (`NOTIFY suifang_queue`) at commit.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row, tuple_row

from ingest.named_sql import load
from monitor import audit
from monitor.access import User, require_clinical
from monitor.alerts import lock_subjects
from monitor.desk import Desk
from monitor.outcomes import OUTCOMES, Outcome
from monitor.severity import PRESSING, ItemKind, Severity
from monitor.workitem import NewFollowup, add_event, notify, open_followup

_SQL: Final = load("monitor", "sql/followups.sql")
REFERRAL_CHECK_AFTER: Final = timedelta(days=14)
"""2011 specification: within 2 weeks, read as 14 calendar days, the last one included."""


class ClaimReason(enum.StrEnum):
    """What became of a claim."""

    CLAIMED = "claimed"
    ALREADY_YOURS = "already_yours"
    HELD_BY_ANOTHER = "held_by_another"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """`holder_name`: who holds it now."""

    reason: ClaimReason
    holder_name: str | None = None


class GiveBackReason(enum.StrEnum):
    """What became of giving an item back."""

    GIVEN_BACK = "given_back"
    NOT_YOURS = "not_yours"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class AcknowledgeReason(enum.StrEnum):
    """What became of an acknowledgement (seen, not taken)."""

    ACKNOWLEDGED = "acknowledged"
    ALREADY = "already"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class CloseReason(enum.StrEnum):
    """What became of closing an item."""

    CLOSED = "closed"
    RETURNED = "returned"  # nobody was reached: the item waits in the queue again
    NOT_YOURS = "not_yours"
    ALREADY_CLOSED = "already_closed"
    NOTE_REQUIRED = "note_required"
    UNKNOWN = "unknown"


class CloseResult(msgspec.Struct, frozen=True, kw_only=True):
    """`opened`: the referral check that a referral opened. `also_closed`: other items that the outcome ended."""

    reason: CloseReason
    opened: int | None = None
    also_closed: tuple[int, ...] = ()


async def claim(conn: AsyncConnection[TupleRow], followup_id: int, *, user: User, now: datetime) -> ClaimResult:
    """Take an item. The first transaction wins; the second waits for it and is told who holds the item."""
    row = await _lock(conn, followup_id, user)
    if row is None:
        return ClaimResult(reason=ClaimReason.UNKNOWN)
    if row["state"] == "closed":
        return ClaimResult(reason=ClaimReason.CLOSED)
    if row["holder_id"] == user.user_id:
        return ClaimResult(reason=ClaimReason.ALREADY_YOURS, holder_name=user.name)
    if row["holder_id"] is not None:
        return ClaimResult(reason=ClaimReason.HELD_BY_ANOTHER, holder_name=await _name(conn, row["holder_id"]))
    await conn.execute(_SQL["claim"], {"followup_id": followup_id, "user_id": user.user_id, "now": now})
    await _step(conn, row, "claimed", user=user, now=now)
    return ClaimResult(reason=ClaimReason.CLAIMED, holder_name=user.name)


async def give_back(conn: AsyncConnection[TupleRow], followup_id: int, *, user: User, now: datetime) -> GiveBackReason:
    """Let go of an item: it waits again, unacknowledged."""
    row = await _lock(conn, followup_id, user)
    if row is None:
        return GiveBackReason.UNKNOWN
    if row["state"] == "closed":
        return GiveBackReason.CLOSED
    if row["holder_id"] != user.user_id:
        return GiveBackReason.NOT_YOURS
    await conn.execute(_SQL["return"], {"followup_id": followup_id, "attempts": 0})
    await _step(conn, row, "given_back", user=user, now=now)
    return GiveBackReason.GIVEN_BACK


async def acknowledge(
    conn: AsyncConnection[TupleRow], followup_id: int, *, user: User, now: datetime
) -> AcknowledgeReason:
    """Say that somebody has seen it, without taking it."""
    row = await _lock(conn, followup_id, user)
    if row is None:
        return AcknowledgeReason.UNKNOWN
    if row["state"] == "closed":
        return AcknowledgeReason.CLOSED
    if row["acknowledged_at"] is not None:
        return AcknowledgeReason.ALREADY
    await conn.execute(_SQL["acknowledge"], {"followup_id": followup_id, "user_id": user.user_id, "now": now})
    await _step(conn, row, "acknowledged", user=user, now=now)
    return AcknowledgeReason.ACKNOWLEDGED


async def close(
    conn: AsyncConnection[TupleRow],
    followup_id: int,
    *,
    user: User,
    outcome: Outcome,
    note: str = "",
    desk: Desk,
    now: datetime,
) -> CloseResult:
    """End an item that the user holds. The last open item of an alert ends its episode too.

    A referral opens its check due in 14 days; a death or a move ends every open item of the person; an emergency is not
    ended by a wrong number, nor any item by a call nobody took: they wait in the queue again.
    """
    rule = OUTCOMES[outcome]
    if rule.patient_state is not None:
        await _lock_resident(conn, followup_id)
    row = await _lock(conn, followup_id, user)
    if row is None:
        return CloseResult(reason=CloseReason.UNKNOWN)
    if row["state"] == "closed":
        return CloseResult(reason=CloseReason.ALREADY_CLOSED)
    if row["holder_id"] != user.user_id:
        return CloseResult(reason=CloseReason.NOT_YOURS)
    if rule.note_required and not note.strip():
        return CloseResult(reason=CloseReason.NOTE_REQUIRED)
    pressing = row["severity"] in PRESSING
    if rule.returns or (rule.returns_pressing and pressing):
        await conn.execute(_SQL["return"], {"followup_id": followup_id, "attempts": 1})
        await _step(conn, row, outcome.value, user=user, now=now, note=note, desk=desk)
        return CloseResult(reason=CloseReason.RETURNED)
    await _end(conn, row, outcome, user=user, now=now, note=note, desk=desk)
    opened = await _open_referral_check(conn, row, desk, now) if outcome is Outcome.REFERRED else None
    also: list[int] = []
    if rule.patient_state is not None:
        await conn.execute(
            _SQL["set_state"], {"subject_id": row["subject_id"], "state": rule.patient_state, "since": desk.day(now)}
        )
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_SQL["others_open"], {"subject_id": row["subject_id"], "followup_id": followup_id})
            for other in await cursor.fetchall():
                await _end(conn, other | {"subject_id": row["subject_id"]}, outcome, user=user, now=now)
                also.append(other["followup_id"])
    return CloseResult(reason=CloseReason.CLOSED, opened=opened, also_closed=tuple(also))


async def end_by_visit(
    conn: AsyncConnection[TupleRow],
    subject_id: UUID,
    programme: str,
    *,
    visited_at: datetime,
    user: User | None,
    now: datetime,
) -> tuple[int, ...]:
    """Close the recheck, two-weeks and regular items of a programme that a visit answered, whoever holds them."""
    await lock_subjects(conn, [subject_id])
    async with conn.cursor(row_factory=dict_row) as cursor:
        values = {"subject_id": subject_id, "programme": programme, "visited_at": visited_at}
        await cursor.execute(_SQL["answered_by_visit"], values)
        rows = await cursor.fetchall()
    for row in rows:
        await _end(conn, row, Outcome.VISIT_DONE, user=user, now=now)
    return tuple(row["followup_id"] for row in rows)


async def _lock_resident(conn: AsyncConnection[TupleRow], followup_id: int) -> None:
    """Before several items of one resident are locked: the resident first, as judging does, so that nobody waits in a
    ring."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["subject_of"], {"followup_id": followup_id})
        await lock_subjects(conn, [subject_id for (subject_id,) in await cursor.fetchall()])


async def _lock(conn: AsyncConnection[TupleRow], followup_id: int, user: User) -> dict[str, Any] | None:
    require_clinical(user)
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["lock"], {"followup_id": followup_id, "sites": list(user.sites)})
        return await cursor.fetchone()


async def _name(conn: AsyncConnection[TupleRow], user_id: int) -> str | None:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["user_name"], {"user_id": user_id})
        row = await cursor.fetchone()
    return str(row[0]) if row else None


async def _step(
    conn: AsyncConnection[TupleRow],
    row: dict[str, Any],
    action: str,
    *,
    user: User | None,
    now: datetime,
    note: str = "",
    desk: Desk | None = None,
    event: str = "changed",
) -> None:
    followup_id = row["followup_id"]
    await add_event(conn, followup_id, action, user_id=user.user_id if user else None, now=now, note=note, desk=desk)
    await audit.record(
        conn,
        actor=user.login if user else "monitor",
        action=f"followup_{action}",
        subject_id=row["subject_id"],
        detail={"followup": followup_id},
        now=now,
    )
    await notify(conn, followup_id, event, row["severity"])


async def _end(
    conn: AsyncConnection[TupleRow],
    row: dict[str, Any],
    outcome: Outcome,
    *,
    user: User | None,
    now: datetime,
    note: str = "",
    desk: Desk | None = None,
) -> None:
    await conn.execute(
        _SQL["close"],
        {"followup_id": row["followup_id"], "outcome": outcome.value, "user_id": user and user.user_id, "now": now},
    )
    if row["alert_id"] is not None:
        handled_at = now if OUTCOMES[outcome].reached else None
        await conn.execute(_SQL["close_episode"], {"alert_id": row["alert_id"], "now": now, "handled_at": handled_at})
    await _step(conn, row, outcome.value, user=user, now=now, note=note, desk=desk, event="closed")


async def _open_referral_check(
    conn: AsyncConnection[TupleRow], row: dict[str, Any], desk: Desk, now: datetime
) -> int | None:
    # not of the same alert: the episode ends with the referral, so that the next emergency pages again
    referred_on = desk.day(now)
    return await open_followup(
        conn,
        NewFollowup(
            subject_id=row["subject_id"],
            kind=ItemKind.REFERRAL_CHECK,
            severity=Severity.DUE,
            sentence_zh=f"{referred_on:%m-%d} 已转诊，两周内核实转诊结果。",
            sentence_en=f"Referred on {referred_on:%m-%d}; look at the referral's result within two weeks.",
            citation=row["citation"],
            raised_at=now,
            due_on=referred_on + REFERRAL_CHECK_AFTER,
            programme=row.get("programme"),
            follows=row["followup_id"],
            origin=f"referral_check:followup:{row['followup_id']}",
        ),
    )

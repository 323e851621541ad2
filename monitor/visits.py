"""Follow-up visits that took place: kept, shown, and told to the rules as records.

A recorded visit ends the items that asked for it, so that the queue shows nobody who has already come.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row, tuple_row
from psycopg.types.json import Jsonb

from ingest.named_sql import load
from monitor import audit
from monitor.access import User
from monitor.evaluation_record import Measured, Record, RecordKind, exact
from monitor.followups import end_by_visit

_SQL: Final = load("monitor", "sql/visits.sql")

_UNITS: Final = {
    "sbp": "mm[Hg]",
    "dbp": "mm[Hg]",
    "glucose": "mmol/L",
    "heart_rate": "/min",
    "body_temperature": "Cel",
}
_FLAGS: Final = ("adverse_reaction", "reaction_hard_to_control", "other_disease_cannot_handle")
_CHOICES: Final = ("glucose_context", "complication")

Observed = Mapping[str, float | str | bool | list[int] | list[str] | None]


class NewVisit(msgspec.Struct, frozen=True, kw_only=True):
    """A visit to keep. `mode`: 1 clinic, 2 home, 3 telephone. `classification`: as signed, 1–4.

    observed: sbp, dbp (mmHg), glucose (mmol/L) with glucose_context, heart_rate, body_temperature (°C), the form's
    symptoms (codes), emergency signs by name, adverse_reaction, reaction_hard_to_control, complication, weight …
    """

    subject_id: UUID
    programme: str
    edition: str
    visited_at: datetime
    mode: int
    classification: int | None = None
    observed: Observed = {}
    next_on: date | None = None


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A visit as kept. `recorded_by`: the staff member's name, None for one that was imported."""

    visit_id: int
    subject_id: UUID
    programme: str
    edition: str
    visited_at: datetime
    mode: int
    classification: int | None
    observed: dict[str, Any]
    next_on: date | None
    recorded_by: str | None
    recorded_at: datetime


async def record_visit(
    conn: AsyncConnection[TupleRow], new: NewVisit, *, user: User | None, now: datetime
) -> int | None:
    """Keep a visit; its id, or None when this very visit is kept already. Ends what waited for it."""
    values = {field: getattr(new, field) for field in new.__struct_fields__}
    values |= {"observed": Jsonb(dict(new.observed)), "recorded_by": user and user.user_id, "now": now}
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["add"], values)
        row = await cursor.fetchone()
    if row is None:
        return None
    visit_id = int(row[0])
    actor = user.login if user else "import"
    detail: audit.Detail = {"visit": visit_id, "programme": new.programme}
    await audit.record(conn, actor=actor, action="record_visit", subject_id=new.subject_id, detail=detail, now=now)
    await end_by_visit(conn, new.subject_id, new.programme, visited_at=new.visited_at, user=user, now=now)
    return visit_id


async def visits(conn: AsyncConnection[TupleRow], subject_id: UUID) -> list[Visit]:
    """One person's visits, newest first."""
    return (await visits_of(conn, [subject_id])).get(subject_id, [])


async def visits_of(conn: AsyncConnection[TupleRow], subject_ids: list[UUID]) -> dict[UUID, list[Visit]]:
    """Visits of many, newest first, in one query."""
    found: dict[UUID, list[Visit]] = {}
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["of_subjects"], {"subject_ids": subject_ids})
        for row in await cursor.fetchall():
            found.setdefault(row["subject_id"], []).append(Visit(**row))
    return found


def visit_record(visit: Visit, zone: ZoneInfo) -> Record:
    """A visit as the rules see it."""
    seen = visit.observed
    return Record(
        kind=RecordKind.VISIT,
        on=visit.visited_at.astimezone(zone).date(),
        at=visit.visited_at,
        programme=visit.programme,
        mode=visit.mode,
        quantities={
            fact: Measured(exact(seen[fact]), unit) for fact, unit in _UNITS.items() if seen.get(fact) is not None
        },
        choices={name: seen[name] for name in _CHOICES if name in seen},
        flags={name: seen[name] for name in _FLAGS if name in seen},
        signs=frozenset(seen.get("signs") or ()),
        symptoms=tuple(seen.get("symptoms") or ()),
        symptom_severity=seen.get("symptom_severity"),
        visit_class=visit.classification,
        source="visit",
        reference=f"visit:{visit.visit_id}",
    )

"""Residents: the list with masked names, and the page of one person. Every look is audited by `monitor.patients`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Form
from fastapi.responses import HTMLResponse
from psycopg.rows import dict_row

from devices.nomenclature import KINDS
from ingest.named_sql import load
from ingest.observations import devices_of, latest_moments, window
from monitor import patients, visits
from monitor import queue as work
from monitor.errors import UnknownResident
from monitor.identity import masked_name
from monitor.patients import Identity
from monitor.severity import Severity
from monitor.web import wording
from monitor.web.failures import Unseen
from monitor.web.limits_view import limit_rows, pressure_limits
from monitor.web.queue_pages import frame
from monitor.web.queue_rows import MARKS, programme_word, row_of
from monitor.web.reading_view import stored_view
from monitor.web.resident_view import (
    SPAN_WORDS,
    SPANS,
    device_views,
    glucose_trend,
    head_of,
    line_trends,
    next_steps,
    pressure_trend,
    recent,
)
from monitor.web.sensor_view import SENSED, sensed_view
from monitor.web.viewing import Looking, SignedIn, render

router = APIRouter()
_SQL: Final = load("monitor.web", "sql/residents.sql")
FIRST_RESIDENTS: Final = 100
READINGS_SHOWN: Final = 12
_LISTED: Final = sorted({kind.concept for kind in KINDS} - {SENSED})
PURPOSES: Final = ("call", "identity", "referral", "other")


@dataclass(frozen=True, slots=True)
class ListedResident:
    """One line of the residents list."""

    subject_id: UUID
    name: str
    simulated: bool
    sex: str
    age: int
    record_code: str
    programmes: str
    site: str
    latest: str
    open_items: int
    css: str
    icon: str
    word: str
    followup_id: int | None


@router.get("/residents")
async def residents_page(looking: SignedIn, find: str = "") -> HTMLResponse:
    """The residents of the viewer's sites, those with pressing items first; or those an exact number finds."""
    among = None
    number = find.strip()
    if number:
        among = await patients.find(
            looking.conn, number=number, viewer=looking.user, desk=looking.shared.desk, now=looking.viewing.now
        )
    return render(
        looking.shared,
        looking.viewing,
        "residents.html",
        **await frame(looking, "residents", None),
        listed=await _listed(looking, among),
        find=number,
        at_most=FIRST_RESIDENTS,
    )


@router.get("/residents/{subject_id}")
async def resident_page(looking: SignedIn, subject_id: UUID, span: str = "3m") -> HTMLResponse:
    """One resident: trends, readings, what is open, what is next."""
    return await _resident(looking, subject_id, span, None)


@router.post("/residents/{subject_id}/reveal")
async def reveal(
    looking: SignedIn, subject_id: UUID, purpose: Annotated[str, Form()] = "", span: Annotated[str, Form()] = "3m"
) -> HTMLResponse:
    """Show name, phone and ID number on this one answer; who, when and for what is logged."""
    if purpose not in PURPOSES:
        return await _resident(looking, subject_id, span, None)
    try:
        shown = await patients.reveal(
            looking.conn,
            subject_id,
            user=looking.user,
            purpose=purpose,
            desk=looking.shared.desk,
            now=looking.viewing.now,
        )
    except UnknownResident as unknown:
        raise Unseen from unknown
    return await _resident(looking, subject_id, span, shown)


async def _resident(looking: Looking, subject_id: UUID, span: str, shown: Identity | None) -> HTMLResponse:
    viewing, conn, desk = looking.viewing, looking.conn, looking.shared.desk
    try:
        header = await patients.header(conn, subject_id, viewer=looking.user, desk=desk, now=viewing.now)
    except UnknownResident as unknown:
        raise Unseen from unknown
    chosen = span if span in SPANS else "3m"
    length = SPANS[chosen]
    readings = await window(
        conn,
        subject_id,
        since=viewing.now - max(length, timedelta(days=14)),
        until=viewing.now + timedelta(minutes=5),
        concepts=_LISTED,
    )
    visited = await visits.visits(conn, subject_id)
    found = await work.queue(conn, viewer=looking.user, desk=desk, now=viewing.now)
    items = [item for item in found.items if item.subject_id == subject_id]
    limits = pressure_limits(desk)
    pack = desk.pack("hypertension")
    t = viewing.t
    glucose = glucose_trend(looking, readings, length)
    lines, lines_are = line_trends(looking, readings, length, alone=glucose is None)
    if not lines:
        glucose = glucose_trend(looking, readings, length, alone=True)
    return render(
        looking.shared,
        viewing,
        "resident.html",
        **await frame(looking, "residents", None, except_subject=subject_id),
        subject_id=subject_id,
        head=head_of(header, viewing, shown),
        just_shown=shown is not None,
        purposes=[(purpose, t(f"resident.purpose_{purpose}")) for purpose in PURPOSES],
        span=chosen,
        spans=[(name, t(f"resident.{SPAN_WORDS[name]}")) for name in SPANS],
        edition=t(
            "resident.edition", edition=pack.edition, goal=f"< {limits.systolic_goal:.0f}/{limits.diastolic_goal:.0f}"
        )
        if pack and limits
        else "",
        pressure=pressure_trend(looking, readings, visited, length),
        glucose=glucose,
        sensed=await sensed_view(conn, subject_id, viewing, length, simulated=header.resident.simulated),
        lines=lines,
        lines_are=lines_are,
        readings=[stored_view(reading, viewing) for reading in reversed(readings[-READINGS_SHOWN:])],
        items=[row_of(item, viewing) for item in items],
        steps=next_steps(items, viewing),
        limits=limit_rows(desk, t),
        events=recent(visited, viewing),
        devices=device_views(await devices_of(conn, subject_id, viewing.now), viewing),
        printed_at=wording.moment(viewing.now, viewing.now, viewing.zone, t),
    )


async def _listed(looking: Looking, among: list[UUID] | None) -> list[ListedResident]:
    viewing, desk = looking.viewing, looking.shared.desk
    t = viewing.t
    async with looking.conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(
            _SQL["residents"],
            {
                "sites": list(looking.user.sites),
                "among": among,
                "limit": FIRST_RESIDENTS,
                "severities": [severity.value for severity in Severity],
            },
        )
        rows: list[dict[str, Any]] = await cursor.fetchall()
    measured = await latest_moments(looking.conn, [row["subject_id"] for row in rows])
    listed = []
    for row in rows:
        newest = measured.get(row["subject_id"])
        severity = Severity(row["severity"]) if row["severity"] else None
        css, icon = MARKS[severity] if severity else ("", "")
        code = row["record_code"][-8:] if row["record_code"] else ""
        listed.append(
            ListedResident(
                subject_id=row["subject_id"],
                name=masked_name(patients.open_name(row, desk.keys)),
                simulated=row["simulated"],
                sex=t(f"sex.{row['sex']}"),
                age=patients.age_on(row["birth_date"], desk.day(viewing.now)),
                record_code=f"{code[:3]}-{code[3:]}" if code else "",
                programmes=" · ".join(programme_word(name, t) for name in row["programmes"]),
                site=row["site"],
                latest=wording.day(newest, viewing.now, viewing.zone, t) if newest else "",
                open_items=row["open_items"],
                css=css,
                icon=icon,
                word=t(f"severity.{severity.value}") if severity else "",
                followup_id=row["followup_id"],
            )
        )
    return listed

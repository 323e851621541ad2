"""Work that the calendar opens: the visit two weeks after an unsatisfactory one, a referral's check, the regular visit.

What a visit asks for is the pack's rule, applied to the latest visit of each programme. The regular visit falls due
`pace` after the last one face to face, or on the date its doctor set: the 2011 text asks for at least four a year and
prints no interval, so the pace is a setting and a convention of this project. Opening is idempotent: an item's origin
names what it was opened for.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, tuple_row

from ingest.errors import DatabaseUnavailable
from ingest.named_sql import load
from monitor.database import connect
from monitor.desk import Desk
from monitor.evaluation import evaluate
from monitor.evaluation_finding import Finding
from monitor.evaluation_record import Record
from monitor.evaluation_year import face_to_face_days
from monitor.patients import Resident, residents, rule_resident
from monitor.programme_pack import Pack
from monitor.severity import ItemKind, Severity
from monitor.visits import Visit, visit_record, visits_of
from monitor.workitem import NewFollowup, open_followup

_SQL: Final = load("monitor", "sql/schedule.sql")
_CHUNK: Final = 500
_RETRY_AFTER: Final = timedelta(minutes=1)

log = structlog.get_logger(__name__)


async def open_due(
    conn: AsyncConnection[TupleRow], *, desk: Desk, pace: timedelta, now: datetime
) -> Counter[ItemKind] | None:
    """Open what is due today, in one transaction; how many of each kind. None: another process is at it."""
    opened: Counter[ItemKind] = Counter()
    async with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["only_one"])
        row = await cursor.fetchone()
        if row is None or not row[0]:
            return None
        after = UUID(int=0)
        while True:
            await cursor.execute(_SQL["registered"], {"after": after, "limit": _CHUNK})
            subjects = [subject_id for (subject_id,) in await cursor.fetchall()]
            if not subjects:
                return opened
            after = subjects[-1]
            opened += await open_due_for(conn, subjects, desk=desk, pace=pace, now=now)


async def open_due_for(
    conn: AsyncConnection[TupleRow], subjects: Sequence[UUID], *, desk: Desk, pace: timedelta, now: datetime
) -> Counter[ItemKind]:
    """The same for some residents, in the caller's transaction: after a visit was recorded."""
    opened: Counter[ItemKind] = Counter()
    people = await residents(conn, subjects)
    visits = await visits_of(conn, list(subjects))
    cursor = await conn.execute(_SQL["open_programmes"], {"subject_ids": list(subjects)})
    busy = set(await cursor.fetchall())
    for subject_id, person in people.items():
        if person.state != "active":
            continue
        for new in due_items(person, visits.get(subject_id, []), desk=desk, pace=pace, now=now):
            if new.kind is ItemKind.REGULAR and (subject_id, new.programme) in busy:
                continue  # what waits already brings the person in
            if await open_followup(conn, new) is not None:
                opened[new.kind] += 1
    return opened


def due_items(
    resident: Resident, visits: Sequence[Visit], *, desk: Desk, pace: timedelta, now: datetime
) -> list[NewFollowup]:
    """What is due for one resident, given their visits newest first. At most one item a programme."""
    today = desk.day(now)
    records = {visit.visit_id: visit_record(visit, desk.zone) for visit in visits}
    items: list[NewFollowup] = []
    for register in resident.registers:
        pack = desk.pack(register.programme)
        if pack is None:
            continue
        last = next((visit for visit in visits if visit.programme == pack.programme), None)
        asked = _asked_by(pack, resident, last, records, now)
        item = asked or _regular(pack, resident, register.since, last, records, pace=pace, today=today, now=now)
        if item is not None:
            items.append(item)
    return items


async def run_schedule(
    url: str, *, desk: Desk, pace: timedelta, hour: int, clock: Callable[[], datetime], stop: asyncio.Event
) -> None:
    """Open what is due at start and every day at `hour` of the site, until `stop` is set."""
    while not stop.is_set():
        try:
            async with await connect(url) as conn:
                opened = await open_due(conn, desk=desk, pace=pace, now=clock())
            if opened is not None:
                log.info("schedule opened", **{kind.value: count for kind, count in opened.items()})
            wait = until_hour(clock(), hour, desk)
        except (psycopg.OperationalError, DatabaseUnavailable) as error:
            log.warning("schedule could not run, trying again", error=type(error).__name__)
            wait = _RETRY_AFTER
        try:
            await asyncio.wait_for(stop.wait(), timeout=wait.total_seconds())
        except TimeoutError:
            continue


def until_hour(now: datetime, hour: int, desk: Desk) -> timedelta:
    """From now to the next time the site's clock shows that full hour."""
    local = now.astimezone(desk.zone)
    at = datetime.combine(local.date(), time(hour), desk.zone)
    if at <= local:
        at = datetime.combine(local.date() + timedelta(days=1), time(hour), desk.zone)
    return at - now


def _asked_by(
    pack: Pack, resident: Resident, last: Visit | None, records: Mapping[int, Record], now: datetime
) -> NewFollowup | None:
    if last is None:
        return None
    judged = evaluate(pack, rule_resident(resident), records.values(), records[last.visit_id])
    wanted = [f for f in judged.findings if f.queue not in (None, ItemKind.REGULAR)]
    if not wanted:
        return None
    finding = min(wanted, key=lambda f: f.severity.rank)
    kind, severity = _place(finding)
    return NewFollowup(
        subject_id=resident.subject_id,
        kind=kind,
        severity=severity,
        sentence_zh=finding.sentence_zh,
        sentence_en=finding.sentence_en,
        citation={"document": pack.document.title, "clause": finding.clause, "edition": pack.edition},
        raised_at=now,
        due_on=finding.due,
        programme=pack.programme,
        origin=f"visit:{last.visit_id}",
    )


def _place(finding: Finding) -> tuple[ItemKind, Severity]:
    # an emergency found at a visit was handled there; what is left is the check of its referral
    if finding.severity is Severity.EMERGENCY:
        return ItemKind.REFERRAL_CHECK, Severity.DUE
    assert finding.queue is not None
    return finding.queue, finding.severity


def _regular(
    pack: Pack,
    resident: Resident,
    since: date,
    last: Visit | None,
    records: Mapping[int, Record],
    *,
    pace: timedelta,
    today: date,
    now: datetime,
) -> NewFollowup | None:
    days = face_to_face_days(pack, rule_resident(resident), records.values())
    seen = days[-1] if days else None
    due = (seen or since) + pace
    if last is not None and last.next_on is not None:
        due = min(due, last.next_on)
    if due > today or not pack.effective.covers(today):
        return None
    round_no = (today - due) // pace  # asked again each pace while nobody comes
    needed = pack.limits[pack.schedule.face_to_face.limit].value
    title = pack.title
    before_zh = f"上次面对面随访 {seen:%Y-%m-%d}" if seen else f"{since:%Y-%m-%d} 纳入管理后还没有面对面随访"
    before_en = (
        f"last seen face to face {seen:%Y-%m-%d}" if seen else f"on the register since {since:%Y-%m-%d}, not seen"
    )
    return NewFollowup(
        subject_id=resident.subject_id,
        kind=ItemKind.REGULAR,
        severity=Severity.ROUTINE,
        sentence_zh=f"{title.zh}：{before_zh}，应在 {due:%m-%d} 前安排随访（每年面对面不少于 {needed} 次）。",
        sentence_en=f"{title.en}: {before_en}; visit due by {due:%m-%d} (at least {needed} a year face to face).",
        citation={
            "document": pack.document.title,
            "clause": pack.clause_text(pack.schedule.face_to_face.cite),
            "edition": pack.edition,
        },
        raised_at=now,
        due_on=due,
        programme=pack.programme,
        origin=f"regular:{pack.programme}:{resident.subject_id}:{due}:{round_no}",
    )

"""One batch of stored readings, judged: claimed, evaluated and raised in one transaction.

A subject's readings are judged by measured time: every reading from the earliest new one on is judged again with the
history it has now, so that the order of arrival changes nothing; what was raised before is not raised twice. Queries
are one a subject, not one a reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ingest.named_sql import load
from ingest.observations import StoredObservation, batch_observations, claim_batch, mark_judged, window
from monitor.alerts import RaisedReason, known_findings, lock_subjects, raise_alert, restate
from monitor.desk import Desk
from monitor.episodes import Teller, open_episodes, retell
from monitor.errors import MonitorError
from monitor.evaluation_finding import NotJudged
from monitor.evaluation_record import Record
from monitor.evidence import device_reading, evidence_key
from monitor.judging import LiveRules, judge_reading
from monitor.patients import Resident, residents, rule_resident
from monitor.severity import ItemKind, Severity
from monitor.unjudged import MISMATCHES, Unjudged, why_barred, why_unjudged
from monitor.visits import visit_record, visits_of
from monitor.workitem import NewFollowup, open_followup

_SQL: Final = load("monitor", "sql/alerts.sql")
_RULE_FAILURES: Final = (MonitorError, ArithmeticError, LookupError, ValueError, TypeError, psycopg.DataError)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bench:
    """What judging needs besides the readings. `history`: how far back of the earliest new reading the rules look."""

    desk: Desk
    rules: LiveRules
    history: timedelta


@dataclass(slots=True)
class Judged:
    """What became of one batch. `unassigned` readings wait for an assignment."""

    batch_id: int
    readings: int
    unassigned: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)
    raised: Counter[RaisedReason] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One transaction's work."""

    conn: AsyncConnection[TupleRow]
    bench: Bench
    now: datetime
    judged: Judged
    with_episodes: set[UUID] = field(default_factory=set)


async def judge_next_batch(conn: AsyncConnection[TupleRow], bench: Bench, *, now: datetime) -> Judged | None:
    """Judge the oldest unjudged batch that nobody holds; None when there is none. Commits all of it or nothing."""
    async with conn.transaction():
        batch = await claim_batch(conn)
        if batch is None:
            return None
        readings = await batch_observations(conn, batch)
        turn = _Turn(conn, bench, now, Judged(batch.batch_id, len(readings)))
        by_subject: dict[UUID, list[StoredObservation]] = {}
        for reading in readings:
            if reading.subject_id is not None:
                by_subject.setdefault(reading.subject_id, []).append(reading)
        await _note_waiting(turn, [reading for reading in readings if reading.subject_id is None])
        await lock_subjects(conn, by_subject)
        people = await residents(conn, by_subject)
        visits = await visits_of(conn, list(people))
        turn.with_episodes.update(await open_episodes(conn, list(people)))
        for subject_id in sorted(by_subject):
            person = people.get(subject_id)
            fresh = await _let_through(turn, person, by_subject[subject_id])
            if person is not None and fresh:
                seen = [visit_record(visit, bench.desk.zone) for visit in visits.get(subject_id, ())]
                await _judge_subject(turn, person, fresh, seen)
        await mark_judged(conn, batch.batch_id, now)
    return turn.judged


async def _note_waiting(turn: _Turn, readings: Sequence[StoredObservation]) -> None:
    turn.judged.unassigned = len(readings)
    async with turn.conn.cursor() as cursor:
        await cursor.executemany(
            _SQL["note_waiting"],
            [
                {
                    "evidence_key": evidence_key(reading),
                    "device_id": reading.device_id,
                    "user_slot": reading.user_slot,
                    "session_uid": reading.session_uid,
                    "measured_at": reading.measured_at,
                    "now": turn.now,
                }
                for reading in readings
            ],
        )


async def _let_through(
    turn: _Turn, resident: Resident | None, readings: Sequence[StoredObservation]
) -> list[StoredObservation]:
    """The readings that rules may see; the others are noted with the reason."""
    fresh: list[StoredObservation] = []
    for reading in readings:
        why = why_unjudged(reading, resident, turn.bench.desk.packs, turn.bench.rules, turn.now)
        if why is None:
            fresh.append(reading)
        elif why is NotJudged.NO_RULE:
            turn.judged.unjudged[why.value] += 1
        else:
            await _note(turn, reading, why.value)
            if resident is not None and why in MISMATCHES:
                await _report_mismatch(turn, reading, resident)
    return fresh


async def _judge_subject(
    turn: _Turn, resident: Resident, fresh: Sequence[StoredObservation], visits: Sequence[Record]
) -> None:
    try:
        async with turn.conn.transaction():
            raised = await _raise_findings(turn, resident, fresh, visits)
    except _RULE_FAILURES:
        # one person's readings must not keep everybody else's from being judged
        log.exception("judging failed", subject_id=str(resident.subject_id), batch_id=turn.judged.batch_id)
        for reading in fresh:
            await _note(turn, reading, Unjudged.JUDGING_FAILED.value)
        await _report_failure(turn, resident)
    else:
        turn.judged.raised.update(raised)


async def _raise_findings(
    turn: _Turn, resident: Resident, fresh: Sequence[StoredObservation], visits: Sequence[Record]
) -> Counter[RaisedReason]:
    conn, bench, now = turn.conn, turn.bench, turn.now
    raised: Counter[RaisedReason] = Counter()
    earliest = min(reading.measured_at for reading in fresh)
    stored = await window(
        conn,
        resident.subject_id,
        since=earliest - bench.history,
        until=now + bench.rules.future_tolerance,
        concepts={reading.concept for reading in fresh},
    )
    allowed = [device_reading(reading) for reading in stored if why_barred(reading, resident) is None]
    known = await known_findings(conn, resident.subject_id, since=earliest)
    person = rule_resident(resident)
    conditions = {reading.concept for reading in fresh}
    for index, reading in enumerate(allowed):
        if reading.measured_at < earliest:
            continue
        for finding in judge_reading(
            bench.desk.packs, person, allowed[:index], reading, now, visits=visits, rules=bench.rules
        ):
            if (finding.rule, reading.reference) in known:
                said = known[finding.rule, reading.reference]
                if said is not None and finding.told_zh is not None and said != finding.told_zh.head:
                    await restate(conn, resident.subject_id, finding, reading.reference)
                continue
            conditions.add(finding.condition)
            pack = bench.desk.pack(finding.programme)
            outcome = await raise_alert(
                conn,
                finding,
                resident,
                now,
                evidence_key=reading.reference,
                today=bench.desk.day(now),
                document=pack.document.title if pack else "",
            )
            if outcome is not None and not outcome.again:
                raised[outcome.reason] += 1
    if raised or resident.subject_id in turn.with_episodes:
        await retell(Teller(conn, bench.desk, now, allowed), resident.subject_id, conditions)
    return raised


async def _note(turn: _Turn, reading: StoredObservation, why: str) -> None:
    turn.judged.unjudged[why] += 1
    await turn.conn.execute(
        _SQL["note_unjudged"],
        {
            "subject_id": reading.subject_id,
            "evidence_key": evidence_key(reading),
            "reason": why,
            "batch_id": turn.judged.batch_id,
            "measured_at": reading.measured_at,
            "now": turn.now,
        },
    )


async def _report_mismatch(turn: _Turn, reading: StoredObservation, resident: Resident) -> None:
    log.warning(
        "reading and resident are not both simulated or both real",
        subject_id=str(resident.subject_id),
        device=reading.device_uid,
        resident_simulated=resident.simulated,
    )
    whose, what = ("模拟", "真实") if resident.simulated else ("真实", "模拟")
    whose_en, what_en = ("simulated", "real") if resident.simulated else ("real", "simulated")
    tail = reading.device_uid[-4:]
    await _report(
        turn,
        resident,
        f"设备 …{tail} 的{what}读数归到了{whose}居民名下，未评判，请核对归属。",
        f"Device …{tail} sends {what_en} readings bound to a {whose_en} resident; not judged, check the assignment.",
        origin=f"mismatch:{resident.subject_id}:{reading.device_id}",
    )


async def _report_failure(turn: _Turn, resident: Resident) -> None:
    batch_id = turn.judged.batch_id
    await _report(
        turn,
        resident,
        f"第 {batch_id} 批读数未能评判，请人工查看，并通知管理员。",
        f"Readings of batch {batch_id} could not be judged; look at them and tell the administrator.",
        origin=f"judging_failed:{resident.subject_id}:{batch_id}",
    )


async def _report(turn: _Turn, resident: Resident, zh: str, en: str, *, origin: str) -> None:
    await open_followup(
        turn.conn,
        NewFollowup(
            subject_id=resident.subject_id,
            kind=ItemKind.TECHNICAL,
            severity=Severity.TECHNICAL,
            sentence_zh=zh,
            sentence_en=en,
            citation={},
            raised_at=turn.now,
            due_on=turn.bench.desk.day(turn.now),
            origin=origin,
        ),
    )

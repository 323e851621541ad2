"""Readings of some residents, judged in the caller's transaction: let through, evaluated, raised, told.

A subject's readings are judged by measured time: every reading from the earliest new one on is judged again with the
history it has now, so that the order of arrival changes nothing; what was raised before is not raised twice. Queries
are one a subject, not one a reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ingest.named_sql import load
from ingest.observations import StoredObservation, window
from monitor.alerts import RaisedReason, known_findings, lock_subjects, raise_alert, restate
from monitor.desk import Desk
from monitor.episodes import Teller, open_episodes, retell
from monitor.errors import MonitorError
from monitor.evaluation_finding import Finding, NotJudged
from monitor.evaluation_record import Record
from monitor.evidence import device_reading, evidence_key
from monitor.judging import LiveRules, judge_reading
from monitor.judging_reading import DeviceReading
from monitor.patients import Resident, residents, rule_resident
from monitor.severity import ItemKind, Severity
from monitor.unjudged import MISMATCHES, Unjudged, why_barred, why_unjudged
from monitor.visits import visit_record, visits_of
from monitor.workitem import NewFollowup, open_followup

_SQL: Final = load("monitor", "sql/alerts.sql")
_RULE_FAILURES: Final = (MonitorError, ArithmeticError, LookupError, ValueError, TypeError, psycopg.DataError)

Met = tuple[str, str]
"""A rule and the evidence key of the reading that met it."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bench:
    """What judging needs besides the readings. `history`: how far back of the earliest new reading the rules look."""

    desk: Desk
    rules: LiveRules
    history: timedelta


@dataclass(slots=True)
class Judged:
    """What became of one batch, one change of an assignment, or one correction. `unassigned` readings wait."""

    readings: int
    batch_id: int | None = None
    change_id: int | None = None
    correction_id: int | None = None
    unassigned: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)
    raised: Counter[RaisedReason] = field(default_factory=Counter)

    @property
    def about(self) -> dict[str, int]:
        """The batch, the change or the correction, by name."""
        named = {"batch_id": self.batch_id, "change_id": self.change_id, "correction_id": self.correction_id}
        return {name: number for name, number in named.items() if number is not None}


@dataclass(frozen=True, slots=True)
class Turn:
    """One transaction's work."""

    conn: AsyncConnection[TupleRow]
    bench: Bench
    now: datetime
    judged: Judged
    with_episodes: set[UUID] = field(default_factory=set)


async def judge_readings(turn: Turn, readings: Sequence[StoredObservation]) -> None:
    """Judge readings for whom they belong to; those of nobody are noted and wait."""
    by_subject: dict[UUID, list[StoredObservation]] = {}
    for reading in readings:
        if reading.subject_id is not None:
            by_subject.setdefault(reading.subject_id, []).append(reading)
    await _note_waiting(turn, [reading for reading in readings if reading.subject_id is None])
    await lock_subjects(turn.conn, by_subject)
    people = await residents(turn.conn, by_subject)
    visits = await visits_of(turn.conn, list(people))
    turn.with_episodes.update(await open_episodes(turn.conn, list(people)))
    for subject_id in sorted(by_subject):
        person = people.get(subject_id)
        fresh = await _let_through(turn, person, by_subject[subject_id])
        if person is not None and fresh:
            seen = [visit_record(visit, turn.bench.desk.zone) for visit in visits.get(subject_id, ())]
            await _judge_subject(turn, person, fresh, seen)


async def _note_waiting(turn: Turn, readings: Sequence[StoredObservation]) -> None:
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
    turn: Turn, resident: Resident | None, readings: Sequence[StoredObservation]
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
    turn: Turn, resident: Resident, fresh: Sequence[StoredObservation], visits: Sequence[Record]
) -> None:
    try:
        async with turn.conn.transaction():
            earliest = min(reading.measured_at for reading in fresh)
            raised = await raise_findings(turn, resident, earliest, {reading.concept for reading in fresh}, visits)
    except _RULE_FAILURES:
        # one person's readings must not keep everybody else's from being judged
        log.exception("judging failed", subject_id=str(resident.subject_id), **turn.judged.about)
        for reading in fresh:
            await _note(turn, reading, Unjudged.JUDGING_FAILED.value)
        await _report_failure(turn, resident)
    else:
        turn.judged.raised.update(raised)


async def raise_findings(
    turn: Turn,
    resident: Resident,
    earliest: datetime,
    concepts: Collection[str],
    visits: Sequence[Record],
    *,
    known_too: Collection[Met] = (),
) -> Counter[RaisedReason]:
    """Judge a resident's readings of these concepts from `earliest` on and raise what was not raised before.

    known_too: what is not to be raised either.
    """
    conn, now = turn.conn, turn.now
    raised: Counter[RaisedReason] = Counter()
    allowed = await allowed_readings(turn, resident, earliest, concepts)
    known = await known_findings(conn, resident.subject_id, since=earliest)
    conditions = set(concepts)
    for reading, finding in findings_from(turn, resident, allowed, earliest, visits):
        met = (finding.rule, reading.reference)
        if met in known:
            said = known[met]
            if said is not None and finding.told_zh is not None and said != finding.told_zh.head:
                await restate(conn, resident.subject_id, finding, reading.reference)
            continue
        if met in known_too:
            continue
        conditions.add(finding.condition)
        pack = turn.bench.desk.pack(finding.programme)
        outcome = await raise_alert(
            conn,
            finding,
            resident,
            now,
            evidence_key=reading.reference,
            today=turn.bench.desk.day(now),
            document=pack.document.title if pack else "",
        )
        if outcome is not None and not outcome.again:
            raised[outcome.reason] += 1
    if raised or resident.subject_id in turn.with_episodes:
        await retell(Teller(conn, turn.bench.desk, now, allowed), resident.subject_id, conditions)
    return raised


async def allowed_readings(
    turn: Turn, resident: Resident, earliest: datetime, concepts: Collection[str]
) -> list[DeviceReading]:
    """The readings that rules may see, by measured time, as far back of `earliest` as rules look."""
    stored = await window(
        turn.conn,
        resident.subject_id,
        since=earliest - turn.bench.history,
        until=turn.now + turn.bench.rules.future_tolerance,
        concepts=concepts,
    )
    return [device_reading(reading) for reading in stored if why_barred(reading, resident) is None]


def findings_from(
    turn: Turn, resident: Resident, allowed: Sequence[DeviceReading], earliest: datetime, visits: Sequence[Record]
) -> Iterator[tuple[DeviceReading, Finding]]:
    """What the rules say of each reading from `earliest` on, with the history up to itself."""
    packs, rules, person = turn.bench.desk.packs, turn.bench.rules, rule_resident(resident)
    for index, reading in enumerate(allowed):
        if reading.measured_at >= earliest:
            found = judge_reading(packs, person, allowed[:index], reading, turn.now, visits=visits, rules=rules)
            yield from ((reading, finding) for finding in found)


async def _note(turn: Turn, reading: StoredObservation, why: str) -> None:
    turn.judged.unjudged[why] += 1
    await turn.conn.execute(
        _SQL["note_unjudged"],
        {
            "subject_id": reading.subject_id,
            "evidence_key": evidence_key(reading),
            "reason": why,
            "batch_id": reading.batch_id,
            "measured_at": reading.measured_at,
            "now": turn.now,
        },
    )


async def _report_mismatch(turn: Turn, reading: StoredObservation, resident: Resident) -> None:
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


async def _report_failure(turn: Turn, resident: Resident) -> None:
    judged = turn.judged
    zh, en = f"第 {judged.batch_id} 批读数", f"Readings of batch {judged.batch_id}"
    origin = f"judging_failed:{resident.subject_id}:{judged.batch_id}"
    if judged.batch_id is None:
        zh, en = "改变归属后的读数", "Readings whose assignment changed"
        origin = f"judging_failed:{resident.subject_id}:change:{judged.change_id}"
    if judged.correction_id is not None:
        zh, en = "更正后的读数", "A reading that was corrected"
        origin = f"judging_failed:{resident.subject_id}:correction:{judged.correction_id}"
    await _report(
        turn,
        resident,
        f"{zh}未能评判，请人工查看，并通知管理员。",
        f"{en} could not be judged; look at them and tell the administrator.",
        origin=origin,
    )


async def _report(turn: Turn, resident: Resident, zh: str, en: str, *, origin: str) -> None:
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

"""One change of an assignment, judged for both sides in one transaction (house law 8).

Whoever the readings belong to now is judged as if they had just arrived. From the subject they are no longer of, the
findings that rest on them are withdrawn, and so are those of other readings that only came about beside them: what the
rules say with the readings that are gone and no longer say without them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ingest.named_sql import load
from ingest.observations import (
    StoredObservation,
    changed_observations,
    claim_change,
    mark_change_judged,
)
from monitor.alerts import lock_subjects
from monitor.episodes import Teller, Withdrawn, retell, withdraw
from monitor.evaluation_record import Record
from monitor.evidence import device_reading, evidence_key
from monitor.judging_reading import DeviceReading
from monitor.judging_subject import (
    Bench,
    Judged,
    Met,
    Turn,
    allowed_readings,
    findings_from,
    judge_readings,
    raise_findings,
)
from monitor.patients import Resident, residents
from monitor.unjudged import why_barred
from monitor.visits import visit_record, visits_of

_SQL: Final = load("monitor", "sql/alerts.sql")

log = structlog.get_logger(__name__)


async def judge_next_change(conn: AsyncConnection[TupleRow], bench: Bench, *, now: datetime) -> Judged | None:
    """Judge the oldest unjudged change that nobody holds; None when there is none. Commits all of it or nothing."""
    async with conn.transaction():
        change = await claim_change(conn)
        if change is None:
            return None
        readings = await changed_observations(conn, change)
        turn = Turn(conn, bench, now, Judged(change_id=change.change_id, readings=len(readings)))
        owners = {reading.subject_id for reading in readings if reading.subject_id is not None}
        await lock_subjects(conn, owners | {change.subject_id})
        gone = [reading for reading in readings if reading.subject_id != change.subject_id]
        if gone:
            keys = [evidence_key(reading) for reading in gone]
            await take_back(turn, change.subject_id, gone, keys, Withdrawn.REASSIGNED)
        await _forget(conn, "forget_waiting", [evidence_key(r) for r in readings if r.subject_id is not None])
        await judge_readings(turn, readings)
        await mark_change_judged(conn, change.change_id, now)
    return turn.judged


async def take_back(
    turn: Turn, subject_id: UUID, former: Sequence[StoredObservation], keys: Sequence[str], why: Withdrawn
) -> None:
    """Withdraw what the rules said of a subject with these readings and no longer say with what is stored now.

    former: as they were when they were judged. keys: evidence on which nothing rests any more, whatever the rules say.
    """
    conn = turn.conn
    await _forget(conn, "forget_unjudged", [evidence_key(reading) for reading in former], subject_id=subject_id)
    person = (await residents(conn, [subject_id])).get(subject_id)
    if person is None:
        return
    theirs = [device_reading(reading) for reading in former if why_barred(reading, person) is None]
    lost: set[Met] = set()
    allowed: list[DeviceReading] = []
    if theirs:
        earliest, concepts = min(reading.measured_at for reading in theirs), {reading.concept for reading in theirs}
        known_visits = (await visits_of(conn, [subject_id])).get(subject_id, ())
        visits = [visit_record(visit, turn.bench.desk.zone) for visit in known_visits]
        allowed = await allowed_readings(turn, person, earliest, concepts)
        # a corrected reading stands in both: as it was wins
        all_before = sorted([*allowed, *theirs], key=lambda reading: (reading.measured_at, reading.reference))
        before = _met({r.reference: r for r in all_before}.values(), turn, person, earliest, visits)
        lost = before - _met(allowed, turn, person, earliest, visits)
        # what has come about by their absence is raised, and nothing else of the past
        turn.judged.raised.update(await raise_findings(turn, person, earliest, concepts, visits, known_too=before))
    conditions = await withdraw(conn, subject_id, sorted(lost), keys, why=why, now=turn.now)
    if conditions:
        log.info("findings withdrawn", subject_id=str(subject_id), why=why.value, **turn.judged.about)
        await retell(Teller(conn, turn.bench.desk, turn.now, allowed, why), subject_id, conditions)


def _met(
    readings: Collection[DeviceReading], turn: Turn, person: Resident, earliest: datetime, visits: Sequence[Record]
) -> set[Met]:
    found = findings_from(turn, person, list(readings), earliest, visits)
    return {(finding.rule, reading.reference) for reading, finding in found}


async def _forget(conn: AsyncConnection[TupleRow], query: str, keys: Sequence[str], **about: UUID) -> None:
    await conn.execute(_SQL[query], {"keys": list(keys)} | about)

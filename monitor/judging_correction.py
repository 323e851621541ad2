"""One correction of a stored reading, judged in one transaction: what rested on the old reading and no longer holds is
withdrawn, what holds now is raised, and the items say that a reading was corrected.
"""

from __future__ import annotations

from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ingest.corrections import Status, as_it_was, claim_correction, find, mark_correction_judged
from monitor.alerts import lock_subjects
from monitor.episodes import Withdrawn
from monitor.evidence import evidence_key
from monitor.judging_change import take_back
from monitor.judging_subject import Bench, Judged, Turn, judge_readings


async def judge_next_correction(conn: AsyncConnection[TupleRow], bench: Bench, *, now: datetime) -> Judged | None:
    """Judge the oldest unjudged correction that nobody holds; None when there is none. Commits all of it or nothing."""
    async with conn.transaction():
        correction = await claim_correction(conn)
        if correction is None:
            return None
        reading = await find(conn, correction.key)
        judged = Judged(correction_id=correction.correction_id, readings=1 if reading is not None else 0)
        turn = Turn(conn, bench, now, judged)
        if reading is not None:
            if reading.subject_id is not None:
                await lock_subjects(conn, [reading.subject_id])
                # what still holds of an amended reading stays, restated; of one entered in error nothing does
                gone = [evidence_key(reading)] if correction.status is Status.ENTERED_IN_ERROR else []
                former = [as_it_was(reading, correction.was)]
                await take_back(turn, reading.subject_id, former, gone, Withdrawn.CORRECTED)
            await judge_readings(turn, [reading])
        await mark_correction_judged(conn, correction.correction_id, now)
    return turn.judged

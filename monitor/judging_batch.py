"""One batch of stored readings, judged in one transaction: claimed, evaluated, raised, marked."""

from __future__ import annotations

from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ingest.observations import batch_observations, claim_batch, mark_judged
from monitor.judging_subject import Bench, Judged, Turn, judge_readings


async def judge_next_batch(conn: AsyncConnection[TupleRow], bench: Bench, *, now: datetime) -> Judged | None:
    """Judge the oldest unjudged batch that nobody holds; None when there is none. Commits all of it or nothing."""
    async with conn.transaction():
        batch = await claim_batch(conn)
        if batch is None:
            return None
        readings = await batch_observations(conn, batch)
        turn = Turn(conn, bench, now, Judged(batch_id=batch.batch_id, readings=len(readings)))
        await judge_readings(turn, readings)
        await mark_judged(conn, batch.batch_id, now)
    return turn.judged

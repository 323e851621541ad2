"""The loop that judges batches, changed assignments and corrected readings: woken by ingest's NOTIFY, polling when
nothing is heard, waiting when the database is away.

Several evaluators share the work: each claims batches that no other holds (`FOR UPDATE SKIP LOCKED`), and a killed one
leaves its batch unjudged for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import psycopg
import structlog
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from ingest.observations import ASSIGNMENT_CHANNEL, CHANNEL, CORRECTION_CHANNEL
from monitor.database import wait_for_database
from monitor.judging_batch import judge_next_batch
from monitor.judging_change import judge_next_change
from monitor.judging_correction import judge_next_correction
from monitor.judging_subject import Bench, Judged

_SLICE: Final = 1.0
"""Seconds between looks at whether to stop."""
_PAUSE_AFTER_ERROR: Final = 1.0

log = structlog.get_logger(__name__)


async def run_evaluator(
    url: str, bench: Bench, *, clock: Callable[[], datetime], stop: asyncio.Event, poll_seconds: float
) -> None:
    """Judge until `stop` is set; the batch in hand is finished first."""
    while not stop.is_set():
        conn = await _connected(url, stop)
        if conn is None:
            return
        try:
            async with conn:
                for channel in (CHANNEL, ASSIGNMENT_CHANNEL, CORRECTION_CHANNEL):
                    await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                await _work(conn, bench, clock, stop, poll_seconds)
        except psycopg.OperationalError as error:
            # gone, restarted, or a deadlock: the transaction left nothing, the batch is judged again
            log.warning("evaluation interrupted, trying again", error=type(error).__name__)
            await _pause(stop, _PAUSE_AFTER_ERROR)


async def judge_all(conn: AsyncConnection[TupleRow], bench: Bench, *, clock: Callable[[], datetime]) -> list[Judged]:
    """Judge what waits, batches, changes of assignments and corrections, and return."""
    done: list[Judged] = []
    while (judged := await _judge_next(conn, bench, clock)) is not None:
        done.append(judged)
    return done


async def _judge_next(conn: AsyncConnection[TupleRow], bench: Bench, clock: Callable[[], datetime]) -> Judged | None:
    # batches first: what has just been measured presses more than whose something was
    judged = await judge_next_batch(conn, bench, now=clock())
    judged = judged or await judge_next_change(conn, bench, now=clock())
    return judged or await judge_next_correction(conn, bench, now=clock())


async def _work(
    conn: AsyncConnection[TupleRow],
    bench: Bench,
    clock: Callable[[], datetime],
    stop: asyncio.Event,
    poll_seconds: float,
) -> None:
    while not stop.is_set():
        judged = await _judge_next(conn, bench, clock)
        if judged is None:
            await _heard(conn, stop, poll_seconds)
            continue
        log.info(
            "batch judged"
            if judged.batch_id is not None
            else "assignment judged"
            if judged.change_id is not None
            else "correction judged",
            **judged.about,
            readings=judged.readings,
            unassigned=judged.unassigned,
            unjudged=dict(judged.unjudged),
            raised={reason.value: count for reason, count in judged.raised.items()},
        )


async def _heard(conn: AsyncConnection[TupleRow], stop: asyncio.Event, poll_seconds: float) -> None:
    left = poll_seconds
    while left > 0 and not stop.is_set():
        async for _ in conn.notifies(timeout=min(left, _SLICE), stop_after=1):
            return
        left -= _SLICE


async def _connected(url: str, stop: asyncio.Event) -> AsyncConnection[TupleRow] | None:
    connecting = asyncio.create_task(wait_for_database(url))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if connecting.done():
        return connecting.result()
    connecting.cancel()
    return None


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), timeout=seconds)
    except TimeoutError:
        return

"""What the service does beside storing: roll-ups every minute or so, retention, columns and order once a day.

Each on a connection of its own, and none of it can stop ingest: what fails is said, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import psycopg
import structlog
from psycopg import AsyncConnection

from ingest import columnstore, reorder, retention, rollup
from ingest.rollup import Turn
from ingest.settings import Settings
from ingest.steady import SteadyConnection

_ONE_DAY: Final = 86_400.0
_ONE_HOUR: Final = 3_600.0
_TEN_MINUTES: Final = 600.0

_REST: Final = 1.0
"""Leaves half of a core to the writers."""
_REST_BUSY: Final = 9.0
"""A tenth of a core: what comes in has to be stored first, sums can wait."""

log = structlog.get_logger(__name__)


def tasks(
    settings: Settings, clock: Callable[[], datetime], busy: Callable[[], bool] = lambda: False
) -> list[Coroutine[Any, Any, None]]:
    """One endless coroutine for each thing that is set; cancel them to stop. busy: do messages wait to be stored?"""
    url = settings.database_url.get_secret_value()
    wanted: list[Coroutine[Any, Any, None]] = []
    if settings.rollup_seconds:

        async def roll_up(conn: AsyncConnection) -> float:
            await roll_up_everything(
                conn, zone=settings.site_zone, clock=clock, rest=lambda: _REST_BUSY if busy() else _REST
            )
            return settings.rollup_seconds

        wanted.append(_again_and_again(url, "roll-ups", roll_up))
    keep = settings.keep()
    if not keep.everything:

        async def let_go(conn: AsyncConnection) -> float:
            done = await retention.retain(conn, keep, now=clock())
            for one in done:
                log.info("retention applied", **described(one))
            # what is waiting for the monitor now is judged in an hour
            return _ONE_HOUR if any(one.held for one in done) else _ONE_DAY

        wanted.append(_again_and_again(url, "retention", let_go))
    if settings.columnstore_days is not None:
        older_than = timedelta(days=settings.columnstore_days)

        async def compress(conn: AsyncConnection) -> float:
            for chunk in await columnstore.compress_old(conn, older_than=older_than, now=clock()):
                log.info("chunk put into columns", **chunk._asdict())
            return _ONE_DAY

        wanted.append(_again_and_again(url, "columnstore", compress))
    if settings.reorder_days:
        wanted.append(_again_and_again(url, "order", partial(_put_in_order, settings=settings, clock=clock)))
    return wanted


async def roll_up_everything(
    conn: AsyncConnection,
    *,
    zone: str,
    clock: Callable[[], datetime],
    rest: Callable[[], float] = lambda: 0.0,
    tell: Callable[[rollup.Rolled], None] = lambda _: None,
) -> list[rollup.Rolled]:
    """Transaction after transaction until nothing is due, or somebody else is at it.

    rest: how long to pause after each, as a multiple of the time it took. tell: hears of each.
    """
    done = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    while (rolled := await rollup.roll_up(conn, zone=zone, now=clock())).turn is Turn.ROLLED_UP:
        done.append(rolled)
        tell(rolled)
        if rolled.frozen:
            log.warning("readings came for a time that retention removed; roll-ups leave them out", hours=rolled.frozen)
        await asyncio.sleep(rest() * (loop.time() - began))
        began = loop.time()
    return done


def described(one: retention.LetGo) -> dict[str, Any]:
    """For a log line or JSON."""
    return {
        "what": one.what.value,
        "before_at": one.before_at.isoformat(),
        "kinds": list(one.kinds),
        "chunks": list(one.chunks),
        "rows": one.rows,
        "held": one.held and one.held.value,
    }


async def _put_in_order(conn: AsyncConnection, *, settings: Settings, clock: Callable[[], datetime]) -> float:
    quiet, left = settings.quiet_hours(), False
    if quiet.are_now(clock()):
        async for chunk in reorder.reorder_closed(
            conn,
            older_than=timedelta(days=settings.reorder_days),
            now=clock(),
            go_on=lambda: quiet.are_now(clock()),
        ):
            left = left or chunk.change in reorder.LEFT
            log.info(
                "chunk left for later" if chunk.change in reorder.LEFT else "chunk put in order", **chunk._asdict()
            )
    return _TEN_MINUTES if left else quiet.next_after(clock()).total_seconds()


async def _again_and_again(url: str, what: str, work: Callable[[AsyncConnection], Awaitable[float]]) -> None:
    """`work` says after how many seconds it wants to be done again."""
    connection = SteadyConnection(url)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            try:
                pause = await connection.run(work)
            except psycopg.Error as error:
                log.warning("upkeep failed, trying again later", what=what, error=type(error).__name__)
                pause = _ONE_HOUR
            await asyncio.sleep(pause)
    await connection.close()

"""What an operator must look at: so far, a quarantine that grows. One open alert a cause; it ends when the cause does.

A growing quarantine means that somebody's readings do not arrive: a gateway whose clock is wrong, a vendor's new
release. No source says how many refusals in what time are too many; the setting's default is a convention of ours.
The alert is raised above the limit and resolved at half of it, so that a count at the limit does not flutter.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from ingest.named_sql import load
from ingest.steady import SteadyConnection

TECHNICAL_CHANNEL: Final = "suifang_technical"
"""NOTIFY channel: a technical alert was raised or resolved."""

_SQL: Final = load("ingest", "sql/technical.sql")

log = structlog.get_logger(__name__)


class Cause(enum.StrEnum):
    """What is wrong."""

    QUARANTINE_GROWTH = "quarantine-growth"


class Limit(NamedTuple):
    """So many new rows of the quarantine in a window are still ordinary."""

    most: int
    minutes: int


class Seen(enum.StrEnum):
    """What one look at the quarantine came to."""

    QUIET = "quiet"
    RAISED = "raised"
    STANDING = "standing"
    """It was raised before and goes on, or has not come down to half of the limit."""

    RESOLVED = "resolved"


class Alert(NamedTuple):
    """An open alert. number: the most new refusals seen in `minutes`; topic: where most came from now, and their most
    frequent reason (`devices.message.Reason`)."""

    cause: Cause
    raised_at: datetime
    last_at: datetime
    number: int
    minutes: int
    topic: str
    reason: str


class Standing(NamedTuple):
    """How ingest stands. waiting_batches: not judged yet; deadlocks: of this database, as the server counts them."""

    quarantined: int
    waiting_batches: int
    oldest_waiting_at: datetime | None
    waiting_corrections: int
    deadlocks: int


class Quarantined(NamedTuple):
    """Open rows of the quarantine for one reason."""

    reason: str
    rows: int
    oldest_at: datetime
    last_at: datetime


class Heard(NamedTuple):
    """A source and when it was heard last (to ten seconds)."""

    site: str
    source: str
    last_seen_at: datetime


async def watch(url: str, limit: Limit, *, seconds: float, clock: Callable[[], datetime]) -> None:
    """Look every so many seconds until cancelled; a database that is away is waited for."""
    connection = SteadyConnection(url)

    async def look(conn: AsyncConnection) -> Seen:
        return await look_at_quarantine(conn, limit, clock())

    try:
        while True:
            await connection.run(look)
            await asyncio.sleep(seconds)
    finally:
        await connection.close()


async def look_at_quarantine(conn: AsyncConnection, limit: Limit, now: datetime) -> Seen:
    """Raise, keep or resolve the alert of a growing quarantine, in a transaction of its own. Any number of processes
    may look; one of them says so."""
    async with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
        since = now - timedelta(minutes=limit.minutes)
        await cursor.execute(_SQL["growth"], {"since": since, "now": now})
        number, topic, reason = await cursor.fetchone() or (0, "", "")
        about = {"cause": Cause.QUARANTINE_GROWTH.value, "now": now}
        if number > limit.most:
            found = {"number": number, "minutes": limit.minutes, "topic": topic, "reason": reason}
            await cursor.execute(_SQL["raise_alert"], about | found)
            row = await cursor.fetchone()
            assert row is not None
            if not row[0]:
                return Seen.STANDING
            await cursor.execute(_SQL["announce_technical"])
            log.error("quarantine grows", most=limit.most, **found)
            return Seen.RAISED
        if number > limit.most // 2:
            return Seen.STANDING if await _open(conn) else Seen.QUIET
        await cursor.execute(_SQL["resolve_alert"], about)
        if not cursor.rowcount:
            return Seen.QUIET
        await cursor.execute(_SQL["announce_technical"])
    log.info("quarantine grows no more", number=number, minutes=limit.minutes)
    return Seen.RESOLVED


async def open_alerts(conn: AsyncConnection) -> list[Alert]:
    """What an operator must look at now, the oldest first."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["open_alerts"])
        return [Alert(Cause(cause), *rest) for cause, *rest in await cursor.fetchall()]


async def standing(conn: AsyncConnection) -> Standing:
    """The numbers of `suifang-ingest status`."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        row = await (await cursor.execute(_SQL["standing"])).fetchone()
    assert row is not None
    return Standing(*row)


async def quarantined(conn: AsyncConnection) -> list[Quarantined]:
    """What waits for an operator, by reason, the most first: `record-reused` is a device that tells two stories."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["quarantined_by_reason"])
        return [Quarantined(*row) for row in await cursor.fetchall()]


async def sources_heard(conn: AsyncConnection) -> list[Heard]:
    """Every source, the one silent longest first."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["sources_heard"])
        return [Heard(*row) for row in await cursor.fetchall()]


async def _open(conn: AsyncConnection) -> bool:
    return bool(await open_alerts(conn))

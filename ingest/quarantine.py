"""What was refused is kept with its reason, shown to an operator, and can be replayed. Nothing is dropped silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import class_row, tuple_row

from devices.message import Reason
from ingest.named_sql import QUERIES


class Refusal(NamedTuple):
    """One refused thing. item: its index in the message, -1 for the message itself; content: its bytes."""

    received_at: datetime
    topic: str
    message_id: str
    item: int
    content: bytes
    field: str
    reason: Reason
    detail: str


class Outline(NamedTuple):
    """One row of the quarantine without its content. times: how often the same thing came."""

    quarantine_id: int
    received_at: datetime
    last_at: datetime
    times: int
    topic: str
    message_id: str
    item: int
    field: str
    reason: str
    detail: str
    resolved_at: datetime | None
    resolution: str | None
    content_bytes: int


class Kept(NamedTuple):
    """One row of the quarantine."""

    quarantine_id: int
    received_at: datetime
    last_at: datetime
    times: int
    topic: str
    message_id: str
    item: int
    content: bytes
    field: str
    reason: str
    detail: str
    resolved_at: datetime | None
    resolution: str | None


async def keep(conn: AsyncConnection, refusals: Sequence[Refusal]) -> None:
    """Inside the caller's transaction. The same content refused again for the same reason counts up its row."""
    if not refusals:
        return
    found: dict[tuple[str, bytes, str], Refusal] = {}
    times: Counter[tuple[str, bytes, str]] = Counter()
    for refusal in refusals:
        key = (refusal.topic, refusal.content, refusal.reason)
        found.setdefault(key, refusal)
        times[key] += 1
    unique = [found[key] for key in sorted(found)]
    await conn.execute(
        QUERIES["keep"],
        {
            "received_at": [r.received_at for r in unique],
            "topic": [r.topic for r in unique],
            "message_id": [r.message_id for r in unique],
            "item": [r.item for r in unique],
            "content": [r.content for r in unique],
            "field": [r.field for r in unique],
            "reason": [r.reason.value for r in unique],
            "detail": [r.detail for r in unique],
            "times": [times[key] for key in sorted(found)],
        },
    )


async def listing(conn: AsyncConnection, *, reason: str | None = None, limit: int = 100) -> list[Kept]:
    """What waits for an operator, newest first."""
    async with conn.cursor(row_factory=class_row(Kept)) as cursor:
        await cursor.execute(QUERIES["quarantined"], {"reason": reason, "limit": limit})
        return await cursor.fetchall()


async def outlines(conn: AsyncConnection, *, reason: str | None = None, limit: int = 100) -> list[Outline]:
    """What waits for an operator, newest first, without the contents."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(QUERIES["quarantined_outlines"], {"reason": reason, "limit": limit})
        return [Outline(*row) for row in await cursor.fetchall()]


async def numbers(conn: AsyncConnection, *, reason: str | None = None, limit: int | None = None) -> list[int]:
    """The open rows, oldest first. limit None: all of them."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(QUERIES["quarantined_numbers"], {"reason": reason, "limit": limit})
        return [number for (number,) in await cursor.fetchall()]


async def find(conn: AsyncConnection, quarantine_id: int) -> Kept | None:
    """One row, resolved or not."""
    async with conn.cursor(row_factory=class_row(Kept)) as cursor:
        await cursor.execute(QUERIES["quarantined_one"], (quarantine_id,))
        return await cursor.fetchone()


async def resolve(conn: AsyncConnection, quarantine_id: int, *, resolution: str, now: datetime) -> bool:
    """Close one row with what was done about it. False: unknown or closed before."""
    cursor = await conn.execute(QUERIES["resolve_quarantined"], (now, resolution, quarantine_id))
    return cursor.rowcount == 1

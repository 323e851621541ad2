"""The audit trail: who looked at or changed what, for what purpose; append only, each row sealed to the one before.

`record` inserts; the database chains at commit, under the one lock of `monitor.audit_head`, so that writers meet only
there. `verify` recomputes the chain outside the database's own functions. No names, numbers or phones in `detail`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, tuple_row
from psycopg.types.json import Jsonb

from ingest.named_sql import load

_SQL: Final = load("monitor", "sql/audit.sql")
_PAGE: Final = 2000

Detail = Mapping[str, str | int | bool | None]


class Fault(enum.StrEnum):
    """What is wrong with the first broken row."""

    CHANGED = "changed"  # the row no longer hashes to what it was
    UNLINKED = "unlinked"  # it does not follow from the row before
    MISSING = "missing"  # a number is skipped, or the tail is cut
    UNSEALED = "unsealed"  # inserted past the trigger that chains


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """The first row of the trail that cannot be trusted."""

    seq: int
    fault: Fault


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row, for the auditor's page."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject_id: UUID | None
    purpose: str
    detail: dict[str, str | int | bool | None]


def content_digest(
    *, actor: str, action: str, subject_id: UUID | None, purpose: str, detail: Detail, at: datetime
) -> bytes:
    """SHA-256 of a row's meaning in one canonical form (microseconds UTC, sorted keys)."""
    meaning = [
        at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
        actor,
        action,
        str(subject_id) if subject_id else None,
        purpose,
        dict(detail),
    ]
    return hashlib.sha256(msgspec.json.encode(meaning, order="sorted")).digest()


async def record(
    conn: AsyncConnection[TupleRow],
    *,
    actor: str,
    action: str,
    subject_id: UUID | None = None,
    purpose: str = "",
    detail: Detail | None = None,
    now: datetime,
) -> None:
    """Append one row; it is chained when the transaction commits."""
    about = detail or {}
    content = content_digest(actor=actor, action=action, subject_id=subject_id, purpose=purpose, detail=about, at=now)
    await conn.execute(
        _SQL["append"],
        {
            "at": now,
            "actor": actor,
            "action": action,
            "subject_id": subject_id,
            "purpose": purpose,
            "detail": Jsonb(dict(about)),
            "content": content,
        },
    )


async def verify(conn: AsyncConnection[TupleRow]) -> Broken | None:
    """The first broken row, or None for a whole chain. Reads committed rows and this transaction's own."""
    await conn.execute("SET CONSTRAINTS monitor.audit_chained IMMEDIATE")
    expected, previous = 1, b""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        while True:
            await cursor.execute(_SQL["links"], {"after": expected - 1, "page": _PAGE})
            rows = await cursor.fetchall()
            for seq, at, actor, action, subject_id, purpose, detail, content, link in rows:
                if seq != expected:
                    return Broken(seq=expected, fault=Fault.MISSING)
                digest = content_digest(
                    actor=actor, action=action, subject_id=subject_id, purpose=purpose, detail=detail, at=at
                )
                if digest != content:
                    return Broken(seq=seq, fault=Fault.CHANGED)
                previous = hashlib.sha256(previous + seq.to_bytes(8, "big") + content).digest()
                if previous != link:
                    return Broken(seq=seq, fault=Fault.UNLINKED)
                expected += 1
            if len(rows) < _PAGE:
                break
        await cursor.execute(_SQL["head"])
        head = await cursor.fetchone()
        if head is None or head[:2] != (expected - 1, previous):
            return Broken(seq=expected, fault=Fault.MISSING)
        return Broken(seq=expected, fault=Fault.UNSEALED) if head[2] else None


async def entries(conn: AsyncConnection[TupleRow], *, subject_id: UUID | None = None, limit: int = 200) -> list[Entry]:
    """The latest rows, newest first; of one subject if named."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["latest"], {"subject_id": subject_id, "limit": limit})
        return [
            Entry(seq=r[0], at=r[1], actor=r[2], action=r[3], subject_id=r[4], purpose=r[5], detail=r[6])
            for r in await cursor.fetchall()
        ]

"""Which subject a device's user, or a kiosk session, was, and when. Subjects are pseudonymous here.

The database refuses two subjects for the same reading: a device (all users, or one user slot) and a session belong to
one subject at a time. Ending or revoking an assignment changes no reading; the join at read time does the rest. Each
change leaves a row of `assignment_change` in the same transaction, and a NOTIFY: what was judged for one subject is
judged again, for both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection, errors
from psycopg.rows import tuple_row

from ingest.errors import AssignmentOverlap, CannotAssign, UnknownName
from ingest.named_sql import QUERIES


class Assignment(NamedTuple):
    """One period. until None: still going on; user_slot None: every user of the device."""

    assignment_id: int
    subject_id: UUID
    device_uid: str | None
    user_slot: int | None
    session_uid: str | None
    since: datetime
    until: datetime | None
    assigned_at: datetime
    assigned_by: str


class Device(NamedTuple):
    """One device that was heard of or registered; registered_at None: nobody did. battery: percent."""

    device: str
    registered_at: datetime | None
    concept: str | None
    label: str | None
    manufacturer: str | None
    model: str | None
    serial: str | None
    battery: int | None
    first_seen_at: datetime
    last_seen_at: datetime


async def register_device(
    conn: AsyncConnection,
    uid: str,
    *,
    concept: str | None,
    label: str | None,
    manufacturer: str | None = None,
    model: str | None = None,
    serial: str | None = None,
    now: datetime,
) -> int:
    """Its device_id. Registering again updates what is given and keeps the first registration's time."""
    parameters = {
        "uid": uid,
        "concept": concept,
        "label": label,
        "manufacturer": manufacturer,
        "model": model,
        "serial": serial,
        "now": now,
    }
    return await _number(conn, "register_device", parameters)


async def assign_device(
    conn: AsyncConnection,
    uid: str,
    subject_id: UUID,
    *,
    user_slot: int | None = None,
    since: datetime,
    until: datetime | None = None,
    by: str,
    now: datetime,
) -> int:
    """The assignment_id; since ≤ time < until. Errors: `UnknownName`; `CannotAssign` (an empty period);
    `AssignmentOverlap` (a savepoint is undone)."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        found = await (await cursor.execute(QUERIES["device_id"], (uid,))).fetchone()
    if found is None:
        raise UnknownName(f"no device {uid}")
    return await _assign(
        conn,
        {
            "subject_id": subject_id,
            "device_id": found[0],
            "user_slot": user_slot,
            "session_no": None,
            "since": since,
            "until": until,
            "by": by,
            "now": now,
        },
    )


async def assign_session(
    conn: AsyncConnection,
    session_uid: str,
    subject_id: UUID,
    *,
    since: datetime,
    until: datetime | None = None,
    by: str,
    now: datetime,
) -> int:
    """The assignment_id. The session may be announced before its first reading. Errors: as `assign_device`."""
    session_no = await _number(conn, "session_no", (session_uid,))
    return await _assign(
        conn,
        {
            "subject_id": subject_id,
            "device_id": None,
            "user_slot": None,
            "session_no": session_no,
            "since": since,
            "until": until,
            "by": by,
            "now": now,
        },
    )


async def end_assignment(conn: AsyncConnection, assignment_id: int, *, until: datetime, by: str, now: datetime) -> None:
    """Shorten the period to end at `until`. Errors: `UnknownName` where `until` is not inside it; use `revoke` then."""
    parameters = {"assignment_id": assignment_id, "until": until, "by": by, "now": now}
    if (await conn.execute(QUERIES["end_assignment"], parameters)).rowcount != 1:
        raise UnknownName(f"no assignment {assignment_id} that is valid at {until}")
    await conn.execute(QUERIES["announce_assignment"])


async def revoke_assignment(conn: AsyncConnection, assignment_id: int, *, now: datetime | None = None) -> None:
    """It was a mistake from its first minute. now: None, the server's. Errors: `UnknownName`."""
    parameters = {"assignment_id": assignment_id, "now": now}
    if (await conn.execute(QUERIES["revoke_assignment"], parameters)).rowcount != 1:
        raise UnknownName(f"no assignment {assignment_id}")
    await conn.execute(QUERIES["announce_assignment"])


async def assignments_of(conn: AsyncConnection, subject_id: UUID) -> list[Assignment]:
    """All periods of a subject, in the order they were made."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(QUERIES["assignments_of"], (subject_id,))
        return [Assignment(*row) for row in await cursor.fetchall()]


async def devices(conn: AsyncConnection, *, only_unregistered: bool = False, limit: int = 1000) -> list[Device]:
    """The last heard first."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(QUERIES["list_devices"], {"only_unregistered": only_unregistered, "limit": limit})
        return [Device(*row) for row in await cursor.fetchall()]


async def _assign(conn: AsyncConnection, parameters: Mapping[str, Any]) -> int:
    if parameters["until"] is not None and parameters["until"] <= parameters["since"]:
        raise CannotAssign("until: not after since")
    try:
        async with conn.transaction():
            assignment_id = await _number(conn, "assign", parameters)
            await conn.execute(QUERIES["announce_assignment"])
            return assignment_id
    except errors.ExclusionViolation:
        raise AssignmentOverlap from None


async def _number(conn: AsyncConnection, name: str, parameters: Sequence[Any] | Mapping[str, Any]) -> int:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        row = await (await cursor.execute(QUERIES[name], parameters)).fetchone()
    assert row is not None
    number: int = row[0]
    return number

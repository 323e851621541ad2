"""The published read side: what other rooms may ask about stored observations.

Beside it: `ingest.rollup_series` (hours and days), `ingest.corrections` (history), `ingest.technical` (alerts).

Every function runs inside the caller's transaction. A subject is joined at read time through the assignments, so a
reassignment touches no reading.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, sql
from psycopg.rows import tuple_row
from psycopg.types.range import Range

from devices.nomenclature import BY_CODE, KINDS
from devices.observation import Absent, Context, Fact
from devices.units import BY_TERM, canonical
from ingest.named_sql import QUERIES

CHANNEL: Final = "suifang_batch"
"""NOTIFY channel; the payload is the batch_id."""

ASSIGNMENT_CHANNEL: Final = "suifang_assignment"
"""NOTIFY channel: an assignment was made, ended or revoked."""

CORRECTION_CHANNEL: Final = "suifang_correction"
"""NOTIFY channel; the payload is the correction_id (`ingest.corrections`)."""

_NEAR: Final = timedelta(days=1)
"""How far an identity time may be from the measured time: the check `observation_identity_near`."""


_BEGINNING: Final = datetime(1900, 1, 1, tzinfo=UTC)
"""Before any reading."""
_END: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""After any reading."""
_LATELY: Final = timedelta(days=31)
_IN_ERROR: Final = int(Fact.ENTERED_IN_ERROR)


class StoredObservation(msgspec.Struct, frozen=True, kw_only=True):
    """One row, as reported. values: in slot order of the kind, trailing slots that were never reported are left out;
    unit: UCUM of the first value; facts: bits of `devices.observation.Fact`; absent: slot → reason."""

    subject_id: UUID | None
    device_uid: str
    device_label: str | None
    device_id: int
    kind: int
    concept: str
    values: tuple[float | None, ...]
    unit: str
    measured_at: datetime
    identity_at: datetime
    record_no: int
    facts: int
    absent: dict[int, Absent]
    context: Context | None
    user_slot: int | None
    session_uid: str | None
    batch_id: int


class Point(NamedTuple):
    """One value of a series: `value` in the canonical unit of its code, None with the reason in `absent`; facts: bits
    of `devices.observation.Fact`, and what they bar (`NEVER_JUDGED`) is the caller's to leave out."""

    measured_at: datetime
    value: float | None
    absent: Absent
    facts: int
    context: Context | None
    device_uid: str


class Touch(NamedTuple):
    """One device in a batch and the span of its identity times there."""

    device_id: int
    first_at: datetime
    last_at: datetime
    stored: int


class Batch(NamedTuple):
    """What one transaction of ingest stored."""

    batch_id: int
    stored_at: datetime
    touches: tuple[Touch, ...]


class AssignmentChange(NamedTuple):
    """Readings of a device (or one of its users) or of a session, in a period, became or ceased to be a subject's."""

    change_id: int
    subject_id: UUID
    device_id: int | None
    user_slot: int | None
    session_no: int | None
    period: Range[datetime]


class DeviceRow(NamedTuple):
    """A device that a subject has now. battery: percent."""

    uid: str
    label: str | None
    concept: str | None
    last_seen_at: datetime
    battery: int | None
    user_slot: int | None


async def claim_batch(conn: AsyncConnection) -> Batch | None:
    """The oldest batch that nobody judged or holds. It stays claimed until the caller's transaction ends."""
    row = await _one(conn, "claim_batch", None)
    if row is None:
        return None
    touches = await _rows(conn, "touches", (row[0],))
    return Batch(row[0], row[1], tuple(Touch(*touch) for touch in touches))


async def batch_observations(conn: AsyncConnection, batch: Batch) -> list[StoredObservation]:
    """The rows a batch added, each with its subject or None, by device and measured time."""
    if not batch.touches:
        return []
    parameters = {
        "devices": [touch.device_id for touch in batch.touches],
        "first": min(touch.first_at for touch in batch.touches),
        "last": max(touch.last_at for touch in batch.touches),
        "batch_id": batch.batch_id,
    }
    return [as_stored(row) for row in await _rows(conn, "batch_observations", parameters)]


async def mark_judged(conn: AsyncConnection, batch_id: int, now: datetime) -> bool:
    """False: it was judged before, or there is no such batch."""
    return (await conn.execute(QUERIES["mark_judged"], {"batch_id": batch_id, "now": now})).rowcount == 1


async def claim_change(conn: AsyncConnection) -> AssignmentChange | None:
    """The oldest change that nobody judged or holds. It stays claimed until the caller's transaction ends."""
    row = await _one(conn, "claim_change", None)
    return None if row is None else AssignmentChange(*row)


async def changed_observations(conn: AsyncConnection, change: AssignmentChange) -> list[StoredObservation]:
    """The readings a change is about, each with the subject it belongs to now or None, by measured time."""
    name = "changed_device_observations" if change.session_no is None else "changed_session_observations"
    return [as_stored(row) for row in await _rows(conn, name, change._asdict())]


async def mark_change_judged(conn: AsyncConnection, change_id: int, now: datetime) -> None:
    """It is dealt with."""
    await conn.execute(QUERIES["mark_change_judged"], {"change_id": change_id, "now": now})


async def window(
    conn: AsyncConnection,
    subject_id: UUID,
    *,
    since: datetime,
    until: datetime,
    concepts: Iterable[str] | None = None,
) -> list[StoredObservation]:
    """A subject's readings with since ≤ measured_at ≤ until, ascending; those entered in error too, by their fact.

    concepts: names of `Kind.concept`; None: all. Whose a reading is, is asked of the assignments now.
    """
    kinds = None if concepts is None else _kinds(set(concepts))
    return await _window(conn, subject_id, since, until, kinds)


async def series(
    conn: AsyncConnection, subject_id: UUID, code: int, *, since: datetime, until: datetime
) -> list[Point]:
    """One value of a subject over time, since ≤ measured_at ≤ until, ascending: of every kind that has it.

    code: MDC code of the value (`devices.nomenclature.Slot.code`, 150021 is systolic). Without what was entered in
    error; a kind whose record did not carry the value gives no point. By hour or day: `ingest.rollup_series`.
    """
    slots = {kind.code: index for kind in KINDS for index, slot in enumerate(kind.slots) if slot.code == code}
    found = await _window(conn, subject_id, since, until, sorted(slots))
    points = []
    for reading in found:
        slot = slots[reading.kind]
        if reading.facts & _IN_ERROR or slot >= len(reading.values):
            continue
        value, absent = reading.values[slot], reading.absent.get(slot, Absent.PRESENT)
        if value is not None:
            value = canonical(value, BY_CODE[reading.kind].units[reading.unit][slot])
            if math.isinf(value):  # what no instrument measures: stored as it came, but there is no such number here
                absent = Absent.POSITIVE_INFINITY if value > 0 else Absent.NEGATIVE_INFINITY
                value = None
        points.append(Point(reading.measured_at, value, absent, reading.facts, reading.context, reading.device_uid))
    return points


async def _window(
    conn: AsyncConnection, subject_id: UUID, since: datetime, until: datetime, kinds: Sequence[int] | None
) -> list[StoredObservation]:
    parameters = {
        "subject_id": subject_id,
        "since": since,
        "until": until,
        "first": since - _NEAR,
        "last": until + _NEAR,
        "kinds": None if kinds is None else list(kinds),
    }
    return [as_stored(row) for row in await _of_one(conn, "window", parameters)]


async def latest(conn: AsyncConnection, subject_id: UUID, *, since: datetime | None = None) -> list[StoredObservation]:
    """The newest reading of each concept that was not entered in error, by concept; at most one each.

    since: bounds the search (faster over years of data); None: however old.
    """
    since = since or _BEGINNING
    # What was measured lately is looked for first; what is older, only for the concepts that were not. Any border gives
    # the same answer: it is a matter of speed, so the clock need not be the caller's.
    border = max(since, datetime.now(UTC) - _LATELY)
    found: dict[str, StoredObservation] = {}
    for begin, end in ((border, _END), (since, border)):
        kinds = [kind.code for kind in KINDS if kind.concept not in found]
        if begin == end or not kinds:
            continue
        parameters = {
            "subject_id": subject_id,
            "since": begin,
            "before": end,
            "first": begin - _NEAR,
            "last": end + _NEAR,
            "kinds": kinds,
        }
        stored = [as_stored(row) for row in await _of_one(conn, "latest", parameters)]
        found.update((observation.concept, observation) for observation in stored)
    return [found[concept] for concept in sorted(found)]


async def latest_moments(conn: AsyncConnection, subject_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """When each of these subjects measured anything last; who never did is not in it."""
    return dict(await _rows(conn, "latest_moments", {"subject_ids": list(subject_ids)}))


async def unassigned(
    conn: AsyncConnection, *, since: datetime, limit: int = 100, each: int | None = None
) -> list[StoredObservation]:
    """Readings nobody is bound to, newest identity time first: the pool an operator assigns from.

    each: at most so many of a device, or of a session at it, so that one that measures often hides no other.
    """
    parameters = {"since": since, "first": since - _NEAR, "limit": limit, "each": limit if each is None else each}
    return [as_stored(row) for row in await _rows(conn, "unassigned", parameters)]


async def devices_of(conn: AsyncConnection, subject_id: UUID, now: datetime) -> list[DeviceRow]:
    """The devices assigned to a subject at `now`."""
    return [DeviceRow(*row) for row in await _rows(conn, "devices_of", {"subject_id": subject_id, "now": now})]


def _kinds(concepts: set[str]) -> list[int]:
    return [kind.code for kind in KINDS if kind.concept in concepts]


async def _rows(conn: AsyncConnection, name: str, parameters: Any) -> list[tuple[Any, ...]]:
    return await _fetch(conn, QUERIES[name], parameters)


async def _one(conn: AsyncConnection, name: str, parameters: Any) -> tuple[Any, ...] | None:
    found = await _fetch(conn, QUERIES[name], parameters)
    return found[0] if found else None


async def _fetch(conn: AsyncConnection, query: sql.SQL, parameters: Any) -> list[tuple[Any, ...]]:
    # binary results: a window of thousands of rows costs the client a third of what text does
    async with conn.cursor(row_factory=tuple_row, binary=True) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


async def _of_one(conn: AsyncConnection, name: str, parameters: Any) -> list[tuple[Any, ...]]:
    """A question about one subject: planned once a connection, whatever the parameters. Planning over all partitions
    for each would take longer than to answer; which of them are not looked at is decided when it runs."""
    async with conn.pipeline(), conn.transaction(), conn.cursor(row_factory=tuple_row, binary=True) as cursor:
        await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await cursor.execute(QUERIES[name], parameters, prepare=True)
        found = await cursor.fetchall()
        await conn.execute("SET LOCAL plan_cache_mode = auto")  # for a transaction that was there before
    return found


def as_stored(row: Sequence[Any]) -> StoredObservation:
    """A row of this room's queries for observations, in their one order of columns."""
    subject_id, uid, label, device_id, kind, v0, v1, v2, v3, more, unit, measured_at, identity_at, record_no = row[:14]
    facts, absent, context, user_slot, session_uid, batch_id = row[14:]
    values: list[float | None] = [v0, v1, v2, v3] if more is None else [v0, v1, v2, v3, *more]
    while len(values) > 1 and values[-1] is None and not absent >> 4 * (len(values) - 1) & 0xF:
        values.pop()
    known = BY_CODE.get(kind)
    return StoredObservation(
        subject_id=subject_id,
        device_uid=uid,
        device_label=label,
        device_id=device_id,
        kind=kind,
        concept=known.concept if known else "",
        values=tuple(values),
        unit=BY_TERM[unit].ucum,
        measured_at=measured_at,
        identity_at=identity_at,
        record_no=record_no,
        facts=facts,
        absent=_absent(absent) if absent else {},
        context=Context.unpacked(context) if context else None,
        user_slot=user_slot,
        session_uid=session_uid,
        batch_id=batch_id,
    )


def _absent(bits: int) -> dict[int, Absent]:
    """Four bits a slot."""
    return {slot: Absent(bits >> 4 * slot & 0xF) for slot in range(16) if bits >> 4 * slot & 0xF}

"""A stored reading that was wrong: amended, entered in error, reinstated. Its history is kept and only grows.

The row of `telemetry.observation` says what holds now, with a fact bit beside it, so that reading costs nothing more;
`telemetry.correction` keeps what it was, who changed it, when and why. Values and reasons of absence can be amended;
what identifies a record (device, kind, time, record number) cannot. Each correction leaves a row for the judge in the
same transaction, and a NOTIFY. Words: FHIR R4 ObservationStatus. See docs/decisions/0035-corrections-keep-history.md.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Self

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from devices.clock import identity_at
from devices.decoding import decode_observation
from devices.message import Reason, Remark
from devices.nomenclature import BY_CODE, Kind
from devices.observation import Absent, Fact, Observation
from devices.plausibility import implausible_slots
from devices.units import BY_TERM
from ingest import quarantine
from ingest.errors import CannotCorrect, UnknownName
from ingest.named_sql import QUERIES, load
from ingest.observations import StoredObservation, as_stored
from ingest.rows import absent_bits

_SQL: Final = load("ingest", "sql/corrections.sql")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEAR: Final = timedelta(days=1)
_IN_ROW: Final = 4
"""Values that have a column of their own; the others stand in `more`."""


class Status(enum.StrEnum):
    """What a correction says of its reading (FHIR R4 ObservationStatus; `reinstated`: it was right after all)."""

    AMENDED = "amended"
    ENTERED_IN_ERROR = "entered-in-error"
    REINSTATED = "reinstated"


class Corrected(enum.StrEnum):
    """What became of a request to correct."""

    CORRECTED = "corrected"
    UNCHANGED = "unchanged"
    """The reading says so already: nothing was written."""


class Key(NamedTuple):
    """What identifies a stored reading. As text: `device_id:kind:microseconds of identity_at since 1970:record_no`."""

    device_id: int
    kind: int
    identity_at: datetime
    record_no: int

    def __str__(self) -> str:
        moment = (self.identity_at - _EPOCH) // timedelta(microseconds=1)
        return f"{self.device_id}:{self.kind}:{moment}:{self.record_no}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Errors: `UnknownName`."""
        try:
            device_id, kind, moment, record_no = map(int, text.split(":"))
            return cls(device_id, kind, _EPOCH + timedelta(microseconds=moment), record_no)
        except (ValueError, OverflowError):
            raise UnknownName(f"{text!r} names no reading: expected device:kind:microseconds:record") from None

    @classmethod
    def of(cls, reading: StoredObservation) -> Self:
        """The key of a stored reading."""
        return cls(reading.device_id, reading.kind, reading.identity_at, reading.record_no)


class State(NamedTuple):
    """What a reading says at one time. values: every slot, as reported; facts and absent: as stored."""

    facts: int
    absent: int
    values: tuple[float | None, ...]


class Correction(NamedTuple):
    """One line of a reading's history."""

    correction_id: int
    key: Key
    status: Status
    reason: str
    by: str
    at: datetime
    was: State
    now: State


async def amend(
    conn: AsyncConnection, key: Key, values: Mapping[int, float | None], *, by: str, reason: str, now: datetime
) -> Corrected:
    """Put other values into a stored reading, in a transaction of its own or a savepoint of the caller's.

    values: slot → number in the unit reported, None: there is no number; other slots stay. by: a login or a name of
    duty, never a resident's. Errors: `UnknownName` (no such reading); `CannotCorrect`.
    """
    async with conn.transaction():
        kind, unit, was = await _locked(conn, key)
        if was.facts & Fact.ENTERED_IN_ERROR:
            raise CannotCorrect("it is entered in error: reinstate it first")
        _check(kind, values)
        numbers, absent = list(was.values), was.absent
        numbers += [None] * (len(kind.slots) - len(numbers))
        for slot, value in values.items():
            stays_absent = value is None and absent >> 4 * slot & 0xF
            if not stays_absent:
                absent = absent & ~(0xF << 4 * slot) | (Absent.NOT_SENT << 4 * slot if value is None else 0)
            numbers[slot] = value
        facts = was.facts & ~int(Fact.IMPLAUSIBLE) | int(Fact.AMENDED)
        if implausible_slots(kind, numbers[: len(kind.slots)], unit):
            facts |= int(Fact.IMPLAUSIBLE)
        is_now = State(facts, absent, _trimmed(numbers))
        if (is_now.absent, is_now.values) == (was.absent, _trimmed(was.values)):
            return Corrected.UNCHANGED
        await _write(conn, key, Status.AMENDED, was, is_now, by=by, reason=reason, now=now)
    return Corrected.CORRECTED


async def enter_in_error(conn: AsyncConnection, key: Key, *, by: str, reason: str, now: datetime) -> Corrected:
    """Take a reading out of rules, charts and roll-ups; it stays stored and shown as what it is. Errors: as `amend`."""
    return await _mark(conn, key, Status.ENTERED_IN_ERROR, by=by, reason=reason, now=now)


async def reinstate(conn: AsyncConnection, key: Key, *, by: str, reason: str, now: datetime) -> Corrected:
    """It was no error after all. Errors: as `amend`."""
    return await _mark(conn, key, Status.REINSTATED, by=by, reason=reason, now=now)


async def accept(conn: AsyncConnection, quarantine_id: int, *, by: str, reason: str, now: datetime) -> Corrected:
    """Take what a source sent later under the key of a stored reading as its correction, and close the quarantine row.

    The row's reason is `record-reused`; with the fact `entered-in-error` the stored reading is marked so, else it takes
    the later values and reasons of absence, all of them, so that a repeat of what was accepted is a duplicate. Errors:
    `UnknownName`; `CannotCorrect` (another refusal, another unit or user, no such record any more).
    """
    async with conn.transaction():
        kept = await quarantine.find(conn, quarantine_id)
        if kept is None or kept.resolved_at is not None:
            raise UnknownName(f"no open row {quarantine_id} in quarantine")
        observation = decode_observation(kept.content)
        if kept.reason != Reason.RECORD_REUSED or isinstance(observation, Remark):
            raise CannotCorrect("only a reading refused as record-reused can correct another")
        stamp = observation.measured_at if observation.device_at is None else identity_at(observation.device_at)
        about = {
            "uid": observation.device,
            "stamp": stamp,
            "kind": observation.kind,
            "record_no": observation.record_no,
        }
        async with conn.cursor(row_factory=tuple_row) as cursor:
            row = await (await cursor.execute(_SQL["identity_of_stamp"], about)).fetchone()
        if row is None:
            raise UnknownName(f"no device {observation.device}")
        key = Key(row[0], observation.kind, row[1], observation.record_no)
        if observation.fact_bits() & Fact.ENTERED_IN_ERROR:
            corrected = await enter_in_error(conn, key, by=by, reason=reason, now=now)
        else:
            corrected = await _become(conn, key, observation, by=by, reason=reason, now=now)
        await quarantine.resolve(conn, quarantine_id, resolution=f"accepted: {corrected.value}", now=now)
    return corrected


async def history(conn: AsyncConnection, key: Key) -> list[Correction]:
    """Every correction of a reading, in order; `was` of the first is what was delivered."""
    return [_correction(row) for row in await _rows(conn, "history", _about(key))]


async def find(conn: AsyncConnection, key: Key) -> StoredObservation | None:
    """A reading as it holds now, with the subject it belongs to now, if any."""
    rows = await _rows(conn, "found_record", _about(key))
    return as_stored(rows[0]) if rows else None


async def is_device(conn: AsyncConnection, device_uid: str) -> bool:
    """Whether anything was ever heard of it, or somebody registered it."""
    return (await (await conn.execute(QUERIES["device_id"], (device_uid,))).fetchone()) is not None


async def readings_of_device(
    conn: AsyncConnection, device_uid: str, *, since: datetime, limit: int = 100
) -> list[StoredObservation]:
    """A device's readings, newest first, without saying whose they are: how an operator finds the one to correct."""
    about = {"uid": device_uid, "since": since, "first": since - _NEAR, "limit": limit}
    return [as_stored(row) for row in await _rows(conn, "readings_of_device", about)]


async def claim_correction(conn: AsyncConnection) -> Correction | None:
    """The oldest correction that nobody judged or holds. It stays claimed until the caller's transaction ends."""
    rows = await _rows(conn, "claim_correction", None)
    return _correction(rows[0]) if rows else None


async def mark_correction_judged(conn: AsyncConnection, correction_id: int, now: datetime) -> None:
    """It is dealt with."""
    await conn.execute(_SQL["mark_correction_judged"], {"correction_id": correction_id, "now": now})


def as_it_was(reading: StoredObservation, was: State) -> StoredObservation:
    """The reading with an earlier state in the place of the present one."""
    absent = {slot: Absent(was.absent >> 4 * slot & 0xF) for slot in range(16) if was.absent >> 4 * slot & 0xF}
    return msgspec.structs.replace(reading, facts=was.facts, values=was.values, absent=absent)


async def _become(
    conn: AsyncConnection, key: Key, later: Observation, *, by: str, reason: str, now: datetime
) -> Corrected:
    """The stored reading says what a later delivery of it says, as if that had been the first."""
    kind, unit, was = await _locked(conn, key)
    stored = await find(conn, key)
    assert stored is not None
    if unit != later.unit:
        raise CannotCorrect(f"unit: it is stored in {unit}, this is {later.unit}")
    if stored.user_slot != later.slot:
        raise CannotCorrect(f"slot: it is stored for user {stored.user_slot}, this is of user {later.slot}")
    if was.facts & Fact.ENTERED_IN_ERROR:
        raise CannotCorrect("it is entered in error: reinstate it first")
    facts = was.facts & ~int(Fact.IMPLAUSIBLE) | int(Fact.AMENDED)
    if implausible_slots(kind, later.values, unit):
        facts |= int(Fact.IMPLAUSIBLE)
    values = later.values + (None,) * (_IN_ROW - len(later.values))
    is_now = State(facts, absent_bits(later), values)
    if (is_now.absent, is_now.values) == (was.absent, was.values):
        return Corrected.UNCHANGED
    await _write(conn, key, Status.AMENDED, was, is_now, by=by, reason=reason, now=now)
    return Corrected.CORRECTED


async def _mark(conn: AsyncConnection, key: Key, status: Status, *, by: str, reason: str, now: datetime) -> Corrected:
    async with conn.transaction():
        _, _, was = await _locked(conn, key)
        bit = int(Fact.ENTERED_IN_ERROR)
        is_now = was._replace(facts=was.facts | bit if status is Status.ENTERED_IN_ERROR else was.facts & ~bit)
        if is_now == was:
            return Corrected.UNCHANGED
        await _write(conn, key, status, was, is_now, by=by, reason=reason, now=now)
    return Corrected.CORRECTED


async def _locked(conn: AsyncConnection, key: Key) -> tuple[Kind, str, State]:
    await conn.execute(_SQL["lock_record"], (str(key),))
    rows = await _rows(conn, "record", _about(key))
    if not rows:
        raise UnknownName(f"no reading {key}")
    kind, unit, facts, absent, values = rows[0]
    if kind not in BY_CODE:
        raise CannotCorrect("this program does not know its kind")
    return BY_CODE[kind], BY_TERM[unit].ucum, State(facts, absent, tuple(values))


def _check(kind: Kind, values: Mapping[int, float | None]) -> None:
    if not values:
        raise CannotCorrect("no value is given")
    for slot, value in values.items():
        if not 0 <= slot < len(kind.slots):
            raise CannotCorrect(f"{kind.ref} has no value {slot}, it has {len(kind.slots)}")
        if value is not None and not math.isfinite(value):
            raise CannotCorrect("a value is a number or none")


def _trimmed(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """As the columns hold them: four, and `more` up to the last number."""
    kept = list(values)
    while len(kept) > _IN_ROW and kept[-1] is None:
        kept.pop()
    kept += [None] * (_IN_ROW - len(kept))
    return tuple(kept)


async def _write(
    conn: AsyncConnection, key: Key, status: Status, was: State, is_now: State, *, by: str, reason: str, now: datetime
) -> None:
    if not by.strip() or not reason.strip():
        raise CannotCorrect("who corrects and why must be said")
    v0, v1, v2, v3 = is_now.values[:_IN_ROW]
    changed = {
        "was_facts": was.facts,
        "was_absent": was.absent,
        "was_values": list(was.values),
        "is_facts": is_now.facts,
        "is_absent": is_now.absent,
        "is_values": list(is_now.values),
    }
    columns = {"v0": v0, "v1": v1, "v2": v2, "v3": v3, "more": list(is_now.values[_IN_ROW:]) or None}
    said = {"status": status.value, "by": by, "reason": reason, "now": now}
    await conn.execute(_SQL["correct_record"], _about(key) | changed | columns)
    row = await (await conn.execute(_SQL["add_correction"], _about(key) | changed | said)).fetchone()
    assert row is not None
    await conn.execute(_SQL["announce_correction"], (row[0],))


def _about(key: Key) -> dict[str, Any]:
    return key._asdict()


async def _rows(conn: AsyncConnection, name: str, parameters: Mapping[str, Any] | None) -> list[tuple[Any, ...]]:
    async with conn.cursor(row_factory=tuple_row, binary=True) as cursor:
        await cursor.execute(_SQL[name], parameters)
        return await cursor.fetchall()


def _correction(row: Sequence[Any]) -> Correction:
    number, device_id, identity, kind, record_no, status, reason, by, at = row[:9]
    was_facts, was_absent, was_values, is_facts, is_absent, is_values = row[9:]
    return Correction(
        number,
        Key(device_id, kind, identity, record_no),
        Status(status),
        reason,
        by,
        at,
        State(was_facts, was_absent, tuple(was_values)),
        State(is_facts, is_absent, tuple(is_values)),
    )

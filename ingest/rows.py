"""Rows as PostgreSQL's binary COPY wants them: one observation, one tuple of 17 fields.

A field is an int32 length and the value, both big-endian; a NULL is the length -1 alone. Lengths and small values are
packed together as one int64 where both are four bytes, which halves the arguments of the hottest calls of this room.
What only the database can say (surrogates, identity time, batch) stands first, so that the rest is packed while the
observation is at hand and nothing but these octets waits for the transaction.
Source: PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Container, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from devices.clock import IDENTITY_ZONE
from devices.nomenclature import BLOOD_PRESSURE, BY_CODE, Kind
from devices.observation import ABSENT_NAMES, FACT_NAMES, Absent, Fact, Observation
from devices.units import BY_UCUM

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
DAY: Final = 86_400_000_000
"""One day in microseconds."""

COLUMNS: Final = (
    *("device_id", "identity_at", "measured_at", "batch_id", "facts", "session_no"),
    *("kind", "record_no", "absent", "unit", "user_slot", "context", "v0", "v1", "v2", "v3", "more"),
)
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"

_FOUR: Final = 4 << 32
_NULL: Final = b"\xff\xff\xff\xff"
_HEAD: Final = struct.Struct(">hqiqiqiqiq")
_HEAD_NO_SESSION: Final = struct.Struct(">hqiqiqiqiqi")
_TAIL_FORMAT: Final = ">qqiqih"
_TAIL: Final = struct.Struct(_TAIL_FORMAT)
_PLAIN: Final = {
    # 1 to 4 numbers, no user slot, context and further values: nearly every row
    count: struct.Struct(_TAIL_FORMAT + "ii" + "id" * count + "i" * (4 - count) + "i")
    for count in range(1, 5)
}
_FOUR_NUMBERS: Final = _PLAIN[4].pack
_NULLS: Final = {count: (-1,) * (5 - count) for count in range(1, 5)}
_INT2: Final = struct.Struct(">ih")
_FLOAT8: Final = struct.Struct(">id")
_ARRAY: Final = struct.Struct(">iiiiii")
_FLOAT8_OID: Final = 701
_LOCAL_EPOCH: Final = EPOCH.astimezone(IDENTITY_ZONE).replace(tzinfo=None)
"""The epoch on a device clock without a zone (`devices.clock.identity_at` says the same, slower; a test compares)."""

_as_row: Final = tuple.__new__
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000
_UNREGISTERED: Final = int(Fact.UNREGISTERED_DEVICE)


class Row(NamedTuple):
    """One accepted observation with everything about it that needs no database. Times: microseconds since 2000 UTC;
    tail: its columns from `kind` on, packed."""

    item: int
    device: str
    kind: int
    record_no: int
    measured: int
    stamp: int | None
    facts: int
    session: str | None
    tail: bytes


class Entry(NamedTuple):
    """A packed row with its place: sorts by the key of the table, then by order of delivery."""

    device_id: int
    identity: int
    kind: int
    record_no: int
    ordinal: int
    packed: bytes


class Shape(NamedTuple):
    """What a kind in one unit looks like: the unit's term and, per slot, bounds inside which nothing is impossible."""

    term: int
    bounds: tuple[tuple[float, float], ...]
    is_pressure: bool


def _shape(kind: Kind, unit: str) -> Shape:
    bounds = []
    for slot, ucum in zip(kind.slots, kind.units[unit], strict=True):
        of = BY_UCUM[ucum]
        low, high = (slot.low - of.offset) / of.factor, (slot.high - of.offset) / of.factor
        # a hair inside: at the very edge devices.plausibility decides, with its own rounding
        margin = 0.0 if of.factor == 1.0 and not of.offset else 1e-5 * max(1.0, abs(low), abs(high))
        bounds.append((low + margin, high - margin))
    return Shape(BY_UCUM[unit].term, tuple(bounds), kind.code == BLOOD_PRESSURE)


SHAPES: Final = {(kind.code, unit): _shape(kind, unit) for kind in BY_CODE.values() for unit in kind.units}


def surely_possible(shape: Shape, values: Sequence[float | None]) -> bool:
    """True: no value is impossible. False: `devices.plausibility` must look closely."""
    for value, (low, high) in zip(values, shape.bounds, strict=False):
        if value is not None and not low <= value <= high:
            return False
    if shape.is_pressure and len(values) > 1:
        systolic, diastolic = values[0], values[1]
        return systolic is None or diastolic is None or diastolic < systolic
    return True


def absent_bits(observation: Observation) -> int:
    """Four bits a slot. A slot with neither number nor reason was not sent."""
    bits = 0
    for slot, name in observation.absent.items():
        bits |= ABSENT_NAMES[name] << 4 * slot
    for slot, value in enumerate(observation.values):
        if value is None and not bits >> 4 * slot & 0xF:
            bits |= Absent.NOT_SENT << 4 * slot
    return bits


def microseconds(moment: datetime) -> int:
    """Of an aware time, since 2000-01-01 UTC."""
    return (moment - EPOCH) // _MICROSECOND


def moment(microseconds_since_2000: int) -> datetime:
    """The reverse, in UTC."""
    return EPOCH + timedelta(microseconds=microseconds_since_2000)


def row_of(item: int, observation: Observation, shape: Shape, more_facts: int) -> Row:
    """more_facts: bits that ingest adds. struct.error: a number does not fit its column."""
    facts = more_facts
    for name in observation.facts:
        facts |= FACT_NAMES[name]
    since = observation.measured_at - EPOCH
    stamp = observation.device_at
    stamped = None
    if stamp is not None:
        after = stamp - _LOCAL_EPOCH if stamp.tzinfo is None else stamp - EPOCH
        stamped = after.days * DAY + after.seconds * _SECOND + after.microseconds
    # built as a bare tuple: the named constructor is a call more for every observation
    return _as_row(
        Row,
        (
            item,
            observation.device,
            observation.kind,
            observation.record_no,
            since.days * DAY + since.seconds * _SECOND + since.microseconds,
            stamped,
            facts & ~_UNREGISTERED,  # whether a device is registered is ours to say
            observation.session,
            _tail(observation, shape.term),
        ),
    )


def _tail(observation: Observation, unit: int) -> bytes:
    values, slot, context = observation.values, observation.slot, observation.context
    kind, record_no = _FOUR | observation.kind, _FOUR | observation.record_no
    absent = absent_bits(observation) if observation.absent or None in values else 0
    count = len(values)
    if slot is None and context is None and count < 5 and not absent:
        if count == 4:
            v0, v1, v2, v3 = values
            return _FOUR_NUMBERS(kind, record_no, 8, 0, 2, unit, -1, -1, 8, v0, 8, v1, 8, v2, 8, v3, -1)
        numbers = [part for value in values for part in (8, value)]
        return _PLAIN[count].pack(kind, record_no, 8, 0, 2, unit, -1, -1, *numbers, *_NULLS[count])
    circumstances = context.packed() if context else 0
    parts = [
        _TAIL.pack(kind, record_no, 8, absent, 2, unit),
        _NULL if slot is None else _INT2.pack(2, slot),
        (_FOUR | circumstances).to_bytes(8) if circumstances else _NULL,
        *(_NULL if value is None else _FLOAT8.pack(8, value) for value in values[:4]),
        *(_NULL for _ in range(4 - count)),
        _more(values[4:]) if count > 4 else _NULL,
    ]
    return b"".join(parts)


def entries_of(
    rows: Sequence[Row],
    device_ids: Sequence[int],
    identities: Sequence[int],
    *,
    batch_id: int,
    sessions: Mapping[str, int],
    unregistered: Container[int] = (),
) -> list[Entry]:
    """The rows with what the database said of them. sessions: their numbers; unregistered: device_ids whose rows
    carry that fact."""
    entries = []
    head = _HEAD_NO_SESSION.pack
    for ordinal, (row, device_id, identity) in enumerate(zip(rows, device_ids, identities, strict=True)):
        _, _, kind, record_no, measured, _, facts, session, tail = row
        if not -DAY <= measured - identity <= DAY:
            # A repeat of an odd record may claim a time days from the first delivery's. It will collapse into that row,
            # and until the database says so it must satisfy the table's check: it takes the identity time.
            measured = identity
        if device_id in unregistered:
            facts |= _UNREGISTERED
        device = _FOUR | device_id
        if session is None:
            packed = head(17, device, 8, identity, 8, measured, 8, batch_id, 8, facts, -1)
        else:
            number = _FOUR | sessions[session]
            packed = _HEAD.pack(17, device, 8, identity, 8, measured, 8, batch_id, 8, facts) + number.to_bytes(8)
        entries.append(_as_row(Entry, (device_id, identity, kind, record_no, ordinal, packed + tail)))
    return entries


def _more(values: Sequence[float | None]) -> bytes:
    """float8[] in binary: dimensions 1, has nulls, element type, length, lower bound 1, elements."""
    elements = b"".join(_NULL if value is None else _FLOAT8.pack(8, value) for value in values)
    header = _ARRAY.pack(20 + len(elements), 1, int(None in values), _FLOAT8_OID, len(values), 1)
    return header + elements

"""Rows as PostgreSQL's binary COPY wants them: one observation, one tuple of 17 fields.

A field is an int32 length and the value, both big-endian; a NULL is the length -1 alone. Lengths and small values are
packed together as one int64 where both are four bytes, which halves the arguments of the hottest call of this room.
Source: PostgreSQL documentation, COPY, "Binary Format".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
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
    *("identity_at", "measured_at", "facts", "batch_id", "absent", "device_id", "kind", "record_no", "unit"),
    *("user_slot", "session_no", "context", "v0", "v1", "v2", "v3", "more"),
)
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"

_FOUR: Final = 4 << 32
_NULL: Final = b"\xff\xff\xff\xff"
_HEAD_FORMAT: Final = ">hiqiqiqiqiqqqqih"
_HEAD: Final = struct.Struct(_HEAD_FORMAT)
_PLAIN: Final = {
    # 1 to 4 numbers, no user slot, session, context and further values: nearly every row
    count: struct.Struct(_HEAD_FORMAT + "iii" + "id" * count + "i" * (4 - count) + "i")
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
_UNREGISTERED: Final = int(Fact.UNREGISTERED_DEVICE)


class Row(NamedTuple):
    """One accepted observation with everything about it that needs no database. Times: microseconds since 2000 UTC."""

    item: int
    device: str
    kind: int
    record_no: int
    measured: int
    stamp: int | None
    facts: int
    absent: int
    unit: int
    user_slot: int | None
    session: str | None
    context: int | None
    values: tuple[float | None, ...]
    observation: Observation


class Entry(NamedTuple):
    """A row with its place: sorts by the key of the table, then by order of delivery."""

    device_id: int
    identity: int
    kind: int
    record_no: int
    ordinal: int
    measured: int
    session_no: int | None
    row: Row


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
    """more_facts: bits that ingest adds."""
    facts = more_facts
    for name in observation.facts:
        facts |= FACT_NAMES[name]
    values = observation.values
    stamp = observation.device_at
    # built as a bare tuple: the named constructor is a call more for every observation
    return _as_row(
        Row,
        (
            item,
            observation.device,
            observation.kind,
            observation.record_no,
            (observation.measured_at - EPOCH) // _MICROSECOND,
            None
            if stamp is None
            else ((stamp - _LOCAL_EPOCH) if stamp.tzinfo is None else (stamp - EPOCH)) // _MICROSECOND,
            facts & ~_UNREGISTERED,  # whether a device is registered is ours to say
            absent_bits(observation) if observation.absent or None in values else 0,
            shape.term,
            observation.slot,
            observation.session,
            observation.context.packed() or None if observation.context else None,
            values,
            observation,
        ),
    )


def pack(entry: Entry, batch_id: int, facts: int) -> bytes:
    """One tuple of the COPY stream, in the order of `COLUMNS`. struct.error: a number does not fit its column."""
    device_id, identity, kind, record_no, _, measured, session_no, row = entry
    values = row.values
    count = len(values)
    # fmt: off
    if row.user_slot is None and session_no is None and row.context is None and count < 5 and not row.absent:
        if count == 4:
            v0, v1, v2, v3 = values
            return _FOUR_NUMBERS(
                17, 8, identity, 8, measured, 8, facts, 8, batch_id, 8, 0, _FOUR | device_id, _FOUR | kind,
                _FOUR | record_no, 2, row.unit, -1, -1, -1, 8, v0, 8, v1, 8, v2, 8, v3, -1,
            )
        numbers = [part for value in values for part in (8, value)]
        return _PLAIN[count].pack(
            17, 8, identity, 8, measured, 8, facts, 8, batch_id, 8, 0, _FOUR | device_id, _FOUR | kind,
            _FOUR | record_no, 2, row.unit, -1, -1, -1, *numbers, *_NULLS[count],
        )
    head = _HEAD.pack(
        17, 8, identity, 8, measured, 8, facts, 8, batch_id, 8, row.absent,
        _FOUR | device_id, _FOUR | kind, _FOUR | record_no, 2, row.unit,
    )
    # fmt: on
    parts = [
        head,
        _NULL if row.user_slot is None else _INT2.pack(2, row.user_slot),
        _NULL if session_no is None else (_FOUR | session_no).to_bytes(8),
        _NULL if row.context is None else (_FOUR | row.context).to_bytes(8),
        *(_NULL if value is None else _FLOAT8.pack(8, value) for value in values[:4]),
        *(_NULL for _ in range(4 - count)),
        _more(values[4:]) if count > 4 else _NULL,
    ]
    return b"".join(parts)


def _more(values: Sequence[float | None]) -> bytes:
    """float8[] in binary: dimensions 1, has nulls, element type, length, lower bound 1, elements."""
    elements = b"".join(_NULL if value is None else _FLOAT8.pack(8, value) for value in values)
    header = _ARRAY.pack(20 + len(elements), 1, int(None in values), _FLOAT8_OID, len(values), 1)
    return header + elements

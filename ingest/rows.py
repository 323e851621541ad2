"""Rows as PostgreSQL's binary COPY wants them: one observation, one tuple of 17 fields.

A field is an int32 length and the value, both big-endian; a NULL is the length -1 alone. Lengths and small values are
packed together as one int64 where both are four bytes.
What only the database can say (surrogates, identity time, batch) stands first (`ingest.placing`), so that the rest is
packed while the observation is at hand and nothing but these octets waits for the transaction. Here it is packed one by
one, whatever it is; `ingest.columns` packs many plain ones at once, to the same octets.
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
    *("device_id", "identity_at", "measured_at", "batch_id", "facts", "session_no"),
    *("kind", "record_no", "absent", "unit", "user_slot", "context", "v0", "v1", "v2", "v3", "more"),
)
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"

_FOUR: Final = 4 << 32
_NULL: Final = b"\xff\xff\xff\xff"
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
FLOAT8_OID: Final = 701
LOCAL_EPOCH: Final = EPOCH.astimezone(IDENTITY_ZONE).replace(tzinfo=None)
"""The epoch on a device clock without a zone (`devices.clock.identity_at` says the same, slower; a test compares)."""

_as_row: Final = tuple.__new__
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000
UNREGISTERED: Final = int(Fact.UNREGISTERED_DEVICE)


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


class Shape(NamedTuple):
    """What a kind in one unit looks like: the unit's term and, per slot, bounds inside which nothing is impossible."""

    kind: int
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
    return Shape(kind.code, BY_UCUM[unit].term, tuple(bounds), kind.code == BLOOD_PRESSURE)


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


def stamp_of(stamp: datetime) -> int:
    """Microseconds since 2000 UTC of a device's stamp; one without a zone is read in the zone of identities."""
    after = stamp - LOCAL_EPOCH if stamp.tzinfo is None else stamp - EPOCH
    return after.days * DAY + after.seconds * _SECOND + after.microseconds


def row_of(item: int, observation: Observation, shape: Shape, more_facts: int) -> Row:
    """more_facts: bits that ingest adds. struct.error: a number does not fit its column."""
    facts = more_facts
    for name in observation.facts:
        facts |= FACT_NAMES[name]
    since = observation.measured_at - EPOCH
    stamp = observation.device_at
    # built as a bare tuple: the named constructor is a call more for every observation
    return _as_row(
        Row,
        (
            item,
            observation.device,
            observation.kind,
            observation.record_no,
            since.days * DAY + since.seconds * _SECOND + since.microseconds,
            None if stamp is None else stamp_of(stamp),
            facts & ~UNREGISTERED,  # whether a device is registered is ours to say
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


def _more(values: Sequence[float | None]) -> bytes:
    """float8[] in binary: dimensions 1, has nulls, element type, length, lower bound 1, elements."""
    elements = b"".join(_NULL if value is None else _FLOAT8.pack(8, value) for value in values)
    header = _ARRAY.pack(20 + len(elements), 1, int(None in values), FLOAT8_OID, len(values), 1)
    return header + elements

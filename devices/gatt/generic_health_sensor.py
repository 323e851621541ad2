"""Generic Health Sensor Service (0x1840): live observations 0x2B8B and features 0x2BF3. Provisional.

Source: Bluetooth Generic Health Sensor Service 1.0 as two public implementations have it (STM32 ghs.h for the classes
and flags, a Philips client for the order of fields). No device is known that has the service, and there are no public
frames of the adopted version, so frames are taken apart and shown, and are no observations yet: implementations of
the drafts disagree about classes and status bits, and a misread number would look like a reading.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from typing import Any, ClassVar, Final, NamedTuple, Self

import msgspec

from devices.errors import BadValue, Truncated
from devices.gatt.characteristic import Characteristic
from devices.medfloat import Medfloat, decode_float
from devices.octets import U8, Field, Layout


class ObservationClass(enum.IntEnum):
    """What an observation's value is."""

    NUMERIC = 1
    SIMPLE_DISCRETE = 2
    STRING = 3
    SAMPLE_ARRAY = 4
    COMPOUND_DISCRETE_EVENT = 5
    COMPOUND_STATE_EVENT = 6
    COMPOUND = 7
    TLV = 8
    BUNDLE = 255


class ElapsedTime(NamedTuple):
    """9 octets. flags: bit 0 tick counter, 1 UTC, 2-3 resolution, 4 offset known, 5 current timeline. elapsed: since
    2000-01-01 in the resolution.  offset: quarters of an hour."""

    flags: int
    elapsed: int
    source: int
    offset: int


class Numeric(NamedTuple):
    """unit: 11073-10101 term of partition 4."""

    unit: int
    value: Medfloat


class HealthObservation(msgspec.Struct, frozen=True, kw_only=True):
    """One observation body. kind: `ObservationClass`.  type: 32-bit MDC code.  value: as sent, by the class."""

    kind: int
    flags: int
    value: bytes
    type: int | None = None
    time: ElapsedTime | None = None
    duration: Medfloat | None = None
    status: int | None = None
    id: int | None = None
    patient: int | None = None
    supplemental: tuple[int, ...] = ()
    derived_from: tuple[int, ...] = ()
    has_member: tuple[int, ...] = ()

    @property
    def numeric(self) -> Numeric | None:
        """Unit and number. None: another class, or not the six octets of one."""
        if self.kind != ObservationClass.NUMERIC or len(self.value) != 6:
            return None
        unit, word = struct.unpack("<HI", self.value)
        return Numeric(unit, decode_float(word))


class _Cursor:
    """Reads a body from its beginning. Truncated: names the field."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, letters: str, field: str) -> Any:
        layout = struct.Struct("<" + letters)
        if self.at + layout.size > len(self.data):
            raise Truncated(f"{len(self.data) - self.at} of {layout.size} octets", field=field)
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values[0] if len(values) == 1 else values

    def references(self, field: str) -> tuple[int, ...]:
        return tuple(self.take("I", field) for _ in range(self.take("B", field)))


_HEAD: Final = struct.Struct("<BHH")


def observation_in(body: bytes) -> HealthObservation:
    """The observation in a body, put together by `assembled`. Truncated, BadValue: name the field."""
    if len(body) < _HEAD.size:
        raise Truncated(f"{len(body)} of {_HEAD.size} octets", field="class")
    kind, length, flags = _HEAD.unpack_from(body)
    # the length counts what follows it, the flags included
    if len(body) != length + 3:
        raise BadValue(f"{length} octets announced, {len(body) - 3} there", field="length")
    cursor = _Cursor(body)
    cursor.at = _HEAD.size
    found: dict[str, Any] = {"kind": kind, "flags": flags}
    if flags & 0x01:
        found["type"] = cursor.take("I", "type")
    if flags & 0x02:
        stamp, low, high, source, offset = cursor.take("BIHBb", "time")
        found["time"] = ElapsedTime(stamp, low | high << 32, source, offset)
    if flags & 0x04:
        found["duration"] = decode_float(cursor.take("I", "duration"))
    for bit, name, letter in ((0x08, "status", "H"), (0x10, "id", "I"), (0x20, "patient", "B")):
        if flags & bit:
            found[name] = cursor.take(letter, name)
    for bit, name in ((0x40, "supplemental"), (0x80, "derived_from"), (0x100, "has_member")):
        if flags & bit:
            found[name] = cursor.references(name)
    return HealthObservation(value=body[cursor.at :], **found)


class LiveHealthObservations(Characteristic, frozen=True, kw_only=True):
    """0x2B8B, notified or indicated: one segment. first, last: of an observation.  counter: 6 bits."""

    uuid: ClassVar[str] = "2B8B"
    layout: ClassVar[Layout] = Layout((Field("header", U8),), flags="")

    first: bool
    last: bool
    counter: int
    segment: bytes = b""

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: no header."""
        values = (layout or cls.layout).unpack(data)
        header = values["header"]
        return cls(
            first=bool(header & 1), last=bool(header & 2), counter=header >> 2, segment=values.get("trailing", b"")
        )

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: the counter does not fit six bits."""
        if not 0 <= self.counter < 64:
            raise BadValue(f"{self.counter} does not fit six bits", field="counter")
        header = self.first | self.last << 1 | self.counter << 2
        return (layout or self.layout).pack({"header": header}) + self.segment

    @property
    def observation(self) -> HealthObservation | None:
        """The observation, where one segment holds all of it. Truncated, BadValue."""
        return observation_in(self.segment) if self.first and self.last else None


def assembled(segments: Iterable[LiveHealthObservations]) -> bytes:
    """The body in the segments of one observation. BadValue: one is missing, or does not belong to it."""
    parts: list[bytes] = []
    expected: int | None = None
    last = True
    for one in segments:
        if one.first is not last or (expected is not None and one.counter != expected):
            raise BadValue("a segment is missing, or of another observation", field="header")
        if one.first:
            parts = []
        parts.append(one.segment)
        expected, last = (one.counter + 1) % 64, one.last
    if not parts or not last:
        raise BadValue("the last segment is missing", field="header")
    return b"".join(parts)


class HealthSensorFeatures(Characteristic, frozen=True, kw_only=True):
    """0x2BF3, read. observation_types: MDC codes.  specializations: (11073-10101 term, version); None where the flags
    do not announce them."""

    uuid: ClassVar[str] = "2BF3"
    layout: ClassVar[Layout] = Layout((Field("flags", U8),), flags="")

    flags: int = 0
    observation_types: tuple[int, ...] = ()
    specializations: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the field."""
        del layout
        cursor = _Cursor(bytes(data))
        flags = cursor.take("B", "flags")
        types = cursor.references("observation_types")
        found: tuple[tuple[int, int], ...] | None = None
        if flags & 1:
            count = cursor.take("B", "specializations")
            found = tuple(cursor.take("HB", "specializations") for _ in range(count))
        return cls(flags=flags, observation_types=types, specializations=found, trailing=cursor.data[cursor.at :])

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a number does not fit, or the flags say otherwise."""
        del layout
        if bool(self.flags & 1) is (self.specializations is None):
            raise BadValue("bit 0 announces the specializations", field="flags")
        try:
            types = struct.pack(
                f"<BB{len(self.observation_types)}I", self.flags, len(self.observation_types), *self.observation_types
            )
            rest = b"" if self.specializations is None else bytes([len(self.specializations)])
            rest += b"".join(struct.pack("<HB", *one) for one in self.specializations or ())
        except (struct.error, ValueError) as error:
            raise BadValue(str(error), field="features") from error
        return types + rest + self.trailing

"""The body of a health observation (0x2B8B, 0x2BDD): its fields, and its value by its class. Provisional.

Source: Bluetooth Generic Health Sensor Service 1.0 as three public implementations have it: STM32 ghs.h and Realtek
ghss_gatt_svc (classes, flags, status bits and the layout of each value) and a Philips client (order of fields). They
count the length from different ends: with its own three octets or without. Both are read, and written back as read.
"""

from __future__ import annotations

import enum
import struct
from typing import Any, Final, NamedTuple

import msgspec

from devices.errors import BadValue, Truncated
from devices.gatt.elapsed_time import ElapsedTime
from devices.gatt.octet_cursor import Cursor
from devices.medfloat import Medfloat, decode_float, encode_float


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


class Numeric(NamedTuple):
    """unit: 11073-10101 term of partition 4."""

    unit: int
    value: Medfloat


class SampleArray(NamedTuple):
    """unit: as in `Numeric`.  value = sample * factor + offset.  period: between samples.  each: samples a period.
    width: octets of a sample."""

    unit: int
    factor: Medfloat
    offset: Medfloat
    period: Medfloat
    each: int
    width: int
    data: bytes


class StateEvent(NamedTuple):
    """supported: bits that the sensor has.  is_event: those that are events, not states.  bits: as they are."""

    supported: bytes
    is_event: bytes
    bits: bytes


class Component(NamedTuple):
    """One of a compound. type: 32-bit MDC code.  kind: `ObservationClass` of the value, a simple one."""

    type: int
    kind: int
    value: Any


class Tlv(NamedTuple):
    """An attribute of a newer version. type: 32-bit MDC code."""

    type: int
    format: int
    value: bytes


class HealthObservation(msgspec.Struct, frozen=True, kw_only=True):
    """One observation body. kind: `ObservationClass`.  type: 32-bit MDC code.  value: octets as sent, by the class.

    own_head: its length counts class and length too.  tlvs: attributes beside the known ones.
    """

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
    tlvs: tuple[Tlv, ...] = ()
    own_head: bool = False

    @property
    def content(self) -> Any:
        """The value: `Numeric`, u32, text, `SampleArray`, u32s, `StateEvent`, `Component`s, `Tlv`s, or, of a bundle,
        the `HealthObservation`s in it. Truncated, BadValue: name the field."""
        cursor = Cursor(self.value)
        if self.kind == ObservationClass.BUNDLE:
            found: Any = tuple(_body(cursor) for _ in range(cursor.take("B", "number_of_observations")))
        else:
            found = _content(self.kind, cursor)
        if cursor.rest:
            raise BadValue(f"{len(cursor.rest)} octets after the value", field="value")
        return found

    @property
    def numeric(self) -> Numeric | None:
        """Unit and number. None: another class, or not the six octets of one."""
        if self.kind != ObservationClass.NUMERIC or len(self.value) != 6:
            return None
        return _numeric(Cursor(self.value))

    @property
    def octets(self) -> bytes:
        """To octets, `observation_in`'s exact inverse. BadValue: names the field that is missing or does not fit."""
        body = self._fields() + self.value
        length = len(body) + 2 + 3 * self.own_head
        try:
            return _HEAD.pack(self.kind, length, self.flags) + body
        except struct.error as error:
            raise BadValue(str(error), field="length") from error

    def _fields(self) -> bytes:
        parts = []
        for bit, name, letter in _SCALARS:
            if self.flags & bit:
                value = getattr(self, name)
                if value is None:
                    raise BadValue("its flag announces it", field=name)
                if letter == "time":
                    parts.append(value.octets)
                else:
                    parts.append(_packed(letter, encode_float(value) if name == "duration" else value, field=name))
        for bit, name in _LISTS:
            if self.flags & bit:
                references = getattr(self, name)
                parts.append(_packed(f"B{len(references)}I", len(references), *references, field=name))
        if self.flags & _TLVS:
            parts.append(_packed("B", len(self.tlvs), field="tlvs"))
            parts.extend(
                _packed("IHB", one.type, len(one.value), one.format, field="tlvs") + one.value for one in self.tlvs
            )
        return b"".join(parts)


_HEAD: Final = struct.Struct("<BHH")
_TLVS: Final = 0x200
_SCALARS: Final = (
    (0x01, "type", "I"),
    (0x02, "time", "time"),
    (0x04, "duration", "I"),
    (0x08, "status", "H"),
    (0x10, "id", "I"),
    (0x20, "patient", "B"),
)
_LISTS: Final = ((0x40, "supplemental"), (0x80, "derived_from"), (0x100, "has_member"))


def _packed(letters: str, *values: Any, field: str) -> bytes:
    try:
        return struct.pack("<" + letters, *values)
    except struct.error as error:
        raise BadValue(str(error), field=field) from error


def observation_in(body: bytes) -> HealthObservation:
    """The observation in a body, put together from its segments. Truncated, BadValue: name the field."""
    cursor = Cursor(bytes(body))
    kind, length, flags = cursor.take("BHH", "class")
    # first the fields, so that what is cut off is named by the field in which it is cut
    fields = _optional(cursor, flags)
    own_head = _counts_own_head(length, len(body))
    return HealthObservation(kind=kind, flags=flags, own_head=own_head, value=cursor.rest, **fields)


def _counts_own_head(length: int, size: int) -> bool:
    """Truncated: more octets are announced. BadValue: fewer."""
    if length not in {size, size - 3}:
        if length > size - 3:
            raise Truncated(f"{length} octets announced, {size - 3} there", field="value")
        raise BadValue(f"{length} octets announced, {size - 3} there", field="length")
    return length == size


def _optional(cursor: Cursor, flags: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for bit, name, letter in _SCALARS:
        if flags & bit:
            found[name] = ElapsedTime.read(cursor) if letter == "time" else cursor.take(letter, name)
    if "duration" in found:
        found["duration"] = decode_float(found["duration"])
    for bit, name in _LISTS:
        if flags & bit:
            found[name] = cursor.references(name)
    if flags & _TLVS:
        found["tlvs"] = _tlvs(cursor)
    return found


def _tlvs(cursor: Cursor) -> tuple[Tlv, ...]:
    found = []
    for _ in range(cursor.take("B", "tlvs")):
        kind, size, form = cursor.take("IHB", "tlvs")
        found.append(Tlv(kind, form, cursor.octets(size, "tlvs")))
    return tuple(found)


def _numeric(cursor: Cursor) -> Numeric:
    unit, word = cursor.take("HI", "value")
    return Numeric(unit, decode_float(word))


def _content(kind: int, cursor: Cursor) -> Any:  # noqa: PLR0911  one return a class
    match kind:
        case ObservationClass.NUMERIC:
            return _numeric(cursor)
        case ObservationClass.SIMPLE_DISCRETE:
            return cursor.take("I", "value")
        case ObservationClass.STRING:
            return cursor.octets(cursor.take("H", "value"), "value").decode("utf-8", "replace")
        case ObservationClass.SAMPLE_ARRAY:
            unit, factor, offset, period, each, width, count = cursor.take("HIIIBBI", "value")
            words = (decode_float(factor), decode_float(offset), decode_float(period))
            return SampleArray(unit, *words, each, width, cursor.octets(width * count, "value"))
        case ObservationClass.COMPOUND_DISCRETE_EVENT:
            return cursor.references("value")
        case ObservationClass.COMPOUND_STATE_EVENT:
            size = cursor.take("B", "value")
            return StateEvent(*(cursor.octets(size, "value") for _ in range(3)))
        case ObservationClass.COMPOUND:
            return tuple(_component(cursor) for _ in range(cursor.take("B", "value")))
        case ObservationClass.TLV:
            return _tlvs(cursor)
    raise BadValue(f"{kind} is no class of an observation", field="class")


def _component(cursor: Cursor) -> Component:
    kind, form = cursor.take("IB", "value")
    if not ObservationClass.NUMERIC <= form <= ObservationClass.COMPOUND_STATE_EVENT:
        raise BadValue(f"a component of class {form}", field="class")
    return Component(kind, form, _content(form, cursor))


def _body(cursor: Cursor) -> HealthObservation:
    """One of a bundle: its end is where its value ends."""
    began = cursor.at
    kind, length, flags = cursor.take("BHH", "class")
    fields = _optional(cursor, flags)
    at = cursor.at
    _content(kind, cursor)
    own_head = _counts_own_head(length, cursor.at - began)
    return HealthObservation(kind=kind, flags=flags, own_head=own_head, value=cursor.data[at : cursor.at], **fields)

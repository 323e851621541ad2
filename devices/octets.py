"""Octets and fields: a characteristic is a table of fields, some of which its flags switch on.

`Layout` holds the table and turns octets into named values and back. A product that deviates from the standard is
the same table with altered rows (`Layout.altered`); the codec does not change. Little endian, as all of GATT.
Source: Bluetooth GATT Specification Supplement, clause 2 (values, bit order); E2E-CRC: CGM Service 1.0.2, clause 3.11.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from devices.errors import BadValue, Truncated
from devices.medfloat import decode_float, decode_sfloat, encode_float, encode_sfloat

T = TypeVar("T")


class Codec(NamedTuple):
    """How the octets of one field become a value: the `struct` letter, then `read`; `write` goes back.

    parts, join: the letters of a value of several numbers, and what makes it of their tuple in one go; the same octets
    and the same value as by `letter` and `read`.
    """

    letter: str
    read: Callable[[Any], Any] = int
    write: Callable[[Any], Any] = int
    parts: str = ""
    join: Callable[[tuple[Any, ...]], Any] = tuple

    def swapped(self) -> Codec:
        """The same field in big endian, for products that got the order wrong."""
        size = struct.calcsize("<" + self.letter)

        def read(raw: bytes) -> Any:
            return self.read(struct.unpack(">" + self.letter, raw)[0])

        def write(value: Any) -> bytes:
            return struct.pack(">" + self.letter, self.write(value))

        return Codec(f"{size}s", read, write)


def _same(raw: bytes) -> bytes:
    return bytes(raw)


def _read_u24(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _write_u24(value: int) -> bytes:
    if not 0 <= value < 1 << 24:
        raise BadValue(f"{value} does not fit 24 bits")
    return value.to_bytes(3, "little")


_REFLECTED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
U8: Final = Codec("B")
U16: Final = Codec("H")
U32: Final = Codec("I")
U24: Final = Codec("3s", _read_u24, _write_u24)
S8: Final = Codec("b")
S16: Final = Codec("h")
SFLOAT: Final = Codec("H", decode_sfloat, encode_sfloat)
FLOAT: Final = Codec("I", decode_float, encode_float)


def fixed(size: int) -> Codec:
    """`size` octets as they are."""
    return Codec(f"{size}s", _same, _same)


def scaled(numerator: int, denominator: int, *, unsuccessful: bool = False) -> Codec:
    """A u16 counting in numerator/denominator of the unit; value exact to the nearest binary float.

    unsuccessful: 0xFFFF says that the measurement failed, and the value is None.
    """

    def read(raw: int) -> float | None:
        return None if unsuccessful and raw == 0xFFFF else raw * numerator / denominator

    def write(value: float | None) -> int:
        if value is None:
            if unsuccessful:
                return 0xFFFF
            raise BadValue("a value is needed")
        raw = round(value * denominator / numerator)
        if unsuccessful and raw == 0xFFFF:
            raise BadValue(f"{value} would read back as a failed measurement")
        return raw

    return Codec("H", read, write)


class Field(NamedTuple):
    """One row: `when` are the flag bits that announce the field (0: always there), `unless` those that exclude it."""

    name: str
    codec: Codec
    when: int = 0
    unless: int = 0


class Choice(NamedTuple):
    """A flag that is a value of its own (a unit, a yes or no), not the presence of a field."""

    name: str
    mask: int
    clear: Any
    set: Any


class _Plan(NamedTuple):
    """What one combination of flags announces.

    named: takes the numbers of `unpack_from` to values by name.  chosen: the values of the choices.
    """

    size: int
    unpack_from: Callable[..., tuple[Any, ...]]
    named: Callable[..., dict[str, Any]]
    fields: tuple[Field, ...]
    chosen: Mapping[str, Any]


def _naming(
    fields: Sequence[Field], constants: Mapping[str, Any], made: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """`lambda v0, v1: {"systolic": r0(v0), "user_id": v1, "unit": c0}` for these rows, or `made(systolic=r0(v0), …)`.

    Written out as source once a combination of flags, as `dataclasses` does: a loop over the rows takes three times as
    long, and every frame of every device passes here.
    """
    scope: dict[str, Any] = {"made": made}
    arguments: list[str] = []
    items: list[tuple[str, str]] = []
    for index, (name, codec, _, _) in enumerate(fields):
        numbers = [f"v{index}_{part}" for part in range(len(codec.parts) or 1)]
        arguments += numbers
        scope[f"r{index}"] = codec.join if codec.parts else codec.read
        if codec.parts:
            items.append((name, f"r{index}(({', '.join(numbers)},))"))
        else:
            # int is what struct gives already
            items.append((name, numbers[0] if codec.read is int else f"r{index}({numbers[0]})"))
    for index, (name, constant) in enumerate(constants.items()):
        scope[f"c{index}"] = constant
        items.append((name, f"c{index}"))
    if made is None:
        body = f"{{{', '.join(f'{name!r}: {value}' for name, value in items)}}}"
    else:
        body = f"made({', '.join(f'{name}={value}' for name, value in items)})"
    named: Callable[..., Any] = eval(f"lambda {', '.join(arguments)}: {body}", scope)  # noqa: S307  of constants
    return named


_Maker: TypeAlias = tuple[int, Callable[..., tuple[Any, ...]], Callable[..., Any]]
"""Of a plan: its size, its `unpack_from`, and what takes the numbers to one value of one type."""
_NO_MAKER: Final[_Maker] = -1, tuple, tuple
MOST_PLANS: Final = 512
"""Combinations of flags that a layout remembers: a device has few, and a stranger's octets may have thousands."""


class Layout:
    """The fields of one characteristic. `flags` is the `struct` letter of the flags, empty where there are none."""

    def __init__(self, fields: Sequence[Field], *, flags: str = "B", choices: Sequence[Choice] = ()) -> None:
        self.fields = tuple(fields)
        self.choices = tuple(choices)
        self.flags = flags
        self._head = struct.calcsize("<" + flags)
        self._known = 0
        for field in fields:
            self._known |= field.when | field.unless
        self._chosen = 0
        for choice in choices:
            self._chosen |= choice.mask
        self._known |= self._chosen
        self._plans: dict[int, _Plan] = {}
        self._makers: dict[Callable[..., Any], dict[int, _Maker]] = {}

    def altered(self, **changes: Mapping[str, Any]) -> Layout:
        """The layout of a product that deviates: for each named field the members of `Field` that differ."""
        fields = [field._replace(**changes.get(field.name, {})) for field in self.fields]
        return Layout(fields, flags=self.flags, choices=self.choices)

    def _plan(self, known: int) -> _Plan:
        plan = self._plans.get(known)
        if plan is None:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            fields = tuple(f for f in self.fields if known & f.when == f.when and not known & f.unless)
            packed = struct.Struct("<" + "".join(field.codec.parts or field.codec.letter for field in fields))
            chosen = {choice.name: choice.set if known & choice.mask else choice.clear for choice in self.choices}
            plan = self._plans[known] = _Plan(
                self._head + packed.size, packed.unpack_from, _naming(fields, chosen), fields, chosen
            )
        return plan

    def read(self, data: bytes, made: Callable[..., T]) -> T:
        """What `made(**self.unpack(data))` gives, without the dict in between. Truncated, as there."""
        length = len(data)
        if length >= self._head:
            flags = data[0] if self._head == 1 else int.from_bytes(data[: self._head], "little")
            makers = self._makers.get(made)
            known = None if makers is None else makers.get(flags)
            if known is None:
                known = self._maker(made, flags)
            size, unpack_from, make = known
            # reserved flags and octets that are left over are of no plan
            if size == length:
                found: T = make(*unpack_from(data, self._head))
                return found
        return made(**self.unpack(data))

    def _maker(self, made: Callable[..., Any], flags: int) -> _Maker:
        if flags & ~self._known:
            return _NO_MAKER
        makers = self._makers.setdefault(made, {})
        if len(makers) >= MOST_PLANS:
            makers.clear()
        plan = self._plan(flags)
        found = makers[flags] = plan.size, plan.unpack_from, _naming(plan.fields, plan.chosen, made)
        return found

    def unpack(self, data: bytes) -> dict[str, Any]:
        """The fields by name, with `reserved` flags and `trailing` octets where any are left over.

        Truncated: names the field in which the frame ends.
        """
        head = self._head
        if len(data) < head:
            raise Truncated(f"{len(data)} of {head} octets", field="flags")
        flags = data[0] if head == 1 else int.from_bytes(data[:head], "little")
        known = flags & self._known
        plan = self._plans.get(known) or self._plan(known)
        size, unpack_from, named, _, _ = plan
        if len(data) < size:
            raise self._truncated(plan, len(data))
        found = named(*unpack_from(data, head))
        if flags != known:
            found["reserved"] = flags & ~known
        if len(data) > size:
            found["trailing"] = bytes(data[size:])
        return found

    def _truncated(self, plan: _Plan, length: int) -> Truncated:
        end = self._head
        for field in plan.fields:
            end += struct.calcsize("<" + field.codec.letter)
            if end > length:
                break
        wanted = f"its flags announce {plan.size}" if self.flags else f"its fields take {plan.size}"
        return Truncated(f"the frame has {length} octets, {wanted}", field=field.name)

    def flags_of(self, values: Mapping[str, Any]) -> int:
        """The flags that announce these values. BadValue: a choice with a value that it does not have."""
        flags: int = values.get("reserved", 0)
        for choice in self.choices:
            if values[choice.name] == choice.set:
                flags |= choice.mask
            elif values[choice.name] != choice.clear:
                raise BadValue(f"{values[choice.name]!r} is not {choice.clear!r} or {choice.set!r}", field=choice.name)
        for field in self.fields:
            if values.get(field.name) is not None:
                # a bit that chooses a unit is set by the unit, never by the presence of a field
                flags |= field.when & ~self._chosen
        return flags

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """The octets of these values. BadValue: names the field that is missing or does not fit."""
        flags = self.flags_of(values)
        plan = self._plan(flags & self._known)
        raws: list[bytes] = []
        for field in plan.fields:
            value = values.get(field.name)
            if field.when & ~self._chosen and value is None:
                raise BadValue("its flag also announces this field, which has no value", field=field.name)
            try:
                raws.append(struct.pack("<" + field.codec.letter, field.codec.write(value)))
            except BadValue as error:
                raise BadValue(error.detail, field=field.name) from error
            except (struct.error, TypeError, ValueError, OverflowError, AttributeError) as error:
                raise BadValue(f"{value!r} does not fit ({error})", field=field.name) from error
        head = struct.pack("<" + self.flags, flags) if self.flags else b""
        return b"".join((head, *raws, values.get("trailing", b"")))


def crc16(data: bytes) -> int:
    """E2E-CRC: polynomial 0x1021 reflected, seed 0xFFFF, no final inversion (CRC-16/MCRF4XX)."""
    # `binascii` has the same polynomial for the other order of bits: reflect what goes in and what comes out
    crc = binascii.crc_hqx(data.translate(_REFLECTED), 0xFFFF)
    return _REFLECTED[crc >> 8] | _REFLECTED[crc & 0xFF] << 8

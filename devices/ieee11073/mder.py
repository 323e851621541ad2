"""Medical device encoding rules: big endian, no padding, a tag only before a CHOICE; every read stays in its bounds.

A length or a count is checked against what is left before anything is built from it, so an APDU of n octets never
makes more than n values. Source: ISO/IEEE 11073-20601, annex F (MDER).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final, Self

from devices.errors import BadValue, Truncated

_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_COUNTED: Final = struct.Struct(">HH")
MOST: Final = 0xFFFF
"""No length and no count is larger: both are 16 bits wide."""


class Reader:
    """The octets from `at` to `end` of `data`. Truncated: names the field that ends outside."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """Octets not yet read."""
        return self.end - self.at

    def _past(self, size: int, field: str) -> int:
        at = self.at
        if size > self.end - at:
            raise Truncated(f"{size} octets are announced, {self.end - at} are left", field=field)
        self.at = at + size
        return at

    def u8(self, field: str) -> int:
        """INT-U8."""
        return self.data[self._past(1, field)]

    def u16(self, field: str) -> int:
        """INT-U16, BITS-16, OID-Type, HANDLE."""
        value: int = _U16.unpack_from(self.data, self._past(2, field))[0]
        return value

    def u32(self, field: str) -> int:
        """INT-U32, BITS-32, RelativeTime."""
        value: int = _U32.unpack_from(self.data, self._past(4, field))[0]
        return value

    def fields(self, layout: struct.Struct, field: str) -> tuple[Any, ...]:
        """A SEQUENCE of fixed size."""
        return layout.unpack_from(self.data, self._past(layout.size, field))

    def take(self, size: int, field: str) -> bytes:
        """OCTET STRING of a fixed size."""
        at = self._past(size, field)
        return bytes(self.data[at : at + size])

    def octets(self, field: str) -> bytes:
        """OCTET STRING or ANY: a length and its octets."""
        return self.take(self.u16(field), field)

    def inner(self, field: str) -> Reader:
        """The contents of an OCTET STRING or ANY, to be read in place."""
        size = self.u16(field)
        at = self._past(size, field)
        return Reader(self.data, at, at + size)

    def sequence(self, smallest: int, field: str) -> tuple[int, Reader]:
        """SEQUENCE OF: its count and its contents. smallest: octets of the shortest element.

        BadValue: so many elements do not fit into so many octets, or octets without an element.
        """
        count, size = self.fields(_COUNTED, field)
        at = self._past(size, field)
        if count * smallest > size or (size and not count):
            raise BadValue(f"{count} elements in {size} octets", field=field)
        return count, Reader(self.data, at, at + size)

    def finish(self, field: str) -> None:
        """BadValue: octets are left over."""
        if self.at != self.end:
            raise BadValue(f"{self.end - self.at} octets after the last field", field=field)

    def rest(self, field: str) -> bytes:
        """All that is left."""
        return self.take(self.end - self.at, field)

    @classmethod
    def over(cls, data: bytes) -> Self:
        """All of `data`, whatever kind of buffer it is."""
        return cls(bytes(data))


def pack(layout: struct.Struct, field: str, *values: Any) -> bytes:
    """BadValue: a value does not fit its octets."""
    try:
        return layout.pack(*values)
    except (struct.error, TypeError) as error:
        raise BadValue(str(error), field=field) from error


def u16(value: int, field: str = "u16") -> bytes:
    """INT-U16 and what is as wide. BadValue."""
    return pack(_U16, field, value)


def u32(value: int, field: str = "u32") -> bytes:
    """INT-U32 and what is as wide. BadValue."""
    return pack(_U32, field, value)


def octets(value: bytes, field: str = "octets") -> bytes:
    """OCTET STRING or ANY. BadValue: longer than 65535."""
    return u16(len(value), field) + value


def sequence(elements: Iterable[bytes], field: str = "sequence") -> bytes:
    """SEQUENCE OF. BadValue: too many or too long together."""
    items = list(elements)
    body = b"".join(items)
    return pack(_COUNTED, field, len(items), len(body)) + body


def text(value: str) -> bytes:
    """A text as 20601 sends it: an even number of octets, padded with NUL."""
    raw = value.encode()
    return raw + b"\0" * (len(raw) % 2)


def untext(raw: bytes) -> str:
    """The text of octets; padding goes, octets that are no UTF-8 become U+FFFD."""
    return raw.decode("utf-8", errors="replace").rstrip("\0 ")

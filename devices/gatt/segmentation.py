"""Values longer than a frame: the segmentation header of health records, and how their segments are put together.

Source: Bluetooth GATT Specification Supplement, Blood Pressure Record (0x2B36): bit 0 first, bit 1 last, bits 2 to 7 a
counter that rolls over at 63. The Generic Health Sensor service has the same header.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from devices.errors import BadValue

MOST_OCTETS: Final = 65_540
"""Of a value in segments: a health observation counts its octets in 16 bits, and its record in 32 before that."""


class Header(NamedTuple):
    """first, last: of a value.  counter: 0 to 63."""

    first: bool
    last: bool
    counter: int

    @classmethod
    def of(cls, octet: int) -> Header:
        """From the octet."""
        return cls(bool(octet & 1), bool(octet & 2), octet >> 2)

    @property
    def octet(self) -> int:
        """BadValue: the counter does not fit six bits."""
        if not 0 <= self.counter < 64:
            raise BadValue(f"{self.counter} does not fit six bits", field="counter")
        return self.first | self.last << 1 | self.counter << 2


class Joining:
    """The segments of one characteristic on one connection. lost: values that had no end, because another began.
    size: octets of the value that is not yet whole."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        self._expected: int | None = None
        self.lost = 0

    def take(self, header: Header, part: bytes) -> bytes | None:
        """The value, at its last segment. None: more are to come.

        BadValue: a segment is missing, or the value is longer than any; the next first segment begins anew.
        """
        if header.first:
            self.lost += bool(self._parts)
            self._drop()
        elif header.counter != self._expected:
            self._drop()
            raise BadValue("a segment is missing, or of another value", field="header")
        self._parts.append(part)
        self.size += len(part)
        self._expected = (header.counter + 1) % 64
        if self.size > MOST_OCTETS:
            self._drop()
            raise BadValue(f"more than {MOST_OCTETS} octets", field="header")
        if not header.last:
            return None
        whole = b"".join(self._parts)
        self._drop()
        return whole

    def _drop(self) -> None:
        self._parts, self.size, self._expected = [], 0, None


def joined(segments: Iterable[tuple[Header, bytes]]) -> bytes:
    """The value in the segments of one. BadValue: one is missing, or does not belong to it."""
    joining = Joining()
    whole: bytes | None = None
    for header, part in segments:
        if whole is not None:
            raise BadValue("segments after the last", field="header")
        whole = joining.take(header, part)
    if whole is None or joining.lost:
        raise BadValue("the last segment is missing", field="header")
    return whole

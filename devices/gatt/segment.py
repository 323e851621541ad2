"""A characteristic that is one segment of a longer value: a header, and octets that mean nothing by themselves.

Source: Bluetooth GATT Specification Supplement, the segmentation header (see `segmentation`).
"""

from __future__ import annotations

from typing import ClassVar, Self

from devices.gatt.characteristic import Characteristic
from devices.gatt.segmentation import Header
from devices.octets import U8, Field, Layout


class Segment(Characteristic, frozen=True, kw_only=True):
    """first, last: of a value.  counter: 6 bits."""

    layout: ClassVar[Layout] = Layout((Field("header", U8),), flags="")

    first: bool
    last: bool
    counter: int
    segment: bytes = b""

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: no header."""
        values = (layout or cls.layout).unpack(data)
        first, last, counter = Header.of(values["header"])
        return cls(first=first, last=last, counter=counter, segment=values.get("trailing", b""))

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: the counter does not fit six bits."""
        return (layout or self.layout).pack({"header": self.header.octet}) + self.segment

    @property
    def header(self) -> Header:
        """As `segmentation.Joining` takes it."""
        return Header(self.first, self.last, self.counter)

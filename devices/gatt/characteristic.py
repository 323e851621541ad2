"""What each characteristic can do: be read from octets and be written to them."""

from __future__ import annotations

from typing import ClassVar, Self

import msgspec

from devices.octets import Layout


class Characteristic(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A decoded characteristic value. An optional field that the frame does not have is None.

    reserved: flag bits that the standard keeps for later, as they were received.
    trailing: octets after the last field that the flags announce (`Fact.TRAILING_BYTES`).
    """

    uuid: ClassVar[str]
    layout: ClassVar[Layout]

    reserved: int = 0
    trailing: bytes = b""

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets; `layout` where a product deviates from the standard. Truncated: names the field."""
        return (layout or cls.layout).read(data, cls)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets, `decode`'s exact inverse. BadValue: a field does not fit, or is missing beside its companion."""
        return (layout or self.layout).pack(msgspec.structs.asdict(self))

    def flags_in(self, layout: Layout | None = None) -> int:
        """The flags that announce the fields present."""
        return (layout or self.layout).flags_of(msgspec.structs.asdict(self))

"""Reading octets whose shape depends on what was read before: bodies with lists and values of many classes."""

from __future__ import annotations

import struct
from typing import Any

from devices.errors import Truncated


class Cursor:
    """Reads from the beginning, little endian. Truncated: names the field."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, letters: str, field: str) -> Any:
        """Numbers by their `struct` letters; one by itself, several as a tuple."""
        layout = struct.Struct("<" + letters)
        if self.at + layout.size > len(self.data):
            raise Truncated(f"{len(self.data) - self.at} of {layout.size} octets", field=field)
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values[0] if len(values) == 1 else values

    def octets(self, size: int, field: str) -> bytes:
        """So many octets."""
        part = self.data[self.at : self.at + size]
        if len(part) < size:
            raise Truncated(f"{len(part)} of {size} octets", field=field)
        self.at += size
        return part

    def references(self, field: str) -> tuple[int, ...]:
        """A count in one octet, and as many u32."""
        return tuple(self.take("I", field) for _ in range(self.take("B", field)))

    @property
    def rest(self) -> bytes:
        """All that is left."""
        return self.data[self.at :]

"""Battery Service (0x180F): battery level 0x2A19.

Source: Bluetooth Battery Service 1.1, clause 3.1: 0 to 100 %, all other values reserved.
"""

from __future__ import annotations

from typing import ClassVar, Self

from devices.errors import BadValue
from devices.gatt.characteristic import Characteristic
from devices.octets import U8, Field, Layout


class BatteryLevel(Characteristic, frozen=True, kw_only=True):
    """0x2A19. level in %."""

    uuid: ClassVar[str] = "2A19"
    layout: ClassVar[Layout] = Layout((Field("level", U8),), flags="")

    level: int

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. BadValue: more than 100 %."""
        found = super().decode(data, layout)
        if found.level > 100:
            raise BadValue(f"{found.level} % is reserved", field="level")
        return found

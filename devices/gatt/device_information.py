"""Device Information Service (0x180A): who made the device, and its identity.

Source: Bluetooth Device Information Service 1.1, clauses 3.1 to 3.7 (strings and system ID) and 3.9 (PnP ID). The
system ID is an EUI-64 sent with its last octet first; ISO/IEEE 11073-20601 sends the same EUI-64 first octet first.
"""

from __future__ import annotations

from typing import ClassVar, Self

from devices.errors import BadValue
from devices.gatt.characteristic import Characteristic
from devices.octets import U8, U16, Field, Layout, fixed


class SystemId(Characteristic, frozen=True, kw_only=True):
    """0x2A23. eui64: 8 octets, the organisation's first, as IEEE and 11073-20601 write it."""

    uuid: ClassVar[str] = "2A23"
    layout: ClassVar[Layout] = Layout((Field("eui64", fixed(8)),), flags="")

    eui64: bytes

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: fewer than 8."""
        values = (layout or cls.layout).unpack(data)
        values["eui64"] = values["eui64"][::-1]
        return cls(**values)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: not 8 octets."""
        if len(self.eui64) != 8:
            raise BadValue(f"{len(self.eui64)} octets are no EUI-64", field="eui64")
        return (layout or self.layout).pack({"eui64": self.eui64[::-1]}) + self.trailing

    @property
    def device(self) -> str:
        """The device's identity as in `Observation.device`: `eui64:` and 16 hex digits in lower case."""
        return f"eui64:{self.eui64.hex()}"

    @property
    def plausible(self) -> bool:
        """False for all zeros or all ones, which unprogrammed devices share."""
        return self.eui64 not in (bytes(8), b"\xff" * 8)


class InformationString(Characteristic, frozen=True, kw_only=True):
    """A UTF-8 string. Octets that are no UTF-8 become U+FFFD; NULs and blanks at the end are padding and go."""

    text: str

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets; each sequence of them is a string."""
        del layout
        return cls(text=bytes(data).decode("utf-8", errors="replace").rstrip("\0 "))

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: lone surrogates."""
        del layout
        try:
            return self.text.encode()
        except UnicodeEncodeError as error:
            raise BadValue(str(error), field="text") from error


class ModelNumber(InformationString, frozen=True, kw_only=True):
    """0x2A24."""

    uuid: ClassVar[str] = "2A24"


class SerialNumber(InformationString, frozen=True, kw_only=True):
    """0x2A25."""

    uuid: ClassVar[str] = "2A25"


class FirmwareRevision(InformationString, frozen=True, kw_only=True):
    """0x2A26."""

    uuid: ClassVar[str] = "2A26"


class HardwareRevision(InformationString, frozen=True, kw_only=True):
    """0x2A27."""

    uuid: ClassVar[str] = "2A27"


class SoftwareRevision(InformationString, frozen=True, kw_only=True):
    """0x2A28."""

    uuid: ClassVar[str] = "2A28"


class ManufacturerName(InformationString, frozen=True, kw_only=True):
    """0x2A29."""

    uuid: ClassVar[str] = "2A29"


class PnpId(Characteristic, frozen=True, kw_only=True):
    """0x2A50. vendor_id_source: 1 Bluetooth SIG, 2 USB Implementer's Forum."""

    uuid: ClassVar[str] = "2A50"
    layout: ClassVar[Layout] = Layout(
        (
            Field("vendor_id_source", U8),
            Field("vendor_id", U16),
            Field("product_id", U16),
            Field("product_version", U16),
        ),
        flags="",
    )

    vendor_id_source: int
    vendor_id: int
    product_id: int
    product_version: int = 0

"""IEEE 11073-20601 Regulatory Certification Data List (0x2A2A): by whom a device was certified, and as what.

Source: ISO/IEEE 11073-20601, RegCertDataList (big endian, unlike the rest of GATT); Continua Design Guidelines for the
structures of authority 2. Radio kits are delivered with one certification of authority 254 that is in no list: two
octets and the word "experimental" (TI and Realtek stacks), and devices are sold that still have it.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final, NamedTuple, Self

from devices.errors import BadValue, Truncated
from devices.gatt.characteristic import Characteristic
from devices.octets import Layout

_HEAD: Final = struct.Struct(">HH")
_ITEM: Final = struct.Struct(">BBH")
_VERSION: Final = struct.Struct(">BBHH")
_CONTINUA: Final = 2
_EXPERIMENTAL: Final = b"\xfe\x00"
_UNREGULATED: Final = 0x8000


class Certification(NamedTuple):
    """authority: 1 IEEE 11073, 2 Continua, 254 experimental.  structure: of the data, by the authority."""

    authority: int
    structure: int
    data: bytes


class RegulatoryCertification(Characteristic, frozen=True, kw_only=True):
    """0x2A2A, read.  bare: one certification without the head of a list."""

    uuid: ClassVar[str] = "2A2A"
    layout: ClassVar[Layout] = Layout((), flags="")

    certifications: tuple[Certification, ...] = ()
    bare: bool = False

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the part. BadValue: the certifications do not fill the list."""
        del layout
        data = bytes(data)
        if data.startswith(_EXPERIMENTAL):
            return cls(certifications=(Certification(data[0], data[1], data[2:]),), bare=True)
        if len(data) < _HEAD.size:
            raise Truncated(f"{len(data)} of {_HEAD.size} octets", field="count" if len(data) < 2 else "length")
        count, length = _HEAD.unpack_from(data)
        rest = data[_HEAD.size : _HEAD.size + length]
        if len(rest) < length:
            raise Truncated(f"{len(rest)} of {length} octets", field="certifications")
        found = []
        for _ in range(count):
            one, rest = _first(rest)
            found.append(one)
        if rest:
            raise BadValue(f"{len(rest)} octets of {length} are no certification", field="length")
        return cls(certifications=tuple(found), trailing=data[_HEAD.size + length :])

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a number does not fit, or several are to stand without a list."""
        del layout
        if self.bare:
            if len(self.certifications) != 1:
                raise BadValue("one certification stands without a list", field="certifications")
            authority, structure, data = self.certifications[0]
            return bytes((authority, structure)) + data + self.trailing
        try:
            items = b"".join(
                _ITEM.pack(authority, structure, len(data)) + data for authority, structure, data in self.certifications
            )
            return _HEAD.pack(len(self.certifications), len(items)) + items + self.trailing
        except struct.error as error:
            raise BadValue(str(error), field="certifications") from error

    def _continua(self, structure: int, size: int) -> bytes | None:
        found = (one.data for one in self.certifications if (one.authority, one.structure) == (_CONTINUA, structure))
        return next((data for data in found if len(data) >= size), None)

    @property
    def continua_version(self) -> str | None:
        """Of the guidelines, as in `1.5`. None: not said."""
        data = self._continua(1, _VERSION.size)
        return None if data is None else f"{data[0]}.{data[1]}"

    @property
    def continua_devices(self) -> tuple[int, ...]:
        """The certified device classes, as sent; as many as are there."""
        data = self._continua(1, _VERSION.size)
        if data is None:
            return ()
        count = min(_VERSION.unpack_from(data)[2], (len(data) - _VERSION.size) // 2)
        return struct.unpack_from(f">{count}H", data, _VERSION.size)

    @property
    def regulated(self) -> bool | None:
        """Is it a regulated device? None: not said."""
        data = self._continua(2, 2)
        return None if data is None else not int.from_bytes(data[:2]) & _UNREGULATED


def _first(rest: bytes) -> tuple[Certification, bytes]:
    if len(rest) < _ITEM.size:
        raise Truncated(f"{len(rest)} of {_ITEM.size} octets", field="certifications")
    authority, structure, size = _ITEM.unpack_from(rest)
    end = _ITEM.size + size
    if len(rest) < end:
        raise Truncated(f"{len(rest) - _ITEM.size} of {size} octets", field="certifications")
    return Certification(authority, structure, rest[_ITEM.size : end]), rest[end:]

"""Continuous Glucose Monitoring Service (0x181F): 0x2AA7 measurement, 0x2AA8 feature, 0x2AA9 status, 0x2AAA start,
0x2AAB run time.

Source: Bluetooth CGM Service 1.0.2, clauses 3.1 (measurement), 3.2 (feature), 3.3 (status), 3.4 (session start),
3.5 (run time), 3.11 (E2E-CRC). Concentrations are in mg/dL, unlike in the Glucose Service. The CRC is there where the
feature characteristic says so; a frame is read with it when two octets more than the flags announce hold a right one.
"""

from __future__ import annotations

from datetime import timezone
from typing import Any, ClassVar, Final, Self

import msgspec

from devices.clock import DATE_TIME, DateTime
from devices.errors import BadValue, Truncated
from devices.gatt.characteristic import Characteristic
from devices.gatt.current_time import LocalTimeInformation
from devices.medfloat import Medfloat
from devices.octets import S8, SFLOAT, U8, U16, U24, Field, Layout, crc16

SUBCUTANEOUS_TISSUE: Final = 5
"""The sample location that glucose meters do not have; 1 to 4 and 15 are as in glucose."""
CRC_NOT_SUPPORTED: Final = 0xFFFF
E2E_CRC_SUPPORTED: Final = 1 << 12
"""Of the features."""
SESSION_STOPPED: Final = 1 << 0
"""Of the status."""


def _checked(data: bytes, crc: bytes) -> bool:
    return crc16(data) == int.from_bytes(crc, "little")


def _sealed(data: bytes, wanted: bool) -> bytes:
    return data + crc16(data).to_bytes(2, "little") if wanted else data


class CgmRecord(Characteristic, frozen=True, kw_only=True):
    """One record of a measurement, without its size octet. concentration in mg/dL, time_offset in minutes since the
    session start, trend in mg/dL/min, quality in %.  e2e_crc: the frame carries (or shall carry) a CRC."""

    uuid: ClassVar[str] = "2AA7"
    layout: ClassVar[Layout] = Layout(
        (
            Field("concentration", SFLOAT),
            Field("time_offset", U16),
            Field("status", U8, when=0x80),
            Field("calibration_temperature", U8, when=0x40),
            Field("warning", U8, when=0x20),
            Field("trend", SFLOAT, when=0x01),
            Field("quality", SFLOAT, when=0x02),
        )
    )

    concentration: Medfloat
    time_offset: int
    status: int | None = None
    calibration_temperature: int | None = None
    warning: int | None = None
    trend: Medfloat | None = None
    quality: Medfloat | None = None
    e2e_crc: bool = False


class CgmMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2AA7, notified: one or more records."""

    uuid: ClassVar[str] = "2AA7"
    layout: ClassVar[Layout] = Layout((), flags="")

    records: tuple[CgmRecord, ...]

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None, *, e2e_crc: bool | None = None) -> Self:
        """From octets. e2e_crc: by the feature, each record has a CRC or none has. None: not known.

        Truncated: names the field in which a record ends, the CRC where only that is missing. BadValue: a size below 6,
        or a wrong CRC.
        """
        if not data:
            raise Truncated("no record", field="size")
        records: list[CgmRecord] = []
        start = 0
        while start < len(data):
            size = data[start]
            if size < 6:
                raise BadValue(f"a record of {size} octets", field="size")
            if start + size > len(data):
                raise _cut(bytes(data[start:]), layout or CgmRecord.layout)
            records.append(_record(bytes(data[start : start + size]), layout or CgmRecord.layout, e2e_crc))
            start += size
        return cls(records=tuple(records))

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets, each record with its size and, where it asks for one, its CRC."""
        frame = b""
        for one in self.records:
            body = (layout or CgmRecord.layout).pack(msgspec.structs.asdict(one))
            size = 1 + len(body) + 2 * one.e2e_crc
            if size > 0xFF:
                raise BadValue(f"a record of {size} octets", field="size")
            frame += _sealed(bytes([size]) + body, one.e2e_crc)
        return frame


def _cut(data: bytes, layout: Layout) -> Truncated:
    """The error of a record that is shorter than its size octet says."""
    field = "e2e_crc"
    try:
        layout.unpack(data[1:])
    except Truncated as error:
        field = error.field or field
    return Truncated(f"a record of {data[0]} octets in {len(data)}", field=field)


def _record(data: bytes, layout: Layout, e2e_crc: bool | None) -> CgmRecord:
    values = layout.unpack(data[1:])
    rest = values.get("trailing", b"")
    if e2e_crc and len(rest) < 2:
        raise Truncated(f"{len(rest)} of 2 octets", field="e2e_crc")
    if e2e_crc or (e2e_crc is None and len(rest) == 2):
        if not _checked(data[:-2], rest[-2:]):
            raise BadValue(f"0x{rest[:-3:-1].hex()} is not the CRC of the record", field="e2e_crc")
        del values["trailing"]
        values["e2e_crc"] = True
        if rest[:-2]:
            values["trailing"] = rest[:-2]
    return CgmRecord(**values)


class CgmFeature(Characteristic, frozen=True, kw_only=True):
    """0x2AA8, read. features: 24 bits, bit 12 E2E-CRC supported.  type, sample_location: as in glucose, and
    `SUBCUTANEOUS_TISSUE`.

    The CRC field is always there; without support it holds 0xFFFF.
    """

    uuid: ClassVar[str] = "2AA8"
    layout: ClassVar[Layout] = Layout(
        (Field("features", U24), Field("type_sample_location", U8), Field("e2e_crc", U16)), flags=""
    )

    features: int
    type: int
    sample_location: int

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the field. BadValue: a wrong CRC, or another word than 0xFFFF in its place."""
        values = (layout or cls.layout).unpack(data)
        octet, crc = values.pop("type_sample_location"), values.pop("e2e_crc")
        right = crc16(bytes(data[:4])) if values["features"] & E2E_CRC_SUPPORTED else CRC_NOT_SUPPORTED
        if crc != right:
            raise BadValue(f"0x{crc:04x} is not 0x{right:04x}", field="e2e_crc")
        return cls(type=octet & 0x0F, sample_location=octet >> 4, **values)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets, with a CRC where bit 12 says so, else 0xFFFF."""
        if not (0 <= self.type <= 15 and 0 <= self.sample_location <= 15):
            raise BadValue("does not fit a nibble", field="type_sample_location")
        values: dict[str, Any] = {
            "features": self.features,
            "type_sample_location": self.type | self.sample_location << 4,
            "e2e_crc": CRC_NOT_SUPPORTED,
        }
        body = (layout or self.layout).pack(values)
        if self.features & E2E_CRC_SUPPORTED:
            body = _sealed(body[:4], wanted=True)
        return body + self.trailing


class _Sealed(Characteristic, frozen=True, kw_only=True):
    """A characteristic with an optional CRC at its end."""

    e2e_crc: bool = False

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the field, also where one octet of a CRC is left. BadValue: a wrong CRC."""
        values = (layout or cls.layout).unpack(data)
        rest = values.pop("trailing", b"")
        if not rest:
            return cls(**values)
        if len(rest) == 1:
            raise Truncated("one octet of two", field="e2e_crc")
        if not _checked(bytes(data[: len(data) - len(rest)]), rest[:2]):
            raise BadValue(f"0x{rest[:2][::-1].hex()} is not the CRC", field="e2e_crc")
        return cls(e2e_crc=True, trailing=rest[2:], **values)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets, with the CRC where `e2e_crc`."""
        values = msgspec.structs.asdict(self) | {"trailing": b""}
        return _sealed((layout or self.layout).pack(values), self.e2e_crc) + self.trailing


class CgmStatus(_Sealed, frozen=True, kw_only=True):
    """0x2AA9. time_offset: minutes since the session start.  status: 24 bits, the three octets of a measurement."""

    uuid: ClassVar[str] = "2AA9"
    layout: ClassVar[Layout] = Layout((Field("time_offset", U16), Field("status", U24)), flags="")

    time_offset: int
    status: int


class CgmSessionStartTime(_Sealed, frozen=True, kw_only=True):
    """0x2AAA. time_zone: quarters of an hour, -128 not known.  dst_offset: 0, 2, 4, 8 quarters, 255 not known."""

    uuid: ClassVar[str] = "2AAA"
    layout: ClassVar[Layout] = Layout(
        (Field("session_start_time", DATE_TIME), Field("time_zone", S8), Field("dst_offset", U8)), flags=""
    )

    session_start_time: DateTime
    time_zone: int = -128
    dst_offset: int = 255

    def zone(self) -> timezone | None:
        """Of the start time. None: not known, or a reserved code."""
        offset = LocalTimeInformation(time_zone=self.time_zone, dst_offset=self.dst_offset).utc_offset()
        return None if offset is None else timezone(offset)


class CgmSessionRunTime(_Sealed, frozen=True, kw_only=True):
    """0x2AAB. run_time in hours."""

    uuid: ClassVar[str] = "2AAB"
    layout: ClassVar[Layout] = Layout((Field("run_time", U16),), flags="")

    run_time: int

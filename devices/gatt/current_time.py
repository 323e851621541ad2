"""Current Time Service (0x1805): current time 0x2A2B, local time information 0x2A0F; and Date Time 0x2A08 by itself.

Source: Bluetooth Current Time Service 1.1, clauses 3.1 (current time) and 3.2 (local time information); codes from the
GATT Specification Supplement. Reading gives the device's clock for `devices.clock.correct`; writing sets the clock.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import ClassVar, Final, Self

from devices.clock import DATE_TIME, DateTime
from devices.gatt.characteristic import Characteristic
from devices.octets import S8, U8, Field, Layout


class AdjustReason(enum.IntFlag):
    """Bits of `adjust_reason`."""

    MANUAL_TIME_UPDATE = 0x01
    EXTERNAL_REFERENCE_TIME_UPDATE = 0x02
    CHANGE_OF_TIME_ZONE = 0x04
    CHANGE_OF_DST = 0x08


TIME_ZONE_UNKNOWN: Final = -128
DST_UNKNOWN: Final = 255
_DST: Final = {0: timedelta(0), 2: timedelta(minutes=30), 4: timedelta(hours=1), 8: timedelta(hours=2)}


class CurrentTime(Characteristic, frozen=True, kw_only=True):
    """0x2A2B. day_of_week: 1 Monday to 7 Sunday, 0 unknown.  fractions256: 1/256 s.  adjust_reason: `AdjustReason`."""

    uuid: ClassVar[str] = "2A2B"
    layout: ClassVar[Layout] = Layout(
        (
            Field("date_time", DATE_TIME),
            Field("day_of_week", U8),
            Field("fractions256", U8),
            Field("adjust_reason", U8),
        ),
        flags="",
    )

    date_time: DateTime
    day_of_week: int = 0
    fractions256: int = 0
    adjust_reason: int = 0

    @classmethod
    def of(cls, at: datetime, adjust_reason: int = AdjustReason.EXTERNAL_REFERENCE_TIME_UPDATE) -> Self:
        """What to write to a device: the wall time of `at` in the zone it has."""
        return cls(
            date_time=DateTime.of(at),
            day_of_week=at.isoweekday(),
            fractions256=at.microsecond * 256 // 1_000_000,
            adjust_reason=int(adjust_reason),
        )

    def naive(self) -> datetime | None:
        """The device's wall time, with its fraction. None: not known in all parts, or impossible."""
        at = self.date_time.naive()
        return None if at is None else at.replace(microsecond=self.fractions256 * 1_000_000 // 256)


class LocalTimeInformation(Characteristic, frozen=True, kw_only=True):
    """0x2A0F. time_zone: quarters of an hour from UTC, -128 not known.  dst_offset: 0, 2 (half an hour), 4 (one hour),
    8 (two hours), 255 not known."""

    uuid: ClassVar[str] = "2A0F"
    layout: ClassVar[Layout] = Layout((Field("time_zone", S8), Field("dst_offset", U8)), flags="")

    time_zone: int
    dst_offset: int = 0

    def utc_offset(self) -> timedelta | None:
        """Local time minus UTC, daylight saving included. None: not known, or a reserved code."""
        saving = _DST.get(self.dst_offset)
        if saving is None or not -48 <= self.time_zone <= 56:
            return None
        return timedelta(minutes=15 * self.time_zone) + saving


class DateTimeValue(Characteristic, frozen=True, kw_only=True):
    """0x2A08 as a characteristic of its own (some scales and cuffs let the gateway read and write their clock here)."""

    uuid: ClassVar[str] = "2A08"
    layout: ClassVar[Layout] = Layout((Field("date_time", DATE_TIME),), flags="")

    date_time: DateTime

    def naive(self) -> datetime | None:
        """The device's wall time. None: not known in all parts, or impossible."""
        return self.date_time.naive()

"""The clocks of 11073-20601: absolute (local, no zone), base offset (UTC and an offset), relative, high resolution.

Source: ISO/IEEE 11073-20601, annex A.2 (AbsoluteTime, BaseOffsetTime, RelativeTime, HighResRelativeTime), clause 8.12.
"""

from __future__ import annotations

import functools
import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, NamedTuple

from devices.errors import BadValue, Truncated
from devices.ieee11073.codes import NO_TIME

TICK: Final = timedelta(microseconds=125)
"""The unit of a relative time."""
_WRAP: Final = 1 << 32
_BASE: Final = datetime(1900, 1, 1, tzinfo=UTC)
_BASE_OFFSET: Final = struct.Struct(">IHh")

_BCD: Final = tuple((one >> 4) * 10 + (one & 15) if one & 15 < 10 and one >> 4 < 10 else -10_000 for one in range(256))
"""Two digits in an octet; what are no digits make no date of anything."""


class AbsoluteTime(NamedTuple):
    """AbsoluteTime, 8 octets of binary coded decimals. raw: as it was sent, also where it is no date."""

    raw: bytes
    at: datetime | None
    """The wall time without a zone, to 1/100 s. None: not set, or impossible."""
    fault: bool = False
    """Set, and no date of the calendar."""

    def __str__(self) -> str:
        digits = self.raw.hex()
        date, time = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}", f"{digits[8:10]}:{digits[10:12]}:{digits[12:14]}"
        return f"{date}T{time}.{digits[14:16]}"


@functools.lru_cache(maxsize=256)
def absolute(raw: bytes) -> AbsoluteTime:
    """From 8 octets. A year, month or day of 0 is a clock that was never set. Truncated."""
    if len(raw) != 8:
        raise Truncated(f"{len(raw)} of 8 octets", field="absolute-time")
    if not raw[2] or not raw[3] or raw[:2] == b"\0\0" or raw == b"\xff" * 8:
        return AbsoluteTime(raw, None)
    century, of_century, month, day, hour, minute, second, hundredths = raw
    bcd = _BCD
    try:
        at = datetime(  # noqa: DTZ001  no zone is known
            bcd[century] * 100 + bcd[of_century], bcd[month], bcd[day], bcd[hour], bcd[minute], bcd[second],
            bcd[hundredths] * 10_000,
        )  # fmt: skip
    except ValueError:
        return AbsoluteTime(raw, None, fault=True)
    return AbsoluteTime(raw, at)


def write_absolute(at: datetime) -> bytes:
    """The wall time of `at` in the zone it has, to 1/100 s."""
    return bytes.fromhex(f"{at:%Y%m%d%H%M%S}{at.microsecond // 10_000:02}".rjust(16, "0"))


def base_offset(raw: bytes) -> datetime | None:
    """BaseOffsetTime: an aware time with the agent's offset. None: not set (0), or an offset of a day or more.

    Truncated.
    """
    if len(raw) != 8:
        raise Truncated(f"{len(raw)} of 8 octets", field="base-offset-time")
    seconds, fraction, minutes = _BASE_OFFSET.unpack(raw)
    if not seconds or abs(minutes) >= 24 * 60:
        return None
    at = _BASE + timedelta(seconds=seconds, microseconds=round(fraction * 1_000_000 / 65536))
    return at.astimezone(timezone(timedelta(minutes=minutes)))


def write_base_offset(at: datetime) -> bytes:
    """From an aware time. BadValue: before 1900 or after 2036."""
    offset = at.utcoffset()
    assert offset is not None
    since = at - _BASE
    whole = since // timedelta(seconds=1)
    fraction = (since - timedelta(seconds=whole)) // timedelta(microseconds=1)
    if not 0 < whole < _WRAP:
        raise BadValue(f"{at.isoformat()} does not fit", field="base-offset-time")
    return _BASE_OFFSET.pack(whole, fraction * 65536 // 1_000_000, offset // timedelta(minutes=1))


def since(then: int, now: int) -> timedelta | None:
    """How long before `now` it was `then`; relative times of one agent, which wrap after 6.2 days.

    None: one of them is not supported, or `then` is more than half a round away, that is, after `now`.
    """
    if NO_TIME in {then, now}:
        return None
    ticks = (now - then) % _WRAP
    return None if ticks > _WRAP // 2 else ticks * TICK


def ticks(elapsed: timedelta) -> int:
    """The relative time of a clock that has run so long."""
    return (elapsed // TICK) % (_WRAP - 1)

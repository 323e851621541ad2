"""Device clocks: the Date Time of a record, and how it is brought to the gateway's timeline.

Sources: Bluetooth GATT Specification Supplement, Date Time (0x2A08); HL7 Personal Health Devices implementation guide,
coincident time stamp decision table. Health devices on Bluetooth know local time without a zone, or no time at all.
The decisions are in docs/decisions/0022-device-clocks.md.
"""

from __future__ import annotations

import enum
import functools
import struct
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

import msgspec

from devices.errors import Truncated
from devices.observation import Fact
from devices.octets import Codec

IDENTITY_ZONE: Final = timezone(timedelta(hours=8))
"""A stamp without a zone is read at this offset wherever it identifies a record: two gateways, or one gateway before
and after its zone was set right, must agree, so the zone of a gateway cannot be part of an identity."""

AGREES_WITHIN: Final = timedelta(seconds=60)
"""A device clock this near to the gateway's is right: stamps have whole seconds and a read takes its time."""

FUTURE_WITHIN: Final = timedelta(minutes=5)
"""A reading may be this far ahead of its reception (gateway clocks drift too) before its time is not believed."""

EARLIEST: Final = datetime(2011, 10, 25, tzinfo=UTC)
"""Adoption of the first Bluetooth health services. A record before it was stamped by a clock at its factory setting."""

_FIELDS: Final = struct.Struct("<HBBBBB")
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_WALL_EPOCH: Final = datetime(2000, 1, 1)  # noqa: DTZ001  a wall time has no zone
_NO_OFFSET: Final = timedelta(0)
_CLOCK_NOT_SET: Final = Fact.CLOCK_NOT_SET.value
_LOST_TIMELINE: Final = Fact.LOST_TIMELINE.value
_NO_DEVICE_CLOCK: Final = Fact.NO_DEVICE_CLOCK.value
_CLOCK_CORRECTED: Final = Fact.CLOCK_CORRECTED.value
_TIME_FAULT: Final = Fact.TIME_FAULT.value


class DateTime(NamedTuple):
    """Date Time (0x2A08), 7 octets. Year, month, day 0: not known. The parts are kept as sent, also impossible ones."""

    year: int
    month: int
    day: int
    hours: int = 0
    minutes: int = 0
    seconds: int = 0

    @classmethod
    def decode(cls, data: bytes) -> DateTime:
        """Truncated: fewer than 7 octets."""
        if len(data) < 7:
            raise Truncated(f"{len(data)} of 7 octets", field="date_time")
        return cls._make(_FIELDS.unpack_from(data))

    @classmethod
    def of(cls, at: datetime) -> DateTime:
        """The wall time of `at` in the zone it has."""
        return cls(at.year, at.month, at.day, at.hour, at.minute, at.second)

    def encode(self) -> bytes:
        """7 octets. struct.error: a part does not fit its octets."""
        return _FIELDS.pack(*self)

    @property
    def known(self) -> bool:
        """Year, month and day are all given."""
        return bool(self.year and self.month and self.day)

    @property
    def fault(self) -> bool:
        """Known in all parts and yet no date of the calendar (30 February, 25 h), or a year outside 1582-9999."""
        return self.known and self.naive() is None

    def naive(self) -> datetime | None:
        """The wall time, without a zone. None: not known in all parts, or impossible."""
        if not 1582 <= self[0] <= 9999:
            return None
        try:
            # `*` of a plain tuple is quicker
            return datetime(*self[:])  # noqa: DTZ001  the device knows no zone
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}-{self.day:02}T{self.hours:02}:{self.minutes:02}:{self.seconds:02}"


def _read(raw: bytes) -> DateTime:
    return tuple.__new__(DateTime, _FIELDS.unpack(raw))


DATE_TIME: Final = Codec("7s", _read, DateTime.encode, "HBBBBB", functools.partial(tuple.__new__, DateTime))


class Counter(NamedTuple):
    """What a device's counter of time showed, since a moment of its own. read_at: aware."""

    shown: timedelta
    read_at: datetime


class Moment(NamedTuple):
    """When and where the gateway heard a record, and what the device's clock showed meanwhile.

    received_at, gateway_now: aware.  device_now: the device's wall time (0x2A2B) read at `gateway_now`; None: it was
    not read.  zone: where the gateway stands.  live: measured just now, not taken from the device's memory.
    counter: for stamps that count (0x2BF2); None: it was not read.
    """

    received_at: datetime
    zone: tzinfo = IDENTITY_ZONE
    device_now: datetime | None = None
    gateway_now: datetime | None = None
    live: bool = True
    counter: Counter | None = None


class How(enum.StrEnum):
    """How `measured_at` came about."""

    RECEPTION = "reception"
    """The record has no stamp: time of reception."""
    DEVICE_CLOCK = "device-clock"
    """The device's clock agrees with the gateway's."""
    CORRECTED = "corrected"
    """The device's clock is off by a known amount."""
    AS_STAMPED = "as-stamped"
    """The device's clock could not be read; its stamp is taken for local time."""
    NOT_SET_LIVE = "not-set-live"
    """The clock was never set, but the reading was made just now: time of reception."""
    LOST = "lost"
    """No way back to a common timeline: time of reception stands in, and no rule may look at it."""


_RECEPTION, _DEVICE_CLOCK, _CORRECTED, _AS_STAMPED, _NOT_SET_LIVE, _LOST = How


class CorrectedTime(msgspec.Struct, frozen=True, gc=False):
    """measured_at: aware, UTC.  facts: bits of `Fact`.  device_at: the stamp that identifies, None where it cannot."""

    measured_at: datetime
    facts: int
    how: How
    device_at: datetime | None = None


def identity_at(device_at: datetime) -> datetime:
    """The aware time that stands for a device's stamp in an identity, the same at each gateway."""
    return device_at if device_at.tzinfo is not None else device_at.replace(tzinfo=IDENTITY_ZONE)


def _instant(wall: datetime, zone: tzinfo) -> datetime:
    """What `wall.replace(tzinfo=zone).astimezone(UTC)` gives, in a quarter of its time."""
    return _EPOCH + (wall - _WALL_EPOCH - (zone.utcoffset(wall) or _NO_OFFSET))


def correct(  # noqa: PLR0917  every record comes here, and keywords cost as much as the comparison
    device_at: datetime | None,
    device_now: datetime | None,
    gateway_now: datetime | None,
    received_at: datetime,
    zone: tzinfo,
    clock_set: bool = True,
    live: bool = True,
) -> CorrectedTime:
    """The time of measurement on the gateway's timeline, with the facts about it.

    device_at, device_now: the record's stamp and the device's clock at `gateway_now`, wall times without a zone.
    clock_set: False where the device says that its clock was not set.  live: see `Moment`.
    """
    if not clock_set:
        received = received_at.astimezone(UTC)
        if live:
            return CorrectedTime(received, _CLOCK_NOT_SET, _NOT_SET_LIVE, device_at)
        return CorrectedTime(received, _CLOCK_NOT_SET | _LOST_TIMELINE, _LOST, device_at)
    if device_at is None:
        return CorrectedTime(received_at.astimezone(UTC), _NO_DEVICE_CLOCK, _RECEPTION)
    try:
        measured = _EPOCH + (device_at - _WALL_EPOCH - (zone.utcoffset(device_at) or _NO_OFFSET))
        facts, how = 0, _AS_STAMPED
        if device_now is not None:
            now = gateway_now or received_at
            # a stamp ahead of the very clock that made it: the clock was put back since
            if device_at - device_now > FUTURE_WITHIN:
                return CorrectedTime(received_at.astimezone(UTC), _LOST_TIMELINE, _LOST, device_at)
            how = _DEVICE_CLOCK
            if not abs(now - _instant(device_now, zone)) <= AGREES_WITHIN:
                measured = (now.astimezone(UTC) - (device_now - device_at)).replace(microsecond=0)
                facts, how = _CLOCK_CORRECTED, _CORRECTED
        if measured >= EARLIEST and (measured <= received_at or measured - received_at <= FUTURE_WITHIN):
            return CorrectedTime(measured, facts, how, device_at)
    except (OverflowError, ValueError):
        pass  # a time that no calendar has is on no timeline either
    return CorrectedTime(received_at.astimezone(UTC), _LOST_TIMELINE, _LOST, device_at)


def place(stamp: DateTime | None, moment: Moment, clock_set: bool = True, live: bool | None = None) -> CorrectedTime:
    """`correct` for a record's Date Time: unknown parts are a clock not set, an impossible date is a TIME_FAULT."""
    received_at, zone, device_now, gateway_now, moment_live, _ = moment
    if stamp is not None and device_now is None and clock_set:
        # most records: a stamp, and nothing to compare it with; whatever is odd about it is for `correct`
        try:
            device_at = datetime(*stamp[:])  # noqa: DTZ001  the device knows no zone
            measured = _EPOCH + (device_at - _WALL_EPOCH - (zone.utcoffset(device_at) or _NO_OFFSET))
        except (OverflowError, ValueError):
            pass
        else:
            if EARLIEST <= measured <= received_at:
                return CorrectedTime(measured, 0, _AS_STAMPED, device_at)
    if live is None:
        live = moment_live
    if stamp is None:
        return correct(None, device_now, gateway_now, received_at, zone, clock_set, live)
    shown = stamp.naive()
    if shown is not None:
        return correct(shown, device_now, gateway_now, received_at, zone, clock_set, live)
    result = correct(None, device_now, gateway_now, received_at, zone, False, live)
    if stamp.known:
        return msgspec.structs.replace(result, facts=result.facts & ~_CLOCK_NOT_SET | _TIME_FAULT)
    return result

"""Device clocks: the Date Time of a record, and how it is brought to the gateway's timeline.

Sources: Bluetooth GATT Specification Supplement, Date Time (0x2A08); HL7 Personal Health Devices implementation guide,
coincident time stamp decision table. Health devices on Bluetooth know local time without a zone, or no time at all.
The decisions are in docs/decisions/0022-device-clocks.md.
"""

from __future__ import annotations

import enum
import struct
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

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
        if not self.known or not 1582 <= self.year <= 9999:
            return None
        try:
            return datetime(*self)  # noqa: DTZ001  the device knows no zone
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}-{self.day:02}T{self.hours:02}:{self.minutes:02}:{self.seconds:02}"


def _read(raw: bytes) -> DateTime:
    return tuple.__new__(DateTime, _FIELDS.unpack(raw))


DATE_TIME: Final = Codec("7s", _read, DateTime.encode)


class Moment(NamedTuple):
    """When and where the gateway heard a record, and what the device's clock showed meanwhile.

    received_at, gateway_now: aware.  device_now: the device's wall time (0x2A2B) read at `gateway_now`; None: it was
    not read.  zone: where the gateway stands.  live: measured just now, not taken from the device's memory.
    """

    received_at: datetime
    zone: tzinfo = IDENTITY_ZONE
    device_now: datetime | None = None
    gateway_now: datetime | None = None
    live: bool = True


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


class CorrectedTime(NamedTuple):
    """measured_at: aware, UTC.  facts: bits of `Fact`.  device_at: the stamp that identifies, None where it cannot."""

    measured_at: datetime
    facts: Fact
    how: How
    device_at: datetime | None = None


def identity_at(device_at: datetime) -> datetime:
    """The aware time that stands for a device's stamp in an identity, the same at each gateway."""
    return device_at if device_at.tzinfo is not None else device_at.replace(tzinfo=IDENTITY_ZONE)


def correct(
    device_at: datetime | None,
    device_now: datetime | None,
    gateway_now: datetime | None,
    received_at: datetime,
    zone: tzinfo,
    *,
    clock_set: bool = True,
    live: bool = True,
) -> CorrectedTime:
    """The time of measurement on the gateway's timeline, with the facts about it.

    device_at, device_now: the record's stamp and the device's clock at `gateway_now`, wall times without a zone.
    clock_set: False where the device says that its clock was not set.  live: see `Moment`.
    """
    received = received_at.astimezone(UTC)
    if not clock_set:
        if live:
            return CorrectedTime(received, Fact.CLOCK_NOT_SET, How.NOT_SET_LIVE, device_at)
        return CorrectedTime(received, Fact.CLOCK_NOT_SET | Fact.LOST_TIMELINE, How.LOST, device_at)
    if device_at is None:
        return CorrectedTime(received, Fact.NO_DEVICE_CLOCK, How.RECEPTION)
    placed = _placed(device_at, device_now, (gateway_now or received_at).astimezone(UTC), zone)
    if placed is None or not EARLIEST <= placed.measured_at <= received + FUTURE_WITHIN:
        return CorrectedTime(received, Fact.LOST_TIMELINE, How.LOST, device_at)
    return placed


def _placed(
    device_at: datetime, device_now: datetime | None, gateway_now: datetime, zone: tzinfo
) -> CorrectedTime | None:
    """The stamp on the gateway's timeline. None: it is not on the timeline of the clock that was read."""
    try:
        measured = device_at.replace(tzinfo=zone).astimezone(UTC)
        if device_now is None:
            return CorrectedTime(measured, Fact(0), How.AS_STAMPED, device_at)
        # a stamp ahead of the very clock that made it: the clock was put back since
        if device_at - device_now > FUTURE_WITHIN:
            return None
        if abs(gateway_now - device_now.replace(tzinfo=zone).astimezone(UTC)) <= AGREES_WITHIN:
            return CorrectedTime(measured, Fact(0), How.DEVICE_CLOCK, device_at)
        measured = (gateway_now - (device_now - device_at)).replace(microsecond=0)
    except (OverflowError, ValueError):
        return None
    return CorrectedTime(measured, Fact.CLOCK_CORRECTED, How.CORRECTED, device_at)


def place(stamp: DateTime | None, moment: Moment, *, clock_set: bool = True, live: bool | None = None) -> CorrectedTime:
    """`correct` for a record's Date Time: unknown parts are a clock not set, an impossible date is a TIME_FAULT."""
    known = stamp is None or stamp.known
    fault = stamp is not None and stamp.fault
    device_at = stamp.naive() if stamp is not None else None
    result = correct(
        device_at,
        moment.device_now,
        moment.gateway_now,
        moment.received_at,
        moment.zone,
        clock_set=clock_set and known and not fault,
        live=moment.live if live is None else live,
    )
    if fault:
        return result._replace(facts=(result.facts & ~Fact.CLOCK_NOT_SET) | Fact.TIME_FAULT)
    return result

"""Elapsed Time (0x2BF2): the stamp of a health observation, and what the sensor's clock shows when it is read.

Source: Bluetooth GATT Specification Supplement, Elapsed Time and Time Source; the two octets that the service adds to
it when it is read: NordicPHDs (createCurrentTimeDataBuffer); which stamps are kept, corrected or lost: HL7 Personal
Health Device implementation guide 2.0.0, PhdBaseObservation (timestamp), table of 10206 time stamps.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import ClassVar, Final, NamedTuple, Self

import msgspec

from devices.clock import EARLIEST, FUTURE_WITHIN, CorrectedTime, Counter, How, Moment, correct
from devices.errors import BadValue
from devices.gatt.characteristic import Characteristic
from devices.gatt.octet_cursor import Cursor
from devices.observation import Fact
from devices.octets import Field, Layout, fixed

_COUNTER: Final = 0x01
_UTC: Final = 0x02
_OFFSET: Final = 0x10
_CURRENT: Final = 0x20
_EPOCH: Final = datetime(2000, 1, 1)  # noqa: DTZ001  UTC or local, by the flags
_MICROSECONDS: Final = (1_000_000, 100_000, 1_000, 100)
_SYNCED: Final = frozenset({1, 2, 3, 5, 6})
"""Time sources that keep a clock right: NTP, GPS, radio, atomic clock, cellular network."""
_QUARTER: Final = timedelta(minutes=15)


class ElapsedTime(NamedTuple):
    """9 octets. flags: bit 0 tick counter, 1 UTC, 2-3 resolution, 4 offset known, 5 current timeline. elapsed: since
    2000-01-01 in the resolution.  source: Time Source.  offset: quarters of an hour."""

    flags: int
    elapsed: int
    source: int
    offset: int

    @classmethod
    def read(cls, cursor: Cursor) -> ElapsedTime:
        """Truncated: names the field."""
        flags, low, high, source, offset = cursor.take("BIHBb", "time")
        return cls(flags, low | high << 32, source, offset)

    @property
    def octets(self) -> bytes:
        """BadValue: a part does not fit."""
        try:
            return (
                self.flags.to_bytes(1)
                + self.elapsed.to_bytes(6, "little")
                + self.source.to_bytes(1)
                + self.offset.to_bytes(1, signed=True)
            )
        except OverflowError as error:
            raise BadValue(str(error), field="time") from error

    @property
    def is_counter(self) -> bool:
        """It counts from a moment of its own."""
        return bool(self.flags & _COUNTER)

    @property
    def since(self) -> timedelta | None:
        """Since the beginning of its timeline. None: more than can be counted here."""
        try:
            return timedelta(microseconds=self.elapsed * _MICROSECONDS[self.flags >> 2 & 3])
        except OverflowError:
            return None

    @property
    def on_current_timeline(self) -> bool:
        """The clock has not been set since."""
        return bool(self.flags & _CURRENT)

    @property
    def is_synced(self) -> bool:
        """Something keeps the clock right."""
        return self.source in _SYNCED

    @property
    def at(self) -> datetime | None:
        """Aware where UTC or the offset is known, else a wall time. None: a counter, or no time of any calendar."""
        since = self.since
        if self.is_counter or since is None:
            return None
        try:
            shown = _EPOCH + since
            zone = timezone(self.offset * _QUARTER) if self.flags & _OFFSET else None
            if self.flags & _UTC:
                return shown.replace(tzinfo=UTC) if zone is None else shown.replace(tzinfo=UTC).astimezone(zone)
            if zone is None:
                return shown
            # an offset may lead past the end of the calendar, so it is gone there and back
            return shown.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
        except (OverflowError, ValueError):
            return None


def place(stamp: ElapsedTime | None, moment: Moment) -> CorrectedTime:
    """The time of measurement, with the facts about it."""
    received = moment.received_at.astimezone(UTC)
    if stamp is None:
        return CorrectedTime(received, Fact.NO_DEVICE_CLOCK.value, How.RECEPTION)
    at = stamp.at
    if stamp.is_counter or at is None:
        return _unshown(stamp, moment, received)
    if not stamp.on_current_timeline and not stamp.is_synced:
        return CorrectedTime(received, Fact.LOST_TIMELINE.value, How.LOST, at)
    if at.tzinfo is None:
        known = None if stamp.is_synced else moment.device_now
        return correct(at, known, moment.gateway_now, moment.received_at, moment.zone, live=moment.live)
    plain = at.astimezone(UTC).replace(tzinfo=None)
    found = correct(plain, None, None, moment.received_at, UTC, live=moment.live)
    return msgspec.structs.replace(found, device_at=at)


def _unshown(stamp: ElapsedTime, moment: Moment, received: datetime) -> CorrectedTime:
    """Of a stamp that is no date."""
    if stamp.is_counter and stamp.on_current_timeline and moment.counter is not None:
        return _counted(stamp.since, moment.counter, received)
    # a counter that was not read identifies nothing; what was measured just now was measured now
    if moment.live and stamp.on_current_timeline:
        facts = Fact.NO_DEVICE_CLOCK if stamp.is_counter else Fact.TIME_FAULT
        return CorrectedTime(received, facts.value, How.RECEPTION)
    return CorrectedTime(received, Fact.LOST_TIMELINE.value, How.LOST)


def _counted(since: timedelta | None, counter: Counter, received: datetime) -> CorrectedTime:
    """By how far the counter has run since. It identifies nothing: it may start anew."""
    try:
        measured = None if since is None else (counter.read_at - (counter.shown - since)).astimezone(UTC)
    except OverflowError:
        measured = None
    if measured is None or not EARLIEST <= measured <= received + FUTURE_WITHIN:
        return CorrectedTime(received, Fact.LOST_TIMELINE.value, How.LOST)
    return CorrectedTime(measured, Fact.CLOCK_CORRECTED.value, How.CORRECTED)


class ElapsedTimeValue(Characteristic, frozen=True, kw_only=True):
    """0x2BF2, read: what the clock shows now. flags, elapsed, source, offset: as in `ElapsedTime`.

    clock_status, clock_capabilities: of the Elapsed Time service, bits as sent; both or neither.
    """

    uuid: ClassVar[str] = "2BF2"
    layout: ClassVar[Layout] = Layout((Field("time", fixed(9)),), flags="")

    flags: int
    elapsed: int
    source: int
    offset: int
    clock_status: int | None = None
    clock_capabilities: int | None = None

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated."""
        values = (layout or cls.layout).unpack(data)
        time = ElapsedTime.read(Cursor(values["time"]))._asdict()
        rest = values.get("trailing", b"")
        if len(rest) < 2:
            return cls(trailing=rest, **time)
        return cls(clock_status=rest[0], clock_capabilities=rest[1], trailing=rest[2:], **time)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a part does not fit, or stands without its companion."""
        rest = b""
        if self.clock_status is not None or self.clock_capabilities is not None:
            try:
                rest = struct.pack("BB", self.clock_status, self.clock_capabilities)
            except struct.error as error:
                raise BadValue(str(error), field="clock_status") from error
        return (layout or self.layout).pack({"time": self.time.octets, "trailing": rest + self.trailing})

    @property
    def time(self) -> ElapsedTime:
        """What was read, as a stamp."""
        return ElapsedTime(self.flags, self.elapsed, self.source, self.offset)

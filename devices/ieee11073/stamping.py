"""When a measurement was made: the stamps of 11073-20601 on the gateway's timeline.

Source: HL7 Personal Health Devices implementation guide, coincident time stamp decision table; ISO/IEEE 11073-20601,
clause 8.12 (time). The decisions are in docs/decisions/0029-stamps-of-20601-agents.md.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from devices.clock import CorrectedTime, How, Moment, correct
from devices.ieee11073.codes import NO_TIME, Attr
from devices.ieee11073.times import AbsoluteTime, since
from devices.observation import Fact


class TimeState(enum.IntFlag):
    """Mds-Time-Info: what the agent's clocks can do and whether something keeps them right."""

    REAL_TIME_CLOCK = 0x8000
    SET_CLOCK = 0x4000
    RELATIVE_TIME = 0x2000
    HIGH_RESOLUTION = 0x1000
    SYNC_ABSOLUTE = 0x0800
    SYNC_RELATIVE = 0x0400
    SYNC_HIGH_RESOLUTION = 0x0200
    BASE_OFFSET = 0x0100
    ABSOLUTE_SYNCED = 0x0080
    RELATIVE_SYNCED = 0x0040
    HIGH_RESOLUTION_SYNCED = 0x0020
    MANAGER_SETS_TIME = 0x0010
    SYNC_BASE_OFFSET = 0x0008
    BASE_OFFSET_SYNCED = 0x0004


class Clocks(NamedTuple):
    """What the agent's clocks showed at one moment of the gateway's. None: it has no such clock, or it was not read.

    synced: something (NTP) keeps the agent's clock right, so its stamps are to be kept.
    """

    read_at: datetime | None = None
    absolute: datetime | None = None
    base_offset: datetime | None = None
    relative: int = NO_TIME
    high_resolution: int | None = None
    synced: bool = False


class Heard(NamedTuple):
    """When and how a report was heard. moment: of the gateway; its device clock is that of `clocks`.

    relative: the agent's relative time as the report was made.  adjust: 1/100 s to add to its stamps, because its
    clock was put right since (Date-and-Time-Adjustment).
    """

    moment: Moment
    clocks: Clocks = Clocks()
    relative: int = NO_TIME
    adjust: int = 0

    @classmethod
    def at(cls, received_at: datetime, **more: Any) -> Heard:
        """With nothing known of the agent's clocks."""
        return cls(Moment(received_at), **more)


Stamp = tuple[int, Any]
"""An attribute id and its value."""
STAMPS: Final = (Attr.TIME_STAMP_ABS, Attr.TIME_STAMP_BO, Attr.TIME_STAMP_REL, Attr.TIME_STAMP_REL_HI_RES)
_ABS: Final = Attr.TIME_STAMP_ABS.value
_OTHERS: Final = tuple(attribute.value for attribute in STAMPS[1:])
_MICROSECONDS: Final = 1_000_000


def stamp_in(values: Mapping[int, Any]) -> Stamp | None:
    """The stamp among the attributes of one object: its attribute id and its value."""
    if _ABS in values:
        return _ABS, values[_ABS]
    for attribute in _OTHERS:
        if attribute in values:
            return attribute, values[attribute]
    return None


def place(stamp: Stamp | None, heard: Heard) -> CorrectedTime:
    """The time of measurement, with the facts about it."""
    if stamp is None:
        return CorrectedTime(heard.moment.received_at.astimezone(UTC), Fact.NO_DEVICE_CLOCK, How.RECEPTION)
    attribute, value = stamp
    if attribute == _ABS:
        return _absolute(value, heard)
    if attribute == Attr.TIME_STAMP_BO:
        return _base_offset(value, heard)
    if attribute == Attr.TIME_STAMP_REL:
        return _counted(_ago_relative(value, heard), heard)
    return _counted(_ago_high_resolution(value, heard), heard)


def _absolute(stamp: AbsoluteTime, heard: Heard) -> CorrectedTime:
    moment, clocks = heard.moment, heard.clocks
    received_at, zone, _, _, live, _ = moment
    at = stamp.at
    if at is None:
        found = correct(None, None, None, received_at, zone, False, live)
        if not stamp.fault:
            return found
        facts = (found.facts & ~Fact.CLOCK_NOT_SET) | Fact.TIME_FAULT
        return CorrectedTime(found.measured_at, facts, found.how)
    shown = None if clocks.synced else clocks.absolute
    if not heard.adjust:
        return correct(at, shown, clocks.read_at, received_at, zone, True, live)
    try:
        adjusted = at + timedelta(milliseconds=10 * heard.adjust)
    except OverflowError:
        return CorrectedTime(received_at.astimezone(UTC), Fact.LOST_TIMELINE, How.LOST, at)
    found = correct(adjusted, shown, clocks.read_at, received_at, zone, True, live)
    return CorrectedTime(found.measured_at, found.facts, found.how, at)


def _base_offset(stamp: datetime | None, heard: Heard) -> CorrectedTime:
    """UTC with an offset: kept where it agrees or is kept right, otherwise brought to the gateway's timeline."""
    moment, clocks = heard.moment, heard.clocks
    shown = None if clocks.synced else clocks.base_offset
    found = correct(
        _plain(stamp),
        _plain(shown),
        clocks.read_at,
        moment.received_at,
        UTC,
        clock_set=stamp is not None,
        live=moment.live,
    )
    return CorrectedTime(found.measured_at, found.facts, found.how, stamp)


def _plain(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None)


def _ago_relative(stamp: int, heard: Heard) -> tuple[timedelta, datetime] | None:
    """How long before which moment. The report's own relative time is nearer than the clock read before."""
    elapsed = since(stamp, heard.relative)
    if elapsed is not None:
        return elapsed, heard.moment.received_at
    elapsed = since(stamp, heard.clocks.relative)
    read_at = heard.clocks.read_at
    return None if elapsed is None or read_at is None else (elapsed, read_at)


def _ago_high_resolution(stamp: int, heard: Heard) -> tuple[timedelta, datetime] | None:
    shown, read_at = heard.clocks.high_resolution, heard.clocks.read_at
    if shown is None or read_at is None:
        return None
    seconds = (shown - stamp) / _MICROSECONDS
    # a stamp after the clock was read is of this very association
    return (timedelta(seconds=seconds), read_at) if abs(seconds) < 10 * 365 * 86400 else None


def _counted(ago: tuple[timedelta, datetime] | None, heard: Heard) -> CorrectedTime:
    """A counter: mapped where it is on the current timeline, lost otherwise. It identifies nothing: it starts anew."""
    received = heard.moment.received_at.astimezone(UTC)
    if ago is not None:
        elapsed, at = ago
        measured = (at - elapsed).astimezone(UTC)
        if measured <= received + timedelta(minutes=5):
            return CorrectedTime(measured, Fact.CLOCK_CORRECTED, How.CORRECTED)
    return CorrectedTime(received, Fact.LOST_TIMELINE, How.LOST)

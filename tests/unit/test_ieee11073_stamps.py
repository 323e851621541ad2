"""When 20601 agents measured: the rows of the coincident time stamp table."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from devices.clock import IDENTITY_ZONE, Moment
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import Attr
from devices.ieee11073.mder import u32
from devices.ieee11073.scan_report import VarObs
from devices.ieee11073.specializations import (
    standard,
)
from devices.ieee11073.stamping import Clocks, Heard
from devices.ieee11073.times import absolute, base_offset, write_absolute, write_base_offset
from devices.observation import Observation
from tests.readings_20601 import LIVE, NOW, WALL, only, said, simple, stamped


def seen_at(heard: Heard, attribute: Attr, raw: bytes) -> Observation:
    obs = VarObs(1, (Attribute(Attr.NU_VAL_OBS_SIMP, simple(70)), Attribute(attribute, raw)))
    return only(said(standard(0x05DC), obs, heard=heard))


def with_clocks(**clocks: Any) -> Heard:
    return Heard.at(NOW, clocks=Clocks(read_at=NOW, **clocks))


def test_local_clock_that_agrees_is_kept() -> None:
    found = seen_at(with_clocks(absolute=WALL), Attr.TIME_STAMP_ABS, stamped(WALL - timedelta(hours=1)))
    assert (found.measured_at, found.facts) == (NOW - timedelta(hours=1), ())


def test_local_clock_that_is_off_is_corrected_and_its_own_stamp_identifies() -> None:
    off = WALL - timedelta(days=3)
    found = seen_at(with_clocks(absolute=off), Attr.TIME_STAMP_ABS, stamped(off - timedelta(minutes=2)))
    assert (found.measured_at, found.facts) == (NOW - timedelta(minutes=2), ("clock-corrected",))
    assert found.device_at == off - timedelta(minutes=2)


def test_local_clock_that_is_kept_right_is_believed_over_ours() -> None:
    off = WALL - timedelta(minutes=20)
    found = seen_at(with_clocks(absolute=off, synced=True), Attr.TIME_STAMP_ABS, stamped(off))
    assert (found.measured_at, found.facts) == (NOW - timedelta(minutes=20), ())


def test_stamp_ahead_of_its_clock_is_on_a_lost_timeline() -> None:
    found = seen_at(with_clocks(absolute=WALL), Attr.TIME_STAMP_ABS, stamped(WALL + timedelta(days=1)))
    assert found.facts == ("lost-timeline",)


@pytest.mark.parametrize(("wall", "adjust"), [(WALL, 2**47 - 1), (datetime(9999, 12, 31), 8_640_000)])
def test_clock_that_was_put_past_the_end_of_the_calendar_is_on_a_lost_timeline(wall: datetime, adjust: int) -> None:
    found = seen_at(with_clocks(absolute=WALL)._replace(adjust=adjust), Attr.TIME_STAMP_ABS, stamped(wall))
    assert (found.measured_at, found.device_at, found.facts) == (NOW, wall, ("lost-timeline",))


def test_clock_that_was_put_right_since_shifts_its_stamps_by_what_it_says() -> None:
    heard = with_clocks(absolute=WALL)._replace(adjust=360_000)
    found = seen_at(heard, Attr.TIME_STAMP_ABS, stamped(WALL - timedelta(hours=2)))
    assert found.measured_at == NOW - timedelta(hours=1)
    assert found.device_at == WALL - timedelta(hours=2)


@pytest.mark.parametrize(("raw", "fact"), [(bytes(8), "clock-not-set"), (b"\x20\x26\x13\x40" + bytes(4), "time-fault")])
def test_a_stamp_that_is_no_date_is_a_fact_and_a_live_reading_is_of_now(raw: bytes, fact: str) -> None:
    found = seen_at(LIVE, Attr.TIME_STAMP_ABS, raw)
    assert (found.measured_at, found.device_at, found.facts) == (NOW, None, (fact,))


def test_base_offset_time_carries_its_own_offset() -> None:
    at = (NOW - timedelta(minutes=3)).astimezone(IDENTITY_ZONE)
    found = seen_at(with_clocks(base_offset=NOW), Attr.TIME_STAMP_BO, write_base_offset(at))
    assert (found.measured_at, found.device_at, found.facts) == (at, at, ())
    off = with_clocks(base_offset=NOW - timedelta(hours=2))
    moved = seen_at(off, Attr.TIME_STAMP_BO, write_base_offset(at - timedelta(hours=2)))
    assert (moved.measured_at, moved.facts) == (at, ("clock-corrected",))


def test_relative_time_is_counted_back_from_the_report() -> None:
    heard = LIVE._replace(relative=80_000)
    found = seen_at(heard, Attr.TIME_STAMP_REL, u32(0))
    assert (found.measured_at, found.facts) == (NOW - timedelta(seconds=10), ("clock-corrected",))


def test_relative_time_is_counted_back_over_its_wrap() -> None:
    heard = LIVE._replace(relative=40_000)
    found = seen_at(heard, Attr.TIME_STAMP_REL, u32(2**32 - 40_000))
    assert found.measured_at == NOW - timedelta(seconds=10)


def test_relative_time_without_a_clock_to_compare_is_lost() -> None:
    assert seen_at(LIVE, Attr.TIME_STAMP_REL, u32(5)).facts == ("lost-timeline",)


def test_high_resolution_time_is_counted_back_from_the_clock_that_was_read() -> None:
    heard = with_clocks(high_resolution=90_000_000)
    found = seen_at(heard, Attr.TIME_STAMP_REL_HI_RES, (30_000_000).to_bytes(8))
    assert found.measured_at == NOW - timedelta(minutes=1)
    assert seen_at(LIVE, Attr.TIME_STAMP_REL_HI_RES, bytes(8)).facts == ("lost-timeline",)


def test_from_memory_an_unset_clock_is_lost() -> None:
    heard = Heard(Moment(NOW, live=False))
    assert set(seen_at(heard, Attr.TIME_STAMP_ABS, bytes(8)).facts) == {"clock-not-set", "lost-timeline"}


def test_times_go_there_and_back() -> None:
    at = datetime(2026, 11, 22, 0, 43, 23, 500_000)
    assert write_absolute(at).hex() == "2026112200432350"
    assert absolute(write_absolute(at)).at == at
    aware = datetime(2026, 11, 22, 0, 43, 23, 500_000, tzinfo=IDENTITY_ZONE)
    assert base_offset(write_base_offset(aware)) == aware

"""A record's time on the gateway's timeline, or the plain statement that there is none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.clock import CorrectedTime, DateTime, How, Moment, correct, identity_at, place
from devices.errors import Truncated
from devices.observation import Fact

SHANGHAI = ZoneInfo("Asia/Shanghai")
HEARD = datetime(2026, 3, 5, 2, 0, 0, tzinfo=UTC)
"""10:00 in Shanghai."""
WALL = datetime(2026, 3, 5, 10, 0, 0)


def test_a_date_time_comes_back_as_it_was() -> None:
    octets = bytes.fromhex("da070c120f1706")
    assert DateTime.decode(octets) == (2010, 12, 18, 15, 23, 6)
    assert DateTime.decode(octets).encode() == octets


@given(st.binary(min_size=7, max_size=7))
def test_any_seven_octets_are_a_date_time(octets: bytes) -> None:
    stamp = DateTime.decode(octets)
    assert stamp.encode() == octets
    assert (stamp.naive() is None) == (not stamp.known or stamp.fault)


def test_six_octets_are_truncated() -> None:
    with pytest.raises(Truncated):
        DateTime.decode(bytes(6))


@pytest.mark.parametrize("stamp", [DateTime(0, 4, 17), DateTime(2026, 0, 17), DateTime(2026, 4, 0)])
def test_an_unknown_part_is_neither_a_time_nor_a_fault(stamp: DateTime) -> None:
    assert stamp.naive() is None
    assert not stamp.known
    assert not stamp.fault


@pytest.mark.parametrize("stamp", [DateTime(2026, 2, 30), DateTime(2026, 4, 1, 25), DateTime(1200, 1, 1)])
def test_an_impossible_date_is_a_fault(stamp: DateTime) -> None:
    assert stamp.fault


def test_without_a_stamp_the_reception_counts() -> None:
    found = correct(None, None, None, HEARD, SHANGHAI)
    assert found == CorrectedTime(HEARD, Fact.NO_DEVICE_CLOCK, How.RECEPTION, None)


def test_a_clock_that_agrees_is_believed() -> None:
    found = correct(WALL - timedelta(hours=1), WALL + timedelta(seconds=20), HEARD, HEARD, SHANGHAI)
    assert found.measured_at == HEARD - timedelta(hours=1)
    assert (found.facts, found.how) == (Fact(0), How.DEVICE_CLOCK)


@pytest.mark.parametrize("off", [timedelta(hours=-3), timedelta(days=400), timedelta(minutes=2)])
def test_a_clock_that_is_off_is_corrected_by_what_it_is_off(off: timedelta) -> None:
    found = correct(WALL - timedelta(hours=1) + off, WALL + off, HEARD, HEARD, SHANGHAI)
    assert found.measured_at == HEARD - timedelta(hours=1)
    assert (found.facts, found.how) == (Fact.CLOCK_CORRECTED, How.CORRECTED)


def test_the_stamp_that_identifies_is_not_the_corrected_one() -> None:
    stamp = WALL - timedelta(days=3)
    first = correct(stamp, WALL, HEARD, HEARD, SHANGHAI)
    later = correct(stamp, WALL + timedelta(hours=9), HEARD, HEARD, SHANGHAI)
    assert first.measured_at != later.measured_at
    assert first.device_at == later.device_at == stamp


def test_an_unreadable_clock_is_taken_for_local_time() -> None:
    found = correct(WALL, None, None, HEARD, SHANGHAI)
    assert (found.measured_at, found.facts, found.how) == (HEARD, Fact(0), How.AS_STAMPED)


def test_two_gateways_in_different_zones_read_one_identity() -> None:
    here = correct(WALL, None, None, HEARD, SHANGHAI)
    there = correct(WALL, None, None, HEARD + timedelta(hours=2), timezone(timedelta(hours=6)))
    assert here.measured_at != there.measured_at
    assert here.device_at is not None
    assert there.device_at is not None
    assert identity_at(here.device_at) == identity_at(there.device_at) == HEARD


def test_a_stamp_ahead_of_its_own_clock_is_lost() -> None:
    found = correct(WALL, datetime(2000, 1, 1, 0, 4), HEARD, HEARD, SHANGHAI)
    assert found == CorrectedTime(HEARD, Fact.LOST_TIMELINE, How.LOST, WALL)


def test_a_stamp_of_the_factory_setting_under_a_clock_since_set_is_lost() -> None:
    found = correct(datetime(2000, 1, 1, 0, 4), WALL, HEARD, HEARD, SHANGHAI)
    assert found.how is How.LOST


def test_a_clock_still_at_its_factory_setting_is_corrected() -> None:
    found = correct(datetime(2000, 1, 1, 0, 4), datetime(2000, 1, 1, 0, 10), HEARD, HEARD, SHANGHAI)
    assert (found.measured_at, found.how) == (HEARD - timedelta(minutes=6), How.CORRECTED)


def test_a_time_in_the_future_is_not_believed() -> None:
    found = correct(datetime(2037, 1, 1), None, None, HEARD, SHANGHAI)
    assert (found.measured_at, found.facts) == (HEARD, Fact.LOST_TIMELINE)


def test_a_gateway_a_little_behind_still_believes() -> None:
    found = correct(WALL + timedelta(minutes=4), None, None, HEARD, SHANGHAI)
    assert found.how is How.AS_STAMPED


def test_a_clock_that_was_not_set_counts_only_for_a_live_reading() -> None:
    live = correct(WALL, None, None, HEARD, SHANGHAI, clock_set=False)
    stored = correct(WALL, None, None, HEARD, SHANGHAI, clock_set=False, live=False)
    assert (live.facts, live.how) == (Fact.CLOCK_NOT_SET, How.NOT_SET_LIVE)
    assert (stored.facts, stored.how) == (Fact.CLOCK_NOT_SET | Fact.LOST_TIMELINE, How.LOST)


def test_an_unknown_year_is_a_clock_that_was_not_set() -> None:
    found = place(DateTime(0, 4, 17, 20, 41, 59), Moment(HEARD, SHANGHAI))
    assert (found.measured_at, found.facts) == (HEARD, Fact.CLOCK_NOT_SET)


def test_an_impossible_date_is_a_time_fault() -> None:
    live = place(DateTime(2026, 2, 30), Moment(HEARD, SHANGHAI))
    stored = place(DateTime(2026, 2, 30), Moment(HEARD, SHANGHAI, live=False))
    assert live.facts == Fact.TIME_FAULT
    assert stored.facts == Fact.TIME_FAULT | Fact.LOST_TIMELINE


@given(st.datetimes(), st.none() | st.datetimes(), st.booleans(), st.booleans())
def test_any_pair_of_clocks_gives_a_time_that_is_not_ahead(
    device_at: datetime, device_now: datetime | None, clock_set: bool, live: bool
) -> None:
    found = correct(device_at, device_now, HEARD, HEARD, SHANGHAI, clock_set=clock_set, live=live)
    assert found.measured_at.utcoffset() == timedelta(0)
    assert found.measured_at <= HEARD + timedelta(minutes=5)

"""Is the mark of a sensor's records of the session that runs, and where does the sensor not say enough to tell?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from devices.clock import DateTime
from devices.gatt.cgm import CgmRecord, CgmSessionStartTime
from devices.medfloat import sfloat
from gateway.cgm_session import CgmSession, is_marked

NOW = datetime(2026, 11, 22, 12, 0, 10, tzinfo=UTC)
START = CgmSessionStartTime(session_start_time=DateTime(2026, 11, 22, 14, 0, 0), time_zone=32, dst_offset=0)
OTHER = CgmSessionStartTime(session_start_time=DateTime(2026, 11, 22, 15, 0, 0), time_zone=32, dst_offset=0)
UNKNOWN = CgmSessionStartTime(session_start_time=DateTime(0, 0, 0))
RECORD = CgmRecord(concentration=sfloat(104), time_offset=300)


def session(start: CgmSessionStartTime | None, offset: int | None, later: timedelta = timedelta(0)) -> CgmSession:
    return CgmSession(NOW + later, start, offset)


@pytest.mark.parametrize(
    ("before", "now", "follows"),
    [
        # the same start, or the same number of minutes ago
        (session(START, None), session(START, None, timedelta(days=2)), True),
        (session(UNKNOWN, 360), session(UNKNOWN, 360 + 2880, timedelta(days=2, minutes=2)), True),
        # some collector has set the start anew
        (session(START, 360), session(OTHER, 420, timedelta(hours=1)), True),
        (session(UNKNOWN, 360), session(START, 420, timedelta(hours=1)), True),
        # another start, other minutes, or fewer than the mark has
        (session(START, None), session(OTHER, None), False),
        (session(UNKNOWN, 360), session(UNKNOWN, 310, timedelta(hours=1)), False),
        (session(START, 360), session(START, 310, timedelta(hours=1)), False),
        (session(START, None), session(START, 298), False),
        # nothing to compare
        (session(UNKNOWN, None), session(UNKNOWN, None), None),
        (session(UNKNOWN, 360), session(UNKNOWN, None), None),
        (session(None, None), session(None, 400), None),
    ],
)
def test_a_mark_is_of_this_session(before: CgmSession, now: CgmSession, follows: bool | None) -> None:
    assert now.follows(before.mark("ble:f0", RECORD)) is follows


def test_the_record_of_the_mark_is_known_by_all_that_it_says() -> None:
    mark = session(UNKNOWN, None).mark("ble:f0", RECORD)
    assert is_marked(RECORD, mark)
    assert not is_marked(CgmRecord(concentration=sfloat(105), time_offset=300), mark)
    assert not is_marked(CgmRecord(concentration=sfloat(104), time_offset=301), mark)

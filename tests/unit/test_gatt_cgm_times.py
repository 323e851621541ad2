"""When a CGM record was measured: the start of its session, in the zone that the sensor knows, and its offset."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devices.catalogue import observe
from devices.clock import DateTime, Moment
from devices.gatt import cgm
from devices.gatt.record import DeviceFacts
from devices.medfloat import sfloat

LATER = Moment(datetime(2026, 3, 5, 14, 0, tzinfo=UTC))
SOURCE = DeviceFacts("eui64:0102030405060708")
STAMP = DateTime(2026, 3, 5, 9, 30, 0)


@pytest.mark.parametrize(("zone", "saving", "utc"), [(0, 0, 9), (4, 4, 7), (-128, 255, 1), (36, 255, 1), (57, 0, 1)])
def test_a_session_start_that_knows_its_zone_is_read_in_it(zone: int, saving: int, utc: int) -> None:
    measured = cgm.CgmMeasurement(records=(cgm.CgmRecord(concentration=sfloat(104), time_offset=15),))
    start = cgm.CgmSessionStartTime(session_start_time=STAMP, time_zone=zone, dst_offset=saving)
    (seen,) = observe(measured, SOURCE, LATER, start=start)
    assert seen.measured_at == datetime(2026, 3, 5, utc, 45, tzinfo=UTC)
    # whatever the zone is, it is no part of what identifies
    assert seen.device_at == datetime(2026, 3, 5, 9, 45)

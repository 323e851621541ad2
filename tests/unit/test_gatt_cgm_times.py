"""When a CGM record was measured: the start of its session, in the zone that the sensor knows, and its offset; and what
its feature says of the CRC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devices.catalogue import observe
from devices.clock import DateTime, Moment
from devices.errors import BadValue, Truncated
from devices.gatt import cgm
from devices.gatt.record import DeviceFacts
from devices.medfloat import sfloat
from devices.octets import crc16

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


@pytest.mark.parametrize(
    ("start", "live", "facts"),
    [
        (DateTime(0, 3, 5, 9, 30, 0), False, {"clock-not-set", "lost-timeline"}),
        (DateTime(0, 0, 0), True, {"clock-not-set"}),
        (DateTime(2026, 2, 30, 9, 30, 0), False, {"time-fault", "lost-timeline"}),
    ],
)
def test_a_session_whose_start_is_not_known_is_a_clock_that_was_not_set(
    start: DateTime, live: bool, facts: set[str]
) -> None:
    measured = cgm.CgmMeasurement(records=(cgm.CgmRecord(concentration=sfloat(104), time_offset=15),))
    begun = cgm.CgmSessionStartTime(session_start_time=start)
    (seen,) = observe(measured, SOURCE, LATER._replace(live=live), start=begun)
    assert (seen.measured_at, seen.device_at, set(seen.facts)) == (LATER.received_at, None, facts)


PLAIN = cgm.CgmMeasurement(records=(cgm.CgmRecord(concentration=sfloat(104), time_offset=15),))
SEALED = cgm.CgmMeasurement(records=(cgm.CgmRecord(concentration=sfloat(104), time_offset=15, e2e_crc=True),))


def test_where_the_feature_announces_a_crc_each_record_must_have_one() -> None:
    assert cgm.CgmMeasurement.decode(SEALED.encode(), e2e_crc=True) == SEALED
    with pytest.raises(Truncated, match="e2e_crc"):
        cgm.CgmMeasurement.decode(PLAIN.encode(), e2e_crc=True)


def test_where_the_feature_announces_none_two_octets_more_are_left_over() -> None:
    (one,) = cgm.CgmMeasurement.decode(SEALED.encode(), e2e_crc=False).records
    assert (one.e2e_crc, len(one.trailing)) == (False, 2)
    wrong = SEALED.encode()[:-1] + bytes([SEALED.encode()[-1] ^ 1])
    with pytest.raises(BadValue, match="e2e_crc"):
        cgm.CgmMeasurement.decode(wrong)
    assert cgm.CgmMeasurement.decode(wrong, e2e_crc=False).encode() == wrong


def test_what_stands_before_a_crc_beyond_the_fields_is_kept() -> None:
    body = bytes([10]) + PLAIN.encode()[1:] + b"\xaa\xbb"
    frame = body + crc16(body).to_bytes(2, "little")
    read = cgm.CgmMeasurement.decode(frame, e2e_crc=True)
    assert read.records[0].trailing == b"\xaa\xbb"
    assert read.encode() == frame

"""Stored blood pressures (0x2B36): segments, a CRC that has to be right, one identity with the live frame."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalogue import decode, observe, why_odd
from devices.clock import Moment
from devices.errors import BadValue, DeviceError, Truncated, UnknownCharacteristic
from devices.gatt.blood_pressure_record import BloodPressureRecord, observe_recorded, recorded_in, segments_of
from devices.gatt.record import DeviceFacts
from devices.octets import crc16

HEARD = datetime(2022, 2, 14, 9, 0, tzinfo=UTC)
SOURCE = DeviceFacts("ble:c0:ff:ee:00:00:01")
MOMENT = Moment(HEARD)
READING = bytes.fromhex("7e 7800 5000 5d00 005f8629 4000 01 0400 80cf8629")
LIVE = decode("2B34", READING)


def test_a_record_in_one_segment_is_the_reading_that_it_holds() -> None:
    frame = bytes.fromhex("03 0700 342b") + READING
    found = decode("2B36", frame)
    assert isinstance(found, BloodPressureRecord)
    assert (found.sequence_number, found.recorded_uuid) == (7, 0x2B34)
    assert recorded_in((found,)) == (7, LIVE, False)
    assert found.encode() == frame


def test_a_stored_reading_has_the_identity_of_the_live_one() -> None:
    (live,) = observe(LIVE, SOURCE, MOMENT)
    (stored,) = observe(segments_of(7, LIVE, most=40)[0], SOURCE, MOMENT)
    assert stored == live


@pytest.mark.parametrize("most", [6, 7, 20, 23, 40])
@pytest.mark.parametrize("crc", [False, True])
@pytest.mark.parametrize("counter", [0, 62])
def test_a_record_is_cut_and_put_together_at_any_length(most: int, crc: bool, counter: int) -> None:
    parts = segments_of(7, LIVE, most=most, counter=counter, crc=crc)
    assert all(len(part.encode()) <= most for part in parts)
    again = tuple(BloodPressureRecord.decode(part.encode()) for part in parts)
    found = recorded_in(again)
    assert found == recorded_in(again, crc=crc) == (7, LIVE, crc)
    assert len(observe_recorded(found, SOURCE, MOMENT)) == 1


def test_the_crc_is_over_all_octets_of_all_segments() -> None:
    parts = segments_of(7, LIVE, crc=True)
    octets = b"".join(part.encode() for part in parts)
    assert int.from_bytes(octets[-2:], "little") == crc16(octets[:-2])


@given(st.integers(0, 200), st.integers(1, 255))
def test_one_octet_wrong_is_found_where_a_crc_is_known_to_be_there(at: int, flip: int) -> None:
    parts = segments_of(7, LIVE, crc=True)
    octets = bytearray(b"".join(part.encode() for part in parts))
    at %= len(octets)
    octets[at] ^= flip
    sizes = [len(part.encode()) for part in parts]
    broken = [
        BloodPressureRecord.decode(bytes(octets[sum(sizes[:n]) : sum(sizes[: n + 1])])) for n in range(len(sizes))
    ]
    with pytest.raises(DeviceError):
        recorded_in(broken, crc=True)


def test_a_segment_is_cut_and_gives_nothing_by_itself() -> None:
    for part in segments_of(7, LIVE):
        assert observe(part, SOURCE, MOMENT) == ()
        assert why_odd(part) is None


def test_segments_that_do_not_belong_together_are_refused() -> None:
    first, second = segments_of(7, LIVE)
    for parts in ((second,), (first,), (first, first), (first, msgspec.structs.replace(second, counter=5))):
        with pytest.raises(BadValue) as caught:
            recorded_in(parts)
        assert caught.value.field == "header"
    with pytest.raises(BadValue) as caught:
        recorded_in((first, msgspec.structs.replace(second, sequence_number=8)))
    assert caught.value.field == "sequence_number"


@pytest.mark.parametrize(
    ("frame", "error", "field"),
    [
        ("03 0700 182a 00", UnknownCharacteristic, "recorded_uuid"),
        ("03 0700 342b 7e7800", Truncated, "diastolic"),
        ("03 0700 342b 007800 5000 5d00 ffff", BadValue, "e2e_crc"),
    ],
)
def test_what_cannot_be_read_is_no_reading_and_says_why(frame: str, error: type[DeviceError], field: str) -> None:
    found = decode("2B36", bytes.fromhex(frame))
    assert observe(found, SOURCE, MOMENT) == ()
    why = why_odd(found)
    assert (type(why), why.field if why else "") == (error, field)


def test_a_pressure_on_the_way_is_no_reading_and_not_odd() -> None:
    found = segments_of(7, decode("2B35", bytes.fromhex("00 7800")), most=40)[0]
    assert (observe(found, SOURCE, MOMENT), why_odd(found)) == ((), None)


def test_an_old_measurement_can_be_recorded_too() -> None:
    found = segments_of(7, decode("2A35", bytes.fromhex("1e7c0056006100e807060f11111b3300010800")), most=40)[0]
    assert observe(found, SOURCE, MOMENT)[0].values[:2] == (124.0, 86.0)


def test_a_record_needs_room_for_its_head() -> None:
    with pytest.raises(BadValue):
        segments_of(7, LIVE, most=5)

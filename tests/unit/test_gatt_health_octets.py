"""Generic health sensor: bodies of every class, their segments and the other characteristics, both ways."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalogue import decode
from devices.clock import Moment
from devices.errors import BadValue, DeviceError, Truncated
from devices.gatt import record_access
from devices.gatt.elapsed_time import ElapsedTime, ElapsedTimeValue
from devices.gatt.generic_health_sensor import (
    HealthSensorControlPoint,
    HealthSensorFeatures,
    LiveHealthObservations,
    ObservationScheduleChanged,
    SensorCommand,
    assembled,
)
from devices.gatt.health_observation import (
    Component,
    Numeric,
    SampleArray,
    StateEvent,
    Tlv,
    observation_in,
)
from devices.gatt.record import DeviceFacts
from devices.gatt.record_access import OpCode, Operator, RecordAccess
from devices.gatt.segmentation import MOST_OCTETS, Header, Joining, joined
from devices.medfloat import Medfloat, medfloat32
from tests.health_bodies import TEMPERATURE, body, compound, number, stamp

HEARD = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SOURCE = DeviceFacts("eui64:0102030405060708")
MOMENT = Moment(HEARD)


# -- octets


def test_a_numeric_observation_is_taken_apart() -> None:
    found = observation_in(TEMPERATURE)
    assert (found.type, found.time, found.status) == (150420, ElapsedTime(0x22, 0x2982A470, 1, 32), 2)
    assert found.numeric == found.content == Numeric(0x17A0, Medfloat(360, -1))
    assert found.octets == TEMPERATURE


@pytest.mark.parametrize(
    ("kind", "value", "content"),
    [
        (1, number(97, 544), Numeric(544, medfloat32(97.0))),
        (2, struct.pack("<I", 7), 7),
        (3, b"\x02\x00ok", "ok"),
        (
            4,
            struct.pack("<HIIIBBI", 512, 1, 0, 2, 1, 2, 2) + b"\1\0\2\0",
            SampleArray(512, Medfloat(1), Medfloat(0), Medfloat(2), 1, 2, b"\1\0\2\0"),
        ),
        (5, struct.pack("<BII", 2, 5, 6), (5, 6)),
        (6, b"\x02" + b"\xff\x0f" + b"\x0f\x00" + b"\x01\x00", StateEvent(b"\xff\x0f", b"\x0f\x00", b"\x01\x00")),
        (
            7,
            compound((150021, 1, number(120, 3872)), (5, 2, struct.pack("<I", 9))),
            (Component(150021, 1, Numeric(3872, medfloat32(120.0))), Component(5, 2, 9)),
        ),
        (8, struct.pack("<BIHB", 1, 68193, 2, 4) + b"ab", (Tlv(68193, 4, b"ab"),)),
    ],
)
def test_a_value_is_read_by_its_class(kind: int, value: bytes, content: Any) -> None:
    one = body(kind, value, type=1)
    assert one.content == content
    assert observation_in(one.octets) == one


def test_every_optional_field_goes_there_and_back() -> None:
    one = body(
        1,
        number(36.6, 6048),
        type=150364,
        time=stamp(HEARD),
        duration=Medfloat(5),
        status=2,
        id=7,
        patient=3,
        supplemental=(1, 2),
        derived_from=(3,),
        has_member=(4,),
        tlvs=(Tlv(5, 6, b"xyz"),),
    )
    again = observation_in(one.octets)
    assert again == one
    assert again.flags == 0x3FF


@pytest.mark.parametrize("own_head", [False, True])
def test_a_length_may_count_its_own_head(own_head: bool) -> None:
    one = msgspec.structs.replace(observation_in(TEMPERATURE), own_head=own_head)
    assert one.octets[1] == len(TEMPERATURE) - 3 * (not own_head)
    assert observation_in(one.octets) == one


@pytest.mark.parametrize(
    ("octets", "error", "field"),
    [
        ("0118000b00", Truncated, "type"),
        ("010c000100 5c4b0200", Truncated, "value"),
        ("010c000100 5c4b0200 a017 6e01", Truncated, "value"),
        ("0103000100 5c4b0200 a017 6e0100ff", BadValue, "length"),
        ("01030040 0002", Truncated, "supplemental"),
        ("01030000 0202", Truncated, "tlvs"),
        ("0102", Truncated, "class"),
        ("01030002 0001", Truncated, "time"),
    ],
)
def test_a_body_that_ends_too_soon_names_the_field(octets: str, error: type[DeviceError], field: str) -> None:
    with pytest.raises(error) as caught:
        observation_in(bytes.fromhex(octets))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "value", "field"),
    [(1, b"\0" * 7, "value"), (9, b"", "class"), (7, b"\1\0\0\0\0\7", "class"), (3, b"\5\0a", "value")],
)
def test_a_value_that_is_not_of_its_class_names_the_field(kind: int, value: bytes, field: str) -> None:
    with pytest.raises(DeviceError) as caught:
        _ = body(kind, value, type=1).content
    assert caught.value.field == field


# -- segments


def test_segments_are_put_together_in_their_order() -> None:
    parts = [decode("2B8B", octets) for octets in (b"\x01ab", b"\x04cd", b"\x0aef")]
    assert all(isinstance(part, LiveHealthObservations) for part in parts)
    assert assembled(parts) == b"abcdef"  # type: ignore[arg-type]
    with pytest.raises(BadValue):
        assembled([parts[0], parts[2]])  # type: ignore[list-item]
    with pytest.raises(BadValue):
        assembled(parts[:2])  # type: ignore[arg-type]
    with pytest.raises(BadValue):
        assembled([*parts, parts[0]])  # type: ignore[list-item]


def test_segments_of_a_connection_are_joined_one_value_after_the_other() -> None:
    joining = Joining()
    assert joining.take(Header(True, False, 63), b"a") is None
    assert joining.take(Header(False, True, 0), b"b") == b"ab"
    assert joining.take(Header(True, True, 1), b"c") == b"c"
    with pytest.raises(BadValue):
        joining.take(Header(False, True, 2), b"d")
    assert (joining.take(Header(True, False, 3), b"e"), joining.lost) == (None, 0)
    assert (joining.take(Header(True, True, 4), b"f"), joining.lost) == (b"f", 1)


def test_a_value_without_an_end_is_bounded() -> None:
    joining = Joining()
    joining.take(Header(True, False, 0), bytes(512))
    for count in range(1, MOST_OCTETS // 512):
        joining.take(Header(False, False, count % 64), bytes(512))
    with pytest.raises(BadValue):
        joining.take(Header(False, False, MOST_OCTETS // 512 % 64), bytes(512))


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 63), st.binary(max_size=4)), max_size=12))
def test_any_segments_are_a_value_or_an_error(rows: list[tuple[bool, bool, int, bytes]]) -> None:
    try:
        whole = joined((Header(*row[:3]), row[3]) for row in rows)
    except BadValue:
        return
    assert whole == b"".join(row[3] for row in rows)


# -- the other characteristics


def test_features_name_what_the_sensor_measures() -> None:
    found = decode("2BF3", bytes.fromhex("01 01 944b0200 01 0810 01".replace(" ", "")))
    assert isinstance(found, HealthSensorFeatures)
    assert (found.observation_types, found.specializations) == ((150420,), ((4104, 1),))


def test_the_control_point_starts_and_stops_and_answers() -> None:
    assert HealthSensorControlPoint(command=SensorCommand.START_LIVE_OBSERVATIONS).encode() == b"\x01"
    assert decode("2BF4", b"\x80") == HealthSensorControlPoint(command=SensorCommand.SUCCESS)


def test_a_schedule_says_how_often() -> None:
    found = decode("2BF1", struct.pack("<III", 150456, 5, 60))
    assert found == ObservationScheduleChanged(
        type=150456, measurement_period=Medfloat(5), update_interval=Medfloat(60)
    )


def test_the_sensors_clock_can_be_read() -> None:
    found = decode("2BF2", stamp(HEARD).octets)
    assert isinstance(found, ElapsedTimeValue)
    assert ElapsedTime(found.flags, found.elapsed, found.source, found.offset).at == HEARD


def test_records_are_asked_for_by_32_bit_numbers() -> None:
    asked = record_access.request(OpCode.COMBINED_REPORT, Operator.GREATER_OR_EQUAL, 70_000, width=4)
    assert asked.encode().hex() == "07030170110100"
    assert RecordAccess.decode(asked.encode()).bounds == (70_000,)
    both = record_access.request(OpCode.DELETE_STORED_RECORDS, Operator.WITHIN_RANGE, 1, 70_000, width=4)
    assert RecordAccess.decode(both.encode()).bounds == (1, 70_000)
    with pytest.raises(BadValue):
        record_access.request(OpCode.COMBINED_REPORT, Operator.GREATER_OR_EQUAL, 2**32, width=4)


@pytest.mark.parametrize("of_clock", [{"clock_status": 1}, {"clock_status": 256, "clock_capabilities": 0}])
def test_a_clock_says_its_status_and_its_capabilities_or_neither(of_clock: dict[str, Any]) -> None:
    with pytest.raises(BadValue) as caught:
        ElapsedTimeValue(flags=0x22, elapsed=1, source=6, offset=0, **of_clock).encode()
    assert caught.value.field == "clock_status"

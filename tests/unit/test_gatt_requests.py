"""What the gateway writes: record access, the clock, user consent; and values that no frame can hold."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from devices import medfloat
from devices.clock import DateTime
from devices.errors import BadValue, DeviceError, Truncated
from devices.gatt import record_access, user_data
from devices.gatt.battery import BatteryLevel
from devices.gatt.blood_pressure import BloodPressureMeasurement
from devices.gatt.cgm import CgmFeature, CgmMeasurement, CgmRecord, CgmStatus
from devices.gatt.characteristic import Characteristic
from devices.gatt.current_time import AdjustReason, CurrentTime, LocalTimeInformation
from devices.gatt.device_information import ManufacturerName, SystemId
from devices.gatt.glucose import GlucoseMeasurement, GlucoseMeasurementContext
from devices.gatt.heart_rate import HeartRateMeasurement
from devices.gatt.pulse_oximeter import PlxContinuousMeasurement, PlxFeatures
from devices.gatt.record_access import FilterType, OpCode, Operator, RecordAccess, ResponseCode
from devices.gatt.weight_scale import WeightMeasurement, WeightScaleFeature
from devices.medfloat import Medfloat, sfloat

NOON = DateTime(2026, 3, 5, 12, 0, 0)


@pytest.mark.parametrize(
    ("access", "octets"),
    [
        (record_access.report_all(), "0101"),
        (record_access.report_last(), "0106"),
        (record_access.report_from(0x0102), "0103010201"),
        (record_access.count_all(), "0401"),
        (record_access.count_from(7), "0403010700"),
        (record_access.abort(), "0300"),
        (record_access.number_response(500), "0500f401"),
        (record_access.response(OpCode.REPORT_STORED_RECORDS, ResponseCode.NO_RECORDS_FOUND), "06000106"),
        (record_access.request(OpCode.DELETE_STORED_RECORDS, Operator.WITHIN_RANGE, 1, 9), "02040101000900"),
        (record_access.request(OpCode.REPORT_STORED_RECORDS, Operator.LESS_OR_EQUAL, NOON), "010202ea0703050c0000"),
    ],
)
def test_a_record_access_is_these_octets(access: RecordAccess, octets: str) -> None:
    assert access.encode().hex() == octets
    assert RecordAccess.decode(bytes.fromhex(octets)) == access


ASKING = (
    OpCode.REPORT_STORED_RECORDS,
    OpCode.DELETE_STORED_RECORDS,
    OpCode.REPORT_NUMBER_OF_STORED_RECORDS,
    OpCode.COMBINED_REPORT,
)
BOUNDS: dict[Operator, tuple[int | DateTime, ...]] = {
    Operator.ALL: (),
    Operator.LESS_OR_EQUAL: (7,),
    Operator.GREATER_OR_EQUAL: (NOON,),
    Operator.WITHIN_RANGE: (7, 9),
    Operator.FIRST: (),
    Operator.LAST: (),
}


@pytest.mark.parametrize("operator", BOUNDS, ids=lambda one: one.name.lower())
@pytest.mark.parametrize("op_code", ASKING, ids=lambda one: one.name.lower())
def test_every_request_has_every_operator_and_says_its_bounds(op_code: OpCode, operator: Operator) -> None:
    asked = record_access.request(op_code, operator, *BOUNDS[operator])
    again = RecordAccess.decode(asked.encode())
    assert (again.op_code, again.operator, again.bounds) == (op_code, operator, BOUNDS[operator])
    assert (again.request_op_code, again.response_code, again.number_of_records) == (None, None, None)


@pytest.mark.parametrize("code", ResponseCode, ids=lambda one: one.name.lower())
@pytest.mark.parametrize("op_code", [*ASKING, OpCode.ABORT_OPERATION], ids=lambda one: one.name.lower())
def test_every_request_has_every_response(op_code: OpCode, code: ResponseCode) -> None:
    again = RecordAccess.decode(record_access.response(op_code, code).encode())
    assert (again.op_code, again.request_op_code, again.response_code) == (OpCode.RESPONSE_CODE, op_code, code)


@pytest.mark.parametrize(
    ("octets", "count"), [("0500f401", 500), ("050007", 7), ("050004030201", 0x01020304), ("0800f401", 500)]
)
def test_a_number_of_records_has_as_many_octets_as_the_device_gives_it(octets: str, count: int) -> None:
    assert RecordAccess.decode(bytes.fromhex(octets)).number_of_records == count


@pytest.mark.parametrize("op_code", user_data.UserOpCode, ids=lambda one: one.name.lower())
@pytest.mark.parametrize("response", user_data.UserResponse, ids=lambda one: one.name.lower())
def test_every_operation_on_users_has_every_response(
    op_code: user_data.UserOpCode, response: user_data.UserResponse
) -> None:
    again = user_data.UserControlPoint.decode(user_data.answer(op_code, response).encode())
    assert (again.request_op_code, again.response_value) == (op_code, response)


def test_a_user_is_deleted_without_a_parameter() -> None:
    asked = user_data.UserControlPoint(op_code=user_data.UserOpCode.DELETE_USER_DATA)
    assert asked.encode() == b"\x03"
    assert user_data.UserControlPoint.decode(b"\x03") == asked
    assert (asked.user_index, asked.consent_code, asked.response_value) == (None, None, None)


@pytest.mark.parametrize("octets", ["01", "012a", "020100", "20", "2001"])
def test_half_an_operation_on_users_is_truncated(octets: str) -> None:
    with pytest.raises(Truncated) as caught:
        user_data.UserControlPoint.decode(bytes.fromhex(octets))
    assert caught.value.field == "operand"


def test_the_bounds_of_a_request_can_be_read() -> None:
    assert RecordAccess.decode(bytes.fromhex("0103010201")).bounds == (0x0102,)
    assert RecordAccess.decode(bytes.fromhex("02040101000900")).bounds == (1, 9)
    by_time = RecordAccess.decode(bytes.fromhex("010202ea0703050c0000"))
    assert (by_time.filter_type, by_time.bounds) == (FilterType.USER_FACING_TIME, (NOON,))
    assert record_access.report_all().bounds == ()


def test_bounds_that_are_not_there_are_refused() -> None:
    with pytest.raises(Truncated):
        _ = RecordAccess.decode(bytes.fromhex("0104010100")).bounds
    with pytest.raises(BadValue):
        _ = RecordAccess.decode(bytes.fromhex("0103090100")).bounds
    with pytest.raises(BadValue):
        record_access.request(OpCode.REPORT_STORED_RECORDS, Operator.GREATER_OR_EQUAL)
    with pytest.raises(BadValue):
        record_access.report_from(0x10000)
    with pytest.raises(BadValue):
        record_access.request(OpCode.REPORT_STORED_RECORDS, Operator.GREATER_OR_EQUAL, DateTime(70000, 1, 1))


@pytest.mark.parametrize("octets", ["0103", "010301", "01030105", "010402ea0703050c0000", "040302ea07"])
def test_half_a_bound_is_truncated(octets: str) -> None:
    with pytest.raises(Truncated) as caught:
        RecordAccess.decode(bytes.fromhex(octets))
    assert caught.value.field == "operand"


@pytest.mark.parametrize(
    "octets", ["0101", "0306", "0300", "0103010500", "010402ea0703050c0000ea0703050c0001", "06000101"]
)
def test_what_follows_an_operand_is_left_over(octets: str) -> None:
    plain, more = (RecordAccess.decode(bytes.fromhex(octets + rest)) for rest in ("", "aa"))
    assert (more.operand, more.trailing) == (plain.operand, b"\xaa")
    assert more.encode().hex() == octets + "aa"


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        ("06", Truncated),
        ("060001", Truncated),
        ("0500", Truncated),
        ("0800", Truncated),
        ("06010101", BadValue),
        ("05010100", BadValue),
        ("0500030201", BadValue),
        ("05000504030201", BadValue),
    ],
)
def test_half_an_answer_is_refused(octets: str, error: type[DeviceError]) -> None:
    with pytest.raises(error):
        RecordAccess.decode(bytes.fromhex(octets))


def test_a_device_is_told_the_wall_time_of_a_zone() -> None:
    at = datetime(2026, 3, 5, 12, 30, 15, 500000, tzinfo=timezone(timedelta(hours=8)))
    told = CurrentTime.of(at)
    assert told.encode().hex() == "ea0703050c1e0f" + "04" + "80" + "02"
    assert told.naive() == at.replace(tzinfo=None)
    assert told.adjust_reason == AdjustReason.EXTERNAL_REFERENCE_TIME_UPDATE


@pytest.mark.parametrize(
    ("octets", "offset"), [("2000", 480), ("2004", 540), ("8000", None), ("20ff", None), ("1602", 360)]
)
def test_local_time_information_is_an_offset_from_utc(octets: str, offset: int | None) -> None:
    found = LocalTimeInformation.decode(bytes.fromhex(octets)).utc_offset()
    assert found == (None if offset is None else timedelta(minutes=offset))


def test_consent_is_asked_with_index_and_code() -> None:
    asked = user_data.consent(1, 3752)
    assert asked.encode().hex() == "0201a80e"
    assert (asked.user_index, asked.consent_code) == (1, 3752)
    assert user_data.register(42).encode().hex() == "012a00"
    registered = user_data.answer(user_data.UserOpCode.REGISTER_NEW_USER, user_data.UserResponse.SUCCESS, b"\x03")
    assert user_data.UserControlPoint.decode(registered.encode()).user_index == 3
    with pytest.raises(BadValue):
        user_data.consent(1, 10000)


def test_a_system_id_is_written_as_ieee_writes_it() -> None:
    found = SystemId.decode(bytes.fromhex("0807060504030201"))
    assert found.device == "eui64:0102030405060708"
    assert found.encode().hex() == "0807060504030201"
    assert not SystemId.decode(bytes(8)).plausible


def test_padding_of_a_string_goes_and_broken_text_stays_readable() -> None:
    assert ManufacturerName.decode(b"A&D Medical\0\0").text == "A&D Medical"
    assert ManufacturerName.decode(b"\xff\xfe").text == "��"


def test_a_battery_above_a_hundred_per_cent_is_refused() -> None:
    assert BatteryLevel.decode(b"\x64").level == 100
    with pytest.raises(BadValue):
        BatteryLevel.decode(b"\x65")


def test_the_features_of_an_oximeter_are_one_word() -> None:
    found = PlxFeatures.of(0xA0, measurement_status_support=0x1040, device_and_sensor_status_support=0x180)
    assert found.encode().hex() == "a3004010800100"
    assert found.supported_features == 0xA3


def test_the_resolutions_of_a_scale_are_looked_up() -> None:
    feature = WeightScaleFeature(features=0x1BF)
    assert (feature.weight_resolution, feature.height_resolution) == ((0.005, 0.01), (0.001, 0.1))
    assert WeightScaleFeature(features=0x78).weight_resolution == (None, None)
    assert feature.bmi_supported


@pytest.mark.parametrize("code", [0x3F8E, 0x3F8F])
def test_a_record_with_a_wrong_crc_is_refused(code: int) -> None:
    frame = bytes.fromhex("0fe3d2e405000214ff02f0e5f3") + code.to_bytes(2, "little")
    if code == 0x3F8E:
        assert CgmMeasurement.decode(frame).records[0].e2e_crc
    else:
        with pytest.raises(BadValue):
            CgmMeasurement.decode(frame)


def test_without_a_crc_its_field_holds_all_ones() -> None:
    assert CgmFeature.decode(bytes.fromhex("6e8e0116ffff")).features == 0x18E6E
    with pytest.raises(BadValue) as caught:
        CgmFeature.decode(bytes.fromhex("6e8e0116afbe"))
    assert caught.value.field == "e2e_crc"


@pytest.mark.parametrize("octets", ["1055", "170101", "183c0000", "1055ff"])
def test_intervals_that_are_announced_have_to_be_there(octets: str) -> None:
    with pytest.raises(Truncated) as caught:
        HeartRateMeasurement.decode(bytes.fromhex(octets))
    assert caught.value.field == "rr_intervals"


def test_a_crc_is_checked_wherever_it_is_promised() -> None:
    with pytest.raises(BadValue):
        CgmFeature.decode(bytes.fromhex("6e9e01168ac2"))
    with pytest.raises(BadValue):
        CgmStatus.decode(bytes.fromhex("05003f3fffa7e1"))


@pytest.mark.parametrize(
    ("length", "field"),
    [(1, "flags"), (3, "concentration"), (5, "time_offset"), (6, "status"), (8, "warning"), (10, "trend"),
     (12, "quality"), (13, "e2e_crc"), (14, "e2e_crc")],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "06000c100600"], ids=["first", "second"])
def test_a_record_that_is_cut_names_the_field_it_ends_in(before: str, length: int, field: str) -> None:
    frame = bytes.fromhex("0fe3d2e405000214ff02f0e5f38e3f")
    with pytest.raises(Truncated) as caught:
        CgmMeasurement.decode(bytes.fromhex(before) + frame[:length])
    assert caught.value.field == field


def test_several_records_travel_in_one_frame() -> None:
    records = tuple(CgmRecord(concentration=sfloat(100 + n), time_offset=n, e2e_crc=True) for n in range(2))
    frame = CgmMeasurement(records=records).encode()
    assert len(frame) == 16
    assert CgmMeasurement.decode(frame).records == records


KNOWN: dict[type[Characteristic], dict[str, Any]] = {
    BloodPressureMeasurement: {
        "systolic": sfloat(120),
        "diastolic": sfloat(80),
        "mean_arterial_pressure": sfloat(93),
    },
    GlucoseMeasurement: {"sequence_number": 1, "base_time": NOON},
    GlucoseMeasurementContext: {"sequence_number": 1},
    PlxContinuousMeasurement: {"spo2": sfloat(97), "pr": sfloat(60)},
    WeightMeasurement: {"weight": 70.0},
    HeartRateMeasurement: {"heart_rate": 60},
}


@pytest.mark.parametrize(
    ("known", "fields", "field"),
    [
        (BloodPressureMeasurement, {"unit": "mmHg"}, "unit"),
        (BloodPressureMeasurement, {"user_id": 256}, "user_id"),
        (BloodPressureMeasurement, {"systolic": Medfloat(99999)}, "systolic"),
        (BloodPressureMeasurement, {"systolic": None}, "systolic"),
        (BloodPressureMeasurement, {"time_stamp": DateTime(70000, 1, 1)}, "time_stamp"),
        (GlucoseMeasurement, {"sequence_number": -1}, "sequence_number"),
        (GlucoseMeasurement, {"type": 1}, "sample_location"),
        (GlucoseMeasurement, {"concentration": medfloat.NAN}, "type_sample_location"),
        (GlucoseMeasurement, {"concentration": medfloat.NAN, "type": 16, "sample_location": 1}, "type"),
        (GlucoseMeasurementContext, {"carbohydrate_id": 1}, "carbohydrate"),
        (PlxContinuousMeasurement, {"spo2_fast": sfloat(97)}, "pr_fast"),
        (WeightMeasurement, {"weight": 400.0}, "weight"),
        (WeightMeasurement, {"weight": 327.675}, "weight"),
        (WeightMeasurement, {"weight": 655.35, "unit": "[lb_av]"}, "weight"),
        (WeightMeasurement, {"weight": -0.1}, "weight"),
        (WeightMeasurement, {"weight": float("nan")}, "weight"),
        (WeightMeasurement, {"bmi": 22.0}, "height"),
        (HeartRateMeasurement, {"heart_rate": 300}, "heart_rate"),
        (HeartRateMeasurement, {"rr_intervals": (1,)}, "rr_intervals"),
        (HeartRateMeasurement, {"rr_present": True}, "rr_intervals"),
    ],
)
def test_what_no_frame_can_hold_is_refused_by_its_field(
    known: type[Characteristic], fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadValue) as caught:
        known(**(KNOWN[known] | fields)).encode()
    assert caught.value.field == field

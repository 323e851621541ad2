"""Control point of CGM sensors, enhanced cuff readings and their records, advertised scales."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devices.catalogue import decode, observe
from devices.clock import Moment
from devices.errors import BadValue, Truncated
from devices.gatt.blood_pressure_enhanced import EnhancedBloodPressureMeasurement
from devices.gatt.cgm_operations import (
    Calibration,
    CgmOpCode,
    CgmOperation,
    CgmResponse,
    answer,
    command,
    set_interval,
    set_level,
)
from devices.gatt.record import DeviceFacts
from devices.medfloat import Medfloat
from devices.products.known import find
from devices.products.xiaomi_scale import XIAOMI_SCALE, AdvertisedComposition, AdvertisedWeight

HEARD = datetime(2022, 2, 14, 9, 0, tzinfo=UTC)
SOURCE = DeviceFacts("ble:c0:ff:ee:00:00:01")


def seen(frame: str, uuid: str) -> tuple[object, ...]:
    return observe(decode(uuid, bytes.fromhex(frame)), SOURCE, Moment(HEARD))


# -- CGM specific ops control point


@pytest.mark.parametrize(
    ("operation", "octets"),
    [
        (command(CgmOpCode.START_SESSION), "1a"),
        (command(CgmOpCode.STOP_SESSION), "1b"),
        (command(CgmOpCode.GET_PATIENT_HIGH), "08"),
        (set_interval(5), "0105"),
        (set_level(CgmOpCode.SET_HYPO, Medfloat(70)), "0d4600"),
        (answer(CgmOpCode.START_SESSION, CgmResponse.SUCCESS), "1c1a01"),
    ],
)
def test_an_operation_is_its_octets_both_ways(operation: CgmOperation, octets: str) -> None:
    assert operation.encode().hex() == octets
    assert decode("2AAC", bytes.fromhex(octets)) == operation


OPERANDS = {
    CgmOpCode.SET_COMMUNICATION_INTERVAL: "05",
    CgmOpCode.COMMUNICATION_INTERVAL: "05",
    CgmOpCode.SET_CALIBRATION: "39000102290304050004",
    CgmOpCode.GET_CALIBRATION: "0500",
    CgmOpCode.CALIBRATION: "39000102290304050004",
    CgmOpCode.RESPONSE_CODE: "1a01",
    **{
        CgmOpCode[f"{verb}{name}"]: "4600"
        for verb in ("SET_", "")
        for name in ("PATIENT_HIGH", "PATIENT_LOW", "HYPO", "HYPER", "RATE_OF_DECREASE", "RATE_OF_INCREASE")
    },
}


@pytest.mark.parametrize("crc", [False, True], ids=["plain", "crc"])
@pytest.mark.parametrize("op_code", CgmOpCode, ids=lambda one: one.name.lower())
def test_every_operation_goes_there_and_back_with_and_without_its_crc(op_code: CgmOpCode, crc: bool) -> None:
    operand = bytes.fromhex(OPERANDS.get(op_code, ""))
    sent = CgmOperation(op_code=op_code, operand=operand, e2e_crc=crc)
    octets = sent.encode()
    assert octets[: 1 + len(operand)] == bytes([op_code]) + operand
    assert len(octets) == 1 + len(operand) + 2 * crc
    assert CgmOperation.decode(octets) == sent
    if operand:
        with pytest.raises(Truncated):
            CgmOperation.decode(octets[: len(operand)])
    if crc:
        with pytest.raises(BadValue):
            CgmOperation.decode(octets[:-1] + bytes([octets[-1] ^ 1]))


@pytest.mark.parametrize("response", CgmResponse, ids=lambda one: one.name.lower())
@pytest.mark.parametrize("op_code", [one for one in CgmOpCode if one.name.startswith(("SET", "GET", "ST", "RESET"))],
                         ids=lambda one: one.name.lower())  # fmt: skip
def test_every_operation_has_every_response(op_code: CgmOpCode, response: CgmResponse) -> None:
    again = CgmOperation.decode(answer(op_code, response, crc=True).encode())
    assert (again.request_op_code, again.response_code, again.e2e_crc) == (op_code, response, True)


def test_a_level_is_a_number_and_an_interval_minutes() -> None:
    assert CgmOperation.decode(bytes.fromhex("0d4600")).level == Medfloat(70)
    assert CgmOperation.decode(b"\x03\x0a").interval == 10
    assert CgmOperation.decode(b"\x0e").level is None


def test_a_calibration_is_taken_apart() -> None:
    found = CgmOperation.decode(bytes.fromhex("04 3900 0102 29 0304 0500 04"))
    assert found.calibration == Calibration(Medfloat(57), 513, 9, 2, 1027, 5, 4)


def test_two_octets_more_are_a_crc_that_has_to_be_right() -> None:
    sealed = command(CgmOpCode.START_SESSION, crc=True)
    assert CgmOperation.decode(sealed.encode()) == sealed
    with pytest.raises(BadValue) as caught:
        CgmOperation.decode(sealed.encode()[:-1] + b"\x00")
    assert caught.value.field == "e2e_crc"


@pytest.mark.parametrize("octets", ["1a", "0d4600", "1c1a01", "0105"])
def test_half_a_crc_of_an_operation_is_truncated(octets: str) -> None:
    with pytest.raises(Truncated) as caught:
        CgmOperation.decode(bytes.fromhex(octets + "ab"))
    assert caught.value.field == "e2e_crc"


def test_what_follows_the_crc_of_an_operation_is_left_over() -> None:
    sealed = command(CgmOpCode.START_SESSION, crc=True).encode()
    found = CgmOperation.decode(sealed + b"\xab")
    assert (found.e2e_crc, found.trailing) == (True, b"\xab")
    assert found.encode() == sealed + b"\xab"


def test_an_interval_may_be_answered_in_two_octets() -> None:
    found = CgmOperation.decode(bytes.fromhex("030500"))
    assert (found.interval, found.e2e_crc, found.trailing) == (5, False, b"\x00")


def test_an_operation_without_its_operand_is_truncated() -> None:
    with pytest.raises(Truncated) as caught:
        CgmOperation.decode(b"\x0d\x46")
    assert caught.value.field == "operand"


def test_what_no_operation_takes_is_refused() -> None:
    with pytest.raises(BadValue):
        command(CgmOpCode.SET_HYPO)
    with pytest.raises(BadValue):
        set_level(CgmOpCode.GET_HYPO, Medfloat(70))
    with pytest.raises(BadValue):
        set_interval(256)


# -- enhanced blood pressure

UTC_STAMP = "7e 7800 5000 5d00 005f8629 4000 01 0400 80cf8629"
"""All fields from 2000 on: 2022-01-28 08:00:00 UTC, shown as 16:00:00."""


def test_an_enhanced_reading_is_a_cuff_reading_at_its_utc_stamp() -> None:
    found = decode("2B34", bytes.fromhex(UTC_STAMP))
    assert isinstance(found, EnhancedBloodPressureMeasurement)
    assert (found.epoch, found.user_facing_time - found.time_stamp) == (2000, 8 * 3600)  # type: ignore[operator]
    (seen_,) = observe(found, SOURCE, Moment(HEARD))
    assert (seen_.values, seen_.slot, seen_.facts) == ((120.0, 80.0, 93.0, 64.0), 1, ("irregular-pulse",))
    assert seen_.measured_at == seen_.device_at == datetime(2022, 1, 28, 8, 0, tzinfo=UTC)


def test_a_stamp_that_counts_from_1900_is_as_old_as_it_says() -> None:
    (found,) = seen(UTC_STAMP.replace("7e", "3e", 1), "2B34")
    assert found.device_at == datetime(1922, 1, 29, 8, 0, tzinfo=UTC)  # type: ignore[attr-defined]
    assert "lost-timeline" in found.facts  # type: ignore[attr-defined]


def test_without_a_utc_stamp_the_display_counts() -> None:
    (found,) = seen("60 7800 5000 5d00 80cf8629", "2B34")
    assert found.device_at == datetime(2022, 1, 28, 16, 0)  # type: ignore[attr-defined]
    assert found.measured_at == datetime(2022, 1, 28, 8, 0, tzinfo=UTC)  # type: ignore[attr-defined]


def test_an_enhanced_intermediate_pressure_is_no_reading() -> None:
    assert seen("00 7800", "2B35") == ()


# -- advertised scales: frames of theengs/decoder, tests/BLE/test_ble.cpp


@pytest.mark.parametrize(
    ("uuid", "octets", "weight", "unit", "not_person"),
    [
        ("ADV:181D", "627607e607020e10293a", 9.55, "kg", True),
        ("ADV:181D", "637607e607020e10293a", 19.1, "[lb_av]", True),
        ("ADV:181B", "0624e607020e10293a0000fc03", 5.1, "kg", True),
        ("ADV:181B", "0326e607020e10293af701f136", 140.65, "[lb_av]", False),
    ],
)
def test_an_advertised_weight_is_what_its_source_says(
    uuid: str, octets: str, weight: float, unit: str, not_person: bool
) -> None:
    found = decode(uuid, bytes.fromhex(octets))
    assert isinstance(found, (AdvertisedWeight, AdvertisedComposition))
    assert (found.weight, found.unit, found.not_person) == (weight, unit, not_person)
    assert str(found.time_stamp) == "2022-02-14T16:41:58"
    assert found.encode().hex() == octets


def test_an_impedance_is_a_number_only_where_it_was_measured() -> None:
    with_, without = (
        decode("ADV:181B", bytes.fromhex(octets))
        for octets in ("0326e607020e10293af701f136", "0624e607020e10293a0000fc03")
    )
    assert (with_.impedance, with_.impedance_measured) == (503, True)  # type: ignore[attr-defined]
    assert not without.impedance_measured  # type: ignore[attr-defined]


def test_a_person_on_a_scale_is_observed_once_it_is_stable() -> None:
    (found,) = seen("22c836e607020e10293a", "ADV:181D")
    assert (found.values, found.unit, found.facts) == ((70.12, None, None), "kg", ())  # type: ignore[attr-defined]
    assert seen("02c836e607020e10293a", "ADV:181D") == ()
    assert seen("a2c836e607020e10293a", "ADV:181D") == ()


def test_a_thing_on_a_scale_is_no_bodys_weight() -> None:
    (found,) = seen("627607e607020e10293a", "ADV:181D")
    assert "invalid" in found.facts  # type: ignore[attr-defined]


def test_the_scale_says_where_to_listen() -> None:
    assert find("Xiaomi", "MIBFS") is XIAOMI_SCALE
    assert XIAOMI_SCALE.advertised == ("181D", "181B")

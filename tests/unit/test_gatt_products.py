"""Products that deviate are read by their declaration, and nobody else is."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalogue import decode, observe
from devices.clock import DateTime, Moment
from devices.errors import BadValue
from devices.gatt.blood_pressure import BloodPressureMeasurement
from devices.gatt.record import DeviceFacts
from devices.products.beurer_bm85 import BEURER_BM85
from devices.products.known import PRODUCTS, find, recognise
from devices.products.omron_record import OMRON_CUFF, OmronRecord

ODD = bytes.fromhex("56770046000000ea07080b1439000057010040")


@pytest.mark.parametrize("product", [None, BEURER_BM85])
def test_a_bm85_frame_is_read_with_its_unannounced_user_and_its_big_endian_pulse(product: object) -> None:
    found = decode("2A35", ODD, product)  # type: ignore[arg-type]
    assert isinstance(found, BloodPressureMeasurement)
    assert found.pulse_rate is not None
    assert (found.pulse_rate.value, found.user_id, found.measurement_status) == (87.0, 1, 0x40)


def test_the_standard_reading_of_that_frame_would_be_wrong() -> None:
    found = BloodPressureMeasurement.decode(ODD)
    assert found.pulse_rate is not None
    assert found.pulse_rate.value != 87.0
    assert found.trailing


@pytest.mark.parametrize("frame", [ODD[:-1], ODD + b"\x00", b"\x16" + ODD[1:], b""])
def test_a_frame_without_the_signature_is_nobodys(frame: bytes) -> None:
    assert recognise("2A35", frame) is None
    assert recognise("2A36", ODD) is None


def test_a_later_bm85_that_follows_the_standard_is_read_by_the_standard() -> None:
    frame = bytes.fromhex("1e770046005600ea07080b14390057000140 00")
    assert decode("2A35", frame, BEURER_BM85) == BloodPressureMeasurement.decode(frame)


def test_no_signature_can_be_a_standard_frame() -> None:
    for product in PRODUCTS:
        for signature in product.signatures:
            frame = bytes([signature.flags]) + bytes(signature.length - 1)
            assert decode(signature.uuid, frame, product).trailing == b""
            assert BloodPressureMeasurement.decode(frame).trailing != b""


@pytest.mark.parametrize(("manufacturer", "model"), [("Beurer", "BM85"), ("BEURER GmbH", "bm 85 BT")])
def test_a_product_is_found_by_what_it_says_of_itself(manufacturer: str, model: str) -> None:
    assert find(manufacturer, model) is BEURER_BM85


@pytest.mark.parametrize(("manufacturer", "model"), [("Beurer", "BM54"), ("Omron", "BM85"), ("", "")])
def test_another_product_is_not(manufacturer: str, model: str) -> None:
    assert find(manufacturer, model) is None


# -- records of a cuff's own memory

SLOT = "6457431a7316161c000046001900"
SOURCE = DeviceFacts("vendor:omron-1")
HEARD = Moment(datetime(2026, 5, 20, tzinfo=UTC))


def slot(**changes: object) -> OmronRecord:
    found = OmronRecord.decode(bytes.fromhex(SLOT))
    return msgspec.structs.replace(found, **changes)


def test_a_slot_of_a_cuffs_memory_is_a_reading_from_storage() -> None:
    found = decode("OMRON:EEPROM14LE", bytes.fromhex(SLOT))
    (seen,) = observe(found, SOURCE, HEARD)
    assert (seen.values, seen.unit) == ((125.0, 87.0, None, 67.0), "mm[Hg]")
    assert seen.device_at == datetime(2026, 5, 19, 19, 48, 22)
    assert seen.facts == ("from-storage",)
    assert found.encode().hex() == SLOT
    assert OMRON_CUFF.memory == (found.uuid,)


@pytest.mark.parametrize("octets", [b"\xff" * 14, bytes(14), b"\xe2" + bytes(13)])
def test_an_empty_slot_is_no_record(octets: bytes) -> None:
    with pytest.raises(BadValue) as caught:
        decode("omron:eeprom14le", octets)
    assert caught.value.field == "slot"


@pytest.mark.parametrize(
    ("octets", "values", "at", "number"),
    [
        (SLOT, (125.0, 87.0, None, 67.0), datetime(2026, 5, 19, 19, 48, 22), 70),
        ("6558541a331ade1800004c00ba00", (126.0, 88.0, None, 84.0), datetime(2026, 6, 17, 19, 35, 30), 76),
    ],
)
def test_captured_slots_are_what_the_cuff_showed(
    octets: str, values: tuple[float | None, ...], at: datetime, number: int
) -> None:
    slot = decode("OMRON:EEPROM14LE", bytes.fromhex(octets))
    assert isinstance(slot, OmronRecord)
    (seen,) = observe(slot, SOURCE, HEARD)
    assert (seen.values, seen.device_at, slot.sequence_number) == (values, at, number)
    # the key of what is stored already
    assert seen.record_no == 0


def test_what_the_cuff_felt_is_a_fact() -> None:
    (seen,) = observe(slot(irregular_pulse=True, body_movement=True), SOURCE, HEARD)
    assert seen.facts == ("from-storage", "body-movement", "irregular-pulse")


def test_seconds_that_no_minute_has_are_its_last_and_come_back_as_they_were() -> None:
    odd = slot(time_stamp=DateTime(2026, 5, 19, 19, 48, 63))
    assert observe(odd, SOURCE, HEARD)[0].device_at == datetime(2026, 5, 19, 19, 48, 59)
    assert OmronRecord.decode(odd.encode()) == odd


def test_a_slot_of_an_impossible_date_is_a_fault_of_its_clock() -> None:
    (seen,) = observe(slot(time_stamp=DateTime(2026, 2, 30)), SOURCE, HEARD)
    assert "time-fault" in seen.facts


@given(st.binary(min_size=14, max_size=16))
def test_any_slot_comes_back(octets: bytes) -> None:
    try:
        found = OmronRecord.decode(octets)
    except BadValue:
        return
    assert found.encode() == octets


@pytest.mark.parametrize("changes", [{"systolic": 24}, {"pulse_rate": 256}, {"cuff": 4}, {"rest": b""}])
def test_what_no_slot_holds_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BadValue):
        slot(**changes).encode()

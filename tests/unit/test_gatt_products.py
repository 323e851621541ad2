"""Products that deviate are read by their declaration, and nobody else is."""

from __future__ import annotations

import pytest

from devices.catalogue import decode
from devices.gatt.blood_pressure import BloodPressureMeasurement
from devices.products.beurer_bm85 import BEURER_BM85
from devices.products.known import PRODUCTS, find, recognise

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

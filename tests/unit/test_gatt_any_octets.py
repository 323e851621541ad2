"""Any octets, in any characteristic: a value or a `DeviceError`, and the value goes back to the same octets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalogue import CHARACTERISTICS, decode, layout_of, observe, short_uuid
from devices.clock import Moment
from devices.decoding import decode_observation
from devices.errors import DeviceError, Truncated, UnknownCharacteristic
from devices.gatt.characteristic import Characteristic
from devices.gatt.device_information import InformationString
from devices.gatt.record import DeviceFacts
from devices.message import encode_observation
from devices.products.known import PRODUCTS

MOMENT = Moment(datetime(2026, 11, 22, tzinfo=UTC))
SOURCE = DeviceFacts("eui64:0102030405060708")
OCTETS = st.binary(max_size=40)
NAMED = [pytest.param(known, id=f"{known.uuid}-{known.__name__}") for known in CHARACTERISTICS]


@pytest.mark.parametrize("known", NAMED)
@given(data=OCTETS)
def test_any_octets_are_a_value_that_comes_back_or_an_error(known: type[Characteristic], data: bytes) -> None:
    try:
        value = decode(known.uuid, data)
    except DeviceError:
        return
    again = value.encode(layout_of(known.uuid, data))
    if issubclass(known, InformationString):
        assert known.decode(again) == value
    else:
        assert again == data


@pytest.mark.parametrize("known", NAMED)
@given(data=OCTETS)
def test_what_is_observed_is_a_message_that_ingest_accepts(known: type[Characteristic], data: bytes) -> None:
    try:
        value = decode(known.uuid, data)
    except DeviceError:
        return
    for observation in observe(value, SOURCE, MOMENT):
        assert decode_observation(encode_observation(observation)) == observation


@pytest.mark.parametrize("product", [pytest.param(product, id=product.name) for product in PRODUCTS])
@given(data=st.binary(min_size=19, max_size=19).map(lambda octets: b"\x56" + octets[1:]))
def test_a_deviating_product_comes_back_too(product: object, data: bytes) -> None:
    value = decode("2A35", data, product)  # type: ignore[arg-type]
    assert value.encode(layout_of("2A35", data, product)) == data  # type: ignore[arg-type]


@pytest.mark.parametrize("known", NAMED)
def test_no_octets_at_all_are_truncated(known: type[Characteristic]) -> None:
    if issubclass(known, InformationString):
        assert known.decode(b"") == known(text="")
        return
    with pytest.raises(Truncated):
        known.decode(b"")


@pytest.mark.parametrize("octets", [bytearray, memoryview])
def test_what_the_radio_hands_over_need_not_be_bytes(octets: type) -> None:
    frame = bytes.fromhex("167c0056006100e807060f11111b33000800ff")
    assert decode("2A35", octets(frame)) == decode("2A35", frame)


@pytest.mark.parametrize("uuid", ["2A35", "2a35", "0x2A35", "00002a35-0000-1000-8000-00805f9b34fb"])
def test_a_uuid_is_known_however_it_is_written(uuid: str) -> None:
    assert short_uuid(uuid) == "2A35"


@pytest.mark.parametrize("uuid", ["", "2A3", "FFF1", "00001026-0002-11e2-9e96-0800200c9a66", "２Ａ３５"])
def test_a_characteristic_without_a_codec_is_unknown(uuid: str) -> None:
    with pytest.raises(UnknownCharacteristic):
        decode(uuid, b"\x00")


@pytest.mark.parametrize(
    ("size", "field"),
    [
        (0, "flags"),
        (2, "systolic"),
        (6, "mean_arterial_pressure"),
        (13, "time_stamp"),
        (15, "pulse_rate"),
        (17, "measurement_status"),
    ],
)
def test_a_truncated_frame_names_the_field_it_ends_in(size: int, field: str) -> None:
    frame = bytes.fromhex("167c0056006100e807060f11111b33000800")
    with pytest.raises(Truncated) as caught:
        decode("2A35", frame[:size])
    assert caught.value.field == field

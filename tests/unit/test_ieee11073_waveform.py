"""Sample arrays become values by the scale of their object, or an error that says why not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import BadValue, DeviceError
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import Attr, ObjectClass
from devices.ieee11073.objects import Metric
from devices.ieee11073.waveform import samples, waveform_of
from devices.medfloat import encode_float, medfloat32


def pleth(*attributes: Attribute) -> Metric:
    return Metric(object_class=ObjectClass.METRIC_SA_RT, handle=5, type=Type(2, 19380), attributes=attributes)


def specification(size: int, bits: int, significant: int) -> Attribute:
    return Attribute(Attr.SA_SPECN, struct.pack(">HBBH", size, bits, significant, 0))


def scale(low: float, high: float, first: int, last: int) -> Attribute:
    ends = (encode_float(medfloat32(low)), encode_float(medfloat32(high)))
    return Attribute(Attr.SCALE_SPECN_I16, struct.pack(">IIHH", *ends, first, last))


def test_samples_are_scaled_between_the_two_ends() -> None:
    found = waveform_of(pleth(specification(3, 16, 12), scale(-1, 1, 0, 4000)))
    assert samples(found, struct.pack(">HHH", 0, 2000, 0xF000 | 4000)) == pytest.approx((-1.0, 0.0, 1.0))


def test_an_array_of_another_size_is_refused() -> None:
    found = waveform_of(pleth(specification(3, 16, 16), scale(0, 1, 0, 100)))
    with pytest.raises(BadValue, match="3 samples of 2 octets in 5"):
        samples(found, bytes(5))


@pytest.mark.parametrize(
    "attributes",
    [
        (),
        (specification(3, 16, 16),),
        (specification(3, 12, 12), scale(0, 1, 0, 100)),
        (specification(3, 16, 17), scale(0, 1, 0, 100)),
        (specification(3, 16, 16), scale(0, 1, 100, 100)),
        (specification(3, 16, 16), Attribute(Attr.SCALE_SPECN_I16, b"\x00\x7f\xff\xff" * 2 + bytes(4))),
    ],
)
def test_a_specification_of_no_sense_is_refused(attributes: tuple[Attribute, ...]) -> None:
    with pytest.raises(BadValue):
        waveform_of(pleth(*attributes))


@given(st.binary(max_size=8), st.binary(max_size=16), st.binary(max_size=20))
def test_any_octets_are_samples_or_an_error(specified: bytes, scaled: bytes, data: bytes) -> None:
    metric = pleth(Attribute(Attr.SA_SPECN, specified), Attribute(Attr.SCALE_SPECN_I8, scaled))
    try:
        found = samples(waveform_of(metric), data)
    except DeviceError:
        return
    assert len(found) <= len(data)

"""Numbers of 11073-20601: exact, with their precision, and never a special value taken for a number."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import medfloat
from devices.errors import BadValue
from devices.medfloat import Medfloat, decode_float, decode_sfloat, encode_float, encode_sfloat, sfloat
from devices.observation import Absent

SPECIAL_SFLOATS = {
    0x07FF: Absent.NOT_A_NUMBER,
    0x0800: Absent.NOT_AT_THIS_RESOLUTION,
    0x07FE: Absent.POSITIVE_INFINITY,
    0x0802: Absent.NEGATIVE_INFINITY,
    0x0801: Absent.RESERVED,
}
SPECIAL_FLOATS = {
    0x007FFFFF: Absent.NOT_A_NUMBER,
    0x00800000: Absent.NOT_AT_THIS_RESOLUTION,
    0x007FFFFE: Absent.POSITIVE_INFINITY,
    0x00800002: Absent.NEGATIVE_INFINITY,
    0x00800001: Absent.RESERVED,
}


@pytest.mark.parametrize(("word", "reason"), SPECIAL_SFLOATS.items())
def test_a_special_sfloat_is_absent_with_its_reason(word: int, reason: Absent) -> None:
    number = decode_sfloat(word)
    assert (number.value, number.absent) == (None, reason)
    assert encode_sfloat(number) == word


@pytest.mark.parametrize(("word", "reason"), SPECIAL_FLOATS.items())
def test_a_special_float_is_absent_with_its_reason(word: int, reason: Absent) -> None:
    number = decode_float(word)
    assert (number.value, number.absent) == (None, reason)
    assert encode_float(number) == word


def test_the_same_mantissa_with_an_exponent_is_a_number() -> None:
    assert decode_sfloat(0x17FF).value == 20470.0
    assert decode_sfloat(0xF800).value == -204.8


@pytest.mark.parametrize(("word", "value"), [(0xF16E, 36.6), (0xF0BD, 18.9), (0x8002, 2e-08), (0x0072, 114.0)])
def test_a_decimal_is_the_float_a_person_would_type(word: int, value: float) -> None:
    assert decode_sfloat(word).value == value


@pytest.mark.parametrize("word", [0x0002, 0xF014, 0xE0C8])
def test_the_precision_of_two_survives_the_way_back(word: int) -> None:
    assert decode_sfloat(word).value == 2.0
    assert encode_sfloat(decode_sfloat(word)) == word


def test_every_sfloat_word_comes_back_as_it_was() -> None:
    assert all(encode_sfloat(decode_sfloat(word)) == word for word in range(0x10000))


@given(st.integers(0, 0xFFFFFFFF))
def test_every_float_word_comes_back_as_it_was(word: int) -> None:
    assert encode_float(decode_float(word)) == word


@given(st.integers(-(2**23) + 3, 2**23 - 3), st.integers(-128, 127))
def test_a_value_is_the_nearest_binary_float(mantissa: int, exponent: int) -> None:
    value = Medfloat(mantissa, exponent).value
    assert value == float(Fraction(mantissa) * Fraction(10) ** exponent)


@given(st.integers(-20450, 20450))
def test_a_number_with_one_decimal_is_written_with_as_many_digits_as_fit(tenths: int) -> None:
    value = tenths / 10
    number = sfloat(value)
    assert decode_sfloat(encode_sfloat(number)) == number
    assert number.value is not None
    assert abs(number.value - value) <= 0.5 * 10**number.exponent
    if abs(tenths) < 2046:
        assert number.value == value


def test_asked_for_digits_are_kept_as_precision() -> None:
    assert sfloat(120.0, 1) == Medfloat(1200, -1)
    assert sfloat(36.64, 1) == Medfloat(366, -1)


def test_a_number_that_would_read_as_special_is_written_otherwise() -> None:
    assert decode_sfloat(encode_sfloat(sfloat(2047))).value == 2050.0
    with pytest.raises(BadValue):
        encode_sfloat(Medfloat(2047))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (float("nan"), medfloat.NAN),
        (float("inf"), medfloat.POSITIVE_INFINITY),
        (float("-inf"), medfloat.NEGATIVE_INFINITY),
    ],
)
def test_what_is_not_a_number_becomes_its_special_value(value: float, number: Medfloat) -> None:
    assert sfloat(value) == number


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadValue):
        sfloat(1e12)
    with pytest.raises(BadValue):
        encode_sfloat(Medfloat(5000))
    with pytest.raises(BadValue):
        encode_sfloat(Medfloat(0, 0, Absent.NOT_SENT))


def test_moving_the_point_is_exact() -> None:
    assert Medfloat(140, -5).shifted(5).value == 140.0
    assert Medfloat(78, -4).shifted(3).value == 7.8
    assert medfloat.NAN.shifted(5) == medfloat.NAN


@pytest.mark.parametrize(
    ("word", "places", "value"), [(0x80000001, -3, 1e-131), (0x80000001, -5, 1e-133), (0x7F000001, 5, 1e132)]
)
def test_the_point_moves_at_the_ends_of_a_float_too(word: int, places: int, value: float) -> None:
    assert decode_float(word).shifted(places).value == value


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (Medfloat(2), "2"),
        (Medfloat(20, -1), "2.0"),
        (Medfloat(200, -2), "2.00"),
        (Medfloat(-12, 3), "-1.2E+4"),
        (Medfloat(0, -1), "0.0"),
        (Medfloat(8_388_605, 127), "8.388605E+133"),
    ],
)
def test_a_number_is_written_with_the_digits_it_has(number: Medfloat, written: str) -> None:
    assert str(number.decimal) == written


def test_what_is_no_number_has_no_digits() -> None:
    assert medfloat.NAN.decimal is None

"""SFLOAT and FLOAT: numbers that carry their own precision, and the five that are not numbers.

Source: ISO/IEEE 11073-20601:2022, annex F.7 (FLOAT-Type) and F.8 (SFLOAT-Type); Bluetooth names them medfloat32 and
medfloat16 (GATT Specification Supplement, clause 2.4). Exponent and mantissa are both two's complement:
value = mantissa * 10 ** exponent. The exponent is the precision: 2, 2.0 and 2.00 are three different readings.
"""

from __future__ import annotations

import functools
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, NamedTuple

import msgspec

from devices.errors import BadValue
from devices.observation import Absent

_POWERS: Final[tuple[int, ...]] = tuple(10**n for n in range(129 + 8))
"""As far as the exponent of a FLOAT reaches, and as `shifted` moves the point beyond."""


class Medfloat(msgspec.Struct, frozen=True):
    """One number as the device wrote it. `absent` other than PRESENT: not a number, and `value` is None.

    value: follows from the others; the binary float nearest to mantissa * 10 ** exponent: 366e-1 is 36.6. Division of
    integers and conversion of an integer are each rounded once, correctly; a product with 10.0 ** n is rounded twice
    (189 * 10.0 ** -1 is 18.900000000000002).
    """

    mantissa: int
    exponent: int = 0
    absent: Absent = Absent.PRESENT
    value: float | None = None

    def __post_init__(self) -> None:
        if self.absent:
            value = None
        elif self.exponent < 0:
            value = self.mantissa / _POWERS[-self.exponent]
        else:
            value = float(self.mantissa * _POWERS[self.exponent])
        msgspec.structs.force_setattr(self, "value", value)

    @property
    def decimal(self) -> Decimal | None:
        """The number with the digits that were sent: 2, 2.0 and 2.00 are three. None: it is none."""
        return None if self.absent else Decimal(self.mantissa).scaleb(self.exponent)

    def shifted(self, places: int) -> Medfloat:
        """The same digits with the point moved: kg/L to mg/dL is 5, mol/L to mmol/L is 3. Exact. places: -8 to 8."""
        return self if self.absent else _remembered(self.mantissa, self.exponent + places)


_remembered = functools.lru_cache(maxsize=4096)(Medfloat)
"""The numbers that a meter shifts are few."""
NAN: Final = Medfloat(0, 0, Absent.NOT_A_NUMBER)
NRES: Final = Medfloat(0, 0, Absent.NOT_AT_THIS_RESOLUTION)
POSITIVE_INFINITY: Final = Medfloat(0, 0, Absent.POSITIVE_INFINITY)
NEGATIVE_INFINITY: Final = Medfloat(0, 0, Absent.NEGATIVE_INFINITY)
RESERVED: Final = Medfloat(0, 0, Absent.RESERVED)


class _Width(NamedTuple):
    """One of the two formats: how many bits the mantissa has, and the exponent."""

    name: str
    mantissa: int
    exponent: int

    @property
    def specials(self) -> dict[int, Medfloat]:
        """The whole word of each special value: the exponent is 0 in all of them."""
        top = 1 << (self.mantissa - 1)
        return {
            top - 1: NAN,
            top: NRES,
            top - 2: POSITIVE_INFINITY,
            top + 2: NEGATIVE_INFINITY,
            top + 1: RESERVED,
        }


SFLOAT: Final = _Width("SFLOAT", 12, 4)
FLOAT: Final = _Width("FLOAT", 24, 8)
_SPECIALS: Final = {width: width.specials for width in (SFLOAT, FLOAT)}
_WORDS: Final = {width: {number.absent: word for word, number in width.specials.items()} for width in (SFLOAT, FLOAT)}


def _decode(word: int, width: _Width) -> Medfloat:
    special = _SPECIALS[width].get(word)
    if special is not None:
        return special
    mantissa = word & ((1 << width.mantissa) - 1)
    exponent = word >> width.mantissa
    if mantissa >> (width.mantissa - 1):
        mantissa -= 1 << width.mantissa
    if exponent >> (width.exponent - 1):
        exponent -= 1 << width.exponent
    return Medfloat(mantissa, exponent)


class _Sfloats(dict[int, Medfloat]):
    """Words already decoded: at most 65536, and a ward's readings use a few hundred of them."""

    def __missing__(self, word: int) -> Medfloat:
        found = self[word] = _decode(word & 0xFFFF, SFLOAT)
        return found


decode_sfloat = _Sfloats().__getitem__
"""The number in a 16-bit SFLOAT word (unsigned, already in host order)."""


def decode_float(word: int) -> Medfloat:
    """The number in a 32-bit FLOAT word (unsigned, already in host order)."""
    return _decode(word & 0xFFFFFFFF, FLOAT)


def _encode(number: Medfloat, width: _Width) -> int:
    if number.absent:
        word = _WORDS[width].get(number.absent)
        if word is None:
            raise BadValue(f"{width.name} has no special value for {number.absent.name}")
        return word
    half, reach = 1 << (width.mantissa - 1), 1 << (width.exponent - 1)
    if not (-half <= number.mantissa < half and -reach <= number.exponent < reach):
        raise BadValue(f"{number.mantissa}e{number.exponent} does not fit {width.name}")
    word = (number.exponent & (2 * reach - 1)) << width.mantissa | (number.mantissa & (2 * half - 1))
    if word in _SPECIALS[width]:
        raise BadValue(f"{number.mantissa}e{number.exponent} is the word of a special value in {width.name}")
    return word


def encode_sfloat(number: Medfloat) -> int:
    """The 16-bit word. BadValue: the digits do not fit, or would read back as a special value."""
    return _encode(number, SFLOAT)


def encode_float(number: Medfloat) -> int:
    """The 32-bit word. BadValue: the digits do not fit, or would read back as a special value."""
    return _encode(number, FLOAT)


def _fit(value: float | Decimal | str, digits: int | None, width: _Width) -> Medfloat:
    exact = Decimal(repr(value) if isinstance(value, float) else value)
    if not exact.is_finite():
        if exact.is_nan():
            return NAN
        return POSITIVE_INFINITY if exact > 0 else NEGATIVE_INFINITY
    if digits is None:
        tail = exact.normalize().as_tuple().exponent
        assert isinstance(tail, int)
        digits = max(0, -tail)
    half, reach = 1 << (width.mantissa - 1), 1 << (width.exponent - 1)
    for exponent in range(max(-digits, -reach), reach):
        mantissa = int(exact.scaleb(-exponent).to_integral_value(ROUND_HALF_EVEN))
        if abs(mantissa) < half - 2 or (exponent and -half <= mantissa < half):
            return Medfloat(mantissa, exponent)
    raise BadValue(f"{value} does not fit {width.name}")


def sfloat(value: float | Decimal | str, digits: int | None = None) -> Medfloat:
    """The SFLOAT for a value with `digits` after the point (None: as many as the shortest decimal has).

    Rounds half to even, and gives up digits where twelve bits cannot hold them. NaN and the infinities become their
    special values. BadValue: too large.
    """
    return _fit(value, digits, SFLOAT)


def medfloat32(value: float | Decimal | str, digits: int | None = None) -> Medfloat:
    """The FLOAT for a value; rules as for `sfloat`, with a mantissa of 24 bits."""
    return _fit(value, digits, FLOAT)

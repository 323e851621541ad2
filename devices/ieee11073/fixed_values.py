"""The attributes that the maps of nearly all reports name, read without checks of a size that is known to be right.

Source: ISO/IEEE 11073-20601, annex A.3 (BasicNuObsValue, SimpleNuObsValue, MeasurementStatus).
"""

from __future__ import annotations

from typing import Final

from devices.ieee11073.attribute_values import READ, Read
from devices.ieee11073.codes import Attr
from devices.medfloat import Medfloat, decode_float, decode_sfloat


class _Words(dict[bytes, Medfloat]):
    """SFLOATs by their two octets: at most 65536."""

    def __missing__(self, raw: bytes) -> Medfloat:
        found = self[raw] = decode_sfloat(int.from_bytes(raw))
        return found


def _three(raw: bytes) -> tuple[Medfloat, ...]:
    """A compound of three: systolic, diastolic and mean, of a known size."""
    if raw[:4] != b"\0\3\0\6":
        found: tuple[Medfloat, ...] = _COMPOUND(raw)
        return found
    words = _WORDS
    return words[raw[4:6]], words[raw[6:8]], words[raw[8:]]


_WORDS: Final = _Words()
_COMPOUND: Final = READ[Attr.NU_CMPD_VAL_OBS_BASIC]
READ_FIXED: Final[dict[tuple[int, int], Read]] = {
    (Attr.NU_VAL_OBS_BASIC.value, 2): _WORDS.__getitem__,
    (Attr.NU_CMPD_VAL_OBS_BASIC.value, 10): _three,
    (Attr.NU_VAL_OBS_SIMP.value, 4): lambda raw: decode_float(int.from_bytes(raw)),
    (Attr.MSMT_STAT.value, 2): int.from_bytes,
}
"""Attributes of a size that is known to be right, as the maps of nearly all reports name them."""

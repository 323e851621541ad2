"""Values in four octets where the map says two.

Published agents send a FLOAT under configurations whose maps name an SFLOAT (a thermometer under 0320, a meter under
06A4). Read by the map, such a value is a wrong number that looks like one, and its stamp is nonsense. The stamp
tells the two apart; docs/decisions/0028. Source: ISO/IEEE 11073-20601, clause 6.3.3.3 (Attribute-Value-Map).
"""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

from devices.ieee11073.attribute import Mapped
from devices.ieee11073.codes import Attr
from devices.ieee11073.times import absolute

_BASIC: Final = Attr.NU_VAL_OBS_BASIC.value
_COMPOUND: Final = Attr.NU_CMPD_VAL_OBS_BASIC.value
_STAMP: Final = Attr.TIME_STAMP_ABS.value
_STAMP_SIZE: Final = 8
_HEAD: Final = 4
"""Octets of the count and the size of a compound."""


class _Wide(NamedTuple):
    """rows: the map with wide values.  size: of an observation.  narrow, wide: where its stamp begins in either."""

    rows: tuple[Mapped, ...]
    size: int
    narrow: int
    wide: int


def _widened(row: Mapped) -> Mapped:
    if row == (_BASIC, 2):
        return Mapped(Attr.NU_VAL_OBS_SIMP.value, 4)
    if row.attribute == _COMPOUND and row.size > _HEAD:
        return Mapped(Attr.NU_CMPD_VAL_OBS_SIMP.value, 2 * row.size - _HEAD)
    return row


@functools.lru_cache(maxsize=256)
def _wide(rows: tuple[Mapped, ...]) -> _Wide | None:
    """None: the map has no narrow value, or no stamp behind it that could tell."""
    wide = tuple(_widened(row) for row in rows)
    stamps = [index for index, row in enumerate(rows) if row == (_STAMP, _STAMP_SIZE)]
    if wide == rows or len(stamps) != 1:
        return None
    before = slice(stamps[0])
    narrow_at, wide_at = (sum(row.size for row in one[before]) for one in (rows, wide))
    return None if narrow_at == wide_at else _Wide(wide, sum(row.size for row in wide), narrow_at, wide_at)


def as_sent(rows: tuple[Mapped, ...], data: bytes) -> tuple[Mapped, ...]:
    """The map that an observation longer than its map follows: with wide values where it has exactly their octets and
    its stamp is a date, or not set, only so."""
    found = _wide(rows)
    if found is None or len(data) != found.size:
        return rows
    narrow = data[found.narrow : found.narrow + _STAMP_SIZE]
    wide = data[found.wide : found.wide + _STAMP_SIZE]
    return found.rows if not _is_stamp(narrow) and _is_stamp(wide) else rows


def _is_stamp(raw: bytes) -> bool:
    return not any(raw) or absolute(raw).at is not None

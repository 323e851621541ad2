"""Which slot of which kind a term of the nomenclature fills, and in which unit.

Sources: ISO/IEEE 11073-10101 (terms), 11073-10408 (a thermometer's term names the site).
"""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

from devices.medfloat import Medfloat
from devices.nomenclature import BODY_TEMPERATURE, BY_CODE, KINDS
from devices.observation import Site
from devices.units import BY_TERM, BY_UCUM, UNITS

_SCADA: Final = 2 << 16


class Place(NamedTuple):
    """A slot of a kind; site: where the term says where on the body."""

    kind: int
    slot: int
    site: Site | None = None


_SITES: Final = {
    19320: Site.TYMPANUM,
    57348: Site.RECTUM,
    57352: Site.MOUTH,
    57356: Site.EAR,
    57360: Site.FINGER,
    57376: Site.TOE,
    57380: Site.ARMPIT,
    57384: Site.GASTROINTESTINAL,
}


def _places() -> dict[int, Place]:
    found: dict[int, Place] = {}
    for kind in KINDS:
        for index, slot in enumerate(kind.slots):
            if slot.code:
                # mass is a slot of two kinds: the first of the table, body weight, has it
                found.setdefault(slot.code, Place(kind.code, index))
    for term, site in _SITES.items():
        found[_SCADA | term] = Place(BODY_TEMPERATURE, 0, site)
    return found


PLACES: Final[dict[int, Place]] = _places()
"""By 32-bit MDC code."""

_POWERS: Final = {
    (1728, "kg"): -3,
    (1280, "cm"): 2,
    (1297, "m"): -2,
    (1298, "m"): -3,
}
"""Units that differ by a power of ten: the point moves and nothing is rounded. (term, UCUM) to places."""
_SAME: Final = frozenset((unit.term, unit.ucum) for unit in UNITS)
MODALITIES: Final = frozenset({(2, 19508), (2, 19512)})
"""Fast and slow responding pulse oximetry; without either, and with spot check, it is the reading itself."""


@functools.lru_cache(maxsize=1024)
def row_of(kind: int, unit: int | None) -> str | None:
    """The unit of the kind's first value for a leading value in this unit. None: the kind is not said in it."""
    known = BY_TERM.get(unit or 0)
    if known is not None and known.ucum in BY_CODE[kind].units:
        return known.ucum
    for ucum in BY_CODE[kind].units:
        if (unit, ucum) in _POWERS:
            return ucum
    return None


@functools.cache
def default_row(kind: int) -> str:
    """The unit of the kind's first value where that was not sent."""
    return next(iter(BY_CODE[kind].units))


def places_between(term: int | None, ucum: str) -> int | None:
    """By how many places the point moves from this unit to that one. None: it takes more than that."""
    return 0 if (term, ucum) in _SAME else _POWERS.get((term or 0, ucum))


def converted(number: Medfloat, term: int | None, ucum: str) -> Medfloat | float | None:
    """The value in this unit. None: its own unit is unknown, or of another dimension."""
    if (term, ucum) in _SAME:
        return number
    unit = BY_TERM.get(term or 0)
    places = _POWERS.get((term or 0, ucum))
    if places is not None:
        return number.shifted(places)
    wanted = BY_UCUM[ucum]
    if unit is None or unit.canonical != wanted.canonical:
        return None
    value = number.value
    if value is None:
        return number
    return round((value * unit.factor + unit.offset - wanted.offset) / wanted.factor, 6)

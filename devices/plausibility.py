"""Impossible is not abnormal: values no instrument can measure in a living person are data errors.

They are stored, flagged `IMPLAUSIBLE`, shown, and never judged. The bounds stand with the slots in
`devices.nomenclature`; they are conventions of this project and not clinical limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from devices.nomenclature import BLOOD_PRESSURE, KINDS, Kind
from devices.units import BY_UCUM, canonical

# index, low and high of each slot, and the unit to convert from where it is not the canonical one
_BOUNDS: Final[dict[tuple[int, str], tuple[tuple[int, float, float, str | None], ...]]] = {
    (kind.code, unit): tuple(
        (index, slot.low, slot.high, None if BY_UCUM[ucum].canonical == ucum else ucum)
        for index, (slot, ucum) in enumerate(zip(kind.slots, row, strict=True))
    )
    for kind in KINDS
    for unit, row in kind.units.items()
}


def implausible_slots(kind: Kind, values: Sequence[float | None], unit: str) -> tuple[int, ...]:
    """Indices of impossible values: outside what can be measured, or a diastolic not below its systolic."""
    return implausible(kind.code, values, unit)


def implausible(kind: int, values: Sequence[float | None], unit: str) -> tuple[int, ...]:
    """`implausible_slots` by the code of the kind. KeyError: there is no such kind, or not in this unit."""
    found: tuple[int, ...] = ()
    for value, (index, low, high, ucum) in zip(values, _BOUNDS[kind, unit], strict=False):
        if value is not None and not low <= (value if ucum is None else canonical(value, ucum)) <= high:
            found += (index,)
    if kind == BLOOD_PRESSURE and len(values) >= 2:
        systolic, diastolic = values[0], values[1]
        if systolic is not None and diastolic is not None and diastolic >= systolic and 1 not in found:
            found += (1,)
    return found

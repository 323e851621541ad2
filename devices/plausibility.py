"""Impossible is not abnormal: values no instrument can measure in a living person are data errors.

They are stored, flagged `IMPLAUSIBLE`, shown, and never judged. The bounds stand with the slots in
`devices.nomenclature`; they are conventions of this project and not clinical limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from devices.nomenclature import BLOOD_PRESSURE, KINDS, Kind
from devices.units import BY_UCUM, canonical


def implausible_slots(kind: Kind, values: Sequence[float | None], unit: str) -> tuple[int, ...]:
    """Indices of impossible values: outside what can be measured, or a diastolic not below its systolic."""
    units = kind.units[unit]
    found = [
        index
        for index, (slot, value) in enumerate(zip(kind.slots, values, strict=False))
        if value is not None and not slot.low <= canonical(value, units[index]) <= slot.high
    ]
    if kind.code == BLOOD_PRESSURE and len(values) >= 2:
        systolic, diastolic = values[0], values[1]
        if systolic is not None and diastolic is not None and diastolic >= systolic and 1 not in found:
            found.append(1)
    return tuple(found)


def _question(kind: Kind, unit: str) -> Callable[..., bool]:
    """`lambda v0=None, v1=None: (v0 is None or 30 <= v0 <= 300) and …` for one kind in one unit.

    Written out as source once, because every record is asked: `implausible_slots` gives the same answer in four times
    the time, and says which slot.
    """
    terms = []
    for index, (slot, ucum) in enumerate(zip(kind.slots, kind.units[unit], strict=True)):
        value = f"v{index}" if BY_UCUM[ucum].canonical == ucum else f"canonical(v{index}, {ucum!r})"
        terms.append(f"(v{index} is None or {slot.low!r} <= {value} <= {slot.high!r})")
    if kind.code == BLOOD_PRESSURE:
        terms.append("(v0 is None or v1 is None or v1 < v0)")
    arguments = ", ".join(f"v{index}=None" for index in range(len(kind.slots)))
    question: Callable[..., bool] = eval(f"lambda {arguments}: {' and '.join(terms)}", {"canonical": canonical})  # noqa: S307  of constants
    return question


PLAUSIBLE: Final = {(kind.code, unit): _question(kind, unit) for kind in KINDS for unit in kind.units}
"""By the code of a kind and the unit of its first value: are these values, in slot order, all possible?"""

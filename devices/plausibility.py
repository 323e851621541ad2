"""Impossible is not abnormal: values no instrument can measure in a living person are data errors.

They are stored, flagged `IMPLAUSIBLE`, shown, and never judged. The bounds stand with the slots in
`devices.nomenclature`; they are conventions of this project and not clinical limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from devices.medfloat import Medfloat
from devices.nomenclature import BLOOD_PRESSURE, KINDS, Kind
from devices.observation import Absent
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


Value: TypeAlias = Medfloat | float | Absent | None
"""One slot: a number, why there is none, or None where the field is not in the frame."""


def _terms(kind: Kind, unit: str) -> list[str]:
    """`30 <= v0 <= 300` for each slot of a kind in one unit."""
    units = kind.units[unit]
    values = [
        f"v{index}" if BY_UCUM[ucum].canonical == ucum else f"canonical(v{index}, {ucum!r})"
        for index, ucum in enumerate(units)
    ]
    return [f"{slot.low!r} <= {value} <= {slot.high!r}" for slot, value in zip(kind.slots, values, strict=True)]


def _compiled(arguments: Iterable[str], body: str) -> Callable[..., Any]:
    """Written out as source once, because every record is asked; a loop over the slots takes four times as long."""
    scope = {"canonical": canonical, "Medfloat": Medfloat}
    made: Callable[..., Any] = eval(f"lambda {', '.join(arguments)}: {body}", scope)  # noqa: S307  of constants
    return made


def _question(kind: Kind, unit: str) -> Callable[..., bool]:
    """`lambda v0=None, v1=None: (v0 is None or 30 <= v0 <= 300) and …` for one kind in one unit."""
    terms = [f"(v{index} is None or {term})" for index, term in enumerate(_terms(kind, unit))]
    if kind.code == BLOOD_PRESSURE:
        terms.append("(v0 is None or v1 is None or v1 < v0)")
    return _compiled((f"v{index}=None" for index in range(len(kind.slots))), " and ".join(terms))


def _reader(kind: Kind, unit: str) -> Callable[..., tuple[float, ...] | None]:
    """`lambda s0=None, …: (v0, …) if (v0 := the number in s0) is not None and 30 <= v0 <= 300 and … else None`."""
    slots = range(len(kind.slots))
    terms = [
        f"(v{index} := s{index}.value if type(s{index}) is Medfloat else s{index} if type(s{index}) is float else None)"
        f" is not None and {term}"
        for index, term in enumerate(_terms(kind, unit))
    ]
    if kind.code == BLOOD_PRESSURE:
        terms.append("v1 < v0")
    numbers = "".join(f"v{index}, " for index in slots)
    return _compiled((f"s{index}=None" for index in slots), f"({numbers}) if {' and '.join(terms)} else None")


PLAUSIBLE: Final = {(kind.code, unit): _question(kind, unit) for kind in KINDS for unit in kind.units}
"""By the code of a kind and the unit of its first value: are these values, in slot order, all possible?"""
NUMBERS: Final = {kind.code: {unit: _reader(kind, unit) for unit in kind.units} for kind in KINDS}
"""By kind, then by unit: the numbers in these slots. None: one has no number, or one is not possible."""

"""Impossible is not abnormal: values no instrument can measure in a living person are data errors.

They are stored, flagged `IMPLAUSIBLE`, shown, and never judged. The bounds stand with the slots in
`devices.nomenclature`; they are conventions of this project and not clinical limits.
"""

from __future__ import annotations

from collections.abc import Sequence

from devices.nomenclature import BLOOD_PRESSURE, Kind
from devices.units import canonical


def implausible_slots(kind: Kind, values: Sequence[float | None], unit: str) -> tuple[int, ...]:
    """Indices of impossible values: outside what can be measured, or a diastolic not below its systolic."""
    units = kind.units[unit]
    found = [
        index
        for index, (slot, value) in enumerate(zip(kind.slots, values, strict=False))
        if value is not None
        and not slot.low <= canonical(value, units[index]) <= slot.high
        # some cuffs send a mean of 0 for "not computed" (Beurer BM85): absent, not impossible
        and not (slot.ref == "MDC_PRESS_BLD_NONINV_MEAN" and value == 0)
    ]
    if kind.code == BLOOD_PRESSURE and len(values) >= 2:
        systolic, diastolic = values[0], values[1]
        if systolic is not None and diastolic is not None and diastolic >= systolic and 1 not in found:
            found.append(1)
    return tuple(found)

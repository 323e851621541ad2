"""Units as the standards name them: UCUM for people and FHIR, the 11073-10101 dimension term for storage.

A reading keeps the unit the device reported; canonical units are computed on the way out, so a limit can be
compared in the reported unit and nothing is lost by rounding twice.
Sources: ISO/IEEE 11073-10101 partition 4 (dimension terms), UCUM; mg/dL to mmol/L of glucose is 18.0 by convention
of the Chinese primary-care software and guidelines (shown as a setting nowhere: it is the definition used).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Unit(NamedTuple):
    """A unit: UCUM code, 11073 dimension term (fits an int2), and value_canonical = value * factor + offset."""

    ucum: str
    term: int
    canonical: str
    factor: float
    offset: float = 0.0


UNITS: Final[tuple[Unit, ...]] = (
    Unit("mm[Hg]", 3872, "mm[Hg]", 1.0),
    Unit("kPa", 3843, "mm[Hg]", 7.50061683),
    Unit("mmol/L", 4722, "mmol/L", 1.0),
    Unit("mg/dL", 2130, "mmol/L", 1 / 18.0),
    Unit("%", 544, "%", 1.0),
    Unit("/min", 2720, "/min", 1.0),
    Unit("kg", 1731, "kg", 1.0),
    Unit("[lb_av]", 1760, "kg", 0.45359237),
    Unit("Cel", 6048, "Cel", 1.0),
    Unit("[degF]", 4416, "Cel", 5 / 9, -160 / 9),
    Unit("cm", 1297, "cm", 1.0),
    Unit("m", 1280, "cm", 100.0),
    Unit("[in_i]", 1376, "cm", 2.54),
    Unit("kg/m2", 1952, "kg/m2", 1.0),
    Unit("kJ", 3971, "kJ", 1.0),
    Unit("Ohm", 4288, "Ohm", 1.0),
    Unit("L/min", 3072, "L/min", 1.0),
    Unit("L", 1600, "L", 1.0),
    Unit("1", 512, "1", 1.0),
)
BY_UCUM: Final[dict[str, Unit]] = {unit.ucum: unit for unit in UNITS}
BY_TERM: Final[dict[int, Unit]] = {unit.term: unit for unit in UNITS}


def canonical(value: float, ucum: str) -> float:
    """The value in the canonical unit of its dimension, rounded to 6 digits after the point. KeyError: unknown unit."""
    unit = BY_UCUM[ucum]
    if unit.ucum == unit.canonical:
        return value
    return round(value * unit.factor + unit.offset, 6)

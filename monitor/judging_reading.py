"""A device reading, already bound to its person, as evaluation sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec

from devices.observation import NEVER_JUDGED, QUESTIONABLE_FACTS, Absent, Fact
from monitor.evaluation_record import (
    Measured,
    NotJudged,
    OutOfRange,
    Record,
    RecordKind,
    exact,
    impossible_facts,
)
from monitor.sentences import SHANGHAI

SLOTS: Final[dict[str, tuple[str, ...]]] = {
    "blood_pressure": ("sbp", "dbp", "", "heart_rate"),
    "glucose": ("glucose",),
    "oxygen_saturation": ("", "heart_rate"),
    "heart_rate": ("heart_rate",),
    "body_temperature": ("body_temperature",),
}
"""Fact names by concept, in the slot order of `devices.nomenclature`; an empty name meets no rule."""
_UNITS: Final[dict[str, tuple[str, ...]]] = {
    "blood_pressure": ("mm[Hg]", "kPa"),
    "glucose": ("mmol/L", "mg/dL"),
    "oxygen_saturation": ("%",),
    "heart_rate": ("/min",),
    "body_temperature": ("Cel", "[degF]"),
}
_BEYOND: Final[dict[int | str, OutOfRange]] = {
    Absent.POSITIVE_INFINITY: OutOfRange.HI,
    Absent.NEGATIVE_INFINITY: OutOfRange.LO,
    "positive-infinity": OutOfRange.HI,
    "negative-infinity": OutOfRange.LO,
}


class DeviceReading(msgspec.Struct, frozen=True, kw_only=True):
    """One stored reading of one person.

    concept: `devices.nomenclature.Kind.concept`.  values: in slot order, as reported.  unit: UCUM, of the first value.
    facts: bits of `devices.observation.Fact`.  meal: a `Meal`, None unknown.  absent: slot index -> `Absent` or its
    wire name.  measured_at: aware.  source: device, kiosk, …  place: shown in the sentence.  reference: the row's key.
    """

    concept: str
    values: tuple[float | None, ...]
    unit: str
    measured_at: datetime
    facts: int = 0
    meal: str | None = None
    absent: Mapping[int, int | str] = {}
    device: str = ""
    source: str = ""
    place: str = ""
    reference: str = ""

    @property
    def questionable(self) -> bool:
        """Judged, but doubtful: never escalates alone."""
        return bool(self.facts & QUESTIONABLE_FACTS)


def as_record(reading: DeviceReading) -> Record:
    """The reading as a record of its local day. A meter's HI or LO stays what it is: beyond its range."""
    quantities: dict[str, Measured] = {}
    for index, name in enumerate(SLOTS.get(reading.concept, ())):
        if name:
            value = reading.values[index] if index < len(reading.values) else None
            unit = "/min" if name == "heart_rate" else reading.unit
            beyond = _beyond(reading, index) if name == "glucose" else None
            quantities[name] = Measured(None if beyond else exact(value), unit, beyond)
    return Record(
        kind=RecordKind.READING,
        on=reading.measured_at.astimezone(SHANGHAI).date(),
        at=reading.measured_at,
        concept=reading.concept,
        quantities=quantities,
        choices={"glucose_context": None if reading.meal is None else str(reading.meal)},
        questionable=reading.questionable,
        place=reading.place,
        source=reading.device or reading.source,
        reference=reading.reference,
    )


def unsound(reading: DeviceReading) -> NotJudged | None:
    """Why the reading by itself is no measurement to judge."""
    if reading.facts & NEVER_JUDGED:
        return NotJudged.NEVER_JUDGED_FACT
    if reading.concept not in SLOTS:
        return NotJudged.NO_RULE
    if reading.unit not in _UNITS[reading.concept]:
        return NotJudged.UNKNOWN_UNIT
    quantities = as_record(reading).quantities
    present = {name for name, m in quantities.items() if m.number is not None or m.beyond is not None}
    if not present:
        return NotJudged.NO_VALUE
    return NotJudged.IMPLAUSIBLE if present <= _impossible(quantities) else None


def _impossible(quantities: Mapping[str, Measured]) -> frozenset[str]:
    """A data error in a pressure makes the whole record one."""
    bad = impossible_facts(quantities)
    return frozenset(quantities) if {"sbp", "dbp"} & bad else bad


def _beyond(reading: DeviceReading, index: int) -> OutOfRange | None:
    if reading.facts & Fact.RESULT_TOO_HIGH:
        return OutOfRange.HI
    if reading.facts & Fact.RESULT_TOO_LOW:
        return OutOfRange.LO
    return _BEYOND.get(reading.absent.get(index, Absent.PRESENT))

"""The numbers of a case line with their units; what is no number or has no unit is refused with its field."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from monitor.evaluation_record import Measured, OutOfRange, RecordKind, exact
from monitor.judging_words import ALLOWED, KINDS, PRINTED, UNITS


class BadField(ValueError):
    """A line cannot be judged; `field` names where."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(reason)


def text_of(data: Mapping[str, Any], key: str, where: str = "") -> str | None:
    """The text under a key, None where it is missing or null. BadField: not a text."""
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise BadField(f"{where}.{key}".lstrip("."), "not a text")
    return value


def quantities_of(entry: Mapping[str, Any], kind: RecordKind, where: str) -> tuple[str, dict[str, Measured]]:
    """A reading's concept (empty for others) and the numbers by fact name. BadField: value or unit not understood."""
    concept = ""
    if kind is RecordKind.READING:
        word = text_of(entry, "kind", where)
        concept = KINDS.get(word or "", word or "")
        if not concept:
            raise BadField(f"{where}.kind", "missing")
    found: dict[str, Measured] = {}
    for name, keys, of in (
        ("sbp", ("sbp", "systolic"), "blood_pressure"),
        ("dbp", ("dbp", "diastolic"), "blood_pressure"),
        ("glucose", ("glucose", "fasting_glucose"), "glucose"),
        ("heart_rate", ("heart_rate",), "heart_rate"),
        ("body_temperature", ("body_temperature", "temperature"), "body_temperature"),
    ):
        wanted = (*keys, "value") if concept == of and of != "blood_pressure" else keys
        key = next((key for key in wanted if key in entry), None)
        if key is not None:
            found[name] = _measured(entry, key, of, where, own_unit=concept == of)
    return concept, found


def _unit(entry: Mapping[str, Any], concept: str, where: str, own_unit: bool) -> str:
    keys = ["bp_unit"] if concept == "blood_pressure" else [f"{concept}_unit"]
    given = next((entry[key] for key in keys if key in entry), None)
    if given is None:
        given = entry.get("unit")
        if (
            isinstance(given, str)
            and not own_unit
            and UNITS.get(given.lower(), concept) not in (concept, *ALLOWED[concept])
        ):
            given = None  # a unit, but that of another value of the line
    if given is None:
        if concept == "glucose" and own_unit:
            raise BadField(f"{where}.unit", "missing: mmol/L or mg/dL")
        return PRINTED.get(concept, "mmol/L")  # the unit printed on the visit forms
    unit = UNITS.get(given.lower()) if isinstance(given, str) else None
    if unit not in ALLOWED[concept]:
        raise BadField(f"{where}.unit", f"{given!r} is not a unit of {concept}")
    assert unit is not None
    return unit


def _measured(entry: Mapping[str, Any], key: str, concept: str, where: str, *, own_unit: bool) -> Measured:
    value = entry[key]
    unit = _unit(entry, concept, where, own_unit)
    if isinstance(value, str) and concept == "glucose" and value.strip().upper() in {"HI", "HIGH", "LO", "LOW"}:
        return Measured(None, unit, OutOfRange.HI if value.strip().upper().startswith("H") else OutOfRange.LO)
    if value is None:
        return Measured(None, unit)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise BadField(f"{where}.{key}", f"not a number: {value!r}")
    return Measured(exact(value), unit)

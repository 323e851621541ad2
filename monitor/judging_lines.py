"""One JSON line of a case file into values: a resident, what is known, and the occasion to judge.

The line: id, programme, patient, history, input; the names of the fields are those of the visit forms. What is wrong
is said with the field. Keys that judging does not use are left alone.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from monitor.evaluation_record import Record, RecordKind, Resident
from monitor.judging_numbers import BadField, quantities_of, text_of
from monitor.judging_words import CONTEXTS, RECORDS, RESULT_KEYS, SYNONYMS, YES_NO
from monitor.programme_condition import CHOICES
from monitor.sentences import SHANGHAI


class YearAsked(msgspec.Struct, frozen=True):
    """The input asks for the review of one year."""

    year: int


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed line. `happened` is the occasion, or the year to review. `ignored`: history entries of unknown type."""

    id: str
    programme: str
    resident: Resident
    history: tuple[Record, ...]
    happened: Record | YearAsked
    ignored: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


class _Word(enum.StrEnum):
    VISIT = "visit"
    YEAR = "year_review"


def parse_case(data: Any) -> Case:
    """A case from the decoded JSON of one line. BadField: with the field and the reason."""
    if not isinstance(data, dict):
        raise BadField("", "not a JSON object")
    programme = text_of(data, "programme") or ""
    resident = _resident(_object(data, "patient"))
    history: list[Record] = []
    ignored: list[str] = []
    entries = data.get("history") or []
    if not isinstance(entries, list):
        raise BadField("history", "not a list")
    for index, entry in enumerate(entries):
        where = f"history[{index}]"
        if not isinstance(entry, dict):
            raise BadField(where, "not a JSON object")
        if entry.get("type") not in RECORDS:
            ignored.append(f"{where}.type={entry.get('type')}")
            continue
        history.append(parse_record(entry, where))
    given = _object(data, "input")
    if "input" not in data:
        raise BadField("input", "missing")
    happened: Record | YearAsked
    assumed: tuple[str, ...] = ()
    if given.get("type") == _Word.YEAR:
        year = given.get("year")
        if not isinstance(year, int) or isinstance(year, bool) or not 1900 <= year <= 2200:
            raise BadField("input.year", "not a year")
        happened = YearAsked(year)
    else:
        happened = parse_record(_dated(given, history, resident), "input")
        if happened.kind is RecordKind.ATTENDANCE:
            happened = _attendance(happened, history)
        if happened.kind is RecordKind.VISIT:
            assumed = tuple(key for key in ("adverse_reaction", "complication") if key not in given)
    return Case(
        id=text_of(data, "id") or "",
        programme=programme,
        resident=resident,
        history=tuple(history),
        happened=happened,
        ignored=tuple(ignored),
        assumed=assumed,
    )


def _dated(given: Mapping[str, Any], history: list[Record], resident: Resident) -> Mapping[str, Any]:
    """A diagnosis without a date is of the latest day known: that of the last record, or of the age given."""
    if "date" in given or "at" in given or _diagnosis(given) is None or given.get("type") in ("visit", "reading"):
        return given
    if history:
        return {**given, "date": max(record.on for record in history).isoformat()}
    if resident.birth_date is not None and resident.age is not None:
        return {**given, "date": date(resident.birth_date.year + resident.age, 12, 31).isoformat()}
    return given


def parse_record(entry: Mapping[str, Any], where: str) -> Record:
    """One entry of a history, or the input. BadField: with the field and the reason."""
    word = text_of(entry, "type", where)
    kind = RECORDS.get(word or "") or (RecordKind.DIAGNOSIS if _diagnosis(entry) else None)
    if kind is None:
        raise BadField(f"{where}.type", f"unknown type {word!r}")
    on, at = _moment(entry, where)
    concept, quantities = quantities_of(entry, kind, where)
    return Record(
        kind=kind,
        on=on,
        at=at,
        programme=text_of(entry, "programme", where) or "",
        concept=concept,
        mode=_code(entry, "mode", where, 1, 3),
        quantities=quantities,
        choices=_choices(entry, kind, where),
        flags=_flags(entry, where),
        signs=_signs(entry, where),
        symptoms=_symptoms(entry, where),
        symptom_severity=text_of(entry, "symptom_severity", where),
        visit_class=_code(entry, "visit_class", where, 1, 4),
        questionable=entry.get("questionable") is True,
        source=text_of(entry, "source", where) or "",
    )


def _object(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key) or {}
    if not isinstance(value, dict):
        raise BadField(key, "not a JSON object")
    return value


def _code(entry: Mapping[str, Any], key: str, where: str, low: int, high: int) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadField(f"{where}.{key}", f"not a code from {low} to {high}")
    return value


def day(text: Any, field: str) -> date:
    """An ISO date. BadField: anything else."""
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise BadField(field, f"not an ISO date: {text!r}") from error


def _moment(entry: Mapping[str, Any], where: str) -> tuple[date, datetime | None]:
    for key in ("at", "measured_at", "time"):
        text = entry.get(key)
        if isinstance(text, str) and "T" in text:
            try:
                at = datetime.fromisoformat(text)
            except ValueError as error:
                raise BadField(f"{where}.{key}", f"not an ISO time: {text!r}") from error
            if at.tzinfo is None:
                raise BadField(f"{where}.{key}", "without an offset from UTC")
            return at.astimezone(SHANGHAI).date(), at
    if "date" not in entry:
        raise BadField(f"{where}.date", "missing")
    return day(entry["date"], f"{where}.date"), None


def _resident(patient: Mapping[str, Any]) -> Resident:
    birth = patient.get("birth_date")
    registers = patient.get("registers") or []
    if not isinstance(registers, list) or not all(isinstance(name, str) for name in registers):
        raise BadField("patient.registers", "not a list of names")
    age = patient.get("age")
    if age is not None and (not isinstance(age, int) or isinstance(age, bool) or not 0 <= age <= 150):
        raise BadField("patient.age", "not completed years")
    return Resident(
        birth_date=None if birth is None else day(birth, "patient.birth_date"),
        age=age,
        sex=_code(patient, "sex", "patient", 0, 9),
        registers=frozenset(registers),
        pregnant=_yes_no(patient, "pregnant", "patient"),
        lactating=_yes_no(patient, "lactating", "patient"),
    )


def _yes_no(entry: Mapping[str, Any], name: str, where: str) -> bool | None:
    for key in SYNONYMS.get(name, (name,)):
        if key in entry:
            value = entry[key]
            if name == "adverse_reaction" and type(value) is int and value in (1, 2):
                return value == 2  # the form's codes: 1 none, 2 some
            if value is None or isinstance(value, bool):
                return value
            raise BadField(f"{where}.{key}", "not true, false or null")
    return False


def _flags(entry: Mapping[str, Any], where: str) -> dict[str, bool | None]:
    flags: dict[str, bool | None] = {}
    for name in (*YES_NO, "referred_to_confirm"):
        given = any(key in entry for key in SYNONYMS.get(name, (name,)))
        if given:
            flags[name] = _yes_no(entry, name, where)
    return flags


def _choices(entry: Mapping[str, Any], kind: RecordKind, where: str) -> dict[str, str | None]:
    choices: dict[str, str | None] = {}
    complication = entry.get("complication", "none" if kind is RecordKind.VISIT else None)
    if complication is not None and complication not in CHOICES["complication"]:
        raise BadField(f"{where}.complication", f"not one of {', '.join(CHOICES['complication'])}")
    choices["complication"] = complication
    word = entry.get("glucose_context", entry.get("context", entry.get("meal")))
    if word is None and ("fasting_glucose" in entry or entry.get("kind") == "fasting_glucose"):
        word = "fasting"
    if word is not None:
        if not isinstance(word, str) or word.lower() not in CONTEXTS:
            raise BadField(f"{where}.glucose_context", f"unknown meal context {word!r}")
        choices["glucose_context"] = CONTEXTS[word.lower()]
    choices["diagnosis"] = _diagnosis(entry)
    return choices


def _diagnosis(entry: Mapping[str, Any]) -> str | None:
    said = [entry[key].lower() for key in RESULT_KEYS if isinstance(entry.get(key), str)]
    said += [key for key, value in entry.items() if value is True]
    if any("secondary" in word or "继发" in word for word in said):
        return "suspected_secondary"
    if any(("primary" in word or "essential" in word or "原发" in word) and "not" not in word for word in said):
        return "confirmed_primary"
    if any(word in {"excluded", "not_hypertension", "normal", "negative"} for word in said):
        return "excluded"
    return None


def _signs(entry: Mapping[str, Any], where: str) -> frozenset[str]:
    signs = entry.get("emergency_signs") or []
    if not isinstance(signs, list) or not all(isinstance(name, str) for name in signs):
        raise BadField(f"{where}.emergency_signs", "not a list of names")
    return frozenset(signs) - {"none", ""}


def _symptoms(entry: Mapping[str, Any], where: str) -> tuple[int, ...]:
    codes = entry.get("symptoms") or []
    if not isinstance(codes, list) or not all(type(code) is int for code in codes):
        raise BadField(f"{where}.symptoms", "not a list of form codes")
    return tuple(codes)


def _attendance(happened: Record, history: list[Record]) -> Record:
    earlier = [r for r in history if r.kind is RecordKind.ATTENDANCE and r.on.year == happened.on.year]
    return msgspec.structs.replace(happened, flags={**happened.flags, "first_attendance_of_year": not earlier})

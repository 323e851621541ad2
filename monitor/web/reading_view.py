"""A reading as a nurse reads it: when, how much, how good, from where, by which clock. And as charts need it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from devices.nomenclature import BY_CODE
from devices.observation import NEVER_JUDGED, QUESTIONABLE_FACTS, Fact, Meal, fact_names
from devices.units import canonical
from ingest.observations import StoredObservation
from monitor.explanation import ClockNote, JudgedReading, clock_note, reading_text, shown_unit
from monitor.web import wording
from monitor.web.chart_points import Glucose, Point
from monitor.web.chart_points import Meal as MealMark
from monitor.web.charts import Pressure
from monitor.web.texts import Texts
from monitor.web.viewing import Viewing

_POOR_SIGNAL: Final = Fact.LOW_PERFUSION | Fact.POOR_SIGNAL | Fact.SENSOR_DISPLACED
_CLOCKS: Final = {
    ClockNote.DEVICE_TIME: "own",
    ClockNote.CORRECTED: "corrected",
    ClockNote.GATEWAY_TIME: "gateway",
    ClockNote.NOT_SET: "not_set",
    ClockNote.LOST_TIMELINE: "lost",
    ClockNote.TIME_FAULT: "lost",
}
_BEYOND: Final[dict[str, Literal["HI", "LO"]]] = {"HI": "HI", "LO": "LO"}
_MEALS: Final[dict[Meal, MealMark]] = {
    Meal.FASTING: "fasting",
    Meal.POSTPRANDIAL: "after",
    Meal.BEDTIME: "bedtime",
}


@dataclass(frozen=True, slots=True)
class ReadingView:
    """One line of a readings table. `used` False: a rule never saw it, and it is shown struck."""

    at: datetime
    when: str
    what: str
    text: str
    unit: str
    quality: str
    quality_css: str
    quality_icon: str
    source: str
    clock: str
    used: bool


def stored_view(reading: StoredObservation, viewing: Viewing) -> ReadingView:
    """A stored reading; its facts say whether a rule may see it."""
    t = viewing.t
    quality, css, icon, used = _quality(reading.facts, bool(reading.facts & NEVER_JUDGED), t)
    if used and all(value is None for value in reading.values[:2]) and not reading.facts & Fact.RESULT_TOO_HIGH:
        quality, css, icon, used = t("reading.unused", why=t("fact.no-number")), "x", "tec", False
    label = reading.device_label or t("reading.nobody")
    if reading.session_uid:
        label = f"{t('reading.kiosk')} · {label}"
    return ReadingView(
        at=reading.measured_at,
        when=wording.moment(reading.measured_at, viewing.now, viewing.zone, t),
        what=t(f"concept.{reading.concept}"),
        text=reading_text(reading),
        unit=shown_unit(reading.unit),
        quality=quality,
        quality_css=css,
        quality_icon=icon,
        source=label,
        clock=t(f"clock.{_CLOCKS[clock_note(reading.facts)]}"),
        used=used,
    )


def judged_view(reading: JudgedReading, viewing: Viewing) -> ReadingView:
    """A reading as the item explains itself with it."""
    t = viewing.t
    barred = reading.why_not is not None
    quality, css, icon, used = _quality(reading.quality_facts, barred, t)
    if barred and used:
        quality, css, icon, used = t("reading.unused", why=t(f"why_not.{reading.why_not}")), "x", "tec", False
    return ReadingView(
        at=reading.measured_at,
        when=wording.moment(reading.measured_at, viewing.now, viewing.zone, t),
        what="",
        text=reading.text,
        unit=reading.unit,
        quality=quality,
        quality_css=css,
        quality_icon=icon,
        source=reading.device_label or t("reading.nobody"),
        clock=t(f"clock.{_CLOCKS[reading.clock_note]}"),
        used=used,
    )


def pressures(readings: Iterable[StoredObservation]) -> list[Pressure]:
    """The cuff readings a rule may see, in mmHg; those of a health hut count as office."""
    found = []
    for reading in readings:
        if reading.concept != "blood_pressure" or reading.facts & NEVER_JUDGED:
            continue
        values = _canonical(reading)
        if len(values) >= 2 and values[0] is not None and values[1] is not None:
            found.append(Pressure(reading.measured_at, values[0], values[1], reading.session_uid is not None))
    return found


def unused_moments(readings: Iterable[StoredObservation], concept: str) -> list[datetime]:
    """When readings were taken that no rule may see."""
    return [
        reading.measured_at
        for reading in readings
        if reading.concept == concept and (reading.facts & NEVER_JUDGED or reading.values[0] is None)
    ]


def glucoses(readings: Iterable[StoredObservation]) -> list[Glucose]:
    """The glucose readings a rule may see, in mmol/L, by meal; HI and LO keep their word."""
    found = []
    for reading in readings:
        if reading.concept != "glucose" or reading.facts & NEVER_JUDGED:
            continue
        text, value = reading_text(reading), _canonical(reading)[0]
        meal = reading.context.meal if reading.context else None
        kind: MealMark = _MEALS.get(meal, "other") if meal else "other"
        beyond = _BEYOND.get(text)
        if beyond:
            found.append(Glucose(reading.measured_at, None, kind, beyond))
        elif value is not None:
            found.append(Glucose(reading.measured_at, value, kind))
    return found


def points(readings: Iterable[StoredObservation], concept: str) -> list[Point]:
    """The first value of each reading of a concept a rule may see, canonical unit."""
    return [
        Point(reading.measured_at, value, bool(reading.facts & _POOR_SIGNAL))
        for reading in readings
        if reading.concept == concept and not reading.facts & NEVER_JUDGED
        if (value := _canonical(reading)[0]) is not None
    ]


def meal_words(reading: StoredObservation, t: Texts) -> str:
    """The meal of a glucose reading in words."""
    meal = reading.context.meal if reading.context else None
    return t(f"meal.{meal.value}") if meal else t("meal.unknown")


def _canonical(reading: StoredObservation) -> Sequence[float | None]:
    kind = BY_CODE[reading.kind]
    units = kind.units[reading.unit]
    return [
        None if value is None else canonical(value, unit) for value, unit in zip(reading.values, units, strict=False)
    ]


def _quality(facts: int, barred: bool, t: Texts) -> tuple[str, str, str, bool]:
    """(words, class, icon, whether a rule may see it)."""
    why = [t(f"fact.{name}") for name in fact_names(facts & int(NEVER_JUDGED)) if t.has(f"fact.{name}")]
    doubt = [t(f"fact.{name}") for name in fact_names(facts & int(QUESTIONABLE_FACTS)) if t.has(f"fact.{name}")]
    comma = "、" if t.chinese else ", "
    if why or (barred and doubt):
        return t("reading.unused", why=comma.join(why or doubt)), "x" if why else "q", "tec" if why else "wrn", False
    if doubt:
        return t("reading.doubtful", why=comma.join(doubt)), "q", "wrn", True
    if facts & Fact.AMENDED:
        return t("fact.amended"), "ok", "pen", True
    return t("reading.good"), "ok", "ok", True

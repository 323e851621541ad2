"""What evaluation looks at: a resident and the dated records of one person, as values.

A `Record` is anything that happened: a visit, a reading, a diagnosis, an attendance, a check. What it does not say
is absent, and an absent value never meets a limit.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Final, NamedTuple

import msgspec

from devices.nomenclature import BLOOD_PRESSURE, BODY_TEMPERATURE, BY_CODE, HEART_RATE, Kind
from devices.plausibility import implausible_slots


class RecordKind(enum.StrEnum):
    """What happened."""

    VISIT = "visit"
    READING = "reading"
    DIAGNOSIS = "diagnosis"
    ATTENDANCE = "attendance"
    ELDERLY_CHECK = "elderly_check"
    HEALTH_CHECK = "health_check"


class OutOfRange(enum.StrEnum):
    """A meter's word instead of a number: the result is beyond what it can measure."""

    HI = "HI"
    LO = "LO"


class NotJudged(enum.StrEnum):
    """Why a reading meets no rule."""

    NEVER_JUDGED_FACT = "never_judged_fact"
    """Its facts say that it is no measurement of the person (invalid, test, control solution, …)."""
    NO_VALUE = "no_value"
    """Every value a rule could look at is absent."""
    IMPLAUSIBLE = "implausible"
    """No instrument measures that in a living person: a data error, not an abnormal value."""
    UNKNOWN_UNIT = "unknown_unit"
    """The unit is not one its kind is measured in."""
    FUTURE_TIME = "future_time"
    """Measured after now, beyond the tolerance of clocks."""
    NOT_IN_EFFECT = "not_in_effect"
    """It happened on a day on which the edition was not, or no longer, in effect."""
    NO_RULE = "no_rule"
    """No programme of the edition has a rule for this kind."""


class Measured(NamedTuple):
    """A number as reported, with its UCUM unit. `number` None: absent, or `beyond` says HI or LO."""

    number: Decimal | None
    unit: str
    beyond: OutOfRange | None = None


def exact(value: float | str | Decimal | None) -> Decimal | None:
    """The number as written, exactly; None for absent, NaN and infinities. Never compares binary fractions."""
    if value is None:
        return None
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule may know about a person: no name, no identity. `registers`: programmes the person is managed in,
    `<programme>_high_risk` for high-risk lists. None for pregnant or lactating: unknown."""

    birth_date: date | None = None
    age: int | None = None
    sex: int | None = None
    registers: frozenset[str] = frozenset()
    pregnant: bool | None = False
    lactating: bool | None = False

    def age_on(self, day: date) -> int | None:
        """Completed years on that day; `age` stands in when the birth date is unknown."""
        if self.birth_date is None:
            return self.age
        before_birthday = (day.month, day.day) < (self.birth_date.month, self.birth_date.day)
        return day.year - self.birth_date.year - before_birthday


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One dated thing that happened to one person.

    on: local calendar day (Asia/Shanghai).  at: the moment, where known (aware).  programme: of a visit.
    concept: of a reading, as in `devices.nomenclature`.  mode: 1 clinic, 2 home, 3 telephone.
    quantities: by fact name (sbp, dbp, glucose, heart_rate, body_temperature).  flags: None is "unknown".
    signs: emergency signs as named by the reporter.  symptoms: the form's codes.  visit_class: as signed, 1–4.
    averaged: how many readings of a session the numbers are the mean of.  session_at: of its first.
    reference: the caller's key to find it again.
    """

    kind: RecordKind
    on: date
    at: datetime | None = None
    programme: str = ""
    concept: str = ""
    mode: int | None = None
    quantities: Mapping[str, Measured] = {}
    choices: Mapping[str, str | None] = {}
    flags: Mapping[str, bool | None] = {}
    signs: frozenset[str] = frozenset()
    symptoms: tuple[int, ...] = ()
    symptom_severity: str | None = None
    visit_class: int | None = None
    questionable: bool = False
    averaged: int = 1
    session_at: datetime | None = None
    place: str = ""
    source: str = ""
    reference: str = ""


def in_order(records: Iterable[Record]) -> tuple[Record, ...]:
    """By time of happening; ties by content, so that the order of arrival changes nothing."""
    known = tuple(records)
    if len({_moment(record) for record in known}) < len(known):
        known = tuple(sorted(known, key=_content))
    return tuple(sorted(known, key=_moment))


def _moment(record: Record) -> tuple[date, float]:
    return record.on, record.at.timestamp() if record.at else 0.0


def _content(record: Record) -> str:
    return repr(
        (
            record.kind,
            record.programme,
            record.concept,
            record.mode,
            sorted((name, str(value)) for name, value in record.quantities.items()),
            sorted((name, str(value)) for name, value in record.choices.items()),
            record.visit_class,
            record.reference,
        )
    )


_SINGLE: Final[dict[str, int]] = {
    "glucose": 160184,
    "heart_rate": HEART_RATE,
    "body_temperature": BODY_TEMPERATURE,
}


def impossible_facts(quantities: Mapping[str, Measured]) -> frozenset[str]:
    """The facts whose numbers are data errors (`devices.plausibility`), a unit no kind reports included."""
    bad = {
        name
        for name, measured in quantities.items()
        if name in _SINGLE and _impossible(BY_CODE[_SINGLE[name]], (measured,))
    }
    pair = (quantities.get("sbp"), quantities.get("dbp"))
    if any(pair) and _impossible(BY_CODE[BLOOD_PRESSURE], pair):
        bad |= {"sbp", "dbp"} & quantities.keys()
    return frozenset(bad)


def _impossible(kind: Kind, measured: tuple[Measured | None, ...]) -> bool:
    numbers = [None if m is None or m.number is None else float(m.number) for m in measured]
    units = {m.unit for m in measured if m is not None and m.number is not None}
    if not units:
        return False
    return len(units) > 1 or bool(units - kind.units.keys()) or bool(implausible_slots(kind, numbers, units.pop()))

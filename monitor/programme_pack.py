"""What a programme pack is made of: values only, checked against each other, no I/O.

A pack is one edition of one programme of the public health service specification as data: facts it looks at, limits
with their clause, rules as declared conditions, the year's schedule, indicators. Loading is `monitor.programme`,
judging `monitor.evaluation`. Whatever the edition does not print is marked `convention: true` and gives its reason.
"""

from __future__ import annotations

import enum
import string
from datetime import date
from decimal import Decimal
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitor.programme_condition import Condition
from monitor.severity import ItemKind, Severity

PLACEHOLDERS: Final[frozenset[str]] = frozenset(
    {"when", "place", "evidence", "due", "measured", "previous", "days", "dates", "clause", "repeats", "line"}
)
"""What a sentence template may ask for; `monitor.sentences` fills them.

`line`: the clause's whole line. `repeats`: where the later readings of an episode go; nothing where there is one.
"""


class Part(enum.StrEnum):
    """The two halves of a specification chapter: finding people, and looking after those found."""

    FOLLOW_UP = "follow_up"
    SCREENING = "screening"


class Occasion(enum.StrEnum):
    """What is being judged."""

    VISIT = "visit"
    READING = "reading"
    DIAGNOSIS = "diagnosis"
    ATTENDANCE = "attendance"


class DueKind(enum.StrEnum):
    """What has to happen by the due date."""

    FOLLOWUP = "followup"
    REFERRAL_CHECK = "referral_check"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Text(_Part):
    """The same words in both languages of the desk."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)


class _Conventional(_Part):
    convention: bool = False
    reason: str = ""

    @model_validator(mode="after")
    def _a_convention_gives_its_reason(self) -> _Conventional:
        if self.convention and len(self.reason) < 10:
            raise ValueError("a convention needs its reason in words")
        if self.reason and not self.convention:
            raise ValueError("a reason is given, so say convention: true")
        return self


class Clause(_Part):
    """Where the edition says it: the chapter's own numbering, and what it is about in our words."""

    section: str = Field(min_length=1)
    about: str = Field(min_length=2)


class Document(_Part):
    title: str = Field(min_length=4)
    edition: str = Field(min_length=4)
    issued: str = Field(min_length=4)
    chapter: str = Field(min_length=4)


class Effective(_Part):
    """From when until when (exclusive) the edition may judge; `to` empty: still in force where chosen."""

    start: date = Field(alias="from")
    end: date | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _it_ends_after_it_begins(self) -> Effective:
        if self.end is not None and self.end <= self.start:
            raise ValueError("an edition ends after it begins")
        return self

    def covers(self, day: date) -> bool:
        """Whether the edition judges what happened on that day."""
        return self.start <= day and (self.end is None or day < self.end)


class FactName(_Part):
    """A fact the pack looks at. `ask`: the nurse is asked for it when nobody said."""

    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    concept: str = ""


class Limit(_Conventional):
    """One number with its unit (UCUM) and the clause that prints it."""

    value: Decimal
    unit: str = Field(min_length=1)
    cite: str = Field(min_length=1)


class Sign(_Part):
    """One item of the emergency list. `symptom_codes`: codes of the visit form that mean it when severe."""

    id: str = Field(pattern=r"^[a-z_]+$")
    zh: str = Field(min_length=1)
    en: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    symptom_codes: tuple[int, ...] = ()


class PrecedingVisit(_Conventional):
    """A flag: the visit of this programme immediately before met `when`, or was signed as one of `classes`."""

    preceding_visit: Condition
    classes: tuple[int, ...] = ()


class DistinctDays(_Conventional):
    """A count: how many different local days had a reading that met `when`, the present one included.

    `window_days` empty: the edition names no period.
    """

    distinct_days: Condition
    concept: str
    window_days: int | None = None


class Outcome(_Part):
    """What a rule concludes. `due_days` counts calendar days from the date judged, the last one included."""

    finding: str | None
    action: str
    visit_class: int | None = Field(default=None, ge=1, le=4)
    severity: Severity
    queue: ItemKind | None
    due: str | None = None
    due_kind: DueKind | None = None
    state: Literal["", "preliminary_diagnosis", "measure_bp"] = ""

    @model_validator(mode="after")
    def _a_due_day_says_what_for(self) -> Outcome:
        if (self.due is None) != (self.due_kind is None):
            raise ValueError("due and due_kind go together")
        return self


class Rule(_Conventional):
    """One declared rule. `alone`: when it fires nothing else of its part is concluded.

    `anyone`: a live reading of somebody outside the register is judged by it too (a convention when set).
    """

    id: str = Field(pattern=r"^[a-z_]+(\.[a-z_]+)+$")
    part: Part
    on: tuple[Occasion, ...] = Field(min_length=1)
    when: Condition
    then: Outcome
    cite: tuple[str, ...] = Field(min_length=1)
    alone: bool = False
    anyone: bool = False
    sentence: Text
    sentence_reading: Text | None = None


class Face(_Conventional):
    """Visits a year that count: `modes` are the form's codes (1 clinic, 2 home, 3 telephone)."""

    limit: str
    modes: tuple[int, ...]
    elderly_check_counts: bool
    elderly_age: str
    cite: tuple[str, ...] = Field(min_length=1)


class YearlyTests(_Conventional):
    """So many tests a year (`limit`, per year), e.g. fasting glucose."""

    name: str
    concept: str
    context: str | None = None
    limit: str
    every_half_year: bool = False
    cite: tuple[str, ...] = Field(min_length=1)


class Schedule(_Part):
    face_to_face: Face
    tests: YearlyTests | None = None
    health_check: str
    health_check_cite: tuple[str, ...] = Field(min_length=1)
    high_risk_register: str
    high_risk_tests: YearlyTests


class Session(_Conventional):
    """Readings of one kind within `minutes` of the session's first are one session; `mean_of` are judged by mean."""

    minutes: int = Field(ge=1, le=60)
    mean_of: tuple[str, ...]


class Indicator(_Part):
    id: str
    zh: str
    en: str
    numerator: str
    denominator: str
    cite: str


class Eligibility(_Part):
    register_name: str = Field(alias="register")
    minimum_age: str
    cite: tuple[str, ...] = Field(min_length=1)


class Pack(_Part):
    """One edition of one programme. Build it with `monitor.programme.load_pack`."""

    id: str = Field(pattern=r"^[a-z]+(_[a-z]+)*-\d{4}$")
    edition: str
    programme: str
    screening_programme: str
    title: Text
    condition: str
    document: Document
    effective: Effective
    eligibility: Eligibility
    clauses: dict[str, Clause]
    facts: dict[str, FactName]
    limits: dict[str, Limit]
    days: dict[str, Limit]
    signs: tuple[Sign, ...]
    ask_about: tuple[str, ...]
    derived: dict[str, PrecedingVisit | DistinctDays]
    rules: tuple[Rule, ...] = Field(min_length=1)
    actions: tuple[str, ...] = Field(min_length=1)
    session: Session
    schedule: Schedule
    conventions: dict[str, str]
    indicators: tuple[Indicator, ...]

    def rule(self, rule_id: str) -> Rule:
        """The rule of that id. KeyError: none."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise KeyError(rule_id)

    def clause_text(self, keys: tuple[str, ...]) -> str:
        """`chapter section; section (edition)`, as shown beside a finding."""
        sections = "；".join(self.clauses[key].section for key in keys)
        return f"{self.document.chapter} {sections}（{self.document.edition}）"


def placeholders(template: str) -> frozenset[str]:
    """The names a template asks for. ValueError: braces that do not match."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)

"""What evaluation concludes: findings that explain themselves, and the judgement of one occasion."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import msgspec

from monitor.evaluation_record import NotJudged
from monitor.programme_pack import DueKind
from monitor.severity import ItemKind, Severity

__all__ = ["DueKind", "Evidence", "Finding", "ItemKind", "Judgement", "NotJudged", "Severity", "Threshold", "Told"]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One fact a finding rests on: a number with its unit, or a word: HI or LO, a sign or flag by name.

    reference: whatever the caller gave to find the reading again (a row's key).
    """

    fact: str
    number: Decimal | None = None
    word: str = ""
    unit: str = ""
    on: date
    at: datetime | None = None
    source: str = ""
    reference: str = ""

    @property
    def value(self) -> Decimal | str:
        """The number, or the word where there is none."""
        return self.word if self.number is None else self.number


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of a line that was reached. limit and unit: as compared; printed and printed_unit: as in the edition.

    met False: the other half of the line, named because it belongs to the clause.
    """

    fact: str
    op: str
    limit: Decimal
    unit: str
    printed: Decimal
    printed_unit: str
    clause: str
    edition: str
    convention: str = ""
    met: bool = True


class Told(msgspec.Struct, frozen=True):
    """A sentence in three parts: repeats of the reading are told between head and tail, what is later before the note
    (of a late or doubtful reading)."""

    head: str
    tail: str
    note: str = ""

    @property
    def sentence(self) -> str:
        """As it reads for one reading."""
        return self.head + self.tail + self.note


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that fired for one person.

    finding: the pack's name of it, None where the rule only adds a date or an action.
    condition: what an episode is about (blood_pressure, glucose, body_temperature, heart_rate).
    due: last day, included.  queue: the row of the desk's queue.  late: measured long ago, never pages.
    questionable: rests on readings of doubtful quality alone; asks for a repeat, never an emergency.
    conventions: reasons of the declared readings of the text that it rests on.
    told_zh, told_en: the sentences in parts, where the template has a place for repeats.  shown: the number alone,
    186/112.  excess: how far the worst number is beyond its line, as a ratio.  session_at: when the session began whose
    mean was judged.
    """

    rule: str
    finding: str | None
    action: str
    severity: Severity
    queue: ItemKind | None
    condition: str
    programme: str
    edition: str
    clause: str
    decided_on: date
    sentence_zh: str
    sentence_en: str
    visit_class: int | None = None
    due: date | None = None
    due_kind: DueKind | None = None
    measured_at: datetime | None = None
    evidence: tuple[Evidence, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    conventions: tuple[str, ...] = ()
    questionable: bool = False
    late: bool = False
    state: str = ""
    told_zh: Told | None = None
    told_en: Told | None = None
    shown: str = ""
    excess: float = 0.0
    session_at: datetime | None = None


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """All that one pack says about one occasion.

    finding "none": no rule fired.  missing: facts that kept a rule from being decided.  ask: what a nurse should ask
    before trusting the class (everyday symptoms, words that are not on the emergency list).
    implausible: facts left out as data errors.  not_judged: why the occasion met no rule at all.
    """

    finding: str
    action: str
    visit_class: int | None = None
    due: date | None = None
    due_kind: DueKind | None = None
    findings: tuple[Finding, ...] = ()
    missing: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    implausible: tuple[str, ...] = ()
    not_judged: NotJudged | None = None

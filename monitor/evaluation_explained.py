"""From a rule that fired to a finding that explains itself: dates, evidence, limits, clause and sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from monitor.evaluation_condition import Witness
from monitor.evaluation_finding import Evidence, Finding, Threshold, Told
from monitor.evaluation_history import Background
from monitor.evaluation_lines import clause_lines
from monitor.evaluation_record import Record, RecordKind
from monitor.programme_pack import Pack, Rule, Text
from monitor.sentences import (
    REPEATS,
    Language,
    evidence_text,
    fill,
    lines_text,
    measured_text,
    short_text,
    when_text,
)

_NOT_EVIDENCE = frozenset({"age", "registered", "high_days"})
BEYOND_RANGE = 1000.0
"""The excess of a meter's HI or LO: beyond any number."""


def explained(pack: Pack, rule: Rule, witnesses: Sequence[Witness], happened: Record, past: Background) -> Finding:
    """The finding of a rule that fired on `happened`, because of `witnesses`, before the background `past`."""
    lines = clause_lines(pack, rule.when, witnesses, happened)
    zh, en = _sentences(pack, rule, witnesses, happened, past)
    foldable = REPEATS in _template(rule, happened).zh
    other_halves = [half for line in lines for half in line if half not in witnesses]
    shown = [witness for witness in witnesses if witness.fact not in _NOT_EVIDENCE]
    return Finding(
        rule=rule.id,
        finding=rule.then.finding,
        action=rule.then.action,
        severity=rule.then.severity,
        queue=rule.then.queue,
        condition=_condition(pack, witnesses),
        programme=pack.programme,
        edition=pack.edition,
        clause=pack.clause_text(rule.cite),
        decided_on=happened.on,
        measured_at=happened.at,
        visit_class=rule.then.visit_class,
        due=_due(pack, rule, happened.on),
        due_kind=rule.then.due_kind,
        evidence=tuple(_evidence(witness, happened) for witness in shown),
        thresholds=tuple(
            [_threshold(pack, witness) for witness in witnesses if witness.printed is not None]
            + [_threshold(pack, half, met=False) for half in other_halves]
        ),
        conventions=_conventions(pack, rule, witnesses),
        state=rule.then.state,
        sentence_zh=zh.sentence,
        sentence_en=en.sentence,
        told_zh=zh if foldable else None,
        told_en=en if foldable else None,
        shown=short_text(happened, {witness.fact for witness in shown}),
        excess=max((_excess(witness) for witness in witnesses), default=0.0),
        session_at=happened.session_at,
    )


def _due(pack: Pack, rule: Rule, on: date) -> date | None:
    return None if rule.then.due is None else on + timedelta(days=int(pack.days[rule.then.due].value))


def _sentences(
    pack: Pack, rule: Rule, witnesses: Sequence[Witness], happened: Record, past: Background
) -> tuple[Told, Told]:
    due = _due(pack, rule, happened.on)
    template = _template(rule, happened)
    lines = clause_lines(pack, rule.when, witnesses, happened)
    values: dict[Language, dict[str, str]] = {}
    languages: tuple[Language, ...] = ("zh", "en")
    concerned = {name for name, fact in pack.facts.items() if fact.concept == pack.condition}
    concerned |= {witness.fact for witness in witnesses}
    for language in languages:
        measured, shown = measured_text(happened, language, concerned)
        if "{measured}" not in template.zh:
            measured, shown = "", frozenset()
        line = lines_text(pack, lines, language, shown=shown) if "{line}" in template.zh else ""
        said = [witness for witness in witnesses if not line or witness.fact not in shown]
        evidence = evidence_text(pack, said, language, shown=shown)
        comma = ("，" if language == "zh" else ", ") if measured and evidence else ""
        before = ""
        if past.previous is not None:
            before = f"{past.previous.on.isoformat()} {measured_text(past.previous, language, concerned)[0]}".strip()
        place = happened.place if language == "zh" or not happened.place else f" at {happened.place}"
        values[language] = {
            "when": when_text(happened.on, happened.at),
            "place": f"在{place}" if language == "zh" and place else place,
            "measured": measured,
            "evidence": comma + evidence,
            "line": line,
            "due": due.isoformat() if due else "",
            "previous": before,
            "days": str(len(past.high)),
            "dates": ("、" if language == "zh" else ", ").join(day.isoformat() for day in past.high),
            "clause": pack.clause_text(rule.cite),
        }
    return fill(template, values)


def _template(rule: Rule, happened: Record) -> Text:
    if happened.kind is RecordKind.READING and rule.sentence_reading is not None:
        return rule.sentence_reading
    return rule.sentence


def _excess(witness: Witness) -> float:
    """How far beyond its line, as a ratio of at least one: a reading twice the limit says 2."""
    measured, limit = witness.measured, witness.limit
    if measured is None or limit is None:
        return 0.0
    if measured.beyond is not None:
        return BEYOND_RANGE
    if not measured.number or not limit:
        return 0.0
    return float(measured.number / limit if witness.op.startswith(">") else limit / measured.number)


def _condition(pack: Pack, witnesses: Sequence[Witness]) -> str:
    concepts = [pack.facts[w.fact].concept for w in witnesses if w.fact in pack.facts and w.fact not in _NOT_EVIDENCE]
    named = [concept for concept in concepts if concept]
    return named[0] if named and pack.condition not in named else pack.condition


def _evidence(witness: Witness, happened: Record) -> Evidence:
    number, word, unit = None, witness.value or "yes", ""
    if witness.measured is not None:
        number, unit = witness.measured.number, witness.measured.unit
        word = "" if witness.measured.beyond is None else str(witness.measured.beyond)
    return Evidence(
        fact=witness.fact,
        number=number,
        word=word,
        unit=unit,
        on=happened.on,
        at=happened.at,
        source=happened.source,
        reference=happened.reference,
    )


def _threshold(pack: Pack, witness: Witness, *, met: bool = True) -> Threshold:
    assert witness.printed is not None
    assert witness.limit is not None
    assert witness.measured is not None
    return Threshold(
        fact=witness.fact,
        op=witness.op,
        limit=witness.limit,
        unit=witness.measured.unit,
        printed=witness.printed.value,
        printed_unit=witness.printed.unit,
        clause=pack.clause_text((witness.printed.cite,)),
        edition=pack.edition,
        convention=witness.printed.reason,
        met=met,
    )


def _conventions(pack: Pack, rule: Rule, witnesses: Sequence[Witness]) -> tuple[str, ...]:
    reasons = [rule.reason]
    if rule.then.due is not None:
        reasons.append(pack.days[rule.then.due].reason)
    for witness in witnesses:
        derived = pack.derived.get(witness.fact)
        if derived is not None:
            reasons.append(derived.reason)
        if witness.printed is not None:
            reasons.append(witness.printed.reason)
    return tuple(dict.fromkeys(reason for reason in reasons if reason))

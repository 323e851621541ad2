"""Judge one occasion by one pack: pure, the same answer for the same history whatever its order of arrival.

The rules are the pack's; what is written here is only which of several findings speaks first: the worst class, and
the strongest action whatever the class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from monitor.evaluation_condition import Fact, Verdict, decide
from monitor.evaluation_explained import explained
from monitor.evaluation_facts import facts_of
from monitor.evaluation_finding import Finding, Judgement, NotJudged
from monitor.evaluation_history import background
from monitor.evaluation_record import Record, RecordKind, Resident, impossible_facts
from monitor.evaluation_signs import reported_signs
from monitor.programme_pack import Occasion, Pack, Part, Rule
from monitor.severity import Severity

_OCCASIONS: Final[dict[RecordKind, Occasion]] = {
    RecordKind.VISIT: Occasion.VISIT,
    RecordKind.READING: Occasion.READING,
    RecordKind.DIAGNOSIS: Occasion.DIAGNOSIS,
    RecordKind.ATTENDANCE: Occasion.ATTENDANCE,
}


def evaluate(
    pack: Pack, resident: Resident, history: Iterable[Record], happened: Record, part: Part = Part.FOLLOW_UP
) -> Judgement:
    """What the pack says about `happened`, given everything else that is known of the resident.

    history: any records of the person, in any order; `happened` itself may be among them or not.
    """
    if not pack.effective.covers(happened.on):
        return Judgement(finding="none", action="none", not_judged=NotJudged.NOT_IN_EFFECT)
    past = background(pack, resident, history, happened)
    facts = facts_of(pack, resident, happened) | past.facts
    fired, missing = _fire(pack, facts, happened, part)
    findings = tuple(explained(pack, rule, verdict.witnesses, happened, past) for rule, verdict in fired)
    return _concluded(pack, happened, findings, missing)


def _fire(
    pack: Pack, facts: Mapping[str, Fact], happened: Record, part: Part
) -> tuple[list[tuple[Rule, Verdict]], frozenset[str]]:
    fired: list[tuple[Rule, Verdict]] = []
    missing: set[str] = set()
    occasion = _OCCASIONS.get(happened.kind)
    for rule in pack.rules:
        if rule.part is not part or occasion not in rule.on:
            continue
        verdict = decide(rule.when, facts, pack)
        if verdict.truth:
            if rule.alone:
                return [(rule, verdict)], frozenset()
            fired.append((rule, verdict))
        elif verdict.truth is None:
            missing |= verdict.missing
    return fired, frozenset(missing)


def _concluded(pack: Pack, happened: Record, findings: tuple[Finding, ...], missing: frozenset[str]) -> Judgement:
    implausible = tuple(sorted(impossible_facts(happened.quantities)))
    ask = reported_signs(pack, happened).ask
    named = [finding for finding in findings if finding.finding is not None]
    if not named:
        return Judgement(
            finding="none",
            action="none",
            findings=findings,
            missing=tuple(sorted(missing)),
            ask=ask,
            implausible=implausible,
            not_judged=_why_not(happened, implausible),
        )
    strength = pack.actions.index
    first = min(named, key=lambda f: (-(f.visit_class or 0), strength(f.action)))
    action = min((finding.action for finding in findings), key=strength)
    dated = next((f for f in findings if f.due is not None and f.action == action), None)
    return Judgement(
        finding=str(first.finding),
        action=action,
        visit_class=first.visit_class,
        due=dated.due if dated else None,
        due_kind=dated.due_kind if dated else None,
        findings=tuple(sorted(findings, key=_worst_first)),
        missing=() if first.visit_class or first.severity.outranks(Severity.ROUTINE) else tuple(sorted(missing)),
        ask=ask,
        implausible=implausible,
    )


def _why_not(happened: Record, implausible: tuple[str, ...]) -> NotJudged | None:
    if happened.kind is not RecordKind.READING:
        return None
    if implausible:
        return NotJudged.IMPLAUSIBLE
    present = [m for m in happened.quantities.values() if m.number is not None or m.beyond is not None]
    return None if present else NotJudged.NO_VALUE


def _worst_first(finding: Finding) -> tuple[int, int, str]:
    return finding.severity.rank, -(finding.visit_class or 0), finding.rule

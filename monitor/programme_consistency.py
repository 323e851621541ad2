"""Is a pack at one with itself: every name it uses is declared, every limit in a unit its fact is measured in.

Each problem is (path into the document, reason); `monitor.programme` turns paths into lines and columns.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.programme_condition import (
    CHOICES,
    FLAGS,
    QUANTITIES,
    AllOf,
    AnyOf,
    Compare,
    Condition,
    Flag,
    NotThat,
    OneOf,
    SignsListed,
)
from monitor.programme_pack import PLACEHOLDERS, DistinctDays, Pack, PrecedingVisit, placeholders

Path = tuple[str | int, ...]
Problem = tuple[Path, str]


def inconsistencies(pack: Pack) -> Iterator[Problem]:
    """Everything in the pack that refers to something the pack does not declare, or in a unit that cannot be right."""
    yield from _names(pack)
    yield from _citations(pack)
    for name, derived in pack.derived.items():
        match derived:
            case PrecedingVisit():
                yield from _condition(pack, derived.preceding_visit, ("derived", name, "preceding_visit"))
            case DistinctDays():
                yield from _condition(pack, derived.distinct_days, ("derived", name, "distinct_days"))
    seen: set[str] = set()
    for index, rule in enumerate(pack.rules):
        path: Path = ("rules", index)
        if rule.id in seen:
            yield (*path, "id"), f"a second rule is called {rule.id}"
        seen.add(rule.id)
        yield from _condition(pack, rule.when, (*path, "when"))
        if rule.then.action not in pack.actions:
            yield (*path, "then", "action"), f"{rule.then.action} is not among the pack's actions"
        if rule.then.due is not None and rule.then.due not in pack.days:
            yield (*path, "then", "due"), f"{rule.then.due} is not among the pack's days"
        for field in ("sentence", "sentence_reading"):
            text = getattr(rule, field)
            for language in ("zh", "en") if text is not None else ():
                unknown = placeholders(getattr(text, language)) - PLACEHOLDERS
                if unknown:
                    yield (*path, field, language), f"unknown placeholder {', '.join(sorted(unknown))}"


def _names(pack: Pack) -> Iterator[Problem]:
    known = set(QUANTITIES) | set(CHOICES) | FLAGS
    for fact in pack.facts:
        if fact not in known and fact not in pack.derived:
            yield ("facts", fact), f"{fact} is not a fact that visits or readings carry"
    if not pack.id.endswith(f"-{pack.edition}"):
        yield ("edition",), f"the id {pack.id} is of another edition than {pack.edition}"
    signs: set[str] = set()
    for index, sign in enumerate(pack.signs):
        for name in (sign.id, sign.zh, *sign.aliases):
            if name in signs:
                yield ("signs", index), f"{name} names two signs"
            signs.add(name)
    for index, name in enumerate(pack.ask_about):
        if name in signs:
            yield ("ask_about", index), f"{name} is already a listed sign"
    for name, limit in pack.days.items():
        if limit.unit != "d":
            yield ("days", name, "unit"), f"{limit.unit} is not days (d)"


def _citations(pack: Pack) -> Iterator[Problem]:
    cited: list[tuple[Path, str]] = [(("limits", key, "cite"), limit.cite) for key, limit in pack.limits.items()]
    cited += [(("days", key, "cite"), limit.cite) for key, limit in pack.days.items()]
    cited += [(("rules", i, "cite"), key) for i, rule in enumerate(pack.rules) for key in rule.cite]
    cited += [(("indicators", i, "cite"), indicator.cite) for i, indicator in enumerate(pack.indicators)]
    cited += [(("eligibility", "cite"), key) for key in pack.eligibility.cite]
    cited += [(("schedule", "health_check_cite"), key) for key in pack.schedule.health_check_cite]
    limits: list[tuple[Path, str]] = [
        (("eligibility", "minimum_age"), pack.eligibility.minimum_age),
        (("schedule", "health_check"), pack.schedule.health_check),
        (("schedule", "face_to_face", "elderly_age"), pack.schedule.face_to_face.elderly_age),
    ]
    for name in ("face_to_face", "tests", "high_risk_tests"):
        part = getattr(pack.schedule, name)
        if part is not None:
            cited += [(("schedule", name, "cite"), key) for key in part.cite]
            limits.append((("schedule", name, "limit"), part.limit))
    for path, key in cited:
        if key not in pack.clauses:
            yield path, f"cites {key}, which is not among the clauses"
    for path, key in limits:
        if key not in pack.limits:
            yield path, f"{key} is not among the limits"


def _condition(pack: Pack, condition: Condition, path: Path) -> Iterator[Problem]:
    match condition:
        case AllOf():
            for index, part in enumerate(condition.all):
                yield from _condition(pack, part, (*path, "all", index))
        case AnyOf():
            for index, part in enumerate(condition.any):
                yield from _condition(pack, part, (*path, "any", index))
        case NotThat():
            yield from _condition(pack, condition.negated, (*path, "not"))
        case Compare():
            yield from _comparison(pack, condition, path)
        case OneOf():
            yield from _choice(pack, condition, path)
        case Flag():
            yield from _flag(pack, condition.flag, (*path, "flag"))
        case SignsListed() if not pack.signs:
            yield path, "the pack lists no signs"


def _choice(pack: Pack, condition: OneOf, path: Path) -> Iterator[Problem]:
    yield from _declared(pack, condition.fact, (*path, "fact"))
    for value in condition.values:
        if value not in CHOICES.get(condition.fact, ()):
            yield (*path, "in"), f"{value} is not a value of {condition.fact}"


def _flag(pack: Pack, flag: str, path: Path) -> Iterator[Problem]:
    yield from _declared(pack, flag, path)
    if flag not in FLAGS and not isinstance(pack.derived.get(flag), PrecedingVisit):
        yield path, f"{flag} is not a yes-or-no fact"


def _declared(pack: Pack, fact: str, path: Path) -> Iterator[Problem]:
    if fact not in pack.facts:
        yield path, f"{fact} is not declared under facts"


def _comparison(pack: Pack, condition: Compare, path: Path) -> Iterator[Problem]:
    yield from _declared(pack, condition.fact, (*path, "fact"))
    counted = isinstance(pack.derived.get(condition.fact), DistinctDays)
    unit = "d" if counted else QUANTITIES.get(condition.fact)
    if unit is None:
        yield (*path, "fact"), f"{condition.fact} is not a number"
        return
    limit = pack.limits.get(condition.limit)
    if limit is None:
        yield (*path, "limit"), f"{condition.limit} is not among the limits"
    elif limit.unit != unit:
        yield (*path, "limit"), f"{condition.limit} is in {limit.unit}, {condition.fact} is compared in {unit}"

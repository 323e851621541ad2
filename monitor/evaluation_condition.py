"""A declared condition against the facts of one moment: yes, no, or not known.

What is absent makes a comparison unknown, never true and never false; "not" of unknown stays unknown. A number is
compared in the unit it was reported in: the limit is converted, the reading never is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from monitor.evaluation_record import Measured, OutOfRange
from monitor.programme_condition import AllOf, AnyOf, Compare, Condition, Flag, NotThat, OneOf, SignsListed
from monitor.programme_pack import Limit, Pack

Fact = Measured | bool | str | frozenset[str] | None
Facts = Mapping[str, Fact]

KPA_IN_MMHG: Final = Decimal("7.500617")
MG_DL_IN_MMOL_L: Final = Decimal("18.0")

_CONVERSIONS: Final[dict[tuple[str, str], Callable[[Decimal], Decimal]]] = {
    ("mm[Hg]", "kPa"): lambda limit: limit / KPA_IN_MMHG,
    ("mmol/L", "mg/dL"): lambda limit: limit * MG_DL_IN_MMOL_L,
    ("Cel", "[degF]"): lambda limit: limit * 9 / 5 + 32,
}
_COMPARE: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    ">=": lambda value, limit: value >= limit,
    ">": lambda value, limit: value > limit,
    "<=": lambda value, limit: value <= limit,
    "<": lambda value, limit: value < limit,
}


class Witness(NamedTuple):
    """One thing that made a condition true. A comparison has `op`, `measured` and limits; a sign or flag has none.

    limit: in the unit reported; printed: as the edition prints it.
    """

    fact: str
    op: str = ""
    measured: Measured | None = None
    limit: Decimal | None = None
    printed: Limit | None = None
    value: str = ""


class Verdict(NamedTuple):
    """truth None: not known, for want of `missing`."""

    truth: bool | None
    witnesses: tuple[Witness, ...] = ()
    missing: frozenset[str] = frozenset()


def limit_in(limit: Decimal, unit: str, reported: str) -> Decimal | None:
    """The limit in the unit a reading was reported in; None: no such conversion."""
    if unit == reported:
        return limit
    convert = _CONVERSIONS.get((unit, reported))
    return None if convert is None else convert(limit)


def meets(op: str, measured: Measured, limit: Decimal, unit: str) -> bool | None:
    """Whether a number meets a limit, compared in the number's own unit; None: not known."""
    converted = limit_in(limit, unit, measured.unit)
    if measured.beyond is not None:
        return op.startswith(">") == (measured.beyond is OutOfRange.HI)
    if converted is None or measured.number is None:
        return None
    return _COMPARE[op](measured.number, converted)


def decide(condition: Condition, facts: Facts, pack: Pack) -> Verdict:
    """Three-valued truth of a condition, with what made it true or what it lacks."""
    match condition:
        case AllOf():
            return _all([decide(part, facts, pack) for part in condition.all])
        case AnyOf():
            return _any([decide(part, facts, pack) for part in condition.any])
        case NotThat():
            inner = decide(condition.negated, facts, pack)
            return Verdict(None if inner.truth is None else not inner.truth, (), inner.missing)
        case Compare():
            return _compare(condition, facts, pack.limits[condition.limit])
        case SignsListed():
            return _signs(facts.get("signs"), pack)
        case Flag() | OneOf():
            return _said(condition, facts)


def _said(condition: Flag | OneOf, facts: Facts) -> Verdict:
    if isinstance(condition, Flag):
        said = facts.get(condition.flag)
        if not isinstance(said, bool):
            return Verdict(None, (), frozenset({condition.flag}))
        return Verdict(said, (Witness(condition.flag),) if said else ())
    chosen = facts.get(condition.fact)
    if not isinstance(chosen, str):
        return Verdict(None, (), frozenset({condition.fact}))
    found = chosen in condition.values
    return Verdict(found, (Witness(condition.fact, value=chosen),) if found else ())


def _signs(reported: Fact, pack: Pack) -> Verdict:
    names = reported if isinstance(reported, frozenset) else frozenset()
    listed = tuple(Witness("signs", value=sign.id) for sign in pack.signs if sign.id in names)
    return Verdict(bool(listed), listed)


def _all(parts: list[Verdict]) -> Verdict:
    missing = frozenset().union(*(part.missing for part in parts))
    if any(part.truth is False for part in parts):
        return Verdict(False)
    if any(part.truth is None for part in parts):
        return Verdict(None, (), missing)
    return Verdict(True, _witnesses(parts))


def _any(parts: list[Verdict]) -> Verdict:
    if any(part.truth for part in parts):
        return Verdict(True, _witnesses([part for part in parts if part.truth]))
    missing = frozenset().union(*(part.missing for part in parts if part.truth is None))
    return Verdict(None, (), missing) if any(part.truth is None for part in parts) else Verdict(False)


def _witnesses(parts: list[Verdict]) -> tuple[Witness, ...]:
    return tuple(dict.fromkeys(witness for part in parts for witness in part.witnesses))


def _compare(condition: Compare, facts: Facts, printed: Limit) -> Verdict:
    measured = facts.get(condition.fact)
    lacking = Verdict(None, (), frozenset({condition.fact}))
    if not isinstance(measured, Measured):
        return lacking
    limit = limit_in(printed.value, printed.unit, measured.unit)
    if limit is None:
        return lacking
    truth = meets(condition.op, measured, printed.value, printed.unit)
    if truth is None:
        return lacking
    if not truth:
        return Verdict(False)
    return Verdict(True, (Witness(condition.fact, condition.op, measured, limit, printed),))

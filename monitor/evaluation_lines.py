"""The whole line of a clause: "180 systolic or 110 diastolic" is one line, also where only one half was reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monitor.evaluation_condition import Witness, limit_in
from monitor.evaluation_record import Measured, Record
from monitor.programme_condition import AllOf, AnyOf, Compare, Condition
from monitor.programme_pack import Pack

Line = tuple[Witness, ...]
"""Alternatives of one clause, those that were not reached included."""


def clause_lines(pack: Pack, condition: Condition, witnesses: Sequence[Witness], happened: Record) -> list[Line]:
    """The lines that the comparisons among `witnesses` belong to, each once, in the order of the clause.

    Comparisons that stand side by side as alternatives, about one concept and in one direction, are one line.
    """
    return list(dict.fromkeys(_lines(pack, condition, witnesses, happened)))


def _lines(pack: Pack, condition: Condition, witnesses: Sequence[Witness], happened: Record) -> Iterator[Line]:
    match condition:
        case Compare():
            fired = _fired(pack, condition, witnesses)
            if fired is not None:
                yield (fired,)
        case AnyOf():
            compared = [part for part in condition.any if isinstance(part, Compare)]
            sides: dict[tuple[str, str], list[Compare]] = {}
            for alternative in compared:
                about = pack.facts[alternative.fact].concept or alternative.fact
                sides.setdefault((about, alternative.op), []).append(alternative)
            for side in sides.values():
                yield from _side(pack, side, witnesses, happened)
            for other in condition.any:
                if not isinstance(other, Compare):
                    yield from _lines(pack, other, witnesses, happened)
        case AllOf():
            for inner in condition.all:
                yield from _lines(pack, inner, witnesses, happened)


def _side(pack: Pack, side: Sequence[Compare], witnesses: Sequence[Witness], happened: Record) -> Iterator[Line]:
    fired = [_fired(pack, part, witnesses) for part in side]
    reached = next((witness for witness in fired if witness is not None), None)
    if reached is not None:
        alternatives = [
            witness or _not_reached(pack, part, reached, happened) for part, witness in zip(side, fired, strict=True)
        ]
        yield tuple(witness for witness in alternatives if witness is not None)


def _fired(pack: Pack, part: Compare, witnesses: Sequence[Witness]) -> Witness | None:
    printed = pack.limits[part.limit]
    same = (w for w in witnesses if (w.fact, w.op) == (part.fact, part.op) and w.printed == printed)
    return next(same, None)


def _not_reached(pack: Pack, part: Compare, beside: Witness, happened: Record) -> Witness | None:
    """The other half of the line, in the unit that its neighbour was reported in."""
    assert beside.measured is not None
    printed, unit = pack.limits[part.limit], beside.measured.unit
    limit = limit_in(printed.value, printed.unit, unit)
    if limit is None:
        return None
    measured = happened.quantities.get(part.fact) or Measured(None, unit)
    return Witness(part.fact, part.op, measured, limit, printed)

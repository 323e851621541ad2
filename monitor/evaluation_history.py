"""What the past adds to one occasion: the visit before, and the different days with a high reading."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from monitor.evaluation_condition import Fact
from monitor.evaluation_facts import holds
from monitor.evaluation_record import Measured, Record, RecordKind, Resident, in_order
from monitor.programme_pack import DistinctDays, Pack, PrecedingVisit


class Background(NamedTuple):
    """facts: the pack's derived facts by name.  previous: the visit before.  high: the high days, earliest first."""

    facts: dict[str, Fact]
    previous: Record | None
    high: tuple[date, ...]


def background(pack: Pack, resident: Resident, history: Iterable[Record], happened: Record) -> Background:
    """The derived facts of an occasion; `happened` may be among the history or not, in any order."""
    others = tuple(record for record in in_order(history) if record != happened)
    previous = preceding_visit(pack, others, happened)
    facts: dict[str, Fact] = {}
    high: tuple[date, ...] = ()
    for name, derived in pack.derived.items():
        match derived:
            case PrecedingVisit():
                facts[name] = previous is not None and _met(pack, resident, previous, derived)
            case DistinctDays():
                high = high_days(pack, resident, (*others, happened), happened.on, derived)
                facts[name] = Measured(Decimal(len(high)), "d")
    return Background(facts, previous, high)


def preceding_visit(pack: Pack, others: Sequence[Record], happened: Record) -> Record | None:
    """The visit of this programme immediately before, of whatever kind; `others` in order of time."""
    before = [
        record
        for record in others
        if record.kind is RecordKind.VISIT and record.programme in ("", pack.programme) and _precedes(record, happened)
    ]
    return before[-1] if before else None


def _precedes(record: Record, happened: Record) -> bool:
    if record.on != happened.on or record.at is None or happened.at is None:
        return record.on <= happened.on
    return record.at < happened.at


def _met(pack: Pack, resident: Resident, visit: Record, derived: PrecedingVisit) -> bool:
    return visit.visit_class in derived.classes or holds(pack, resident, visit, derived.preceding_visit) is True


def high_days(
    pack: Pack, resident: Resident, records: Iterable[Record], on: date, derived: DistinctDays
) -> tuple[date, ...]:
    """The different local days with a sound reading that met the condition, earliest first."""
    window = None if derived.window_days is None else timedelta(days=derived.window_days)
    days = {
        record.on
        for record in records
        if record.kind is RecordKind.READING
        and record.concept == derived.concept
        and not record.questionable
        and (window is None or abs(on - record.on) < window)
        and holds(pack, resident, record, derived.distinct_days)
    }
    return tuple(sorted(days))

"""Readings of one kind by one person within minutes of each other are one session, judged by its mean where declared.

Doubtful readings do not enter a mean as long as there is a sound one beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

import msgspec

from monitor.evaluation_record import Measured, Record, impossible_facts, in_order
from monitor.programme_pack import Pack


def by_session(pack: Pack, record: Record, others: Iterable[Record]) -> tuple[Record, tuple[Record, ...]]:
    """The session that holds the record, as one record, and every other session and reading of the person.

    A kind that is judged one by one stays as it is.
    """
    everything = [*others, record]
    rest = [other for other in everything if other.concept not in pack.session.mean_of and other is not record]
    own = record
    for concept in pack.session.mean_of:
        for session in _sessions(pack, everything, concept):
            if any(member is record for member in session):
                own = _mean(session)
            else:
                rest.append(_mean(session))
    return own, tuple(rest)


def _sessions(pack: Pack, records: Iterable[Record], concept: str) -> list[list[Record]]:
    """Groups by time; each begins with its first reading and takes those within the declared minutes of it."""
    reach = timedelta(minutes=pack.session.minutes)
    sessions: list[list[Record]] = []
    for record in in_order(r for r in records if r.concept == concept and r.at is not None):
        start = sessions[-1][0].at if sessions else None
        if start is not None and record.at is not None and record.at - start <= reach:
            sessions[-1].append(record)
        else:
            sessions.append([record])
    return sessions


def _mean(session: list[Record]) -> Record:
    usable = [record for record in session if not impossible_facts(record.quantities)]
    sound = [record for record in usable if not record.questionable] or usable
    if not sound:
        return session[-1]
    last = sound[-1]
    counted = [r for r in sound if _units(r) == _units(last)]
    quantities = {name: _mean_of([r.quantities.get(name) for r in counted], m) for name, m in last.quantities.items()}
    return msgspec.structs.replace(
        last,
        quantities=quantities,
        averaged=len(counted),
        reference="+".join(dict.fromkeys(r.reference for r in counted if r.reference)),
    )


def _units(record: Record) -> frozenset[tuple[str, str]]:
    return frozenset((name, m.unit) for name, m in record.quantities.items())


def _mean_of(measured: list[Measured | None], last: Measured) -> Measured:
    numbers = [m.number for m in measured if m is not None and m.number is not None]
    if not numbers:
        return last
    return Measured(sum(numbers, Decimal(0)) / len(numbers), last.unit, last.beyond)

"""Readings of one kind by one person within minutes of each other are one session, judged by its mean where declared.

Doubtful readings do not enter a mean as long as there is a sound one beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from monitor.evaluation_record import Measured, Record, impossible_facts
from monitor.judging_reading import DeviceReading, as_record
from monitor.programme_pack import Pack


def sessions(pack: Pack, readings: Iterable[DeviceReading]) -> list[list[DeviceReading]]:
    """Readings of one kind grouped by time, earliest first, whatever the order given.

    Each session begins with its first reading and takes those within the pack's minutes of it.
    """
    reach = timedelta(minutes=pack.session.minutes)
    groups: list[list[DeviceReading]] = []
    for reading in sorted(readings, key=_moment):
        if groups and reading.measured_at - groups[-1][0].measured_at <= reach:
            groups[-1].append(reading)
        else:
            groups.append([reading])
    return groups


def session_record(session: Sequence[DeviceReading]) -> Record:
    """A session as one record: the mean of its sound readings, of the doubtful ones where none is sound."""
    began_at = min(reading.measured_at for reading in session)
    records = [msgspec.structs.replace(as_record(reading), session_at=began_at) for reading in session]
    usable = [record for record in records if not impossible_facts(record.quantities) - {"heart_rate"}]
    counted = [record for record in usable if not record.questionable] or usable
    if len(counted) <= 1:
        return counted[0] if counted else records[-1]
    last = counted[-1]
    counted = [record for record in counted if _units(record) == _units(last)]
    quantities = {name: _mean_of([r.quantities.get(name) for r in counted], m) for name, m in last.quantities.items()}
    return msgspec.structs.replace(
        last,
        quantities=quantities,
        averaged=len(counted),
        reference="+".join(dict.fromkeys(r.reference for r in counted if r.reference)),
    )


def _moment(reading: DeviceReading) -> tuple[datetime, str]:
    return reading.measured_at, f"{reading.device} {reading.values} {reading.unit} {reading.facts} {reading.reference}"


def _units(record: Record) -> frozenset[tuple[str, str]]:
    return frozenset((name, m.unit) for name, m in record.quantities.items())


def _mean_of(measured: list[Measured | None], last: Measured) -> Measured:
    numbers = [m.number for m in measured if m is not None and m.number is not None]
    if not numbers:
        return last
    return Measured(sum(numbers, Decimal(0)) / len(numbers), last.unit, last.beyond)

"""Why an item stands: the readings used and not used, the limits, what to ask on the telephone."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, tuple_row

from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Absent, Fact
from ingest.named_sql import load
from ingest.observations import StoredObservation, window
from monitor.evidence import evidence_key
from monitor.programme_pack import Pack

_SQL: Final = load("monitor", "sql/queue.sql")
_AROUND: Final = timedelta(hours=24)
_SHOWN: Final = 20
_UNIT_SHOWN: Final = {"mm[Hg]": "mmHg", "Cel": "°C", "[degF]": "°F", "[lb_av]": "lb", "/min": "/min"}
_OPERATORS: Final = {">=": "≥", "<=": "≤"}


class ClockNote(enum.StrEnum):
    """How the time of a reading is known."""

    DEVICE_TIME = "device_time"
    CORRECTED = "corrected"
    GATEWAY_TIME = "gateway_time"
    NOT_SET = "not_set"
    LOST_TIMELINE = "lost_timeline"
    TIME_FAULT = "time_fault"


_CLOCK: Final = (
    (Fact.LOST_TIMELINE, ClockNote.LOST_TIMELINE),
    (Fact.TIME_FAULT, ClockNote.TIME_FAULT),
    (Fact.CLOCK_NOT_SET, ClockNote.NOT_SET),
    (Fact.NO_DEVICE_CLOCK, ClockNote.GATEWAY_TIME),
    (Fact.CLOCK_CORRECTED, ClockNote.CORRECTED),
)


class JudgedReading(msgspec.Struct, frozen=True, kw_only=True):
    """A reading around the item's time. `used`: a finding of this episode rests on it. `why_not`: a
    `monitor.unjudged` reason; None beside `used` False: judged, and it met no rule. `unit`: as shown.
    `quality_facts`: `devices.observation.Fact` bits."""

    measured_at: datetime
    text: str
    unit: str
    quality_facts: int
    used: bool
    why_not: str | None
    device_label: str | None
    clock_note: ClockNote


class ThresholdLine(NamedTuple):
    """A limit in words."""

    label_zh: str
    label_en: str
    text: str


class Sign(NamedTuple):
    """An emergency sign to ask for."""

    code: str
    zh: str
    en: str


def threshold_lines(evidence: Mapping[str, Any], pack: Pack | None) -> list[ThresholdLine]:
    """The limits a stored finding met, as the edition prints them, each once."""
    lines: dict[ThresholdLine, None] = {}
    for threshold in evidence.get("thresholds", ()):
        fact = threshold["fact"]
        name = pack.facts.get(fact) if pack else None
        operator = _OPERATORS.get(threshold["op"], threshold["op"])
        unit = shown_unit(threshold["printed_unit"])
        text = f"{operator} {threshold['printed']} {unit}".strip()
        lines[ThresholdLine(name.zh if name else fact, name.en if name else fact, text)] = None
    return list(lines)


def signs_to_ask(pack: Pack | None) -> list[Sign]:
    """The programme's emergency list."""
    return [Sign(sign.id, sign.zh, sign.en) for sign in pack.signs] if pack else []


async def judged_readings(
    conn: AsyncConnection[TupleRow],
    subject_id: UUID,
    alert_id: int | None,
    told: tuple[datetime | None, datetime | None],
    evidence: Mapping[str, Any],
) -> list[JudgedReading]:
    """Readings of the episode's condition, newest first, at most 20 and the one that explains the item.

    told: when that one was measured, and the last of the episode; a day around them is shown.
    """
    first, last = told
    if first is None or last is None or alert_id is None:
        return []
    since, until = first - _AROUND, last + _AROUND
    condition = evidence.get("condition")
    readings = await window(conn, subject_id, since=since, until=until, concepts=[condition] if condition else None)
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["used_readings"], {"alert_id": alert_id})
        used = {row[0] for row in await cursor.fetchall()}
        await cursor.execute(_SQL["why_unjudged"], {"subject_id": subject_id, "since": since, "until": until})
        why: dict[str, str] = dict(await cursor.fetchall())
    newest = sorted(readings, key=lambda reading: reading.measured_at, reverse=True)
    shown = newest[:_SHOWN] + [reading for reading in newest[_SHOWN:] if reading.measured_at == first]
    return [_judged(reading, used, why) for reading in shown]


def reading_text(reading: StoredObservation) -> str:
    """The number as a nurse writes it: 186/112 of a cuff, else the first value; HI, LO or a dash where absent."""
    shown = 2 if reading.kind == BLOOD_PRESSURE else 1
    return "/".join(_value(reading, slot) for slot in range(min(shown, len(reading.values))))


def shown_unit(ucum: str) -> str:
    """A UCUM unit as it is printed."""
    return _UNIT_SHOWN.get(ucum, ucum)


def clock_note(facts: int) -> ClockNote:
    """How the time is known, the gravest first."""
    return next((note for fact, note in _CLOCK if facts & fact), ClockNote.DEVICE_TIME)


def _judged(reading: StoredObservation, used: set[str], why: Mapping[str, str]) -> JudgedReading:
    key = evidence_key(reading)
    return JudgedReading(
        measured_at=reading.measured_at,
        text=reading_text(reading),
        unit=shown_unit(reading.unit),
        quality_facts=reading.facts,
        used=key in used,
        why_not=why.get(key),
        device_label=reading.device_label,
        clock_note=clock_note(reading.facts),
    )


def _value(reading: StoredObservation, slot: int) -> str:
    value = reading.values[slot]
    if value is not None:
        return f"{value:g}"
    absent = reading.absent.get(slot)
    if absent == Absent.POSITIVE_INFINITY or reading.facts & Fact.RESULT_TOO_HIGH:
        return "HI"
    if absent == Absent.NEGATIVE_INFINITY or reading.facts & Fact.RESULT_TOO_LOW:
        return "LO"
    return "–"

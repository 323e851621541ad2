"""Judge one device reading for the live queue: sessions, doubtful and late readings, people outside the register.

Pure: the answer is a function of the person's readings by the time they were measured; the order in which they
arrive changes nothing. An emergency value is judged at once and alone; anything less is judged by its session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from devices.observation import NEVER_JUDGED
from monitor.evaluation import evaluate
from monitor.evaluation_finding import Finding, NotJudged, Told
from monitor.evaluation_record import Record, Resident
from monitor.judging_reading import DeviceReading, as_record, unsound
from monitor.judging_session import session_record, sessions
from monitor.programme_pack import Pack, Part
from monitor.sentences import late_note, repeat_note
from monitor.severity import ItemKind, Severity

REPEAT_ACTION = "repeat_measurement"
"""The action of a finding that rests on doubtful readings alone."""


class LiveRules(msgspec.Struct, frozen=True, kw_only=True):
    """Conventions of the live service, ours. late_after: older readings never page. future_tolerance: clocks differ."""

    late_after: timedelta = timedelta(hours=24)
    future_tolerance: timedelta = timedelta(minutes=10)


DEFAULT_RULES = LiveRules()


class _Known(NamedTuple):
    others: list[DeviceReading]
    visits: tuple[Record, ...]


def unjudged_reason(
    packs: Iterable[Pack], reading: DeviceReading, now: datetime, rules: LiveRules = DEFAULT_RULES
) -> NotJudged | None:
    """Why this reading meets no rule; None: it is judged (and may still be found to be fine)."""
    record = as_record(reading)
    concerned = [pack for pack in packs if any(name in pack.facts for name in record.quantities)]
    if not concerned:
        return NotJudged.NO_RULE
    if not any(pack.effective.covers(record.on) for pack in concerned):
        return NotJudged.NOT_IN_EFFECT
    return _barred(reading, now, rules)


def judge_reading(
    packs: Sequence[Pack],
    resident: Resident,
    history_window: Iterable[DeviceReading],
    reading: DeviceReading,
    now: datetime,
    *,
    visits: Iterable[Record] = (),
    rules: LiveRules = DEFAULT_RULES,
) -> list[Finding]:
    """Findings of one reading, the most pressing first; empty when nothing is found or it is not judged at all.

    history_window: the person's other readings, any kinds, any order; as far back as screening should look.
    A reading among it that equals `reading` counts once. visits: records of visits, for packs that look at them.
    """
    if _barred(reading, now, rules) is not None:
        return []
    others = [
        other
        for other in history_window
        if other.concept == reading.concept and other != reading and not _left_out(other, now, rules)
    ]
    known = _Known(others, tuple(visits))
    found = [pair for pack in packs for pair in _by_pack(pack, resident, known, reading)]
    findings = [_lowered(finding, reading, now, rules) for finding in _once(packs, found)]
    return sorted(findings, key=lambda f: (f.severity.rank, f.rule))


def _barred(reading: DeviceReading, now: datetime, rules: LiveRules) -> NotJudged | None:
    if reading.measured_at - now > rules.future_tolerance:
        return NotJudged.FUTURE_TIME
    return unsound(reading)


def _left_out(reading: DeviceReading, now: datetime, rules: LiveRules) -> bool:
    """Cheaper than `_barred`, for many: impossible numbers are left out where they are looked at."""
    return bool(reading.facts & NEVER_JUDGED) or reading.measured_at - now > rules.future_tolerance


def _session(
    pack: Pack, known: _Known, reading: DeviceReading, record: Record, *, alone: bool
) -> tuple[Record, tuple[Record, ...]]:
    """The reading's session as one record, and the past beside it: the visits, and every other session unless alone."""
    if reading.concept not in pack.session.mean_of:
        return record, known.visits
    own, past = record, list(known.visits)
    for session in sessions(pack, [*known.others, reading]):
        if any(member is reading for member in session):
            own = session_record(session)
        elif not alone:
            past.append(session_record(session))
    return own, tuple(past)


def _by_pack(pack: Pack, resident: Resident, known: _Known, reading: DeviceReading) -> Iterator[tuple[bool, Finding]]:
    """(is the person on the pack's register, finding) for each finding of one pack."""
    record = as_record(reading)
    registered = pack.eligibility.register_name in resident.registers
    at_once = [
        finding
        for finding in evaluate(pack, resident, known.visits, record).findings
        if finding.severity is Severity.EMERGENCY and (registered or pack.rule(finding.rule).anyone)
    ]
    if at_once:
        yield from ((registered, _outside(pack, finding, registered)) for finding in at_once)
        return
    session, past = _session(pack, known, reading, record, alone=registered)
    part = Part.FOLLOW_UP if registered else Part.SCREENING
    for finding in evaluate(pack, resident, past, session, part).findings:
        if finding.severity is not Severity.EMERGENCY and finding.queue is not None:
            yield registered, msgspec.structs.replace(finding, questionable=session.questionable)


def _outside(pack: Pack, finding: Finding, registered: bool) -> Finding:
    if registered:
        return finding
    reasons = (*finding.conventions, pack.conventions.get("emergency_for_anyone", "emergency_for_anyone"))
    return msgspec.structs.replace(finding, conventions=reasons)


def _once(packs: Sequence[Pack], found: list[tuple[bool, Finding]]) -> list[Finding]:
    """One finding a condition and action: that of a register the person is on, else of the condition's own pack."""
    own = {pack.condition: pack.programme for pack in packs}
    best: dict[tuple[str, str], tuple[bool, bool, Finding]] = {}
    for registered, finding in found:
        rank = (not registered, own.get(finding.condition) != finding.programme, finding)
        key = (finding.condition, finding.action)
        if key not in best or rank[:2] < best[key][:2]:
            best[key] = rank
    return [finding for _, _, finding in best.values()]


def _lowered(finding: Finding, reading: DeviceReading, now: datetime, rules: LiveRules) -> Finding:
    """Doubtful readings ask for a repeat and old ones page nobody: neither is ever an emergency."""
    doubtful = finding.questionable or (finding.severity is Severity.EMERGENCY and reading.questionable)
    late = now - reading.measured_at > rules.late_after
    if not doubtful and not late:
        return finding
    severity, queue = finding.severity, finding.queue
    if severity is Severity.EMERGENCY:
        severity, queue = Severity.WORSENING, ItemKind.WORSENING
    elif doubtful:
        severity, queue = Severity.ROUTINE, ItemKind.REGULAR
    zh, en = (repeat_note("zh"), repeat_note("en")) if doubtful else ("", "")
    if late:
        zh, en = zh + late_note(reading.measured_at, now, "zh"), en + late_note(reading.measured_at, now, "en")
    return msgspec.structs.replace(
        finding,
        severity=severity,
        queue=queue,
        action=REPEAT_ACTION if doubtful else finding.action,
        due=None if doubtful else finding.due,
        due_kind=None if doubtful else finding.due_kind,
        questionable=doubtful,
        late=late,
        sentence_zh=finding.sentence_zh + zh,
        sentence_en=finding.sentence_en + en,
        told_zh=_noted(finding.told_zh, zh),
        told_en=_noted(finding.told_en, en),
    )


def _noted(told: Told | None, note: str) -> Told | None:
    return None if told is None else msgspec.structs.replace(told, note=told.note + note)

"""The year of one resident against the pack's schedule: visits face to face, tests, the yearly check."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from monitor.evaluation_record import Record, RecordKind, Resident, impossible_facts, in_order
from monitor.programme_pack import Pack, Part, YearlyTests


class YearReview(msgspec.Struct, frozen=True, kw_only=True):
    """face_to_face: visits of the year that count.  tests: name of the test, how many needed and done, and whether
    enough at the right times.  met: everything this part of the pack asks of the year. None: not asked of this person.
    """

    year: int
    part: Part
    face_to_face: int | None = None
    face_to_face_needed: int | None = None
    frequency_met: bool | None = None
    test_name: str = ""
    tests_needed: int | None = None
    tests_done: int | None = None
    tests_met: bool | None = None
    health_checks: int | None = None
    health_check_met: bool | None = None
    met: bool
    clause: str


def review_year(
    pack: Pack, resident: Resident, history: Iterable[Record], year: int, part: Part = Part.FOLLOW_UP
) -> YearReview:
    """Count what the year had, by local dates; records of other years and other programmes do not count."""
    records = [record for record in in_order(history) if record.on.year == year]
    if part is Part.SCREENING:
        tests = pack.schedule.high_risk_tests
        number, met = _tests(pack, tests, records)
        return YearReview(
            year=year,
            part=part,
            test_name=tests.name,
            tests_needed=_count(pack, tests.limit),
            tests_done=number,
            tests_met=met,
            met=met,
            clause=pack.clause_text(tests.cite),
        )
    days = face_to_face_days(pack, resident, records)
    needed = _count(pack, pack.schedule.face_to_face.limit)
    checks = len({r.on for r in records if r.kind in (RecordKind.HEALTH_CHECK, RecordKind.ELDERLY_CHECK)})
    checked = checks >= _count(pack, pack.schedule.health_check)
    own = pack.schedule.tests
    done: int | None = None
    tests_met: bool | None = None
    if own is not None:
        done, tests_met = _tests(pack, own, records)
    return YearReview(
        year=year,
        part=part,
        face_to_face=len(days),
        face_to_face_needed=needed,
        frequency_met=len(days) >= needed,
        test_name=own.name if own else "",
        tests_needed=_count(pack, own.limit) if own else None,
        tests_done=done,
        tests_met=tests_met,
        health_checks=checks,
        health_check_met=checked,
        met=len(days) >= needed and checked and tests_met is not False,
        clause=pack.clause_text(pack.schedule.face_to_face.cite),
    )


def face_to_face_days(pack: Pack, resident: Resident, records: Iterable[Record]) -> tuple[date, ...]:
    """The days of the visits that count. An elderly check counts once a year, for those old enough, and not on a day
    that has a visit already."""
    rule = pack.schedule.face_to_face
    records = in_order(records)
    visits = [r.on for r in records if _is_visit(pack, r) and r.mode in rule.modes]
    if rule.elderly_check_counts:
        age = pack.limits[rule.elderly_age].value
        seen: set[int] = set()
        for check in records:
            old = resident.age_on(check.on)
            enough = "elderly" in resident.registers if old is None else old >= age
            fresh = check.on not in visits and check.on.year not in seen
            if check.kind is RecordKind.ELDERLY_CHECK and enough and fresh:
                seen.add(check.on.year)
                visits.append(check.on)
    return tuple(sorted(visits))


def _is_visit(pack: Pack, record: Record) -> bool:
    return record.kind is RecordKind.VISIT and record.programme in ("", pack.programme)


def _count(pack: Pack, limit: str) -> int:
    return int(pack.limits[limit].value)


def _tests(pack: Pack, tests: YearlyTests, records: Iterable[Record]) -> tuple[int, bool]:
    days = {record.on for record in records if _is_test(pack, tests, record)}
    needed = _count(pack, tests.limit)
    if tests.every_half_year:
        return len(days), all(any((day.month > 6) is second for day in days) for second in (False, True))
    return len(days), len(days) >= needed


def _is_test(pack: Pack, tests: YearlyTests, record: Record) -> bool:
    facts = [name for name, fact in pack.facts.items() if fact.concept == tests.concept]
    if record.kind is RecordKind.READING and record.concept != tests.concept:
        return False
    if record.kind is RecordKind.VISIT and record.mode not in pack.schedule.face_to_face.modes:
        return False
    if record.kind in (RecordKind.DIAGNOSIS, RecordKind.ATTENDANCE) or record.questionable:
        return False
    if tests.context is not None and record.choices.get("glucose_context") != tests.context:
        return False
    impossible = impossible_facts(record.quantities)
    measured = [record.quantities[name] for name in facts if name in record.quantities and name not in impossible]
    return any(m.number is not None or m.beyond is not None for m in measured)

"""What the calendar opens, once; and what a visit ends."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from monitor.judging_subject import Bench
from monitor.queue import Item
from monitor.schedule import open_due, open_due_for, until_hour
from monitor.severity import ItemKind
from monitor.visits import NewVisit, record_visit, visits
from tests.fix_monitor import NOW, Stage, cuff

DAY = timedelta(days=1)
PACE = timedelta(days=91)


async def _visit(
    stage: Stage, subject_id: UUID, days_ago: int, *, mode: int = 1, next_on: date | None = None, **observed: Any
) -> int:
    at = NOW - days_ago * DAY
    new = NewVisit(
        subject_id=subject_id,
        programme="hypertension",
        edition="2011",
        visited_at=at,
        mode=mode,
        observed={"adverse_reaction": False, "complication": "none", **observed},
        next_on=next_on,
    )
    async with stage.conn.transaction():
        visit_id = await record_visit(stage.conn, new, user=None, now=at)
    assert visit_id is not None
    return visit_id


async def _open(stage: Stage, at: datetime = NOW) -> Counter[ItemKind]:
    opened = await open_due(stage.conn, desk=stage.desk, pace=PACE, now=at)
    assert opened is not None
    return opened


async def _items(stage: Stage) -> list[Item]:
    nurse = await stage.nurse()
    return (await stage.queue(nurse)).items


async def test_an_unsatisfactory_visit_asks_for_another_within_two_weeks_once(stage: Stage) -> None:
    subject_id = await stage.resident()
    await _visit(stage, subject_id, 3, sbp=158, dbp=96)
    assert await _open(stage) == Counter({ItemKind.TWO_WEEKS: 1})
    assert await _open(stage) == Counter()
    (item,) = await _items(stage)
    assert (item.kind, item.severity, item.due_on) == ("two_weeks", "due", date(2026, 12, 4))
    assert "158" in item.sentence_zh


async def test_two_unsatisfactory_visits_running_advise_a_referral(stage: Stage) -> None:
    subject_id = await stage.resident()
    await _visit(stage, subject_id, 17, sbp=158, dbp=96)
    await _visit(stage, subject_id, 3, sbp=162, dbp=94)
    await _open(stage)
    (item,) = await _items(stage)
    assert (item.kind, item.severity) == ("worsening", "worsening")


async def test_a_visit_ends_the_items_that_asked_for_it(stage: Stage) -> None:
    subject_id = await stage.resident()
    await _visit(stage, subject_id, 16, sbp=158, dbp=96)
    assert await _open(stage, NOW - 15 * DAY) == Counter({ItemKind.TWO_WEEKS: 1})
    at = NOW - 14 * DAY
    await stage.raised(cuff(150, 95, at=at), at=at)
    await _visit(stage, subject_id, 2, sbp=132, dbp=84)
    assert await _open(stage) == Counter()
    assert await _items(stage) == []
    ends = await stage.rows("SELECT outcome, count(*) FROM monitor.followup GROUP BY 1")
    assert ends == [("visit_done", 2)]
    assert await stage.rows("SELECT closed_at IS NOT NULL FROM monitor.alert") == [(True,)]


async def test_an_emergency_found_at_a_visit_leaves_its_referral_to_check(stage: Stage) -> None:
    subject_id = await stage.resident()
    await _visit(stage, subject_id, 3, sbp=186, dbp=112)
    await _open(stage)
    (item,) = await _items(stage)
    assert (item.kind, item.due_on) == ("referral_check", date(2026, 12, 4))


async def test_the_regular_visit_falls_due_at_the_pace_and_by_face_only(stage: Stage) -> None:
    subject_id = await stage.resident(since=date(2026, 1, 5))
    await _visit(stage, subject_id, 100, sbp=132, dbp=84)
    await _visit(stage, subject_id, 20, mode=3, sbp=130, dbp=82)
    assert await _open(stage, NOW - 10 * DAY) == Counter()
    assert await _open(stage) == Counter({ItemKind.REGULAR: 1})
    assert await _open(stage) == Counter()
    (item,) = await _items(stage)
    assert (item.kind, item.severity, item.due_on) == ("regular", "routine", date(2026, 11, 14))


async def test_the_date_a_doctor_set_stands_before_the_pace(stage: Stage) -> None:
    subject_id = await stage.resident()
    await _visit(stage, subject_id, 30, sbp=132, dbp=84, next_on=date(2026, 11, 20))
    assert await _open(stage) == Counter({ItemKind.REGULAR: 1})
    (item,) = await _items(stage)
    assert item.due_on == date(2026, 11, 20)


async def test_somebody_never_seen_is_due_from_the_day_of_enrolment(stage: Stage) -> None:
    await stage.resident(since=date(2026, 8, 1))
    await stage.resident("新", device=None, since=date(2026, 11, 1))
    await stage.resident("无", device=None, programmes=())
    assert await _open(stage) == Counter({ItemKind.REGULAR: 1})


async def test_what_waits_already_is_not_asked_for_again(stage: Stage) -> None:
    await stage.resident(since=date(2026, 1, 5))
    await stage.raised(cuff(186, 112))
    assert await _open(stage) == Counter()


async def test_a_visit_opens_what_it_asks_for_at_once(stage: Stage) -> None:
    subject_id = await stage.resident()
    await _visit(stage, subject_id, 0, sbp=158, dbp=96)
    async with stage.conn.transaction():
        opened = await open_due_for(stage.conn, [subject_id], desk=stage.desk, pace=PACE, now=NOW)
    assert opened == Counter({ItemKind.TWO_WEEKS: 1})
    assert await _open(stage) == Counter()


async def test_a_visit_told_twice_is_kept_once(stage: Stage) -> None:
    subject_id = await stage.resident()
    await _visit(stage, subject_id, 3, sbp=132, dbp=84)
    again = NewVisit(subject_id=subject_id, programme="hypertension", edition="2011", visited_at=NOW - 3 * DAY, mode=1)
    async with stage.conn.transaction():
        assert await record_visit(stage.conn, again, user=None, now=NOW) is None
    (kept,) = await visits(stage.conn, subject_id)
    assert kept.observed["sbp"] == 132


def test_the_next_run_is_at_the_sites_own_hour(bench: Bench) -> None:
    at = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)  # 00:30 in Shanghai
    assert until_hour(at, 1, bench.desk) == timedelta(minutes=30)
    assert until_hour(at + timedelta(minutes=30), 1, bench.desk) == timedelta(days=1)

"""Readings given to somebody afterwards are judged for them; what they caused for the wrong person is withdrawn."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from psycopg import AsyncConnection

from ingest.assignments import assign_session, assignments_of, end_assignment, revoke_assignment
from monitor.access import User
from monitor.evaluator import run_evaluator
from monitor.followups import Outcome
from monitor.queue import Item, detail
from tests.fix_monitor import NOW, Stage, cuff

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DEVICE = "ble:C04F21"


async def take_back(stage: Stage, subject_id: UUID) -> None:
    """The resident's only assignment was a mistake."""
    async with stage.conn.transaction():
        (only,) = await assignments_of(stage.conn, subject_id)
        await revoke_assignment(stage.conn, only.assignment_id, now=NOW)


async def move(stage: Stage, before: UUID, after: UUID) -> None:
    """The device was somebody else's from the first minute, said in one transaction."""
    async with stage.conn.transaction():
        await take_back(stage, before)
        await stage.give(DEVICE, after)


async def items_of(stage: Stage, viewer: User, subject_id: UUID) -> list[Item]:
    """What waits for one resident."""
    return [item for item in (await stage.queue(viewer)).items if item.subject_id == subject_id]


async def history(stage: Stage, viewer: User, followup_id: int) -> list[str]:
    """What happened to an item."""
    async with stage.conn.transaction():
        seen = await detail(stage.conn, followup_id, viewer=viewer, desk=stage.desk, now=NOW)
    assert seen
    return [event.action for event in seen.history]


async def test_a_reading_of_nobody_is_judged_once_it_is_somebodys(stage: Stage) -> None:
    nurse = await stage.nurse()
    assert await stage.raised(cuff(186, 112)) == []
    assert (await stage.queue(nurse)).counts["unassigned"] == 1
    subject = await stage.resident()
    (judged,) = await stage.judge(NOW + HOUR)
    assert (judged.batch_id, judged.readings) == (None, 1)
    (item,) = (await stage.queue(nurse)).items
    assert (item.subject_id, item.kind) == (subject, "emergency")
    assert await stage.rows("SELECT FROM monitor.waiting") == []
    assert await stage.judge(NOW + HOUR) == []


async def test_what_is_given_a_day_too_late_pages_nobody(stage: Stage) -> None:
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    await stage.resident()
    await stage.judge(NOW + 2 * DAY)
    (item,) = (await stage.queue(nurse)).items
    assert (item.kind, item.late) == ("recheck", True)


async def test_a_kiosk_session_whose_card_is_read_later_is_judged_then(stage: Stage) -> None:
    nurse = await stage.nurse()
    subject = await stage.resident(device=None)
    await stage.raised(cuff(186, 112, device="kiosk:1", session="visit-7"))
    async with stage.conn.transaction():
        await assign_session(stage.conn, "visit-7", subject, since=NOW - HOUR, by="test", now=NOW)
    await stage.judge()
    (item,) = (await stage.queue(nurse)).items
    assert (item.subject_id, item.kind) == (subject, "emergency")


async def test_an_emergency_moves_with_its_reading_and_the_wrong_person_loses_it(stage: Stage) -> None:
    nurse = await stage.nurse()
    wrong = await stage.resident("甲")
    right = await stage.resident("乙", device=None)
    await stage.raised(cuff(186, 112))
    (before,) = await items_of(stage, nurse, wrong)
    await move(stage, wrong, right)
    await stage.judge(NOW + HOUR)
    assert await items_of(stage, nurse, wrong) == []
    (item,) = await items_of(stage, nurse, right)
    assert item.kind == "emergency"
    assert await history(stage, nurse, before.followup_id) == ["opened", "reassigned"]
    assert await stage.rows(
        f"SELECT state, outcome, closed_by FROM monitor.followup WHERE followup_id = {before.followup_id}"
    ) == [("closed", "reassigned", None)]
    assert await stage.rows("SELECT action FROM monitor.audit WHERE actor = 'monitor'") == [("followup_reassigned",)]


async def test_a_reading_that_comes_back_counts_again(stage: Stage) -> None:
    nurse = await stage.nurse()
    subject = await stage.resident()
    await stage.raised(cuff(186, 112))
    await take_back(stage, subject)
    await stage.judge()
    seen = await stage.queue(nurse)
    assert (seen.items, seen.counts["unassigned"]) == ([], 1)
    await stage.give(DEVICE, subject)
    await stage.judge(NOW + HOUR)
    (item,) = (await stage.queue(nurse)).items
    assert (item.kind, item.repeats) == ("emergency", 0)


async def test_an_item_somebody_works_on_stays_with_them_and_says_so(stage: Stage) -> None:
    nurse = await stage.nurse()
    wrong = await stage.resident("甲")
    right = await stage.resident("乙", device=None)
    await stage.raised(cuff(186, 112))
    (item,) = await items_of(stage, nurse, wrong)
    await stage.claim(item.followup_id, nurse)
    await move(stage, wrong, right)
    await stage.judge(NOW + HOUR)
    (held,) = await items_of(stage, nurse, wrong)
    assert (held.followup_id, held.kind, held.holder_id) == (item.followup_id, "technical", nurse.user_id)
    assert held.sentence_zh.startswith("读数已改归他人")
    assert "186/112" in held.sentence_zh
    assert await history(stage, nurse, item.followup_id) == ["opened", "claimed", "reassigned"]
    closed = await stage.close(item.followup_id, nurse, Outcome.FALSE_ALARM, "打错人了", at=NOW + HOUR)
    assert closed.reason == "closed"


async def test_a_new_emergency_of_the_person_takes_the_emptied_item_up_again(stage: Stage) -> None:
    nurse = await stage.nurse()
    wrong = await stage.resident("甲")
    right = await stage.resident("乙", device=None)
    await stage.raised(cuff(186, 112))
    (item,) = await items_of(stage, nurse, wrong)
    await stage.claim(item.followup_id, nurse)
    await move(stage, wrong, right)
    await stage.judge(NOW + MINUTE)
    await stage.give("ble:own", wrong)
    later = NOW + HOUR
    await stage.raised(cuff(191, 101, at=later, device="ble:own"), at=later)
    (again,) = await items_of(stage, nurse, wrong)
    assert (again.followup_id, again.kind, again.repeats) == (item.followup_id, "emergency", 0)
    assert "血压 191/101 mmHg，到了危急线" in again.sentence_zh


async def test_what_is_left_of_an_episode_decides_what_it_comes_to(stage: Stage) -> None:
    nurse = await stage.nurse()
    subject = await stage.resident()
    await stage.raised(cuff(150, 95))
    later = NOW + HOUR
    await stage.raised(cuff(186, 112, at=later), at=later)
    (item,) = (await stage.queue(nurse)).items
    assert item.kind == "emergency"
    async with stage.conn.transaction():
        (only,) = await assignments_of(stage.conn, subject)
        await end_assignment(stage.conn, only.assignment_id, until=NOW + MINUTE, by="test", now=later)
    await stage.judge(later)
    (left,) = (await stage.queue(nurse)).items
    assert (left.followup_id, left.kind, left.severity) == (item.followup_id, "two_weeks", "due")
    assert "150/95" in left.sentence_zh
    assert str(left.due_on) == "2026-12-07"
    assert await stage.rows("SELECT severity FROM monitor.alert") == [("due",)]
    assert (await stage.queue(nurse)).counts["unassigned"] == 1


async def test_a_diagnosis_of_three_days_falls_when_one_of_them_was_somebody_elses(stage: Stage) -> None:
    nurse = await stage.nurse()
    person = await stage.resident(programmes=(), device=None)
    async with stage.conn.transaction():
        await stage.give(DEVICE, person, since=NOW - 5 * DAY)
    for day in (4, 2, 0):
        at = NOW - day * DAY
        await stage.raised(cuff(150, 95, at=at), at=at)
    (item,) = (await stage.queue(nurse)).items
    assert "3 个不同的日子" in item.sentence_zh
    await take_back(stage, person)
    await stage.give(DEVICE, person, since=NOW - 3 * DAY)
    await stage.judge()
    (left,) = (await stage.queue(nurse)).items
    assert "第 2 个血压高的日子" in left.sentence_zh
    standing = await stage.rows("SELECT rule_id FROM monitor.finding WHERE withdrawn_at IS NULL ORDER BY measured_at")
    assert standing == [("ht.screen.elevated",), ("ht.screen.elevated",)]


async def test_what_a_strangers_calm_reading_hid_is_found(stage: Stage) -> None:
    nurse = await stage.nurse()
    mine = await stage.resident()
    stranger = await stage.resident("乙", device="ble:other")
    await move_device(stage, "ble:other", stranger, mine)
    await stage.raised(cuff(118, 74, device="ble:other"), cuff(150, 92, at=NOW + MINUTE), at=NOW + MINUTE)
    assert (await stage.queue(nurse)).items == []
    await move_device(stage, "ble:other", mine, stranger)
    await stage.judge(NOW + HOUR)
    (item,) = (await stage.queue(nurse)).items
    assert (item.subject_id, item.kind) == (mine, "two_weeks")
    assert "150/92" in item.sentence_zh


async def move_device(stage: Stage, device: str, before: UUID, after: UUID) -> None:
    """One device of several changes hands for good."""
    async with stage.conn.transaction():
        for one in await assignments_of(stage.conn, before):
            if one.device_uid == device:
                await revoke_assignment(stage.conn, one.assignment_id, now=NOW)
        await stage.give(device, after)


async def test_a_closed_item_says_in_its_history_that_its_reading_was_somebody_elses(stage: Stage) -> None:
    nurse = await stage.nurse()
    wrong = await stage.resident("甲")
    right = await stage.resident("乙", device=None)
    await stage.raised(cuff(186, 112))
    (item,) = await items_of(stage, nurse, wrong)
    await stage.claim(item.followup_id, nurse)
    await stage.close(item.followup_id, nurse, Outcome.REACHED_ADVISED)
    await move(stage, wrong, right)
    await stage.judge(NOW + HOUR)
    assert (await history(stage, nurse, item.followup_id))[-1] == "reassigned"
    (theirs,) = (await stage.queue(nurse)).items
    assert (theirs.subject_id, theirs.kind) == (right, "emergency")


async def test_a_change_wakes_the_judge(stage: Stage) -> None:
    stop = asyncio.Event()
    await stage.raised(cuff(186, 112))
    clock = partial(datetime.now, NOW.tzinfo)
    judging = asyncio.create_task(run_evaluator(stage.url, stage.bench, clock=clock, stop=stop, poll_seconds=3600))

    async def until(query: str) -> None:
        while not await stage.rows(query):
            assert not judging.done()
            await asyncio.sleep(0.02)

    await until(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND query = 'COMMIT' AND state = 'idle'"
    )
    await stage.resident()
    await until("SELECT FROM telemetry.assignment_change WHERE judged_at IS NOT NULL")
    stop.set()
    await judging


async def test_an_assignment_that_is_undone_leaves_nothing_to_judge(stage: Stage) -> None:
    async with await AsyncConnection.connect(stage.url) as conn:
        await conn.execute("SELECT 1")
        await stage.resident()
        await stage.judge()
        (subject,) = await (await conn.execute("SELECT subject_id FROM telemetry.assignment")).fetchone() or (None,)
        assert subject is not None
        (only,) = await assignments_of(conn, subject)
        await revoke_assignment(conn, only.assignment_id, now=NOW)
        await conn.rollback()
    assert await stage.judge() == []

"""From a stored reading to the nurse's queue and through it, on the real database."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

import pytest
from psycopg import AsyncConnection

from monitor import followups, queue
from monitor.access import Role
from monitor.alerts import RaisedReason
from monitor.errors import NotAllowed
from monitor.followups import ClaimReason, CloseReason, Outcome
from tests.fix_monitor import NOW, Stage, cuff, meter

MINUTE = timedelta(minutes=1)


async def test_an_emergency_reading_becomes_a_followup_that_ends_in_a_referral_check(stage: Stage) -> None:
    subject_id = await stage.resident()
    nurse = await stage.nurse()

    assert await stage.raised(cuff(186, 112)) == [RaisedReason.NEW]

    (item,) = (await stage.queue(nurse)).items
    assert (item.subject_id, item.kind, item.severity, item.state) == (subject_id, "emergency", "emergency", "open")
    assert (item.name_shown, item.age, item.programmes) == ("陈*兰", 71, ("hypertension",))
    assert "186" in item.sentence_zh
    assert "186" in item.sentence_en

    claimed = await stage.claim(item.followup_id, nurse, NOW + MINUTE)
    assert claimed.reason is ClaimReason.CLAIMED
    (mine,) = (await stage.queue(nurse, mine=True)).items
    assert (mine.name_shown, mine.holder_name, mine.state) == ("陈秀兰", "王护士", "in_progress")

    closed = await stage.close(item.followup_id, nurse, Outcome.REFERRED, "转市一院", NOW + 9 * MINUTE)
    assert closed.reason is CloseReason.CLOSED
    after = await stage.queue(nurse)
    (check,) = after.items
    assert check.followup_id == closed.opened
    assert (check.kind, check.severity, check.due_on) == ("referral_check", "due", date(2026, 12, 7))
    assert check.name_shown == "陈*兰"
    assert await stage.rows("SELECT closed_at IS NOT NULL, handled_at IS NOT NULL FROM monitor.alert") == [(True, True)]


async def test_the_item_explains_itself(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    await stage.measure(cuff(121, 118, at=NOW - 30 * MINUTE, facts=("invalid",)), cuff(186, 112, at=NOW - MINUTE))
    await stage.judge()
    (item,) = (await stage.queue(nurse)).items

    async with stage.conn.transaction():
        seen = await queue.detail(stage.conn, item.followup_id, viewer=nurse, desk=stage.desk, now=NOW)
    assert seen is not None
    assert seen.phone_shown is None
    assert seen.citation["edition"] == "2011"
    assert "国家基本公共卫生服务规范" in seen.citation["document"]
    assert "二（二）(1)" in seen.citation["clause"]
    assert ("收缩压", "systolic", "≥ 180 mmHg") in seen.thresholds
    assert [(r.text, r.used, r.why_not) for r in seen.readings] == [
        ("186/112", True, None),
        ("121/118", False, "never_judged_fact"),
    ]
    assert any("意识" in sign.zh for sign in seen.ask_signs)
    assert [event.action for event in seen.history] == ["opened"]

    await stage.claim(item.followup_id, nurse)
    async with stage.conn.transaction():
        held = await queue.detail(stage.conn, item.followup_id, viewer=nurse, desk=stage.desk, now=NOW)
    assert held is not None
    assert held.phone_shown is not None
    assert held.phone_shown.startswith("138")
    assert held.contact_name_shown == "陈大明"


async def test_of_two_nurses_who_claim_at_once_one_wins_and_the_other_is_told_who(stage: Stage) -> None:
    await stage.resident()
    wang, zhang = await stage.nurse(), await stage.nurse("zhang", "张敏")
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(wang)).items

    async with await AsyncConnection.connect(stage.url, autocommit=True) as other:
        async with stage.conn.transaction():
            first = await followups.claim(stage.conn, item.followup_id, user=wang, now=NOW)

            async def second() -> followups.ClaimResult:
                async with other.transaction():
                    return await followups.claim(other, item.followup_id, user=zhang, now=NOW)

            waiting = asyncio.create_task(second())
            while not await stage.rows("SELECT FROM pg_locks WHERE NOT granted"):
                assert not waiting.done()
                await asyncio.sleep(0.01)
        lost = await waiting
    assert first.reason is ClaimReason.CLAIMED
    assert (lost.reason, lost.holder_name) == (ClaimReason.HELD_BY_ANOTHER, "王护士")


async def test_only_the_holder_closes_and_some_outcomes_want_a_word(stage: Stage) -> None:
    await stage.resident()
    wang, zhang = await stage.nurse(), await stage.nurse("zhang", "张敏")
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(wang)).items
    assert (await stage.close(item.followup_id, wang, Outcome.REACHED_ADVISED)).reason is CloseReason.NOT_YOURS
    await stage.claim(item.followup_id, zhang)
    assert (await stage.close(item.followup_id, wang, Outcome.REACHED_ADVISED)).reason is CloseReason.NOT_YOURS
    assert (await stage.close(item.followup_id, zhang, Outcome.FALSE_ALARM)).reason is CloseReason.NOTE_REQUIRED
    assert (await stage.close(item.followup_id, zhang, Outcome.FALSE_ALARM, "袖带漏气")).reason is CloseReason.CLOSED
    assert (await stage.close(item.followup_id, zhang, Outcome.DIED)).reason is CloseReason.ALREADY_CLOSED
    assert (await stage.claim(item.followup_id, wang)).reason is ClaimReason.CLOSED
    assert (await stage.claim(10**9, wang)).reason is ClaimReason.UNKNOWN


@pytest.mark.parametrize("outcome", [Outcome.NOT_REACHED, Outcome.WRONG_NUMBER])
async def test_an_emergency_that_reached_nobody_waits_in_the_queue_again(stage: Stage, outcome: Outcome) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    await stage.claim(item.followup_id, nurse)
    assert (await stage.close(item.followup_id, nurse, outcome)).reason is CloseReason.RETURNED
    (again,) = (await stage.queue(nurse)).items
    assert (again.followup_id, again.state, again.holder_id, again.attempts) == (item.followup_id, "open", None, 1)


async def test_a_death_ends_everything_that_is_open_for_the_person(stage: Stage) -> None:
    await stage.resident(programmes=("hypertension", "diabetes"))
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112), meter(2.9, device="ble:C04F21"))
    first, second = (await stage.queue(nurse)).items
    await stage.claim(first.followup_id, nurse)
    result = await stage.close(first.followup_id, nurse, Outcome.DIED)
    assert result.also_closed == (second.followup_id,)
    assert (await stage.queue(nurse)).items == []
    assert await stage.raised(cuff(190, 115, at=NOW + MINUTE), at=NOW + MINUTE) == []
    assert await stage.rows("SELECT reason FROM monitor.unjudged") == [("not_active",)]


async def test_a_nurse_sees_the_residents_of_her_sites_only(stage: Stage) -> None:
    subject_id = await stage.resident(site="nanqiao")
    elsewhere = await stage.nurse(sites=("dongyuan",))
    everywhere = await stage.nurse("zhang", "张敏")
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(everywhere)).items
    assert item.subject_id == subject_id
    assert (await stage.queue(elsewhere)).items == []
    assert (await stage.queue(elsewhere)).counts["all"] == 0
    assert (await stage.claim(item.followup_id, elsewhere)).reason is ClaimReason.UNKNOWN
    async with stage.conn.transaction():
        assert await queue.detail(stage.conn, item.followup_id, viewer=elsewhere, desk=stage.desk, now=NOW) is None


async def test_an_assistant_sees_no_clinical_detail(stage: Stage) -> None:
    assistant = await stage.nurse("li", "李志愿", role=Role.ASSISTANT)
    with pytest.raises(NotAllowed):
        await stage.queue(assistant)


async def test_the_queue_stands_in_the_order_in_which_it_presses(stage: Stage) -> None:
    nurse = await stage.nurse()
    await stage.resident("一", device="ble:A1")
    await stage.resident("二", device="ble:A2")
    await stage.resident("三", device="ble:A3")
    await stage.raised(cuff(150, 95, device="ble:A1"), at=NOW)
    await stage.raised(cuff(190, 95, device="ble:A2", at=NOW + MINUTE), at=NOW + MINUTE)
    await stage.raised(cuff(188, 95, device="ble:A3", at=NOW + 2 * MINUTE), at=NOW + 2 * MINUTE)
    seen = await stage.queue(nurse, NOW + 3 * MINUTE)
    assert [(item.kind, item.name_shown[0]) for item in seen.items] == [
        ("emergency", "二"),
        ("emergency", "三"),
        ("two_weeks", "一"),
    ]
    assert seen.counts["emergency"] == 2
    assert seen.counts["all"] == 3
    only = await stage.queue(nurse, NOW, kind="two_weeks")
    assert [item.kind for item in only.items] == ["two_weeks"]


async def test_readings_of_nobody_wait_and_are_counted(stage: Stage) -> None:
    nurse = await stage.nurse()
    await stage.measure(cuff(190, 115, device="ble:FFFF"))
    (judged,) = await stage.judge()
    assert judged.unassigned == 1
    seen = await stage.queue(nurse)
    assert seen.items == []
    assert seen.counts["unassigned"] == 1
    await stage.resident(device="ble:FFFF")
    assert (await stage.queue(nurse)).counts["unassigned"] == 0

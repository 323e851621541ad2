"""Episodes: what joins, what worsens, what is silenced, what pages nobody; whatever the order of arrival."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest
from psycopg import AsyncConnection

from monitor import followups
from monitor.alerts import RaisedReason, lock_subjects
from monitor.followups import CloseReason, Outcome
from tests.fix_monitor import NOW, Stage, cuff

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NEW, WORSENED, REPEATED, SILENCED = RaisedReason


async def test_a_repeat_joins_the_open_episode(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    assert await stage.raised(cuff(186, 112)) == [NEW]
    later = NOW + 5 * MINUTE
    assert await stage.raised(cuff(182, 108, at=later), at=later) == [REPEATED]
    (item,) = (await stage.queue(nurse)).items
    assert item.repeats == 1
    assert "186/112 mmHg，5 分钟后复测 182/108" in item.sentence_zh
    assert await stage.rows("SELECT count(*) FROM monitor.alert") == [(1,)]


async def test_an_unsatisfactory_episode_that_turns_into_an_emergency_has_worsened(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    assert await stage.raised(cuff(150, 95)) == [NEW]
    (item,) = (await stage.queue(nurse)).items
    assert item.kind == "two_weeks"
    later = NOW + HOUR
    assert await stage.raised(cuff(186, 112, at=later), at=later) == [WORSENED]
    (worse,) = (await stage.queue(nurse)).items
    assert (worse.followup_id, worse.kind, worse.due_on) == (item.followup_id, "emergency", None)


async def test_an_emergency_silences_lesser_findings_of_the_same_condition(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    assert await stage.raised(cuff(186, 112)) == [NEW]
    later = NOW + HOUR
    assert await stage.raised(cuff(150, 95, at=later), at=later) == [SILENCED]
    (item,) = (await stage.queue(nurse)).items
    assert (item.kind, item.repeats) == ("emergency", 0)
    assert "186" in item.sentence_zh


async def test_after_the_episode_is_closed_the_next_emergency_opens_another(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    await stage.claim(item.followup_id, nurse)
    await stage.close(item.followup_id, nurse, Outcome.REFERRED, at=NOW + HOUR)
    later = NOW + 3 * HOUR
    assert await stage.raised(cuff(188, 112, at=later), at=later) == [NEW]
    kinds = [item.kind for item in (await stage.queue(nurse)).items]
    assert kinds == ["emergency", "referral_check"]


async def test_what_was_measured_before_somebody_dealt_with_it_does_not_page_again(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    await stage.claim(item.followup_id, nurse)
    await stage.close(item.followup_id, nurse, Outcome.REACHED_ADVISED, at=NOW + HOUR)
    assert await stage.raised(cuff(184, 110, at=NOW + MINUTE), at=NOW + 2 * HOUR) == [SILENCED]
    assert (await stage.queue(nurse)).items == []


async def test_after_a_false_alarm_an_earlier_emergency_still_pages(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    await stage.claim(item.followup_id, nurse)
    await stage.close(item.followup_id, nurse, Outcome.FALSE_ALARM, "袖带漏气", at=NOW + HOUR)
    assert await stage.raised(cuff(184, 110, at=NOW + MINUTE), at=NOW + 2 * HOUR) == [NEW]


async def test_a_doubtful_emergency_alone_does_not_escalate_until_a_sound_one_confirms_it(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    assert await stage.raised(cuff(190, 115, facts=("cuff-too-loose",))) == [NEW]
    (item,) = (await stage.queue(nurse)).items
    assert (item.kind, item.severity) == ("recheck", "due")
    assert "质量存疑，请重新测量" in item.sentence_zh
    later = NOW + 5 * MINUTE
    assert WORSENED in await stage.raised(cuff(188, 112, at=later), at=later)
    (confirmed,) = (await stage.queue(nurse)).items
    assert confirmed.kind == "emergency"


async def test_an_old_emergency_that_arrives_late_pages_nobody(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    assert await stage.raised(cuff(190, 115, at=NOW - 3 * DAY)) == [NEW]
    (item,) = (await stage.queue(nurse)).items
    assert (item.kind, item.severity, item.late) == ("recheck", "due", True)
    assert "迟到的读数" in item.sentence_zh
    assert (await stage.queue(nurse)).counts["emergency"] == 0


@pytest.mark.parametrize("facts", [("invalid",), ("test-data",), ("demo-data",), ("time-fault",)])
async def test_what_is_no_measurement_is_never_judged_and_says_why(stage: Stage, facts: tuple[str, ...]) -> None:
    await stage.resident()
    assert await stage.raised(cuff(190, 115, facts=facts)) == []
    ((reason,),) = await stage.rows("SELECT reason FROM monitor.unjudged")
    assert reason == ("time_fault" if facts == ("time-fault",) else "never_judged_fact")
    assert await stage.rows("SELECT FROM monitor.alert") == []


@pytest.mark.parametrize("simulated_person", [True, False])
async def test_simulated_and_real_do_not_meet_and_the_mismatch_is_reported(
    stage: Stage, *, simulated_person: bool
) -> None:
    await stage.resident(simulated=simulated_person)
    nurse = await stage.nurse()
    facts = () if simulated_person else ("simulated",)
    assert await stage.raised(cuff(190, 115, facts=facts), cuff(191, 115, facts=facts, at=NOW + MINUTE)) == []
    (item,) = (await stage.queue(nurse)).items
    assert item.kind == "technical"
    assert await stage.rows("SELECT FROM monitor.alert") == []


async def test_a_simulated_reading_of_a_simulated_resident_is_judged(stage: Stage) -> None:
    await stage.resident(simulated=True)
    nurse = await stage.nurse()
    assert await stage.raised(cuff(190, 115, facts=("simulated",))) == [NEW]
    (item,) = (await stage.queue(nurse)).items
    assert item.simulated


async def test_judging_a_batch_again_raises_nothing_twice(stage: Stage) -> None:
    await stage.resident()
    assert await stage.raised(cuff(186, 112), cuff(183, 111, at=NOW + MINUTE)) == [NEW, REPEATED]
    await stage.conn.execute("UPDATE telemetry.batch SET judged_at = NULL")
    (judged,) = await stage.judge()
    assert sum(judged.raised.values()) == 0
    assert await stage.rows(
        "SELECT (SELECT count(*) FROM monitor.finding), (SELECT count(*) FROM monitor.followup)"
    ) == [(2, 1)]


async def test_an_episode_comes_to_the_same_in_every_order_of_arrival(stage: Stage) -> None:
    readings = [(150, 95, 0), (186, 112, 60), (184, 111, 65), (148, 92, 300)]
    seen = set()
    for number, order in enumerate(itertools.permutations(readings)):
        device = f"ble:0{number:03d}"
        await stage.resident(f"人{number}", device=device)
        for systolic, diastolic, minute in order:
            at = NOW + minute * MINUTE
            await stage.raised(cuff(systolic, diastolic, at=at, device=device), at=NOW + 6 * HOUR)
        seen.update(
            await stage.rows(
                "SELECT a.condition, a.severity, a.repeats, f.kind, f.repeats, f.sentence_zh,"
                " (SELECT string_agg(n.rule_id || n.measured_at, ' ' ORDER BY n.measured_at, n.rule_id)"
                "  FROM monitor.finding n WHERE n.alert_id = a.alert_id)"
                " FROM monitor.alert a JOIN monitor.followup f USING (alert_id)"
            )
        )
    assert len(seen) == 1, seen
    assert await stage.rows("SELECT count(*) FROM monitor.alert") == [(24,)]


async def test_three_high_days_of_somebody_on_no_register_are_screened(stage: Stage) -> None:
    await stage.resident(programmes=())
    nurse = await stage.nurse()
    for day in (4, 2, 0):
        at = NOW - day * DAY
        await stage.raised(cuff(150, 95, at=at), at=at)
    (item,) = (await stage.queue(nurse)).items
    assert item.kind == "screening"
    rules = {rule for (rule,) in await stage.rows("SELECT rule_id FROM monitor.finding")}
    assert any("preliminary" in rule or "three" in rule for rule in rules), rules


async def test_a_finding_that_meets_a_nurse_at_the_same_item_waits_for_her_and_counts_after(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    later = NOW + HOUR
    await stage.measure(cuff(188, 112, at=later), at=later)
    async with await AsyncConnection.connect(stage.url, autocommit=True) as desk:
        async with desk.transaction():
            await followups.claim(desk, item.followup_id, user=nurse, now=NOW)
            judging = asyncio.create_task(stage.judge(later))
            while not (await desk.execute("SELECT FROM pg_locks WHERE NOT granted")).rowcount:
                assert not judging.done()
                await asyncio.sleep(0.01)
            await followups.close(
                desk, item.followup_id, user=nurse, outcome=Outcome.REACHED_ADVISED, desk=stage.desk, now=NOW + MINUTE
            )
        (judged,) = await judging
    assert list(judged.raised.elements()) == [NEW]
    (fresh,) = (await stage.queue(nurse)).items
    assert fresh.followup_id != item.followup_id


async def test_whoever_ends_everything_of_a_resident_waits_for_the_judge_before_taking_an_item(stage: Stage) -> None:
    subject_id = await stage.resident()
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    await stage.claim(item.followup_id, nurse)
    async with await AsyncConnection.connect(stage.url, autocommit=True) as judge:
        async with judge.transaction():
            await lock_subjects(judge, [subject_id])
            closing = asyncio.create_task(stage.close(item.followup_id, nurse, Outcome.DIED))
            while not (await judge.execute("SELECT FROM pg_locks WHERE NOT granted")).rowcount:
                assert not closing.done()
                await asyncio.sleep(0.01)
            await judge.execute("SELECT FROM monitor.followup FOR UPDATE NOWAIT")
        assert (await closing).reason is CloseReason.CLOSED


async def test_a_rule_that_cannot_be_applied_stops_nobody_else(stage: Stage) -> None:
    broken = await stage.resident("一", device="ble:A1")
    await stage.resident("二", device="ble:A2")
    nurse = await stage.nurse()
    await stage.conn.execute(
        "CREATE FUNCTION monitor.break_it() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'bad value' USING ERRCODE = 'invalid_text_representation'; END $$"
    )
    await stage.conn.execute(
        "CREATE TRIGGER break_it BEFORE INSERT ON monitor.finding FOR EACH ROW"
        f" WHEN (NEW.subject_id = '{broken}') EXECUTE FUNCTION monitor.break_it()".encode()
    )
    assert await stage.raised(cuff(186, 112, device="ble:A1"), cuff(187, 112, device="ble:A2")) == [NEW]
    kinds = {(item.kind, item.subject_id == broken) for item in (await stage.queue(nurse)).items}
    assert kinds == {("emergency", False), ("technical", True)}
    assert await stage.rows("SELECT reason FROM monitor.unjudged") == [("judging_failed",)]

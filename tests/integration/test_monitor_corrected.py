"""A reading that was amended or entered in error is judged again: what rested on it goes, what holds now comes."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from devices.observation import NEVER_JUDGED, fact_names
from ingest import corrections
from ingest.corrections import Key
from monitor.access import User
from monitor.outcomes import Outcome
from monitor.queue import Item
from tests.fix_monitor import NOW, Stage, cuff
from tests.integration.test_monitor_reassigned import history

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DEVICE = "ble:C04F21"


async def keys(stage: Stage) -> list[Key]:
    """Of the device's readings, oldest first."""
    found = await corrections.readings_of_device(stage.conn, DEVICE, since=NOW - 90 * DAY)
    return [Key.of(reading) for reading in reversed(found)]


async def amend(stage: Stage, key: Key, systolic: float, diastolic: float) -> None:
    values = {0: systolic, 1: diastolic}
    await corrections.amend(stage.conn, key, values, by="wang", reason="read wrong", now=NOW)


async def withdraw(stage: Stage, key: Key) -> None:
    await corrections.enter_in_error(stage.conn, key, by="wang", reason="another person's arm", now=NOW)


async def waiting(stage: Stage, viewer: User) -> list[Item]:
    return (await stage.queue(viewer)).items


async def unjudged(stage: Stage, subject: UUID) -> list[str]:
    rows = await stage.rows(f"SELECT reason FROM monitor.unjudged WHERE subject_id = '{subject}'")
    return [row[0] for row in rows]


async def test_an_emergency_entered_in_error_leaves_the_queue_and_says_why(stage: Stage) -> None:
    nurse = await stage.nurse()
    subject = await stage.resident()
    await stage.raised(cuff(186, 112))
    (item,) = await waiting(stage, nurse)
    (key,) = await keys(stage)
    await withdraw(stage, key)
    (judged,) = [one for one in await stage.judge(NOW + HOUR) if one.correction_id is not None]
    assert (judged.readings, dict(judged.raised)) == (1, {})
    assert await waiting(stage, nurse) == []
    assert await history(stage, nurse, item.followup_id) == ["opened", "corrected"]
    assert await stage.rows("SELECT state, outcome FROM monitor.followup") == [("closed", "corrected")]
    assert await stage.rows("SELECT action FROM monitor.audit WHERE actor = 'monitor'") == [("followup_corrected",)]
    assert await unjudged(stage, subject) == ["never_judged_fact"]
    assert await stage.judge(NOW + HOUR) == []


async def test_a_reading_amended_into_an_emergency_pages_and_one_amended_out_of_it_does_not_stand(
    stage: Stage,
) -> None:
    nurse = await stage.nurse()
    await stage.resident()
    await stage.raised(cuff(118, 74))
    (key,) = await keys(stage)
    await amend(stage, key, 186, 112)
    await stage.judge(NOW + MINUTE)
    (item,) = await waiting(stage, nurse)
    assert item.kind == "emergency"
    assert "186/112" in item.sentence_zh
    await amend(stage, key, 118, 74)
    await stage.judge(NOW + 2 * MINUTE)
    assert await waiting(stage, nurse) == []


async def test_a_reading_amended_from_one_emergency_to_another_keeps_its_item_and_says_the_new_value(
    stage: Stage,
) -> None:
    nurse = await stage.nurse()
    await stage.resident()
    await stage.raised(cuff(186, 112))
    (before,) = await waiting(stage, nurse)
    (key,) = await keys(stage)
    await amend(stage, key, 196, 118)
    await stage.judge(NOW + MINUTE)
    (after,) = await waiting(stage, nurse)
    assert (after.followup_id, after.kind, after.repeats) == (before.followup_id, "emergency", 0)
    assert "196/118" in after.sentence_zh
    assert "186/112" not in after.sentence_zh


async def test_what_is_left_of_an_episode_decides_what_it_comes_to(stage: Stage) -> None:
    nurse = await stage.nurse()
    await stage.resident()
    await stage.raised(cuff(150, 95))
    await stage.raised(cuff(186, 112, at=NOW + HOUR), at=NOW + HOUR)
    (item,) = await waiting(stage, nurse)
    assert item.kind == "emergency"
    await amend(stage, (await keys(stage))[1], 136, 82)
    await stage.judge(NOW + 2 * HOUR)
    (left,) = await waiting(stage, nurse)
    assert (left.followup_id, left.kind) == (item.followup_id, "two_weeks")
    assert "150/95" in left.sentence_zh


async def test_what_a_wrong_calm_reading_hid_is_found(stage: Stage) -> None:
    nurse = await stage.nurse()
    await stage.resident()
    await stage.raised(cuff(118, 74), cuff(150, 92, at=NOW + MINUTE), at=NOW + MINUTE)
    assert await waiting(stage, nurse) == []
    await withdraw(stage, (await keys(stage))[0])
    await stage.judge(NOW + HOUR)
    (item,) = await waiting(stage, nurse)
    assert "150/92" in item.sentence_zh


async def test_an_item_somebody_works_on_stays_with_them_and_says_so(stage: Stage) -> None:
    nurse = await stage.nurse()
    await stage.resident()
    await stage.raised(cuff(186, 112))
    (item,) = await waiting(stage, nurse)
    await stage.claim(item.followup_id, nurse)
    (key,) = await keys(stage)
    await withdraw(stage, key)
    await stage.judge(NOW + HOUR)
    (held,) = await waiting(stage, nurse)
    assert (held.followup_id, held.kind) == (item.followup_id, "technical")
    assert held.sentence_zh.startswith("读数已更正或作废")
    closed = await stage.close(item.followup_id, nurse, Outcome.FALSE_ALARM, "打错人了", at=NOW + HOUR)
    assert closed.reason == "closed"


async def test_a_reading_reinstated_pages_again(stage: Stage) -> None:
    nurse = await stage.nurse()
    subject = await stage.resident()
    await stage.raised(cuff(186, 112))
    (key,) = await keys(stage)
    await withdraw(stage, key)
    await stage.judge(NOW + MINUTE)
    await corrections.reinstate(stage.conn, key, by="wang", reason="it was the resident", now=NOW)
    await stage.judge(NOW + HOUR)
    (item,) = await waiting(stage, nurse)
    assert item.kind == "emergency"
    assert await unjudged(stage, subject) == []


async def test_a_corrected_reading_of_nobody_waits_as_it_did(stage: Stage) -> None:
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (key,) = await keys(stage)
    await amend(stage, key, 150, 95)
    await stage.judge(NOW + HOUR)
    seen = await stage.queue(nurse)
    assert (seen.items, seen.counts["unassigned"]) == ([], 1)


async def test_corrections_and_readings_that_come_together_end_as_if_they_had_come_one_by_one(stage: Stage) -> None:
    nurse = await stage.nurse()
    await stage.resident()
    await stage.measure(cuff(186, 112))
    (key,) = await keys(stage)
    await amend(stage, key, 150, 95)
    await withdraw(stage, key)
    await stage.measure(cuff(151, 96, at=NOW + HOUR), at=NOW + HOUR)
    await stage.judge(NOW + 2 * HOUR)
    (item,) = await waiting(stage, nurse)
    assert (item.kind, item.repeats) == ("two_weeks", 0)
    assert "151/96" in item.sentence_zh


@pytest.mark.parametrize("fact", fact_names(NEVER_JUDGED))
async def test_no_emergency_value_with_a_fact_that_bars_it_meets_a_rule(stage: Stage, fact: str) -> None:
    """Test, demo and control-solution data among them: stored, noted with the reason, judged by nothing."""
    subject = await stage.resident()
    assert await stage.raised(cuff(186, 112, facts=(fact,))) == []
    assert await stage.rows("SELECT FROM monitor.finding") == []
    assert await stage.rows("SELECT count(*) FROM telemetry.observation") == [(1,)]
    assert await unjudged(stage, subject) == ["never_judged_fact"]

"""An episode tells its first reading, the latest repeat and the worst, and what was measured since, in any order."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import queue
from monitor.episode_words import Latest, Said, latest_text, repeats_text
from monitor.followups import Outcome
from monitor.queue import Item
from tests.fix_monitor import NOW, Stage, cuff, meter

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def only_item(stage: Stage) -> Item:
    """The one item of the queue."""
    viewer = await stage.nurse(f"n{next(_logins)}")
    (item,) = (await stage.queue(viewer)).items
    return item


_logins = itertools.count(1)


async def test_the_first_reading_and_its_repeat_stand_in_one_sentence_with_the_whole_line(stage: Stage) -> None:
    await stage.resident()
    await stage.raised(cuff(186, 112))
    alone = await only_item(stage)
    assert alone.sentence_zh == (
        "2026-11-23 09:00测得血压 186/112 mmHg，到了危急线（收缩压 180 或舒张压 110）。症状未知，请先打电话问。"
    )
    later = NOW + 5 * MINUTE
    await stage.raised(cuff(182, 108, at=later), at=later)
    item = await only_item(stage)
    assert item.sentence_zh == (
        "2026-11-23 09:00测得血压 186/112 mmHg，5 分钟后复测 182/108，"
        "到了危急线（收缩压 180 或舒张压 110）。症状未知，请先打电话问。"
    )
    assert item.sentence_en == (
        "2026-11-23 09:00: BP 186/112 mmHg, 182/108 5 min later, at the emergency line (systolic 180 or diastolic 110)."
        " Symptoms unknown: call first."
    )
    viewer = await stage.nurse("viewer")
    async with stage.conn.transaction():
        seen = await queue.detail(stage.conn, item.followup_id, viewer=viewer, desk=stage.desk, now=later)
    assert seen
    assert [line.text for line in seen.thresholds] == ["≥ 180 mmHg", "≥ 110 mmHg"]
    assert [reading.text for reading in seen.readings if reading.used] == ["182/108", "186/112"]


async def test_both_halves_of_the_line_are_named_where_only_one_was_reached(stage: Stage) -> None:
    await stage.resident()
    await stage.raised(cuff(182, 80))
    item = await only_item(stage)
    assert "（收缩压 180 或舒张压 110）" in item.sentence_zh
    viewer = await stage.nurse("viewer")
    async with stage.conn.transaction():
        seen = await queue.detail(stage.conn, item.followup_id, viewer=viewer, desk=stage.desk, now=NOW)
    assert seen
    assert {(line.label_zh, line.text) for line in seen.thresholds} == {
        ("收缩压", "≥ 180 mmHg"),
        ("舒张压", "≥ 110 mmHg"),
    }


async def test_seconds_apart_are_at_once(stage: Stage) -> None:
    await stage.resident()
    await stage.raised(cuff(186, 112), cuff(182, 108, at=NOW + 6 * SECOND), at=NOW + MINUTE)
    item = await only_item(stage)
    assert "186/112 mmHg，随即复测 182/108，到了" in item.sentence_zh
    assert "186/112 mmHg, 182/108 again at once, at" in item.sentence_en


async def test_a_milder_repeat_hides_neither_the_first_nor_the_worst(stage: Stage) -> None:
    await stage.resident()
    readings = [(182, 108, 0), (214, 125, 10), (184, 106, 65)]
    await stage.raised(*(cuff(s, d, at=NOW + m * MINUTE) for s, d, m in readings), at=NOW + 2 * HOUR)
    item = await only_item(stage)
    assert "182/108 mmHg，1 小时后复测 184/106（共 3 组，最重 214/125），到了危急线" in item.sentence_zh
    assert "182/108 mmHg, 184/106 1 h later (3 in all, worst 214/125), at the emergency line" in item.sentence_en


async def test_the_worst_of_low_glucose_is_the_lowest(stage: Stage) -> None:
    await stage.resident(programmes=("diabetes",), device="ble:0A11")
    readings = [(3.8, 0), (2.4, 3), (3.6, 6)]
    await stage.raised(*(meter(value, at=NOW + m * MINUTE) for value, m in readings), at=NOW + HOUR)
    item = await only_item(stage)
    assert item.sentence_zh == (
        "2026-11-23 09:00测得血糖 3.8 mmol/L（餐别未知），6 分钟后复测 3.6（共 3 组，最重 2.4），"
        "到了危急线（血糖不高于 3.9 mmol/L）。症状未知，请先打电话问。"
    )


async def test_a_later_calm_reading_is_told_and_goes_with_the_next_emergency(stage: Stage) -> None:
    await stage.resident()
    await stage.raised(cuff(186, 112))
    calm = NOW + 20 * MINUTE
    await stage.raised(cuff(128, 76, at=calm), at=calm)
    item = await only_item(stage)
    assert item.sentence_zh.endswith("请先打电话问。最近一次 2026-11-23 09:20 测得 128/76，未到这条线。")
    assert item.sentence_en.endswith("call first. Latest 2026-11-23 09:20: 128/76, not at that line.")
    assert (item.kind, item.repeats) == ("emergency", 0)
    again = NOW + 40 * MINUTE
    await stage.raised(cuff(188, 104, at=again), at=again)
    item = await only_item(stage)
    assert "40 分钟后复测 188/104，到了" in item.sentence_zh
    assert "128/76" not in item.sentence_zh


async def test_a_doubtful_calm_reading_calms_nobody(stage: Stage) -> None:
    await stage.resident()
    await stage.raised(cuff(186, 112))
    later = NOW + 20 * MINUTE
    await stage.raised(cuff(128, 76, at=later, facts=("cuff-too-loose",)), at=later)
    assert "128/76" not in (await only_item(stage)).sentence_zh


async def test_readings_of_another_kind_change_no_word(stage: Stage) -> None:
    subject = await stage.resident()
    await stage.raised(cuff(186, 112))
    await stage.raised(cuff(128, 76, at=NOW + 20 * MINUTE), at=NOW + 20 * MINUTE)
    before = (await only_item(stage)).sentence_zh
    await stage.give("ble:0A11", subject)
    later = NOW + 30 * MINUTE
    await stage.raised(meter(6.1, at=later), at=later)
    assert (await only_item(stage)).sentence_zh == before


async def test_what_is_not_at_goal_keeps_its_first_day_and_tells_the_latest_session(stage: Stage) -> None:
    await stage.resident()
    for day in (0, 2, 5):
        at = NOW + day * DAY
        await stage.raised(cuff(150 + day, 95, at=at), cuff(152 + day, 97, at=at + MINUTE), at=at + HOUR)
    item = await only_item(stage)
    assert "测得血压 151/96 mmHg（2 次平均）" in item.sentence_zh
    assert "5 天后复测 156/96（共 3 组），血压控制不满意，2026-12-07 前随访" in item.sentence_zh
    assert str(item.due_on) == "2026-12-07"


async def test_a_doubtful_emergency_and_what_is_not_at_goal_are_one_recheck_that_tells_the_latest(stage: Stage) -> None:
    await stage.resident()
    await stage.raised(cuff(190, 115, facts=("cuff-too-loose",)))
    later = NOW + 20 * MINUTE
    await stage.raised(cuff(150, 95, at=later), at=later)
    item = await only_item(stage)
    assert (item.kind, item.severity) == ("recheck", "due")
    assert item.sentence_zh.endswith(
        "最近一次 2026-11-23 09:20 测得 150/95，未到这条线。读数质量存疑，请重新测量后再判断。"
    )


async def test_a_sentence_that_counts_days_is_told_by_the_latest(stage: Stage) -> None:
    await stage.resident(programmes=())
    for day in (0, 1):
        at = NOW + day * DAY
        await stage.raised(cuff(150, 95, at=at), at=at)
    assert "第 2 个血压高的日子" in (await only_item(stage)).sentence_zh


async def test_the_item_is_told_the_same_in_every_order_of_arrival(stage: Stage) -> None:
    readings = [(150, 95, 0), (152, 96, 60), (182, 108, 3600), (212, 124, 3606), (184, 111, 4500), (148, 92, 9000)]
    seen = set()
    orders = [order for n, order in enumerate(itertools.permutations(readings)) if n % 45 == 0]
    for number, order in enumerate(orders):
        device = f"ble:0{number:03d}"
        await stage.resident(f"人{number}", device=device)
        for systolic, diastolic, seconds in order:
            at = NOW + seconds * SECOND
            await stage.raised(cuff(systolic, diastolic, at=at, device=device), at=NOW + 6 * HOUR)
        seen.update(
            await stage.rows(
                "SELECT a.severity, a.repeats, f.kind, f.repeats, f.sentence_zh, f.sentence_en, f.due_on"
                " FROM monitor.alert a JOIN monitor.followup f USING (alert_id)"
            )
        )
    assert len(orders) == 16
    assert len(seen) == 1, seen
    ((_, _, _, _, zh, *_),) = seen
    assert "182/108 mmHg，15 分钟后复测 184/111（共 3 组，最重 212/124）" in zh
    assert "最近一次 2026-11-23 11:30 测得 148/92，未到这条线。" in zh


async def test_a_mean_is_said_anew_when_the_first_of_its_session_comes_last(stage: Stage) -> None:
    await stage.resident()
    await stage.raised(cuff(160, 95, at=NOW + 3 * MINUTE), at=NOW + HOUR)
    await stage.raised(cuff(150, 91), at=NOW + HOUR)
    assert "血压 155/93 mmHg（2 次平均）" in (await only_item(stage)).sentence_zh


async def test_a_told_item_stays_with_its_holder(stage: Stage) -> None:
    await stage.resident()
    nurse = await stage.nurse()
    await stage.raised(cuff(186, 112))
    (item,) = (await stage.queue(nurse)).items
    await stage.claim(item.followup_id, nurse)
    later = NOW + 5 * MINUTE
    await stage.raised(cuff(190, 110, at=later), at=later)
    (held,) = (await stage.queue(nurse)).items
    assert (held.holder_id, held.repeats) == (nurse.user_id, 1)
    assert "复测 190/110" in held.sentence_zh
    await stage.close(item.followup_id, nurse, Outcome.REACHED_ADVISED, at=later)
    assert (await stage.queue(nurse)).items == []


moments = st.integers(0, 60 * 60 * 24 * 3).map(lambda s: datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=s))
said = st.lists(
    st.builds(lambda at, n: Said(at, f"{n}/90", n / 180), moments, st.integers(180, 260)), min_size=1, max_size=6
).map(sorted)


@settings(deadline=None)
@given(said)
def test_first_latest_and_worst_are_always_said(readings: list[Said]) -> None:
    worst = max(readings, key=lambda one: one.excess)
    for language in ("zh", "en"):
        text = readings[0].shown + repeats_text(readings, language)
        assert readings[-1].shown in text
        assert worst.shown in text


def test_a_reading_at_the_line_is_never_said_to_be_below_it() -> None:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    assert latest_text(Latest(at, "150/80", below=False), "zh") == "最近一次 2026-03-02 08:00 测得 150/80。"
    assert latest_text(Latest(at, "150/80", below=False), "en") == " Latest 2026-03-02 08:00: 150/80."

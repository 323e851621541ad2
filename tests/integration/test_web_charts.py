"""Charts: where things stand, what gets a cap or an octagon, and that nothing of them needs colour or style."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest

from monitor.web.chart_points import (
    GLUCOSE_WIDE,
    LINE,
    Glucose,
    GlucoseLimits,
    LineLimit,
    Point,
    glucose_chart,
    line_chart,
)
from monitor.web.chart_scale import Scale, TimeScale, gaps, reach, spread, ticks
from monitor.web.charts import (
    NARROW,
    PANE,
    WIDE,
    Frame,
    Pressure,
    PressureLimits,
    Size,
    mean,
    pressure_chart,
    sessions,
)
from monitor.web.texts import texts

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 23, 0, 0, tzinfo=UTC)
LIMITS = PressureLimits(140, 90, 180, 110)
SUGAR = GlucoseLimits(7.0, 16.7, 3.9)
FRAME = Frame(NOW - timedelta(days=91), NOW, ZONE, texts("zh"))
FORTNIGHT = Frame(NOW - timedelta(days=14), NOW, ZONE, texts("zh"))


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def drawn(
    *readings: Pressure, frame: Frame = FORTNIGHT, limits: PressureLimits | None = LIMITS, size: Size = PANE
) -> ET.Element:
    return ET.fromstring(pressure_chart(sessions(readings, limits), limits, frame, size, "c"))


def marks(picture: ET.Element, css: str) -> list[ET.Element]:
    return [element for element in picture.iter() if css in (element.get("class") or "").split()]


@pytest.mark.parametrize(
    ("systolic", "diastolic", "caps", "octagons"),
    [
        (139, 89, 0, 0),
        (140, 89, 1, 0),
        (139, 90, 1, 0),
        (140, 90, 2, 0),
        (179, 109, 2, 0),
        (180, 70, 0, 1),
        (120, 110, 0, 1),
    ],
)
def test_an_end_at_its_limit_gets_a_cap_and_an_emergency_an_octagon(
    systolic: float, diastolic: float, caps: int, octagons: int
) -> None:
    picture = drawn(Pressure(ago(3), systolic, diastolic))
    assert len(marks(picture, "cap")) == caps
    assert len(marks(picture, "oct")) == octagons


def test_an_emergency_is_written_beside_its_octagon() -> None:
    picture = drawn(Pressure(ago(0.01), 186, 112))
    assert any("186/112" in (text.text or "") for text in marks(picture, "tx-b"))


def test_readings_within_ten_minutes_are_one_bar_and_a_later_one_is_another() -> None:
    close = [Pressure(ago(3), 130, 80), Pressure(ago(3) + timedelta(minutes=10), 140, 86)]
    assert [(s.systolic, s.diastolic) for s in sessions(close, LIMITS)] == [(135, 83)]
    assert len(sessions([*close, Pressure(ago(3) + timedelta(minutes=11), 150, 90)], LIMITS)) == 2


def test_an_emergency_is_not_averaged_away() -> None:
    found = sessions([Pressure(ago(3), 186, 112), Pressure(ago(3) + timedelta(minutes=5), 150, 90)], LIMITS)
    assert [session.worst and session.worst.systolic for session in found] == [186]


def test_home_and_office_never_share_a_bar_or_a_mean() -> None:
    found = sessions([Pressure(ago(3), 130, 80), Pressure(ago(3), 160, 90, office=True)], LIMITS)
    assert len(found) == 2
    assert mean(found) == (130, 80)


def test_a_gap_is_said_only_when_longer_than_fourteen_days() -> None:
    with_gap = drawn(Pressure(ago(40), 130, 80), Pressure(ago(25), 130, 80), Pressure(ago(24), 1, 1), frame=FRAME)
    assert [rect.get("class") for rect in marks(with_gap, "gap")] == ["gap", "gap"]
    fourteen = drawn(Pressure(ago(14), 130, 80), Pressure(ago(0), 130, 80), frame=FRAME)
    assert marks(fourteen, "gap") == []


def test_unjudged_readings_and_visits_stand_in_the_lane_and_not_on_the_scale() -> None:
    found = sessions([Pressure(ago(3), 130, 80)], LIMITS)
    picture = ET.fromstring(
        pressure_chart(found, LIMITS, FORTNIGHT, WIDE, "c", visits=[ago(5), ago(40)], unused=[ago(4)])
    )
    assert len(marks(picture, "ex")) == 1
    assert len(marks(picture, "vis")) == 1
    assert len(marks(picture, "b")) == 1


@pytest.mark.parametrize("size", [WIDE, NARROW, PANE])
def test_a_chart_is_coloured_by_class_and_says_what_it_is(size: Size) -> None:
    text = pressure_chart(sessions([Pressure(ago(3), 186, 112)], LIMITS), LIMITS, FORTNIGHT, size, "c", unused=[ago(2)])
    assert not re.search(r'\s(?:style|fill|stroke|on\w+)="', text)
    picture = ET.fromstring(text)
    title, description = picture.find("title"), picture.find("desc")
    assert title is not None
    assert title.text == "血压趋势 11-09 至 11-23"
    assert description is not None
    assert "1 组到危急线" in (description.text or "")
    assert picture.get("aria-labelledby") == "c-t c-d"


def test_a_chart_without_limits_has_bars_and_no_bands() -> None:
    picture = drawn(Pressure(ago(3), 150, 95), limits=None)
    assert len(marks(picture, "b")) == 1
    assert marks(picture, "band") + marks(picture, "cap") == []


def test_the_scale_is_the_same_for_everybody_until_a_value_needs_more() -> None:
    assert reach(50, 200, [60, 199], 30) == (50, 200)
    assert reach(50, 200, [45, 231], 30) == (20, 260)


def test_values_outside_the_scale_are_held_at_its_edge() -> None:
    scale = Scale(50, 200, 150, 0)
    assert (scale(20), scale(50), scale(125), scale(260)) == (150, 150, 75, 0)
    times = TimeScale(ago(10), NOW, 0, 100)
    assert (times(ago(20)), times(ago(5)), times(NOW + timedelta(days=1))) == (0, 50, 100)


def test_labels_are_moved_apart_and_never_swapped() -> None:
    assert spread([100, 104, 20], 15) == [100, 115, 20]


def test_ticks_are_firsts_of_months_in_the_sites_zone() -> None:
    found = ticks(ago(91), NOW, ZONE)
    assert [tick.month for tick in found] == [9, 10, 11]
    assert all(tick.at.astimezone(ZONE).day == 1 and tick.at.astimezone(ZONE).hour == 0 for tick in found)


def test_gaps_are_between_neighbours() -> None:
    moments = [ago(30), ago(10), ago(9)]
    assert gaps(moments, timedelta(days=14)) == [(ago(30), ago(10))]


@pytest.mark.parametrize(
    ("reading", "css"),
    [
        (Glucose(ago(3), 6.9, "fasting"), "dot"),
        (Glucose(ago(3), 7.0, "fasting"), "dot-o"),
        (Glucose(ago(3), 11.0, "after"), "ring"),
        (Glucose(ago(3), 8.0, "other"), "ex"),
        (Glucose(ago(3), 3.9, "other"), "oct"),
        (Glucose(ago(3), 16.7, "after"), "oct"),
        (Glucose(ago(3), None, "other", "HI"), "oct"),
    ],
)
def test_glucose_has_a_shape_for_each_meal_and_meaning(reading: Glucose, css: str) -> None:
    picture = ET.fromstring(glucose_chart([reading], SUGAR, FORTNIGHT, GLUCOSE_WIDE, "g"))
    shapes = [name for name in ("dot", "dot-o", "ring", "ex", "oct") if marks(picture, name)]
    assert shapes == [css]


def test_a_line_breaks_where_nothing_was_measured() -> None:
    found = [Point(ago(day), 66) for day in (60, 58, 30, 29, 28)]
    picture = ET.fromstring(
        line_chart(
            found,
            [LineLimit(64.5, "目标 64.5")],
            FRAME,
            LINE,
            "w",
            ordinary=(62, 70),
            step=2,
            unit="kg",
            title="体重",
        )
    )
    assert [len((line.get("points") or "").split()) for line in marks(picture, "ln")] == [2, 3]


def test_a_line_of_dots_that_would_touch_is_drawn_without_them_but_for_its_end() -> None:
    few = [Point(ago(13 - number), 5.0) for number in range(13)]
    many = [Point(ago(13) + timedelta(hours=number), 5.0) for number in range(300)]

    def dots(found: list[Point]) -> int:
        chart = line_chart(found, (), FORTNIGHT, LINE, "c", ordinary=(3, 12), step=3, unit="mmol/L", title="x")
        return len(marks(ET.fromstring(chart), "dot"))

    assert (dots(few), dots(many)) == (13, 1)


def test_a_doubtful_dot_stays_where_dots_would_touch() -> None:
    found = [Point(ago(13) + timedelta(hours=number), 95, hollow=number == 7) for number in range(300)]
    picture = ET.fromstring(
        line_chart(found, (), FORTNIGHT, LINE, "c", ordinary=(80, 100), step=5, unit="%", title="x")
    )
    assert (len(marks(picture, "ring")), len(marks(picture, "dot"))) == (1, 1)


def test_what_measures_all_the_time_breaks_sooner() -> None:
    found = [Point(ago(2) + timedelta(hours=hour), 6) for hour in (0, 1, 3, 8, 9)]
    picture = ET.fromstring(
        line_chart(
            found, (), FORTNIGHT, LINE, "c", ordinary=(3, 12), step=3, unit="mmol/L", title="x", gap=timedelta(hours=3)
        )
    )
    assert [len((line.get("points") or "").split()) for line in marks(picture, "ln")] == [3, 2]


def test_a_line_is_described_by_its_numbers_and_promises_no_table() -> None:
    found = [Point(ago(3), 66.5), Point(ago(2), 64), Point(ago(1), 65)]
    picture = ET.fromstring(
        line_chart(found, (), FORTNIGHT, LINE, "c", ordinary=(62, 70), step=2, unit="kg", title="x")
    )
    assert picture.findtext("{*}desc") == "3 个点，64 至 66.5 kg，最近 65 kg。"


def test_a_mean_stands_in_its_reach_and_the_scale_has_room_for_it() -> None:
    found = [Point(ago(3 - number), 6.0, reach=(2.4, 15.5)) for number in range(3)]
    chart = line_chart(found, (), FORTNIGHT, LINE, "c", ordinary=(3, 12), step=3, unit="mmol/L", title="x")
    spans = marks(ET.fromstring(chart), "span")
    assert len(spans) == 3
    for span in spans:
        assert float(span.get("y1") or 0) > float(span.get("y2") or 0)
        assert float(span.get("y2") or -1) >= 0
        assert float(span.get("y1") or 1000) <= LINE.height - 30

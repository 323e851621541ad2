"""Charts of single values: glucose by meal, weight and oxygen saturation as a line with its limit.

Readings of different meals are never joined; a value beyond the meter's range sits on the edge with its word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from markupsafe import Markup

from monitor.web import wording
from monitor.web.chart_scale import Scale, TimeScale, reach
from monitor.web.charts import GAP, Frame, Size, edge, limit_labels, time_axis
from monitor.web.drawing import Drawing

Meal = Literal["fasting", "after", "bedtime", "other"]
GLUCOSE_WIDE: Final = Size(500, 196, 92, "only-wide", "long")
GLUCOSE_ALONE: Final = Size(912, 220, 122, "only-wide", "long")
GLUCOSE_NARROW: Final = Size(356, 200, 92, "only-narrow", "short")
GLUCOSE_ITEM: Final = Size(748, 220, 92, "only-wide", "long")
GLUCOSE_PANE: Final = Size(400, 196, 92, "", "short")
_DOT: Final = 8
"""Pixels that a dot of a line needs for itself."""
LINE: Final = Size(396, 132, 92, "", "short")
LINE_ALONE: Final = Size(912, 168, 122, "only-wide", "long")
LINE_NARROW: Final = Size(356, 150, 92, "only-narrow", "short")
"""A line that has the whole width of a page to itself, and the same on a phone."""


@dataclass(frozen=True, slots=True)
class Glucose:
    """One glucose reading in mmol/L. `beyond`: the meter showed HI or LO instead of a number."""

    at: datetime
    value: float | None
    meal: Meal
    beyond: Literal["HI", "LO", ""] = ""


@dataclass(frozen=True, slots=True)
class GlucoseLimits:
    """mmol/L. Fasting goal: below. Emergency: at `high` or above, at `low` or below."""

    fasting_goal: float
    high: float
    low: float


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a line chart. `hollow`: drawn open, its signal was poor. `reach`: lowest and highest, of a mean."""

    at: datetime
    value: float
    hollow: bool = False
    reach: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class LineLimit:
    """A limit of a line chart and its words; `emergency` draws it in the emergency's manner."""

    value: float
    words: str
    emergency: bool = False


def glucose_chart(
    found: Sequence[Glucose], limits: GlucoseLimits | None, frame: Frame, size: Size, ident: str
) -> Markup:
    """Glucose by meal: ● fasting, ▲ fasting not at goal, ○ after a meal, ▽ bedtime, + unknown."""
    t = frame.t
    drawing = Drawing(size.width, size.height, ident)
    right, floor = size.width - edge(size, t), size.height - 24
    shown = [g for g in found if frame.since <= g.at <= frame.until]
    y = Scale(*reach(3.0, 18.0, [g.value for g in shown if g.value is not None], 3), floor, 10)
    x = TimeScale(frame.since, frame.until, 38, right - 8)
    if limits:
        drawing.rect("band", 30, y(limits.fasting_goal), right - 30, round(y(limits.low) - y(limits.fasting_goal), 1))
    for mark in (5, 10, 15, 20, 25):
        value = float(mark)
        if value <= y.high:
            drawing.line("g", (30, y(value)), (right, y(value)))
            drawing.text(24, round(y(value) + 4, 1), str(mark), anchor="end")
    if limits:
        rows = (
            ("emg-l", "tx-e", limits.high, "chart.glucose_high"),
            ("lim-l", "tx-w", limits.fasting_goal, "chart.glucose_goal"),
            ("emg-l", "tx-e", limits.low, "chart.glucose_low"),
        )
        for line, _, value, _key in rows:
            drawing.line(line, (30, y(value)), (right, y(value)))
        limit_labels(drawing, right + 6, [(y(v), css, t(key, v=f"{v:.1f}")) for _, css, v, key in rows])
    for glucose in shown:
        _glucose_mark(drawing, x(glucose.at), y, glucose, limits)
    drawing.line("ax", (30, floor), (right, floor))
    time_axis(drawing, x, frame, floor, size.height - 4)
    fasting = [g for g in shown if g.meal == "fasting" and g.value is not None]
    high = [g for g in fasting if limits and g.value is not None and g.value >= limits.fasting_goal]
    title = t("chart.glucose_title", n=len(fasting), high=len(high))
    return drawing.finish(title, t("chart.glucose_how") + t("chart.table_below"), size.css)


def line_chart(
    found: Sequence[Point],
    limits: Sequence[LineLimit],
    frame: Frame,
    size: Size,
    ident: str,
    *,
    ordinary: tuple[float, float],
    step: float,
    unit: str,
    title: str,
    gap: timedelta = GAP,
) -> Markup:
    """A line with its last value in words; it breaks where nothing was measured for longer than `gap`."""
    drawing = Drawing(size.width, size.height, ident)
    right, floor = size.width - size.right, size.height - 30
    shown = [p for p in found if frame.since <= p.at <= frame.until]
    values = [value for p in shown for value in (p.value, *(p.reach or ()))]
    y = Scale(*reach(*ordinary, values, step), floor, 10)
    x = TimeScale(frame.since, frame.until, 38, right - 6)
    for value in (y.low, y.high):
        drawing.line("g", (30, y(value)), (right, y(value)))
        drawing.text(24, round(y(value) + 4, 1), wording.number(value), anchor="end")
    labels = []
    for limit in limits:
        if y.low <= limit.value <= y.high:
            drawing.line("emg-l" if limit.emergency else "lim-l", (30, y(limit.value)), (right, y(limit.value)))
            labels.append((y(limit.value), "tx-e" if limit.emergency else "tx-w", limit.words))
    # dots that would touch say nothing: then the line alone is drawn, its ends, and what was doubtful
    _line(drawing, x, y, shown, gap, crowded=len(shown) * _DOT > right - 38)
    said = ""
    if shown:
        last = wording.number(shown[-1].value)
        labels.append((y(shown[-1].value), "tx-b", f"{last} {unit}"))
        low, high = wording.number(min(values)), wording.number(max(values))
        said = frame.t("chart.line_how", n=len(shown), low=low, high=high, last=last, unit=unit)
    limit_labels(drawing, right + 6, sorted(labels))
    time_axis(drawing, x, frame, floor, size.height - 6)
    return drawing.finish(title, said, size.css)


def _line(drawing: Drawing, x: TimeScale, y: Scale, shown: Sequence[Point], gap: timedelta, *, crowded: bool) -> None:
    runs: list[list[Point]] = []
    for point in shown:
        if point.reach is not None:
            drawing.line("span", (x(point.at), y(point.reach[0])), (x(point.at), y(point.reach[1])))
        if not runs or point.at - runs[-1][-1].at > gap:
            runs.append([])
        runs[-1].append(point)
    for run in runs:
        if len(run) > 1:
            drawing.polyline("ln", [(x(p.at), y(p.value)) for p in run])
        for point in run:
            if crowded and not point.hollow and point is not run[-1]:
                continue
            drawing.circle("ring" if point.hollow else "dot", x(point.at), y(point.value), 3)


def _glucose_mark(drawing: Drawing, x: float, y: Scale, glucose: Glucose, limits: GlucoseLimits | None) -> None:
    if glucose.value is None:
        at = y.at_high + 8 if glucose.beyond == "HI" else y.at_low - 8
        drawing.octagon(x, at)
        drawing.text(round(x - 12, 1), round(at + 4, 1), glucose.beyond, css="tx-b tx-e", anchor="end")
        return
    at = y(glucose.value)
    if limits and (glucose.value >= limits.high or glucose.value <= limits.low):
        drawing.octagon(x, at)
        words = wording.number(glucose.value)
        drawing.text(round(x - 12, 1), round(at + 4, 1), words, css="tx-b tx-e", anchor="end")
    elif glucose.meal == "fasting":
        if limits and glucose.value >= limits.fasting_goal:
            drawing.triangle("dot-o", x, at)
        else:
            drawing.circle("dot", x, at, 4.6)
    elif glucose.meal == "after":
        drawing.circle("ring", x, at, 4.2)
    elif glucose.meal == "bedtime":
        drawing.triangle("ring", x, at, down=True)
    else:
        drawing.plus(x, at)

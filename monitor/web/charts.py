"""The blood pressure chart: one range bar a session, from diastolic to systolic, on goal bands.

A pair stays one mark and sparse days read well. An end at or over its limit gets a cap (shape) and amber beyond the
limit (colour); an emergency is a thick bar with an octagon and its value. Home is a thin filled bar, office a wide
hollow box. Readings that were not judged stand as × in a lane beneath, never on the same scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from markupsafe import Markup

from monitor.web import wording
from monitor.web.chart_scale import Scale, TimeScale, gaps, reach, spread, ticks
from monitor.web.drawing import Drawing
from monitor.web.texts import Texts

GAP: Final = timedelta(days=14)
SESSION: Final = timedelta(minutes=10)
_ORDINARY: Final = (50.0, 200.0)
_FLOORS: Final = (110.0, 60.0)
"""Where the bands of systolic and diastolic goals begin (mmHg): a picture's edge, not a rule."""


@dataclass(frozen=True, slots=True)
class Pressure:
    """One cuff reading in mmHg. `office`: measured by staff or at a health hut."""

    at: datetime
    systolic: float
    diastolic: float
    office: bool = False


@dataclass(frozen=True, slots=True)
class PressureLimits:
    """mmHg. Goal: below it. Emergency: at it or above."""

    systolic_goal: float
    diastolic_goal: float
    systolic_emergency: float
    diastolic_emergency: float

    def emergency(self, systolic: float, diastolic: float) -> bool:
        """Whether either value is at or over its emergency line."""
        return systolic >= self.systolic_emergency or diastolic >= self.diastolic_emergency

    def satisfied(self, systolic: float, diastolic: float) -> bool:
        """Whether both values are below their goal."""
        return systolic < self.systolic_goal and diastolic < self.diastolic_goal


@dataclass(frozen=True, slots=True)
class Session:
    """Readings of one place within ten minutes: their mean, and the worst emergency among them."""

    at: datetime
    systolic: float
    diastolic: float
    office: bool
    worst: Pressure | None


@dataclass(frozen=True, slots=True)
class Size:
    """Pixels of a drawing. `words`: how long the limit labels are, `long` or `short`."""

    width: int
    height: int
    right: int
    css: str
    words: str


WIDE: Final = Size(912, 292, 122, "only-wide", "long")
NARROW: Final = Size(356, 250, 62, "only-narrow", "short")
ITEM: Final = Size(748, 260, 122, "only-wide", "long")
PANE: Final = Size(400, 178, 62, "", "short")


@dataclass(frozen=True, slots=True)
class Frame:
    """What a chart is drawn for: the span, the reader's zone and words."""

    since: datetime
    until: datetime
    zone: tzinfo
    t: Texts


def edge(size: Size, t: Texts) -> int:
    """The room right of the axis for the limit labels; English ones are longer."""
    return size.right + (0 if t.chinese else 16)


def sessions(readings: Sequence[Pressure], limits: PressureLimits | None) -> list[Session]:
    """Group readings (any order) of one place within ten minutes of the first; values are rounded means."""
    groups: list[list[Pressure]] = []
    for reading in sorted(readings, key=lambda r: (r.office, r.at)):
        last = groups[-1] if groups else None
        if last and last[0].office == reading.office and reading.at - last[0].at <= SESSION:
            last.append(reading)
        else:
            groups.append([reading])
    found = []
    for group in groups:
        over = [r for r in group if limits and limits.emergency(r.systolic, r.diastolic)]
        found.append(
            Session(
                at=group[0].at,
                systolic=round(sum(r.systolic for r in group) / len(group)),
                diastolic=round(sum(r.diastolic for r in group) / len(group)),
                office=group[0].office,
                worst=max(over, key=lambda r: (r.systolic, r.diastolic), default=None),
            )
        )
    return sorted(found, key=lambda s: s.at)


def mean(found: Sequence[Session]) -> tuple[int, int] | None:
    """The mean pressure of home sessions, whole mmHg; home and office never mix."""
    home = [s for s in found if not s.office]
    if not home:
        return None
    return round(sum(s.systolic for s in home) / len(home)), round(sum(s.diastolic for s in home) / len(home))


def pressure_chart(
    found: Sequence[Session],
    limits: PressureLimits | None,
    frame: Frame,
    size: Size,
    ident: str,
    *,
    visits: Sequence[datetime] = (),
    unused: Sequence[datetime] = (),
) -> Markup:
    """The chart as one `<svg>`; `visits` and `unused` moments stand in the lane under the axis."""
    t = frame.t
    shown = [s for s in found if frame.since <= s.at <= frame.until]
    drawing = Drawing(size.width, size.height, ident)
    lane = 16 if visits or unused else 0
    right, floor = size.width - edge(size, t), size.height - 24 - lane
    ends = [v for s in shown for v in ((s.worst or s).systolic, (s.worst or s).diastolic)]
    y = Scale(*reach(*_ORDINARY, ends, 30), floor, 14)
    x = TimeScale(frame.since, frame.until, 42, right - 8)
    _ground(drawing, y, limits, right)
    moments = [s.at for s in shown]
    for before, after in gaps([*moments, frame.until] if moments else [], GAP):
        left, end = x(before) + 8, x(after) - (8 if after < frame.until else 0)
        drawing.rect("gap", round(left, 1), 14, round(end - left, 1), floor - 14)
        if end - left > 44:
            middle = round((left + end) / 2, 1)
            drawing.text(middle, (floor + 14) / 2 - 6, t("chart.gap_days", n=(after - before).days), anchor="middle")
            drawing.text(middle, (floor + 14) / 2 + 11, t("chart.gap_none"), anchor="middle")
    if limits:
        _limits(drawing, y, limits, t, right=right, words=size.words)
    for at in visits:
        if frame.since <= at <= frame.until:
            drawing.line("vis-l", (x(at), 14), (x(at), floor + 8))
    for session in shown:
        _bar(drawing, x(session.at), y, session, limits)
    _emergencies(drawing, x, y, [s for s in shown if s.worst], frame)
    drawing.line("ax", (34, floor), (right, floor))
    for at in visits:
        if frame.since <= at <= frame.until:
            drawing.diamond(x(at), floor + 12)
    for at in unused:
        if frame.since <= at <= frame.until:
            drawing.cross(x(at), floor + 12)
    if lane and size.words == "long":
        drawing.text(right + 8, floor + 16, t("chart.lane"))
    time_axis(drawing, x, frame, floor, size.height - 4)
    return drawing.finish(_title(frame), _description(shown, limits, t), size.css)


def time_axis(drawing: Drawing, x: TimeScale, frame: Frame, floor: float, baseline: float) -> None:
    """Ticks and their labels; 今天 ends the axis and keeps its room."""
    t = frame.t
    last = t("chart.today", day=frame.until.astimezone(frame.zone).strftime("%m-%d"))
    room = x.right - (len(last) * 9 if drawing.width > 500 else 62)
    for tick in ticks(frame.since, frame.until, frame.zone):
        at = x(tick.at)
        drawing.line("ax", (at, floor), (at, floor + 4))
        if at < room and at > x.left + 6:
            words = t(f"month.{tick.month}") if tick.month else tick.at.astimezone(frame.zone).strftime("%m-%d")
            drawing.text(at, baseline, words, anchor="middle")
    drawing.text(round(x.right + 8, 1), baseline, last if drawing.width > 500 else t("chart.now"), anchor="end")


def limit_labels(drawing: Drawing, x: float, labels: Sequence[tuple[float, str, str]]) -> None:
    """Labels `(y, css, words)` at the right edge, moved apart where they would touch."""
    for (_, css, words), y in zip(labels, spread([label[0] for label in labels], 15), strict=True):
        drawing.text(x, round(y + 4, 1), words, css=css)


def _ground(drawing: Drawing, y: Scale, limits: PressureLimits | None, right: float) -> None:
    if limits:
        for goal, bottom in zip((limits.systolic_goal, limits.diastolic_goal), _FLOORS, strict=True):
            drawing.rect("band", 34, y(goal), right - 34, round(y(bottom) - y(goal), 1))
    value = 60.0
    while value <= y.high:
        if value >= y.low:
            drawing.line("g", (34, y(value)), (right, y(value)))
            drawing.text(28, round(y(value) + 4, 1), wording.number(value), anchor="end")
        value += 30


def _limits(drawing: Drawing, y: Scale, limits: PressureLimits, t: Texts, *, right: float, words: str) -> None:
    rows = (
        ("emg-l", "tx-e", limits.systolic_emergency, "systolic_emergency"),
        ("lim-l", "tx-w", limits.systolic_goal, "systolic_goal"),
        ("emg-l", "tx-e", limits.diastolic_emergency, "diastolic_emergency"),
        ("lim-l", "tx-w", limits.diastolic_goal, "diastolic_goal"),
    )
    for line, _, value, _name in rows:
        drawing.line(line, (34, y(value)), (right, y(value)))
    labels = [(y(v), css, t(f"chart.{words}.{name}", v=wording.number(v))) for _, css, v, name in rows]
    limit_labels(drawing, right + 8, labels)


def _bar(drawing: Drawing, x: float, y: Scale, session: Session, limits: PressureLimits | None) -> None:
    top, foot = y(session.systolic), y(session.diastolic)
    if session.worst:
        drawing.line("b-e", (x, y(session.worst.systolic)), (x, y(session.worst.diastolic)))
        return
    if session.office:
        drawing.rect("b-off", round(x - 4, 1), top, 8, round(foot - top, 1))
    over = limits is not None and session.systolic >= limits.systolic_goal
    if not session.office:
        start = y(limits.systolic_goal) if limits and over else top
        drawing.line("b", (x, start), (x, foot))
        if over and start > top:
            drawing.line("b-o", (x, top), (x, start))
    if over:
        drawing.line("cap", (round(x - 4.5, 1), top), (round(x + 4.5, 1), top))
    if limits and session.diastolic >= limits.diastolic_goal:
        drawing.line("cap", (round(x - 4.5, 1), foot), (round(x + 4.5, 1), foot))


def _emergencies(drawing: Drawing, x: TimeScale, y: Scale, found: Sequence[Session], frame: Frame) -> None:
    for session in found:
        worst = session.worst
        assert worst is not None
        at, top = x(session.at), max(9.0, y(worst.systolic) - 9)
        drawing.octagon(at, round(top, 1))
        if session is found[-1]:
            when = wording.moment(worst.at, frame.until, frame.zone, frame.t).rpartition(" ")[0]
            words = f"{when} {wording.number(worst.systolic)}/{wording.number(worst.diastolic)}"
            leftward = at > drawing.width * 0.3
            drawing.text(
                round(at - 12, 1) if leftward else round(at + 12, 1),
                round(top + 5, 1),
                words,
                css="tx-b tx-e",
                anchor="end" if leftward else "start",
            )


def _title(frame: Frame) -> str:
    days = [at.astimezone(frame.zone).strftime("%m-%d") for at in (frame.since, frame.until)]
    return frame.t("chart.pressure_title", since=days[0], until=days[1])


def _description(found: Sequence[Session], limits: PressureLimits | None, t: Texts) -> str:
    said = [t("chart.pressure_how")]
    if limits:
        said.append(
            t(
                "chart.pressure_limits",
                goal=f"{limits.systolic_goal:.0f}/{limits.diastolic_goal:.0f}",
                emergency=f"{limits.systolic_emergency:.0f}/{limits.diastolic_emergency:.0f}",
            )
        )
        high = sum(1 for s in found if not limits.satisfied(s.systolic, s.diastolic))
        said.append(t("chart.pressure_count", n=len(found), high=high, emergency=sum(1 for s in found if s.worst)))
    said.append(t("chart.table_below"))
    return (" " if not t.chinese else "").join(said)

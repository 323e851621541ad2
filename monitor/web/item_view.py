"""One item as the pane and its own page show it: why it stands, the last two weeks, what to ask, who did what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from markupsafe import Markup

from ingest.observations import StoredObservation, window
from monitor import queue as work
from monitor.outcomes import OUTCOMES, Outcome
from monitor.queue import Event, ItemDetail
from monitor.web import wording
from monitor.web.chart_points import GLUCOSE_ITEM, GLUCOSE_NARROW, GLUCOSE_PANE, glucose_chart
from monitor.web.charts import ITEM, NARROW, PANE, Frame, Session, mean, pressure_chart, sessions
from monitor.web.limits_view import glucose_limits, pressure_limits
from monitor.web.queue_rows import MARKS, row_of
from monitor.web.reading_view import glucoses, judged_view, meal_words, pressures, stored_view, unused_moments
from monitor.web.viewing import Looking, Viewing

_SPAN: Final = timedelta(days=14)
_LONG_SPAN: Final = timedelta(days=42)
_WEEK: Final = timedelta(days=7)
_GLUCOSE_UNITS: Final = frozenset({"mmol/L", "mg/dL"})
_EVENT_ICONS: Final = {"claimed": "ok", "acknowledged": "bell", "given_back": "sw", "not_reached": "tel"}


@dataclass(frozen=True, slots=True)
class Table:
    """The data table beneath a chart."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart with its heading, the fact above it and the table beneath."""

    title: str
    fact: str
    svg: Markup
    table: Table | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One outcome and the digit that chooses it."""

    value: str
    digit: str
    word: str
    note: bool


@dataclass(frozen=True, slots=True)
class EventView:
    """One line of the history."""

    when: str
    icon: str
    words: str
    note: str | None


async def pane_values(looking: Looking, followup_id: int, *, alone: bool = False) -> dict[str, Any] | None:
    """What `_pane.html` needs; None: no such item for this viewer. The look is audited by `monitor.queue`.

    alone: for the item's own page, with six weeks instead of two.
    """
    viewing = looking.viewing
    detail = await work.detail(
        looking.conn, followup_id, viewer=looking.user, desk=looking.shared.desk, now=viewing.now
    )
    if detail is None:
        return None
    item, t = detail.item, viewing.t
    readings = await window(
        looking.conn,
        item.subject_id,
        since=viewing.now - (_LONG_SPAN if alone else _SPAN),
        until=viewing.now,
        concepts=["blood_pressure", "glucose"],
    )
    contact = None
    if detail.contact_phone_shown:
        words = t("item.contact", name=detail.contact_name_shown or "", phone=detail.contact_phone_shown)
        contact = {"phone": detail.contact_phone_shown, "words": words}
    return {
        "detail": detail,
        "row": row_of(item, viewing),
        "readings": [judged_view(reading, viewing) for reading in detail.readings],
        "chart": _figure(looking, detail, readings, alone=alone),
        "ask": [sign.zh if t.chinese else sign.en for sign in detail.ask_signs],
        "basis": _basis(detail, viewing),
        "history": _history(detail, viewing),
        "outcomes": outcomes(viewing),
        "contact": contact,
        "claimed_when": wording.moment(item.claimed_at, viewing.now, viewing.zone, t) if item.claimed_at else "",
        "acknowledged": _acknowledged(detail, viewing),
        "problem": "",
        "chosen": "",
        "note": "",
        "alone": alone,
    }


def outcomes(viewing: Viewing) -> list[Choice]:
    """The outcomes in their order; the tenth has the digit 0."""
    return [
        Choice(outcome.value, str(n % 10), rule.zh if viewing.t.chinese else rule.en, rule.note_required)
        for n, (outcome, rule) in enumerate(OUTCOMES.items(), start=1)
    ]


def pressure_table(found: Sequence[Session], viewing: Viewing) -> Table:
    """Every bar of the chart as a line, the newest first."""
    t = viewing.t
    rows = []
    for session in reversed(found):
        shown = session.worst or session
        value = f"{wording.number(shown.systolic)}/{wording.number(shown.diastolic)}"
        when = wording.moment(session.at, viewing.now, viewing.zone, t)
        rows.append((when, value, t("chart.office" if session.office else "chart.home")))
    return Table((t("chart.head_when"), t("chart.head_value"), t("chart.head_place")), rows)


def glucose_table(readings: Sequence[StoredObservation], viewing: Viewing) -> Table:
    """Every point of the glucose chart as a line, the newest first."""
    t = viewing.t
    shown = [r for r in reversed(readings) if r.concept == "glucose"]
    views = [(stored_view(r, viewing), r) for r in shown]
    rows = [(v.when, f"{v.text} {v.unit}", meal_words(r, t)) for v, r in views if v.used]
    return Table((t("chart.head_when"), t("chart.head_value"), t("chart.head_meal")), rows)


def weekly_means(found: Sequence[Session], now: datetime) -> tuple[Sequence[Session], Sequence[Session]]:
    """Home sessions of the last seven days, and of the seven days before."""
    home = [s for s in found if not s.office]
    last = [s for s in home if now - _WEEK < s.at <= now]
    return last, [s for s in home if now - 2 * _WEEK < s.at <= now - _WEEK]


def pair(means: tuple[int, int] | None) -> str:
    """155/90, or a dash for nothing."""
    return f"{means[0]}/{means[1]}" if means else "–"


def _figure(
    looking: Looking, detail: ItemDetail, readings: Sequence[StoredObservation], *, alone: bool
) -> Figure | None:
    viewing, t, desk = looking.viewing, looking.viewing.t, looking.shared.desk
    near = Frame(viewing.now - _SPAN, viewing.now, viewing.zone, t)
    frame = Frame(viewing.now - _LONG_SPAN, viewing.now, viewing.zone, t) if alone else near
    glucose = [r for r in readings if r.concept == "glucose"]
    about_glucose = any(r.unit in _GLUCOSE_UNITS for r in detail.readings)
    found = sessions(pressures(readings), pressure_limits(desk))
    if about_glucose or (glucose and not found):
        limits = glucose_limits(desk)
        drawn = glucose_chart(glucoses(glucose), limits, near, GLUCOSE_PANE, "pane-chart")
        if alone:
            drawn = glucose_chart(glucoses(glucose), limits, frame, GLUCOSE_ITEM, "item-chart") + glucose_chart(
                glucoses(glucose), limits, frame, GLUCOSE_NARROW, "pane-chart"
            )
        return Figure(t("resident.glucose"), t("resident.glucose_by"), drawn, glucose_table(glucose, viewing))
    if not found:
        return None
    last, before = weekly_means(found, viewing.now)
    fact = t("chart.two_weeks_mean", now=pair(mean(last)), before=pair(mean(before))) if last or before else ""
    unused = unused_moments(readings, "blood_pressure")
    drawn = pressure_chart(found, pressure_limits(desk), near, PANE, "pane-chart", unused=unused)
    if alone:
        wide = pressure_chart(found, pressure_limits(desk), frame, ITEM, "item-chart", unused=unused)
        drawn = wide + pressure_chart(found, pressure_limits(desk), frame, NARROW, "pane-chart", unused=unused)
    return Figure(t("chart.six_weeks" if alone else "chart.two_weeks"), fact, drawn, pressure_table(found, viewing))


def _basis(detail: ItemDetail, viewing: Viewing) -> list[tuple[str, str]]:
    t = viewing.t
    cited = detail.citation
    comma = "，" if t.chinese else ", "
    source = comma.join(cited[name] for name in ("document", "clause") if cited.get(name))
    rows = [(t("item.clause"), source)] if source else []
    rows += [(line.label_zh if t.chinese else line.label_en, line.text) for line in detail.thresholds]
    if detail.rule_id:
        rows.append((t("item.rule"), detail.rule_id))
    return rows


def _history(detail: ItemDetail, viewing: Viewing) -> list[EventView]:
    """The history, the same step of the monitor many times running as one line with its count."""
    lines: list[tuple[Event, int]] = []
    for event in detail.history:
        last = lines[-1] if lines else None
        if last and event.actor is None and last[0].actor is None and last[0].action == event.action:
            lines[-1] = (event, last[1] + 1)
        else:
            lines.append((event, 1))
    views = []
    for event, count in lines:
        view = _event(event, viewing, detail.item.severity)
        views.append(replace(view, words=f"{view.words} × {count}") if count > 1 else view)
    return views


def _event(event: Event, viewing: Viewing, severity: str) -> EventView:
    t = viewing.t
    known = {outcome.value for outcome in Outcome}
    if event.action in known:
        rule = OUTCOMES[Outcome(event.action)]
        words = rule.zh if t.chinese else rule.en
    else:
        words = t(f"action.{event.action}") if t.has(f"action.{event.action}") else event.action
    who = event.actor or t("item.system")
    icon = MARKS[next(s for s in MARKS if s == severity)][1] if event.action == "opened" else "pen"
    return EventView(
        when=wording.moment(event.at, viewing.now, viewing.zone, t),
        icon=_EVENT_ICONS.get(event.action, icon),
        words=f"{who} {words}",
        note=event.note,
    )


def _acknowledged(detail: ItemDetail, viewing: Viewing) -> str:
    if detail.item.state != "acknowledged":
        return ""
    for event in reversed(detail.history):
        if event.action == "acknowledged":
            when = wording.moment(event.at, viewing.now, viewing.zone, viewing.t)
            return viewing.t("item.acknowledged", name=event.actor or "", when=when)
    return ""

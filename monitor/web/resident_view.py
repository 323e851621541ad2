"""What the page of one resident shows: header, charts of a span, readings, open items, next step, limits, devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from ingest.observations import DeviceRow, StoredObservation
from monitor.patients import Identity, ResidentHeader
from monitor.queue import Item
from monitor.visits import Visit
from monitor.web import wording
from monitor.web.chart_points import (
    GLUCOSE_ALONE,
    GLUCOSE_NARROW,
    GLUCOSE_WIDE,
    LINE,
    LINE_ALONE,
    LINE_NARROW,
    Point,
    glucose_chart,
    line_chart,
)
from monitor.web.charts import NARROW, WIDE, Frame, Pressure, Session, mean, pressure_chart, sessions
from monitor.web.item_view import Table, glucose_table, pair, pressure_table, weekly_means
from monitor.web.limits_view import glucose_limits, pressure_limits
from monitor.web.queue_rows import programme_word
from monitor.web.reading_view import glucoses, points, pressures, unused_moments
from monitor.web.viewing import Looking, Viewing

SPANS: Final = {"2w": timedelta(days=14), "3m": timedelta(days=91), "1y": timedelta(days=365)}
SPAN_WORDS: Final = {"2w": "weeks2", "3m": "months3", "1y": "year1"}
_NARROW_SPAN: Final = timedelta(days=28)


@dataclass(frozen=True, slots=True)
class Head:
    """The page header: fixed order of identity, whatever is shown of it."""

    name: str
    simulated: bool
    sex_age: str
    allergies: str
    born: str
    record_code: str
    id_number: str
    phone: str
    call: str
    doctor: str
    programmes: Sequence[str]
    consent: str
    consented: bool
    gone: str
    revealed: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """A number above a chart and what it is; its count is always in the words."""

    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Trend:
    """One sheet: its drawings for the PC and the phone, facts, table, and which legend it needs."""

    wide: Markup
    narrow: Markup
    facts: Sequence[Fact]
    table: Table
    legend: Sequence[str]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of what happened lately."""

    when: str
    icon: str
    words: str


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device of the resident."""

    label: str
    seen: str
    low: bool


def head_of(header: ResidentHeader, viewing: Viewing, shown: Identity | None) -> Head:
    """`shown`: the identity after a reveal with its purpose, else what the header may show."""
    t, person = viewing.t, header.resident
    phone = (shown.phone if shown else header.phone_shown) or ""
    gone = t(f"resident.{person.state}") if person.state in {"moved", "deceased"} else ""
    revealed = header.revealed or shown is not None
    consent = (
        t("resident.consented", day=person.consented_on.isoformat())
        if person.consented_on
        else t("resident.not_consented")
    )
    return Head(
        name=shown.name if shown else header.name_shown,
        simulated=person.simulated,
        sex_age=t("sex.age", sex=t(f"sex.{person.sex}"), age=header.age),
        allergies=t("resident.allergy", what=header.allergies) if header.allergies else "",
        born=person.birth_date.isoformat(),
        record_code=f"{person.record_code[:3]}-{person.record_code[3:]}" if person.record_code else t("resident.none"),
        id_number=(shown.id_number if shown else header.id_number_shown) or t("resident.none"),
        phone=phone or t("resident.none"),
        call=phone if revealed and not gone else "",
        doctor=" · ".join(part for part in (person.family_doctor, person.site) if part),
        programmes=[
            t("resident.since", programme=programme_word(r.programme, t), year=r.since.year) for r in person.registers
        ],
        consent=consent,
        consented=person.consented_on is not None,
        gone=gone,
        revealed=revealed,
    )


def pressure_trend(
    looking: Looking, readings: Sequence[StoredObservation], visits: Sequence[Visit], span: timedelta
) -> Trend | None:
    """The blood pressure sheet; None without any session in the span."""
    viewing, t = looking.viewing, looking.viewing.t
    limits = pressure_limits(looking.shared.desk)
    at_visits = [
        Pressure(v.visited_at, float(v.observed["sbp"]), float(v.observed["dbp"]), office=True)
        for v in visits
        if v.observed.get("sbp") is not None and v.observed.get("dbp") is not None
    ]
    found = sessions([*pressures(readings), *at_visits], limits)
    frame = Frame(viewing.now - span, viewing.now, viewing.zone, t)
    within = [s for s in found if frame.since <= s.at <= frame.until]
    unused = unused_moments(readings, "blood_pressure")
    if not within:
        return None
    moments = [v.visited_at for v in visits]
    near = Frame(viewing.now - min(span, _NARROW_SPAN), viewing.now, viewing.zone, t)
    last, before = weekly_means(found, viewing.now)
    facts = []
    if last:
        facts.append(Fact(pair(mean(last)), t("resident.mean_now", n=len(last))))
    if before:
        facts.append(Fact(pair(mean(before)), t("resident.mean_before", n=len(before))))
    home = [s for s in within if not s.office]
    if home and limits:
        good = sum(1 for s in home if limits.satisfied(s.systolic, s.diastolic))
        facts.append(Fact(f"{100 * good / len(home):.0f}%", t("resident.share", n=len(home), good=good)))
    return Trend(
        wide=pressure_chart(found, limits, frame, WIDE, "bp-wide", visits=moments, unused=unused),
        narrow=pressure_chart(found, limits, near, NARROW, "bp-narrow", visits=moments, unused=unused),
        facts=facts,
        table=pressure_table(within, viewing),
        legend=_pressure_legend(within, moments, unused, frame, limits is not None),
    )


def glucose_trend(
    looking: Looking, readings: Sequence[StoredObservation], span: timedelta, *, alone: bool = False
) -> Trend | None:
    """The glucose sheet; None without any reading in the span. alone: no other sheet stands beside it."""
    viewing = looking.viewing
    frame = Frame(viewing.now - span, viewing.now, viewing.zone, viewing.t)
    found = [g for g in glucoses(readings) if frame.since <= g.at <= frame.until]
    if not found:
        return None
    limits = glucose_limits(looking.shared.desk)
    meals = {g.meal for g in found}
    legend = ["fasting", "fasting_high"] if "fasting" in meals else []
    legend += [
        name for meal, name in (("after", "after"), ("bedtime", "bedtime"), ("other", "unknown")) if meal in meals
    ]
    return Trend(
        wide=glucose_chart(found, limits, frame, GLUCOSE_ALONE if alone else GLUCOSE_WIDE, "gl-wide"),
        narrow=glucose_chart(found, limits, frame, GLUCOSE_NARROW, "gl-narrow"),
        facts=[],
        table=glucose_table([r for r in readings if r.measured_at >= frame.since], viewing),
        legend=legend,
    )


def line_trends(
    looking: Looking, readings: Sequence[StoredObservation], span: timedelta, *, alone: bool = False
) -> tuple[list[Markup], str]:
    """Drawings of weight and of oxygen saturation, and which: weight, oxygen or both; empty without readings.

    alone: no other sheet stands beside them, so that each is drawn for the whole width, and for a phone.
    """
    viewing, t = looking.viewing, looking.viewing.t
    frame = Frame(viewing.now - span, viewing.now, viewing.zone, t)
    drawings: list[Markup] = []

    def draw(found: Sequence[Point], ident: str, ordinary: tuple[float, float], step: float, unit: str) -> None:
        title = t(f"chart.{'weight' if ident == 'wt' else 'oxygen'}_title")
        for size in (LINE_ALONE, LINE_NARROW) if alone else (LINE,):
            name = f"{ident}{size.css.removeprefix('only')}"
            drawings.append(
                line_chart(found, (), frame, size, name, ordinary=ordinary, step=step, unit=unit, title=title)
            )

    weight = [p for p in points(readings, "body_weight") if p.at >= frame.since]
    if weight:
        low, high = min(p.value for p in weight), max(p.value for p in weight)
        around = (low - (8 - (high - low)) / 2, high + (8 - (high - low)) / 2) if high - low < 8 else (low, high)
        draw(weight, "wt", (float(int(around[0])), float(int(around[1]) + 1)), 2, "kg")
    oxygen = [p for p in points(readings, "oxygen_saturation") if p.at >= frame.since]
    if oxygen:
        draw(oxygen, "ox", (80, 100), 5, "%")
    return drawings, "both" if weight and oxygen else "weight" if weight else "oxygen"


def next_steps(items: Sequence[Item], viewing: Viewing) -> list[str]:
    """What the open, dated items ask for, the nearest first."""
    today = viewing.now.astimezone(viewing.zone).date()
    dated = sorted((i for i in items if i.due_on is not None), key=lambda i: str(i.due_on))
    return [
        viewing.t(
            "resident.next_due",
            kind=viewing.t(f"kind.{item.kind}.word"),
            day=wording.short_day(item.due_on, today),
        )
        for item in dated
        if item.due_on is not None
    ]


def recent(visits: Sequence[Visit], viewing: Viewing, at_most: int = 6) -> list[Event]:
    """The latest visits in words."""
    t = viewing.t
    events = []
    for visit in visits[:at_most]:
        seen, said = visit.observed, []
        if seen.get("sbp") is not None and seen.get("dbp") is not None:
            said.append(f"{float(seen['sbp']):g}/{float(seen['dbp']):g}")
        if seen.get("glucose") is not None:
            said.append(t("resident.visit_fasting", v=f"{float(seen['glucose']):.1f}"))
        words = t(f"resident.visit_{visit.mode}")
        if said:
            words += " " + (" · ").join(said)
        if visit.classification:
            words += ("，" if t.chinese else ", ") + t(f"resident.class_{visit.classification}")
        events.append(Event(wording.day(visit.visited_at, viewing.now, viewing.zone, t), "rou", words))
    return events


def device_views(devices: Sequence[DeviceRow], viewing: Viewing) -> list[DeviceView]:
    """The resident's devices; a low battery is said in words and colour."""
    t = viewing.t
    views = []
    for device in devices:
        said = [wording.moment(device.last_seen_at, viewing.now, viewing.zone, t)]
        low = device.battery is not None and device.battery <= 20
        if device.battery is not None:
            said.append(t("resident.battery_low" if low else "resident.battery", n=device.battery))
        views.append(DeviceView(device.label or device.uid, ("，" if t.chinese else ", ").join(said), low))
    return views


def _pressure_legend(
    found: Sequence[Session], visits: Sequence[datetime], unused: Sequence[datetime], frame: Frame, limited: bool
) -> list[str]:
    def within(moments: Sequence[datetime]) -> bool:
        return any(frame.since <= at <= frame.until for at in moments)

    legend = ["home"] if any(not s.office for s in found) else []
    legend += ["cap"] if limited else []
    legend += ["office"] if any(s.office for s in found) else []
    legend += ["visit"] if within(visits) else []
    legend += ["unused"] if within(unused) else []
    return [*legend, "band"] if limited else legend

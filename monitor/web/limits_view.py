"""The limits of the site's edition as charts and tables need them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from monitor.desk import Desk
from monitor.programme_pack import Pack
from monitor.web.chart_points import GlucoseLimits
from monitor.web.charts import PressureLimits
from monitor.web.texts import Texts


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One line of the limits table."""

    what: str
    goal: str
    emergency: str
    origin: str


def pressure_limits(desk: Desk) -> PressureLimits | None:
    """mmHg; None where the site runs no blood pressure programme."""
    pack = desk.pack("hypertension")
    if pack is None:
        return None
    value = _value(pack)
    return PressureLimits(value("sbp_goal"), value("dbp_goal"), value("sbp_emergency"), value("dbp_emergency"))


def glucose_limits(desk: Desk) -> GlucoseLimits | None:
    """mmol/L; None where the site runs no diabetes programme."""
    pack = desk.pack("diabetes")
    if pack is None:
        return None
    value = _value(pack)
    return GlucoseLimits(value("fasting_goal"), value("glucose_emergency_high"), value("glucose_emergency_low"))


def limit_rows(desk: Desk, t: Texts) -> list[LimitRow]:
    """The table beside the charts."""
    rows = []
    pressure, glucose = pressure_limits(desk), glucose_limits(desk)
    if pressure and (pack := desk.pack("hypertension")):
        rows.append(
            LimitRow(
                t("resident.limit_pressure"),
                f"< {pressure.systolic_goal:.0f}/{pressure.diastolic_goal:.0f}",
                f"≥ {pressure.systolic_emergency:.0f}/{pressure.diastolic_emergency:.0f}",
                t("resident.limit_pack", edition=pack.edition),
            )
        )
    if glucose and (pack := desk.pack("diabetes")):
        rows.append(
            LimitRow(
                t("resident.limit_fasting"),
                f"< {glucose.fasting_goal:.1f}",
                f"≥ {glucose.high:.1f} · ≤ {glucose.low:.1f}",
                t("resident.limit_pack", edition=pack.edition),
            )
        )
    return rows


def _value(pack: Pack) -> Callable[[str], float]:
    return lambda name: float(pack.limits[name].value)

"""How a run looks while it goes on, and what is said of it at the end: a table, plain lines, one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any, Final

import msgspec
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from devices.nomenclature import BY_CODE
from simulators.truth import Verdict
from simulators.witness import Counts

_QUEUE: Final = {
    "emergency": ("危急", "red"),
    "worsening": ("加重", "dark_orange"),
    "recheck": ("复测", "yellow"),
    "referral_check": ("转诊核实", "yellow"),
    "two_weeks": ("两周随访", "yellow"),
    "screening": ("筛查", "cyan"),
    "regular": ("常规", "white"),
    "technical": ("技术", "bright_black"),
}
_BEYOND: Final = {"result-too-high": "HI", "result-too-low": "LO"}
_REMARKS: Final = {"control-solution": "(质控液)", "cuff-too-loose": "(袖带过松)"}


class DeviceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument and what it showed last. `route`: how it reaches the chain."""

    person: str
    label: str
    route: str
    at: datetime | None
    shown: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a run in progress. sent: measurements made so far; waiting: not yet acknowledged by ingest."""

    at: datetime
    seconds: float
    sent: int
    waiting: int
    expected_alerts: int
    counts: Counts
    devices: Sequence[DeviceLine]
    happened: Sequence[tuple[datetime, str]]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What is said at the end."""

    verdict: Verdict
    redelivered: int
    republished: int
    latency_ms: dict[str, dict[str, float | None]]
    seconds: float
    seed: int
    scenario: str
    database: str
    broker: str
    radio: str
    settled: bool

    @property
    def right(self) -> bool:
        """Everything sent was settled, and the comparison with the truth found nothing."""
        return self.settled and self.verdict.right

    def as_json(self) -> dict[str, Any]:
        """The one object of the last line of `--json`."""
        verdict = self.verdict
        return {
            "sent": verdict.sent,
            "stored": verdict.stored,
            "duplicates": verdict.duplicates,
            "lost": verdict.lost,
            "altered": verdict.altered,
            "misplaced": verdict.misplaced,
            "quarantined": verdict.quarantined,
            "quarantine_expected": verdict.quarantine_expected,
            "redelivered": self.redelivered,
            "republished": self.republished,
            "alerts": {
                "expected": verdict.alerts_expected,
                "raised": verdict.alerts_raised,
                "missed": len(verdict.missed),
                "false": len(verdict.false),
            },
            "latency_ms": self.latency_ms,
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "scenario": self.scenario,
            "database": self.database,
            "broker": self.broker,
            "radio": self.radio,
            "ok": self.right,
        }

    def complaints(self) -> list[str]:
        """One line for each thing that went wrong; empty when all is right."""
        verdict = self.verdict
        found = [] if self.settled else ["not everything was acknowledged and judged in time"]
        found += [f"lost: {key}" for key in verdict.lost_keys]
        found += [f"stored beyond the truth: {key}" for key in verdict.surplus_keys]
        found += [f"stored with other values: {verdict.altered}"] if verdict.altered else []
        found += [f"with another person than meant: {verdict.misplaced}"] if verdict.misplaced else []
        found += [f"not in quarantine: {what}" for what in verdict.quarantine_missing]
        found += [f"in quarantine and not expected: {what}" for what in verdict.quarantine_unexpected]
        found += [f"alert missed: {what}" for what in verdict.missed]
        found += [f"false alert: {what}" for what in verdict.false]
        return found


def plain(snapshot: Snapshot) -> str:
    """One line for terminals that cannot be drawn on."""
    counts = snapshot.counts
    queue = " ".join(f"{kind}={waiting}" for kind, (waiting, _) in sorted(counts.queue.items()))
    return (
        f"[{snapshot.seconds:6.1f} s] sent {snapshot.sent}, stored {counts.stored}, redelivered {counts.redelivered}, "
        f"quarantined {counts.quarantined}, waiting {snapshot.waiting}, unjudged batches {counts.unjudged}, "
        f"alerts {counts.alerts} of {snapshot.expected_alerts} expected; queue: {queue or 'empty'}"
    )


def drawn(snapshot: Snapshot, *, head: RenderableType, zone: tzinfo) -> RenderableType:
    """The live table. head: where to look and how to log in."""
    return Group(head, _numbers(snapshot), _devices(snapshot, zone), _events(snapshot, zone))


def _numbers(snapshot: Snapshot) -> RenderableType:
    counts = snapshot.counts
    table = Table.grid(padding=(0, 3))
    pairs = [
        ("已发送 sent", snapshot.sent),
        ("已入库 stored", counts.stored),
        ("重复送达 redelivered", counts.redelivered),
        ("隔离 quarantined", counts.quarantined),
        ("在途 waiting", snapshot.waiting),
        ("告警 alerts", f"{counts.alerts}/{snapshot.expected_alerts}"),
    ]
    for _ in pairs:
        table.add_column(justify="center")
    table.add_row(*(Text(name, style="bright_black") for name, _ in pairs))
    table.add_row(*(Text(str(value), style="bold") for _, value in pairs))
    sections = Text()
    for kind, (name, colour) in _QUEUE.items():
        if kind in counts.queue:
            waiting, held = counts.queue[kind]
            sections.append(f" {name} {waiting}", style=colour)
            sections.append(f" (处理中 {held})" if held else "", style="bright_black")
    return Panel(Group(table, Text("待办 queue:").append(sections)), title=f"{snapshot.seconds:.0f} s")


def _devices(snapshot: Snapshot, zone: tzinfo) -> RenderableType:
    table = Table(box=None, padding=(0, 2), header_style="bright_black")
    for column in ("居民", "设备", "途径", "时间", "读数"):
        table.add_column(column)
    for line in snapshot.devices:
        at = f"{line.at.astimezone(zone):%H:%M:%S}" if line.at else "–"
        table.add_row(line.person, line.label, line.route, at, line.shown)
    return table


def _events(snapshot: Snapshot, zone: tzinfo) -> RenderableType:
    lines = [f"{at.astimezone(zone):%H:%M:%S}  {text}" for at, text in snapshot.happened]
    return Panel(Text("\n".join(lines) or "…"), title="发生了什么 what happens", border_style="bright_black")


def spoken(kind: int, values: Sequence[float | None], facts: Sequence[str] = ()) -> str:
    """Values as a person would say them: 128/79, 5.6 mmol/L, HI, – for none; and what is doubtful about them."""
    concept = BY_CODE[kind].concept
    if concept == "blood_pressure":
        shown = f"{_said(values[0], 0)}/{_said(values[1], 0)} ♥{_said(values[3], 0)}"
    elif concept == "oxygen_saturation":
        shown = f"{_said(values[0], 0)} % ♥{_said(values[1], 0)}"
    elif concept == "body_weight":
        shown = f"{_said(values[0], 1)} kg"
    elif concept == "glucose_interstitial":
        shown = f"{_said(values[0], 0)} mg/dL"
    elif values[0] is None:
        shown = next((word for fact, word in _BEYOND.items() if fact in facts), "–")
    else:
        shown = f"{values[0]:.1f} mmol/L"
    return " ".join([shown, *(remark for fact, remark in _REMARKS.items() if fact in facts)])


def _said(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"

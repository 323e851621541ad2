"""Where a value and a moment stand on a chart, and which ticks, gaps and labels it has. No drawing here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from values `low`..`high` to pixels `at_low`..`at_high`."""

    low: float
    high: float
    at_low: float
    at_high: float

    def __call__(self, value: float) -> float:
        """The pixel of a value, to a tenth, held inside the scale's ends."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return round(self.at_low + share * (self.at_high - self.at_low), 1)


@dataclass(frozen=True, slots=True)
class TimeScale:
    """A straight line from moments to pixels."""

    since: datetime
    until: datetime
    left: float
    right: float

    def __call__(self, at: datetime) -> float:
        """The pixel of a moment, to a tenth, held inside."""
        inside = min(max(at, self.since), self.until)
        share = (inside - self.since) / (self.until - self.since)
        return round(self.left + share * (self.right - self.left), 1)


@dataclass(frozen=True, slots=True)
class Tick:
    """A label on the time axis: the first of a month, or a day."""

    at: datetime
    month: int | None


def ticks(since: datetime, until: datetime, zone: tzinfo) -> list[Tick]:
    """Firsts of months for spans over six weeks, else days a week apart counted back from `until`."""
    span = until - since
    if span > timedelta(days=42):
        first = since.astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        found = []
        step = 1 if span < timedelta(days=200) else 2
        while first < until:
            if first >= since and (first.month - 1) % step == 0:
                found.append(Tick(first, first.month))
            first = (first + timedelta(days=32)).replace(day=1)
        return found
    days = 7 if span > timedelta(days=10) else 3
    found = []
    at = until - timedelta(days=days)
    while at >= since:
        found.append(Tick(at, None))
        at -= timedelta(days=days)
    return found[::-1]


def gaps(moments: Sequence[datetime], longer_than: timedelta) -> list[tuple[datetime, datetime]]:
    """The stretches between neighbouring moments (ascending) that are longer than `longer_than`."""
    return [(before, after) for before, after in pairwise(moments) if after - before > longer_than]


def reach(low: float, high: float, values: Sequence[float], step: float) -> tuple[float, float]:
    """`low`..`high`, extended by whole steps only as far as a value needs it."""
    bottom = min([*values, low])
    top = max([*values, high])
    while low > bottom:
        low -= step
    while high < top:
        high += step
    return low, high


def spread(wanted: Sequence[float], apart: float) -> list[float]:
    """Positions as near as possible to `wanted` (any order) and at least `apart` from each other, downwards."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = list(wanted)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], round(placed[before] + apart, 1))
    return placed

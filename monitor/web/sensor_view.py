"""What a continuous glucose sensor has sent, as a chart of means: hundreds of readings a day are no list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from markupsafe import Markup
from psycopg import AsyncConnection

from ingest.rollup_series import Grain, series
from monitor.web.chart_points import LINE_ALONE, LINE_NARROW, Point, line_chart
from monitor.web.charts import Frame, Size
from monitor.web.viewing import Viewing

SENSED: Final = "glucose_interstitial"
_BY_HOUR: Final = timedelta(days=14)
"""The longest span that is drawn by the hour."""
_ORDINARY: Final = (3.0, 12.0)
"""mmol/L: a picture's edge, not a rule."""
_GAP: Final = {Grain.HOUR: timedelta(hours=3), Grain.DAY: timedelta(days=3)}
"""A sensor measures all the time: over a longer silence, or hours of HI or LO, no line is drawn."""


@dataclass(frozen=True, slots=True)
class SensedView:
    """The drawings, and what their points are: `hour` or `day`."""

    wide: Markup
    narrow: Markup
    grain: str


async def sensed_view(
    conn: AsyncConnection, subject_id: UUID, viewing: Viewing, span: timedelta, *, simulated: bool
) -> SensedView | None:
    """Means of interstitial glucose over the span; None: no sensor has sent anything in it."""
    grain = Grain.HOUR if span <= _BY_HOUR else Grain.DAY
    since = viewing.now - span
    buckets = await series(
        conn, subject_id, grain, since=since, until=viewing.now, concepts=[SENSED], simulated=simulated
    )
    if not buckets:
        return None
    middle = timedelta(hours=0.5 if grain is Grain.HOUR else 12)
    points = [
        Point(
            min(bucket.bucket_at + middle, viewing.now),
            round(bucket.mean, 1),
            reach=(round(bucket.low, 1), round(bucket.high, 1)),
        )
        for bucket in buckets
    ]
    frame = Frame(since, viewing.now, viewing.zone, viewing.t)
    title = viewing.t("chart.sensed_title")

    def drawn(size: Size, ident: str) -> Markup:
        return line_chart(
            points, (), frame, size, ident, ordinary=_ORDINARY, step=3, unit="mmol/L", title=title, gap=_GAP[grain]
        )

    return SensedView(drawn(LINE_ALONE, "isf-wide"), drawn(LINE_NARROW, "isf-narrow"), grain.value)

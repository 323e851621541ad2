"""The panels of the operator's dashboard, declared: title, what is drawn, the SQL over the published schemas.

Times use Grafana's macros; `date_bin` instead of `time_bucket`, so the same panel runs on plain PostgreSQL.
No panel names a resident: telemetry knows none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. `width` of 24 columns, `height` in grid rows, `unit` a Grafana unit id."""

    title: str
    draws: Literal["timeseries", "stat", "table", "barchart"]
    sql: str
    width: int = 12
    height: int = 8
    unit: str = "short"
    note: str = ""


OPERATOR: Final[tuple[Panel, ...]] = (
    Panel(
        title="Stored, repeated, refused a minute",
        draws="timeseries",
        note="Repeats are harmless: the device's own identity collapses them. Refused readings wait in quarantine.",
        sql="""SELECT date_bin('1 minute', stored_at, 'epoch') AS time, sum(stored) AS stored,
       sum(duplicate) AS repeated, sum(refused) AS refused
FROM telemetry.batch WHERE $__timeFilter(stored_at) GROUP BY 1 ORDER BY 1""",
    ),
    Panel(
        title="Batches waiting for the rules",
        draws="stat",
        width=6,
        note="Anything but a small number means that nobody is judging readings.",
        sql="SELECT count(*) AS waiting FROM telemetry.batch WHERE judged_at IS NULL",
    ),
    Panel(
        title="Oldest batch not judged",
        draws="stat",
        width=6,
        unit="s",
        sql="""SELECT COALESCE(EXTRACT(epoch FROM now() - min(stored_at)), 0)::float8 AS seconds
FROM telemetry.batch WHERE judged_at IS NULL""",
    ),
    Panel(
        title="Quarantine by reason",
        draws="barchart",
        sql="""SELECT reason, count(*) AS waiting FROM telemetry.quarantine
WHERE resolved_at IS NULL GROUP BY reason ORDER BY waiting DESC""",
    ),
    Panel(
        title="Sources: what each sent, and what became of it",
        draws="table",
        note="Sent = stored + repeated + refused, by UTC day of reception.",
        sql="""SELECT a.day, s.site, s.source, a.messages, a.stored, a.duplicate AS repeated, a.refused,
       s.last_seen_at, s.status->>'backlog' AS backlog
FROM telemetry.account a JOIN telemetry.source s USING (source_id)
ORDER BY a.day DESC, s.site, s.source LIMIT 200""",
    ),
    Panel(
        title="Devices not heard for a day, or low on battery",
        draws="table",
        sql="""SELECT device_uid, concept, manufacturer, model, last_seen_at, battery FROM telemetry.device
WHERE last_seen_at < now() - interval '1 day' OR battery < 15 ORDER BY last_seen_at LIMIT 200""",
    ),
    Panel(
        title="Readings not used by the rules",
        draws="timeseries",
        note="Invalid, test, demo, control solution, impossible: bits of devices.observation.NEVER_JUDGED.",
        sql="""SELECT date_bin('1 hour', measured_at, 'epoch') AS time, count(*) AS not_used
FROM telemetry.observation WHERE $__timeFilter(measured_at) AND facts & {never_judged} <> 0
GROUP BY 1 ORDER BY 1""",
    ),
)

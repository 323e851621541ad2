"""Technical alerts as the desk shows them: a line on every page, for whoever works there to tell the operator."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from devices.errors import MalformedMessage
from devices.message import parse_topic
from ingest.technical import open_alerts
from monitor.web import wording
from monitor.web.viewing import Viewing


@dataclass(frozen=True, slots=True)
class Technical:
    """One alert in words. It names a gateway, kiosk or vendor, never a resident."""

    text: str
    since: str


async def technical_lines(conn: AsyncConnection[TupleRow], viewing: Viewing) -> list[Technical]:
    """What is open now, the oldest first."""
    t = viewing.t
    return [
        Technical(
            t(
                f"technical.{alert.cause.value}",
                source=_source(alert.topic) or t("technical.somebody"),
                n=alert.number,
                minutes=alert.minutes,
                why=t(f"refused.{alert.reason}"),
            ),
            wording.moment(alert.raised_at, viewing.now, viewing.zone, t),
        )
        for alert in await open_alerts(conn)
    ]


def _source(topic: str) -> str:
    """Site and source of a topic; nothing of one that a stranger made up."""
    try:
        parsed = parse_topic(topic)
    except MalformedMessage:
        return ""
    return f"{parsed.site}/{parsed.source}"

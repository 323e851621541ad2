"""Status messages of sources: the last one is kept with the source, batteries go to their devices.

A status is a JSON object of the source's own; `{"devices": [{"device": "ble:…", "battery": 80}]}` is understood.
What is no JSON object is ignored: a status is a courtesy, not a reading.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from devices.errors import MalformedMessage
from devices.message import Topic, parse_topic
from ingest.named_sql import QUERIES

MOST_BYTES = 65_536


class Status(msgspec.Struct, frozen=True):
    """What was understood."""

    topic: Topic
    content: dict[str, Any]
    batteries: dict[str, int]


def understand(topic_text: str, payload: bytes) -> Status | None:
    """None: not a status that can be kept."""
    if len(payload) > MOST_BYTES or b"\\u0000" in payload:
        return None
    try:
        topic = parse_topic(topic_text)
        content = msgspec.json.decode(payload, type=dict[str, Any])
    except (MalformedMessage, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    devices = content.get("devices")
    batteries = {
        str(entry["device"]): entry["battery"]
        for entry in (devices if isinstance(devices, list) else ())
        if isinstance(entry, dict)
        and isinstance(entry.get("device"), str)
        and type(entry.get("battery")) is int  # `true` is no percentage
        and 0 <= entry["battery"] <= 100
    }
    return Status(topic, content, batteries)


async def keep(conn: AsyncConnection, status: Status, now: datetime) -> None:
    """One transaction."""
    async with conn.transaction():
        await conn.execute(
            QUERIES["put_status"],
            {"site": status.topic.site, "source": status.topic.source, "status": Jsonb(status.content), "now": now},
        )
        if status.batteries:
            await conn.execute(
                QUERIES["put_batteries"],
                {"uids": list(status.batteries), "batteries": list(status.batteries.values())},
            )

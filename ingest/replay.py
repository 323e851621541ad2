"""Quarantined observations once more: after a device was registered, a kind was added, an operator decided.

A replay counts nothing twice: the observation was counted as refused on the day it came and moves to stored or
duplicate there.
"""

from __future__ import annotations

import enum
from datetime import datetime

from psycopg import AsyncConnection

from devices.decoding import decode_observation
from devices.errors import MalformedMessage
from devices.message import Remark, parse_topic
from ingest import commit, intake, quarantine
from ingest.commit import UnknownDevices
from ingest.directory import Directory
from ingest.named_sql import QUERIES
from ingest.quarantine import Kept


class Replayed(enum.StrEnum):
    """What a replay did."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    STILL_REFUSED = "still-refused"
    NOT_AN_OBSERVATION = "not-an-observation"
    """A whole message that could not be taken apart: its source must send it again, mended."""


async def replay(
    conn: AsyncConnection,
    directory: Directory,
    kept: Kept,
    *,
    limits: intake.Limits,
    now: datetime,
    unknown_devices: UnknownDevices = UnknownDevices.STORE,
) -> Replayed:
    """Try one quarantined row again, on a connection in autocommit mode.

    Its time is judged against `limits` at its own reception: widen them to let a distant time in.
    """
    try:
        topic = parse_topic(kept.topic)
    except MalformedMessage:
        return Replayed.NOT_AN_OBSERVATION
    if kept.item < 0:
        return Replayed.NOT_AN_OBSERVATION
    observation = decode_observation(kept.content)
    if isinstance(observation, Remark):
        return Replayed.STILL_REFUSED
    earliest, latest = kept.received_at - limits.ancient, kept.received_at + limits.future
    if not earliest <= observation.measured_at <= latest:
        return Replayed.STILL_REFUSED
    one = intake.take_one(
        observation, topic_text=kept.topic, message_id=kept.message_id, content=kept.content, at=kept.received_at
    )
    stored = await commit.store_with_retry(
        conn, directory, [one], now=now, unknown_devices=unknown_devices, accounted=False
    )
    if stored.refused:
        return Replayed.STILL_REFUSED
    outcome = Replayed.STORED if stored.stored else Replayed.DUPLICATE
    async with conn.transaction():
        if await quarantine.resolve(conn, kept.quarantine_id, resolution=f"replayed: {outcome}", now=now):
            await conn.execute(
                QUERIES["move_account"],
                {
                    "site": topic.site,
                    "source": topic.source,
                    "day": kept.received_at.date(),
                    "stored": stored.stored,
                    "duplicate": stored.duplicate,
                },
            )
    return outcome

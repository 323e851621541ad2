"""What is written beside the observations of a batch: the batch, what it touched, the accounts of its sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import numpy as np
from psycopg import AsyncConnection

from ingest.columns import Rows
from ingest.directory import Directory
from ingest.named_sql import QUERIES
from ingest.packing import Integers
from ingest.placing import Placed
from ingest.rows import moment


class Batch(NamedTuple):
    """One row of `telemetry.batch`."""

    batch_id: int
    now: datetime
    messages: int
    stored: int
    duplicate: int
    refused: int


class Counts(NamedTuple):
    """What one message adds to its source's account. numbers: messages, sent, stored, duplicate, refused."""

    source: tuple[str, str]
    day: date
    devices: set[str]
    numbers: tuple[int, int, int, int, int]


async def add_batch(
    conn: AsyncConnection,
    directory: Directory,
    batch: Batch,
    *,
    rows: Rows,
    placed: Placed,
    kept_out: Collection[int],
) -> None:
    """The batch and its touches, in the caller's transaction; who listens hears of it at the commit.
    kept_out: ordinals that were not stored."""
    await conn.execute(QUERIES["add_batch"], batch._asdict())
    stored = placed.order
    if kept_out:
        stored = stored[~np.isin(stored, list(kept_out))]
    await _add_touches(conn, batch.batch_id, placed, stored)
    if rows.sessions is not None:
        numbers = {
            ordinal: directory.sessions[uid]
            for ordinal, uid in enumerate(rows.sessions)
            if uid is not None and ordinal not in kept_out
        }
        await _add_session_touches(conn, placed, numbers)
    await conn.execute(QUERIES["announce_batch"], (batch.batch_id,))


async def _add_touches(conn: AsyncConnection, batch_id: int, placed: Placed, stored: Integers) -> None:
    """stored: ordinals by the key of the table, so that the first and the last of a device are its span."""
    device_ids, identities = placed.device_ids[stored], placed.identities[stored]
    begins = np.flatnonzero(np.diff(device_ids, prepend=-1))
    ends = np.append(begins[1:], len(stored)) - 1
    await conn.execute(
        QUERIES["add_touches"],
        {
            "batch_id": batch_id,
            "devices": device_ids[begins].tolist(),
            "first": list(map(moment, identities[begins].tolist())),
            "last": list(map(moment, identities[ends].tolist())),
            "stored": (ends - begins + 1).tolist(),
        },
    )


async def _add_session_touches(conn: AsyncConnection, placed: Placed, numbers: Mapping[int, int]) -> None:
    """numbers: of the sessions, by the ordinals of their stored rows."""
    spans: dict[tuple[int, int], list[int]] = {}
    for ordinal, number in numbers.items():
        spans.setdefault((number, int(placed.device_ids[ordinal])), []).append(int(placed.identities[ordinal]))
    if spans:
        await conn.execute(
            QUERIES["add_session_touches"],
            {
                "sessions": [number for number, _ in spans],
                "devices": [device_id for _, device_id in spans],
                "first": [moment(min(times)) for times in spans.values()],
                "last": [moment(max(times)) for times in spans.values()],
            },
        )


async def add_accounts(
    conn: AsyncConnection,
    directory: Directory,
    counts: Sequence[Counts],
    batch_id: int,
    now: datetime,
    *,
    accounted: bool,
) -> list[str]:
    """Last in the transaction: the rows that writers share are locked for the shortest time. The devices that were said
    to be seen. accounted False: these were counted, and their sources heard, when they first came."""
    if not counts:
        return []
    sums: dict[tuple[int, date], list[int]] = {}
    for count in counts:
        row = sums.setdefault((directory.sources[count.source], count.day), [0, 0, 0, 0, 0])
        for position, number in enumerate(count.numbers):
            row[position] += number
    with_new = {key: row[2] for key, row in sums.items() if row[2]}
    if with_new:
        await conn.execute(
            QUERIES["add_batch_sources"],
            {
                "batch_id": batch_id,
                "sources": [source_id for source_id, _ in with_new],
                "days": [day for _, day in with_new],
                "stored": list(with_new.values()),
            },
        )
    if not accounted:
        return []
    sources = [source_id for source_id, _ in sums]
    if seen := directory.unseen(set().union(*(count.devices for count in counts)), now):
        await conn.execute(QUERIES["see_devices"], {"devices": [directory.devices[uid] for uid in seen], "now": now})
    await conn.execute(QUERIES["see_sources"], {"sources": sources, "now": now})
    messages, sent, stored, duplicate, refused = zip(*sums.values(), strict=True)
    await conn.execute(
        QUERIES["add_accounts"],
        {
            "sources": sources,
            "days": [day for _, day in sums],
            "messages": list(messages),
            "sent": list(sent),
            "stored": list(stored),
            "duplicate": list(duplicate),
            "refused": list(refused),
        },
    )
    return seen

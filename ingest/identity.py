"""Where a record is kept: its identity time, decided once and the same for every later delivery.

The corrected time of one record differs from download to download, so it cannot be part of an identity; the device's
own stamp can. Unbounded, a device clock that says 2035 would open partitions for 2035, so a stamp more than a day off
the corrected time is *odd*: the first delivery puts the record at its corrected time and a ledger remembers that.

Exact under two writers and under corrections that differ by any amount: every batch holds the clock locks of its
devices until it commits, shared as a rule, exclusive where it brings an odd stamp. So nobody writes an ordinary row of
a device while its ledger is being decided, and once a device is in the ledger all its records are looked up there.
See docs/decisions/0031-identity-time.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg import AsyncConnection

from ingest.named_sql import QUERIES
from ingest.rows import DAY, Row, microseconds

_LOCK: Final = 0x5F1D
_BUCKETS: Final = 64
"""Locks are by device_id modulo this, so that a batch of thousands of devices does not fill the server's lock table."""


def is_odd(row: Row) -> bool:
    """Is the device's stamp more than a day off the corrected time?"""
    return row.stamp is not None and not -DAY <= row.stamp - row.measured <= DAY


async def decide(conn: AsyncConnection, rows: Sequence[Row], device_ids: Sequence[int]) -> list[int]:
    """The identity time of each row (microseconds), inside the batch's transaction. `device_ids` belong to the rows."""
    identities: list[int] = []
    odd_devices: set[int] = set()
    stamped: set[int] = set()
    for row, device_id in zip(rows, device_ids, strict=True):
        stamp = row.stamp
        if stamp is None:
            identities.append(row.measured)
            continue
        identities.append(stamp)
        stamped.add(device_id)
        if not -DAY <= stamp - row.measured <= DAY:
            odd_devices.add(device_id)
    if not stamped:
        return identities
    odd_buckets = {device_id % _BUCKETS for device_id in odd_devices}
    buckets = sorted({device_id % _BUCKETS for device_id in stamped})
    async with conn.pipeline():
        await conn.execute(
            QUERIES["lock_clocks"],
            {"lock": _LOCK, "buckets": buckets, "odd": [bucket in odd_buckets for bucket in buckets]},
        )
        cursor = await conn.execute(QUERIES["odd_devices"], (list(stamped),))
    known_odd = {device_id for (device_id,) in await cursor.fetchall()}
    if not known_odd and not odd_devices:
        return identities
    # of a device with an odd stamp the ordinary ones too: the same record may stand in this batch under both
    watched = known_odd | odd_devices
    suspects = [
        ordinal
        for ordinal, (row, device_id) in enumerate(zip(rows, device_ids, strict=True))
        if device_id in watched and row.stamp is not None
    ]
    if suspects:
        await _consult_ledger(conn, rows, device_ids, suspects, identities)
    return identities


async def _consult_ledger(
    conn: AsyncConnection,
    rows: Sequence[Row],
    device_ids: Sequence[int],
    suspects: Sequence[int],
    identities: list[int],
) -> None:
    cursor = await conn.execute(
        QUERIES["known_identities"],
        {
            "ordinals": list(suspects),
            "devices": [device_ids[ordinal] for ordinal in suspects],
            "stamps": [rows[ordinal].stamp for ordinal in suspects],
            "kinds": [rows[ordinal].kind for ordinal in suspects],
            "records": [rows[ordinal].record_no for ordinal in suspects],
        },
    )
    known = {ordinal: microseconds(identity_at) for ordinal, identity_at in await cursor.fetchall()}
    placed: dict[tuple[int, int | None, int, int], int] = {}
    fresh: dict[tuple[int, int | None, int, int], int] = {}
    for ordinal in suspects:
        row = rows[ordinal]
        if ordinal in known:
            identities[ordinal] = known[ordinal]
            continue
        key = (device_ids[ordinal], row.stamp, row.kind, row.record_no)
        if key not in placed:
            placed[key] = row.measured if is_odd(row) else identities[ordinal]
            if is_odd(row):
                fresh[key] = row.measured
        identities[ordinal] = placed[key]
    if not fresh:
        return
    devices, stamps, kinds, records = zip(*fresh, strict=True)
    async with conn.pipeline():
        await conn.execute(
            QUERIES["add_odd_identities"],
            {
                "devices": list(devices),
                "stamps": list(stamps),
                "kinds": list(kinds),
                "records": list(records),
                "identities": list(fresh.values()),
            },
        )
        await conn.execute(QUERIES["add_odd_devices"], (list(set(devices)),))

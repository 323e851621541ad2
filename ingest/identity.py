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

import numpy as np
from numpy.typing import NDArray
from psycopg import AsyncConnection

from ingest.columns import NO_STAMP, Rows
from ingest.hypertable import SAVEPOINT
from ingest.named_sql import QUERIES
from ingest.packing import Integers
from ingest.rows import DAY, microseconds

_LOCK: Final = 0x5F1D
_SAVEPOINT: Final = f"SAVEPOINT {SAVEPOINT}"
_BUCKETS: Final = 64
"""Locks are by device_id modulo this, so that a batch of thousands of devices does not fill the server's lock table."""


async def decide(conn: AsyncConnection, rows: Rows, device_ids: Integers) -> Integers:
    """The identity time of each row (microseconds), inside the batch's transaction and a pipeline, up to its savepoint.
    `device_ids` belong to the rows."""
    stamped = rows.stamps != NO_STAMP
    if not stamped.any():
        await conn.execute(_SAVEPOINT)
        return rows.measured
    identities = np.where(stamped, rows.stamps, rows.measured)
    odd = np.abs(identities - rows.measured) > DAY
    devices = sorted(set(device_ids[stamped].tolist()))
    odd_devices = set(device_ids[odd].tolist())
    odd_buckets = {device_id % _BUCKETS for device_id in odd_devices}
    buckets = sorted({device_id % _BUCKETS for device_id in devices})
    await conn.execute(
        QUERIES["lock_clocks"],
        {"lock": _LOCK, "buckets": buckets, "odd": [bucket in odd_buckets for bucket in buckets]},
    )
    cursor = await conn.execute(QUERIES["odd_devices"], (devices,))
    await conn.execute(_SAVEPOINT)
    known_odd = {device_id for (device_id,) in await cursor.fetchall()}
    if not known_odd and not odd_devices:
        return identities
    # of a device with an odd stamp the ordinary ones too: the same record may stand in this batch under both
    watched = stamped & np.isin(device_ids, list(known_odd | odd_devices))
    suspects = np.flatnonzero(watched).tolist()
    if suspects:
        await _consult_ledger(conn, rows, device_ids, suspects, identities=identities, odd=odd)
        await conn.execute(_SAVEPOINT)  # once more: behind what the ledger was told
    return identities


async def _consult_ledger(
    conn: AsyncConnection,
    rows: Rows,
    device_ids: Integers,
    suspects: Sequence[int],
    *,
    identities: Integers,
    odd: NDArray[np.bool_],
) -> None:
    """Sets the identities of the suspects."""
    keys = list(
        zip(*(column[suspects].tolist() for column in (device_ids, rows.stamps, rows.kinds, rows.records)), strict=True)
    )
    devices, stamps, kinds, records = (list(column) for column in zip(*keys, strict=True))
    cursor = await conn.execute(
        QUERIES["known_identities"],
        {"ordinals": list(suspects), "devices": devices, "stamps": stamps, "kinds": kinds, "records": records},
    )
    known = {ordinal: microseconds(identity_at) for ordinal, identity_at in await cursor.fetchall()}
    placed: dict[tuple[int, int, int, int], int] = {}
    fresh: dict[tuple[int, int, int, int], int] = {}
    for ordinal, key in zip(suspects, keys, strict=True):
        if ordinal in known:
            identities[ordinal] = known[ordinal]
            continue
        if key not in placed:
            placed[key] = int(rows.measured[ordinal] if odd[ordinal] else identities[ordinal])
            if odd[ordinal]:
                fresh[key] = placed[key]
        identities[ordinal] = placed[key]
    if not fresh:
        return
    devices, stamps, kinds, records = (list(column) for column in zip(*fresh, strict=True))
    async with conn.pipeline():
        await conn.execute(
            QUERIES["add_odd_identities"],
            {
                "devices": devices,
                "stamps": stamps,
                "kinds": kinds,
                "records": records,
                "identities": list(fresh.values()),
            },
        )
        await conn.execute(QUERIES["add_odd_devices"], (list(set(devices)),))

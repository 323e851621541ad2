"""The read side of the roll-ups: a subject's values by hour or by day. Part of what ingest publishes.

Like `ingest.observations` it runs inside the caller's transaction and joins the subject through the assignments.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from devices.nomenclature import BY_CODE, KINDS
from devices.units import BY_UCUM
from ingest.rollup import SQL


class Grain(enum.StrEnum):
    """How long a bucket is. Both begin where the site's calendar says (`telemetry.rollup_rule`)."""

    HOUR = "hour"
    DAY = "day"


class Bucket(NamedTuple):
    """What was measured of one value of a kind from `bucket_at` on, for an hour or a day.

    code, ref: of the value (code 0: one of ours without an MDC code); number ≥ 1 readings; low, high, total, mean: in
    the canonical `unit` (UCUM)."""

    bucket_at: datetime
    kind: int
    slot: int
    code: int
    ref: str
    unit: str
    number: int
    low: float
    high: float
    total: float
    mean: float


async def series(
    conn: AsyncConnection,
    subject_id: UUID,
    grain: Grain,
    *,
    since: datetime,
    until: datetime,
    concepts: Iterable[str] | None = None,
    simulated: bool = False,
) -> list[Bucket]:
    """The buckets with since ≤ bucket_at < until, ascending; hours and days without a reading have none.

    concepts: names of `Kind.concept`. simulated: what simulators sent, else what people measured; never both. Readings
    that no rule may see are not in it. It follows the stored readings within the interval of the roll-ups
    (`ingest.rollup.waiting`); retention may have removed the hours.
    """
    wanted = None if concepts is None else set(concepts)
    parameters = {
        "subject_id": subject_id,
        "since": since,
        "until": until,
        "simulated": simulated,
        "kinds": None if wanted is None else [kind.code for kind in KINDS if kind.concept in wanted],
    }
    async with conn.cursor(row_factory=tuple_row, binary=True) as cursor:
        await cursor.execute(SQL[f"{grain.value}_series"], parameters)
        rows = await cursor.fetchall()
    return [Bucket(bucket_at, kind, slot, *_meaning(kind, slot), *numbers) for bucket_at, kind, slot, *numbers in rows]


def _meaning(kind: int, slot: int) -> tuple[int, str, str]:
    """Code, reference and canonical unit, which is the same whatever unit was reported."""
    known = BY_CODE[kind]
    told = known.slots[slot]
    return told.code, told.ref, BY_UCUM[next(iter(known.units.values()))[slot]].canonical

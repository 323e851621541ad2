"""A database that has been in use for half a year: millions of observations of thousands of residents, for benchmarks.

Each resident has a cuff and a device that measures glucose and oxygen saturation by turns; the readings of all devices
arrived mixed, as time went on. The one index is built at the end, which takes a third of the time. More readings are
readings of more residents: each has about eleven a day.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np
import psycopg

from devices.nomenclature import BLOOD_PRESSURE
from ingest import database
from ingest.columns import Rows
from ingest.packing import Integers, tails
from ingest.placing import place
from ingest.rows import COLUMNS, DAY, HEADER, SHAPES, TRAILER, microseconds

DAYS: Final = 180
_FEWEST_RESIDENTS: Final = 5000
_READINGS_A_RESIDENT: Final = 2000
_SHAPES: Final = (
    SHAPES[BLOOD_PRESSURE, "mm[Hg]"],
    SHAPES[160184, "mmol/L"],
    SHAPES[150456, "%"],
)
_TYPICAL: Final = ((128.0, 82.0, 97.0, 71.0), (6.1,), (97.0, 72.0))
_COPY: Final = f"COPY telemetry.observation ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"


def residents_of(rows: int) -> int:
    """How many residents so many readings are of."""
    return max(_FEWEST_RESIDENTS, rows // _READINGS_A_RESIDENT)


def resident(number: int) -> UUID:
    """The pseudonymous subject of a number below `residents_of` the rows."""
    return UUID(int=(0x5F << 120) | number)


def fill(url: str, rows: int, now: datetime, progress: Callable[[float], None] = lambda _: None) -> int:
    """Migrate, assign, fill; how many observations there are now. progress: the part that is done."""
    residents = residents_of(rows)
    database.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO telemetry.device (device_uid, registered_at, first_seen_at, last_seen_at)"
            " SELECT 'vendor:filled-' || n, now(), now(), now() FROM generate_series(1, %s) AS g(n) ORDER BY n",
            (2 * residents,),
        )
        (first,) = conn.execute("SELECT min(device_id) FROM telemetry.device").fetchone() or (0,)
        conn.execute(
            "INSERT INTO telemetry.assignment (subject_id, device_id, valid, assigned_at, assigned_by)"
            " SELECT s.id, d.id, tstzrange(%s, NULL), now(), 'bench'"
            " FROM unnest(%s::uuid[], %s::int[]) AS s(id, n), LATERAL (VALUES (n), (n + %s)) AS d(id)",
            (
                now - timedelta(days=DAYS + 1),
                [resident(number) for number in range(residents)],
                [first + number for number in range(residents)],
                residents,
            ),
        )
        conn.execute("DROP INDEX telemetry.observation_key")
        written = 0
        for day in range(DAYS):
            for stream, count in _day(first, residents, day, max(1, math.ceil(rows / (DAYS * 2 * residents))), now):
                with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
                    copy.write(stream)
                written += count
            progress((day + 1) / DAYS * 0.8)
        conn.execute(
            "CREATE UNIQUE INDEX observation_key ON telemetry.observation (device_id, identity_at, kind, record_no)"
        )
        progress(0.95)
        conn.execute("VACUUM ANALYZE telemetry.observation, telemetry.device, telemetry.assignment")
        progress(1.0)
    return written


def _day(first: int, residents: int, day: int, each: int, now: datetime) -> Iterator[tuple[bytes, int]]:
    """COPY streams of one day: `each` readings of each device, in the order of their times."""
    count = 2 * residents * each
    random = np.random.default_rng(day)
    began = microseconds(now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)) - (DAYS - day) * DAY
    times: Integers = began + np.sort(random.integers(0, DAY // 1_000_000, count)) * 1_000_000
    devices = random.permutation(np.repeat(np.arange(2 * residents), each))
    numbers = np.arange(count) + day * count
    sorts = np.where(devices < residents, 0, 1 + numbers % 2)
    packed: list[bytes] = [b""] * count
    kinds = np.zeros(count, np.int64)
    for sort, (shape, typical) in enumerate(zip(_SHAPES, _TYPICAL, strict=True)):
        places = np.flatnonzero(sorts == sort)
        values = np.array(typical) + random.integers(-20, 20, (len(places), 1)) * (0.1 if sort == 1 else 0.5)
        kinds[places] = shape.kind
        of_sort = tails(shape, numbers[places], values, slots=None, circumstances=None)
        for position, tail in zip(places.tolist(), of_sort, strict=True):
            packed[position] = tail
    facts = np.zeros(count, np.int64)
    names = [""] * count
    rows = Rows(list(range(count)), names, kinds, numbers, times, times, facts, None, packed)
    placed = place(rows, devices + first, times, batch_id=1, sessions={}, unregistered=set())
    yield b"".join((HEADER, *placed.packed, TRAILER)), count

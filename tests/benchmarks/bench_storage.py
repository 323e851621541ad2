"""Octets a reading: rows with their one index, the same in columns where the edition can, and what the roll-ups add.

A hundred days of cuff records of four values, two a day and person, stored day by day as they arrive; values walk as a
person's do. Then every roll-up is made from them. An observation is one record, a value one of its four numbers.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg

from devices.nomenclature import BLOOD_PRESSURE
from devices.units import BY_UCUM
from ingest import columnstore, database, rollup, timescale
from ingest.columnstore import Ability
from ingest.rollup import Turn
from simulators.embedded.database import create_database, drop_database
from simulators.embedded.database import database as database_server

NAME = "storage"
DEVICES, DAYS, A_DAY, VALUES = 1000, 100, 2, 4
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)

_DAY = """
INSERT INTO telemetry.observation
  (identity_at, measured_at, facts, batch_id, absent, device_id, kind, record_no, unit, v0, v1, v2, v3)
SELECT at, at + interval '1.3 seconds', 0, %(day)s, 0, device_id, %(kind)s, %(day)s * %(a_day)s + n, %(unit)s,
       v, round(v * 0.62), round(v * 0.75), 55 + (random() * 30)::int
FROM (
  SELECT device_id, n, %(began)s + %(day)s * interval '1 day' + n * interval '11 hours'
         + (device_id * 37 %% 7200) * interval '1 second' + (random() * 900)::int * interval '1 second' AS at,
         round(128 + 12 * sin(device_id) + 8 * sin(%(day)s / 9.0 + device_id) + random() * 10) AS v
  FROM telemetry.device CROSS JOIN generate_series(0, %(a_day)s - 1) n
) r ORDER BY device_id, at
"""


def run() -> dict[str, Any]:
    """One line's content."""
    with database_server() as server:
        name = f"bench_storage_{uuid4().hex[:8]}"
        url = create_database(server.url, name)
        try:
            database.migrate(url)
            _fill(url)
            return asyncio.run(_measure(url))
        finally:
            drop_database(server.url, name)


def _fill(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO telemetry.device (device_uid, first_seen_at, last_seen_at)"
            " SELECT 'ble:' || lpad(n::text, 12, '0'), %s, %s FROM generate_series(1, %s) n",
            (BEGAN, BEGAN, DEVICES),
        )
        conn.execute(
            "INSERT INTO telemetry.assignment (subject_id, device_id, valid, assigned_at, assigned_by)"
            " SELECT gen_random_uuid(), device_id, tstzrange(%s, NULL), %s, 'bench' FROM telemetry.device",
            (BEGAN - timedelta(days=1), BEGAN),
        )
        what = {"kind": BLOOD_PRESSURE, "unit": BY_UCUM["mm[Hg]"].term, "a_day": A_DAY, "began": BEGAN}
        for day in range(DAYS):
            conn.execute(_DAY, what | {"day": day})


async def _measure(url: str) -> dict[str, Any]:
    count = DEVICES * DAYS * A_DAY
    now = BEGAN + timedelta(days=DAYS + 60)
    conn = await database.connect(url)
    edition, can = await timescale.edition(conn), await columnstore.ability(conn)
    version = await (await conn.execute("SHOW server_version")).fetchone()
    assert version is not None
    heap, index = await _octets(conn, edition)
    hours, seconds = await _roll_up(conn, now)
    await rollup.make_everything_due(conn)
    _, seconds_again = await _roll_up(conn, now)
    columns = None
    if can is Ability.READY:
        await columnstore.compress_old(conn, older_than=timedelta(days=30), now=now)
        columns = await columnstore.octets(conn) / count
    rollups = await (
        await conn.execute(
            "SELECT pg_total_relation_size('telemetry.rollup_hour'), pg_total_relation_size('telemetry.rollup_day')"
        )
    ).fetchone()
    assert rollups is not None
    await conn.close()
    return {
        "benchmark": NAME,
        "edition": edition.value,
        "postgresql": version[0],
        "observations": count,
        "values_each": VALUES,
        "octets_an_observation": {
            "rows": round(heap / count, 1),
            "index": round(index / count, 1),
            "rows_and_index": round((heap + index) / count, 1),
            "columns": None if columns is None else round(columns, 1),
            "hour_rollups": round(rollups[0] / count, 1),
            "day_rollups": round(rollups[1] / count, 1),
        },
        "octets_a_value": {
            "rows_and_index": round((heap + index) / count / VALUES, 1),
            "columns": None if columns is None else round(columns / VALUES, 1),
        },
        "columnstore": can.value,
        "rollup": {
            "device_hours": hours,
            "seconds": round(seconds, 2),
            "observations_a_second": round(count / seconds),
            "observations_a_second_when_nothing_changed": round(count / seconds_again),
        },
    }


async def _roll_up(conn: psycopg.AsyncConnection, now: datetime) -> tuple[int, float]:
    """Hours made, seconds."""
    began, hours = time.perf_counter(), 0
    while (rolled := await rollup.roll_up(conn, zone="Asia/Shanghai", now=now)).turn is Turn.ROLLED_UP:
        hours += rolled.hours
    return hours, time.perf_counter() - began


async def _octets(conn: psycopg.AsyncConnection, edition: timescale.Edition) -> tuple[int, int]:
    """Of the rows, of the index."""
    statement = (
        "SELECT pg_table_size('telemetry.observation'), pg_indexes_size('telemetry.observation')"
        if edition is timescale.Edition.PLAIN
        else "SELECT sum(table_bytes)::int8, sum(index_bytes)::int8 FROM chunks_detailed_size('telemetry.observation')"
    )
    row = await (await conn.execute(statement)).fetchone()
    assert row is not None
    return row[0], row[1]

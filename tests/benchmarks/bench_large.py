"""Ten million observations (`SUIFANG_BENCH_ROWS` sets another number): reads, cold and warm, and a minute of ingest.

Reads go through the published read side on one connection: everything of one resident in 90 days, and the newest of
each concept. Warm: what is asked for was asked for before. Cold: the server was restarted and the operating system told
to forget its files, before each round of residents not asked for yet; first as the readings arrived, then with the
closed chunks in order, as the service leaves them overnight (`ingest.reorder`), and so it stays for what follows. The
limit of a read is the server's own time for the same rows, from EXPLAIN ANALYZE.
The minute of ingest goes into that same table, end to end from MQTT to receipt; its limit is bare COPY as in `ingest`.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection

from devices.message import Message, encode
from ingest import database, observations, reorder
from simulators.embedded.broker import Broker
from simulators.embedded.database import create_database
from simulators.embedded.database import database as database_server
from simulators.embedded.timescaledb import Cluster
from tests.benchmarks import filled
from tests.benchmarks.readings import (
    NARROW_COLUMNS,
    NARROW_TABLE,
    VALUES,
    copy_rows,
    narrow_streams,
    next_of,
    payloads_of,
    rows_of,
)
from tests.benchmarks.readings import observations as observations_made
from tests.benchmarks.service import Service, Sources

NAME: Final = "large"
GOALS: Final = {"window_warm_p95_ms": 20.0, "window_cold_p95_ms": 100.0, "latest_warm_p95_ms": 10.0, "ratio": 0.6}
ASKED: Final = 200
COLD: Final = 40
WINDOW: Final = timedelta(days=90)


def run(rows: int | None = None, seconds: float = 60.0) -> dict[str, Any]:
    """One JSON object."""
    rows = rows or int(os.environ.get("SUIFANG_BENCH_ROWS", "10000000"))
    now = datetime.now(UTC)
    with database_server(options={"shared_buffers": "1GB", "max_wal_size": "8GB"}) as server:
        url = create_database(server.url, "bench_large")
        began = time.perf_counter()
        count = filled.fill(url, rows, now, _progress)
        filling = time.perf_counter() - began
        as_arrived = asyncio.run(_cold(server.cluster, url, now)) if server.cluster is not None else {}
        order = asyncio.run(_put_in_order(url, now))
        cold = asyncio.run(_cold(server.cluster, url, now)) if server.cluster is not None else {}
        warm = asyncio.run(_reads(url, range(ASKED), now))
        ingest = sustained(url, seconds, now)
        size, stored = _size(url)
    found = {"window_warm_p95_ms": warm["window_p95_ms"], "latest_warm_p95_ms": warm["latest_p95_ms"]}
    found |= {"window_cold_p95_ms": cold["window_p95_ms"]} if cold else {}
    met = {name: value <= GOALS[name] for name, value in found.items()}
    return {
        "benchmark": NAME,
        "shape": f"{count} observations of {filled.residents_of(rows)} residents in {filled.DAYS} days,"
        f" {2 * filled.residents_of(rows)} devices; filled in {filling:.0f} s",
        "server": server.name,
        "warm": warm,
        "cold_as_arrived": as_arrived,
        "reordering": order,
        "cold": cold,
        "ingest": ingest,
        "octets_an_observation_on_disk": round(size / stored),
        "goals": GOALS,
        "goals_met": met | {"ratio": ingest["ratio_to_limit"] >= GOALS["ratio"]},
    }


def _progress(part: float) -> None:
    sys.stderr.write(f"\rfilling {part:5.0%}" + ("\n" if part >= 1 else ""))
    sys.stderr.flush()


async def _reads(url: str, residents: Sequence[int], now: datetime) -> dict[str, float]:
    """Milliseconds, of the second time that each is asked."""
    conn = await database.connect(url)
    try:
        for number in residents:
            await _window(conn, number, now)
            await _latest(conn, number)
        counted = [await _timed(partial(_window, conn, number, now)) for number in residents]
        newest = [await _timed(partial(_latest, conn, number)) for number in residents]
        server = [await _server_time(conn, number, now) for number in list(residents)[:20]]
    finally:
        await conn.close()
    windows = [milliseconds for milliseconds, _ in counted]
    return {
        "rows_an_answer": round(statistics.mean(size for _, size in counted)),
        "window_p50_ms": round(statistics.median(windows), 2),
        "window_p95_ms": _p95(windows),
        "window_limit_server_p50_ms": round(statistics.median(server), 2),
        "latest_p50_ms": round(statistics.median(ms for ms, _ in newest), 2),
        "latest_p95_ms": _p95([ms for ms, _ in newest]),
    }


async def _cold(cluster: Cluster, url: str, now: datetime) -> dict[str, float]:
    """The first question of each of some residents after a restart, in four rounds."""
    found: list[float] = []
    newest: list[float] = []
    each = COLD // 4
    for number in range(4):
        await asyncio.to_thread(_forget, cluster)
        conn = await database.connect(url)
        try:
            # the catalogue and the plan are warm in a service that runs; the readings of a resident are not
            await _window(conn, 0, now)
            await _latest(conn, 0)
            some = range(1000 + number * each, 1000 + (number + 1) * each)
            found += [(await _timed(partial(_window, conn, one, now)))[0] for one in some]
            newest += [(await _timed(partial(_latest, conn, one + 2000)))[0] for one in some]
        finally:
            await conn.close()
    return {
        "window_p50_ms": round(statistics.median(found), 2),
        "window_p95_ms": _p95(found),
        "latest_p50_ms": round(statistics.median(newest), 2),
        "latest_p95_ms": _p95(newest),
    }


async def _put_in_order(url: str, now: datetime) -> dict[str, float]:
    """As the service does at night with the chunks that ended three days ago; seconds: a chunk is kept from others."""
    conn = await database.connect(url)
    try:
        began = time.perf_counter()
        done = [one async for one in reorder.reorder_closed(conn, older_than=timedelta(days=3), now=now)]
        took = time.perf_counter() - began
        counted = "SELECT sum(reltuples)::bigint FROM pg_class WHERE oid = ANY(%s::regclass[])"
        row = await (await conn.execute(counted, ([one.name for one in done],))).fetchone()
    finally:
        await conn.close()
    if not done or row is None:
        return {"chunks": 0}
    held = [one.seconds or 0.0 for one in done]
    return {
        "chunks": len(done),
        "rows": int(row[0]),
        "seconds_in_all": round(took, 1),
        "longest_seconds": round(max(held), 2),
        "seconds_a_million_rows": round(sum(held) / row[0] * 1e6, 2),
    }


def _forget(cluster: Cluster) -> None:
    """Nothing of the database is in memory afterwards: neither the server's nor the operating system's."""
    data = Path(cluster.query("SHOW data_directory").strip())
    cluster.query("CHECKPOINT")
    cluster.kill()  # its folder stays; stopping would take it away
    os.sync()
    for path in data.rglob("base/*/*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
    cluster.start()


async def _window(conn: AsyncConnection, number: int, now: datetime) -> int:
    return len(await observations.window(conn, filled.resident(number), since=now - WINDOW, until=now))


async def _latest(conn: AsyncConnection, number: int) -> int:
    return len(await observations.latest(conn, filled.resident(number)))


async def _timed(ask: Callable[[], Awaitable[int]]) -> tuple[float, int]:
    began = time.perf_counter()
    count = await ask()
    return (time.perf_counter() - began) * 1000, count


async def _server_time(conn: AsyncConnection, number: int, now: datetime) -> float:
    """Planning and execution of the same rows by the key, milliseconds."""
    query = (
        "EXPLAIN (ANALYZE, FORMAT json) SELECT o.* FROM telemetry.assignment a JOIN telemetry.observation o"
        " USING (device_id) WHERE a.subject_id = %s AND o.identity_at BETWEEN %s AND %s"
    )
    row = await (await conn.execute(query, (filled.resident(number), now - WINDOW, now))).fetchone()
    assert row is not None
    plan = row[0][0] if isinstance(row[0], list) else json.loads(row[0])[0]
    return float(plan["Planning Time"] + plan["Execution Time"])


def _p95(milliseconds: Sequence[float]) -> float:
    return round(sorted(milliseconds)[int(len(milliseconds) * 0.95)], 2)


def sustained(url: str, seconds: float, now: datetime) -> dict[str, Any]:
    """Series from several sources for so long, made as they are sent; values a second, overall and each ten seconds."""
    bare = [_bare(url, now)]
    # the readings of the filling are no batches, so the roll-ups have the new ones to do, as in a service that runs
    with Broker() as broker, Service(broker, url) as service:
        sources = Sources(broker)
        marks: list[int] = []
        ends = time.monotonic() + seconds

        def over() -> bool:
            if time.monotonic() > ends - seconds + 10 * (len(marks) + 1):
                marks.append(sources.stored)
            return time.monotonic() > ends

        before = service.processor_seconds()
        took = sources.send(_messages(now), over)
        busy = service.processor_seconds() - before
        stored = sources.stored
        sources.close()
    bare.append(_bare(url, now))
    limit = max(bare)
    rate = stored * VALUES / took
    each = [round((count - before) * VALUES / 10) for before, count in pairwise([0, *marks])]
    return {
        "form": "series, 500 a message",
        "seconds": round(took, 1),
        "observations": stored,
        "values_per_s": round(rate),
        "values_per_s_each_ten_seconds": each,
        "ingest_cpu_us_per_observation": round(busy / max(1, stored) * 1e6, 1),
        "copy_row_a_value_no_index_values_per_s": [round(one) for one in bare],
        "ratio_to_limit": round(rate / limit, 3),
    }


def _messages(now: datetime) -> Iterator[bytes]:
    """A message of the next hundred readings of the next five of 2000 cuffs, for ever."""
    began = now.replace(microsecond=0) - timedelta(days=3)
    for number in range(10**9):
        first, turn = number * 5 % 2000, number * 5 // 2000
        several = [next_of(first + one, turn, began) for one in range(5)]
        yield encode(Message(message_id=f"b-{number}", sent_at=now, series=several))


def _bare(url: str, now: datetime) -> float:
    """Values a second."""
    made = observations_made(50_000, now - timedelta(days=3))
    rows = rows_of(payloads_of(made, "series", now), now)
    streams = narrow_streams(rows, [one.values for one in made])
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(NARROW_TABLE)
        conn.execute("TRUNCATE narrow")
    return len(made) * VALUES / copy_rows(url, "narrow", NARROW_COLUMNS, streams)


def _size(url: str) -> tuple[int, int]:
    """Octets of the table with its index, and its rows."""
    hyper = "SELECT hypertable_size('telemetry.observation')"
    plain = "SELECT pg_total_relation_size('telemetry.observation')"
    with psycopg.connect(url, autocommit=True) as conn:
        try:
            (size,) = conn.execute(hyper).fetchone() or (0,)
        except psycopg.Error:
            (size,) = conn.execute(plain).fetchone() or (0,)
        (rows,) = conn.execute("SELECT count(*) FROM telemetry.observation").fetchone() or (1,)
    return int(size), int(rows)

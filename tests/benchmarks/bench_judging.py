"""The monitor: readings judged a second, of residents on a register who measure twice a day.

Nine in ten readings are on target, one in ten is not; a batch is what all residents send in a morning or an evening,
it is judged as soon as it is stored, and the history grows as the days go on. The limit, in the same run: claiming the
same batches and reading them back with the subjects they belong to, which every way of judging must do.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from psycopg import AsyncConnection

from devices.message import MOST_OBSERVATIONS
from ingest import database, observations
from monitor import database as monitor_database
from monitor.desk import Desk
from monitor.identity import Keys
from monitor.judging import LiveRules
from monitor.judging_subject import Bench, Judged
from monitor.programme import load_packs
from simulators.embedded.database import create_database
from simulators.embedded.database import database as database_server
from tests.fix_monitor import NOW, Stage, cuff

NAME: Final = "judging"
RESIDENTS: Final = 100
DAYS: Final = 30


def run() -> dict[str, Any]:
    """One JSON object."""
    with database_server() as server:
        url = create_database(server.url, "bench_judging")
        database.migrate(url)
        monitor_database.migrate(url)
        found = asyncio.run(_judge(url))
    return {
        "benchmark": NAME,
        "shape": f"{RESIDENTS} residents, {DAYS} days, twice a day, a batch for each half day, one evaluator",
        "server": server.name,
        **found,
        "limit": "claim and read back the same batches",
        "ratio_to_limit": round(found["readings_per_s"] / found["limit_readings_per_s"], 3),
    }


async def _judge(url: str) -> dict[str, Any]:
    assert RESIDENTS <= MOST_OBSERVATIONS
    bench = Bench(
        desk=Desk(Keys.generate(), ZoneInfo("Asia/Shanghai"), load_packs("2011")),
        rules=LiveRules(),
        history=timedelta(days=90),
    )
    async with await AsyncConnection.connect(url, autocommit=True) as conn:
        stage = Stage(url, conn, bench)
        for number in range(RESIDENTS):
            await stage.resident(name="模拟居民", device=f"ble:{number:012x}")
        await stage.judge(NOW - timedelta(days=DAYS))  # the assignments, before there is anything to judge of them
        began, limit, took = NOW - timedelta(days=DAYS), 0.0, 0.0
        judged: list[Judged] = []
        for half in range(2 * DAYS):
            at = began + timedelta(hours=12 * half)
            several = [
                cuff(150.0 if (number + half) % 10 == 0 else 126.0, 78.0, at=at, device=f"ble:{number:012x}")
                for number in range(RESIDENTS)
            ]
            await stage.measure(*several, at=at)
            limit += await _read_back(conn)
            before = time.perf_counter()
            judged += await stage.judge(at)
            took += time.perf_counter() - before
    readings = sum(one.readings for one in judged)
    assert readings == RESIDENTS * 2 * DAYS
    return {
        "readings": readings,
        "readings_per_s": round(readings / took),
        "ms_a_reading": round(took / readings * 1000, 3),
        "limit_readings_per_s": round(readings / limit),
    }


async def _read_back(conn: AsyncConnection[Any]) -> float:
    """Seconds; every batch is claimed once and none stays claimed."""
    began = time.perf_counter()
    async with conn.transaction(force_rollback=True):
        while (batch := await observations.claim_batch(conn)) is not None:
            await observations.batch_observations(conn, batch)
            await observations.mark_judged(conn, batch.batch_id, NOW)
    return time.perf_counter() - began

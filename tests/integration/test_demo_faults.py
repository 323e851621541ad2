"""The chain under faults: services are killed while residents measure, and the truth still holds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from simulators import witness
from simulators.chain import Chain, chain
from simulators.cohort import cohort
from simulators.process import NotReady
from simulators.scenario import load
from simulators.stage import ZONE, Stage
from simulators.truth import Ledger, Verdict

PEOPLE = cohort(5, datetime.now(ZONE).date())
SCENARIO = load("everyday", PEOPLE)


async def _verdict(running: Chain, stage: Stage) -> Verdict:
    assert await stage.settle(60), [process.tail() for process in running.processes.values()]
    async with running.connection() as conn:
        seen = await witness.look(conn, running.subjects)
    return witness.judge(stage.ledger.entries, SCENARIO.expected(stage.ledger.injections), seen)


@pytest.mark.timeout(240)
async def test_killed_services_lose_and_double_nothing() -> None:
    async with (
        chain(people=PEOPLE, seed=5, web=False) as running,
        Stage(running, SCENARIO, seed=5, ledger=Ledger()) as stage,
    ):
        await stage.import_history(datetime.now(UTC))
        play = asyncio.create_task(stage.play(16))
        for name in ("ingest", "gateway", "monitor"):
            await asyncio.sleep(2)
            await running.processes[name].kill()
            assert not running.processes[name].running
            await running.processes[name].start()
        running.broker.kill()
        await asyncio.sleep(1)
        await asyncio.to_thread(running.broker.start)
        await play
        verdict = await _verdict(running, stage)
    assert verdict.right, verdict
    assert verdict.alerts_raised == 6
    assert [running.processes[name].starts for name in ("ingest", "gateway", "monitor")] == [2, 2, 2]


@pytest.mark.timeout(120)
async def test_a_service_that_cannot_start_says_why() -> None:
    async with chain(ble=False, monitor=False, web=False) as running:
        ingest = running.processes["ingest"]
        await ingest.stop()
        async with running.connection() as conn:
            await conn.execute("DROP SCHEMA telemetry CASCADE")
        with pytest.raises(NotReady, match="ingest ended with"):
            await ingest.start()

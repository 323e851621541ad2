"""A fleet of kiosks on a real chain; and the comparison with the truth notices what is planted in the database."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from simulators import witness
from simulators.chain import chain
from simulators.crowd import Order, run
from simulators.fleet import Kiosk, cuff_readings
from simulators.stage import ZONE
from simulators.truth import Ledger, made


@pytest.mark.timeout(120)
async def test_a_fleet_gets_a_receipt_for_everything_and_the_database_equals_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    order = Order(kiosks=4, rate=200, together=10, seconds=2, seed=3)
    right, found = await run(order, ledger=Ledger(path), broker=None, credentials=None)
    assert right, found
    assert found["stored"] == found["pushed"] == found["stored_rows"] == len(Ledger.read(path))
    assert (found["lost"], found["duplicates"]) == (0, 0)


@pytest.mark.timeout(120)
async def test_planted_faults_in_the_database_are_found() -> None:
    ledger = Ledger()
    async with chain(ble=False, monitor=False, web=False, sources=["kiosk-1"]) as running:
        now = datetime.now(ZONE)
        readings = cuff_readings("eui64:0253460000000001", count=20, since=now - timedelta(minutes=1), seed=1)
        for reading in readings:
            ledger.write(made(reading, at=now, person=None, route="kiosk"))
        async with Kiosk(running.broker.credentials("kiosk-1"), site="dongyuan") as kiosk:
            kiosk.push(readings)
            assert await kiosk.settled(30)
        async with running.connection() as conn:
            assert witness.judge(ledger.entries, {}, await witness.look(conn, {})).right
            await conn.execute("DELETE FROM telemetry.observation WHERE record_no = 7")
            await conn.execute("UPDATE telemetry.observation SET v0 = v0 + 30 WHERE record_no = 8")
            await conn.execute("UPDATE telemetry.observation SET record_no = 99 WHERE record_no = 9")
            verdict = witness.judge(ledger.entries, {}, await witness.look(conn, {}))
            await conn.rollback()
    assert (verdict.lost, verdict.duplicates, verdict.altered, verdict.right) == (2, 1, 1, False)

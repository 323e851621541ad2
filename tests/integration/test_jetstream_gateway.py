"""A gateway at a NATS server: the same program, told of another broker, and of nothing else."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from gateway.outbox import Outbox
from simulators.embedded.nats import Nats
from tests.fix_bluetooth import StartGateway, until_logged
from tests.fix_ingest import IngestProcess, ask, wait_until

COUNT = "SELECT count(*) FROM telemetry.observation"
NOW = datetime.now(UTC).replace(microsecond=0)


def reading(number: int) -> Observation:
    at = NOW - timedelta(minutes=number)
    return Observation(
        device="ble:f00000000001",
        kind=BLOOD_PRESSURE,
        values=(120.0, 80.0, 93.0, 60.0),
        unit="mm[Hg]",
        measured_at=at,
        device_at=at.replace(tzinfo=None),
        record_no=number,
    )


def backlog(path: Path) -> int:
    with Outbox(path) as outbox:
        return outbox.figures().backlog


async def test_its_outbox_is_emptied_by_receipts_and_its_status_is_kept(
    nats: Nats, jetstream_process: IngestProcess, gateway: StartGateway, migrated_database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.sqlite"
    with Outbox(path) as outbox:
        outbox.put([reading(number) for number in range(250)])
    with gateway(nats, receipts_qos=0) as process:
        await until_logged(process, "receipt")
        status = "SELECT count(*) FROM telemetry.source WHERE status IS NOT NULL"
        await asyncio.to_thread(wait_until, lambda: ask(migrated_database_url, status) == [(1,)], "its status")
        assert await process.interrupt() == 0
    assert backlog(path) == 0
    assert ask(migrated_database_url, COUNT) == [(250,)]


async def test_what_it_keeps_while_the_server_is_dead_is_sent_and_stored_once_when_it_is_back(
    nats: Nats, jetstream_process: IngestProcess, gateway: StartGateway, migrated_database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.sqlite"
    with Outbox(path) as outbox:
        outbox.put([reading(number) for number in range(20)])
    nats.credentials("gw-1")
    nats.nodes[0].kill()
    with gateway(nats) as process:
        await until_logged(process, "no broker")
        await asyncio.to_thread(nats.nodes[0].start)
        await until_logged(process, "receipt")
        assert await process.interrupt() == 0
    assert backlog(path) == 0
    assert ask(migrated_database_url, COUNT) == [(20,)]

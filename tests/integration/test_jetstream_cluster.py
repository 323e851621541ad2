"""Many machines, on one: three nodes, two ingest processes, and a fleet that does not notice which are killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import nats.aio.client
import pytest

from devices.message import Receipt
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from ingest.shares import STREAM
from simulators.embedded.broker import INGEST
from simulators.embedded.nats import Nats, Node
from simulators.fleet import Kiosk
from tests.fix_ingest import SITE, IngestProcess, ask
from tests.fix_nats import jetstream

SOURCES = 6
PER_MESSAGE = 50
IN_FLIGHT = 8
PHASE_SECONDS = 7.0
DURING_SECONDS = 10.0
"""The nodes choose new leaders in 4 to 9 s."""

SETTLE_SECONDS = 90.0
"""What a killed process had in hand comes again after the acknowledgement wait of 30 s."""

BEGAN = (datetime.now(UTC) - timedelta(days=2)).replace(microsecond=0)


@pytest.fixture
def cluster() -> Iterator[Nats]:
    """Three nodes of this test's own."""
    with Nats(3) as running:
        yield running


async def leader_of_the_stream(cluster: Nats) -> Node:
    """The node through which every QoS 1 publication goes: the worst one to lose."""
    client = nats.aio.client.Client()
    word = cluster.credentials(INGEST).password
    await client.connect(cluster.servers.split(","), user=INGEST, password=word)
    try:
        answer = await client.request(f"$JS.API.STREAM.INFO.{STREAM}", b"{}", timeout=5)
    finally:
        await client.close()
    content = json.loads(answer.data)
    assert content["config"]["num_replicas"] == 3
    return next(node for node in cluster.nodes if node.name == content["cluster"]["leader"])


class Household:
    """A source with one cuff that measures as fast as its receipts come, while it is told to."""

    def __init__(self, cluster: Nats, number: int, on_receipt: Callable[[Receipt], None]) -> None:
        doors = [cluster.credentials(f"kiosk-{number}", (number + turn) % 3) for turn in range(3)]
        self.kiosk = Kiosk(doors[0], site=SITE, elsewhere=doors[1:], resend_after_s=3.0, on_receipt=self._answered)
        self.measuring = True
        self.records = 0
        self._device = f"ble:cuff-{number}"
        self._on_receipt = on_receipt

    def measure(self) -> None:
        first, self.records = self.records, self.records + PER_MESSAGE
        self.kiosk.push([self._reading(record) for record in range(first, self.records)])

    def _reading(self, record: int) -> Observation:
        at = BEGAN + timedelta(seconds=record)
        return Observation(
            device=self._device,
            kind=BLOOD_PRESSURE,
            values=(120.0 + record % 50, 80.0, 93.0, 66.0),
            unit="mm[Hg]",
            measured_at=at,
            device_at=(at + timedelta(hours=8)).replace(tzinfo=None),
            record_no=record,
        )

    def _answered(self, receipt: Receipt, _span: float) -> None:
        self._on_receipt(receipt)
        if self.measuring:
            self.measure()


async def everybody_is_served(households: list[Household]) -> None:
    """None is left out from now on; a node that begins or goes may keep its clients waiting for ten seconds or more."""
    before = [household.records for household in households]
    left_out: list[int] = []
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while left_out := [n for n, one in enumerate(households) if one.records == before[n]]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"no receipt within {SETTLE_SECONDS} s for households {left_out}")


@pytest.mark.timeout(360)
async def test_a_node_and_a_process_are_killed_under_load_and_nothing_is_lost_or_stored_twice(
    cluster: Nats, migrated_database_url: str, record_property: Callable[[str, object], None]
) -> None:
    answered: list[tuple[float, int]] = []

    def count(receipt: Receipt) -> None:
        assert not receipt.refused
        answered.append((time.monotonic(), receipt.stored + receipt.duplicate))

    households = [Household(cluster, number, count) for number in range(SOURCES)]
    settings = jetstream(cluster)
    async with AsyncExitStack() as stack:
        workers = [IngestProcess(cluster, migrated_database_url, **settings) for _ in range(2)]
        for worker in workers:
            stack.callback(worker.kill)
        await asyncio.gather(*(asyncio.to_thread(worker.start) for worker in workers))
        for household in households:
            await stack.enter_async_context(household.kiosk)
            for _ in range(IN_FLIGHT):
                household.measure()
        await everybody_is_served(households)
        moments = [time.monotonic()]
        await asyncio.sleep(PHASE_SECONDS)
        leader = await leader_of_the_stream(cluster)
        moments.append(time.monotonic())
        leader.kill()
        await asyncio.to_thread(workers[0].kill)
        await asyncio.sleep(DURING_SECONDS)
        moments.append(time.monotonic())
        await asyncio.sleep(PHASE_SECONDS)
        moments.append(time.monotonic())
        await everybody_is_served(households)
        for household in households:
            household.measuring = False
        settled = await asyncio.gather(*(household.kiosk.settled(SETTLE_SECONDS) for household in households))
        waited = time.monotonic() - moments[-1]
        assert all(settled), [household.kiosk.waiting for household in households]
        assert await asyncio.to_thread(workers[1].stop) == 0

    sent = sum(household.records for household in households)
    rows, different = ask(
        migrated_database_url,
        "SELECT count(*), count(DISTINCT (device_id, record_no)) FROM telemetry.observation",
    )[0]
    assert (rows, different) == (sent, sent)
    tallies = [household.kiosk.tally for household in households]
    figures: dict[str, object] = {
        f"readings_per_s_{phase}": round(sum(n for at, n in answered if begin <= at < end) / (end - begin))
        for phase, begin, end in zip(("before", "during", "after"), moments, moments[1:], strict=False)
    }
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(answered)]
    figures |= {
        "longest_silence_s": round(max(gaps), 2),
        "sent": sent,
        "lost": sent - different,
        "twice": rows - different,
        "sent_again": sum(tally.republished for tally in tallies),
        "answered_as_duplicate": sum(tally.duplicate for tally in tallies),
        "settled_after_s": round(waited, 2),
    }
    record_property("jetstream_cluster", figures)
    sys.stderr.write(json.dumps(figures) + "\n")  # shown by `pytest -s`

"""The other broker: a real nats-server with MQTT, JetStream and the same fences."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulators.embedded.nats import Nats
from tests.fix_ingest import IngestProcess, Source

ACK_WAIT_SECONDS = 2


def jetstream(cluster: Nats, **changes: str) -> dict[str, str]:
    """The settings of an ingest process at this cluster."""
    return {
        "transport": "jetstream",
        "nats_servers": cluster.servers,
        "replicas": str(cluster.replicas),
        "partitions": str(cluster.partitions),
        "ack_wait_seconds": str(ACK_WAIT_SECONDS),
        **changes,
    }


@pytest.fixture
def nats() -> Iterator[Nats]:
    """A server of this test's own, alone: streams are kept once."""
    with Nats() as server:
        yield server


@pytest.fixture
def nats_source(nats: Nats) -> Iterator[Source]:
    """The gateway `gw-1` at this test's server."""
    with Source(nats) as connected:
        yield connected


@pytest.fixture
def jetstream_process(nats: Nats, migrated_database_url: str) -> Iterator[IngestProcess]:
    """The service, running and pulling, between this test's server and database."""
    with IngestProcess(nats, migrated_database_url, **jetstream(nats)) as process:
        yield process

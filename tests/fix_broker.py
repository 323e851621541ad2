"""The broker: a real Mosquitto with passwords and fences."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulators.embedded import runfolder
from simulators.embedded.broker import Broker


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker of this test's own, to stop, kill and restart; `credentials(name)` signs a client in."""
    with Broker() as running:
        yield running


@pytest.fixture
def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    return runfolder.free_port()

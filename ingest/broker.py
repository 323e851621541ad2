"""The port between ingest and whatever brings its messages: `ingest.consumer` (MQTT) and `ingest.jetstream` (NATS)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came. `ticket`: what its broker needs to acknowledge it, nobody else's business."""

    topic: str
    payload: bytes
    received_at: datetime
    ticket: object


class Broker(Protocol):
    """An async context manager. What was not settled when it closes, or when the process ends, is delivered again."""

    deliveries: asyncio.Queue[Delivery]
    """Read by the service. Each broker bounds what it puts there without a `settle`."""

    connected: asyncio.Event

    async def __aenter__(self) -> Self:
        """Begin to connect; a broker that is not there yet is tried again until it is."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""

    async def run(self) -> None:
        """Fetch deliveries until cancelled; `publish`, `settle` and `drain` work on after that."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a receipt, as soon as the broker takes it. It may be lost: its source asks again."""

    def settle(self, delivery: Delivery) -> None:
        """Acknowledge, after the commit."""

    async def drain(self, seconds: float) -> bool:
        """Wait until the broker has what was published and acknowledged so far; False: not in time."""

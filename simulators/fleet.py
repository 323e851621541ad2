"""Kiosks and other sources that push over MQTT: each with its own credential, each keeping what has no receipt yet.

    async with Kiosk(credentials, site="dongyuan") as kiosk:
        kiosk.push([observation])          # returns at once; it is kept, sent, and sent again until its receipt comes
        await kiosk.settled(10)

A broker's PUBACK is no promise (house: end-to-end receipt): only ingest's receipt, sent after its commit, lets a
source forget. Repeats are harmless, since identity comes from content.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

import aiomqtt
import msgspec
from paho.mqtt.reasoncodes import ReasonCode

from devices import nomenclature
from devices.errors import MalformedMessage
from devices.message import Leaf, Message, Receipt, Topic, decode_receipt, digest, encode, in_messages
from devices.observation import Observation
from simulators.embedded.broker import Credentials

_MOST_IN_FLIGHT: Final = 64
_CONNECTS_WITHIN_S: Final = 10.0


class Tally(msgspec.Struct):
    """What one source has seen: observations pushed, messages published again, and what the receipts said."""

    pushed: int = 0
    republished: int = 0
    stored: int = 0
    duplicate: int = 0
    refused: int = 0
    noticed: int = 0
    connections: int = 0


class _Parcel:
    """A message that has no receipt yet."""

    def __init__(self, payload: bytes, pushed_at: float) -> None:
        self.payload = payload
        self.pushed_at = pushed_at
        self.sent_at: float | None = None


class Kiosk:
    """One MQTT source. resend_after_s: how long a message waits for its receipt; most: observations a message.

    elsewhere: the same account at other nodes of a cluster; a connection that breaks is followed by one to the next.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        site: str,
        elsewhere: Sequence[Credentials] = (),
        most: int = 100,
        resend_after_s: float = 8.0,
        on_receipt: Callable[[Receipt, float], None] | None = None,
    ) -> None:
        self._credentials = credentials
        self._doors = itertools.cycle([credentials, *elsewhere])
        self._topic = Topic(site, credentials.username, Leaf.OBSERVATIONS)
        self._receipts = Topic(site, credentials.username, Leaf.RECEIPTS)
        self._most = most
        self._resend_after_s = resend_after_s
        self._on_receipt = on_receipt
        self._parcels: dict[str, _Parcel] = {}
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._number = 0
        self.tally = Tally()
        self.spans: list[float] = []

    @property
    def source(self) -> str:
        """The source's name: its user name at the broker."""
        return self._credentials.username

    @property
    def waiting(self) -> int:
        """Messages without a receipt."""
        return len(self._parcels)

    def push(self, observations: Sequence[Observation]) -> None:
        """Keep and send. More observations than fit a message become several messages."""
        for part in in_messages(observations, self._most):
            self._number += 1
            # the process's start is part of the name, so that a source that starts again makes no old name again
            name = f"{self.source}-{time.time_ns():x}-{self._number}"
            self.push_payload(encode(Message(message_id=name, sent_at=datetime.now(UTC), observations=list(part))))
            self.tally.pushed += len(part)

    def push_payload(self, payload: bytes) -> str:
        """Keep and send a payload as it is, whatever it is; its SHA-256, which names it in its receipt."""
        name = digest(payload)
        self._parcels.setdefault(name, _Parcel(payload, time.monotonic()))
        self._settled.clear()
        self._wake.set()
        return name

    def push_again(self) -> None:
        """Send everything that waits once more, receipt or not (a source that was switched off and on)."""
        for parcel in self._parcels.values():
            parcel.sent_at = None
        self._wake.set()

    async def settled(self, timeout_s: float) -> bool:
        """Wait until each message has its receipt; whether that came true in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        return not self._parcels

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"kiosk {self.source}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._task is not None:
            # not cancelled at once: aiomqtt does not take it well in the middle of a connection attempt
            await asyncio.wait({self._task}, timeout=_CONNECTS_WITHIN_S + 2)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause_s = 0.1
        while not self._closing.is_set():
            try:
                await self._connected()
                pause_s = 0.1
            except (aiomqtt.MqttError, OSError):
                # the broker is away: readings are kept, and sent again after the next connection
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s * random.uniform(0.5, 1.5)):
                        await self._closing.wait()
                pause_s = min(2.0, pause_s * 2)

    async def _connected(self) -> None:
        host, port, user, password = next(self._doors)
        client = aiomqtt.Client(
            hostname=host,
            port=port,
            username=user,
            password=password,
            identifier=f"sim-{user}",
            timeout=_CONNECTS_WITHIN_S,
        )
        async with client:
            self.tally.connections += 1
            granted = await client.subscribe(str(self._receipts), qos=1)
            if any(isinstance(code, ReasonCode) and code.is_failure for code in granted):
                raise aiomqtt.MqttError("the broker refuses the receipts topic")
            self.push_again()
            tasks = [asyncio.create_task(work) for work in (self._listen(client), self._send(client))]
            closing = asyncio.create_task(self._closing.wait())
            try:
                await asyncio.wait([*tasks, closing], return_when=asyncio.FIRST_COMPLETED)
            finally:
                closing.cancel()
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            for outcome in ended:
                if isinstance(outcome, Exception):
                    raise outcome

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if isinstance(message.payload, bytes):
                self._take(message.payload)

    def _take(self, payload: bytes) -> None:
        try:
            receipt = decode_receipt(payload)
        except MalformedMessage:
            return
        parcel = self._parcels.pop(receipt.payload_sha256, None)
        if parcel is None:
            return  # the answer to a repeat whose first answer is already here
        span = time.monotonic() - parcel.pushed_at
        self.spans.append(span)
        self.tally.stored += receipt.stored
        self.tally.duplicate += receipt.duplicate
        self.tally.refused += len(receipt.refused)
        self.tally.noticed += len(receipt.notices)
        if self._on_receipt:
            self._on_receipt(receipt, span)
        self._wake.set()
        if not self._parcels:
            self._settled.set()

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            self._wake.clear()
            now = time.monotonic()
            in_flight = sum(1 for p in self._parcels.values() if p.sent_at and now - p.sent_at < self._resend_after_s)
            for parcel in list(self._parcels.values()):
                if parcel.sent_at and now - parcel.sent_at < self._resend_after_s:
                    continue
                if in_flight >= _MOST_IN_FLIGHT:
                    break
                if parcel.sent_at:
                    self.tally.republished += 1
                parcel.sent_at = time.monotonic()
                in_flight += 1
                await client.publish(str(self._topic), parcel.payload, qos=1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._wake.wait()


def cuff_readings(uid: str, *, count: int, since: datetime, seed: int, first_record: int = 0) -> list[Observation]:
    """`count` plausible pressures of one device, a second apart, for load: not of anybody in particular."""
    draw = random.Random(f"{seed}:{uid}:{first_record}")
    readings = []
    for n in range(count):
        systolic, diastolic = float(draw.randint(108, 134)), float(draw.randint(62, 84))
        at = since + timedelta(seconds=n)
        readings.append(
            Observation(
                device=uid,
                kind=nomenclature.BLOOD_PRESSURE,
                values=(systolic, diastolic, float(round((systolic + 2 * diastolic) / 3)), float(draw.randint(58, 88))),
                unit="mm[Hg]",
                measured_at=at,
                device_at=at,
                record_no=first_record + n,
                facts=("simulated",),
            )
        )
    return readings

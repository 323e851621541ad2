"""The air, an edge that listens to it, and the receiver at the far end: real Bumble, real SQLite, real MQTT."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import aiomqtt
import msgspec
import pytest

from devices.decoding import Decoded, decode
from devices.message import (
    Leaf,
    Reason,
    Receipt,
    Remark,
    Topic,
    digest,
    encode_receipt,
    every,
    parse_topic,
)
from devices.observation import Fact, Observation
from gateway.bluez import Limits, open_radio
from gateway.collector import Collector, wanted_by
from gateway.connected import Terms
from gateway.outbox import Outbox, utc_now
from simulators.embedded.broker import Broker
from simulators.radio import Air

NO_FACTS = Fact(0)
BACKEND = "simulators.bumble_backend:backends"
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
async def air() -> AsyncIterator[Air]:
    """An air of this test's own."""
    async with Air() as running:
        yield running


class Edge:
    """A gateway's radio side in this process, over HCI on TCP; what it has kept is read from the outbox file."""

    def __init__(self, outbox: Outbox, task: asyncio.Task[None], stop: asyncio.Event) -> None:
        self.outbox = outbox
        self.task = task
        self.stop = stop

    @property
    def kept(self) -> list[Observation]:
        """Every observation in the outbox, in the order it was put."""
        return kept_in(self.outbox)


def kept_in(outbox: Outbox) -> list[Observation]:
    """The observations that wait, oldest first."""
    found: list[Observation] = []
    for parcel in outbox.due(datetime.max.replace(tzinfo=UTC), 10_000):
        found += [observation for _, observation in decode(parcel.payload).observations]
    return found


OpenEdge = Callable[..., AbstractAsyncContextManager[Edge]]


@pytest.fixture
def edge(air: Air, tmp_path: Path) -> OpenEdge:
    """`async with edge() as running:` listens until the block ends; the outbox file outlives it."""

    @asynccontextmanager
    async def opened(
        *,
        accept: str = "",
        facts: Fact = NO_FACTS,
        most_octets: int = 1 << 28,
        idle_s: float = 5.0,
        call_s: float = 5.0,
        sets_clocks: bool = False,
        clock_kept: bool = True,
    ) -> AsyncIterator[Edge]:
        stop = asyncio.Event()
        wanted = wanted_by(frozenset(filter(None, accept.split(","))))
        with Outbox(tmp_path / "outbox.sqlite", most_octets=most_octets) as outbox:
            async with open_radio(
                backend=BACKEND,
                url=air.url,
                identity="dongyuan/gw-1",
                bonds=tmp_path / "bonds.json",
                services=wanted.scanned,
                limits=Limits(connect_s=5.0, call_s=call_s),
            ) as radio:
                collector = Collector(
                    radio,
                    outbox,
                    Terms(
                        zone=ZoneInfo("Asia/Shanghai"),
                        facts=facts,
                        idle_s=idle_s,
                        sets_clocks=sets_clocks,
                        clock_kept=lambda: clock_kept,
                    ),
                    wanted,
                    clock=utc_now,
                    scan_s=5.0,
                    rest=timedelta(seconds=0.05),
                    rest_most=timedelta(seconds=0.2),
                    told=lambda: None,
                    drain_s=1.0,
                )
                task = asyncio.create_task(collector.run(stop))
                try:
                    yield Edge(outbox, task, stop)
                finally:
                    stop.set()
                    await task

    return opened


class Receiver:
    """The far end: takes observations, collapses repeats by content, answers receipts unless told not to."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.stored: dict[tuple[object, ...], Observation] = {}
        self.messages: list[Decoded] = []
        self.payloads: dict[str, set[bytes]] = {}
        self.answers = True
        self.refuses: Callable[[Observation], bool] = lambda _observation: False
        self.status: list[dict[str, object]] = []
        self.progress = asyncio.Event()

    async def receive(self) -> None:
        async for message in self._client.messages:
            topic = parse_topic(str(message.topic))
            payload = bytes(message.payload)  # type: ignore[arg-type]
            if topic.leaf is Leaf.STATUS:
                self.status.append(msgspec.json.decode(payload))
            else:
                await self._take(topic, payload)
            self.progress.set()

    async def _take(self, topic: Topic, payload: bytes) -> None:
        received = decode(payload)
        self.messages.append(received)
        self.payloads.setdefault(received.message_id, set()).add(payload)
        stored = duplicate = 0
        refused = list(received.refused)
        for index, one in received.observations:
            key = (one.device, one.kind, one.device_at, one.record_no, None if one.device_at else one.measured_at)
            if self.refuses(one):
                refused.append(Remark(index, "measured_at", Reason.FUTURE_TIME))
            elif key in self.stored:
                duplicate += 1
            else:
                self.stored[key] = one
                stored += 1
        if self.answers:
            receipt = Receipt(
                message_id=received.message_id,
                payload_sha256=digest(payload),
                received_at=datetime.now(UTC),
                stored=stored,
                duplicate=duplicate,
                refused=tuple(refused),
            )
            await self._client.publish(str(topic._replace(leaf=Leaf.RECEIPTS)), encode_receipt(receipt), qos=1)

    async def until(self, reached: Callable[[Receiver], bool]) -> None:
        """Wait until the receiver's state is as wanted."""
        async with asyncio.timeout(30):
            while not reached(self):
                self.progress.clear()
                await self.progress.wait()


OpenReceiver = Callable[[Broker], AbstractAsyncContextManager[Receiver]]


@pytest.fixture
def receiver() -> OpenReceiver:
    """`async with receiver(broker) as far_end:`, with ingest's credentials and a persistent session."""

    @asynccontextmanager
    async def opened(broker: Broker) -> AsyncIterator[Receiver]:
        sign_in = broker.credentials("ingest")
        async with aiomqtt.Client(
            sign_in.host,
            sign_in.port,
            username=sign_in.username,
            password=sign_in.password,
            identifier="far-end",
            clean_session=False,
        ) as client:
            await client.subscribe(every(Leaf.OBSERVATIONS), qos=1)
            await client.subscribe(every(Leaf.STATUS), qos=1)
            running = Receiver(client)
            task = asyncio.create_task(running.receive())
            try:
                yield running
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                    await task

    return opened


class GatewayProcess:
    """`suifang-gateway run` as a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], outbox: Path, log: Path) -> None:
        self.process = process
        self.outbox = outbox
        self._log = log

    @property
    def log(self) -> list[dict[str, object]]:
        """What it has logged, JSON line by line."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        return [msgspec.json.decode(line) for line in lines if line.startswith("{")]

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(10)

    async def interrupt(self) -> int:
        """SIGINT, and wait for its end; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return await asyncio.to_thread(self.process.wait, 20)


async def until_logged(process: GatewayProcess, event: str) -> None:
    """Wait until the gateway has logged such an event."""
    async with asyncio.timeout(30):
        while not any(line["event"] == event for line in process.log):  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.05)


StartGateway = Callable[..., AbstractContextManager[GatewayProcess]]


@pytest.fixture
def gateway(tmp_path: Path) -> StartGateway:
    """`with gateway(broker, air=air) as process:`; further settings as keywords. The outbox file is the test's."""

    @contextmanager
    def started(broker: Broker, air: Air | None = None, **settings: object) -> Iterator[GatewayProcess]:
        sign_in = broker.credentials("gw-1")
        chosen: dict[str, object] = {
            "site": "dongyuan",
            "source": "gw-1",
            "outbox": tmp_path / "gateway.sqlite",
            "broker_host": sign_in.host,
            "broker_port": sign_in.port,
            "broker_password": sign_in.password,
            "bleak_backend": BACKEND,
            "radio_url": air.url if air else "tcp-client:127.0.0.1:1",
            "rest_s": 0.05,
            "rest_most_s": 0.2,
            "resend_s": 1.0,
            "reconnect_most_s": 0.5,
            "idle_s": 5,
            **settings,
        }
        environment = {f"SUIFANG_GATEWAY_{name.upper()}": str(value) for name, value in chosen.items()}
        log = tmp_path / "gateway.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "run"],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=sink,
                stderr=sink,
            )
        try:
            yield GatewayProcess(process, tmp_path / "gateway.sqlite", log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)

    return started

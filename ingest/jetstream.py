"""The other side of ingest's port: messages that a NATS cluster keeps, pulled, and acknowledged after the commit.

Devices and gateways speak MQTT 3.1.1 to any node. nats-server stores a QoS 1 publication in its stream `$MQTT_msgs`, on
a majority of the replicas, before it answers with PUBACK, and keeps it as long as a durable consumer is interested that
has not acknowledged it: those consumers are ours, one a partition (`ingest.shares`), each pulled by one process
(`ingest.claims`). Receipts go to the plain subject, which is the topic that a source reads.
API: JetStream's own JSON requests (docs.nats.io, reference/jetstream/api), nats-server 2.10 and later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from ingest.broker import Delivery
from ingest.claims import Claims
from ingest.errors import IngestError
from ingest.shares import (
    STREAM,
    Intent,
    Share,
    Ticket,
    consumer_wish,
    nanoseconds,
    shares,
    stream_wish,
    subject_of,
    topic_of,
)

_API: Final = "$JS.API."
_NO_SUCH_STREAM: Final = 10059
_EXPIRED: Final = "408"
_OPEN_SECONDS: Final = 2.0
_LOST_SECONDS: Final = 3.0
"""A request that is not answered by then went to a node that is no more, or no longer leads."""

_PATIENCE_SECONDS: Final = 10.0
_LEAST_ROOM: Final = 20
_OUT_BYTES: Final = 16 * 1024 * 1024

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the nodes are (`nats://host:port`) and how to log in. ca_file: TLS."""

    servers: tuple[str, ...]
    user: str | None = None
    password: str | None = None
    ca_file: str | None = None


class JetStream:
    """One process at the cluster. Use as an async context manager; `deliveries` is read by the caller."""

    def __init__(
        self,
        cluster: Cluster,
        intent: Intent,
        database_url: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self.connected = asyncio.Event()
        self._cluster = cluster
        self._intent = intent
        self._clock = clock
        self._shares = shares(intent)
        self._claims = Claims(database_url, len(self._shares))
        self._client = Client()
        self._inbox = ""
        self._gone = asyncio.Event()
        self._outgoing: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None
        self._complaint = ""
        self._lost_at = float("-inf")

    async def __aenter__(self) -> Self:
        """`run` connects."""
        self._sender = asyncio.create_task(self._send())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What is still in hand goes to whoever takes the partition next."""
        if self._sender is not None:
            self._sender.cancel()
        if self._inbox:  # a client that never reached a node has nothing to close
            await self._client.close()
        await self._claims.close()

    async def run(self) -> None:
        """Connect, have the consumers, and pull from those of the share, until cancelled."""
        assert self._sender is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(_until_done(self._sender))
            group.create_task(self._claims.keep(able=self._able, busy=self._busy))
            while True:
                await self._connect()
                await self._pull_shares()

    def settle(self, delivery: Delivery) -> None:
        """Acknowledge, after the commit. Still good after a reconnection, and at another node."""
        ticket = delivery.ticket
        assert isinstance(ticket, Ticket)
        if (reply := ticket.share.settle(ticket.sequence)) is not None:
            self._outgoing.put_nowait((reply, b"+ACK"))

    def publish(self, topic: str, payload: bytes) -> None:
        """To whoever subscribes at that moment; a source that was away sends again and is answered again."""
        self._outgoing.put_nowait((subject_of(topic), payload))

    async def drain(self, seconds: float) -> bool:
        """Give back what was never stored, then wait until a node has read everything; False: not in time."""
        if not self.connected.is_set():
            return False
        for share in self._shares:
            for reply in share.in_hand.values():
                self._outgoing.put_nowait((reply, b"-NAK"))
            share.in_hand.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._outgoing.join()
                await self._client.flush()
        except (TimeoutError, nats.errors.Error):
            return False
        return True

    async def _send(self) -> None:
        while True:
            subject, payload = await self._outgoing.get()
            try:
                await self._client.publish(subject, payload)
            except nats.errors.Error as error:
                self._say("a receipt or an acknowledgement is lost and will be asked for again", error)
            finally:
                self._outgoing.task_done()

    async def _connect(self) -> None:
        """The client looks for a living node by itself; only where it gives up (a refused password) comes a new one."""
        self._gone.clear()
        self._client = Client()
        await self._client.connect(
            list(self._cluster.servers),
            name=self._intent.durable,
            user=self._cluster.user,
            password=self._cluster.password,
            tls=None if self._cluster.ca_file is None else ssl.create_default_context(cafile=self._cluster.ca_file),
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            ping_interval=10,
            pending_size=_OUT_BYTES,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
        )
        self._inbox = self._client.new_inbox()
        for share in self._shares:
            await self._client.subscribe(f"{self._inbox}.{share.consumer}.*", cb=partial(self._on_message, share))
        await self._have_everything()

    async def _have_everything(self) -> None:
        """Patient while the cluster has no majority."""
        while not self._gone.is_set():
            try:
                await self._have_stream()
                for share in self._shares:
                    await self._have_consumer(share)
            except (nats.errors.Error, IngestError) as error:
                self._say("the cluster does not have the consumers yet", error)
                await asyncio.sleep(1)
            else:
                self._tell_connected()
                return

    async def _have_stream(self) -> None:
        """Whoever makes it first. The cluster would when the first MQTT client comes: before there are consumers."""
        answer = await self._request(f"STREAM.INFO.{STREAM}", {}, allow=_NO_SUCH_STREAM)
        if answer is None:
            answer = await self._request(f"STREAM.CREATE.{STREAM}", stream_wish(self._intent))
        if answer and (found := answer["config"]["num_replicas"]) < self._intent.replicas:
            log.warning("the stream has fewer replicas than wanted", found=found, wanted=self._intent.replicas)

    async def _have_consumer(self, share: Share) -> None:
        await self._request(f"CONSUMER.CREATE.{STREAM}.{share.consumer}", consumer_wish(self._intent, share))

    async def _request(
        self, subject: str, content: dict[str, Any], *, allow: int | None = None
    ) -> dict[str, Any] | None:
        """The answer; None: the error whose code is allowed."""
        message = await self._client.request(_API + subject, json.dumps(content).encode(), timeout=5)
        answer: dict[str, Any] = json.loads(message.data)
        if (error := answer.get("error")) is None:
            return answer
        if error.get("err_code") == allow:
            return None
        raise IngestError(f"{subject.partition('$')[0]}: {error.get('description')}")

    async def _pull_shares(self) -> None:
        """Until the connection is given up."""
        pulls: dict[int, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while not self._gone.is_set():
                self._claims.changed.clear()
                held = self._claims.held
                for number in pulls.keys() - held:
                    pulls.pop(number).cancel()
                for number in held - pulls.keys():
                    pulls[number] = group.create_task(self._pull(self._shares[number]))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self._claims.changed.wait()
            for task in pulls.values():
                task.cancel()

    async def _pull(self, share: Share) -> None:
        """One request after the other, each for the room that there is."""
        while True:
            await self.connected.wait()
            most = max(_LEAST_ROOM, self._intent.receive_maximum // max(1, len(self._claims.held)))
            while len(share.in_hand) > most * 3 // 4:
                share.freed.clear()
                await share.freed.wait()
            share.ask(most - len(share.in_hand), asyncio.get_running_loop().time())
            wish = json.dumps({"batch": share.expected, "expires": nanoseconds(_OPEN_SECONDS)}).encode()
            reply = f"{self._inbox}.{share.consumer}.{share.request}"
            try:
                await self._client.publish(f"{_API}CONSUMER.MSG.NEXT.{STREAM}.{share.consumer}", wish, reply=reply)
                async with asyncio.timeout(_LOST_SECONDS):
                    await share.answered.wait()
                trouble = share.trouble
                if trouble:
                    await self._have_consumer(share)
            except (TimeoutError, nats.errors.Error, IngestError) as error:
                trouble = f"{type(error).__name__} {error}"
            if trouble:
                self._say("a request for messages was not answered", trouble)
                await asyncio.sleep(0.2)

    async def _on_message(self, share: Share, message: Msg) -> None:
        if message.reply:
            sequence = message.metadata.sequence.stream
            if share.receive(sequence, message.reply):
                topic, ticket = topic_of(message.subject), Ticket(share, sequence)
                self.deliveries.put_nowait(Delivery(topic, message.data, self._clock(), ticket))
        elif message.subject.endswith(f".{share.request}"):
            status = message.headers or {}
            if (code := status.get("Status", "")) != _EXPIRED:
                share.trouble = f"{code} {status.get('Description', '')}".strip()
            share.answered.set()

    def _able(self) -> bool:
        """Connected, or gone so recently that another node will answer before another process could take over."""
        return self.connected.is_set() or asyncio.get_running_loop().time() - self._lost_at < _PATIENCE_SECONDS

    def _busy(self, number: int) -> bool:
        share = self._shares[number]
        return bool(share.in_hand) or asyncio.get_running_loop().time() - share.asked_at < _LOST_SECONDS

    def _say(self, event: str, why: Exception | str) -> None:
        """Once, not at every try."""
        detail = why if isinstance(why, str) else f"{type(why).__name__} {why}"
        if self._complaint != (complaint := f"{event}: {detail}"):
            self._complaint = complaint
            log.warning(event, detail=detail[:300])

    def _tell_connected(self) -> None:
        self._complaint = ""
        self.connected.set()
        url = self._client.connected_url
        log.info("broker connected", host=url and url.hostname, port=url and url.port)

    async def _on_error(self, error: Exception) -> None:
        self._say("the cluster's client reports an error", error)

    async def _on_disconnected(self) -> None:
        self.connected.clear()
        self._lost_at = asyncio.get_running_loop().time()
        log.warning("broker disconnected")

    async def _on_reconnected(self) -> None:
        self._tell_connected()
        for share in self._shares:
            share.answered.set()  # what was asked for is asked again, of the new node

    async def _on_closed(self) -> None:
        self.connected.clear()
        self._gone.set()


async def _until_done(task: asyncio.Task[None]) -> None:
    """Raises what the task raised; does not cancel it."""
    await asyncio.wait([task])
    task.result()

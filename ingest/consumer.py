"""The broker's side of ingest: deliveries in, acknowledgements and receipts out.

paho's network thread hands each delivery to the event loop and never acknowledges by itself (`manual_ack`). A delivery
is acknowledged only after its commit, and only on the connection that brought it: after a reconnect the broker sends
what was not acknowledged again and may give the old packet identifier to another message.
The broker limits what is in flight (MQTT 5 receive maximum); the loop's queue cannot grow beyond that.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from devices.message import Leaf, every
from ingest.broker import Delivery

KEEPALIVE_SECONDS: Final = 30
_QOS: Final = 1
_OUT_IN_FLIGHT: Final = 20
"""Receipts on the wire at once: the least receive maximum in use (Mosquitto's default), since paho fixes it before it
connects; a longer list would slow it down anyway."""

log = structlog.get_logger(__name__)


class Packet(NamedTuple):
    """The ticket of a delivery: a packet identifier means nothing on another connection."""

    connection: int
    number: int
    qos: int


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is and how to log in. ca_file: TLS."""

    host: str
    port: int
    user: str | None = None
    password: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """How to be remembered by the broker. version "5" or "3.1.1"; shared_group: `$share/{group}/…`."""

    client_id: str
    version: str = "5"
    expiry_seconds: int = 7 * 86400
    receive_maximum: int = 400
    shared_group: str | None = None


class Consumer:
    """One connection to the broker. Use as an async context manager; `deliveries` is read by the caller."""

    def __init__(
        self, address: Address, session: Session, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self.connected = asyncio.Event()
        self._address = address
        self._session = session
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection = 0
        self._unpublished = 0
        self._all_published = asyncio.Event()
        self._all_published.set()
        self._held = threading.BoundedSemaphore(session.receive_maximum)
        self._turn = threading.Lock()
        self._told: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._waking = False
        self._closing = False
        self._said = False
        self._client = self._make_client()

    def _make_client(self) -> Client:
        five = self._session.version == "5"
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._session.client_id,
            clean_session=None if five else False,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.max_inflight_messages_set(_OUT_IN_FLIGHT)
        client.reconnect_delay_set(min_delay=1, max_delay=10)
        if self._address.user is not None:
            client.username_pw_set(self._address.user, self._address.password)
        if self._address.ca_file is not None:
            client.tls_set(ca_certs=self._address.ca_file)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    async def __aenter__(self) -> Self:
        """Begin to connect; a broker that is not there yet is tried again until it is."""
        self._loop = asyncio.get_running_loop()
        options: dict[str, Any] = {}
        if self._session.version == "5":
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = self._session.expiry_seconds
            properties.ReceiveMaximum = self._session.receive_maximum
            options = {"clean_start": False, "properties": properties}
        self._client.connect_async(self._address.host, self._address.port, KEEPALIVE_SECONDS, **options)
        self._client.loop_start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """What was not acknowledged stays with the broker."""
        self._closing = True
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def run(self) -> None:
        """paho's thread fetches by itself."""

    def settle(self, delivery: Delivery) -> None:
        """Acknowledge, after the commit. On another connection than the one it came by, this does nothing."""
        packet = delivery.ticket
        assert isinstance(packet, Packet)
        with self._turn:
            if packet.connection == self._connection and packet.qos:
                self._client.ack(packet.number, packet.qos)
        self._held.release()

    def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1. Queued while the broker is away."""
        self._unpublished += 1
        self._all_published.clear()
        self._client.publish(topic, payload, qos=_QOS)

    def _published(self) -> None:
        self._unpublished -= 1
        if not self._unpublished:
            self._all_published.set()

    async def drain(self, seconds: float) -> bool:
        """Wait until the broker has taken what was published and acknowledged so far; False: it did not in time.

        The broker answers in order, so its answer to one more subscription comes after everything before it. Without
        this, closing a socket that still holds unread data resets it, and the broker may never read what we wrote.
        """
        if not self.connected.is_set():
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._all_published.wait()
                self.connected.clear()
                self._subscribe()
                await self.connected.wait()
        except TimeoutError:
            return False
        return True

    def _subscribe(self) -> None:
        group = f"$share/{self._session.shared_group}/" if self._session.shared_group else ""
        filters = [f"{group}{every(Leaf.OBSERVATIONS)}", f"{group}{every(Leaf.STATUS)}"]
        if self._session.version == "5":
            self._client.subscribe([(name, SubscribeOptions(qos=_QOS)) for name in filters])
        else:
            self._client.subscribe([(name, _QOS) for name in filters])

    # called by paho's network thread

    def _on_connect(
        self, client: Client, _userdata: object, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("broker refuses the connection", reason=str(reason))
            return
        allowed = getattr(properties, "ReceiveMaximum", _OUT_IN_FLIGHT)
        if allowed < _OUT_IN_FLIGHT:
            log.warning("broker takes fewer receipts at once than are sent", allowed=allowed, sent=_OUT_IN_FLIGHT)
        log.debug("broker accepts the connection", session_present=flags.session_present)
        self._subscribe()

    def _on_subscribe(
        self,
        _client: Client,
        _userdata: object,
        _packet: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        if refused := [str(reason) for reason in reasons if reason.is_failure]:
            log.error("broker refuses the subscription", reasons=refused)
            return
        if not self._said:
            self._said = True
            log.info("broker connected", host=self._address.host, port=self._address.port)
        self._tell(self.connected.set)

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        with self._turn:
            self._connection += 1
        self._said = False
        log.log(logging.WARNING if reason.is_failure else logging.INFO, "broker disconnected", reason=str(reason))
        self._tell(self.connected.clear)

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        # waits only where the broker knows no receive maximum (3.1.1) and a redelivery comes atop what is in hand
        while not self._held.acquire(timeout=0.5):
            if self._closing:
                return
        packet = Packet(self._connection, message.mid, message.qos)
        delivery = Delivery(message.topic, bytes(message.payload), self._clock(), packet)
        self._tell(self.deliveries.put_nowait, delivery)

    def _on_publish(
        self, _client: Client, _userdata: object, _packet: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        if reason.is_failure:
            log.warning("broker refuses a receipt", reason=str(reason))
        self._tell(self._published)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        """Word for the event loop, in order. It is woken once for all that is said until it listens."""
        self._told.append((callback, arguments))
        loop = self._loop
        if not self._waking and loop is not None and not loop.is_closed():
            self._waking = True
            loop.call_soon_threadsafe(self._listen)

    # called by the event loop

    def _listen(self) -> None:
        self._waking = False  # first: what is said from here on wakes again, or is still heard below
        while self._told:
            callback, arguments = self._told.popleft()
            callback(*arguments)

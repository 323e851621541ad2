"""Upwards: messages from the outbox to the broker, receipts back, the retained status.

A PUBACK says that the broker has a message, not that it will survive there; only the receiver's receipt lets the outbox
forget. What stays without one is sent again, octet for octet, with growing pauses. The receipts topic is read in a
persistent session, so that a receipt waits at the broker while the gateway is away; one that is lost costs a repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import aiomqtt
import msgspec
import structlog
from paho.mqtt.reasoncodes import ReasonCode

from devices.errors import MalformedMessage
from devices.message import Leaf, Topic, decode_receipt
from gateway.errors import OutboxFull, leaves
from gateway.outbox import Outbox, Parcel
from gateway.settings import Settings
from gateway.status import Report, last_will

_log = structlog.get_logger()
_QOS: Final = 1
_FIRST_PAUSE_S: Final = 1.0
_DOUBLINGS: Final = 10


class Uplink:
    """One gateway's connection to its broker."""

    def __init__(self, settings: Settings, outbox: Outbox, clock: Callable[[], datetime], report: Report) -> None:
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._report = report
        self._news = asyncio.Event()
        self._stop = asyncio.Event()

    def _topic(self, leaf: Leaf) -> str:
        return str(Topic(self._settings.site, self._settings.source, leaf))

    def news(self) -> None:
        """Say the status now rather than at its next turn."""
        self._news.set()

    def stop(self) -> None:
        """Send what can be sent within the drain time, then `run` returns."""
        self._stop.set()
        self._outbox.changed.set()

    async def run(self) -> None:
        """Until `stop`. The broker may be away as long as it likes. OutboxBroken ends it."""
        pause = min(_FIRST_PAUSE_S, self._settings.reconnect_most_s)
        while not self._stop.is_set():
            try:
                async with self._client() as client:
                    _log.info("broker reached", host=self._settings.broker_host, port=self._settings.broker_port)
                    pause = min(_FIRST_PAUSE_S, self._settings.reconnect_most_s)
                    await self._converse(client)
                    return
            except* aiomqtt.MqttError as group:
                why = "; ".join(sorted({str(error) for error in leaves(group)}))
                backlog = self._outbox.figures().backlog
                _log.warning("no broker", why=why, backlog=backlog, again_in_s=round(pause, 1))
            await set_within(self._stop, pause)
            pause = min(pause * 2, self._settings.reconnect_most_s)

    def _client(self) -> aiomqtt.Client:
        settings = self._settings
        password = settings.broker_password
        return aiomqtt.Client(
            settings.broker_host,
            settings.broker_port,
            username=None if password is None else settings.source,
            password=None if password is None else password.get_secret_value(),
            identifier=settings.source,
            clean_session=False,
            will=aiomqtt.Will(self._topic(Leaf.STATUS), last_will(), qos=_QOS, retain=True),
            tls_context=settings.tls(),
            keepalive=30,
            timeout=10,
        )

    async def _converse(self, client: aiomqtt.Client) -> None:
        """One connection: until it breaks (MqttError) or the drain is over."""
        granted = await client.subscribe(self._topic(Leaf.RECEIPTS), qos=self._settings.receipts_qos)
        if any(isinstance(code, ReasonCode) and code.is_failure for code in granted):
            # a cluster that is choosing new leaders may say so: connected without receipts, all would be sent for ever
            raise aiomqtt.MqttError("the broker refuses the receipts topic")
        async with asyncio.TaskGroup() as group:
            receive = group.create_task(self._receive(client))
            tell = group.create_task(self._tell(client))
            await self._send(client)
            tell.cancel()
            receive.cancel()
        await self._publish_status(client, running=False)

    async def _send(self, client: aiomqtt.Client) -> None:
        """Forward what is due; returns when the gateway stops and nothing is left, or the drain time is over."""
        deadline: float | None = None
        time = asyncio.get_running_loop().time
        while True:
            self._outbox.changed.clear()
            now = self._clock()
            for parcel in self._due(now):
                await self._forward(client, parcel)
            if self._stop.is_set():
                deadline = deadline or time() + self._settings.drain_s
                if self._outbox.figures().backlog == 0 or time() >= deadline:
                    return
            await self._until_due(None if deadline is None else deadline - time())

    def _due(self, now: datetime) -> list[Parcel]:
        room = self._settings.in_flight - self._outbox.in_flight(now)
        try:
            return self._outbox.due(now, room) if room > 0 else []
        except OutboxFull as error:
            _log.error("the disk is full: no new message can be made", why=error.detail)
            return []

    async def _until_due(self, most_s: float | None) -> None:
        """Wait for a change in the outbox or the next repeat."""
        due_at = self._outbox.next_due()
        waits = [1.0 if most_s is None else max(0.0, min(most_s, 1.0))]
        if due_at is not None:
            waits.append(max(0.0, (due_at - self._clock()).total_seconds()))
        await set_within(self._outbox.changed, min(waits))

    async def _forward(self, client: aiomqtt.Client, parcel: Parcel) -> None:
        settings = self._settings
        pause_s = min(settings.resend_s * 2 ** min(parcel.attempts, _DOUBLINGS), settings.resend_most_s)
        self._outbox.sent(parcel.message_id, self._clock() + timedelta(seconds=pause_s))
        try:
            await client.publish(self._topic(Leaf.OBSERVATIONS), parcel.payload, qos=_QOS)
        except aiomqtt.MqttError:
            self._outbox.unsent(parcel.message_id)
            raise
        _log.info("sent", message_id=parcel.message_id, observations=parcel.size, attempt=parcel.attempts + 1)

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload
            try:
                receipt = decode_receipt(payload if isinstance(payload, bytes) else str(payload).encode())
            except MalformedMessage as error:
                _log.warning("receipt cannot be read", why=error.detail[:200])
                continue
            try:
                settlement = self._outbox.settle(receipt)
            except OutboxFull as error:
                _log.error("the disk is full: the receipt will have to come again", why=error.detail)
                continue
            _log.info(
                "receipt",
                message_id=receipt.message_id,
                settlement=settlement.value,
                stored=receipt.stored,
                duplicate=receipt.duplicate,
                refused=len(receipt.refused),
            )
            for remark in receipt.refused:
                _log.warning("refused", message_id=receipt.message_id, field=remark.field, reason=remark.reason.value)

    async def _tell(self, client: aiomqtt.Client) -> None:
        while True:
            self._news.clear()
            await self._publish_status(client, running=True)
            await set_within(self._news, self._settings.status_s)

    async def _publish_status(self, client: aiomqtt.Client, *, running: bool) -> None:
        payload = msgspec.json.encode(self._report(running))
        await client.publish(self._topic(Leaf.STATUS), payload, qos=_QOS, retain=True)


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until `event` is set, but no longer than `seconds`; is it set?"""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return event.is_set()

"""The ingest service: broker → writers, on one event loop, until it is told to stop; then it drains."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection

from devices.message import Leaf
from ingest import columnstore, database, intake, status, steady, technical, timescale, upkeep
from ingest.batch import Work, Writer, place_of
from ingest.broker import Broker, Delivery
from ingest.consumer import Address, Consumer, Session
from ingest.directory import Directory
from ingest.jetstream import Cluster, JetStream
from ingest.settings import Settings
from ingest.shares import Intent

DRAIN_SECONDS: Final = 20.0
"""After that what is not committed stays with the broker."""

_STATUS: Final = f"/{Leaf.STATUS.value}"
_IDLE_MESSAGES: Final = 10
_GC_THRESHOLD: Final = 100_000

_T = TypeVar("_T")

log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """The clock of the service."""
    return datetime.now(UTC)


async def run(settings: Settings, stop: asyncio.Event, *, clock: Callable[[], datetime] = utc_now) -> None:
    """Serve until `stop` is set. Errors: `NotMigrated`."""
    # rows come by the thousand and hold no cycles: looking through them at the default pace costs a tenth of the work
    gc.set_threshold(_GC_THRESHOLD)
    url = settings.database_url.get_secret_value()
    first = await _unless(stop, database.wait_for_database(url))
    if first is None:
        log.info("stopped")
        return
    try:
        await database.require_migrated(first)
        log.info("database ready", edition=(await timescale.edition(first)).value)
        if settings.columnstore_days is not None:
            # before the writers connect: what it sets for the database holds for sessions that begin afterwards
            log.info("columnstore", ability=(await columnstore.enable(first)).value)
    finally:
        await first.close()
    async with _broker(settings, clock) as broker:
        service = _Service(settings, broker, clock)
        await service.serve(stop)
        if not await broker.drain(2.0):
            log.warning("the broker did not take the last receipts and acknowledgements; it will send again")
    log.info("stopped", **service.totals())


async def _unless(stop: asyncio.Event, waiting: Coroutine[Any, Any, _T]) -> _T | None:
    """What is waited for; None: `stop` was set before it came."""
    wanted, stopping = asyncio.ensure_future(waiting), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({wanted, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await wanted if wanted.done() else None
    finally:
        for task in (wanted, stopping):
            task.cancel()
        await asyncio.gather(wanted, stopping, return_exceptions=True)


class _Service:
    def __init__(self, settings: Settings, broker: Broker, clock: Callable[[], datetime]) -> None:
        url = settings.database_url.get_secret_value()
        self._settings = settings
        self._broker = broker
        self._clock = clock
        self._writers = [
            Writer(
                url,
                Directory(),  # each its own: it is forgotten with the writer's connection
                broker,
                clock=clock,
                most=settings.batch_observations,
                seconds=settings.batch_seconds,
                unknown_devices=settings.unknown_devices,
            )
            for _ in range(settings.writers)
        ]
        self._statuses: asyncio.Queue[Delivery] = asyncio.Queue()

    async def serve(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            writers = [group.create_task(writer.run()) for writer in self._writers]
            others = [
                group.create_task(self._broker.run()),
                group.create_task(self._dispatch()),
                group.create_task(self._keep_statuses()),
                group.create_task(self._watch()),
            ]
            others += [group.create_task(task) for task in upkeep.tasks(self._settings, self._clock, self.is_busy)]
            await stop.wait()
            log.info("draining")
            for task in others:
                task.cancel()
            for writer in self._writers:
                writer.queue.put_nowait(None)
            _, late = await asyncio.wait(writers, timeout=DRAIN_SECONDS)
            for task in late:
                task.cancel()

    def is_busy(self) -> bool:
        """More waits to be stored than a batch takes at once when there is no load."""
        return sum(writer.queue.qsize() for writer in self._writers) > _IDLE_MESSAGES

    def totals(self) -> dict[str, int]:
        counts = [writer.counts for writer in self._writers]
        names = ("batches", "messages", "stored", "duplicate", "refused", "staged", "retried")
        return {name: sum(getattr(count, name) for count in counts) for name in names}

    async def _dispatch(self) -> None:
        limits = self._settings.limits()
        while True:
            delivery = await self._broker.deliveries.get()
            if delivery.topic.endswith(_STATUS):
                self._statuses.put_nowait(delivery)
                continue
            taken = intake.take(delivery.topic, delivery.payload, delivery.received_at, limits)
            part, chosen = place_of(taken.affinity, self._settings.parts, len(self._writers))
            if part == self._settings.part:
                self._writers[chosen].queue.put_nowait(Work(taken, delivery))
            else:
                self._broker.settle(delivery)  # another process hears it too, and stores it
            await asyncio.sleep(0)  # a full queue would otherwise keep the writers waiting

    async def _keep_statuses(self) -> None:
        connection = steady.SteadyConnection(self._settings.database_url.get_secret_value())
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                delivery = await self._statuses.get()
                if (understood := status.understand(delivery.topic, delivery.payload)) is not None:

                    async def work(conn: AsyncConnection, kept: status.Status = understood) -> None:
                        await status.keep(conn, kept, self._clock())

                    try:
                        await connection.run(work)
                    except (psycopg.Error, ValueError, RecursionError) as error:
                        log.warning("a status cannot be kept", topic=delivery.topic, error=type(error).__name__)
                self._broker.settle(delivery)
        await connection.close()

    async def _watch(self) -> None:
        settings = self._settings
        limit = technical.Limit(settings.quarantine_alert_count, settings.quarantine_alert_minutes)
        url = settings.database_url.get_secret_value()
        await technical.watch(url, limit, seconds=settings.quarantine_watch_seconds, clock=self._clock)


def _broker(settings: Settings, clock: Callable[[], datetime]) -> Broker:
    secret = settings.broker_password
    password = None if secret is None else secret.get_secret_value()
    user, ca_file = settings.broker_user, settings.broker_ca_file
    if settings.transport == "jetstream":
        intent = Intent(
            settings.durable,
            settings.partitions,
            settings.replicas,
            settings.ack_wait_seconds,
            settings.receive_maximum,
        )
        url = settings.database_url.get_secret_value()
        return JetStream(Cluster(settings.servers(), user, password, ca_file), intent, url, clock=clock)
    session = Session(
        settings.client_id,
        settings.mqtt_version,
        settings.session_expiry_seconds,
        settings.receive_maximum,
        settings.shared_group,
    )
    return Consumer(Address(settings.broker_host, settings.broker_port, user, password, ca_file), session, clock=clock)

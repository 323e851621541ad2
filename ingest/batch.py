"""Messages grouped into transactions, and what follows a commit: the receipt, then the acknowledgement.

A device goes to one writer (by its name, so it holds across processes): two writers would only wait for each other.
One message that the database cannot store never holds back the others: the batch is halved until it stands alone,
and then it is kept in quarantine. A database that is away is another matter: everything is held, nothing acknowledged.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import structlog
from psycopg import AsyncConnection

from devices.message import MOST_BYTES, Leaf, Reason, Receipt, Remark, encode_receipt
from ingest import commit, steady
from ingest.broker import Broker, Delivery
from ingest.commit import Stored, UnknownDevices
from ingest.directory import Directory
from ingest.intake import Intake

_GAP_SECONDS: Final = 0.005
"""A pause this long means that no more is on its way: sources that wait for receipts would wait for nothing."""

_MOST_OCTETS: Final = 16 * MOST_BYTES
"""Of the payloads of a batch: all of them may have to go to quarantine, in one statement, which has its limit too."""

log = structlog.get_logger(__name__)


class Work(NamedTuple):
    """A message and the delivery that waits for its acknowledgement."""

    intake: Intake
    delivery: Delivery


@dataclass(slots=True)
class Counts:
    """Since the process began."""

    batches: int = 0
    messages: int = 0
    stored: int = 0
    duplicate: int = 0
    refused: int = 0
    staged: int = 0
    retried: int = 0
    """Attempts repeated because writers met (deadlock, serialization)."""


def place_of(affinity: str, parts: int, writers: int) -> tuple[int, int]:
    """The process and its writer for a device: the same wherever it is asked."""
    rest, part = divmod(zlib.crc32(affinity.encode()), parts)
    return part, rest % writers


class Writer:
    """One connection, one queue, one transaction at a time."""

    def __init__(
        self,
        database_url: str,
        directory: Directory,
        broker: Broker,
        *,
        clock: Callable[[], datetime],
        most: int = 10_000,
        seconds: float = 0.05,
        unknown_devices: UnknownDevices = UnknownDevices.STORE,
    ) -> None:
        self.queue: asyncio.Queue[Work | None] = asyncio.Queue()
        self.counts = Counts()
        self._database = steady.SteadyConnection(database_url, on_lost=directory.forget)
        self._directory = directory
        self._broker = broker
        self._clock = clock
        self._most = most
        self._seconds = seconds
        self._unknown_devices = unknown_devices

    async def run(self) -> None:
        """Until None comes through the queue; what stands before it is committed."""
        try:
            while group := await self._gather():
                await self._commit(group)
        finally:
            await self._database.close()

    async def _gather(self) -> list[Work]:
        """At once what is there. Only when more than one message had piled up is there load, and a wait for more:
        while messages keep coming, and never longer than the setting says."""
        group: list[Work] = []
        count = octets = 0
        deadline: float | None = None
        while count < self._most and octets < _MOST_OCTETS:
            try:
                work = await self._next(group, deadline)
            except TimeoutError:
                break
            if work is None:
                if group:
                    self.queue.put_nowait(None)
                break
            group.append(work)
            count += max(1, work.intake.sent)
            octets += len(work.intake.payload)
            if deadline is None and self.queue.empty():
                if len(group) == 1:
                    break
                deadline = asyncio.get_running_loop().time() + self._seconds
        return group

    async def _next(self, group: Sequence[Work], deadline: float | None) -> Work | None:
        if not group or not self.queue.empty():
            return await self.queue.get()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(min(deadline or 0.0, loop.time() + _GAP_SECONDS)):
            return await self.queue.get()

    async def _commit(self, group: Sequence[Work]) -> None:
        intakes = [work.intake for work in group]

        async def attempt(conn: AsyncConnection) -> Stored:
            return await commit.store_with_retry(
                conn, self._directory, intakes, now=self._clock(), unknown_devices=self._unknown_devices
            )

        try:
            stored = await self._database.run(attempt)
        except Exception as error:  # noqa: BLE001 - whatever one message provokes, the others must go on
            if len(group) > 1:
                middle = len(group) // 2
                await self._commit(group[:middle])
                await self._commit(group[middle:])
            else:
                await self._commit([Work(_refused_whole(group[0].intake, error), group[0].delivery)])
            return
        self._count(stored, len(group))
        for work, receipt in zip(group, stored.receipts, strict=True):
            self._answer(work, receipt)

    def _answer(self, work: Work, receipt: Receipt) -> None:
        if work.intake.topic is not None:
            topic = work.intake.topic._replace(leaf=Leaf.RECEIPTS)
            self._broker.publish(str(topic), encode_receipt(receipt))
        self._broker.settle(work.delivery)

    def _count(self, stored: Stored, messages: int) -> None:
        counts = self.counts
        counts.batches += 1
        counts.messages += messages
        counts.stored += stored.stored
        counts.duplicate += stored.duplicate
        counts.refused += stored.refused
        counts.staged += stored.staged
        counts.retried += stored.attempts - 1
        if stored.attempts > 1:
            log.info("writers met, the batch was tried again", attempts=stored.attempts, messages=messages)
        log.debug("batch stored", batch_id=stored.batch_id, messages=messages, stored=stored.stored)
        if stored.refused:
            log.warning("observations are in quarantine", refused=stored.refused)


def _refused_whole(intake: Intake, error: Exception) -> Intake:
    """The message without its rows; its payload goes to quarantine with what was said about it."""
    log.error(
        "a message cannot be stored and is in quarantine", message_id=intake.message_id, error=type(error).__name__
    )
    if any(remark.reason is Reason.NOT_STORABLE for remark in intake.refused):
        raise error
    detail = f"{type(error).__name__}: the database cannot store this message"
    refused = [Remark(-1, "payload", Reason.NOT_STORABLE, detail)]
    return Intake(
        intake.topic_text,
        intake.topic,
        intake.received_at,
        intake.payload,
        intake.payload_sha256,
        intake.message_id,
        sent=1,
        refused=refused,
    )

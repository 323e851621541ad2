"""A writer and its queue: what becomes one transaction, what is answered, and in which order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import psycopg

from devices.message import MOST_BYTES, Reason, Receipt, decode_receipt
from ingest.batch import Work, Writer
from ingest.broker import Delivery
from ingest.directory import Directory
from tests.fix_ingest import ask, message, pressure, taken


class Book:
    """A broker's end that writes down what it is told, beside how many rows are committed at that moment."""

    def __init__(self, url: str) -> None:
        self.deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        self.connected = asyncio.Event()
        self.receipts: list[Receipt] = []
        self.settled: list[Delivery] = []
        self.committed: list[int] = []
        self._url = url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def run(self) -> None:
        return

    def publish(self, topic: str, payload: bytes) -> None:
        self.receipts.append(decode_receipt(payload))

    def settle(self, delivery: Delivery) -> None:
        ((count,),) = ask(self._url, "SELECT count(*) FROM telemetry.observation")
        self.committed.append(count)
        self.settled.append(delivery)

    async def drain(self, seconds: float) -> bool:
        return True


async def written(url: str, payloads: list[bytes], **how: int) -> tuple[Writer, Book]:
    """All of them in the queue before the writer begins, and the sign to stop behind them."""
    book = Book(url)
    writer = Writer(url, Directory(), book, clock=lambda: datetime.now(UTC), **how)
    for payload in payloads:
        intake = taken(payload)
        writer.queue.put_nowait(Work(intake, Delivery(intake.topic_text, payload, intake.received_at, None)))
    writer.queue.put_nowait(None)
    await asyncio.wait_for(writer.run(), 60)
    return writer, book


async def test_what_stands_before_the_sign_to_stop_is_committed_and_then_answered(migrated_database_url: str) -> None:
    payloads = [message(pressure(number), message_id=f"m-{number}") for number in range(12)]
    writer, book = await written(migrated_database_url, payloads, most=5)
    assert [receipt.message_id for receipt in book.receipts] == [f"m-{number}" for number in range(12)]
    assert [delivery.payload for delivery in book.settled] == payloads
    assert book.committed == [5] * 5 + [10] * 5 + [12] * 2
    assert (writer.counts.batches, writer.counts.messages, writer.counts.stored) == (3, 12, 12)


async def test_messages_that_are_large_together_are_not_one_transaction(migrated_database_url: str) -> None:
    # enough of them would be more than the server takes in one statement
    payloads = [bytes([number]) * (2 * MOST_BYTES) for number in range(20)]
    writer, book = await written(migrated_database_url, payloads)
    assert [remark.reason for receipt in book.receipts for remark in receipt.refused] == [Reason.TOO_LARGE] * 20
    assert (writer.counts.batches, writer.counts.messages, len(book.settled)) == (3, 20, 20)


async def test_two_messages_that_cannot_be_stored_hold_back_none_of_the_eight(migrated_database_url: str) -> None:
    with psycopg.connect(migrated_database_url, autocommit=True) as conn:
        conn.execute("ALTER TABLE telemetry.observation ADD CONSTRAINT no CHECK (record_no NOT IN (2, 7)) NOT VALID")
    payloads = [message(pressure(number), message_id=f"m-{number}") for number in range(10)]
    _, book = await written(migrated_database_url, payloads)
    refused = {receipt.message_id: [remark.reason for remark in receipt.refused] for receipt in book.receipts}
    assert refused == {f"m-{n}": [Reason.NOT_STORABLE] if n in {2, 7} else [] for n in range(10)}
    assert [delivery.payload for delivery in book.settled] == payloads
    numbers = "SELECT record_no FROM telemetry.observation ORDER BY 1"
    assert ask(migrated_database_url, numbers) == [(n,) for n in range(10) if n not in {2, 7}]
    books = "SELECT messages, sent, stored, refused FROM telemetry.account"
    assert ask(migrated_database_url, books) == [(10, 10, 8, 2)]

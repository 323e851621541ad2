"""The service as it runs: a process between a real broker and a real database, killed and cut off at bad moments."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from devices.message import Leaf, Reason
from ingest import database
from simulators.embedded.broker import Broker
from simulators.embedded.timescaledb import Cluster
from tests.fix_ingest import (
    MOMENTS_TO_KILL,
    IngestProcess,
    Source,
    ask,
    message,
    pressure,
    stores_exactly_once_after_a_kill,
    wait_until,
)

COUNT = "SELECT count(*) FROM telemetry.observation"


@pytest.fixture
def own_cluster() -> Iterator[Cluster]:
    """A database server of this test's own, to stop and start."""
    with Cluster() as cluster:
        database.migrate(cluster.url)
        yield cluster


def test_a_receipt_says_what_became_of_each_observation(
    ingest_process: IngestProcess, source: Source, migrated_database_url: str
) -> None:
    future = pressure(3, at=datetime.now(UTC) + timedelta(days=2))
    source.send(message(pressure(1), pressure(2, kind=7), future, pressure(4), message_id="mixed"))
    receipt = source.receipt()
    assert (receipt.message_id, receipt.stored, receipt.duplicate) == ("mixed", 2, 0)
    assert [(r.index, r.field, r.reason) for r in receipt.refused] == [
        (1, "kind", Reason.UNKNOWN_KIND),
        (2, "measured_at", Reason.FUTURE_TIME),
    ]
    source.send(message(pressure(4), message_id="again"))
    assert source.receipt().duplicate == 1
    assert ask(migrated_database_url, COUNT) == [(2,)]


def test_a_receipt_comes_after_the_commit_and_the_batch_is_announced(
    ingest_process: IngestProcess, source: Source, migrated_database_url: str
) -> None:
    with psycopg.connect(migrated_database_url, autocommit=True) as conn:
        conn.execute("LISTEN suifang_batch")
        source.send(message(pressure(1)))
        assert source.receipt().stored == 1
        assert ask(migrated_database_url, COUNT) == [(1,)]
        notices = list(conn.notifies(timeout=10, stop_after=1))
    assert [notice.payload for notice in notices] == ["1"]


def test_a_broken_message_gets_a_receipt_by_its_digest(ingest_process: IngestProcess, source: Source) -> None:
    source.send(b"not json")
    receipt = source.receipt()
    assert receipt.message_id == receipt.payload_sha256
    assert [(r.index, r.reason) for r in receipt.refused] == [(-1, Reason.MALFORMED)]


def test_a_status_is_kept_with_its_source(
    ingest_process: IngestProcess, source: Source, migrated_database_url: str
) -> None:
    source.send(message(pressure(1)))
    assert source.receipt().stored == 1
    source.send(b'{"state": "online", "devices": [{"device": "ble:cuff-1", "battery": 71}]}', Leaf.STATUS)
    query = "SELECT status->>'state' FROM telemetry.source WHERE status IS NOT NULL"
    wait_until(lambda: ask(migrated_database_url, query) == [("online",)], "the status")
    assert ask(migrated_database_url, "SELECT battery FROM telemetry.device") == [(71,)]


def test_a_status_the_database_cannot_keep_stops_nothing(
    ingest_process: IngestProcess, source: Source, migrated_database_url: str
) -> None:
    deep = b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}"
    for unkeepable in (b'{"a": "\\ud800"}', b'{"a": 1e400}', b'{"a": "\\u0000"}', b"no json", b"[]", deep):
        source.send(unkeepable, Leaf.STATUS)
    source.send(b'{"devices": [{"device": "ble:cuff-1", "battery": true}]}', Leaf.STATUS)
    source.send(b'{"state": "online"}', Leaf.STATUS)
    query = "SELECT status->>'state' FROM telemetry.source WHERE status ? 'state'"
    wait_until(lambda: ask(migrated_database_url, query) == [("online",)], "the good status")
    source.send(message(pressure(1)))
    assert source.receipt().stored == 1


def test_a_message_the_database_cannot_store_is_quarantined_and_the_others_are_stored(
    ingest_process: IngestProcess, source: Source, migrated_database_url: str
) -> None:
    with psycopg.connect(migrated_database_url, autocommit=True) as conn:
        # a stand-in for what no check foresaw: the server refuses one reading for its data
        conn.execute("ALTER TABLE telemetry.observation ADD CONSTRAINT unforeseen CHECK (record_no <> 13) NOT VALID")
        with conn.transaction():
            conn.execute("LOCK TABLE telemetry.batch IN ACCESS EXCLUSIVE MODE")
            for number in range(10, 16):  # all but the first pile up behind the lock and become one batch
                source.send(message(pressure(number), message_id=f"m-{number}"))
    receipts = {receipt.message_id: receipt for receipt in (source.receipt() for _ in range(6))}
    assert [r.reason for r in receipts.pop("m-13").refused] == [Reason.NOT_STORABLE]
    assert all(receipt.stored == 1 for receipt in receipts.values())
    assert ask(migrated_database_url, COUNT) == [(5,)]
    assert ask(migrated_database_url, "SELECT message_id, item FROM telemetry.quarantine") == [("m-13", -1)]


def test_a_topic_longer_than_an_index_takes_holds_back_nobody(
    ingest_process: IngestProcess, source: Source, migrated_database_url: str
) -> None:
    source.send(b"no message", site=secrets.token_hex(4000))
    source.send(message(pressure(1)))
    assert source.receipt().stored == 1
    query = "SELECT reason, length(topic) FROM telemetry.quarantine"
    wait_until(lambda: ask(migrated_database_url, query) == [("malformed", 200)], "the message in quarantine")


@MOMENTS_TO_KILL
def test_killed_between_delivery_and_receipt_it_stores_exactly_once_after_a_restart(
    broker: Broker, migrated_database_url: str, source: Source, held: str, possible: set[int]
) -> None:
    with IngestProcess(broker, migrated_database_url) as process:
        stores_exactly_once_after_a_kill(process, source, migrated_database_url, held=held, possible=possible)


def test_a_broker_killed_and_restarted_is_found_again(
    broker: Broker, ingest_process: IngestProcess, source: Source, migrated_database_url: str
) -> None:
    source.send(message(pressure(1)))
    assert source.receipt().stored == 1
    broker.kill()
    ingest_process.wait_for_line("broker disconnected")
    ingest_process.lines.clear()
    broker.start()
    source.wait_connected()
    ingest_process.wait_for_line("broker connected")
    source.send(message(pressure(2), message_id="after"))
    receipt = source.receipt()
    while receipt.message_id != "after":  # what the broker had saved may come again
        receipt = source.receipt()
    assert receipt.stored == 1
    assert ask(migrated_database_url, COUNT) == [(2,)]


def test_while_the_database_is_killed_and_away_messages_are_held_and_then_stored_once(
    broker: Broker, source: Source, own_cluster: Cluster
) -> None:
    with IngestProcess(broker, own_cluster.url) as process:
        source.send(message(pressure(1)))
        assert source.receipt().stored == 1
        own_cluster.kill()
        for number in range(2, 7):
            source.send(message(pressure(number), message_id=f"m-{number}"))
        process.wait_for_line("database does not take the work, holding")
        own_cluster.start()
        receipts = [source.receipt() for _ in range(5)]
        assert sum(receipt.stored + receipt.duplicate for receipt in receipts) == 5
        assert ask(own_cluster.url, COUNT) == [(6,)]
        process.wait_for_line("database takes the work again")
        assert process.stop() == 0


def test_an_interrupt_drains_and_leaves_nothing_for_the_next_run(
    broker: Broker, source: Source, migrated_database_url: str
) -> None:
    with IngestProcess(broker, migrated_database_url) as process:
        for number in range(40):
            source.send(message(pressure(number), message_id=f"m-{number}"))
        assert process.stop() == 0
        process.start()
        assert {source.receipt().message_id for _ in range(40)} >= {"m-0", "m-39"}
        assert ask(migrated_database_url, COUNT) == [(40,)]


def test_the_old_protocol_version_is_spoken_too(broker: Broker, source: Source, migrated_database_url: str) -> None:
    with IngestProcess(broker, migrated_database_url, mqtt_version="3.1.1"):
        source.send(message(pressure(1)))
        assert source.receipt().stored == 1


def test_a_shared_group_splits_the_work_between_two_processes(
    broker: Broker, source: Source, migrated_database_url: str
) -> None:
    shared = {"shared_group": "storage"}
    with (
        IngestProcess(broker, migrated_database_url, client_id="one", **shared) as one,
        IngestProcess(broker, migrated_database_url, client_id="two", **shared) as two,
    ):
        for number in range(30):
            source.send(message(pressure(number), message_id=f"m-{number}"))
        assert sum(source.receipt().stored for _ in range(30)) == 30
        assert (one.stop(), two.stop()) == (0, 0)
        shares = [process.wait_for_line("stopped")["stored"] for process in (one, two)]
    assert sum(shares) == 30
    assert min(shares) > 0

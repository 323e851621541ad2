"""Ingest at one NATS server with JetStream: the same promises as at an MQTT broker, kept another way."""

from __future__ import annotations

import subprocess
import sys
import time

import psycopg

from devices.message import Leaf, Reason
from ingest import database
from simulators.embedded.nats import Nats
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
from tests.fix_nats import jetstream

COUNT = "SELECT count(*) FROM telemetry.observation"
LOCKS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid > 0 AND database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY pid"
)


def test_a_reading_over_mqtt_is_stored_and_its_receipt_comes_back(
    jetstream_process: IngestProcess, nats_source: Source, migrated_database_url: str
) -> None:
    nats_source.send(message(pressure(1), pressure(2, kind=7), message_id="mixed"))
    receipt = nats_source.receipt()
    assert (receipt.message_id, receipt.stored, [r.reason for r in receipt.refused]) == (
        "mixed",
        1,
        [Reason.UNKNOWN_KIND],
    )
    nats_source.send(message(pressure(1), message_id="again"))
    assert nats_source.receipt().duplicate == 1
    assert ask(migrated_database_url, COUNT) == [(1,)]


def test_what_is_acknowledged_while_no_ingest_runs_waits_for_it(
    nats: Nats, nats_source: Source, migrated_database_url: str
) -> None:
    with IngestProcess(nats, migrated_database_url, **jetstream(nats)) as process:
        assert process.stop() == 0
        for number in range(20):
            nats_source.send(message(pressure(number), message_id=f"m-{number}"))
        nats.nodes[0].kill()  # and the server itself may go: what it acknowledged is in its store
        nats.nodes[0].start()
        nats_source.wait_connected()
        process.start()
        wait_until(lambda: ask(migrated_database_url, COUNT) == [(20,)], "what was sent before")


@MOMENTS_TO_KILL
def test_killed_between_delivery_and_acknowledgement_it_stores_exactly_once_after_a_restart(
    nats: Nats, nats_source: Source, migrated_database_url: str, held: str, possible: set[int]
) -> None:
    with IngestProcess(nats, migrated_database_url, **jetstream(nats)) as process:
        stores_exactly_once_after_a_kill(process, nats_source, migrated_database_url, held=held, possible=possible)


def test_a_delivery_that_comes_again_while_it_is_in_hand_is_taken_once(
    jetstream_process: IngestProcess, nats_source: Source, migrated_database_url: str
) -> None:
    with psycopg.connect(migrated_database_url) as holding:
        holding.execute("LOCK TABLE telemetry.batch IN ACCESS EXCLUSIVE MODE")
        nats_source.send(message(pressure(1)))
        time.sleep(3 * 2)  # the server's own wait for the acknowledgement passes, and passes again
    assert nats_source.receipt().stored == 1
    assert jetstream_process.stop() == 0
    totals = jetstream_process.wait_for_line("stopped")
    assert (totals["messages"], totals["stored"], totals["duplicate"]) == (1, 1, 0)


def test_a_poisonous_message_is_quarantined_and_holds_back_nobody(
    jetstream_process: IngestProcess, nats_source: Source, migrated_database_url: str
) -> None:
    with psycopg.connect(migrated_database_url, autocommit=True) as conn:
        conn.execute("ALTER TABLE telemetry.observation ADD CONSTRAINT unforeseen CHECK (record_no <> 13) NOT VALID")
        with conn.transaction():
            conn.execute("LOCK TABLE telemetry.batch IN ACCESS EXCLUSIVE MODE")
            for number in range(10, 16):
                nats_source.send(message(pressure(number), message_id=f"m-{number}"))
            nats_source.send(b"not json")
    receipts = {receipt.message_id: receipt for receipt in (nats_source.receipt() for _ in range(7))}
    assert [r.reason for r in receipts.pop("m-13").refused] == [Reason.NOT_STORABLE]
    stored = sum(receipt.stored for receipt in receipts.values())
    assert stored == 5
    reasons = ask(migrated_database_url, "SELECT reason FROM telemetry.quarantine ORDER BY reason")
    assert reasons == [("malformed",), ("not-storable",)]


def test_while_the_database_is_killed_and_away_messages_wait_at_the_server_and_are_stored_once(
    nats: Nats, nats_source: Source
) -> None:
    with Cluster() as server:
        database.migrate(server.url)
        with IngestProcess(nats, server.url, **jetstream(nats)) as process:
            nats_source.send(message(pressure(1)))
            assert nats_source.receipt().stored == 1
            server.kill()
            for number in range(2, 7):
                nats_source.send(message(pressure(number), message_id=f"m-{number}"))
            process.wait_for_line("database does not take the work, holding")
            server.start()
            receipts = [nats_source.receipt() for _ in range(5)]
            assert sum(receipt.stored + receipt.duplicate for receipt in receipts) == 5
            assert ask(server.url, COUNT) == [(6,)]
            assert process.stop() == 0


def test_a_status_is_kept_with_its_source(
    jetstream_process: IngestProcess, nats_source: Source, migrated_database_url: str
) -> None:
    nats_source.send(b'{"state": "online"}', Leaf.STATUS)
    query = "SELECT status->>'state' FROM telemetry.source WHERE status IS NOT NULL"
    wait_until(lambda: ask(migrated_database_url, query) == [("online",)], "the status")


def test_an_interrupt_drains_and_leaves_nothing_for_the_next_run(
    nats: Nats, nats_source: Source, migrated_database_url: str
) -> None:
    with IngestProcess(nats, migrated_database_url, **jetstream(nats)) as process:
        for number in range(40):
            nats_source.send(message(pressure(number), message_id=f"m-{number}"))
        assert process.stop() == 0
        process.start()
        wait_until(lambda: ask(migrated_database_url, COUNT) == [(40,)], "all of them")
        assert process.stop() == 0
        assert process.wait_for_line("stopped")["duplicate"] == 0


def test_two_processes_share_the_partitions_and_a_source_stays_with_one(
    nats: Nats, nats_source: Source, migrated_database_url: str
) -> None:
    with (
        IngestProcess(nats, migrated_database_url, **jetstream(nats)) as one,
        IngestProcess(nats, migrated_database_url, **jetstream(nats)) as two,
        Source(nats, "gw-2") as second,
        Source(nats, "gw-3") as third,
        Source(nats, "gw-4") as fourth,
        Source(nats, "gw-5") as fifth,
    ):
        wait_until(lambda: ask(migrated_database_url, LOCKS) == [(5,), (5,)], "five shares each")
        sources = (nats_source, second, third, fourth, fifth)
        for number in range(30):
            for source in sources:
                source.send(message(pressure(number, device=f"ble:{source.name}"), message_id=f"m-{number}"))
        for source in sources:
            assert sum(source.receipt().stored for _ in range(30)) == 30
        assert (one.stop(), two.stop()) == (0, 0)
        shares = [process.wait_for_line("stopped")["stored"] for process in (one, two)]
    assert sum(shares) == 150
    assert min(shares) > 0
    assert all(share % 30 == 0 for share in shares), "each source's readings went through one process"


def test_a_cluster_with_other_partitions_than_ingest_knows_of_loses_nothing(migrated_database_url: str) -> None:
    with (
        Nats(partitions=40) as cluster,
        IngestProcess(cluster, migrated_database_url, **jetstream(cluster, partitions="2")),
    ):
        for name in ("gw-1", "gw-2", "gw-3"):
            with Source(cluster, name) as source:
                source.send(message(pressure(1, device=f"ble:{name}")))
                assert source.receipt().stored == 1


def test_a_process_that_cannot_reach_the_cluster_claims_nothing(
    nats: Nats, nats_source: Source, migrated_database_url: str
) -> None:
    environment = IngestProcess(
        nats, migrated_database_url, **jetstream(nats, broker_password="not this one")
    ).environment
    command = [sys.executable, "-m", "ingest", "run"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as refused:
        try:
            assert refused.stderr is not None
            assert any("Authorization Violation" in line for line in refused.stderr)
            with IngestProcess(nats, migrated_database_url, **jetstream(nats)):
                wait_until(lambda: ask(migrated_database_url, LOCKS) == [(10,)], "all shares with the other one")
                nats_source.send(message(pressure(1)))
                assert nats_source.receipt().stored == 1
        finally:
            refused.kill()


def test_a_process_that_ends_leaves_its_partitions_to_the_other(
    nats: Nats, nats_source: Source, migrated_database_url: str
) -> None:
    with (
        IngestProcess(nats, migrated_database_url, **jetstream(nats)) as one,
        IngestProcess(nats, migrated_database_url, **jetstream(nats)),
    ):
        one.kill()
        for number in range(10):
            nats_source.send(message(pressure(number), message_id=f"m-{number}"))
        assert sum(nats_source.receipt().stored for _ in range(10)) == 10

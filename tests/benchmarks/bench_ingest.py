"""Ingest end to end beside bare COPY of the same rows, in the same minutes on the same machine.

End to end: a source publishes messages of 100 observations (cuff records of four values) at QoS 1 through a real
Mosquitto; `suifang-ingest run` commits, publishes receipts, acknowledges; the clock stops when the last receipt is in
the source's hands. Messages are encoded beforehand.
Bare COPY: psycopg's binary COPY of rows packed beforehand, 5000 rows a commit, one connection, into
- a table with one row a value and no index (the limit the ratio is taken of),
- the same hypertable as ingest's, compound rows with the one unique index.
The order is copy, ingest, copy again; the bare figure is the better of the two.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.message import Leaf, Message, Topic, decode_receipt, encode
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from ingest import columns, database, intake
from ingest.columns import Rows
from ingest.placing import place
from ingest.rows import COLUMNS, HEADER, TRAILER
from simulators.embedded.broker import INGEST, Broker
from simulators.embedded.database import create_database
from simulators.embedded.database import database as database_server

NAME = "ingest"
SITE, SOURCES = "bench", ("gw-1", "gw-2", "gw-3", "gw-4")
PER_MESSAGE = 100
PER_COMMIT = 5000
VALUES = 4
IN_FLIGHT = 100

_NARROW = struct.Struct(">hiqiqidiiiiiiiiihih")


def observations(count: int, began: datetime) -> list[Observation]:
    """`count` cuff records: each device delivers 100 of them, one a minute, devices interleave message by message."""
    made = []
    for number in range(count):
        device, record = divmod(number, PER_MESSAGE)
        at = began + timedelta(minutes=record, seconds=device % 60)
        made.append(
            Observation(
                device=f"ble:{device:012x}",
                kind=BLOOD_PRESSURE,
                values=(100.0 + number % 60, 60.0 + number % 30, 80.0, 55.0 + number % 40),
                unit="mm[Hg]",
                measured_at=at + timedelta(milliseconds=number % 900),
                device_at=(at + timedelta(hours=8)).replace(tzinfo=None),
                record_no=record,
            )
        )
    return made


def end_to_end(url: str, payloads: Sequence[bytes], settings: dict[str, str]) -> tuple[float, float]:
    """Seconds from the first publication to the last receipt; seconds of processor that ingest took between them."""
    with Broker() as broker:
        environment = _environment(broker, url) | settings
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest", "run"], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            if "broker connected" in line:
                break
        log = threading.Thread(target=process.stderr.read, daemon=True)
        log.start()
        try:
            before = _processor_seconds(process.pid)
            seconds = _publish(broker, payloads)
            return seconds, _processor_seconds(process.pid) - before
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _processor_seconds(pid: int) -> float:
    """User and system time of a running process so far: proc(5), fields 14 and 15 of `stat`."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _environment(broker: Broker, url: str) -> dict[str, str]:
    credentials = broker.credentials(INGEST)
    return {
        **os.environ,
        "SUIFANG_INGEST_DATABASE_URL": url,
        "SUIFANG_INGEST_BROKER_PORT": str(credentials.port),
        "SUIFANG_INGEST_BROKER_USER": credentials.username,
        "SUIFANG_INGEST_BROKER_PASSWORD": credentials.password,
    }


def _publish(broker: Broker, payloads: Sequence[bytes]) -> float:
    """Seconds from the first message to the last receipt, from several sources at once."""
    sources = [_Source(broker, name) for name in SOURCES]
    share = [list(payloads[number :: len(sources)]) for number in range(len(sources))]
    threads = [threading.Thread(target=source.send, args=(part,)) for source, part in zip(sources, share, strict=True)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    stored = sum(source.close() for source in sources)
    assert stored == len(payloads) * PER_MESSAGE, f"{stored} stored"
    return seconds


class _Source:
    """At most `IN_FLIGHT` messages wait for their receipt, as a gateway's outbox does it."""

    def __init__(self, broker: Broker, name: str) -> None:
        credentials = broker.credentials(name)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(credentials.username, credentials.password)
        self._name = name
        self._stored = 0
        self._room = threading.Semaphore(IN_FLIGHT)
        ready = threading.Event()
        self._client.on_connect = lambda c, *_: c.subscribe(str(Topic(SITE, name, Leaf.RECEIPTS)), qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._on_message
        self._client.connect(credentials.host, credentials.port)
        self._client.loop_start()
        assert ready.wait(30)

    def _on_message(self, _client: Client, _userdata: object, received: MQTTMessage) -> None:
        self._stored += decode_receipt(received.payload).stored
        self._room.release()

    def send(self, payloads: Sequence[bytes]) -> None:
        """All of them, until the last receipt."""
        topic = str(Topic(SITE, self._name, Leaf.OBSERVATIONS))
        for payload in payloads:
            assert self._room.acquire(timeout=60), "no receipt came"
            self._client.publish(topic, payload, qos=1)
        for _ in range(IN_FLIGHT):
            assert self._room.acquire(timeout=60), "no receipt came"

    def close(self) -> int:
        """What its receipts said was stored."""
        self._client.disconnect()
        self._client.loop_stop()
        return self._stored


def copy_rows(url: str, table: str, columns: str, streams: Sequence[bytes]) -> float:
    """Seconds for COPY of ready-made streams, one commit each."""
    with psycopg.connect(url, autocommit=True) as conn:
        began = time.perf_counter()
        for stream in streams:
            with conn.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)") as copy:
                copy.write(stream)
        return time.perf_counter() - began


def narrow_streams(rows: Rows, values: Sequence[tuple[float | None, ...]]) -> list[bytes]:
    """One row a value: identity_at, measured_at, value, device_id, code, record_no, subject_id, unit, flags."""
    packed = [
        _NARROW.pack(
            9, 8, stamp, 8, measured, 8, value, 4, number // PER_MESSAGE, 4, slot, 4, record, 4, 7, 2, 3872, 2, 0
        )
        for number, (stamp, measured, record, together) in enumerate(
            zip(rows.stamps.tolist(), rows.measured.tolist(), rows.records.tolist(), values, strict=True)
        )
        for slot, value in enumerate(together)
    ]
    return _streams(packed)


def compound_streams(rows: Rows) -> list[bytes]:
    """The rows exactly as ingest writes them."""
    device_ids = np.arange(len(rows)) // PER_MESSAGE
    placed = place(rows, device_ids, rows.stamps, batch_id=1, sessions={}, unregistered=set())
    return _streams([placed.packed[ordinal] for ordinal in placed.order.tolist()])


def _streams(packed: Sequence[bytes]) -> list[bytes]:
    return [
        b"".join((HEADER, *packed[start : start + PER_COMMIT], TRAILER)) for start in range(0, len(packed), PER_COMMIT)
    ]


def run(messages: int = 2000, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """One JSON object. Rates are per second of wall time."""
    now = datetime.now(UTC)
    made = observations(messages * PER_MESSAGE, now.replace(microsecond=0) - timedelta(days=3))
    payloads = [
        encode(Message(message_id=f"b-{n}", sent_at=now, observations=made[n * PER_MESSAGE : (n + 1) * PER_MESSAGE]))
        for n in range(messages)
    ]
    topic = str(Topic(SITE, SOURCES[0], Leaf.OBSERVATIONS))
    rows = columns.joined([intake.take(topic, payload, now, intake.Limits()).rows for payload in payloads])
    narrow, compound = narrow_streams(rows, [one.values for one in made]), compound_streams(rows)
    count, values = len(made), len(made) * VALUES
    bare: list[float] = []
    with database_server() as server:
        url = create_database(server.url, "bench_ingest")
        database.migrate(url)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(
                "CREATE TABLE narrow (identity_at timestamptz NOT NULL, measured_at timestamptz NOT NULL,"
                " value float8 NOT NULL, device_id int NOT NULL, code int NOT NULL, record_no int NOT NULL,"
                " subject_id int NOT NULL, unit smallint NOT NULL, flags smallint NOT NULL)"
            )
            conn.execute(
                "INSERT INTO telemetry.device (device_uid, registered_at, first_seen_at, last_seen_at)"
                " SELECT uid, now(), now(), now() FROM unnest(%s::text[]) AS n(uid)",
                (sorted({one.device for one in made}),),
            )
        narrow_columns = "identity_at, measured_at, value, device_id, code, record_no, subject_id, unit, flags"
        bare.append(copy_rows(url, "narrow", narrow_columns, narrow))
        seconds, busy = end_to_end(url, payloads, settings or {})
        bare.append(copy_rows(url, "narrow", narrow_columns, narrow))
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("TRUNCATE telemetry.observation")
        indexed = copy_rows(url, "telemetry.observation", ", ".join(COLUMNS), compound)
        kind = server.name
    limit = values / min(bare)
    return {
        "benchmark": NAME,
        "shape": f"{messages} messages of {PER_MESSAGE} observations of {VALUES} values, QoS 1, "
        f"{len(SOURCES)} sources with {IN_FLIGHT} in flight each",
        "server": kind,
        "observations": count,
        "seconds": round(seconds, 3),
        "observations_per_s": round(count / seconds),
        "values_per_s": round(values / seconds),
        "ingest_cpu_us_per_observation": round(busy / count * 1e6, 1),
        "copy_row_a_value_no_index_values_per_s": [round(values / s) for s in bare],
        "copy_compound_same_table_values_per_s": round(values / indexed),
        "limit": "bare COPY, one row a value, no index, one connection (the better of two runs)",
        "ratio_to_limit": round(values / seconds / limit, 3),
        "ratio_to_compound_copy": round(indexed / seconds, 3),
    }

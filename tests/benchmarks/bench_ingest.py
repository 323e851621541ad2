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

import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import psycopg
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.message import Leaf, Message, Topic
from devices.observation import Observation
from ingest import database
from ingest.rows import COLUMNS
from simulators.embedded.broker import INGEST, Broker
from simulators.embedded.database import create_database
from simulators.embedded.database import database as database_server
from tests.benchmarks.readings import (
    NARROW_COLUMNS,
    NARROW_TABLE,
    PER_MESSAGE,
    VALUES,
    compound_streams,
    copy_rows,
    narrow_streams,
    observations,
    payloads_of,
    rows_of,
    series_of,
)
from tests.benchmarks.service import IN_FLIGHT, SITE, SOURCES, Service, Sources

NAME: Final = "ingest"
FORMS: Final = {
    "observations, 100 a message": ("observations", 1),
    "series, 100 a message": ("series", 1),
    "series, 500 a message": ("series", 5),
}
GOAL: Final = 0.6
NAIVE: Final = 50
"""So many messages are enough to see how slow it is."""


def end_to_end(url: str, payloads: Sequence[bytes], settings: dict[str, str]) -> tuple[float, float, int]:
    """Seconds from the first publication to the last receipt; seconds of processor that ingest took between them; how
    many observations its receipts call stored."""
    with Broker() as broker, Service(broker, url, settings) as service:
        sources = Sources(broker)
        before = service.processor_seconds()
        seconds = sources.send(iter(payloads))
        busy = service.processor_seconds() - before
        stored = sources.stored
        sources.close()
    return seconds, busy, stored


def naive(url: str, payloads: Sequence[bytes]) -> float:
    """Seconds of what anyone writes first: a subscriber parses JSON and inserts each reading by itself, with
    the same table of one row a value and the same uniqueness, and a commit a message."""
    statement = (
        f"INSERT INTO narrow_indexed ({NARROW_COLUMNS}) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s) ON CONFLICT DO NOTHING"
    )
    done, left = threading.Event(), len(payloads)
    with Broker() as broker, psycopg.connect(url) as conn:

        def on_message(_client: Client, _userdata: object, received: MQTTMessage) -> None:
            nonlocal left
            for one in json.loads(received.payload)["observations"]:
                at = datetime.fromisoformat(one["measured_at"])
                device = int(one["device"].rpartition(":")[2], 16)
                for slot, value in enumerate(one["values"]):
                    conn.execute(statement, (at, at, value, device, slot, one.get("record_no", 0), 7, 3872, 0))
            conn.commit()
            left -= 1
            if not left:
                done.set()

        clients = {name: _client(broker, name) for name in (INGEST, SOURCES[0])}
        clients[INGEST].on_message = on_message
        clients[INGEST].subscribe("suifang/v1/+/+/observations", qos=1)
        began = time.perf_counter()
        for payload in payloads:
            clients[SOURCES[0]].publish(str(Topic(SITE, SOURCES[0], Leaf.OBSERVATIONS)), payload, qos=1)
        assert done.wait(120), "the naive pipeline did not come to an end"
        seconds = time.perf_counter() - began
        for client in clients.values():
            client.disconnect()
            client.loop_stop()
    return seconds


def _client(broker: Broker, name: str) -> Client:
    credentials = broker.credentials(name)
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"naive-{name}", protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(credentials.username, credentials.password)
    client.connect(credentials.host, credentials.port)
    client.loop_start()
    return client


def payload_forms(made: Sequence[Observation], now: datetime) -> dict[str, dict[str, float]]:
    """Microseconds an observation to decode it with all types checked, and octets; MessagePack for comparison only."""
    parts = [list(made[number : number + PER_MESSAGE]) for number in range(0, 5000, PER_MESSAGE)]
    one_by_one = [Message(message_id="b", sent_at=now, observations=part) for part in parts]
    in_series = [Message(message_id="b", sent_at=now, series=[series_of(part)]) for part in parts]
    found = {}
    for name, messages in {"observations": one_by_one, "series": in_series}.items():
        for coding, codec in {"json": msgspec.json, "messagepack": msgspec.msgpack}.items():
            encoded = [codec.encode(message) for message in messages]
            decoder = codec.Decoder(Message)
            best = float("inf")
            for _ in range(5):
                began = time.process_time()
                for payload in encoded:
                    decoder.decode(payload)
                best = min(best, time.process_time() - began)
            found[f"{coding} {name}"] = {
                "decode_us": round(best / 5000 * 1e6, 2),
                "octets": round(sum(map(len, encoded)) / 5000),
            }
    return found


def run(messages: int = 2000, settings: dict[str, str] | None = None) -> dict[str, Any]:
    """One JSON object. Rates are per second of wall time."""
    now = datetime.now(UTC)
    made = observations(messages * PER_MESSAGE, now.replace(microsecond=0) - timedelta(days=3))
    payloads = {name: payloads_of(made, form, now, devices) for name, (form, devices) in FORMS.items()}
    rows = rows_of(payloads["series, 100 a message"], now)
    narrow, compound = narrow_streams(rows, [one.values for one in made]), compound_streams(rows)
    count, values = len(made), len(made) * VALUES
    bare: list[float] = []
    forms: dict[str, dict[str, float]] = {}
    with database_server() as server:
        url = create_database(server.url, "bench_ingest")
        prepare(url, made)
        bare.append(copy_rows(url, "narrow", NARROW_COLUMNS, narrow))
        for form in FORMS:
            seconds, busy, stored = end_to_end(url, payloads[form], settings or {})
            assert stored == count, f"{stored} stored"
            forms[form] = {
                "values_per_s": round(values / seconds),
                "ingest_cpu_us_per_observation": round(busy / count * 1e6, 1),
                "octets_an_observation": round(sum(map(len, payloads[form])) / count),
            }
            empty(url)
            bare.append(copy_rows(url, "narrow", NARROW_COLUMNS, narrow))
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("CREATE TABLE narrow_indexed (LIKE narrow)")
            conn.execute("CREATE UNIQUE INDEX ON narrow_indexed (device_id, identity_at, code, record_no)")
        narrow_indexed = values / copy_rows(url, "narrow_indexed", NARROW_COLUMNS, narrow)
        empty(url, "narrow_indexed")
        few = payloads["observations, 100 a message"][:NAIVE]
        naive_rate = len(few) * PER_MESSAGE * VALUES / naive(url, few)
        indexed = values / copy_rows(url, "telemetry.observation", ", ".join(COLUMNS), compound)
        kind = server.name
    limit = values / min(bare)
    return {
        "benchmark": NAME,
        "shape": f"{count} observations of {VALUES} values, QoS 1, "
        f"{len(SOURCES)} sources with {IN_FLIGHT} in flight each",
        "server": kind,
        "forms": forms,
        "copy_row_a_value_no_index_values_per_s": [round(values / s) for s in bare],
        "copy_row_a_value_unique_index_values_per_s": round(narrow_indexed),
        "copy_compound_same_table_values_per_s": round(indexed),
        "naive_insert_a_reading_values_per_s": round(naive_rate),
        "payload_forms": payload_forms(made, now),
        "limit": "bare COPY, one row a value, no index, one connection (the best of its runs)",
        "ratio_to_limit": {form: round(found["values_per_s"] / limit, 3) for form, found in forms.items()},
        "ratio_to_compound_copy": {form: round(found["values_per_s"] / indexed, 3) for form, found in forms.items()},
        "ratio_to_naive": {form: round(found["values_per_s"] / naive_rate, 1) for form, found in forms.items()},
        "goal": GOAL,
        "goal_met": max(found["values_per_s"] for found in forms.values()) >= GOAL * limit,
    }


def prepare(url: str, made: Sequence[Observation]) -> None:
    """The schema, a table for the limit, and the devices as a deployment has them: registered."""
    database.migrate(url)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(NARROW_TABLE)
        conn.execute(
            "INSERT INTO telemetry.device (device_uid, registered_at, first_seen_at, last_seen_at)"
            " SELECT uid, now(), now(), now() FROM unnest(%s::text[]) AS n(uid)",
            (sorted({one.device for one in made}),),
        )


def empty(url: str, tables: str = "telemetry.observation, narrow") -> None:
    """As before the first reading."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"TRUNCATE {tables}")

"""A NATS JetStream cluster in front of ingest beside an MQTT broker, in the same minutes on the same machine.

Four sources publish messages of 100 observations (cuff records of four values) over MQTT 3.1.1 at QoS 1, each with at
most 50 that have no receipt; one `suifang-ingest run` commits, publishes receipts, acknowledges; the clock stops when
the last receipt is in its source's hands. The same payloads go to a fresh database through Mosquitto, through one
nats-server that keeps each message once, and through three that keep it three times; then through Mosquitto again.
Three nodes on one machine share its processors and its disk: what the cluster asks for, not what it gives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.message import Leaf, Message, Topic, decode_receipt, encode
from ingest import database
from simulators.embedded.broker import INGEST, Broker, Credentials
from simulators.embedded.database import create_database
from simulators.embedded.database import database as database_server
from simulators.embedded.nats import Nats
from tests.benchmarks.readings import PER_MESSAGE, VALUES, observations

NAME = "jetstream"
SITE = "bench"
# names that the mapping of eight partitions puts into four different ones
SOURCES = ("gw-1", "gw-2", "gw-3", "gw-4")
IN_FLIGHT = 50
PATIENCE_SECONDS = 120


class Outcome(NamedTuple):
    """Seconds of wall time, and of processor time in ingest and in the broker's processes, for one mode."""

    wall: float
    ingest: float
    broker: float


class Source:
    """One MQTT client with its part of the messages; `run` returns when each has its receipt."""

    def __init__(self, credentials: Credentials, payloads: Sequence[bytes]) -> None:
        name = credentials.username
        self._payloads = payloads
        self._topic = str(Topic(SITE, name, Leaf.OBSERVATIONS))
        self._room = threading.Semaphore(IN_FLIGHT)
        self.stored = 0
        self.thread = threading.Thread(target=self._run)
        ready = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"bench-{name}", protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.username_pw_set(name, credentials.password)
        self._client.on_connect = lambda client, *_: client.subscribe(str(Topic(SITE, name, Leaf.RECEIPTS)), qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._on_message
        self._client.connect(credentials.host, credentials.port)
        self._client.loop_start()
        assert ready.wait(30)

    def _run(self) -> None:
        for payload in self._payloads:
            assert self._room.acquire(timeout=PATIENCE_SECONDS), "no receipt came"
            self._client.publish(self._topic, payload, qos=1)
        for _ in range(IN_FLIGHT):
            assert self._room.acquire(timeout=PATIENCE_SECONDS), "no receipt came"

    def _on_message(self, _client: Client, _userdata: object, received: MQTTMessage) -> None:
        receipt = decode_receipt(received.payload)
        self.stored += receipt.stored + receipt.duplicate
        self._room.release()

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()


def through_mosquitto(url: str, payloads: Sequence[bytes]) -> Outcome:
    """MQTT 5 between broker and ingest, as it is run by default."""
    with Broker() as broker:
        doors = [broker.credentials(name) for name in SOURCES]
        login = broker.credentials(INGEST)
        settings = {"SUIFANG_INGEST_BROKER_PORT": str(login.port)}
        return _measured(url, payloads, doors, login, settings, [broker.pid])


def through_nats(url: str, payloads: Sequence[bytes], nodes: int) -> Outcome:
    """The sources are spread over the nodes."""
    with Nats(nodes) as cluster:
        doors = [cluster.credentials(name, number % nodes) for number, name in enumerate(SOURCES)]
        settings = {
            "SUIFANG_INGEST_TRANSPORT": "jetstream",
            "SUIFANG_INGEST_NATS_SERVERS": cluster.servers,
            "SUIFANG_INGEST_REPLICAS": str(cluster.replicas),
            "SUIFANG_INGEST_PARTITIONS": str(cluster.partitions),
        }
        pids = [node.pid for node in cluster.nodes]
        return _measured(url, payloads, doors, cluster.credentials(INGEST), settings, pids)


def _measured(
    url: str,
    payloads: Sequence[bytes],
    doors: Sequence[Credentials],
    login: Credentials,
    settings: dict[str, str],
    brokers: Sequence[int],
) -> Outcome:
    environment = {
        **os.environ,
        "SUIFANG_INGEST_DATABASE_URL": url,
        "SUIFANG_INGEST_BROKER_USER": login.username,
        "SUIFANG_INGEST_BROKER_PASSWORD": login.password,
        **settings,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ingest", "run"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "broker connected" in line:
                break
        threading.Thread(target=process.stderr.read, daemon=True).start()
        sources = [Source(door, payloads[number :: len(doors)]) for number, door in enumerate(doors)]
        time.sleep(1)  # the claims on the partitions
        before = _processor(process.pid), sum(map(_processor, brokers))
        began = time.perf_counter()
        for source in sources:
            source.thread.start()
        for source in sources:
            source.thread.join()
        wall = time.perf_counter() - began
        outcome = Outcome(wall, _processor(process.pid) - before[0], sum(map(_processor, brokers)) - before[1])
        for source in sources:
            source.close()
        stored, observed = sum(source.stored for source in sources), sum(map(_size, payloads))
        assert stored == observed, f"{stored} of {observed} stored"
        return outcome
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _size(payload: bytes) -> int:
    return payload.count(b'"kind":')


def _processor(pid: int) -> float:
    """User and system seconds so far: proc(5), fields 14 and 15 of `stat`."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(messages: int = 1500, per_message: int = PER_MESSAGE) -> dict[str, Any]:
    """One JSON object. Rates are per second of wall time, the better of two runs for Mosquitto."""
    now = datetime.now(UTC)
    made = observations(messages * per_message, now.replace(microsecond=0) - timedelta(days=3))
    payloads = [
        encode(Message(message_id=f"b-{n}", sent_at=now, observations=made[n * per_message : (n + 1) * per_message]))
        for n in range(messages)
    ]
    with database_server() as server:

        def fresh(name: str) -> str:
            url = create_database(server.url, f"bench_{name}")
            database.migrate(url)
            return url

        mosquitto = [through_mosquitto(fresh("mosquitto_1"), payloads)]
        alone = through_nats(fresh("nats_1"), payloads, 1)
        three = through_nats(fresh("nats_3"), payloads, 3)
        mosquitto.append(through_mosquitto(fresh("mosquitto_2"), payloads))
        kind = server.name
    best = min(mosquitto)
    count = len(made)
    modes = {"mosquitto": best, "nats_1_node_1_replica": alone, "nats_3_nodes_3_replicas": three}
    return {
        "benchmark": NAME,
        "shape": f"{messages} messages of {per_message} observations of {VALUES} values, {len(SOURCES)} sources, QoS 1",
        "server": kind,
        "observations": count,
        "observations_per_s": {name: round(count / mode.wall) for name, mode in modes.items()},
        "mosquitto_runs_observations_per_s": [round(count / mode.wall) for mode in mosquitto],
        "ratio_to_mosquitto": {name: round(best.wall / mode.wall, 2) for name, mode in modes.items()},
        "ingest_cpu_us_per_observation": {name: round(mode.ingest / count * 1e6, 1) for name, mode in modes.items()},
        "broker_cpu_us_per_message": {name: round(mode.broker / messages * 1e6) for name, mode in modes.items()},
        "bytes_a_message": round(sum(map(len, payloads)) / messages),
    }

"""Memory of ingest while the database takes nothing: a fleet goes on sending, a lock holds every commit.

Each gateway of the fleet keeps some messages without a receipt, as an outbox does, and sends the next one for each
that comes. The table of batches is locked for some seconds, then for twice as long; the growth of the process is
sampled meanwhile. What bounds it is the receive maximum: messages in hand, with their rows. Afterwards every receipt
has come and every reading is stored once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.message import Leaf, Message, Topic, decode_receipt, encode
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from ingest import database
from simulators.embedded.broker import Broker
from simulators.embedded.database import create_database
from simulators.embedded.database import database as database_server
from tests.fix_ingest import IngestProcess

NAME: Final = "stalled"
SITE: Final = "bench"
GATEWAYS: Final = 8
IN_FLIGHT: Final = 100
"""Messages of one gateway without a receipt: eight gateways have twice ingest's receive maximum on the way."""
PER_MESSAGE: Final = 100
RECEIVE_MAXIMUM: Final = 400


class Gateway:
    """One source: sends until told to stop, keeps what has no receipt."""

    def __init__(self, broker: Broker, number: int) -> None:
        self.name = f"gw-{number}"
        self.sent = 0
        self.stored = 0
        self.payload_bytes = 0
        self.waiting: set[str] = set()
        self._number = number
        self._room = threading.Semaphore(IN_FLIGHT)
        self._ready = threading.Event()
        self._over = threading.Event()
        credentials = broker.credentials(self.name)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=self.name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(credentials.username, credentials.password)
        self._client.on_connect = lambda c, *_: c.subscribe(str(Topic(SITE, self.name, Leaf.RECEIPTS)), qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect(credentials.host, credentials.port)
        self._client.loop_start()
        assert self._ready.wait(30)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more; every receipt must come."""
        self._over.set()
        self._thread.join()
        deadline = time.monotonic() + 60
        while self.waiting and time.monotonic() < deadline:
            time.sleep(0.02)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        topic = str(Topic(SITE, self.name, Leaf.OBSERVATIONS))
        while not self._over.is_set():
            if not self._room.acquire(timeout=0.2):
                continue
            content = self._message()
            self.payload_bytes = len(content)
            self._client.publish(topic, content, qos=1)

    def _message(self) -> bytes:
        now = datetime.now(UTC)
        at = now - timedelta(days=1)
        ident = f"{self.name}.{self.sent}"
        made = [
            Observation(
                device=f"ble:{self._number:02x}{self.sent:010x}",
                kind=BLOOD_PRESSURE,
                values=(120.0, 80.0, 93.0, 66.0),
                unit="mm[Hg]",
                measured_at=at + timedelta(seconds=record),
                device_at=at + timedelta(seconds=record),
                record_no=record,
            )
            for record in range(PER_MESSAGE)
        ]
        self.waiting.add(ident)
        self.sent += 1
        return encode(Message(message_id=ident, sent_at=now, observations=made))

    def _on_message(self, _client: Client, _userdata: object, received: MQTTMessage) -> None:
        receipt = decode_receipt(bytes(received.payload))
        self.stored += receipt.stored
        self.waiting.discard(receipt.message_id)
        self._room.release()


def resident_mb(pid: int) -> float:
    """proc(5), `status`, VmRSS."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def stall(url: str, pid: int, seconds: float) -> float:
    """Hold every commit; the most the process has had meanwhile, MB."""
    most = resident_mb(pid)
    with psycopg.connect(url) as conn:
        conn.execute("LOCK TABLE telemetry.batch IN ACCESS EXCLUSIVE MODE")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(0.05)
            most = max(most, resident_mb(pid))
    return most


def flowing(pid: int, gateways: Sequence[Gateway], seconds: float) -> float:
    """Let it run; the most the process has had, MB."""
    most, deadline = 0.0, time.monotonic() + seconds
    stored = sum(gateway.stored for gateway in gateways)
    while time.monotonic() < deadline or sum(gateway.stored for gateway in gateways) == stored:
        time.sleep(0.05)
        most = max(most, resident_mb(pid))
    return most


def run(seconds: float = 5.0) -> dict[str, Any]:
    """One JSON object; memory in MB."""
    with database_server() as server, Broker() as broker:
        url = create_database(server.url, "bench_stalled")
        database.migrate(url)
        with IngestProcess(broker, url, receive_maximum=str(RECEIVE_MAXIMUM)) as process:
            pid = process.pid
            gateways = [Gateway(broker, number) for number in range(GATEWAYS)]
            before = flowing(pid, gateways, seconds)
            once = stall(url, pid, seconds)
            between = flowing(pid, gateways, seconds)
            twice = stall(url, pid, 2 * seconds)
            for gateway in gateways:
                gateway.stop()
            after = resident_mb(pid)
        with psycopg.connect(url, autocommit=True) as conn:
            row = conn.execute("SELECT count(*) FROM telemetry.observation").fetchone()
        assert row is not None
        kind = server.name
    sent = sum(gateway.sent for gateway in gateways) * PER_MESSAGE
    size = gateways[0].payload_bytes
    in_hand = RECEIVE_MAXIMUM * size / 2**20
    return {
        "benchmark": NAME,
        "shape": f"{GATEWAYS} gateways, {IN_FLIGHT} messages of {PER_MESSAGE} observations each without a receipt",
        "server": kind,
        "stalled_s": [seconds, 2 * seconds],
        "flowing_mb": [round(before, 1), round(between, 1)],
        "stalled_mb": [round(once, 1), round(twice, 1)],
        "growth_mb": [round(once - before, 1), round(twice - between, 1)],
        "after_mb": round(after, 1),
        "limit": f"{RECEIVE_MAXIMUM} messages in hand (receive maximum) as they came",
        "limit_mb": round(in_hand, 1),
        "growth_to_limit": [round((once - before) / in_hand, 2), round((twice - between) / in_hand, 2)],
        "observations_sent": sent,
        "without_receipt": sum(len(gateway.waiting) for gateway in gateways),
        "lost": sent - row[0],
        "stored_by_receipts": sum(gateway.stored for gateway in gateways),
    }

"""From a source's publish to a query that shows the reading: alone at low load, and beside a thousand a second.

A probe is one observation in one message at QoS 1 through a real Mosquitto to `suifang-ingest run`; the clock stops
when `ingest.observations.window`, asked over and over on a connection of its own, has it. Beside it, in the same run,
what no ingest can go below: the same broker's way back to a subscriber, one INSERT committed in the same database, and
the query itself.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self
from uuid import UUID, uuid4

import psycopg
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.message import Leaf, Message, Topic, encode
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from ingest import assignments, database, observations
from simulators.embedded.broker import Broker
from simulators.embedded.database import create_database
from simulators.embedded.database import database as database_server
from tests.fix_ingest import IngestProcess

NAME: Final = "latency"
SITE, SOURCE = "bench", "gw-bench"
PROBE: Final = "ble:00000000face"
GOAL_MS: Final = 200.0
LOAD_PER_S: Final = 1000
LOAD_SOURCE: Final = "gw-load"
IN_FLIGHT: Final = 100
_TOPIC: Final = str(Topic(SITE, SOURCE, Leaf.OBSERVATIONS))
_BEGAN: Final = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)


def payload(device: str, number: int) -> bytes:
    """One cuff record in a message of its own."""
    at = _BEGAN + timedelta(milliseconds=10 * number)
    one = Observation(
        device=device,
        kind=BLOOD_PRESSURE,
        values=(120.0, 80.0, 93.0, 66.0),
        unit="mm[Hg]",
        measured_at=at,
        device_at=at,
        record_no=number,
    )
    return encode(Message(message_id=f"{device[4:]}.{number}", sent_at=datetime.now(UTC), observations=[one]))


class Load:
    """Single readings of a thousand devices, paced, from a thread and a connection of its own.

    At most `IN_FLIGHT` wait for the broker: where the machine cannot keep the pace, the rate falls, no queue grows."""

    def __init__(self, broker: Broker, per_second: int) -> None:
        self._client = connected(broker, LOAD_SOURCE)
        self._room = threading.Semaphore(IN_FLIGHT)
        self._client.on_publish = lambda *_: self._room.release()
        self._topic = str(Topic(SITE, LOAD_SOURCE, Leaf.OBSERVATIONS))
        self._pause = 1 / per_second
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._began = time.perf_counter()
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def rate(self) -> float:
        """Readings a second so far."""
        return self.sent / (time.perf_counter() - self._began)

    def _run(self) -> None:
        due = time.perf_counter()
        while not self._over.is_set():
            if not self._room.acquire(timeout=1):
                continue
            self._client.publish(self._topic, payload(f"ble:{self.sent % 1000:012x}", self.sent), qos=1)
            self.sent += 1
            due = max(due + self._pause, time.perf_counter() - 1)
            if (left := due - time.perf_counter()) > 0:
                time.sleep(left)


async def visible(conn: psycopg.AsyncConnection[Any], subject: UUID, number: int) -> None:
    """Until the published read side has it."""
    at = _BEGAN + timedelta(milliseconds=10 * number)
    found: Sequence[object] = ()
    while not found:
        found = await observations.window(conn, subject, since=at, until=at, concepts=["blood_pressure"])


async def probes(url: str, client: Client, subject: UUID, numbers: Sequence[int], pause: float) -> list[float]:
    """Milliseconds from publish to visible, one after the other."""
    conn = await database.connect(url)
    taken = []
    try:
        for number in numbers:
            content = payload(PROBE, number)
            began = time.perf_counter()
            client.publish(_TOPIC, content, qos=1)
            async with asyncio.timeout(60):
                await visible(conn, subject, number)
            taken.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(pause)
    finally:
        await conn.close()
    return taken


async def assign(url: str) -> UUID:
    """The probe's subject."""
    conn, subject, now = await database.connect(url), uuid4(), datetime.now(UTC)
    await assignments.register_device(conn, PROBE, concept="blood_pressure", label=None, now=now)
    await assignments.assign_device(conn, PROBE, subject, since=_BEGAN - timedelta(days=1), by="bench", now=now)
    await conn.close()
    return subject


def commits(url: str, count: int) -> list[float]:
    """Milliseconds of one INSERT each, committed."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS floor (number int PRIMARY KEY, at timestamptz)")
        return [_timed(lambda n=n: conn.execute("INSERT INTO floor VALUES (%s, now())", (n,))) for n in range(count)]


async def queries(url: str, subject: UUID, count: int) -> list[float]:
    """Milliseconds of the query that the probes ask, with its answer there."""
    conn, taken = await database.connect(url), []
    for _ in range(count):
        began = time.perf_counter()
        await visible(conn, subject, 0)
        taken.append((time.perf_counter() - began) * 1000)
    await conn.close()
    return taken


def echoes(broker: Broker, count: int) -> list[float]:
    """Milliseconds from publish to a subscriber of the same broker, QoS 1, nothing else in between."""
    client = connected(broker, SOURCE)
    heard = threading.Event()
    topic = str(Topic(SITE, SOURCE, Leaf.STATUS))
    ready = threading.Event()
    listener = broker.credentials("ingest")
    other = Client(CallbackAPIVersion.VERSION2, client_id="echo-listener", protocol=MQTTProtocolVersion.MQTTv5)
    other.username_pw_set(listener.username, listener.password)
    other.on_message = lambda *_: heard.set()
    other.on_subscribe = lambda *_: ready.set()
    other.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
    other.connect(listener.host, listener.port)
    other.loop_start()
    assert ready.wait(30)
    taken = []
    for _ in range(count):
        heard.clear()
        began = time.perf_counter()
        client.publish(topic, b"[]", qos=1)
        assert heard.wait(30)
        taken.append((time.perf_counter() - began) * 1000)
    for each in (client, other):
        each.disconnect()
        each.loop_stop()
    return taken


def connected(broker: Broker, name: str) -> Client:
    """A source's client, its network thread running."""
    credentials = broker.credentials(name)
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"bench-{name}", protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(credentials.username, credentials.password)
    ready = threading.Event()
    client.on_connect = lambda *_: ready.set()
    client.connect(credentials.host, credentials.port)
    client.loop_start()
    assert ready.wait(30)
    return client


def run(count: int = 200) -> dict[str, Any]:
    """One JSON object; milliseconds."""
    with database_server() as server, Broker() as broker:
        url = create_database(server.url, "bench_latency")
        database.migrate(url)
        subject = asyncio.run(assign(url))
        floor = {"commit": commits(url, count), "broker": echoes(broker, count)}
        with IngestProcess(broker, url):
            client = connected(broker, SOURCE)
            asyncio.run(probes(url, client, subject, range(5), 0.0))  # names learnt, plans made
            floor["query"] = asyncio.run(queries(url, subject, count))
            alone = asyncio.run(probes(url, client, subject, range(10, 10 + count), 0.02))
            with Load(broker, LOAD_PER_S) as load:
                beside = asyncio.run(probes(url, client, subject, range(count + 20, 2 * count + 20), 0.02))
                rate = load.rate
            client.disconnect()
            client.loop_stop()
        kind = server.name
    limit = sum(_quantile(taken, 0.5) for taken in floor.values())
    return {
        "benchmark": NAME,
        "server": kind,
        "probes": count,
        "alone_p50_ms": _quantile(alone, 0.5),
        "alone_p99_ms": _quantile(alone, 0.99),
        "beside_readings_per_s": round(rate),
        "beside_p50_ms": _quantile(beside, 0.5),
        "beside_p99_ms": _quantile(beside, 0.99),
        "floor_p50_ms": {name: _quantile(taken, 0.5) for name, taken in floor.items()},
        "limit": "way through the broker, one committed INSERT and the query, medians added, same run",
        "limit_ms": round(limit, 2),
        "alone_p50_to_limit": round(_quantile(alone, 0.5) / limit, 2),
        "goal_ms": GOAL_MS,
        "goal_met": _quantile(alone, 0.99) < GOAL_MS and _quantile(beside, 0.99) < GOAL_MS,
    }


def _timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _quantile(taken: Sequence[float], share: float) -> float:
    return round(statistics.quantiles(taken, n=1000, method="inclusive")[round(share * 1000) - 1], 2)

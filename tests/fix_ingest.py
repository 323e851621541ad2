"""Ingest as tests use it: readings to send, a source at a real broker, and the service in a process of its own."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import psycopg
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from psycopg import AsyncConnection

from devices.message import Leaf, Message, Receipt, Topic, decode_receipt, encode
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from ingest import database, intake
from simulators.embedded.broker import INGEST, Broker
from simulators.embedded.nats import Nats

PATIENCE_SECONDS = 15.0
"""How long a test waits for something that must happen; it is no measure of speed."""

SITE = "north"
AN_HOUR_AGO = (datetime.now(UTC) - timedelta(hours=1)).replace(microsecond=0)


def pressure(number: int = 0, **changes: Any) -> Observation:
    """A cuff's record number `number`: its time and values follow from the number."""
    at = changes.pop("at", AN_HOUR_AGO + timedelta(seconds=number))
    fields: dict[str, Any] = {
        "device": "ble:cuff-1",
        "kind": BLOOD_PRESSURE,
        "values": (120.0 + number % 50, 80.0, 93.0, 66.0),
        "unit": "mm[Hg]",
        "measured_at": at,
        "device_at": (at + timedelta(hours=8)).replace(tzinfo=None),
        "record_no": number,
    }
    return Observation(**(fields | changes))


def message(*observations: Observation, message_id: str = "m-1") -> bytes:
    """The payload of one message."""
    return encode(Message(message_id=message_id, sent_at=datetime.now(UTC), observations=list(observations)))


def taken(payload: bytes, *, source: str = "gw-1", limits: intake.Limits | None = None) -> intake.Intake:
    """A payload as ingest takes it apart, received now."""
    topic = Topic(SITE, source, Leaf.OBSERVATIONS)
    return intake.take(str(topic), payload, datetime.now(UTC), limits or intake.Limits())


def wait_until(reached: Callable[[], bool], what: str) -> None:
    """Fails with `what` where it does not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)


class Source:
    """A gateway's end at the broker: sends messages, collects receipts."""

    def __init__(self, broker: Broker | Nats, name: str = "gw-1") -> None:
        self.name = name
        self._receipts: queue.SimpleQueue[Receipt] = queue.SimpleQueue()
        self._ready = threading.Event()
        credentials = broker.credentials(name)
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"test-{name}", protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.username_pw_set(credentials.username, credentials.password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(str(Topic(SITE, name, Leaf.RECEIPTS)), qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_disconnect = lambda *_: self._ready.clear()
        self._client.on_message = self._on_message
        self._client.connect_async(credentials.host, credentials.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self.wait_connected()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def wait_connected(self) -> None:
        assert self._ready.wait(PATIENCE_SECONDS), "the source does not reach the broker"

    def send(self, payload: bytes, leaf: Leaf = Leaf.OBSERVATIONS, *, site: str = SITE) -> None:
        """Publish at QoS 1; returns when the broker has it."""
        sent = self._client.publish(str(Topic(site, self.name, leaf)), payload, qos=1)
        sent.wait_for_publish(PATIENCE_SECONDS)
        assert sent.is_published(), "the broker does not take the message"

    def send_all(self, payloads: Sequence[bytes]) -> None:
        """Publish all of them at QoS 1 before any is waited for; returns when the broker has them."""
        topic = str(Topic(SITE, self.name, Leaf.OBSERVATIONS))
        sent = [self._client.publish(topic, payload, qos=1) for payload in payloads]
        for each in sent:
            each.wait_for_publish(PATIENCE_SECONDS)
            assert each.is_published(), "the broker does not take the message"

    def receipt(self) -> Receipt:
        """The next receipt."""
        return self._receipts.get(timeout=PATIENCE_SECONDS)

    def _on_message(self, _client: Client, _userdata: object, received: MQTTMessage) -> None:
        self._receipts.put(decode_receipt(received.payload))


class IngestProcess:
    """`python -m ingest run`."""

    def __init__(self, broker: Broker | Nats, url: str, **settings: str) -> None:
        credentials = broker.credentials(INGEST)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SUIFANG_INGEST_")},
            "SUIFANG_INGEST_DATABASE_URL": url,
            "SUIFANG_INGEST_BROKER_HOST": credentials.host,
            "SUIFANG_INGEST_BROKER_PORT": str(credentials.port),
            "SUIFANG_INGEST_BROKER_USER": credentials.username,
            "SUIFANG_INGEST_BROKER_PASSWORD": credentials.password,
            **{f"SUIFANG_INGEST_{name.upper()}": value for name, value in settings.items()},
        }
        self.lines: list[dict[str, Any]] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> Self:
        """Start, and wait until it is subscribed."""
        self.lines = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ingest", "run"], env=self.environment, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self.wait_for_line("broker connected")
        return self

    def wait_for_line(self, event: str) -> dict[str, Any]:
        """The first log line with this event."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            over = self._ended() or time.monotonic() > deadline
            found = [line for line in self.lines if line.get("event") == event]
            if found:
                return found[0]
            assert not over, f"ingest ended or never said {event!r}: {self.lines}"
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGINT: drain. The exit code."""
        return self._end(signal.SIGINT)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()  # a test that fails here must not leave the process behind
            raise

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        code = process.wait(PATIENCE_SECONDS)
        assert self._reader is not None
        self._reader.join(PATIENCE_SECONDS)
        assert process.stderr is not None
        process.stderr.close()
        return code

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"event": line.rstrip()})


def ask(url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Rows of one query, on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        return conn.execute(query, parameters or None).fetchall()


def ingest_environment(url: str, **settings: str) -> dict[str, str]:
    """Of a command of ingest: this process's without its settings, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUIFANG_INGEST_")}
    given = {"DATABASE_URL": url} | {name.upper(): value for name, value in settings.items()}
    return kept | {f"SUIFANG_INGEST_{name}": value for name, value in given.items()}


def suifang_ingest(url: str, *arguments: str, **settings: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, JSON lines, what was complained of."""
    done = subprocess.run(
        [sys.executable, "-m", "ingest", *arguments],
        env=ingest_environment(url, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def assert_refused(url: str, arguments: str, *, status: int, complaint: str) -> None:
    """The command says in a line what is wrong with the arguments, and does nothing."""
    code, lines, told = suifang_ingest(url, *arguments.split())
    assert (code, lines) == (status, [])
    assert complaint in told
    assert "Traceback" not in told


@pytest.fixture
async def telemetry(migrated_database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection in autocommit mode to this test's migrated database."""
    conn = await database.connect(migrated_database_url)
    yield conn
    await conn.close()


MOMENTS_TO_KILL = pytest.mark.parametrize(
    ("held", "possible"),
    [("observation", {0}), ("batch", {0, 2})],
    ids=["before-the-rows", "the-commit-may-be-on-its-way"],
)
"""A table that holds the transaction up, and how many of two readings may be there once its session is gone: the commit
travels with the batch, so the server may carry it out although the process that sent it is dead."""


def stores_exactly_once_after_a_kill(
    process: IngestProcess, source: Source, url: str, *, held: str, possible: set[int]
) -> None:
    """Kill it while the held table keeps two readings from being stored, start it again, and count.

    `process` runs, and has stopped when this returns.
    """
    count = "SELECT count(*) FROM telemetry.observation"
    with psycopg.connect(url) as holding:
        holding.execute(f"LOCK TABLE telemetry.{held} IN ACCESS EXCLUSIVE MODE")
        source.send(message(pressure(1), pressure(2)))
        waiting = (  # the roll-ups may wait too
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            " AND query ~ 'COPY telemetry.observation|INSERT INTO telemetry.batch'"
        )
        wait_until(lambda: ask(url, waiting) == [(1,)], "the commit that waits")
        process.kill()
    gone = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend'"
    )
    wait_until(lambda: ask(url, gone) == [(0,)], "the dead process's sessions")
    ((left,),) = ask(url, count)
    assert left in possible
    process.start()
    receipt = source.receipt()
    assert (receipt.stored, receipt.duplicate) == (2 - left, left)
    assert ask(url, count) == [(2,)]
    assert process.stop() == 0


@pytest.fixture
def source(broker: Broker) -> Iterator[Source]:
    """The gateway `gw-1` at this test's broker."""
    with Source(broker) as connected:
        yield connected


@pytest.fixture
def ingest_process(broker: Broker, migrated_database_url: str) -> Iterator[IngestProcess]:
    """The service, running and subscribed, between this test's broker and database."""
    with IngestProcess(broker, migrated_database_url) as process:
        yield process

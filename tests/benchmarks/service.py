"""The ingest service in a process of its own, and the sources that keep it busy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.message import Leaf, Topic, decode_receipt
from simulators.embedded.broker import INGEST, Broker

SITE: Final = "bench"
SOURCES: Final = ("gw-1", "gw-2", "gw-3", "gw-4")
IN_FLIGHT: Final = 100


class Service:
    """Running from enter to exit."""

    def __init__(self, broker: Broker, url: str, settings: Mapping[str, str] | None = None) -> None:
        credentials = broker.credentials(INGEST)
        self._environment = {
            **os.environ,
            "SUIFANG_INGEST_DATABASE_URL": url,
            "SUIFANG_INGEST_BROKER_PORT": str(credentials.port),
            "SUIFANG_INGEST_BROKER_USER": credentials.username,
            "SUIFANG_INGEST_BROKER_PASSWORD": credentials.password,
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ingest", "run"], env=self._environment, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "broker connected" in line:
                break
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(60)

    def processor_seconds(self) -> float:
        """User and system time so far: proc(5), fields 14 and 15 of `stat`."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sources:
    """Several at once; of each at most `IN_FLIGHT` messages wait for their receipt, as of a gateway."""

    def __init__(self, broker: Broker) -> None:
        self._sources = [_Source(broker, name) for name in SOURCES]

    @property
    def stored(self) -> int:
        """What the receipts say so far."""
        return sum(source.stored for source in self._sources)

    def send(self, payloads: Iterator[bytes], until: Callable[[], bool] = lambda: False) -> float:
        """Seconds from the first message to the last receipt. The sources take turns with `payloads`."""
        turn = threading.Lock()

        def shared() -> Iterator[bytes]:
            while not until():
                with turn:
                    payload = next(payloads, None)
                if payload is None:
                    return
                yield payload

        threads = [threading.Thread(target=source.send, args=(shared(),)) for source in self._sources]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - began

    def close(self) -> None:
        """Disconnect all."""
        for source in self._sources:
            source.close()


class _Source:
    def __init__(self, broker: Broker, name: str) -> None:
        credentials = broker.credentials(name)
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(credentials.username, credentials.password)
        self._name = name
        self.stored = 0
        self._room = threading.Semaphore(IN_FLIGHT)
        ready = threading.Event()
        self._client.on_connect = lambda c, *_: c.subscribe(str(Topic(SITE, name, Leaf.RECEIPTS)), qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._on_message
        self._client.connect(credentials.host, credentials.port)
        self._client.loop_start()
        assert ready.wait(30)

    def _on_message(self, _client: Client, _userdata: object, received: MQTTMessage) -> None:
        self.stored += decode_receipt(received.payload).stored
        self._room.release()

    def send(self, payloads: Iterator[bytes]) -> None:
        """All of them, until the last receipt."""
        topic = str(Topic(SITE, self._name, Leaf.OBSERVATIONS))
        for payload in payloads:
            assert self._room.acquire(timeout=60), "no receipt came"
            self._client.publish(topic, payload, qos=1)
        for _ in range(IN_FLIGHT):
            assert self._room.acquire(timeout=60), "no receipt came"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

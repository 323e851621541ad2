"""The private NATS server: every source has its fence there too, and the operators' configuration has the same."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsClient
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from devices.message import Leaf, Topic
from simulators.embedded.broker import INGEST, Credentials
from simulators.embedded.nats import FENCE, INGEST_FENCE, MAPPING, PARTITIONS, Nats, find_nats_server
from tests.fix_ingest import SITE, IngestProcess, Source, ask, message, pressure

OPERATORS = Path(__file__).parents[2] / "docs/nats.conf"


class Fenced(Source):
    """A source that may also try another's topics."""

    def send_as(self, name: str, payload: bytes) -> None:
        """Publish below another's name: MQTT 3.1.1 has no way to say that this is refused."""
        sent = self._client.publish(str(Topic(SITE, name, Leaf.OBSERVATIONS)), payload, qos=1)
        sent.wait_for_publish(10)
        assert sent.is_published()


def answer_to(who: Credentials, version: MQTTProtocolVersion, topic: str) -> tuple[ReasonCode, list[ReasonCode]]:
    """The codes of CONNACK and SUBACK; none of the latter where the former is a refusal."""
    ended = threading.Event()
    codes: list[ReasonCode] = []
    granted: list[ReasonCode] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id="curious", protocol=version)
    client.username_pw_set(who.username, who.password)

    def on_connect(_c: Client, _u: object, _f: object, code: ReasonCode, _p: object) -> None:
        codes.append(code)
        if code.is_failure:
            ended.set()
        else:
            client.subscribe(topic, qos=1)

    def on_subscribe(_c: Client, _u: object, _m: int, reasons: list[ReasonCode], _p: object) -> None:
        granted.extend(reasons)
        ended.set()

    client.on_connect, client.on_subscribe = on_connect, on_subscribe
    client.connect(who.host, who.port)
    client.loop_start()
    try:
        assert ended.wait(10)
    finally:
        client.disconnect()
        client.loop_stop()
    return codes[0], granted


def test_nobody_can_send_in_the_name_of_another(
    nats: Nats, jetstream_process: IngestProcess, migrated_database_url: str
) -> None:
    nats.credentials("gw-2")
    with Fenced(nats) as source:
        source.send_as("gw-2", message(pressure(1), message_id="forged"))
        source.send(message(pressure(2), message_id="own"))
        assert source.receipt().message_id == "own"
    assert ask(migrated_database_url, "SELECT source FROM telemetry.source") == [("gw-1",)]
    assert ask(migrated_database_url, "SELECT record_no FROM telemetry.observation") == [(2,)]


@pytest.mark.parametrize("topic", ["suifang/v1/+/gw-2/receipts", "suifang/v1/+/+/observations", "#", "$MQTT/msgs/#"])
def test_nobody_can_read_what_is_another_s(nats: Nats, topic: str) -> None:
    _, granted = answer_to(nats.credentials("gw-1"), MQTTProtocolVersion.MQTTv311, topic)
    assert [code.is_failure for code in granted] == [True]


def test_mqtt_5_is_refused_at_once(nats: Nats) -> None:
    code, _ = answer_to(nats.credentials("gw-1"), MQTTProtocolVersion.MQTTv5, "suifang/v1/+/gw-1/receipts")
    assert code.is_failure


def test_a_source_cannot_speak_nats(nats: Nats) -> None:
    login = {"user": "gw-1", "pass": nats.credentials("gw-1").password, "verbose": False}
    with (
        socket.create_connection((nats.nodes[0].host, nats.nodes[0].port), timeout=10) as wire,
        wire.makefile() as said,
    ):
        assert said.readline().startswith("INFO ")
        wire.sendall(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
        assert "Authorization Violation" in said.readline()


async def test_ingest_can_neither_make_readings_nor_remove_them(nats: Nats) -> None:
    violations: list[str] = []
    both = asyncio.Event()

    async def remember(error: Exception) -> None:
        violations.append(str(error).lower())
        if len(violations) == 2:
            both.set()

    client = NatsClient()
    await client.connect(nats.servers, user=INGEST, password=nats.credentials(INGEST).password, error_cb=remember)
    await client.publish("suifang.v1.north.gw-1.observations", b"made up")
    await client.publish("$JS.API.STREAM.DELETE.$MQTT_msgs", b"")
    await client.flush()
    async with asyncio.timeout(15):  # the client tells of an error some turns of the loop later
        await both.wait()
    await client.close()
    assert [violation for violation in violations if "permissions violation" in violation] == violations
    assert len(violations) == 2


def test_the_operators_configuration_is_valid_and_has_these_fences() -> None:
    text = OPERATORS.read_text(encoding="utf-8")
    names = dict.fromkeys(re.findall(r"\$([A-Z][A-Z0-9_]+)\b", text.replace("$JS.", "").replace("$MQTT", "")))
    environment = {name: f"nats://route:x@{name.lower()}:1" if "ROUTE_" in name else name for name in names}
    done = subprocess.run(
        [find_nats_server(), "-t", "-c", OPERATORS],
        check=False,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    have = squeezed(text)
    assert squeezed(MAPPING.format(count=PARTITIONS)) in have
    for fence, name, word in ((INGEST_FENCE, "ingest", "$INGEST_PASSWORD"), (FENCE, "gw-1", "$GW_1_PASSWORD")):
        assert squeezed(fence.format(name=name, password=word).replace(f'"{word}"', word)) in have


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)

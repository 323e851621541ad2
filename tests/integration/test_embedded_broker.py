"""The private broker: every source has its fence, and a restart keeps what was promised."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from devices.message import Leaf, Topic, every
from simulators.embedded.announce import silent
from simulators.embedded.broker import Broker, Credentials
from simulators.embedded.errors import NotStarted

REFUSED = 0x87  # MQTT 5, 2.4 reason codes: not authorized


class Client:
    """A client of one credential, with what it received and how its publications ended."""

    def __init__(self, who: Credentials, client_id: str, *, keep: bool) -> None:
        self.received: list[str] = []
        self.answers: dict[int, int] = {}
        self.connected: int | None = None
        self.subscribed = 0
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(who.username, who.password)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        lasting = Properties(PacketTypes.CONNECT)
        if keep:
            lasting.SessionExpiryInterval = 3600
        self._client.connect(who.host, who.port, clean_start=not keep, properties=lasting)
        self.until(lambda: self.connected is not None)

    def _on_connect(self, _c: object, _d: object, _f: object, code: ReasonCode, _p: object) -> None:
        self.connected = code.value

    def _on_message(self, _c: object, _d: object, message: mqtt.MQTTMessage) -> None:
        self.received.append(message.payload.decode())

    def _on_publish(self, _c: object, _d: object, mid: int, code: ReasonCode, _p: object) -> None:
        self.answers[mid] = code.value

    def _on_subscribe(self, _c: object, _d: object, _m: int, _codes: object, _p: object) -> None:
        self.subscribed += 1

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not reached():
            assert time.monotonic() < deadline, "the broker did not answer"
            self._client.loop(0.05)

    def turn(self) -> int:
        """Let this client work a moment while another waits; adds nothing to a sum."""
        self._client.loop(0.01)
        return 0

    def publish(self, topic: object, text: str) -> int:
        """Publish with QoS 1 and return the broker's reason code."""
        mid = self._client.publish(str(topic), text, qos=1).mid
        self.until(lambda: mid in self.answers)
        return self.answers[mid]

    def subscribe(self, *filters: str) -> None:
        wanted = self.subscribed + len(filters)
        for each in filters:
            self._client.subscribe(each, qos=1)
        self.until(lambda: self.subscribed >= wanted)

    def expect(self, *texts: str) -> None:
        self.until(lambda: len(self.received) >= len(texts))
        assert self.received == list(texts)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop(0.05)


@contextmanager
def client(who: Credentials, client_id: str = "", *, keep: bool = False) -> Iterator[Client]:
    one = Client(who, client_id, keep=keep)
    try:
        yield one
    finally:
        one.close()


def test_what_a_source_sends_reaches_ingest_and_the_receipt_returns(broker: Broker) -> None:
    with client(broker.credentials("gw-1")) as source, client(broker.credentials("ingest")) as ingest:
        ingest.subscribe(every(Leaf.OBSERVATIONS), every(Leaf.STATUS))
        source.subscribe(str(Topic("clinic", "gw-1", Leaf.RECEIPTS)))
        source.publish(Topic("clinic", "gw-1", Leaf.OBSERVATIONS), "reading")
        source.publish(Topic("clinic", "gw-1", Leaf.STATUS), "alive")
        ingest.expect("reading", "alive")
        ingest.publish(Topic("clinic", "gw-1", Leaf.RECEIPTS), "stored")
        source.expect("stored")


def test_a_shared_subscription_delivers_each_message_once(broker: Broker) -> None:
    who = broker.credentials("ingest")
    with client(who, "a") as one, client(who, "b") as two, client(broker.credentials("gw-1")) as source:
        for each in (one, two):
            each.subscribe(f"$share/ingest/{every(Leaf.OBSERVATIONS)}")
        sent = [f"reading {n}" for n in range(20)]
        for text in sent:
            source.publish(Topic("clinic", "gw-1", Leaf.OBSERVATIONS), text)
        one.until(lambda: len(one.received) + len(two.received) + two.turn() >= 20)
        assert sorted(one.received + two.received) == sorted(sent)


@pytest.mark.parametrize(
    "topic",
    [
        Topic("clinic", "gw-2", Leaf.OBSERVATIONS),
        Topic("clinic", "gw-2", Leaf.STATUS),
        Topic("clinic", "gw-1", Leaf.RECEIPTS),
        "suifang/v2/clinic/gw-1/observations",
        "elsewhere",
    ],
    ids=str,
)
def test_a_source_cannot_write_outside_its_fence(broker: Broker, topic: object) -> None:
    broker.credentials("gw-2")
    with client(broker.credentials("gw-1")) as source:
        assert source.publish(topic, "forged") == REFUSED
        assert source.publish(Topic("clinic", "gw-1", Leaf.OBSERVATIONS), "own") < 0x80


def test_a_source_does_not_hear_other_sources(broker: Broker) -> None:
    with client(broker.credentials("gw-1")) as nosy, client(broker.credentials("ingest")) as ingest:
        nosy.subscribe("#", every(Leaf.OBSERVATIONS), every(Leaf.RECEIPTS))
        with client(broker.credentials("gw-2")) as other:
            other.publish(Topic("clinic", "gw-2", Leaf.OBSERVATIONS), "a reading of somebody else")
        ingest.publish(Topic("clinic", "gw-2", Leaf.RECEIPTS), "a receipt of somebody else")
        ingest.publish(Topic("clinic", "gw-1", Leaf.RECEIPTS), "mine")
        nosy.until(lambda: "mine" in nosy.received)
        assert set(nosy.received) == {"mine"}


def test_ingest_cannot_forge_readings(broker: Broker) -> None:
    with client(broker.credentials("ingest")) as ingest:
        assert ingest.publish(Topic("clinic", "gw-1", Leaf.OBSERVATIONS), "forged") == REFUSED


def test_strangers_and_wrong_passwords_stay_outside(broker: Broker) -> None:
    own = broker.credentials("gw-1")
    for who in (own._replace(password="guess"), own._replace(username="nobody-known")):
        with client(who) as refused:
            assert refused.connected == REFUSED


def test_passwords_differ_between_sources_and_brokers(broker: Broker) -> None:
    other = Broker(announce=silent)
    words = [broker.credentials("gw-1"), broker.credentials("gw-2"), other.credentials("gw-1")]
    assert len({who.password for who in words}) == 3
    assert broker.credentials("gw-1") == words[0]


def test_names_made_one_right_after_the_other_can_all_sign_in(broker: Broker) -> None:
    for who in [broker.credentials(f"gw-{number}") for number in range(20)]:
        with client(who) as source:
            assert source.connected == 0


def test_a_reload_that_the_broker_missed_is_asked_for_again(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broker._process is not None
    asked: list[int] = []
    send = broker._process.send_signal
    monkeypatch.setattr(
        broker._process, "send_signal", lambda number: (asked.append(number), len(asked) > 1 and send(number))
    )
    with client(broker.credentials("gw-late")) as source:
        assert source.connected == 0
    assert len(asked) == 2


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "gw 1", "x" * 49])
def test_a_name_that_could_break_the_fence_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="source's name"):
        Broker(announce=silent).credentials(name)


def test_a_restart_keeps_port_passwords_and_waiting_messages(broker: Broker) -> None:
    consumer, producer = broker.credentials("ingest"), broker.credentials("gw-1")
    with client(consumer, "consumer", keep=True) as ingest:
        ingest.subscribe(every(Leaf.OBSERVATIONS))
    with client(producer) as source:
        source.publish(Topic("clinic", "gw-1", Leaf.OBSERVATIONS), "waiting")
    broker.restart()
    with client(consumer, "consumer", keep=True) as ingest:
        ingest.expect("waiting")


def test_a_killed_broker_comes_back_on_its_port(broker: Broker) -> None:
    who = broker.credentials("gw-1")
    broker.kill()
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as the system sees it
        Client(who, "", keep=False)
    broker.start()
    with client(who) as source:
        assert source.publish(Topic("clinic", "gw-1", Leaf.STATUS), "back") < 0x80


def test_a_bad_setting_is_reported_with_the_brokers_own_words() -> None:
    with pytest.raises(NotStarted, match="no_such_setting"):
        Broker(settings={"no_such_setting": "1"}, announce=silent).start()

"""What the cluster keeps for ingest: one stream, and a durable consumer for each share of it.

A mapping in the cluster's configuration appends to the subject of observations a number computed from site and source:
`$MQTT.msgs.suifang.v1.{site}.{source}.observations.{partition}`. So a source's messages stay together.
The consumers come before the first message: what nobody is interested in, the stream does not keep.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from devices.message import Leaf, every

STREAM: Final = "$MQTT_msgs"
MOST_PARTITIONS: Final = 64
_PREFIX: Final = "$MQTT.msgs."
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Intent:
    """What to take. durable: begins the consumers' names. receive_maximum: messages in hand without acknowledgement."""

    durable: str
    partitions: int
    replicas: int = 3
    ack_wait_seconds: float = 30.0
    receive_maximum: int = 400


@dataclass(slots=True, eq=False)
class Share:
    """One consumer, and what of it is in hand: stream sequence → the subject of its acknowledgement."""

    consumer: str
    subjects: tuple[str, ...]
    in_hand: dict[int, str] = field(default_factory=dict)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    request: int = 0
    """The number of the last request for messages, and how many it may still bring."""

    expected: int = 0
    asked_at: float = float("-inf")
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: str = ""
    """Why the cluster did not keep the last request open."""

    def ask(self, room: int, now: float) -> None:
        """Count a new request."""
        self.request += 1
        self.expected, self.asked_at, self.trouble = room, now, ""
        self.answered.clear()

    def receive(self, sequence: int, reply: str) -> bool:
        """Count a message; False: it is in hand already, and came again because that takes long."""
        self.expected -= 1
        if self.expected <= 0:
            self.answered.set()
        if sequence in self.in_hand:
            return False
        self.in_hand[sequence] = reply
        return True

    def settle(self, sequence: int) -> str | None:
        """Where to acknowledge; None: it was given back meanwhile."""
        self.freed.set()
        return self.in_hand.pop(sequence, None)


class Ticket(NamedTuple):
    """What settles one delivery."""

    share: Share
    sequence: int


def shares(intent: Intent) -> list[Share]:
    """The partitions, then whatever else the mapping may make, then the sources' statuses.

    A cluster without the mapping, or with one for more partitions, would otherwise acknowledge observations that
    nobody takes.
    """
    observations, statuses = (_PREFIX + subject_of(every(leaf)) for leaf in (Leaf.OBSERVATIONS, Leaf.STATUS))
    numbered = [f"{observations}.{number}" for number in range(MOST_PARTITIONS)]
    return [
        *(Share(f"{intent.durable}-{n}", (numbered[n],)) for n in range(intent.partitions)),
        Share(f"{intent.durable}-rest", (observations, *numbered[intent.partitions :])),
        Share(f"{intent.durable}-status", (statuses,)),
    ]


def stream_wish(intent: Intent) -> dict[str, Any]:
    """As nats-server itself makes it when the first MQTT client comes; the replicas are ours."""
    return {
        "name": STREAM,
        "subjects": [f"{_PREFIX}>"],
        "retention": "interest",
        "storage": "file",
        "num_replicas": intent.replicas,
    }


def consumer_wish(intent: Intent, share: Share) -> dict[str, Any]:
    """Explicit acknowledgement, and as many tries as it takes: what cannot be stored goes to quarantine, not away."""
    config = {
        "name": share.consumer,
        "durable_name": share.consumer,
        "filter_subjects": share.subjects,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": nanoseconds(intent.ack_wait_seconds),
        "max_deliver": -1,
        "max_ack_pending": intent.receive_maximum,
    }
    return {"stream_name": STREAM, "config": config}


def nanoseconds(seconds: float) -> int:
    """As JetStream's requests count time."""
    return int(seconds * _NANO)


def subject_of(topic: str) -> str:
    """The NATS subject of a topic or filter of ours: no level of ours needs an escape."""
    return topic.replace("/", ".").replace("+", "*")


def topic_of(subject: str) -> str:
    """The MQTT topic of a stored message. A dot in a level was written `//`; whatever else the server escapes makes
    a topic that the contract does not know."""
    levels = subject.removeprefix(_PREFIX).split(".")
    if len(levels) == 6 and levels[4] == Leaf.OBSERVATIONS.value:
        levels.pop()
    return "/".join(level.replace("//", ".") for level in levels)

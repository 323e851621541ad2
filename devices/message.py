"""The data contract between whoever pushes readings (gateway, kiosk, vendor) and ingest: topics, messages, receipts.

Version 1. Topics: `suifang/v1/{site}/{source}/{leaf}`; `source` is also the broker's user name, so one credential is
fenced to its own branch. A message carries 1 to 1000 observations (`devices.decoding` takes it apart); each is accepted
or refused by itself, so one bad observation never holds back the batch beside it. A receipt follows on the source's
`receipts` topic **after the database commit**; until it arrives the source keeps the readings and sends again (repeats
collapse by content).
The JSON schema in `docs/message.schema.json` is generated from these classes (`python -m devices.message_schema`).
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from devices.errors import MalformedMessage
from devices.observation import Observation
from devices.series import Series

VERSION: Final = 1
MOST_OBSERVATIONS: Final = 1000
MOST_BYTES: Final = 1_048_576

_NAME: Final = re.compile(r"[A-Za-z0-9_\-]{1,48}")


class Leaf(enum.StrEnum):
    """The last level of a topic: what flows there."""

    OBSERVATIONS = "observations"
    RECEIPTS = "receipts"
    STATUS = "status"


class Topic(NamedTuple):
    """`suifang/v1/{site}/{source}/{leaf}`."""

    site: str
    source: str
    leaf: Leaf

    def __str__(self) -> str:
        return f"suifang/v{VERSION}/{self.site}/{self.source}/{self.leaf.value}"


def every(leaf: Leaf) -> str:
    """The MQTT filter for one leaf of all sites and sources."""
    return f"suifang/v{VERSION}/+/+/{leaf.value}"


@lru_cache(maxsize=1024)
def parse_topic(topic: str) -> Topic:
    """Errors: `MalformedMessage` naming the topic level."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != "suifang":
        raise MalformedMessage("expected suifang/v1/{site}/{source}/{leaf}", field="topic")
    if parts[1] != f"v{VERSION}":
        raise MalformedMessage(f"contract version {parts[1][:8]!r} is not spoken here, v{VERSION} is", field="topic[1]")
    for level in (2, 3):
        if not _NAME.fullmatch(parts[level]):
            raise MalformedMessage("1 to 48 of the characters A-Z a-z 0-9 _ -", field=f"topic[{level}]")
    try:
        leaf = Leaf(parts[4])
    except ValueError:
        raise MalformedMessage("unknown leaf", field="topic[4]") from None
    return Topic(parts[2], parts[3], leaf)


class Reason(enum.StrEnum):
    """Why an observation was refused (quarantined) or noticed (stored, with a remark)."""

    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    UNKNOWN_KIND = "unknown-kind"
    UNKNOWN_UNIT = "unknown-unit"
    UNKNOWN_FACT = "unknown-fact"
    UNKNOWN_ABSENT_REASON = "unknown-absent-reason"
    WRONG_VALUE_COUNT = "wrong-value-count"
    NOT_A_NUMBER = "not-a-number"
    FUTURE_TIME = "future-time"
    ANCIENT_TIME = "ancient-time"
    UNKNOWN_DEVICE = "unknown-device"
    RECORD_REUSED = "record-reused"
    NOT_STORABLE = "not-storable"
    IMPLAUSIBLE_VALUE = "implausible-value"
    UNREGISTERED_DEVICE = "unregistered-device"


class Remark(msgspec.Struct, frozen=True, omit_defaults=True):
    """One refusal or notice; `index` counts the observations of the message, -1 is the message itself."""

    index: int
    field: str
    reason: Reason
    detail: str = ""


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one message. Every observation is `stored`, `duplicate` or `refused`; all three are durable."""

    message_id: str
    payload_sha256: str
    received_at: datetime
    stored: int = 0
    duplicate: int = 0
    refused: tuple[Remark, ...] = ()
    notices: tuple[Remark, ...] = ()


MessageId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$(?!\n)")]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a source sends: 1 to 1000 observations, one by one or in series or both. They count in this order."""

    message_id: MessageId
    sent_at: Annotated[datetime, Meta(tz=True)]
    observations: Annotated[list[Observation], Meta(max_length=MOST_OBSERVATIONS)] = []
    series: Annotated[list[Series], Meta(max_length=MOST_OBSERVATIONS)] = []


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message whose observations and series nobody has looked at yet."""

    message_id: MessageId
    sent_at: Annotated[datetime, Meta(tz=True)]
    observations: Annotated[list[msgspec.Raw], Meta(max_length=MOST_OBSERVATIONS)] = []
    series: Annotated[list[msgspec.Raw], Meta(max_length=MOST_OBSERVATIONS)] = []


_receipt = msgspec.json.Decoder(Receipt)
_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """UTF-8 JSON."""
    return _encoder.encode(message)


def encode_kept(message_id: str, sent_at: datetime, observations: Sequence[bytes]) -> bytes:
    """A message of observations that are UTF-8 JSON already, word for word: none is looked at again, so one that this
    program no longer understands is refused by the receiver alone, and not by its sender with all the others."""
    raw = [msgspec.Raw(observation) for observation in observations]
    return _encoder.encode(Envelope(message_id=message_id, sent_at=sent_at, observations=raw))


def encode_observation(observation: Observation) -> bytes:
    """UTF-8 JSON of one observation, as it is kept in quarantine."""
    return _encode_any(observation)


def encode_series(series: Series) -> bytes:
    """UTF-8 JSON of one series, as it is kept in quarantine where its columns do not fit each other."""
    return _encode_any(series)


def _encode_any(item: Observation | Series) -> bytes:
    try:
        return _encoder.encode(item)
    except UnicodeEncodeError:  # half of a surrogate pair: JSON can write it escaped, UTF-8 has nothing for it
        return json.dumps(msgspec.to_builtins(item, str_keys=True)).encode()


def digest(payload: bytes) -> str:
    """SHA-256 of a payload, hex: names a message that was too broken to carry its own id."""
    return hashlib.sha256(payload).hexdigest()


def encode_receipt(receipt: Receipt) -> bytes:
    """UTF-8 JSON."""
    return _encoder.encode(receipt)


def decode_receipt(payload: bytes) -> Receipt:
    """Errors: `MalformedMessage`."""
    try:
        return _receipt.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedMessage(str(error), field="receipt") from None


def in_messages(observations: Sequence[Observation], most: int) -> list[Sequence[Observation]]:
    """Cut a sequence into runs of at most `most`."""
    return [observations[start : start + most] for start in range(0, len(observations), most)]

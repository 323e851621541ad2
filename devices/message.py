"""The data contract between whoever pushes readings (gateway, kiosk, vendor) and ingest: topics, messages, receipts.

Version 1. Topics: `suifang/v1/{site}/{source}/{leaf}`; `source` is also the broker's user name, so one credential is
fenced to its own branch. A message carries 1 to 1000 observations; each is accepted or refused by itself, so one bad
observation never holds back the batch beside it. A receipt follows on the source's `receipts` topic **after the
database commit**; until it arrives the source keeps the readings and sends again (repeats collapse by content).
The JSON schema in `docs/message.schema.json` is generated from these classes (`python -m devices.message_schema`).
"""

from __future__ import annotations

import enum
import hashlib
import json
import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from msgspec import Meta

from devices.errors import MalformedMessage
from devices.nomenclature import BY_CODE
from devices.observation import ABSENT_NAMES, FACT_NAMES, Observation
from devices.plausibility import implausible_slots

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


class Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a source sends."""

    message_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]
    sent_at: Annotated[datetime, Meta(tz=True)]
    observations: Annotated[list[Observation], Meta(min_length=1, max_length=MOST_OBSERVATIONS)]


class _Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    message_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.\-]+$")]
    sent_at: Annotated[datetime, Meta(tz=True)]
    observations: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MOST_OBSERVATIONS)]


class Decoded(NamedTuple):
    """A message taken apart: good observations with their index, and remarks for the refused ones.

    `contents` holds the JSON of each refused observation by its index, so that it can be kept for an operator.
    """

    message_id: str
    observations: list[tuple[int, Observation]]
    refused: list[Remark]
    contents: dict[int, bytes]


_SLOTS: Final = {(kind.code, unit): len(kind.slots) for kind in BY_CODE.values() for unit in kind.units}
_FACTS: Final = frozenset(FACT_NAMES)
_message = msgspec.json.Decoder(Message)
_envelope = msgspec.json.Decoder(_Envelope)
_observation = msgspec.json.Decoder(Observation)
_receipt = msgspec.json.Decoder(Receipt)
_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """UTF-8 JSON."""
    return _encoder.encode(message)


def encode_kept(message_id: str, sent_at: datetime, observations: Sequence[bytes]) -> bytes:
    """A message of observations that are UTF-8 JSON already, word for word: none is looked at again, so one that this
    program no longer understands is refused by the receiver alone, and not by its sender with all the others."""
    raw = [msgspec.Raw(observation) for observation in observations]
    return _encoder.encode(_Envelope(message_id=message_id, sent_at=sent_at, observations=raw))


def encode_observation(observation: Observation) -> bytes:
    """UTF-8 JSON of one observation, as it is kept in quarantine."""
    return _encoder.encode(observation)


def decode_observation(content: bytes) -> Observation | Remark:
    """One observation as quarantine keeps it; a `Remark` with index 0 says why it is (still) refused."""
    try:
        return _decode_item(0, msgspec.Raw(content) if b"NaN" not in content else json.loads(content))
    except (ValueError, RecursionError) as error:
        return Remark(0, "observation", Reason.MALFORMED, _short(str(error)))


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


def decode_whole(payload: bytes) -> Message | None:
    """All of a message in one go, where every member is of its type; what the observations mean is not looked at.
    None: only `decode` can say what is wrong. Errors: `MalformedMessage`, too large."""
    if len(payload) > MOST_BYTES:
        raise MalformedMessage(f"{len(payload)} bytes, at most {MOST_BYTES}", field="payload")
    try:
        return _message.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def decode(payload: bytes) -> Decoded:
    """Take a message apart. Errors: `MalformedMessage` where not even the envelope can be read.

    The whole message is decoded in one go; only when that fails is it taken observation by observation, and only
    when it is not JSON at all (a vendor's `NaN`) by the tolerant standard parser.
    """
    message = decode_whole(payload)
    if message is None:
        try:
            return _decode_one_by_one(payload)
        except RecursionError:
            raise MalformedMessage("nested too deeply", field="payload") from None
    taken = Decoded(message.message_id, [], [], {})
    for index, observation in enumerate(message.observations):
        remark = meaning_error(index, observation)
        if remark is None:
            taken.observations.append((index, observation))
        else:
            taken.refused.append(remark)
            taken.contents[index] = encode_observation(observation)
    return taken


def _decode_one_by_one(payload: bytes) -> Decoded:
    try:
        envelope = _envelope.decode(payload)
        items: list[Any] = list(envelope.observations)
        message_id = envelope.message_id
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise MalformedMessage(_short(str(error)), field=_field_of(str(error), "payload")) from None
    except msgspec.DecodeError as error:
        message_id, items = _tolerant(payload, str(error))
    taken = Decoded(message_id, [], [], {})
    for index, item in enumerate(items):
        decoded = _decode_item(index, item)
        if isinstance(decoded, Observation):
            taken.observations.append((index, decoded))
        else:
            taken.refused.append(decoded)
            taken.contents[index] = bytes(item) if isinstance(item, msgspec.Raw) else json.dumps(item).encode()
    return taken


def _decode_item(index: int, item: Any) -> Observation | Remark:
    try:
        if isinstance(item, msgspec.Raw):
            observation = _observation.decode(item)
        else:
            _refuse_not_a_number(item)
            observation = msgspec.convert(item, Observation, str_keys=True)
    except (msgspec.MsgspecError, UnicodeError) as error:
        return Remark(index, _field_of(str(error), "observation"), Reason.MALFORMED, _short(str(error)))
    except MalformedMessage as error:
        return Remark(index, _short(error.field), Reason.NOT_A_NUMBER, error.detail)
    return meaning_error(index, observation) or observation


def _tolerant(payload: bytes, why: str) -> tuple[str, list[Any]]:
    """Python's parser accepts the literals NaN and Infinity that some vendors write; nothing else is forgiven."""
    try:
        document = json.loads(payload.decode())
        envelope = msgspec.convert(
            {**document, "observations": [msgspec.Raw(b"{}")] * len(document["observations"])}, _Envelope
        )
        items = list(document["observations"])
    except (ValueError, TypeError, KeyError, RecursionError, msgspec.MsgspecError):
        raise MalformedMessage(_short(why), field="payload") from None
    return envelope.message_id, items


def _refuse_not_a_number(item: Any) -> None:
    if not isinstance(item, dict):
        return
    for name, value in item.items():
        numbers = value if isinstance(value, list) else [value]
        for index, number in enumerate(numbers):
            if isinstance(number, float) and not math.isfinite(number):
                where = f"{name}[{index}]" if isinstance(value, list) else str(name)
                raise MalformedMessage("a value that is not a number is null with a reason in `absent`", field=where)


def meaning_error(index: int, observation: Observation) -> Remark | None:
    """What the types cannot say: is the kind known, do values, unit, facts and absent reasons fit it?"""
    slots = _SLOTS.get((observation.kind, observation.unit))
    if slots is None:
        return _kind_or_unit_error(index, observation)
    count = len(observation.values)
    if not 1 <= count <= slots:
        return Remark(index, "values", Reason.WRONG_VALUE_COUNT, f"this kind takes 1 to {slots}, got {count}")
    if observation.absent and (remark := _absent_error(index, observation, slots)):
        return remark
    if not _FACTS.issuperset(observation.facts):
        position, name = next(item for item in enumerate(observation.facts) if item[1] not in _FACTS)
        return Remark(index, f"facts[{position}]", Reason.UNKNOWN_FACT, _short(name))
    return None


def _kind_or_unit_error(index: int, observation: Observation) -> Remark:
    kind = BY_CODE.get(observation.kind)
    if kind is None:
        return Remark(index, "kind", Reason.UNKNOWN_KIND, f"{observation.kind} is not in the table of kinds")
    return Remark(index, "unit", Reason.UNKNOWN_UNIT, f"{kind.ref} takes {' or '.join(kind.units)}")


def _absent_error(index: int, observation: Observation, slots: int) -> Remark | None:
    for slot, reason in observation.absent.items():
        if reason not in ABSENT_NAMES or not 0 <= slot < slots:
            return Remark(index, f"absent[{slot}]", Reason.UNKNOWN_ABSENT_REASON, f"one of {', '.join(ABSENT_NAMES)}")
        if slot < len(observation.values) and observation.values[slot] is not None:
            return Remark(index, f"absent[{slot}]", Reason.MALFORMED, "a slot holds a number or is absent, not both")
    return None


def time_error(
    index: int, observation: Observation, received_at: datetime, *, future: timedelta, ancient: timedelta
) -> Remark | None:
    """A time beyond tolerance cannot be placed: the reading waits in quarantine, where an operator sees it."""
    if observation.measured_at > received_at + future:
        return Remark(index, "measured_at", Reason.FUTURE_TIME, f"ahead of reception by more than {future}")
    if observation.measured_at < received_at - ancient:
        return Remark(index, "measured_at", Reason.ANCIENT_TIME, f"before reception by more than {ancient}")
    return None


def value_notices(index: int, observation: Observation) -> list[Remark]:
    """Impossible values: stored, flagged, never judged; the sender is told."""
    kind = BY_CODE[observation.kind]
    return [
        Remark(index, f"values[{slot}]", Reason.IMPLAUSIBLE_VALUE, f"{kind.slots[slot].ref} cannot be measured")
        for slot in implausible_slots(kind, observation.values, observation.unit)
    ]


def in_messages(observations: Sequence[Observation], most: int) -> list[Sequence[Observation]]:
    """Cut a sequence into runs of at most `most`."""
    return [observations[start : start + most] for start in range(0, len(observations), most)]


def _short(text: str) -> str:
    """What a stranger wrote, fit for a log line, a receipt and a text column: printable, at most 200 characters."""
    clean = "".join(character if character.isprintable() else "\ufffd" for character in text[:201])
    return clean if len(clean) <= 200 else clean[:197] + "..."


def _field_of(error: str, default: str) -> str:
    """msgspec ends its messages with ` - at `$.path``: the path is the field."""
    _, marker, path = error.rpartition(" - at `$")
    return _short(path.rstrip("`").lstrip(".")) or default if marker else default

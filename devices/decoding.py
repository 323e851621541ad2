"""A message of the data contract taken apart: what can be stored, and what is refused and why.

Nothing that a stranger sends raises anything but `MalformedMessage`, and that only where not even the envelope can be
read. Observations count first, then those of each series; a series whose columns do not fit each other counts as one.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NamedTuple

import msgspec

from devices.errors import MalformedMessage
from devices.meaning import meaning_error, short
from devices.message import (
    MOST_BYTES,
    MOST_OBSERVATIONS,
    Envelope,
    Message,
    Reason,
    Remark,
    encode_observation,
    encode_series,
)
from devices.observation import Observation
from devices.series import Series


class Decoded(NamedTuple):
    """Good observations with their index, and remarks for the refused ones.

    `contents` holds the JSON of each refused observation by its index, so that it can be kept for an operator.
    """

    message_id: str
    observations: list[tuple[int, Observation]]
    refused: list[Remark]
    contents: dict[int, bytes]


_message: Final = msgspec.json.Decoder(Message)
_envelope: Final = msgspec.json.Decoder(Envelope)
_observation: Final = msgspec.json.Decoder(Observation)
_series: Final = msgspec.json.Decoder(Series)


def decode_observation(content: bytes) -> Observation | Remark:
    """One observation as quarantine keeps it; a `Remark` with index 0 says why it is (still) refused."""
    try:
        return _decode_item(0, msgspec.Raw(content) if b"NaN" not in content else json.loads(content))
    except (ValueError, RecursionError) as error:
        return Remark(0, "observation", Reason.MALFORMED, short(str(error)))


def decode_whole(payload: bytes) -> Message | None:
    """All of a message in one go, where every member is of its type; what the observations mean is not looked at.
    None: only `decode` can say what is wrong. Errors: `MalformedMessage`: too large, nothing or too much in it."""
    if len(payload) > MOST_BYTES:
        raise MalformedMessage(f"{len(payload)} bytes, at most {MOST_BYTES}", field="payload")
    try:
        message = _message.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    _check_count(len(message.observations) + sum(map(len, message.series)))
    return message


def _check_count(count: int) -> None:
    if not 1 <= count <= MOST_OBSERVATIONS:
        raise MalformedMessage(f"{count} observations, 1 to {MOST_OBSERVATIONS} make a message", field="observations")


def decode(payload: bytes) -> Decoded:
    """Take a message apart. Errors: `MalformedMessage` where not even the envelope can be read.

    The whole message is decoded in one go; only when that fails is it taken observation by observation, and only
    when it is not JSON at all (a vendor's `NaN`) by the tolerant standard parser.
    """
    message = decode_whole(payload)
    try:
        return _of_whole(message) if message is not None else _one_by_one(payload)
    except RecursionError:
        raise MalformedMessage("nested too deeply", field="payload") from None


def uneven_series(index: int, series: Series) -> Remark | None:
    """None: its columns fit each other."""
    if (uneven := series.uneven()) is None:
        return None
    return Remark(index, uneven.field, Reason.MALFORMED, uneven.detail)


def _of_whole(message: Message) -> Decoded:
    taken = Decoded(message.message_id, [], [], {})
    index = 0
    for observation in message.observations:
        _take(taken, index, observation)
        index += 1
    for series in message.series:
        index = _take_series(taken, index, series)
    return taken


def _take(taken: Decoded, index: int, observation: Observation) -> None:
    if (remark := meaning_error(index, observation)) is None:
        taken.observations.append((index, observation))
    else:
        _refuse(taken, remark, encode_observation(observation))


def _take_series(taken: Decoded, index: int, series: Series) -> int:
    """The index after it."""
    if (remark := uneven_series(index, series)) is not None:
        _refuse(taken, remark, encode_series(series))
        return index + 1
    for position in range(len(series)):
        _take(taken, index + position, series.observation(position))
    return index + len(series)


def _refuse(taken: Decoded, remark: Remark, content: bytes) -> None:
    taken.refused.append(remark)
    taken.contents[remark.index] = content


def _one_by_one(payload: bytes) -> Decoded:
    try:
        envelope = _envelope.decode(payload)
        message_id, items, several = envelope.message_id, list[Any](envelope.observations), list[Any](envelope.series)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise MalformedMessage(short(str(error)), field=_field_of(str(error), "payload")) from None
    except msgspec.DecodeError as error:
        message_id, items, several = _tolerant(payload, str(error))
    taken = Decoded(message_id, [], [], {})
    for index, item in enumerate(items):
        decoded = _decode_item(index, item)
        if isinstance(decoded, Observation):
            taken.observations.append((index, decoded))
        else:
            _refuse(taken, decoded, _content(item))
    count = index = len(items)
    for item in several:
        found = _decode_series(index, item)
        count += len(found) if isinstance(found, Series) else 1
        _check_count(count)  # before any is made an observation: a column of a message may have very many entries
        if isinstance(found, Series):
            index = _take_series(taken, index, found)
        else:
            _refuse(taken, found, _content(item))
            index += 1
    _check_count(count)
    return taken


def _content(item: Any) -> bytes:
    return bytes(item) if isinstance(item, msgspec.Raw) else json.dumps(item).encode()


def _decode_item(index: int, item: Any) -> Observation | Remark:
    try:
        if isinstance(item, msgspec.Raw):
            observation = _observation.decode(item)
        else:
            _refuse_not_a_number("", item)
            observation = msgspec.convert(item, Observation, str_keys=True)
    except (msgspec.MsgspecError, UnicodeError) as error:
        return Remark(index, _field_of(str(error), "observation"), Reason.MALFORMED, short(str(error)))
    except MalformedMessage as error:
        return Remark(index, short(error.field) or "observation", Reason.NOT_A_NUMBER, error.detail)
    return meaning_error(index, observation) or observation


def _decode_series(index: int, item: Any) -> Series | Remark:
    try:
        if isinstance(item, msgspec.Raw):
            return _series.decode(item)
        _refuse_not_a_number("", item)
        return msgspec.convert(item, Series, str_keys=True)
    except (msgspec.MsgspecError, UnicodeError) as error:
        return Remark(index, _field_of(str(error), "series"), Reason.MALFORMED, short(str(error)))
    except MalformedMessage as error:
        return Remark(index, short(error.field) or "series", Reason.NOT_A_NUMBER, error.detail)


def _tolerant(payload: bytes, why: str) -> tuple[str, list[Any], list[Any]]:
    """Python's parser accepts the literals NaN and Infinity that some vendors write; nothing else is forgiven."""
    try:
        document = json.loads(payload.decode())
        items, several = list(document.get("observations", ())), list(document.get("series", ()))
        nothing = msgspec.Raw(b"{}")
        looked = {**document, "observations": [nothing] * len(items), "series": [nothing] * len(several)}
        envelope = msgspec.convert(looked, Envelope)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, msgspec.MsgspecError):
        raise MalformedMessage(short(why), field="payload") from None
    return envelope.message_id, items, several


def _refuse_not_a_number(where: str, found: Any) -> None:
    if isinstance(found, float) and not math.isfinite(found):
        raise MalformedMessage("a value that is not a number is null with a reason in `absent`", field=where)
    if isinstance(found, dict) and not where:
        for name, value in found.items():
            _refuse_not_a_number(str(name), value)
    elif isinstance(found, list):
        for index, value in enumerate(found):
            _refuse_not_a_number(f"{where}[{index}]", value)


def _field_of(error: str, default: str) -> str:
    """msgspec ends its messages with ` - at `$.path``: the path is the field."""
    _, marker, path = error.rpartition(" - at `$")
    return short(path.rstrip("`").lstrip(".")) or default if marker else default

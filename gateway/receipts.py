"""What a receipt means for the message it answers. Pure."""

from __future__ import annotations

import enum
from typing import NamedTuple

from devices.message import Receipt


class Settlement(enum.StrEnum):
    """What came of a receipt."""

    SETTLED = "settled"
    """Everything in the message is durable at the receiver, or refused: the message is forgotten."""
    UNKNOWN = "unknown"
    """No such message here, or no longer: a receipt may come twice."""
    INCOMPLETE = "incomplete"
    """The receipt does not account for every observation: nothing is forgotten, the message is sent again."""


class Refused(NamedTuple):
    """One refused observation: its place in the message, and what the receiver said."""

    position: int
    field: str
    reason: str
    detail: str


def judge(receipt: Receipt, count: int) -> list[Refused] | Settlement:
    """The refused ones among `count` observations, or INCOMPLETE. A refusal at index -1 is of the whole message."""
    whole = next((remark for remark in receipt.refused if remark.index < 0), None)
    if whole is not None:
        return [Refused(position, whole.field, whole.reason.value, whole.detail) for position in range(count)]
    refused = {remark.index: remark for remark in reversed(receipt.refused) if remark.index < count}
    if receipt.stored + receipt.duplicate + len(refused) < count:
        return Settlement.INCOMPLETE
    return [
        Refused(position, remark.field, remark.reason.value, remark.detail)
        for position, remark in sorted(refused.items())
    ]

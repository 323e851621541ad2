"""What a manager or an agent wants done by whoever holds the transport, in this order."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from devices.ieee11073.data_apdu import Answer, Question
from devices.ieee11073.states import State
from devices.observation import Observation
from devices.waveform import Waveform


class Send(msgspec.Struct, frozen=True, gc=False):
    """Octets for the other side."""

    octets: bytes


class Keep(msgspec.Struct, frozen=True, gc=False):
    """Readings: keep them first; then send `octets`, the confirmation (empty: none was asked for).

    waveforms: what was sampled beside them; the message contract has no place for it, so it is shown or handed on.
    """

    observations: tuple[Observation, ...]
    octets: bytes = b""
    waveforms: tuple[Waveform, ...] = ()


NO_KIND: Final = "NoKind"
"""Why a report that was read is odd all the same: what it measured is of no kind, or in no unit, that is known here
(field `type`), or of an object that the configuration does not have (`obj-handle`)."""


class Odd(NamedTuple):
    """A frame that could not be read, or has numbers that are no readings here; for the operator. Its answer, if it has
    one, follows as `Send` or `Keep`."""

    frame: bytes
    field: str
    reason: str


class Became(NamedTuple):
    """The association is in another state. why: a word for the log; empty where the state says it all."""

    state: State
    why: str = ""


class Answered(NamedTuple):
    """The other side's answer to a question."""

    question: Question
    answer: Answer


Output = Send | Keep | Odd | Became | Answered

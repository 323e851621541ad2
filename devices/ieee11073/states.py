"""The state tables of manager and agent, and their timeouts, as data.

`number` names the row of the standard's tables that a row follows. Where the published tables have slips (a GET while a
configuration is judged restarts the configuration; an answered question leaves the association) the row keeps the
state instead; docs/decisions/0026. Source: ISO/IEEE 11073-20601, annex E (state tables), clause 8.4 to 8.12 (timeouts).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final, NamedTuple

from devices.ieee11073.codes import AbortReason


class State(enum.StrEnum):
    """Of an association."""

    DISCONNECTED = "disconnected"
    UNASSOCIATED = "unassociated"
    ASSOCIATING = "associating"
    CONFIG_SENDING = "config-sending"
    WAITING_APPROVAL = "waiting-approval"
    WAITING_FOR_CONFIG = "waiting-for-config"
    CHECKING_CONFIG = "checking-config"
    OPERATING = "operating"
    DISASSOCIATING = "disassociating"


class Event(enum.StrEnum):
    """What can happen to an association."""

    TRANSPORT_UP = "transport-up"
    TRANSPORT_DOWN = "transport-down"
    TIMEOUT = "timeout"
    RETRY = "retry"
    REQ_ASSOCIATE = "req-associate"
    REQ_CONFIG = "req-config"
    REQ_RELEASE = "req-release"
    REQ_ABORT = "req-abort"
    RX_GARBAGE = "rx-garbage"
    RX_AARQ_KNOWN = "rx-aarq-known"
    RX_AARQ_UNKNOWN = "rx-aarq-unknown"
    RX_AARQ_REJECTED = "rx-aarq-rejected"
    RX_AARE_KNOWN = "rx-aare-known"
    RX_AARE_UNKNOWN = "rx-aare-unknown"
    RX_AARE_REJECTED = "rx-aare-rejected"
    RX_RLRQ = "rx-rlrq"
    RX_RLRE = "rx-rlre"
    RX_ABRT = "rx-abrt"
    RX_UNREADABLE = "rx-unreadable"
    RX_CONFIG = "rx-config"
    RX_EVENT = "rx-event"
    RX_GET = "rx-get"
    RX_QUESTION = "rx-question"
    RX_RESULT = "rx-result"
    RX_STRAY_RESULT = "rx-stray-result"
    CONFIG_ACCEPTED = "config-accepted"
    CONFIG_REFUSED = "config-refused"
    CONFIG_UNREADABLE = "config-unreadable"


class Do(enum.StrEnum):
    """What a row sends or does."""

    NOTHING = "nothing"
    SEND_AARQ = "send-aarq"
    ACCEPT = "accept"
    ACCEPT_UNKNOWN = "accept-unknown"
    REJECT = "reject"
    SEND_CONFIG = "send-config"
    JUDGE_CONFIG = "judge-config"
    ANSWER_CONFIG = "answer-config"
    SEND_RLRQ = "send-rlrq"
    SEND_RLRE = "send-rlre"
    ABORT = "abort"
    KEEP = "keep"
    ANSWER = "answer"
    NO_SUCH_OBJECT = "no-such-object"
    UNRECOGNIZED = "unrecognized"
    BADLY_STRUCTURED = "badly-structured"
    TAKE_RESULT = "take-result"


class Row(NamedTuple):
    """One row. number: of the standard's table."""

    number: str
    next: State
    do: Do


Table = dict[tuple[State, Event], Row]
_S, _E, _D = State, Event, Do
_PRESENTED: Final = (_E.RX_UNREADABLE, _E.RX_CONFIG, _E.RX_EVENT, _E.RX_GET, _E.RX_QUESTION, _E.RX_RESULT,
                     _E.RX_STRAY_RESULT)  # fmt: skip
_AARQ: Final = (_E.RX_AARQ_KNOWN, _E.RX_AARQ_UNKNOWN, _E.RX_AARQ_REJECTED)
_AARE: Final = (_E.RX_AARE_KNOWN, _E.RX_AARE_UNKNOWN, _E.RX_AARE_REJECTED)


def _rows(state: State, *rows: tuple[str, Event | Iterable[Event], State, Do]) -> Table:
    found: Table = {}
    for number, events, following, do in rows:
        for event in (events,) if isinstance(events, Event) else events:
            found[state, event] = Row(number, following, do)
    return found


def _associated(state: State, row: int) -> Table:
    """What is the same in every state of an association, for both sides."""
    return _rows(
        state,
        (f"{row}.2", _E.TRANSPORT_DOWN, _S.DISCONNECTED, _D.NOTHING),
        (f"{row}.4", _E.TIMEOUT, _S.UNASSOCIATED, _D.ABORT),
        (f"{row}.6", _E.REQ_RELEASE, _S.DISASSOCIATING, _D.SEND_RLRQ),
        (f"{row}.7", _E.REQ_ABORT, _S.UNASSOCIATED, _D.ABORT),
        (f"{row}.7", _E.RX_GARBAGE, _S.UNASSOCIATED, _D.ABORT),
        (f"{row}.8", _AARQ, _S.UNASSOCIATED, _D.ABORT),
        (f"{row}.12", _AARE, _S.UNASSOCIATED, _D.ABORT),
        (f"{row}.16", _E.RX_RLRQ, _S.UNASSOCIATED, _D.SEND_RLRE),
        (f"{row}.17", _E.RX_RLRE, _S.UNASSOCIATED, _D.ABORT),
        (f"{row}.18", _E.RX_ABRT, _S.UNASSOCIATED, _D.NOTHING),
        (f"{row}.21", _E.RX_UNREADABLE, state, _D.BADLY_STRUCTURED),
    )


def _unassociated() -> Table:
    return _rows(
        _S.UNASSOCIATED,
        ("2.2", _E.TRANSPORT_DOWN, _S.DISCONNECTED, _D.NOTHING),
        ("2.6", _E.REQ_RELEASE, _S.UNASSOCIATED, _D.NOTHING),
        ("2.7", _E.REQ_ABORT, _S.UNASSOCIATED, _D.NOTHING),
        ("2.7", _E.RX_GARBAGE, _S.UNASSOCIATED, _D.ABORT),
        ("2.12", _AARE, _S.UNASSOCIATED, _D.ABORT),
        ("2.16", _E.RX_RLRQ, _S.UNASSOCIATED, _D.ABORT),
        ("2.17", _E.RX_RLRE, _S.UNASSOCIATED, _D.NOTHING),
        ("2.18", _E.RX_ABRT, _S.UNASSOCIATED, _D.NOTHING),
        ("2.19", _PRESENTED, _S.UNASSOCIATED, _D.ABORT),
    )


def _disassociating() -> Table:
    here = _S.DISASSOCIATING
    return _associated(here, 9) | _rows(
        here,
        ("9.6", _E.REQ_RELEASE, here, _D.NOTHING),
        ("9.16", _E.RX_RLRQ, here, _D.SEND_RLRE),
        ("9.17", _E.RX_RLRE, _S.UNASSOCIATED, _D.NOTHING),
        ("9.21", (_E.RX_CONFIG, _E.RX_EVENT, _E.RX_GET, _E.RX_QUESTION, _E.RX_UNREADABLE), here, _D.NOTHING),
        ("9.26", _E.RX_RESULT, here, _D.NOTHING),
        ("9.26", _E.RX_STRAY_RESULT, _S.UNASSOCIATED, _D.ABORT),
    )


def _connection() -> Table:
    return _rows(_S.DISCONNECTED, ("1.1", _E.TRANSPORT_UP, _S.UNASSOCIATED, _D.NOTHING))


def _manager() -> Table:
    waiting, checking, operating = _S.WAITING_FOR_CONFIG, _S.CHECKING_CONFIG, _S.OPERATING
    return (
        _connection()
        | _unassociated()
        | _rows(
            _S.UNASSOCIATED,
            ("2.9", _E.RX_AARQ_KNOWN, operating, _D.ACCEPT),
            ("2.10", _E.RX_AARQ_UNKNOWN, waiting, _D.ACCEPT_UNKNOWN),
            ("2.11", _E.RX_AARQ_REJECTED, _S.UNASSOCIATED, _D.REJECT),
        )
        | _associated(waiting, 6)
        | _rows(
            waiting,
            ("6.24", _E.RX_CONFIG, checking, _D.JUDGE_CONFIG),
            ("6.25", (_E.RX_EVENT, _E.RX_GET, _E.RX_QUESTION), waiting, _D.NO_SUCH_OBJECT),
            ("6.26", _E.RX_RESULT, waiting, _D.TAKE_RESULT),
            ("6.26", _E.RX_STRAY_RESULT, _S.UNASSOCIATED, _D.ABORT),
        )
        | _associated(checking, 7)
        | _rows(
            checking,
            ("7.24", _E.RX_CONFIG, _S.UNASSOCIATED, _D.ABORT),
            ("7.25", (_E.RX_EVENT, _E.RX_GET, _E.RX_QUESTION), checking, _D.NO_SUCH_OBJECT),
            ("7.26", _E.RX_RESULT, checking, _D.TAKE_RESULT),
            ("7.26", _E.RX_STRAY_RESULT, checking, _D.NOTHING),
            ("7.31", _E.CONFIG_REFUSED, waiting, _D.ANSWER_CONFIG),
            ("7.32", _E.CONFIG_ACCEPTED, operating, _D.ANSWER_CONFIG),
            ("7.32", _E.CONFIG_UNREADABLE, waiting, _D.BADLY_STRUCTURED),
        )
        | _associated(operating, 8)
        | _rows(
            operating,
            ("8.21", (_E.RX_EVENT, _E.RX_CONFIG), operating, _D.KEEP),
            ("8.21", (_E.RX_GET, _E.RX_QUESTION), operating, _D.UNRECOGNIZED),
            ("8.26", _E.RX_RESULT, operating, _D.TAKE_RESULT),
            ("8.26", _E.RX_STRAY_RESULT, operating, _D.NOTHING),
        )
        | _disassociating()
    )


def _agent() -> Table:
    associating, sending, approval = _S.ASSOCIATING, _S.CONFIG_SENDING, _S.WAITING_APPROVAL
    operating, unassociated = _S.OPERATING, _S.UNASSOCIATED
    questions = (_E.RX_CONFIG, _E.RX_EVENT, _E.RX_QUESTION)
    return (
        _connection()
        | _unassociated()
        | _rows(
            unassociated,
            ("2.5", _E.REQ_ASSOCIATE, associating, _D.SEND_AARQ),
            ("2.8", _AARQ, unassociated, _D.REJECT),
        )
        | _associated(associating, 3)
        | _rows(
            associating,
            ("3.4", _E.RETRY, associating, _D.SEND_AARQ),
            # nothing is associated that could be released
            ("3.6", _E.REQ_RELEASE, unassociated, _D.ABORT),
            ("3.8", _AARQ, unassociated, _D.REJECT),
            ("3.13", _E.RX_AARE_KNOWN, operating, _D.NOTHING),
            ("3.14", _E.RX_AARE_UNKNOWN, sending, _D.NOTHING),
            ("3.15", _E.RX_AARE_REJECTED, unassociated, _D.NOTHING),
            ("3.16", _E.RX_RLRQ, unassociated, _D.ABORT),
            ("3.19", _PRESENTED, unassociated, _D.ABORT),
        )
        | _associated(sending, 4)
        | _rows(
            sending,
            ("4.22", _E.RX_GET, sending, _D.ANSWER),
            ("4.23", questions, sending, _D.NO_SUCH_OBJECT),
            ("4.26", (_E.RX_RESULT, _E.RX_STRAY_RESULT), unassociated, _D.ABORT),
            ("4.32", _E.REQ_CONFIG, approval, _D.SEND_CONFIG),
        )
        | _associated(approval, 5)
        | _rows(
            approval,
            ("5.22", _E.RX_GET, approval, _D.ANSWER),
            ("5.23", questions, approval, _D.NO_SUCH_OBJECT),
            ("5.27", _E.CONFIG_REFUSED, sending, _D.NOTHING),
            ("5.29", _E.CONFIG_ACCEPTED, operating, _D.NOTHING),
            ("5.30", (_E.RX_RESULT, _E.RX_STRAY_RESULT), unassociated, _D.ABORT),
        )
        | _associated(operating, 8)
        | _rows(
            operating,
            ("8.21", (_E.RX_GET, _E.RX_QUESTION), operating, _D.ANSWER),
            ("8.21", (_E.RX_EVENT, _E.RX_CONFIG), operating, _D.UNRECOGNIZED),
            ("8.26", _E.RX_RESULT, operating, _D.TAKE_RESULT),
            ("8.26", _E.RX_STRAY_RESULT, operating, _D.NOTHING),
        )
        | _disassociating()
    )


MANAGER: Final[Table] = _manager()
AGENT: Final[Table] = _agent()


class Timeouts(NamedTuple):
    """Seconds. association: of each of 1 + `retries` requests.  configuration: between association and a configuration
    that is accepted.  event, question: until the answer.  store: until the answer to what a PM-store has to look up.
    patience: how long a report with an odd stamp waits for the agent's clock.  courtesy: the manager's own questions
    wait for so long, because most agents report first and some cannot listen meanwhile."""

    association: float = 10.0
    retries: int = 3
    configuration: float = 10.0
    event: float = 3.0
    question: float = 3.0
    store: float = 10.0
    release: float = 3.0
    patience: float = 1.0
    courtesy: float = 0.2


TIMEOUTS: Final = Timeouts()
ABORT_REASONS: Final = {
    _S.WAITING_FOR_CONFIG: AbortReason.CONFIGURATION_TIMEOUT,
    _S.CHECKING_CONFIG: AbortReason.CONFIGURATION_TIMEOUT,
    _S.CONFIG_SENDING: AbortReason.CONFIGURATION_TIMEOUT,
    _S.WAITING_APPROVAL: AbortReason.CONFIGURATION_TIMEOUT,
    _S.OPERATING: AbortReason.RESPONSE_TIMEOUT,
}
"""What an ABRT says when time is up; in other states, and for other faults, it is undefined."""

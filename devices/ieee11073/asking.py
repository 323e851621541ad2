"""Questions to the other side, one at a time, each with an invoke id and a time by which it must be answered."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

import msgspec

from devices.ieee11073.codes import Act
from devices.ieee11073.data_apdu import (
    Action,
    ActionResult,
    Answer,
    EventReport,
    EventReportResult,
    Get,
    GetResult,
    Question,
    Reject,
    RemoteError,
    Set,
    SetResult,
)
from devices.ieee11073.states import Timeouts

MOST_WAITING: Final = 256
"""Questions that wait for their turn; an association never needs more, whatever an agent says it has."""
_STORE: Final = frozenset({Act.SEG_GET_INFO, Act.SEG_TRIG_XFER, Act.SEG_CLR, Act.DATA_REQUEST})


class _Waiting(NamedTuple):
    """at_least: seconds that the other side was promised for its answer."""

    question: Question
    at_least: float


class _Asked(NamedTuple):
    question: Question
    by: float


def is_confirmed(question: Question) -> bool:
    """It has an answer."""
    return isinstance(question, Get) or question.confirmed


def fits(question: Question, answer: Answer) -> bool:
    """An answer of the kind that the question has; errors and rejections answer all."""
    match answer:
        case RemoteError() | Reject():
            return True
        case EventReportResult():
            return isinstance(question, EventReport) and question.type == answer.type
        case GetResult():
            return isinstance(question, Get)
        case SetResult():
            return isinstance(question, Set)
        case ActionResult():
            return isinstance(question, Action) and question.type == answer.type


class Asking:
    """The question under way, and those that wait. Invoke ids count up and wrap."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._waiting: deque[_Waiting] = deque()
        self._asked: _Asked | None = None
        self._invoke_id = 0

    def clear(self) -> None:
        """The association is over: nothing is asked any more."""
        self._waiting.clear()
        self._asked = None

    def release(self) -> None:
        """Nothing more is asked; what was asked may still be answered, and nobody waits for it any more."""
        self._waiting.clear()
        if self._asked is not None:
            self._asked = self._asked._replace(by=math.inf)

    @property
    def deadline(self) -> float | None:
        """When the question under way must be answered. None: there is none."""
        return None if self._asked is None else self._asked.by

    @property
    def under_way(self) -> Question | None:
        """The question that is not yet answered."""
        return None if self._asked is None else self._asked.question

    @property
    def waiting(self) -> int:
        """Questions that were not yet sent."""
        return len(self._waiting)

    def put(self, question: Question, at_least: float = 0.0) -> bool:
        """In the queue; the invoke id is given when it is sent. False: the queue is full.

        at_least: seconds to wait for the answer, where the other side needs longer than the timeouts give it.
        """
        if len(self._waiting) >= MOST_WAITING:
            return False
        self._waiting.append(_Waiting(question, at_least))
        return True

    def next(self, now: float) -> Question | None:
        """The next question to send. None: one is under way, or none waits."""
        if self._asked is not None or not self._waiting:
            return None
        waiting = self._waiting.popleft()
        question = msgspec.structs.replace(waiting.question, invoke_id=self._invoke_id)
        self._invoke_id = (self._invoke_id + 1) & 0xFFFF
        if is_confirmed(question):
            self._asked = _Asked(question, now + max(self._time_for(question), waiting.at_least))
        return question

    def expects(self, invoke_id: int) -> bool:
        """The question under way has this invoke id."""
        return self._asked is not None and self._asked.question.invoke_id == invoke_id

    def answered(self, answer: Answer) -> Question | None:
        """The question of this answer. None: nobody asked, or something else."""
        asked = self._asked
        if asked is None or asked.question.invoke_id != answer.invoke_id or not fits(asked.question, answer):
            return None
        self._asked = None
        return asked.question

    def _time_for(self, question: Question) -> float:
        if isinstance(question, EventReport):
            return self._timeouts.event
        if isinstance(question, Action) and question.type in _STORE:
            return self._timeouts.store
        return self._timeouts.question

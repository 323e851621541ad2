"""How either side answers what it cannot do, or cannot read.

Source: ISO/IEEE 11073-20601, clauses 7.3 (rorj, roer), 8.4 (errors of APDUs).
"""

from __future__ import annotations

from devices.errors import DeviceError
from devices.ieee11073 import apdu
from devices.ieee11073.asking import is_confirmed
from devices.ieee11073.codes import Problem, RemoteErrorCode
from devices.ieee11073.data_apdu import Question, Reject, RemoteError
from devices.ieee11073.errors import UnknownOperation
from devices.ieee11073.outputs import Odd, Output, Send
from devices.ieee11073.states import Do, Row


def odd(frame: bytes, error: DeviceError) -> Odd:
    """For the operator."""
    return Odd(frame, error.field, type(error).__name__)


def of_question(question: Question, row: Row | None) -> list[Output]:
    """What a row says of a question that is not answered. Nothing, where nobody waits for an answer."""
    if row is None or not is_confirmed(question):
        return []
    if row.do is Do.NO_SUCH_OBJECT:
        return [Send(apdu.encode(RemoteError(question.invoke_id, RemoteErrorCode.NO_SUCH_OBJECT_INSTANCE)))]
    if row.do is Do.UNRECOGNIZED:
        return [Send(apdu.encode(Reject(question.invoke_id, Problem.UNRECOGNIZED_OPERATION)))]
    return []


def of_frame(invoke_id: int, error: DeviceError, row: Row | None) -> list[Output]:
    """What a row says of a data APDU that cannot be read."""
    if row is None or row.do is not Do.BADLY_STRUCTURED:
        return []
    unknown = isinstance(error, UnknownOperation)
    problem = Problem.UNRECOGNIZED_OPERATION if unknown else Problem.BADLY_STRUCTURED_APDU
    return [Send(apdu.encode(Reject(invoke_id, problem)))]

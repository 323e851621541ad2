"""A memory of numbered records that is asked through a Record Access Control Point: what meters and sensors share.

Source: Glucose Service 1.0.1, clause 3.4; the CGM Service has the same point. Records go out as notifications, then the
procedure's answer is indicated; the records count as delivered when that has been confirmed.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Final

from bumble import att
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue

from devices.errors import BadValue, DeviceError
from devices.gatt.record_access import OpCode, Operator, RecordAccess, ResponseCode, number_response, response
from simulators.peripheral import INDICATE, NOTIFY, WRITE, Kept, Peripheral

CONTROL: Final = RecordAccess.uuid
_BUSY: Final = 0xFE
_NOT_CONFIGURED: Final = 0xFD
_BOUNDS: Final = {
    Operator.ALL: 0,
    Operator.FIRST: 0,
    Operator.LAST: 0,
    Operator.LESS_OR_EQUAL: 1,
    Operator.GREATER_OR_EQUAL: 1,
    Operator.WITHIN_RANGE: 2,
}


class RecordMemory(Peripheral):
    """Gives its records out by number. requests: what it was asked, in order.

    `sends_again` does nothing here: the gateway asks for what it wants.
    """

    measured: ClassVar[str]
    """The characteristic that notifies the records."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.requests: list[RecordAccess] = []
        self.sending: dict[str, Characteristic[Any]] = {}
        self._running: Connection | None = None
        self._notified: set[int] = set()

    def forget(self) -> None:
        """The memory is emptied."""
        self.kept.clear()
        self.delivered.clear()
        self._notified.clear()

    @abstractmethod
    async def transmit(self, connection: Connection, chosen: list[Kept]) -> bool:
        """Notify these, each noted by `went_out`; True: the link has been dropped before the last."""

    def went_out(self, record: Kept) -> None:
        """It was notified, which nobody confirms."""
        self._notified.add(id(record))

    def characteristics(self) -> list[Characteristic[Any]]:
        control = CharacteristicValue[bytes](write=self._on_request)
        self.sending = {
            self.measured: self.notifying(int(self.measured, 16), NOTIFY),
            CONTROL: self.notifying(int(CONTROL, 16), INDICATE | WRITE, value=control),
        }
        return list(self.sending.values())

    def subscribed(self, connection: Connection, uuid: str) -> bool:
        """Has this client switched the characteristic on?"""
        chosen = self.bumble.gatt_server.subscribers.get(connection, {})
        return bool((chosen.get(self.sending[uuid].handle) or b"\0")[0])

    def _on_request(self, connection: Connection, value: bytes) -> None:
        """Errors: ATT 0xFD where the answers have not been switched on, 0xFE while a procedure runs (clause 3.4.3)."""
        if not all(self.subscribed(connection, uuid) for uuid in (self.measured, CONTROL)):
            raise att.ATT_Error(_NOT_CONFIGURED)
        if self._running is connection:
            raise att.ATT_Error(_BUSY)
        self._running = connection
        self.work(self._answer(connection, value))

    async def _answer(self, connection: Connection, value: bytes) -> None:
        done: list[Kept] = []
        try:
            request = RecordAccess.decode(value)
            self.requests.append(request)
            answer = self._refusal(request)
            if answer is None:
                chosen = self._chosen(request)
                if request.op_code == OpCode.REPORT_NUMBER_OF_STORED_RECORDS:
                    answer = number_response(len(chosen))
                else:
                    if await self.transmit(connection, chosen):
                        return
                    done = [*self._kept_before(request), *chosen]
                    code = ResponseCode.SUCCESS if chosen else ResponseCode.NO_RECORDS_FOUND
                    answer = response(request.op_code, code)
        except DeviceError:
            answer = response(value[0] if value else 0, ResponseCode.INVALID_OPERAND)
        await self.bumble.indicate_subscriber(connection, self.sending[CONTROL], answer.encode())
        self._running = None
        for record in done:
            self.acknowledged(record)
        if done and not self.pending:
            await self.hang_up(connection)

    def _kept_before(self, request: RecordAccess) -> list[Kept]:
        """Who asks from a number on has kept what went out before it, though nobody confirmed that."""
        if request.operator != Operator.GREATER_OR_EQUAL:
            return []
        (least,) = (bound for bound in request.bounds if isinstance(bound, int))
        return [record for record in self.kept if record.record_no < least and id(record) in self._notified]

    def _refusal(self, request: RecordAccess) -> RecordAccess | None:
        if request.op_code not in (OpCode.REPORT_STORED_RECORDS, OpCode.REPORT_NUMBER_OF_STORED_RECORDS):
            return response(request.op_code, ResponseCode.OP_CODE_NOT_SUPPORTED)
        if request.operator == Operator.NULL:
            return response(request.op_code, ResponseCode.INVALID_OPERATOR)
        if request.operator not in set(_BOUNDS):
            return response(request.op_code, ResponseCode.OPERATOR_NOT_SUPPORTED)
        return None

    def _chosen(self, request: RecordAccess) -> list[Kept]:
        bounds = [bound for bound in request.bounds if isinstance(bound, int)]
        if len(bounds) != _BOUNDS[Operator(request.operator)]:
            raise BadValue("only sequence numbers are compared here", field="operand")
        match Operator(request.operator):
            case Operator.FIRST:
                return self.kept[:1]
            case Operator.LAST:
                return self.kept[-1:]
            case Operator.GREATER_OR_EQUAL:
                return [record for record in self.kept if record.record_no >= bounds[0]]
            case Operator.LESS_OR_EQUAL:
                return [record for record in self.kept if record.record_no <= bounds[0]]
            case Operator.WITHIN_RANGE:
                return [record for record in self.kept if bounds[0] <= record.record_no <= bounds[1]]
            case _:
                return list(self.kept)

"""Record Access Control Point (0x2A52): ask for stored records, count them, stop.

Source: Bluetooth Glucose Service 1.0.1, clause 3.4; the same point serves the oximeter and CGM services. Written with
response by the gateway, answered by indication; the records themselves come as notifications before the answer.
"""

from __future__ import annotations

import enum
import struct
from typing import ClassVar, Final, Self

from devices.clock import DateTime
from devices.errors import BadValue, Truncated
from devices.gatt.characteristic import Characteristic
from devices.octets import U8, Field, Layout


class OpCode(enum.IntEnum):
    """What to do, or what the answer is."""

    REPORT_STORED_RECORDS = 1
    DELETE_STORED_RECORDS = 2
    ABORT_OPERATION = 3
    REPORT_NUMBER_OF_STORED_RECORDS = 4
    NUMBER_OF_STORED_RECORDS_RESPONSE = 5
    RESPONSE_CODE = 6
    COMBINED_REPORT = 7
    COMBINED_REPORT_RESPONSE = 8


class Operator(enum.IntEnum):
    """Which records."""

    NULL = 0
    ALL = 1
    LESS_OR_EQUAL = 2
    GREATER_OR_EQUAL = 3
    WITHIN_RANGE = 4
    FIRST = 5
    LAST = 6


class FilterType(enum.IntEnum):
    """What the operand counts: the sequence number (time offset in CGM), or the user-facing time."""

    SEQUENCE_NUMBER = 1
    USER_FACING_TIME = 2


class ResponseCode(enum.IntEnum):
    """How a procedure ended."""

    SUCCESS = 1
    OP_CODE_NOT_SUPPORTED = 2
    INVALID_OPERATOR = 3
    OPERATOR_NOT_SUPPORTED = 4
    INVALID_OPERAND = 5
    NO_RECORDS_FOUND = 6
    ABORT_UNSUCCESSFUL = 7
    PROCEDURE_NOT_COMPLETED = 8
    OPERAND_NOT_SUPPORTED = 9
    SERVER_BUSY = 10


_ANSWERS: Final = frozenset(
    (OpCode.NUMBER_OF_STORED_RECORDS_RESPONSE, OpCode.RESPONSE_CODE, OpCode.COMBINED_REPORT_RESPONSE)
)
_COUNTS: Final = frozenset((OpCode.NUMBER_OF_STORED_RECORDS_RESPONSE, OpCode.COMBINED_REPORT_RESPONSE))
_COUNT_SIZES: Final = frozenset((1, 2, 4))
"""Octets of a number of records: two by the standard, four in the Generic Health Sensor service, one in the wild."""
_REQUESTS: Final = frozenset(
    (
        OpCode.REPORT_STORED_RECORDS,
        OpCode.DELETE_STORED_RECORDS,
        OpCode.REPORT_NUMBER_OF_STORED_RECORDS,
        OpCode.COMBINED_REPORT,
    )
)
_COMPARED: Final[dict[int, int]] = {Operator.LESS_OR_EQUAL: 1, Operator.GREATER_OR_EQUAL: 1, Operator.WITHIN_RANGE: 2}
_BOUND_SIZE: Final[dict[int, int]] = {FilterType.SEQUENCE_NUMBER: 2, FilterType.USER_FACING_TIME: 7}
_WIDE: Final = 4
"""Octets of a record number of the Generic Health Sensor service; all others have two."""


def _bound_size(kind: int, count: int, size: int) -> int | None:
    """Octets of one bound, in an operand of so many. None: a filter type without a definition."""
    if kind == FilterType.SEQUENCE_NUMBER and size == 1 + _WIDE * count:
        return _WIDE
    return _BOUND_SIZE.get(kind)


def _operand_size(op_code: int, operator: int, rest: bytes) -> int:
    """Octets of the operand that begins `rest`; all of them where nothing says how many."""
    if op_code in _COUNTS:
        if rest and len(rest) not in _COUNT_SIZES:
            raise BadValue(f"{len(rest)} octets are no number of records", field="operand")
        return len(rest) or 1
    if op_code == OpCode.RESPONSE_CODE:
        return 2
    if op_code == OpCode.ABORT_OPERATION:
        return 0
    if op_code not in _REQUESTS or operator > Operator.LAST:
        return len(rest)
    count = _COMPARED.get(operator, 0)
    if not count:
        return 0
    size = _bound_size(rest[0] if rest else FilterType.SEQUENCE_NUMBER, count, len(rest))
    return len(rest) if size is None else 1 + size * count


class RecordAccess(Characteristic, frozen=True, kw_only=True):
    """0x2A52. op_code: `OpCode`.  operator: `Operator`.  operand: as sent, its shape depends on both."""

    uuid: ClassVar[str] = "2A52"
    layout: ClassVar[Layout] = Layout((Field("op_code", U8), Field("operator", U8)), flags="")

    op_code: int
    operator: int = 0
    operand: bytes = b""

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the part. BadValue: an answer whose operator is not null, or a number of
        records of another width than one, two or four octets."""
        values = (layout or cls.layout).unpack(data)
        rest = values.pop("trailing", b"")
        op_code, operator = values["op_code"], values["operator"]
        if op_code in _ANSWERS and operator != Operator.NULL:
            raise BadValue(f"{operator} in an answer, where it is null", field="operator")
        size = _operand_size(op_code, operator, rest)
        if len(rest) < size:
            raise Truncated(f"{len(rest)} of {size} octets", field="operand")
        return cls(operand=rest[:size], trailing=rest[size:], **values)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: op code or operator does not fit an octet."""
        return (
            (layout or self.layout).pack({"op_code": self.op_code, "operator": self.operator})
            + self.operand
            + self.trailing
        )

    @property
    def number_of_records(self) -> int | None:
        """The number in a number response; u16 by the standard, devices with one or four octets exist. Else None."""
        if self.op_code in _COUNTS:
            return int.from_bytes(self.operand, "little")
        return None

    @property
    def request_op_code(self) -> int | None:
        """The op code that a response code answers. Else None."""
        return self.operand[0] if self.op_code == OpCode.RESPONSE_CODE else None

    @property
    def response_code(self) -> int | None:
        """`ResponseCode` of a response. Else None."""
        return self.operand[1] if self.op_code == OpCode.RESPONSE_CODE else None

    @property
    def filter_type(self) -> int | None:
        """`FilterType` of a request that compares. Else None."""
        return self.operand[0] if self.operator in _COMPARED and self.operand else None

    @property
    def bounds(self) -> tuple[int | DateTime, ...]:
        """The one or two bounds of a request that compares: numbers or times, by the filter type.

        Truncated: the operand ends inside a bound. BadValue: a filter type without a definition.
        """
        kind = self.filter_type
        if kind is None:
            return ()
        count = _COMPARED[self.operator]
        size = _bound_size(kind, count, len(self.operand))
        if size is None:
            raise BadValue(f"filter type {kind}", field="operand")
        if len(self.operand) < 1 + size * count:
            raise Truncated(f"{len(self.operand)} of {1 + size * count} octets", field="operand")
        parts = [self.operand[1 + size * n : 1 + size * (n + 1)] for n in range(count)]
        if kind == FilterType.SEQUENCE_NUMBER:
            return tuple(int.from_bytes(part, "little") for part in parts)
        return tuple(DateTime.decode(part) for part in parts)


def _bound(bound: int | DateTime, width: int = 2) -> bytes:
    if isinstance(bound, DateTime):
        try:
            return bound.encode()
        except struct.error as error:
            raise BadValue(str(error), field="operand") from error
    if not 0 <= bound < 1 << 8 * width:
        raise BadValue(f"{bound} does not fit {8 * width} bits", field="operand")
    return bound.to_bytes(width, "little")


def request(
    op_code: OpCode, operator: Operator = Operator.ALL, *bounds: int | DateTime, width: int = 2
) -> RecordAccess:
    """A request; `bounds` are sequence numbers or user-facing times: one to compare with, two for a range.

    width: octets of a number; 4 in the Generic Health Sensor service.  BadValue: too few bounds, or one does not fit.
    """
    wanted = {Operator.LESS_OR_EQUAL: 1, Operator.GREATER_OR_EQUAL: 1, Operator.WITHIN_RANGE: 2}.get(operator, 0)
    if len(bounds) != wanted:
        raise BadValue(f"{operator.name} takes {wanted} bounds, not {len(bounds)}", field="operand")
    operand = b""
    if bounds:
        kind = FilterType.USER_FACING_TIME if isinstance(bounds[0], DateTime) else FilterType.SEQUENCE_NUMBER
        operand = bytes([kind]) + b"".join(_bound(one, width) for one in bounds)
    return RecordAccess(op_code=op_code, operator=operator, operand=operand)


def report_all() -> RecordAccess:
    """01 01: send each stored record."""
    return request(OpCode.REPORT_STORED_RECORDS)


def report_from(sequence_number: int) -> RecordAccess:
    """01 03 01 nn nn: send the records with this sequence number and later ones."""
    return request(OpCode.REPORT_STORED_RECORDS, Operator.GREATER_OR_EQUAL, sequence_number)


def report_last() -> RecordAccess:
    """01 06: send the most recent record."""
    return request(OpCode.REPORT_STORED_RECORDS, Operator.LAST)


def count_all() -> RecordAccess:
    """04 01: say how many records are stored."""
    return request(OpCode.REPORT_NUMBER_OF_STORED_RECORDS)


def count_from(sequence_number: int) -> RecordAccess:
    """04 03 01 nn nn: say how many records have this sequence number or a later one."""
    return request(OpCode.REPORT_NUMBER_OF_STORED_RECORDS, Operator.GREATER_OR_EQUAL, sequence_number)


def abort() -> RecordAccess:
    """03 00: stop the running procedure."""
    return RecordAccess(op_code=OpCode.ABORT_OPERATION)


def number_response(count: int) -> RecordAccess:
    """05 00 nn nn: so many records."""
    return RecordAccess(op_code=OpCode.NUMBER_OF_STORED_RECORDS_RESPONSE, operand=_bound(count))


def response(request_op_code: int, code: ResponseCode) -> RecordAccess:
    """06 00 op code: how the procedure ended."""
    return RecordAccess(op_code=OpCode.RESPONSE_CODE, operand=bytes([request_op_code, code]))

"""The data APDU: what two associated systems say, each with an invoke id that pairs a question with its answer.

Source: ISO/IEEE 11073-20601, annex A.9 (presentation protocol) and A.10 (data protocol), clause 7.3 (services).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from devices.errors import BadValue, Truncated
from devices.ieee11073.attribute import Attribute, read_attributes, write_attributes
from devices.ieee11073.codes import NO_TIME
from devices.ieee11073.errors import UnknownOperation
from devices.ieee11073.mder import Reader, octets, pack, sequence, u16

_HEAD: Final = struct.Struct(">HHH")
_EVENT: Final = struct.Struct(">HIHH")
_ACTION: Final = struct.Struct(">HHH")
_PAIR: Final = struct.Struct(">HH")


class EventReport(msgspec.Struct, frozen=True, gc=False):
    """roiv-cmip-event-report, confirmed or not. time: RelativeTime of the agent (125 µs), `NO_TIME`: it has none."""

    invoke_id: int
    handle: int
    type: int
    info: bytes = b""
    time: int = NO_TIME
    confirmed: bool = True


class EventReportResult(msgspec.Struct, frozen=True):
    """rors-cmip-confirmed-event-report."""

    invoke_id: int
    handle: int
    type: int
    info: bytes = b""
    time: int = 0


class Get(msgspec.Struct, frozen=True):
    """roiv-cmip-get; no attribute ids: all attributes."""

    invoke_id: int
    handle: int
    attributes: tuple[int, ...] = ()


class GetResult(msgspec.Struct, frozen=True):
    """rors-cmip-get."""

    invoke_id: int
    handle: int
    attributes: tuple[Attribute, ...] = ()


class Modification(NamedTuple):
    """One change: operator 0 replaces, 1 adds, 2 removes, 3 sets to the default."""

    operator: int
    attribute: Attribute


class Set(msgspec.Struct, frozen=True):
    """roiv-cmip-set, confirmed or not."""

    invoke_id: int
    handle: int
    modifications: tuple[Modification, ...] = ()
    confirmed: bool = True


class SetResult(msgspec.Struct, frozen=True):
    """rors-cmip-confirmed-set."""

    invoke_id: int
    handle: int
    attributes: tuple[Attribute, ...] = ()


class Action(msgspec.Struct, frozen=True):
    """roiv-cmip-action, confirmed or not."""

    invoke_id: int
    handle: int
    type: int
    info: bytes = b""
    confirmed: bool = True


class ActionResult(msgspec.Struct, frozen=True):
    """rors-cmip-confirmed-action."""

    invoke_id: int
    handle: int
    type: int
    info: bytes = b""


class RemoteError(msgspec.Struct, frozen=True):
    """roer: understood, and cannot be done. error: `RemoteErrorCode`."""

    invoke_id: int
    error: int
    parameter: bytes = b""


class Reject(msgspec.Struct, frozen=True):
    """rorj: not understood. problem: `Problem`."""

    invoke_id: int
    problem: int


DataApdu = (
    EventReport | EventReportResult | Get | GetResult | Set | SetResult | Action | ActionResult | RemoteError | Reject
)
Question = EventReport | Get | Set | Action
Answer = EventReportResult | GetResult | SetResult | ActionResult | RemoteError | Reject


def _event(confirmed: bool) -> Callable[[int, Reader], EventReport]:
    def read(invoke_id: int, reader: Reader) -> EventReport:
        handle, time, kind, size = reader.fields(_EVENT, "event-report")
        return EventReport(invoke_id, handle, kind, reader.take(size, "event-info"), time, confirmed)

    return read


def _event_result(invoke_id: int, reader: Reader) -> EventReportResult:
    handle, time, kind, size = reader.fields(_EVENT, "event-report-result")
    return EventReportResult(invoke_id, handle, kind, reader.take(size, "event-reply-info"), time)


def _get(invoke_id: int, reader: Reader) -> Get:
    handle = reader.u16("obj-handle")
    count, inner = reader.sequence(2, "attribute-id-list")
    ids = tuple(inner.u16("attribute-id") for _ in range(count))
    inner.finish("attribute-id-list")
    return Get(invoke_id, handle, ids)


def _listed(kind: Callable[[int, int, tuple[Attribute, ...]], Any]) -> Callable[[int, Reader], Any]:
    def read(invoke_id: int, reader: Reader) -> Any:
        return kind(invoke_id, reader.u16("obj-handle"), read_attributes(reader, "attribute-list"))

    return read


def _set(confirmed: bool) -> Callable[[int, Reader], Set]:
    def read(invoke_id: int, reader: Reader) -> Set:
        handle = reader.u16("obj-handle")
        count, inner = reader.sequence(6, "modification-list")
        rows = tuple(
            Modification(
                inner.u16("modify-operator"), Attribute(inner.u16("attribute-id"), inner.octets("attribute-value"))
            )
            for _ in range(count)
        )
        inner.finish("modification-list")
        return Set(invoke_id, handle, rows, confirmed)

    return read


def _action(confirmed: bool) -> Callable[[int, Reader], Action]:
    def read(invoke_id: int, reader: Reader) -> Action:
        handle, kind, size = reader.fields(_ACTION, "action")
        return Action(invoke_id, handle, kind, reader.take(size, "action-info"), confirmed)

    return read


def _action_result(invoke_id: int, reader: Reader) -> ActionResult:
    handle, kind, size = reader.fields(_ACTION, "action-result")
    return ActionResult(invoke_id, handle, kind, reader.take(size, "action-info"))


def _error(invoke_id: int, reader: Reader) -> RemoteError:
    return RemoteError(invoke_id, reader.u16("error-value"), reader.octets("parameter"))


def _reject(invoke_id: int, reader: Reader) -> Reject:
    return Reject(invoke_id, reader.u16("problem"))


_READ: Final[dict[int, Callable[[int, Reader], DataApdu]]] = {
    0x0100: _event(False),
    0x0101: _event(True),
    0x0103: _get,
    0x0104: _set(False),
    0x0105: _set(True),
    0x0106: _action(False),
    0x0107: _action(True),
    0x0201: _event_result,
    0x0203: _listed(GetResult),
    0x0205: _listed(SetResult),
    0x0207: _action_result,
    0x0300: _error,
    0x0400: _reject,
}
OPERATIONS: Final = {
    0x0100: "roiv-cmip-event-report",
    0x0101: "roiv-cmip-confirmed-event-report",
    0x0103: "roiv-cmip-get",
    0x0104: "roiv-cmip-set",
    0x0105: "roiv-cmip-confirmed-set",
    0x0106: "roiv-cmip-action",
    0x0107: "roiv-cmip-confirmed-action",
    0x0201: "rors-cmip-confirmed-event-report",
    0x0203: "rors-cmip-get",
    0x0205: "rors-cmip-confirmed-set",
    0x0207: "rors-cmip-confirmed-action",
    0x0300: "roer",
    0x0400: "rorj",
}


def read(data: bytes, at: int, end: int) -> DataApdu:
    """The data APDU in data[at:end]. UnknownOperation, Truncated, BadValue: name the field."""
    if end - at < 6:
        raise Truncated(f"{end - at} of 6 octets", field="data-apdu")
    invoke_id, operation, size = _HEAD.unpack_from(data, at)
    at += 6
    if size != end - at:
        if size > end - at:
            raise Truncated(f"{size} octets are announced, {end - at} are there", field="message")
        raise BadValue(f"{end - at - size} octets after the message", field="message")
    reader = Reader(data, at, end)
    known = _READ.get(operation)
    if known is None:
        raise UnknownOperation(f"0x{operation:04x} is no operation", field="message")
    found = known(invoke_id, reader)
    reader.finish("message")
    return found


def operation_of(apdu: DataApdu) -> int:
    """The CHOICE tag of a data APDU."""
    match apdu:
        case EventReport(confirmed=confirmed):
            return 0x0101 if confirmed else 0x0100
        case Set(confirmed=confirmed):
            return 0x0105 if confirmed else 0x0104
        case Action(confirmed=confirmed):
            return 0x0107 if confirmed else 0x0106
        case _:
            return _OPERATION[type(apdu)]


_OPERATION: Final[dict[type[Any], int]] = {
    Get: 0x0103,
    EventReportResult: 0x0201,
    GetResult: 0x0203,
    SetResult: 0x0205,
    ActionResult: 0x0207,
    RemoteError: 0x0300,
    Reject: 0x0400,
}


def write(apdu: DataApdu) -> bytes:
    """The octets of a data APDU. BadValue."""
    match apdu:
        case EventReport() | EventReportResult():
            body = pack(_EVENT, "event-report", apdu.handle, apdu.time, apdu.type, len(apdu.info)) + apdu.info
        case Get():
            body = u16(apdu.handle) + sequence((u16(one) for one in apdu.attributes), "attribute-id-list")
        case GetResult() | SetResult():
            body = u16(apdu.handle) + write_attributes(apdu.attributes)
        case Set():
            rows = (pack(_PAIR, "modification", one.operator, one.attribute.id) + octets(one.attribute.value)
                    for one in apdu.modifications)  # fmt: skip
            body = u16(apdu.handle) + sequence(rows, "modification-list")
        case Action() | ActionResult():
            body = pack(_ACTION, "action", apdu.handle, apdu.type, len(apdu.info)) + apdu.info
        case RemoteError():
            body = u16(apdu.error) + octets(apdu.parameter)
        case Reject():
            body = u16(apdu.problem)
    return pack(_HEAD, "data-apdu", apdu.invoke_id, operation_of(apdu), len(body)) + body

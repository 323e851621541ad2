"""The contents of event reports and actions, without their meaning: configurations, segments, data requests.

Source: ISO/IEEE 11073-20601, annex A.11 (event report and action data), clauses 7.4.4 (MDS), 7.4.7 (PM-store).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import msgspec

from devices.ieee11073.attribute import Attribute, read_attributes, write_attributes
from devices.ieee11073.mder import Reader, octets, pack, sequence, u16

_PAIR: Final = struct.Struct(">HH")
_SEGMENT: Final = struct.Struct(">HIIH")
_DATA_REQUEST: Final = struct.Struct(">HHIHH")
_DATA_RESPONSE: Final = struct.Struct(">IHHH")


class ConfigObject(NamedTuple):
    """One object of a configuration."""

    object_class: int
    handle: int
    attributes: tuple[Attribute, ...]


class ConfigReport(msgspec.Struct, frozen=True):
    """What an agent consists of."""

    id: int
    objects: tuple[ConfigObject, ...] = ()


def read_config(info: bytes) -> ConfigReport:
    """Truncated, BadValue."""
    reader = Reader.over(info)
    identity = reader.u16("config-report-id")
    count, inner = reader.sequence(8, "config-obj-list")
    found = tuple(
        ConfigObject(inner.u16("obj-class"), inner.u16("obj-handle"), read_attributes(inner, "attributes"))
        for _ in range(count)
    )
    inner.finish("config-obj-list")
    reader.finish("config-report")
    return ConfigReport(identity, found)


def write_config(report: ConfigReport) -> bytes:
    """BadValue."""
    objects = (pack(_PAIR, "object", one.object_class, one.handle) + write_attributes(one.attributes)
               for one in report.objects)  # fmt: skip
    return u16(report.id, "config-report-id") + sequence(objects, "config-obj-list")


class ConfigReply(NamedTuple):
    """result: `ConfigResult`."""

    id: int
    result: int


def read_config_reply(info: bytes) -> ConfigReply:
    """Truncated, BadValue."""
    reader = Reader.over(info)
    found = ConfigReply(*reader.fields(_PAIR, "config-report-rsp"))
    reader.finish("config-report-rsp")
    return found


def write_config_reply(reply: ConfigReply) -> bytes:
    """BadValue."""
    return pack(_PAIR, "config-report-rsp", *reply)


class SegmentData(msgspec.Struct, frozen=True):
    """SegmentDataEvent: some entries of a segment. status: bits of `segments.SegmentStatus`."""

    instance: int
    index: int
    count: int
    status: int
    entries: bytes = b""

    @property
    def descriptor(self) -> bytes:
        """The part of it that the answer repeats."""
        return pack(_SEGMENT, "segm-data-event-descr", self.instance, self.index, self.count, self.status)


def read_segment_data(info: bytes) -> SegmentData:
    """Truncated, BadValue."""
    reader = Reader.over(info)
    instance, index, count, status = reader.fields(_SEGMENT, "segm-data-event-descr")
    found = SegmentData(instance, index, count, status, reader.octets("segm-data-event-entries"))
    reader.finish("segment-data-event")
    return found


def write_segment_data(event: SegmentData) -> bytes:
    """BadValue."""
    return event.descriptor + octets(event.entries)


def read_segment_reply(info: bytes) -> SegmentData:
    """The answer to a SegmentDataEvent; without entries. Truncated, BadValue."""
    reader = Reader.over(info)
    found = SegmentData(*reader.fields(_SEGMENT, "segm-data-event-descr"))
    reader.finish("segment-data-result")
    return found


class DataRequest(msgspec.Struct, frozen=True):
    """mode: bits of `DataReqMode`.  time: relative, how long a time period lasts.  object_class, handles: the scope."""

    id: int
    mode: int
    time: int = 0
    person: int = 0
    object_class: int = 0
    handles: tuple[int, ...] = ()


def read_data_request(info: bytes) -> DataRequest:
    """Truncated, BadValue."""
    reader = Reader.over(info)
    identity, mode, time, person, object_class = reader.fields(_DATA_REQUEST, "data-request")
    count, inner = reader.sequence(2, "data-req-obj-handle-list")
    handles = tuple(inner.u16("handle") for _ in range(count))
    inner.finish("data-req-obj-handle-list")
    reader.finish("data-request")
    return DataRequest(identity, mode, time, person, object_class, handles)


def write_data_request(request: DataRequest) -> bytes:
    """BadValue."""
    fields = (request.id, request.mode, request.time, request.person, request.object_class)
    return pack(_DATA_REQUEST, "data-request", *fields) + sequence((u16(one) for one in request.handles), "handles")


class DataResponse(msgspec.Struct, frozen=True):
    """time: relative.  result: `DataReqResult`.  type, info: of the report that a single response carries, or 0."""

    time: int
    result: int
    type: int = 0
    info: bytes = b""


def read_data_response(info: bytes) -> DataResponse:
    """Truncated, BadValue."""
    reader = Reader.over(info)
    time, result, kind, size = reader.fields(_DATA_RESPONSE, "data-response")
    found = DataResponse(time, result, kind, reader.take(size, "event-info"))
    reader.finish("data-response")
    return found


def write_data_response(response: DataResponse) -> bytes:
    """BadValue."""
    fields = (response.time, response.result, response.type, len(response.info))
    return pack(_DATA_RESPONSE, "data-response", *fields) + response.info

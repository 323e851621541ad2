"""The PM-store: what a segment holds, and the questions and answers about segments.

Source: ISO/IEEE 11073-20601, clauses 6.3.7 and 6.3.8 (PM-store, PM-segment), 7.4.7 (its services), annex A.11.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from devices.errors import BadValue
from devices.ieee11073.attribute import (
    Attribute,
    Mapped,
    read_attributes,
    read_value_map,
    write_attributes,
    write_value_map,
)
from devices.ieee11073.attribute_values import Type, values_of
from devices.ieee11073.codes import PERSON_UNKNOWN, Attr
from devices.ieee11073.events import SegmentData
from devices.ieee11073.mder import Reader, octets, sequence, u16
from devices.ieee11073.objects import Configuration, Measured, Metric, Reported
from devices.ieee11073.value_maps import read_mapped

CLEARS_BY_LIST: Final = 0x0100
"""Pm-Store-Capab: segments that are named can be cleared."""
CLEARS_WHOLE: Final = 0x0040
"""Pm-Store-Capab: a segment goes when its entries are cleared; else it stays, without entries."""


class SegmentStatus(enum.IntFlag):
    """Bits of a SegmentDataEvent's status."""

    FIRST = 0x8000
    LAST = 0x4000
    AGENT_ABORT = 0x0800
    MANAGER_CONFIRM = 0x0080
    MANAGER_ABORT = 0x0008


class TransferCode(enum.IntEnum):
    """The answer to a request to transfer a segment."""

    OK = 0
    NO_SUCH_SEGMENT = 1
    TRY_LATER = 2
    EMPTY = 3
    OTHER = 512


class EntryHeader(enum.IntFlag):
    """Which times stand before the values of each entry."""

    ABSOLUTE = 0x8000
    RELATIVE = 0x4000
    HIGH_RESOLUTION = 0x2000
    BASE_OFFSET = 0x1000


_HEADER: Final = (
    (EntryHeader.ABSOLUTE, Mapped(Attr.TIME_STAMP_ABS, 8)),
    (EntryHeader.RELATIVE, Mapped(Attr.TIME_STAMP_REL, 4)),
    (EntryHeader.HIGH_RESOLUTION, Mapped(Attr.TIME_STAMP_REL_HI_RES, 8)),
    (EntryHeader.BASE_OFFSET, Mapped(Attr.TIME_STAMP_BO, 8)),
)


class Element(NamedTuple):
    """The part of an entry that belongs to one object."""

    object_class: int
    type: Type
    handle: int
    rows: tuple[Mapped, ...]


class EntryMap(NamedTuple):
    """PmSegmentEntryMap: how each entry of a segment is built."""

    header: int
    elements: tuple[Element, ...]

    @property
    def size(self) -> int:
        """Octets of an entry."""
        head = sum(row.size for bit, row in _HEADER if self.header & bit)
        return head + sum(row.size for element in self.elements for row in element.rows)


def read_entry_map(raw: bytes) -> EntryMap:
    """Truncated, BadValue."""
    reader = Reader.over(raw)
    header = reader.u16("segm-entry-header")
    count, inner = reader.sequence(12, "segm-entry-elem-list")
    elements = tuple(
        Element(
            inner.u16("class-id"),
            Type(inner.u16("partition"), inner.u16("code")),
            inner.u16("handle"),
            read_value_map(inner),
        )
        for _ in range(count)
    )
    inner.finish("segm-entry-elem-list")
    reader.finish("pm-segment-entry-map")
    return EntryMap(header, elements)


def write_entry_map(entry: EntryMap) -> bytes:
    """BadValue."""
    elements = (
        u16(one.object_class)
        + u16(one.type.partition)
        + u16(one.type.code)
        + u16(one.handle)
        + write_value_map(one.rows)
        for one in entry.elements
    )
    return u16(entry.header) + sequence(elements, "segm-entry-elem-list")


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment as its store describes it. person: None unknown.  adjust: 1/100 s that its stamps are behind."""

    instance: int
    map: EntryMap | None = None
    person: int | None = None
    entries: int | None = None
    adjust: int = 0
    attributes: tuple[Attribute, ...] = ()


def read_segment_list(raw: bytes) -> tuple[Segment, ...]:
    """SegmentInfoList. Truncated, BadValue."""
    reader = Reader.over(raw)
    count, inner = reader.sequence(6, "segment-info-list")
    found = tuple(_segment(inner.u16("seg-inst-no"), read_attributes(inner, "seg-info")) for _ in range(count))
    inner.finish("segment-info-list")
    reader.finish("segment-info-list")
    return found


def _segment(instance: int, attributes: tuple[Attribute, ...]) -> Segment:
    values: dict[int, Any] = values_of(attributes)
    raw = values.get(Attr.PM_SEG_MAP)
    person = values.get(Attr.PM_SEG_PERSON_ID)
    return Segment(
        instance=instance,
        map=None if raw is None else read_entry_map(raw),
        person=None if person == PERSON_UNKNOWN else person,
        entries=values.get(Attr.SEG_USAGE_CNT),
        adjust=values.get(Attr.TIME_ABS_ADJUST, 0),
        attributes=attributes,
    )


def write_segment_list(segments: Iterable[tuple[int, tuple[Attribute, ...]]]) -> bytes:
    """SegmentInfoList from instance numbers and attributes. BadValue."""
    rows = (u16(instance) + write_attributes(attributes) for instance, attributes in segments)
    return sequence(rows, "segment-info-list")


class Selection(NamedTuple):
    """SegmSelection. choice: 1 all segments, 2 the ones named, 3 a range of absolute time, 4 of base offset time."""

    choice: int = 1
    instances: tuple[int, ...] = ()
    between: bytes = b""


ALL: Final = Selection()


def write_selection(selection: Selection) -> bytes:
    """BadValue."""
    if selection.choice == 2:
        body = sequence((u16(one) for one in selection.instances), "segm-id-list")
    else:
        body = selection.between if selection.choice != 1 else u16(0)
    return u16(selection.choice) + octets(body)


def read_selection(raw: bytes) -> Selection:
    """Truncated, BadValue."""
    reader = Reader.over(raw)
    choice = reader.u16("segm-selection")
    inner = reader.inner("segm-selection")
    reader.finish("segm-selection")
    if choice == 1:
        inner.u16("all-segments")
        found = ALL
    elif choice == 2:
        count, ids = inner.sequence(2, "segm-id-list")
        found = Selection(2, tuple(ids.u16("inst-number") for _ in range(count)))
        ids.finish("segm-id-list")
    elif choice in {3, 4}:
        found = Selection(choice, between=inner.take(16, "time-range"))
    else:
        raise BadValue(f"{choice} is no selection of segments", field="segm-selection")
    inner.finish("segm-selection")
    return found


def read_transfer_request(raw: bytes) -> int:
    """The instance number. Truncated, BadValue."""
    reader = Reader.over(raw)
    instance = reader.u16("seg-inst-no")
    reader.finish("trig-segm-data-xfer-req")
    return instance


def read_transfer_reply(raw: bytes) -> tuple[int, int]:
    """Instance number and `TransferCode`. Truncated, BadValue."""
    reader = Reader.over(raw)
    found = reader.u16("seg-inst-no"), reader.u16("trig-segm-xfer-rsp")
    reader.finish("trig-segm-data-xfer-rsp")
    return found


def read_entries(configuration: Configuration, segment: Segment, event: SegmentData) -> tuple[Reported, ...]:
    """The entries in one event, oldest first. BadValue: other octets than its map and its count say. Truncated."""
    if segment.map is None:
        raise BadValue("this segment has no map", field="pm-seg-map")
    if segment.map.size * event.count != len(event.entries) or not segment.map.size:
        raise BadValue(
            f"{event.count} entries of {segment.map.size} octets in {len(event.entries)}",
            field="segm-data-event-entries",
        )
    header = tuple(row for bit, row in _HEADER if segment.map.header & bit)
    found, at = [], 0
    for _ in range(event.count):
        times, at = read_mapped(header, event.entries, at)
        measured = []
        for element in segment.map.elements:
            values, at = read_mapped(element.rows, event.entries, at)
            measured.append(Measured(_metric(configuration, element), {**times, **values}))
        found.append(Reported(segment.person, tuple(measured)))
    return tuple(found)


def _metric(configuration: Configuration, element: Element) -> Metric:
    """The object of an element; where the configuration has none, what the element itself says."""
    known = configuration.objects.get(element.handle)
    if isinstance(known, Metric):
        return known
    return Metric(object_class=element.object_class, handle=element.handle, type=element.type)

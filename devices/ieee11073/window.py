"""What a manager may see and do on an agent: attributes of the MDS, the clock, scanners, data requests, the PM-store.

Source: ISO/IEEE 11073-20601, clauses 7.4.3 to 7.4.9 (services of the objects).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from devices.errors import DeviceError
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import NO_TIME, Act, Attr, Noti, RemoteErrorCode
from devices.ieee11073.data_apdu import Action, ActionResult, EventReport, Get, GetResult, RemoteError, Set, SetResult
from devices.ieee11073.events import (
    DataRequest,
    DataResponse,
    SegmentData,
    read_data_request,
    write_data_response,
    write_segment_data,
)
from devices.ieee11073.mder import u16, u32
from devices.ieee11073.objects import Configuration, PmStore
from devices.ieee11073.scan_report import SHAPES, Obs, Person, ScanReport, write_scan
from devices.ieee11073.segments import (
    CLEARS_BY_LIST,
    CLEARS_WHOLE,
    SegmentStatus,
    Selection,
    TransferCode,
    read_selection,
    read_transfer_request,
    write_segment_list,
)
from devices.ieee11073.times import absolute

_E: Final = RemoteErrorCode
_UNKNOWN_CLASS: Final = 12
_UNKNOWN_HANDLE: Final = 13
_UNSUPPORTED_SCOPE: Final = 14
_UNSUPPORTED_MODE: Final = 15
_ALL: Final = 0x0800
_CLASS: Final = 0x0400
_HANDLES: Final = 0x0200
_SINGLE: Final = 0x0080
_NOTHING_KNOWN: Final = Configuration(0, {})
Reply = tuple[GetResult | SetResult | ActionResult | RemoteError, Sequence[EventReport]]


class StoredSegment(msgspec.Struct, kw_only=True):
    """A segment of the agent's memory. entries: each as octets, built as its map (among the attributes) says."""

    attributes: tuple[Attribute, ...]
    entries: list[bytes]


class Window:
    """attributes: of the MDS, made anew for each question (its clock runs).  set_time: called with the wall time that
    the manager sets.  latest: observations for a data request.  segments: of the store at `store`, by instance."""

    def __init__(
        self,
        attributes: Callable[[], Sequence[Attribute]],
        *,
        set_time: Callable[[datetime], None] | None = None,
        latest: Callable[[], Sequence[Obs]] | None = None,
        store: int = 0,
        segments: dict[int, StoredSegment] | None = None,
        scanners: Sequence[int] = (),
        together: int = 20,
    ) -> None:
        self._attributes = attributes
        self._set_time = set_time
        self._latest = latest
        self.store = store
        self.segments = {} if segments is None else segments
        self.enabled: dict[int, bool] = dict.fromkeys(scanners, False)
        self._together = together
        self._number = 0
        self._configuration = _NOTHING_KNOWN

    def ended(self) -> None:
        """The association is over: scanners are off again, and reports are numbered from 0."""
        self.enabled = dict.fromkeys(self.enabled, False)
        self._number = 0

    def number(self) -> int:
        """The number of the next scan report: from 0 in each association, one more each time, wrapping."""
        number, self._number = self._number, (self._number + 1) & 0xFFFF
        return number

    def answer(self, question: Get | Set | Action, configuration: Configuration = _NOTHING_KNOWN) -> Reply:
        """The answer, and the reports that follow from it. Nothing that a manager asks raises.

        configuration: what the manager was told; what its store says of itself is held to.
        """
        self._configuration = configuration
        try:
            match question:
                case Get():
                    return self._get(question), ()
                case Set():
                    return self._set(question), ()
                case Action():
                    return self._act(question)
        except DeviceError:
            return RemoteError(question.invoke_id, _E.NOT_ALLOWED_BY_OBJECT), ()

    def _get(self, question: Get) -> GetResult | RemoteError:
        if question.handle and question.handle != self.store:
            return RemoteError(question.invoke_id, _E.NO_SUCH_OBJECT_INSTANCE)
        if question.handle:
            known: Sequence[Attribute] = self._of_store()
        else:
            known = self._attributes()
        wanted = question.attributes
        return GetResult(
            question.invoke_id, question.handle, tuple(one for one in known if not wanted or one.id in wanted)
        )

    @property
    def _told(self) -> PmStore | None:
        store = self._configuration.objects.get(self.store)
        return store if isinstance(store, PmStore) else None

    def _of_store(self) -> tuple[Attribute, ...]:
        """All attributes of the store (6.3.7): those of its configuration, and the figures of now."""
        told = () if self._told is None else self._told.attributes
        now = {Attr.ID_HANDLE: u16(self.store), Attr.NUM_SEG: u16(len(self.segments))}
        if any(one.id == Attr.METRIC_STORE_USAGE_CNT for one in told):
            now[Attr.METRIC_STORE_USAGE_CNT] = u32(sum(len(one.entries) for one in self.segments.values()))
        figures = (Attribute(identity, value) for identity, value in now.items())
        return (*(one for one in told if one.id not in now), *figures)

    def _set(self, question: Set) -> SetResult | RemoteError:
        if question.handle not in self.enabled:
            return RemoteError(question.invoke_id, _E.NO_SUCH_OBJECT_INSTANCE)
        done = []
        for change in question.modifications:
            if change.operator or change.attribute.id != Attr.OP_STAT or len(change.attribute.value) != 2:
                return RemoteError(question.invoke_id, _E.NOT_ALLOWED_BY_OBJECT)
            self.enabled[question.handle] = int.from_bytes(change.attribute.value) == 1
            done.append(change.attribute)
        return SetResult(question.invoke_id, question.handle, tuple(done))

    def _act(self, question: Action) -> Reply:
        invoke_id, handle = question.invoke_id, question.handle
        if handle and handle != self.store:
            return RemoteError(invoke_id, _E.NO_SUCH_OBJECT_INSTANCE), ()
        info, reports = b"", tuple[EventReport, ...]()
        if question.type == Act.SET_TIME and not handle and self._set_time is not None:
            at = absolute(question.info[:8]).at
            if at is None:
                return RemoteError(invoke_id, _E.NOT_ALLOWED_BY_OBJECT), ()
            self._set_time(at)
        elif question.type == Act.DATA_REQUEST and not handle and self._latest is not None:
            info = self._request(question)
        elif question.type == Act.SEG_GET_INFO and handle:
            chosen = self._chosen(read_selection(question.info))
            info = write_segment_list((one, self._described(one)) for one in chosen)
        elif question.type == Act.SEG_TRIG_XFER and handle:
            instance = read_transfer_request(question.info)
            code, reports = self._transfer(instance)
            info = u16(instance) + u16(code)
        elif question.type == Act.SEG_CLR and handle:
            if not self._clear(read_selection(question.info)):
                return RemoteError(invoke_id, _E.NOT_ALLOWED_BY_OBJECT), ()
        else:
            return RemoteError(invoke_id, _E.NO_SUCH_ACTION), ()
        return ActionResult(invoke_id, handle, question.type, info), reports

    def _clear(self, selection: Selection) -> bool:
        """False: the store does not clear so. A range of time is never cleared: its ends cut through segments."""
        # a store that says nothing of itself clears by list, and with their entries the segments
        capabilities = CLEARS_BY_LIST | CLEARS_WHOLE if self._told is None else self._told.capabilities
        if selection.choice not in {1, 2} or (selection.choice == 2 and not capabilities & CLEARS_BY_LIST):
            return False
        for instance in self._chosen(selection):
            if capabilities & CLEARS_WHOLE:
                del self.segments[instance]
            else:
                self.segments[instance].entries.clear()
        return True

    def _request(self, question: Action) -> bytes:
        request = read_data_request(question.info)
        found = self._of_scope(request)
        if isinstance(found, int):
            return write_data_response(DataResponse(NO_TIME, found))
        report = ScanReport(request.id, self.number(), (Person(None, found),))
        kind = Noti.SCAN_REPORT_FIXED
        return write_data_response(DataResponse(NO_TIME, 0, kind, write_scan(SHAPES[kind], report)))

    def _of_scope(self, request: DataRequest) -> tuple[Obs, ...] | int:
        """The latest observations of all objects, of those of a class, or of the ones named; or why there are none."""
        if not request.mode & _SINGLE:
            return _UNSUPPORTED_MODE
        latest = () if self._latest is None else tuple(self._latest())
        objects = self._configuration.objects
        if request.mode & _ALL:
            return latest
        if request.mode & _CLASS:
            chosen = {one.handle for one in objects.values() if one.object_class == request.object_class}
            if not chosen:
                return _UNKNOWN_CLASS
        elif request.mode & _HANDLES:
            chosen = set(request.handles)
            if not chosen or not chosen <= objects.keys():
                return _UNKNOWN_HANDLE
        else:
            return _UNSUPPORTED_SCOPE
        return tuple(one for one in latest if not isinstance(one, bytes) and one.handle in chosen)

    def _chosen(self, selection: Selection) -> list[int]:
        """Ranges of time choose every segment: an agent may give more than was asked for."""
        if selection.choice == 2:
            return [one for one in selection.instances if one in self.segments]
        return sorted(self.segments)

    def _described(self, instance: int) -> tuple[Attribute, ...]:
        segment = self.segments[instance]
        count = Attribute(Attr.SEG_USAGE_CNT, len(segment.entries).to_bytes(4))
        return (*segment.attributes, count)

    def _transfer(self, instance: int) -> tuple[TransferCode, tuple[EventReport, ...]]:
        segment = self.segments.get(instance)
        if segment is None:
            return TransferCode.NO_SUCH_SEGMENT, ()
        if not segment.entries:
            return TransferCode.EMPTY, ()
        reports = []
        for start in range(0, len(segment.entries), self._together):
            part = segment.entries[start : start + self._together]
            status = SegmentStatus(0) if start else SegmentStatus.FIRST
            if start + len(part) == len(segment.entries):
                status |= SegmentStatus.LAST
            event = SegmentData(instance, start, len(part), status, b"".join(part))
            reports.append(EventReport(0, self.store, Noti.SEGMENT_DATA, write_segment_data(event)))
        return TransferCode.OK, tuple(reports)

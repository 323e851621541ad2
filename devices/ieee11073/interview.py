"""What a manager asks an agent of its own accord, once they are associated: clock, scanners, stores, data.

Each answer leads to the next questions. Source: ISO/IEEE 11073-20601, clauses 8.9 (operating), 8.9.3.3 (PM-store).
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, tzinfo
from typing import Any, Final

from devices.errors import DeviceError
from devices.ieee11073.association import Information
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.attribute_values import TimeInfo, value_of
from devices.ieee11073.codes import NO_TIME, Act, Attr
from devices.ieee11073.data_apdu import Action, ActionResult, Answer, Get, GetResult, Modification, Question, Set
from devices.ieee11073.events import DataRequest, SegmentData, write_data_request
from devices.ieee11073.mder import u16, u32
from devices.ieee11073.objects import Configuration, PmStore
from devices.ieee11073.segments import (
    ALL,
    CLEARS_BY_LIST,
    Segment,
    SegmentStatus,
    Selection,
    TransferCode,
    read_segment_list,
    read_transfer_reply,
    write_selection,
)
from devices.ieee11073.stamping import Clocks, TimeState
from devices.ieee11073.times import AbsoluteTime, write_absolute

MOST_SEGMENTS: Final = 1000
"""Of one store; what is beyond is read in a later association, when these are cleared."""
_ALL_AT_ONCE: Final = 0x8000 | 0x0800
"""Data request: start, all objects."""
_SYNCED: Final = TimeState.ABSOLUTE_SYNCED | TimeState.BASE_OFFSET_SYNCED


class Interview:
    """The questions of one association. sets_time, clears: what the gateway allows."""

    def __init__(self, zone: tzinfo, *, sets_time: bool, clears: bool) -> None:
        self._zone = zone
        self._sets_time = sets_time
        self._clears = clears
        self._set_at: datetime | None = None
        self.clocks = Clocks()
        self.attributes: dict[int, Any] = {}
        self.segments: dict[tuple[int, int], Segment] = {}
        self._due: deque[tuple[int, int]] = deque()
        self._left: set[tuple[int, int]] = set()

    def opening(self, configuration: Configuration, about: Information) -> list[Question]:
        """Asked as soon as both are operating."""
        found: list[Question] = [Get(0, 0)]
        enable = Modification(0, Attribute(Attr.OP_STAT, u16(1)))
        found.extend(Set(0, one.handle, (enable,)) for one in configuration.scanners if not one.enabled)
        found.extend(Action(0, one.handle, Act.SEG_GET_INFO, write_selection(ALL)) for one in configuration.stores)
        if about.init_manager_count and not about.init_agent_count:
            # nothing will come on the agent's own initiative
            mode = _ALL_AT_ONCE | (about.data_req_mode_flags & 0x0020 or 0x0080)
            found.append(Action(0, 0, Act.DATA_REQUEST, write_data_request(DataRequest(1, mode))))
        return found

    def follow(self, question: Question, answer: Answer, received_at: datetime) -> list[Question]:
        """What an answer leads to. Truncated, BadValue: the answer makes no sense."""
        match question, answer:
            case Get(handle=0), GetResult():
                return self._clock(answer, received_at)
            case Action(type=Act.SET_TIME), ActionResult() if self._set_at is not None:
                shown = self._set_at.astimezone(self._zone).replace(tzinfo=None)
                self.clocks = Clocks(read_at=self._set_at, absolute=shown, relative=self.clocks.relative)
            case Action(type=Act.SEG_GET_INFO), ActionResult():
                return self._list(answer)
            case Action(type=Act.SEG_TRIG_XFER), ActionResult():
                instance, code = read_transfer_reply(answer.info)
                if code != TransferCode.OK:
                    self.segments.pop((answer.handle, instance), None)
                    return self._transfer()
            case Action(type=Act.SEG_TRIG_XFER), _:
                return self._transfer()
            case _:
                pass
        return []

    def _transfer(self) -> list[Question]:
        """The next segment; one at a time, or a store has to send two at once."""
        if not self._due:
            return []
        handle, instance = self._due.popleft()
        return [Action(0, handle, Act.SEG_TRIG_XFER, u16(instance))]

    def done_with(self, store: PmStore, event: SegmentData, *, whole: bool) -> list[Question]:
        """These entries are on our disk; with the last of a segment it is cleared, where that is allowed.

        whole: each of these entries gave an observation. A segment with one that did not stays where it is.
        """
        segment = store.handle, event.instance
        if event.status & SegmentStatus.AGENT_ABORT:
            self._left.discard(segment)
            return self._transfer()
        if not whole:
            self._left.add(segment)
        if not event.status & SegmentStatus.LAST:
            return []
        self.segments.pop(segment, None)
        clears = self._clears and segment not in self._left and store.capabilities & CLEARS_BY_LIST
        self._left.discard(segment)
        clear = Action(0, store.handle, Act.SEG_CLR, write_selection(Selection(2, (event.instance,))))
        return [clear, *self._transfer()] if clears else self._transfer()

    def _clock(self, answer: GetResult, received_at: datetime) -> list[Question]:
        values: dict[int, Any] = {}
        for one in answer.attributes:
            try:
                values[one.id] = value_of(one.id, one.value)
            except DeviceError:
                # agents send attributes that they do not have with too few octets; the others are as they are
                continue
        self.attributes = values
        info = values.get(Attr.MDS_TIME_INFO)
        state = info.state if isinstance(info, TimeInfo) else 0
        absolute = values.get(Attr.TIME_ABS)
        self.clocks = Clocks(
            read_at=received_at,
            absolute=absolute.at if isinstance(absolute, AbsoluteTime) else None,
            base_offset=values.get(Attr.TIME_BO),
            relative=values.get(Attr.TIME_REL, NO_TIME),
            high_resolution=values.get(Attr.TIME_REL_HI_RES),
            synced=bool(state & _SYNCED),
        )
        if not (self._sets_time and state & TimeState.MANAGER_SETS_TIME):
            return []
        self._set_at = received_at
        wall = write_absolute(received_at.astimezone(self._zone))
        return [Action(0, 0, Act.SET_TIME, wall + u32(0))]

    def _list(self, answer: ActionResult) -> list[Question]:
        idle = not self._due and not self.segments
        for segment in read_segment_list(answer.info)[:MOST_SEGMENTS]:
            if segment.entries != 0:
                self.segments[answer.handle, segment.instance] = segment
                self._due.append((answer.handle, segment.instance))
        return self._transfer() if idle else []

"""The agent's side of one association: a device that reports what it measured. No I/O, no clock of its own.

Reports are queued and sent one at a time once the manager operates; each stays queued until it is confirmed, also over
a new association. Source: ISO/IEEE 11073-20601, clauses 8.4 to 8.12; the state table is `states.AGENT`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from devices.errors import DeviceError
from devices.ieee11073 import apdu, refusals
from devices.ieee11073.asking import is_confirmed
from devices.ieee11073.association import Aare, Aarq, Abrt, Information, Rlre, Rlrq
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import (
    NO_TIME,
    AbortReason,
    AssociateResult,
    Attr,
    ConfigResult,
    Noti,
    ReleaseReason,
)
from devices.ieee11073.data_apdu import (
    Action,
    Answer,
    DataApdu,
    EventReport,
    EventReportResult,
    Get,
    Set,
)
from devices.ieee11073.errors import UnknownApdu
from devices.ieee11073.events import read_config_reply, read_segment_reply, write_config
from devices.ieee11073.machine import Machine
from devices.ieee11073.objects import Configuration, Scanner
from devices.ieee11073.outputs import Answered, Became, Output, Send
from devices.ieee11073.scan_report import SHAPES
from devices.ieee11073.segments import SegmentStatus
from devices.ieee11073.states import ABORT_REASONS, AGENT, TIMEOUTS, Do, Event, Row, State, Timeouts
from devices.ieee11073.times import TICK
from devices.ieee11073.window import Window

_AARE: Final = {
    AssociateResult.ACCEPTED: Event.RX_AARE_KNOWN,
    AssociateResult.ACCEPTED_UNKNOWN_CONFIG: Event.RX_AARE_UNKNOWN,
}
_SIMPLE: Final[dict[type[Any], Event]] = {
    Aarq: Event.RX_AARQ_KNOWN,
    Rlrq: Event.RX_RLRQ,
    Rlre: Event.RX_RLRE,
    Abrt: Event.RX_ABRT,
}


class Nameplate(NamedTuple):
    """Who the agent is. configurations: the one it prefers first; each is offered until the manager takes one."""

    system_id: bytes
    configurations: Sequence[Configuration]
    flags: int = 0x0001
    """Which data requests it allows (DataReqModeFlags)."""
    data_requests: int = 0
    """Data requests that a manager may have under way, 0 or 1."""


def _ends_transfer(event: EventReport, answer: Answer) -> bool:
    """The manager wants no more of this segment, or cannot take what it was sent of it."""
    if event.type != Noti.SEGMENT_DATA:
        return False
    if not isinstance(answer, EventReportResult):
        return True
    try:
        return bool(read_segment_reply(answer.info).status & SegmentStatus.MANAGER_ABORT)
    except DeviceError:
        return False


def _is_of_segment(event: EventReport, other: EventReport) -> bool:
    return other.type == event.type and other.handle == event.handle and other.info[:2] == event.info[:2]


class Agent(Machine):
    """One association with a manager. state: where it stands.  window: what a manager may see and do."""

    def __init__(self, plate: Nameplate, window: Window, timeouts: Timeouts = TIMEOUTS) -> None:
        super().__init__(AGENT, timeouts)
        self.plate = plate
        self.window = window
        self._reports: deque[EventReport] = deque()
        self._retries = 0
        self._choice = 0

    @property
    def configuration(self) -> Configuration:
        """The one that is offered, or agreed."""
        return self.plate.configurations[self._choice]

    @property
    def unconfirmed(self) -> int:
        """Reports that the manager has not yet confirmed."""
        return len(self._reports)

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called at the latest."""
        times = [at for at in (self._by, self._asking.deadline) if at is not None]
        return min(times, default=None)

    # -- what the transport says

    def connected(self, now: float) -> list[Output]:
        """The transport is there: ask to be associated."""
        self._frames = apdu.Frames()
        self._choice = 0
        found = self._happened(Event.TRANSPORT_UP, now)
        return found + self.associate(now)

    def associate(self, now: float) -> list[Output]:
        """Ask (again) to be associated."""
        self._retries = 0
        return self._happened(Event.REQ_ASSOCIATE, now)

    def receive(self, octets: bytes, now: float) -> list[Output]:
        """What these octets of the stream lead to. Nothing that a manager sends raises."""
        found: list[Output] = []
        if self.state is State.DISCONNECTED:
            return found
        try:
            for frame in self._frames.feed(octets):
                self._apdu(frame, now, found)
        except UnknownApdu as error:
            found.append(refusals.odd(octets[:256], error))
            self._enter(Event.RX_GARBAGE, now, found)
        return found

    def tick(self, now: float) -> list[Output]:
        """What has timed out by now: the request again, or the end."""
        found: list[Output] = []
        if not any(at is not None and now >= at for at in (self._by, self._asking.deadline)):
            return found
        if self.state is State.ASSOCIATING and self._retries < self._timeouts.retries:
            self._retries += 1
            self._enter(Event.RETRY, now, found)
        else:
            reason = ABORT_REASONS.get(self.state, AbortReason.UNDEFINED)
            self._enter(Event.TIMEOUT, now, found, reason=reason)
        return found

    # -- what the device wants

    def report(self, kind: Noti, info: bytes, now: float, *, handle: int = 0, time: int = NO_TIME,
               confirmed: bool = True) -> list[Output]:  # fmt: skip
        """Queue an event report; it leaves when its turn comes, and a scan report is numbered then."""
        self._reports.append(EventReport(0, handle, kind, info, time, confirmed))
        return self._next_report(now)

    # -- inside

    def _also(self, do: Do, now: float, found: list[Output]) -> None:
        if do is Do.REJECT:
            found.append(Send(apdu.encode(Aare.of(AssociateResult.REJECTED_PERMANENT))))
        elif do is Do.SEND_AARQ:
            found.append(Send(apdu.encode(self._request())))
            self._by = now + self._timeouts.association

    def _request(self) -> Aarq:
        plate = self.plate
        about = Information.of_agent(
            plate.system_id, self.configuration.id, flags=plate.flags, managers=plate.data_requests
        )
        return Aarq.of(about)

    def _moved(self, state: State, event: Event, now: float, found: list[Output]) -> None:
        was, self.state = self.state, state
        found.append(Became(state, event.value))
        if state in {State.UNASSOCIATED, State.DISCONNECTED}:
            self._asking.clear()
            self.window.ended()
            self._by = None
            # the manager asks again for the segments that it wants
            self._reports = deque(one for one in self._reports if one.type != Noti.SEGMENT_DATA)
        elif state is State.DISASSOCIATING:
            self._asking.release()
            self._by = now + self._timeouts.release
        elif state is State.CONFIG_SENDING:
            self._by = None
            if was is State.WAITING_APPROVAL:
                self._choice += 1
            self._offer(now, found)
        elif state is State.OPERATING:
            self._by = None
            found.extend(self._next_report(now))

    def _offer(self, now: float, found: list[Output]) -> None:
        """The configuration; where none is left, the end."""
        if self._choice >= len(self.plate.configurations):
            self._choice = 0
            self._enter(Event.REQ_RELEASE, now, found, release=ReleaseReason.NO_MORE_CONFIGURATIONS)
            return
        self._asking.put(EventReport(0, 0, Noti.CONFIG, write_config(self.configuration.report)))
        # the state first: an answer must find it
        self._enter(Event.REQ_CONFIG, now, found)
        found.extend(self._next(now))

    def _next(self, now: float) -> list[Output]:
        question = self._asking.next(now)
        return [] if question is None else [Send(apdu.encode(question))]

    def _next_report(self, now: float) -> list[Output]:
        found: list[Output] = []
        while self.state is State.OPERATING and self._reports and self._asking.under_way is None:
            report = self._reports[0]
            self._asking.put(self._numbered(report), self._promised(report))
            found.extend(self._next(now))
            if not self._reports[0].confirmed:
                self._reports.popleft()
        return found

    def _promised(self, report: EventReport) -> float:
        """Seconds to wait for the confirmation, by what its scanner or segment says of itself (Confirm-Timeout)."""
        said: Sequence[Attribute] = ()
        source = self.configuration.objects.get(report.handle)
        if isinstance(source, Scanner):
            said = source.attributes
        elif report.type == Noti.SEGMENT_DATA:
            segment = self.window.segments.get(int.from_bytes(report.info[:2]))
            said = () if segment is None else segment.attributes
        for one in said:
            if one.id == Attr.CONFIRM_TIMEOUT:
                return float(int.from_bytes(one.value) * TICK.total_seconds())
        return 0.0

    def _numbered(self, report: EventReport) -> EventReport:
        """Scan reports are numbered as they leave: from 0 in each association."""
        if report.type not in SHAPES:
            return report
        info = report.info[:2] + self.window.number().to_bytes(2) + report.info[4:]
        return msgspec.structs.replace(report, info=info)

    def _apdu(self, frame: bytes, now: float, found: list[Output]) -> None:
        try:
            message = apdu.decode(frame)
        except DeviceError as error:
            self._unreadable(frame, error, now, found)
            return
        simple = _SIMPLE.get(type(message))
        if simple is not None:
            self._enter(simple, now, found)
        elif isinstance(message, Aare):
            result = AssociateResult(message.result) if message.result in set(AssociateResult) else None
            event = Event.RX_AARE_REJECTED if result is None else _AARE.get(result, Event.RX_AARE_REJECTED)
            self._enter(event, now, found)
        else:
            self._data(message, now, found)  # type: ignore[arg-type]  # the others are in `_SIMPLE`

    def _data(self, message: DataApdu, now: float, found: list[Output]) -> None:
        match message:
            case EventReport():
                found.extend(refusals.of_question(message, self._enter(Event.RX_EVENT, now, found)))
            case Get():
                row = self._enter(Event.RX_GET, now, found)
                self._answer(message, row, now, found)
            case Set() | Action():
                row = self._enter(Event.RX_QUESTION, now, found)
                self._answer(message, row, now, found)
            case _:
                self._result(message, now, found)

    def _answer(self, question: Get | Set | Action, row: Row | None, now: float, found: list[Output]) -> None:
        if row is None or row.do is not Do.ANSWER:
            found.extend(refusals.of_question(question, row))
            return
        answer, reports = self.window.answer(question, self.configuration)
        if is_confirmed(question):
            found.append(Send(apdu.encode(answer)))
        self._reports.extend(reports)
        found.extend(self._next_report(now))

    def _result(self, answer: Answer, now: float, found: list[Output]) -> None:
        question = self._asking.answered(answer)
        event = Event.RX_STRAY_RESULT if question is None else Event.RX_RESULT
        if isinstance(question, EventReport) and question.type == Noti.CONFIG:
            event = self._verdict(answer)
        row = self._enter(event, now, found)
        if question is None or row is None:
            return
        found.append(Answered(question, answer))
        if row.do is Do.TAKE_RESULT and self._reports:
            # refused or confirmed, the manager has judged it; sent again it would be refused again
            self._reports.popleft()
            if isinstance(question, EventReport) and _ends_transfer(question, answer):
                self._reports = deque(one for one in self._reports if not _is_of_segment(question, one))
            found.extend(self._next_report(now))

    @staticmethod
    def _verdict(answer: Answer) -> Event:
        if not isinstance(answer, EventReportResult):
            return Event.RX_RESULT
        try:
            result = read_config_reply(answer.info).result
        except DeviceError:
            return Event.RX_STRAY_RESULT
        return Event.CONFIG_ACCEPTED if result == ConfigResult.ACCEPTED else Event.CONFIG_REFUSED

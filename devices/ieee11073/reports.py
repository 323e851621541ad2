"""An associated agent's event reports: observations, and the answer that follows when they are kept.

A report whose stamps disagree with the gateway's clock waits, briefly, for the agent's own clock while that is being
asked: a stamp cannot be corrected after the reading has been kept.
Source: ISO/IEEE 11073-20601, clauses 7.4.4 (event reports of the MDS), 7.4.7 (segment data), 7.4.9 (scanners).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final, NamedTuple

from devices.clock import AGREES_WITHIN, IDENTITY_ZONE, Moment
from devices.errors import DeviceError
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import apdu
from devices.ieee11073.codes import Act, Noti, Problem, RemoteErrorCode
from devices.ieee11073.data_apdu import (
    ActionResult,
    Answer,
    EventReport,
    EventReportResult,
    Question,
    Reject,
    RemoteError,
)
from devices.ieee11073.events import SegmentData, read_data_response, read_segment_data
from devices.ieee11073.fixed_reports import FixedReports
from devices.ieee11073.interview import Interview
from devices.ieee11073.objects import Configuration, PmStore, Reported, Scanner
from devices.ieee11073.observing import has_numbers, observe
from devices.ieee11073.outputs import NO_KIND, Keep, Odd, Output, Send
from devices.ieee11073.remembered import EXTENDED
from devices.ieee11073.scan_report import FIXED, SHAPES, ScanReport, VarObs, read_scan
from devices.ieee11073.segments import SegmentStatus, read_entries
from devices.ieee11073.stamping import Clocks, Heard, stamp_in
from devices.ieee11073.times import AbsoluteTime
from devices.ieee11073.waveform import has_samples, waveforms_of
from devices.observation import Observation
from devices.waveform import Waveform

_SEGMENT_DATA: Final = Noti.SEGMENT_DATA.value
_CONFIRMATION: Final = struct.Struct(">6sHIHIHH")
_OUTSIDE: Final = struct.pack(">HHH", apdu.PRST, 18, 16)
_RESULT_OF_TEN: Final = 0x0201 << 16 | 10
_NO_CLOCKS: Final = Clocks()
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
MOST_HELD: Final = 16
"""Reports that wait for a clock; with more, the oldest are placed without it."""
MOST_OF_NO_KIND: Final = 16
"""Reports that are kept as they were sent because something in them is no reading, in one association; some devices
send one a second."""


class _Held(NamedTuple):
    reported: tuple[Reported, ...]
    heard: Heard
    confirmation: bytes
    frame: bytes


class Reports:
    """The reports of one association. until: when those that wait for the clock wait no longer."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._held: list[_Held] = []
        self.until: float | None = None
        self.beside = False
        """Something was said that the configuration does not have; seen where it is remembered."""
        self._watches = False
        self._of_no_kind = 0
        self._configuration = Configuration(0, {})
        self._fixed = FixedReports(self._configuration)
        self._moment = Moment(_NEVER)
        self._samples = False
        self._source = DeviceFacts("eui64:0000000000000000")
        self._zone: tzinfo = IDENTITY_ZONE
        self._interview: Interview | None = None

    @property
    def configuration(self) -> Configuration:
        """Of the agent, with what it has changed since."""
        return self._configuration

    def begin(
        self, configuration: Configuration, source: DeviceFacts, zone: tzinfo, interview: Interview, remembered: bool
    ) -> None:
        """A new association. remembered: the agent did not tell its configuration in this one."""
        self._configuration = configuration
        self._fixed = FixedReports(configuration)
        self._samples = has_samples(configuration)
        self._source = source
        self._zone = zone
        self._moment = Moment(_NEVER, zone)
        self._interview = interview
        self._held = []
        self.until = None
        self._of_no_kind = 0
        self.beside, self._watches = False, remembered and configuration.id in EXTENDED

    def heard(
        self, report: EventReport, frame: bytes, now: float, received_at: datetime, clock_is_asked: bool
    ) -> tuple[Iterable[Output], Sequence[Question]]:
        """What a report leads to, and what to ask next."""
        try:
            if report.type == _SEGMENT_DATA:
                return self._segment(report, frame, received_at)
            shape = SHAPES.get(report.type)
            if shape is None:
                return self._refused(report, Reject(report.invoke_id, Problem.UNRECOGNIZED_OPERATION)), []
            if report.handle and not isinstance(self._configuration.objects.get(report.handle), Scanner):
                return self._refused(report, RemoteError(report.invoke_id, RemoteErrorCode.NO_SUCH_OBJECT_INSTANCE)), []
            if shape is FIXED:
                reported = self._fixed.read(report.info)
            else:
                scan = read_scan(shape, report.info)
                reported = self._configuration.read(scan, report.handle)
                if shape.content == "var":
                    self._change(scan)
        except DeviceError as error:
            odd: list[Output] = [Odd(frame, error.field, type(error).__name__)]
            return odd + self._refused(report, Reject(report.invoke_id, Problem.BADLY_STRUCTURED_APDU)), []
        if self._watches and any(map(_is_beside, reported)):
            self.beside, self._watches = True, False
        confirmation = _confirmation(report)
        moment = self._moment
        if moment.received_at is not received_at:
            # many reports are received at once
            moment = self._moment = Moment(received_at, self._zone)
        if clock_is_asked and self._is_odd(reported, received_at):
            return self._hold(_Held(reported, Heard(moment, relative=report.time), confirmation, frame), now), ()
        clocks = _NO_CLOCKS if self._interview is None else self._interview.clocks
        heard: Heard = tuple.__new__(Heard, (moment, clocks, report.time, 0))
        return self._kept(reported, heard, confirmation, frame), ()

    def _change(self, scan: ScanReport) -> None:
        """A report of variable format may say how its objects are from now on."""
        for person in scan.persons:
            for obs in person.observations:
                assert isinstance(obs, VarObs)
                changed = self._configuration.changed(obs.handle, obs.attributes)
                if changed is not self._configuration:
                    self._configuration, self._fixed = changed, FixedReports(changed)

    def response(self, answer: Answer, frame: bytes, received_at: datetime) -> list[Output]:
        """The report in an answer to a data request. Truncated, BadValue."""
        if not isinstance(answer, ActionResult) or answer.type != Act.DATA_REQUEST or not answer.info:
            return []
        response = read_data_response(answer.info)
        shape = SHAPES.get(response.type)
        if shape is None:
            return []
        reported = self._configuration.read(read_scan(shape, response.info))
        clocks = _NO_CLOCKS if self._interview is None else self._interview.clocks
        heard = Heard(Moment(received_at, self._zone), clocks, response.time)
        return self._kept(reported, heard, b"", frame)

    def release(self, clocks: Clocks) -> list[Output]:
        """What waited for the clock, oldest first."""
        held, self._held, self.until = self._held, [], None
        return [output for one in held for output in self._placed(one, clocks)]

    def _hold(self, one: _Held, now: float) -> list[Output]:
        self._held.append(one)
        if self.until is None:
            self.until = now + self._patience
        if len(self._held) <= MOST_HELD:
            return []
        return self._placed(self._held.pop(0), Clocks())

    def _placed(self, one: _Held, clocks: Clocks) -> list[Output]:
        return self._kept(one.reported, one.heard._replace(clocks=clocks), one.confirmation, one.frame)

    def _kept(self, reported: tuple[Reported, ...], heard: Heard, confirmation: bytes, frame: bytes) -> list[Output]:
        """The observations and the waveforms. An array of no sense is odd; the readings beside it are not."""
        observations = observe(reported, self._source, heard)
        found: list[Output] = []
        if self._of_no_kind < MOST_OF_NO_KIND and (field := _left_aside(reported, observations)):
            self._of_no_kind += 1
            # it is confirmed, and the agent may forget it: what it said is kept as it was sent
            found.append(Odd(frame, field, NO_KIND))
        waveforms: tuple[Waveform, ...] = ()
        if self._samples:
            try:
                waveforms = waveforms_of(reported, self._source, heard)
            except DeviceError as error:
                found.append(Odd(frame, error.field, type(error).__name__))
        found.append(Keep(observations, confirmation, waveforms))
        return found

    def _segment(self, report: EventReport, frame: bytes, received_at: datetime) -> tuple[list[Output], list[Question]]:
        event = read_segment_data(report.info)
        interview = self._interview
        segment = None if interview is None else interview.segments.get((report.handle, event.instance))
        store = self._configuration.objects.get(report.handle)
        if not isinstance(store, PmStore) or segment is None:
            refusal = RemoteError(report.invoke_id, RemoteErrorCode.NO_SUCH_OBJECT_INSTANCE)
            return self._refused(report, refusal), []
        assert interview is not None
        reported = () if event.status & SegmentStatus.AGENT_ABORT else read_entries(self._configuration, segment, event)
        moment = Moment(received_at, self._zone, live=False)
        heard = Heard(moment, interview.clocks, report.time, segment.adjust)
        reply = SegmentData(event.instance, event.index, event.count, event.status | SegmentStatus.MANAGER_CONFIRM)
        kept = self._kept(reported, heard, _confirmation(report, reply.descriptor), frame)
        whole = all(observe((one,), self._source, heard) for one in reported)
        return kept, interview.done_with(store, event, whole=whole)

    @staticmethod
    def _refused(report: EventReport, refusal: Reject | RemoteError) -> list[Output]:
        return [Send(apdu.encode(refusal))] if report.confirmed else []

    def _is_odd(self, reported: Iterable[Reported], received_at: datetime) -> bool:
        """A wall clock that disagrees with ours; without the agent's own clock it cannot be said by how much."""
        wall = received_at.astimezone(self._zone).replace(tzinfo=None)
        for person in reported:
            for one in person.measured:
                stamp = stamp_in(one.values)
                value = None if stamp is None else stamp[1]
                if isinstance(value, AbsoluteTime):
                    if value.at is not None and abs(value.at - wall) > AGREES_WITHIN:
                        return True
                elif isinstance(value, datetime) and abs(value - received_at.astimezone(UTC)) > AGREES_WITHIN:
                    return True
        return False


def _left_aside(reported: Sequence[Reported], observations: Sequence[Observation]) -> str:
    """The field by which something in a report is no reading. Empty: all of it is one, or says nothing."""
    for one in reported:
        if one.unknown:
            return "obj-handle"
    return "type" if not observations and has_numbers(reported) else ""


def _is_beside(one: Reported) -> bool:
    return bool(one.unknown) or any(measured.trailing for measured in one.measured)


def _confirmation(report: EventReport, info: bytes = b"") -> bytes:
    if not report.confirmed:
        return b""
    if not info:
        # the answer to nearly all reports, in one go
        return _CONFIRMATION.pack(
            _OUTSIDE, report.invoke_id, _RESULT_OF_TEN, report.handle, report.time, report.type, 0
        )
    return apdu.encode(EventReportResult(report.invoke_id, report.handle, report.type, info, report.time))

"""The manager's side of one association: octets in, wishes out; no I/O, no clock of its own.

Every call takes `now` (seconds of a clock that only goes forward) and, where readings may come of it, `received_at`
(aware). What comes back is done in its order; a `Keep` is committed before anything after it is sent.
Source: ISO/IEEE 11073-20601, clauses 8.4 to 8.12; the state table is `states.MANAGER`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from devices.errors import DeviceError
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import apdu, refusals
from devices.ieee11073.association import Aare, Aarq, Abrt, Information, Rlre, Rlrq
from devices.ieee11073.codes import (
    TEST_ASSOCIATION,
    AbortReason,
    Act,
    AssociateResult,
    ConfigResult,
    Noti,
    Problem,
    ReleaseReason,
)
from devices.ieee11073.data_apdu import (
    Action,
    DataApdu,
    EventReport,
    EventReportResult,
    Get,
    Question,
    Reject,
    Set,
)
from devices.ieee11073.errors import UnknownApdu, WrongState
from devices.ieee11073.events import ConfigReply, read_config, write_config_reply
from devices.ieee11073.interview import Interview
from devices.ieee11073.judgement import Verdict, answer_to, judge_association, judge_configuration
from devices.ieee11073.machine import Machine
from devices.ieee11073.objects import Configuration, PmStore
from devices.ieee11073.outputs import Answered, Became, Output, Send
from devices.ieee11073.remembered import Remembered
from devices.ieee11073.reports import Reports
from devices.ieee11073.states import ABORT_REASONS, MANAGER, Do, Event, State
from devices.ieee11073.terms import Terms
from devices.ieee11073.times import TICK
from devices.observation import Fact

MOST_PROMISED_S: Final = 600.0
"""An agent that says it needs longer is not waited for longer."""
MOST_REFUSED: Final = 16
"""Configurations in one association: a published agent tells a refused one again, as fast as it is answered."""
_SIMPLE: Final[dict[type[Any], Event]] = {
    Aare: Event.RX_AARE_KNOWN,
    Rlrq: Event.RX_RLRQ,
    Rlre: Event.RX_RLRE,
    Abrt: Event.RX_ABRT,
}
_VERDICTS: Final = {
    AssociateResult.ACCEPTED: Event.RX_AARQ_KNOWN,
    AssociateResult.ACCEPTED_UNKNOWN_CONFIG: Event.RX_AARQ_UNKNOWN,
}


class Manager(Machine):
    """One association with one agent at a time. state: where it stands.  about: what the agent said of itself."""

    def __init__(self, terms: Terms, remembered: Remembered | None = None) -> None:
        super().__init__(MANAGER, terms.timeouts)
        self.terms = terms
        self.remembered = Remembered() if remembered is None else remembered
        self.about: Information | None = None
        self._opening: list[Question] = []
        self._open_by: float | None = None
        self._refused = 0
        self._reports = Reports(terms.timeouts.patience)
        self._interview = self._new_interview()

    # -- what the transport says

    def connected(self, now: float) -> list[Output]:
        """The transport is there; the agent speaks first."""
        self._frames = apdu.Frames()
        return self._happened(Event.TRANSPORT_UP, now)

    def receive(self, octets: bytes, now: float, received_at: datetime) -> list[Output]:
        """What these octets of the stream lead to. Nothing that an agent sends raises."""
        found: list[Output] = []
        if self.state is State.DISCONNECTED:
            return found
        try:
            for frame in self._frames.feed(octets):
                self._apdu(frame, now, received_at, found)
        except UnknownApdu as error:
            found.append(refusals.odd(octets[:256], error))
            self._enter(Event.RX_GARBAGE, now, found)
        return found

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called at the latest. None: there is nothing to wait for."""
        times = [at for at in (self._by, self._open_by, self._asking.deadline, self._reports.until) if at is not None]
        return min(times, default=None)

    def tick(self, now: float) -> list[Output]:
        """What has timed out by now."""
        found: list[Output] = []
        if self._open_by is not None and now >= self._open_by:
            self._open(now, found)
        if self._reports.until is not None and now >= self._reports.until:
            found.extend(self._reports.release(self._interview.clocks))
        if any(at is not None and now >= at for at in (self._by, self._asking.deadline)):
            self._enter(Event.TIMEOUT, now, found, reason=ABORT_REASONS.get(self.state, AbortReason.UNDEFINED))
        return found

    # -- what the gateway wants

    def ask(self, question: Question, now: float) -> list[Output]:
        """GET, SET or ACTION, in its turn; its invoke id is given here. The answer comes as `Answered`. WrongState."""
        if self.state is not State.OPERATING or isinstance(question, EventReport):
            raise WrongState(f"a manager cannot ask this while {self.state}")
        if not self._asking.put(question):
            raise WrongState("too many questions wait for their turn")
        return self._next_question(now)

    # -- inside

    def _new_interview(self) -> Interview:
        return Interview(self.terms.zone, sets_time=self.terms.sets_time, clears=self.terms.clears)

    def _leaving(self, found: list[Output]) -> None:
        if self.state is State.OPERATING:
            # what was held back was heard, whatever ends the association
            found.extend(self._reports.release(self._interview.clocks))
            if self._reports.beside:
                self._forget()

    def _forget(self) -> None:
        """The agent's configuration is not what it was; the next association asks for it."""
        if self.about is not None:
            self.remembered.forget(self.about.system_id, self.about.dev_config_id)

    def _moved(self, state: State, event: Event, now: float, found: list[Output]) -> None:
        timeouts = self.terms.timeouts
        was, self.state = self.state, state
        self._opening, self._open_by = [], None
        if state in {State.UNASSOCIATED, State.DISCONNECTED}:
            self._asking.clear()
            self._by = None
            self.about = None
        elif state is State.WAITING_FOR_CONFIG and was is State.UNASSOCIATED:
            self._by = now + timeouts.configuration
            self._refused = 0
        elif state is State.OPERATING:
            self._by = None
        elif state is State.DISASSOCIATING:
            self._asking.release()
            self._by = now + timeouts.release
        found.append(Became(state, event.value))

    def _apdu(self, frame: bytes, now: float, received_at: datetime, found: list[Output]) -> None:
        try:
            message = apdu.decode(frame)
        except DeviceError as error:
            self._unreadable(frame, error, now, found)
            if apdu.is_answer(frame) and self.state is State.OPERATING:
                # the question has had its answer; the association goes on without what it should have said
                refusal = Reject(int.from_bytes(frame[6:8]), Problem.BADLY_STRUCTURED_APDU)
                self._answer(refusal, frame, now, received_at, found)
            return
        if type(message) is EventReport and self.state is State.OPERATING:
            # row 8.21, by far the most frequent
            self._report(message, frame, now, received_at, found)
            return
        if isinstance(message, Rlrq) and message.reason == ReleaseReason.CONFIGURATION_CHANGED:
            self._forget()
        simple = _SIMPLE.get(type(message))
        if simple is not None:
            self._enter(simple, now, found)
            return
        match message:
            case EventReport():
                event = Event.RX_CONFIG if message.type == Noti.CONFIG and message.confirmed else Event.RX_EVENT
                self._data(event, message, frame, now, received_at, found)
            case Aarq():
                self._request(message, frame, now, found)
            case Get():
                self._data(Event.RX_GET, message, frame, now, received_at, found)
            case Set() | Action():
                self._data(Event.RX_QUESTION, message, frame, now, received_at, found)
            case answer:
                self._answer(answer, frame, now, received_at, found)

    def _request(self, message: Aarq, frame: bytes, now: float, found: list[Output]) -> None:
        try:
            verdict = judge_association(message, self.remembered)
        except DeviceError as error:
            found.append(refusals.odd(frame, error))
            verdict = Verdict(AssociateResult.REJECTED_UNKNOWN)
        event = _VERDICTS.get(verdict.result, Event.RX_AARQ_REJECTED)
        before = len(found)
        row = self._enter(event, now, found)
        if row is None or row.do not in {Do.ACCEPT, Do.ACCEPT_UNKNOWN, Do.REJECT}:
            return
        about = verdict.information
        found.insert(before, Send(apdu.encode(answer_to(verdict, self.terms.system_id))))
        if verdict.result not in _VERDICTS or about is None:
            found.append(Became(self.state, f"rejected: {verdict.why or 'unreadable'}"))
            return
        self.about = about
        if verdict.configuration is not None:
            self._operate(verdict.configuration, now, found, remembered=True)

    def _operate(
        self, configuration: Configuration, now: float, found: list[Output], *, remembered: bool = False
    ) -> None:
        about = self.about
        assert about is not None
        facts = self.terms.facts
        if about.functional_units & TEST_ASSOCIATION:
            facts |= Fact.TEST_DATA
        source = DeviceFacts(f"eui64:{about.system_id.hex()}", self.terms.session, facts)
        self._interview = self._new_interview()
        self._reports.begin(configuration, source, self.terms.zone, self._interview, remembered)
        if self.terms.interviews:
            self._opening = self._interview.opening(configuration, about)
            self._open_by = now + self.terms.timeouts.courtesy
            if self._open_by <= now:
                self._open(now, found)

    def _open(self, now: float, found: list[Output]) -> None:
        """The manager's own questions begin."""
        questions, self._opening, self._open_by = self._opening, [], None
        self._put(questions, now, found)

    def _data(  # noqa: PLR0917  the one place where all of it is needed
        self, event: Event, message: DataApdu, frame: bytes, now: float, received_at: datetime, found: list[Output]
    ) -> None:
        row = self._enter(event, now, found)
        if row is None:
            return
        if row.do is Do.KEEP:
            assert isinstance(message, EventReport)
            self._report(message, frame, now, received_at, found)
        elif row.do is Do.JUDGE_CONFIG:
            assert isinstance(message, EventReport)
            self._configuration(message, frame, now, found)
        elif isinstance(message, EventReport | Get | Set | Action):
            found.extend(refusals.of_question(message, row))

    def _report(
        self, message: EventReport, frame: bytes, now: float, received_at: datetime, found: list[Output]
    ) -> None:
        asks = self._asking.under_way
        to_be_asked = self._open_by is not None or (isinstance(asks, Get) and not asks.handle)
        heard, questions = self._reports.heard(message, frame, now, received_at, to_be_asked)
        found.extend(heard)
        if self._open_by is not None and self._reports.until is not None:
            # a report waits for the answer
            self._open(now, found)
        if questions:
            self._put(questions, now, found)

    def _configuration(self, message: EventReport, frame: bytes, now: float, found: list[Output]) -> None:
        try:
            report = read_config(message.info)
            result, configuration = judge_configuration(report)
        except DeviceError as error:
            found.append(refusals.odd(frame, error))
            self._enter(Event.CONFIG_UNREADABLE, now, found)
            found.append(Send(apdu.encode(Reject(message.invoke_id, Problem.BADLY_STRUCTURED_APDU))))
            self._no_more(now, found)
            return
        reply = write_config_reply(ConfigReply(report.id, result))
        answer = EventReportResult(message.invoke_id, message.handle, message.type, reply, message.time)
        found.append(Send(apdu.encode(answer)))
        accepted = result is ConfigResult.ACCEPTED and configuration is not None
        self._enter(Event.CONFIG_ACCEPTED if accepted else Event.CONFIG_REFUSED, now, found)
        if configuration is not None and self.about is not None:
            self.remembered.keep(self.about.system_id, configuration)
            self._operate(configuration, now, found)
        else:
            self._no_more(now, found)

    def _no_more(self, now: float, found: list[Output]) -> None:
        """A configuration was refused; with too many of them the association ends before its time is up."""
        self._refused += 1
        if self._refused >= MOST_REFUSED:
            self._enter(Event.REQ_ABORT, now, found)

    def _answer(self, answer: Any, frame: bytes, now: float, received_at: datetime, found: list[Output]) -> None:
        question = self._asking.answered(answer)
        row = self._enter(Event.RX_STRAY_RESULT if question is None else Event.RX_RESULT, now, found)
        if question is None or row is None or row.do is not Do.TAKE_RESULT:
            return
        questions: list[Question] = []
        try:
            questions = self._interview.follow(question, answer, received_at) if self.terms.interviews else []
            found.extend(self._reports.response(answer, frame, received_at))
        except DeviceError as error:
            found.append(refusals.odd(frame, error))
        if isinstance(question, Get) and not question.handle:
            found.extend(self._reports.release(self._interview.clocks))
        found.append(Answered(question, answer))
        self._put(questions, now, found)

    def _put(self, questions: Iterable[Question], now: float, found: list[Output]) -> None:
        for question in questions:
            self._asking.put(question, self._promised(question))
        found.extend(self._next_question(now))

    def _promised(self, question: Question) -> float:
        """Seconds that the agent says it may need."""
        store = self._reports.configuration.objects.get(question.handle)
        if isinstance(store, PmStore) and isinstance(question, Action) and question.type == Act.SEG_CLR:
            return min(store.clear_timeout * TICK.total_seconds(), MOST_PROMISED_S)
        return 0.0

    def _next_question(self, now: float) -> list[Output]:
        found: list[Output] = []
        while (question := self._asking.next(now)) is not None:
            found.append(Send(apdu.encode(question)))
        return found

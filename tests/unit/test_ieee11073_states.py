"""Both state tables: complete as tables, and walked against each other by manager and agent in any order of events."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from devices.ieee11073 import apdu
from devices.ieee11073.agent import Agent, Nameplate
from devices.ieee11073.association import Abrt
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import Attr, Noti
from devices.ieee11073.data_apdu import EventReport, EventReportResult
from devices.ieee11073.manager import Manager
from devices.ieee11073.mder import octets, sequence, u16
from devices.ieee11073.objects import Configuration
from devices.ieee11073.outputs import Answered, Became, Keep, Output, Send
from devices.ieee11073.remembered import Remembered
from devices.ieee11073.scan_report import SHAPES, FixedObs, agent_report, write_scan
from devices.ieee11073.specializations import standard
from devices.ieee11073.states import AGENT, MANAGER, TIMEOUTS, Event, State, Table
from devices.ieee11073.terms import Terms
from devices.ieee11073.times import write_absolute
from devices.ieee11073.window import Window

S, E = State, Event
BEGAN = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
RECEIVED = [event for event in Event if event.startswith("rx-")]
NEVER = {
    # what only the other role can be sent, or what is decided only while a configuration is judged
    "manager": {E.REQ_ASSOCIATE, E.REQ_CONFIG, E.RETRY},
    "agent": set(),
}
HERE = {
    "manager": (S.UNASSOCIATED, S.WAITING_FOR_CONFIG, S.CHECKING_CONFIG, S.OPERATING, S.DISASSOCIATING),
    "agent": (S.UNASSOCIATED, S.ASSOCIATING, S.CONFIG_SENDING, S.WAITING_APPROVAL, S.OPERATING, S.DISASSOCIATING),
}
TABLES = {"manager": MANAGER, "agent": AGENT}


@pytest.mark.parametrize("role", ["manager", "agent"])
@pytest.mark.parametrize("event", RECEIVED)
def test_whatever_arrives_has_a_row_in_every_state_of_a_connection(role: str, event: Event) -> None:
    missing = [state for state in HERE[role] if (state, event) not in TABLES[role]]
    assert missing == []


@pytest.mark.parametrize("role", ["manager", "agent"])
def test_every_state_can_lose_its_transport_and_be_aborted(role: str) -> None:
    table = TABLES[role]
    for state in HERE[role]:
        assert table[state, E.TRANSPORT_DOWN].next is S.DISCONNECTED
        assert table[state, E.REQ_ABORT].next is S.UNASSOCIATED


@pytest.mark.parametrize(("role", "table"), [("manager", MANAGER), ("agent", AGENT)])
def test_rows_lead_only_to_states_of_their_own_role(role: str, table: Table) -> None:
    own = {*HERE[role], S.DISCONNECTED}
    assert {state for state, _ in table} | {row.next for row in table.values()} == own
    assert not {event for _, event in table} & NEVER[role]


@pytest.mark.parametrize("table", [MANAGER, AGENT])
def test_every_row_names_the_row_of_the_standard_that_it_follows(table: Table) -> None:
    numbers = {S.DISCONNECTED: "1", S.UNASSOCIATED: "2", S.ASSOCIATING: "3", S.CONFIG_SENDING: "4",
               S.WAITING_APPROVAL: "5", S.WAITING_FOR_CONFIG: "6", S.CHECKING_CONFIG: "7", S.OPERATING: "8",
               S.DISASSOCIATING: "9"}  # fmt: skip
    for (state, _), row in table.items():
        assert row.number.split(".")[0] == numbers[state]


def test_an_answered_question_never_ends_an_association() -> None:
    # the published tables leave checking-config on a GET (7.25), and restart the configuration of an agent (5.22)
    assert MANAGER[S.CHECKING_CONFIG, E.RX_GET].next is S.CHECKING_CONFIG
    assert AGENT[S.WAITING_APPROVAL, E.RX_GET].next is S.WAITING_APPROVAL


def mine(identity: int) -> Configuration:
    return Configuration(identity, dict(standard(0x05DC).objects))


def a_report() -> bytes:
    value = bytes.fromhex("ff0002dc") + write_absolute(datetime(2026, 11, 22, 16, 0))
    return write_scan(SHAPES[Noti.SCAN_REPORT_FIXED], agent_report(0, FixedObs(1, value)))


class Walk(RuleBasedStateMachine):
    """A manager, an agent and the wire between them; any order of deliveries, losses, time and wishes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.to_manager: deque[bytes] = deque()
        self.to_agent: deque[bytes] = deque()
        self.up = False
        self.reported = 0
        self.kept = 0
        self.confirmed = 0
        self.manager = Manager(Terms(b"MANAGER!"), Remembered(most=1))
        self.agent = Agent(
            Nameplate(b"AGENT---", [mine(0x4000), standard(0x05DC)]),
            Window(lambda: (Attribute(Attr.SYS_ID, octets(b"AGENT---")),)),
        )

    def _manage(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Send():
                    apdu.decode(output.octets)
                    self.to_agent.append(output.octets)
                case Keep():
                    assert len(output.observations) == 1
                    self.kept += 1
                    if output.octets:
                        self.to_agent.append(output.octets)
                case Became(state=state):
                    assert state in {*HERE["manager"], S.DISCONNECTED}

    def _act(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Send():
                    apdu.decode(output.octets)
                    self.to_manager.append(output.octets)
                case Answered(answer=EventReportResult(type=Noti.SCAN_REPORT_FIXED)):
                    self.confirmed += 1

    @precondition(lambda self: not self.up)
    @rule()
    def connect(self) -> None:
        self.up = True
        self._manage(self.manager.connected(self.now))
        self._act(self.agent.connected(self.now))

    @precondition(lambda self: self.up)
    @rule()
    def lose_the_connection(self) -> None:
        self.up = False
        self.to_manager.clear()
        self.to_agent.clear()
        self._manage(self.manager.disconnected(self.now))
        self._act(self.agent.disconnected(self.now))

    @precondition(lambda self: self.to_manager)
    @rule(cut=st.integers(1, 30))
    def deliver_to_the_manager(self, cut: int) -> None:
        data = self.to_manager.popleft()
        at = BEGAN + timedelta(seconds=self.now)
        for part in (data[:cut], data[cut:]):
            self._manage(self.manager.receive(part, self.now, at))

    @precondition(lambda self: self.to_agent)
    @rule(cut=st.integers(1, 30))
    def deliver_to_the_agent(self, cut: int) -> None:
        data = self.to_agent.popleft()
        for part in (data[:cut], data[cut:]):
            self._act(self.agent.receive(part, self.now))

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 10.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds
        self._manage(self.manager.tick(self.now))
        self._act(self.agent.tick(self.now))

    @rule()
    def measure(self) -> None:
        self.reported += 1
        self._act(self.agent.report(Noti.SCAN_REPORT_FIXED, a_report(), self.now))

    @rule(side=st.sampled_from(["manager", "agent"]), how=st.sampled_from(["release", "abort"]))
    def end_the_association(self, side: str, how: str) -> None:
        machine = getattr(self, side)
        outputs = getattr(machine, how)(self.now)
        (self._manage if side == "manager" else self._act)(outputs)

    @precondition(lambda self: self.up and self.agent.state is S.UNASSOCIATED)
    @rule()
    def associate_again(self) -> None:
        self._act(self.agent.associate(self.now))

    @precondition(lambda self: self.up)
    @rule(data=st.binary(min_size=4, max_size=20))
    def send_nonsense_both_ways(self, data: bytes) -> None:
        framed = b"\xe7\x00" + len(data).to_bytes(2) + data
        self.to_manager.append(framed)
        self.to_agent.append(framed)

    @invariant()
    def what_is_confirmed_was_kept_and_what_is_not_is_still_with_the_agent(self) -> None:
        assert self.confirmed <= self.kept
        assert self.confirmed + self.agent.unconfirmed == self.reported

    @invariant()
    def without_a_transport_nobody_is_associated(self) -> None:
        if not self.up:
            assert (self.manager.state, self.agent.state) == (S.DISCONNECTED, S.DISCONNECTED)

    @invariant()
    def a_side_that_waits_has_a_time_by_which_it_stops_waiting(self) -> None:
        if self.manager.state in {S.WAITING_FOR_CONFIG, S.CHECKING_CONFIG, S.DISASSOCIATING}:
            assert self.manager.deadline is not None
        if self.agent.state in {S.ASSOCIATING, S.WAITING_APPROVAL, S.DISASSOCIATING}:
            assert self.agent.deadline is not None

    def teardown(self) -> None:
        """Left to themselves on a good wire, both come to rest, and what was measured is kept."""
        if not self.up:
            self.connect()
        for _ in range(60):
            while self.to_manager or self.to_agent:
                if self.to_manager:
                    self.deliver_to_the_manager(4)
                if self.to_agent:
                    self.deliver_to_the_agent(4)
            if self.agent.state is S.OPERATING is self.manager.state and not self.agent.unconfirmed:
                break
            self.let_time_pass(10.0)
            if self.agent.state is S.UNASSOCIATED:
                self.associate_again()
        assert (self.manager.state, self.agent.state) == (S.OPERATING, S.OPERATING)
        assert self.agent.unconfirmed == 0


Walk.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWalk = Walk.TestCase


def test_a_manager_that_hears_no_configuration_says_so_when_it_gives_up() -> None:
    manager = Manager(Terms(b"MANAGER!"))
    agent = Agent(Nameplate(b"AGENT---", [mine(0x4000)]), Window(tuple))
    manager.connected(0.0)
    (request,) = [one.octets for one in agent.connected(0.0) if isinstance(one, Send)]
    manager.receive(request, 0.0, BEGAN)
    assert manager.deadline == TIMEOUTS.configuration
    assert manager.tick(TIMEOUTS.configuration - 0.1) == []
    sent = [one.octets for one in manager.tick(TIMEOUTS.configuration) if isinstance(one, Send)]
    assert [apdu.decode(one) for one in sent] == [Abrt(3)]


def test_an_agent_that_hears_nothing_asks_four_times_and_gives_up() -> None:
    agent = Agent(Nameplate(b"AGENT---", [mine(0x4000)]), Window(tuple))
    asked = len([one for one in agent.connected(0.0) if isinstance(one, Send)])
    for turn in range(1, 5):
        outputs = agent.tick(turn * TIMEOUTS.association)
        asked += sum(isinstance(one, Send) and one.octets[:2] == b"\xe2\x00" for one in outputs)
    assert (asked, agent.state) == (1 + TIMEOUTS.retries, S.UNASSOCIATED)


def test_sequence_counts_its_elements() -> None:
    assert sequence([u16(1), u16(2)]).hex() == "0002000400010002"


def prepared(state: State) -> tuple[Manager, Agent]:
    """Both sides in an association that has come as far as this."""
    manager = Manager(Terms(b"MANAGER!"))
    agent = Agent(
        Nameplate(b"AGENT---", [standard(0x05DC) if state is S.OPERATING else mine(0x4000)]),
        Window(tuple, set_time=lambda _: None, latest=tuple, store=30, scanners=[20]),
    )
    manager.connected(0.0)
    (request,) = [one.octets for one in agent.connected(0.0) if isinstance(one, Send)]
    if state is not S.UNASSOCIATED:
        outputs = manager.receive(request, 0.0, BEGAN)
        agent.receive(next(one.octets for one in outputs if isinstance(one, Send)), 0.0)
    return manager, agent


@pytest.mark.parametrize("state", [S.UNASSOCIATED, S.WAITING_FOR_CONFIG, S.OPERATING])
@given(
    chunks=st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.tuples(st.sampled_from([0x0100, 0x0101, 0x0103, 0x0105, 0x0107, 0x0201, 0x0203, 0x0207, 0x0300]),
                      st.binary(max_size=40)).map(lambda pair: presented(*pair)),
            st.sampled_from([Noti.CONFIG, Noti.SEGMENT_DATA, *SHAPES]).flatmap(
                lambda kind: st.binary(max_size=40).map(
                    lambda info: apdu.encode(EventReport(1, 0, kind, info))
                )
            ),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_whatever_octets_arrive_neither_side_raises_nor_hangs(state: State, chunks: list[bytes]) -> None:
    manager, agent = prepared(state)
    for turn, chunk in enumerate(chunks):
        for outputs in (
            manager.receive(chunk, float(turn), BEGAN),
            agent.receive(chunk, float(turn)),
            manager.tick(turn + 0.5),
            agent.tick(turn + 0.5),
        ):
            for output in outputs:
                if isinstance(output, Send | Keep) and output.octets:
                    apdu.decode(output.octets)


def presented(operation: int, body: bytes) -> bytes:
    inner = u16(1) + u16(operation) + u16(len(body)) + body
    return b"\xe7\x00" + u16(len(inner) + 2) + u16(len(inner)) + inner

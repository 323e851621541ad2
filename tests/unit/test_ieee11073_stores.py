"""The PM-store, between a real manager and a real agent: list, transfer, keep, confirm, clear."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devices.errors import BadValue
from devices.ieee11073 import apdu
from devices.ieee11073.agent import Agent, Nameplate
from devices.ieee11073.attribute import Attribute, Mapped
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import Act, Attr, Noti, ObjectClass
from devices.ieee11073.data_apdu import Action, ActionResult, EventReport, Get, GetResult, RemoteError, Set
from devices.ieee11073.events import (
    ConfigObject,
    ConfigReport,
    SegmentData,
)
from devices.ieee11073.manager import Manager
from devices.ieee11073.mder import u16, u32
from devices.ieee11073.objects import Configuration
from devices.ieee11073.outputs import Answered, Keep, Send
from devices.ieee11073.scan_report import FixedObs
from devices.ieee11073.segments import (
    ALL,
    CLEARS_BY_LIST,
    CLEARS_WHOLE,
    Element,
    EntryHeader,
    EntryMap,
    Segment,
    SegmentStatus,
    Selection,
    read_entries,
    read_segment_list,
    read_selection,
    write_entry_map,
    write_selection,
)
from devices.ieee11073.specializations import standard
from devices.ieee11073.states import State, Timeouts
from devices.ieee11073.terms import Terms
from devices.ieee11073.times import write_absolute
from devices.ieee11073.window import StoredSegment, Window
from devices.observation import Observation

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WALL = datetime(2026, 11, 22, 16, 0)
STORE = 30
MAP = EntryMap(
    EntryHeader.ABSOLUTE,
    (Element(ObjectClass.METRIC_NU, Type(2, 57664), 1, (Mapped(Attr.NU_VAL_OBS_SIMP, 4),)),),
)


def with_store(capabilities: int) -> Configuration:
    said = Attribute(Attr.PM_STORE_CAPAB, u16(capabilities))
    store = ConfigObject(ObjectClass.VMO_PMSTORE, STORE, (said,))
    return Configuration.of(ConfigReport(0x4000, (standard(0x05DC).report.objects[0], store)))


WITH_STORE = with_store(CLEARS_BY_LIST | CLEARS_WHOLE)


def entries(count: int) -> list[bytes]:
    return [
        write_absolute(WALL - timedelta(minutes=count - n)) + bytes.fromhex("ff00") + u16(700 + n) for n in range(count)
    ]


def segments(*counts: int) -> dict[int, StoredSegment]:
    described = (Attribute(Attr.PM_SEG_MAP, write_entry_map(MAP)), Attribute(Attr.PM_SEG_PERSON_ID, u16(2)))
    return {number: StoredSegment(attributes=described, entries=entries(count)) for number, count in enumerate(counts)}


class Pair:
    """Both sides on a wire that delivers at once. order: what the manager did, in its order.  deaf_to: what the agent
    never hears."""

    def __init__(
        self, window: Window, configuration: Configuration = WITH_STORE, deaf_to: Act | None = None, **terms: Any
    ) -> None:
        self.deaf_to = deaf_to
        self.manager = Manager(Terms(b"MANAGER!", timeouts=Timeouts(courtesy=0), **terms))
        self.agent = Agent(Nameplate(b"AGENT---", [configuration]), window)
        self.kept: list[Observation] = []
        self.order: list[str] = []
        self.manager.connected(0.0)
        self.run(self.agent.connected(0.0))

    def run(self, outputs: list[Any]) -> None:
        to_manager = [one.octets for one in outputs if isinstance(one, Send)]
        while to_manager:
            answers = self.manager.receive(to_manager.pop(0), 0.0, NOW)
            for answer in answers:
                if isinstance(answer, Keep):
                    self.kept.extend(answer.observations)
                    self.order.append("keep")
                if isinstance(answer, Send) and isinstance(found := apdu.decode(answer.octets), Action):
                    self.order.append(Act(found.type).name)
                    if found.type == self.deaf_to:
                        continue
                if isinstance(answer, Send | Keep) and answer.octets:
                    to_manager += [
                        one.octets for one in self.agent.receive(answer.octets, 0.0) if isinstance(one, Send)
                    ]


def test_all_segments_are_listed_transferred_kept_and_only_then_cleared() -> None:
    window = Window(tuple, store=STORE, segments=segments(45, 0, 3), together=20)
    pair = Pair(window, clears=True)
    assert pair.manager.state is pair.agent.state is State.OPERATING
    assert [one.values[0] for one in pair.kept] == [
        *(round(70.0 + n / 10, 1) for n in range(45)), 70.0, 70.1, 70.2
    ]  # fmt: skip
    assert pair.order == ["SEG_GET_INFO", "SEG_TRIG_XFER", "keep", "keep", "keep", "SEG_CLR", "SEG_TRIG_XFER",
                          "keep", "SEG_CLR"]  # fmt: skip
    assert sorted(window.segments) == [1]


def test_entries_of_a_store_are_of_their_person_and_their_time_and_never_live() -> None:
    pair = Pair(Window(tuple, store=STORE, segments=segments(2)))
    assert [(one.slot, one.device_at, one.measured_at) for one in pair.kept] == [
        (2, WALL - timedelta(minutes=2), NOW - timedelta(minutes=2)),
        (2, WALL - timedelta(minutes=1), NOW - timedelta(minutes=1)),
    ]


@pytest.mark.parametrize("capabilities", [0, 0x0800, 0xFEFF])
def test_a_store_that_cannot_clear_what_is_listed_is_not_asked_to(capabilities: int) -> None:
    pair = Pair(Window(tuple, store=STORE, segments=segments(2)), with_store(capabilities), clears=True)
    assert (len(pair.kept), pair.order) == (2, ["SEG_GET_INFO", "SEG_TRIG_XFER", "keep"])


def test_without_leave_to_clear_the_agent_keeps_its_segments() -> None:
    window = Window(tuple, store=STORE, segments=segments(2))
    assert "SEG_CLR" not in Pair(window).order
    assert sorted(window.segments) == [0]


def test_entries_that_do_not_fit_their_map_are_refused() -> None:
    described = Segment(instance=0, map=MAP)
    for event in (
        SegmentData(0, 0, 2, SegmentStatus.LAST, bytes(12)),
        SegmentData(0, 0, 1, SegmentStatus.LAST, bytes(13)),
    ):
        with pytest.raises(BadValue):
            read_entries(WITH_STORE, described, event)
    with pytest.raises(BadValue):
        read_entries(WITH_STORE, Segment(instance=0), SegmentData(0, 0, 0, 0))


def test_a_selection_goes_there_and_back() -> None:
    for selection in (ALL, Selection(2, (0, 7)), Selection(3, between=bytes(16))):
        assert read_selection(write_selection(selection)) == selection
    assert write_selection(ALL).hex() == "000100020000"
    assert write_selection(Selection(2, (0,))).hex() == "00020006000100020000"


# -- the agent's side


def window() -> Window:
    seen: list[datetime] = []
    made = Window(
        lambda: (Attribute(Attr.DEV_CONFIG_ID, u16(0x4000)), Attribute(Attr.SYS_ID, bytes(10))),
        set_time=seen.append,
        latest=lambda: [FixedObs(1, bytes(12))],
        store=STORE,
        segments=segments(1),
        scanners=[20],
    )
    made.seen = seen  # type: ignore[attr-defined]
    return made


def test_a_get_of_named_attributes_is_answered_with_those_that_there_are() -> None:
    answer, _ = window().answer(Get(5, 0, (Attr.DEV_CONFIG_ID, Attr.TIME_ABS)))
    assert answer == GetResult(5, 0, (Attribute(Attr.DEV_CONFIG_ID, u16(0x4000)),))


def test_set_time_sets_the_clock_and_nonsense_does_not() -> None:
    made = window()
    answer, _ = made.answer(Action(1, 0, Act.SET_TIME, write_absolute(WALL) + u32(0)))
    assert answer == ActionResult(1, 0, Act.SET_TIME)
    assert made.seen == [WALL]  # type: ignore[attr-defined]
    for broken in (b"", bytes(12), b"\xff" * 12):
        refused, _ = made.answer(Action(1, 0, Act.SET_TIME, broken))
        assert refused == RemoteError(1, 24)


@pytest.mark.parametrize(
    ("question", "error"),
    [
        (Get(1, 99), 1),
        (Set(1, 99), 1),
        (Action(1, 99, Act.SET_TIME), 1),
        (Action(1, 0, 0x0CFF), 9),
        (Action(1, STORE, Act.SET_TIME), 9),
        (Action(1, STORE, Act.SEG_GET_INFO, b"\0\x09\0\0"), 24),
        (Action(1, STORE, Act.SEG_TRIG_XFER, b""), 24),
    ],
)
def test_what_an_agent_cannot_do_it_says(question: Any, error: int) -> None:
    answer, reports = window().answer(question)
    assert (answer, tuple(reports)) == (RemoteError(1, error), ())


def test_a_transfer_of_no_segment_says_so_and_a_list_tells_how_many_entries() -> None:
    answer, reports = window().answer(Action(1, STORE, Act.SEG_TRIG_XFER, u16(9)))
    assert (answer, tuple(reports)) == (ActionResult(1, STORE, Act.SEG_TRIG_XFER, u16(9) + u16(1)), ())
    listed, _ = window().answer(Action(1, STORE, Act.SEG_GET_INFO, write_selection(ALL)))
    assert isinstance(listed, ActionResult)
    assert [(one.instance, one.entries, one.person) for one in read_segment_list(listed.info)] == [(0, 1, 2)]


def test_reports_are_numbered_from_zero_in_each_association() -> None:
    pair = Pair(Window(tuple, store=STORE))
    numbers = []
    for _ in range(2):
        for _ in range(3):
            outputs = pair.agent.report(Noti.SCAN_REPORT_FIXED, bytes.fromhex("f000000000000000"), 0.0)
            for one in outputs:
                if isinstance(one, Send) and isinstance(found := apdu.decode(one.octets), EventReport):
                    numbers.append(int.from_bytes(found.info[2:4]))
            pair.run(outputs)
        pair.run(pair.agent.release(0.0))
        pair.run(pair.agent.associate(0.0))
    assert numbers == [0, 1, 2, 0, 1, 2]


def test_an_answer_reaches_the_device_that_reported() -> None:
    pair = Pair(Window(tuple, store=STORE))
    (sent,) = [one for one in pair.agent.report(Noti.SCAN_REPORT_FIXED, bytes(4), 0.0) if isinstance(one, Send)]
    answers = [one for one in pair.manager.receive(sent.octets, 0.0, NOW) if isinstance(one, Send)]
    heard = [one for one in pair.agent.receive(answers[0].octets, 0.0) if isinstance(one, Answered)]
    assert getattr(heard[0].answer, "problem", None) == 2


@pytest.mark.parametrize(("ticks", "seconds"), [(0, 10.0), (8000, 10.0), (160_000, 20.0), (0xFFFF_FFFF, 600.0)])
def test_a_store_has_as_long_to_clear_as_it_says_that_it_needs(ticks: int, seconds: float) -> None:
    said = (Attribute(Attr.PM_STORE_CAPAB, u16(CLEARS_BY_LIST)), Attribute(Attr.CLEAR_TIMEOUT, u32(ticks)))
    store = ConfigObject(ObjectClass.VMO_PMSTORE, STORE, said)
    slow = Configuration.of(ConfigReport(0x4000, (standard(0x05DC).report.objects[0], store)))
    pair = Pair(Window(tuple, store=STORE, segments=segments(1)), slow, clears=True, deaf_to=Act.SEG_CLR)
    assert pair.order[-1] == "SEG_CLR"
    assert pair.manager.deadline == seconds

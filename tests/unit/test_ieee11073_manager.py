"""A manager by script: whom it accepts, what it answers, what it asks by itself, and when it gives up."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from devices.clock import IDENTITY_ZONE
from devices.ieee11073 import apdu
from devices.ieee11073.association import Aare, Aarq, Abrt, Information, Protocol, Rlre, Rlrq
from devices.ieee11073.attribute import Attribute, Mapped, write_value_map
from devices.ieee11073.codes import Act, Attr, Noti, ObjectClass
from devices.ieee11073.data_apdu import (
    Action,
    ActionResult,
    EventReport,
    EventReportResult,
    Get,
    GetResult,
    Modification,
    Reject,
    RemoteError,
    Set,
    SetResult,
)
from devices.ieee11073.errors import WrongState
from devices.ieee11073.events import (
    ConfigObject,
    ConfigReport,
    DataResponse,
    read_config_reply,
    read_data_request,
    write_config,
    write_data_response,
)
from devices.ieee11073.manager import Manager
from devices.ieee11073.mder import octets, sequence, u16, u32
from devices.ieee11073.outputs import Answered, Keep, Odd, Output, Send
from devices.ieee11073.scan_report import SHAPES, FixedObs, Person, ScanReport, VarObs, agent_report, write_scan
from devices.ieee11073.specializations import standard
from devices.ieee11073.states import State, Timeouts
from devices.ieee11073.terms import Terms
from devices.ieee11073.times import write_absolute
from devices.observation import Observation

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WALL = datetime(2026, 11, 22, 16, 0)
SYSTEM = bytes.fromhex("1122334455667788")
MINE = bytes.fromhex("0200000000000001")
QUIET = Terms(MINE, interviews=False)


def about(config: int = 0x05DC, **changes: Any) -> Information:
    return msgspec.structs.replace(Information.of_agent(SYSTEM, config), **changes)


class Talk:
    """A manager and what it said; `say` answers with the APDUs that it sent."""

    def __init__(self, terms: Terms = QUIET) -> None:
        self.manager = Manager(terms)
        self.now = 0.0
        self.kept: list[Observation] = []
        self.odd: list[Odd] = []
        self.answered: list[Answered] = []
        self.manager.connected(0.0)

    def say(self, *apdus: Any) -> list[Any]:
        stream = b"".join(one if isinstance(one, bytes) else apdu.encode(one) for one in apdus)
        return self.heard(self.manager.receive(stream, self.now, NOW + timedelta(seconds=self.now)))

    def wait(self, seconds: float) -> list[Any]:
        self.now += seconds
        return self.heard(self.manager.tick(self.now))

    def heard(self, outputs: list[Output]) -> list[Any]:
        sent = []
        for output in outputs:
            match output:
                case Send():
                    sent.append(apdu.decode(output.octets))
                case Keep():
                    self.kept.extend(output.observations)
                    if output.octets:
                        sent.append(apdu.decode(output.octets))
                case Odd():
                    self.odd.append(output)
                case Answered():
                    self.answered.append(output)
                case _:
                    pass
        return sent


def associated(config: int = 0x05DC, terms: Terms = QUIET, **changes: Any) -> Talk:
    talk = Talk(terms)
    talk.opening = talk.say(Aarq.of(about(config, **changes)))  # type: ignore[attr-defined]
    return talk


def configured(*objects: ConfigObject, terms: Terms = QUIET, **changes: Any) -> tuple[Talk, list[Any]]:
    """Associated under an extended configuration; and what the manager sent after accepting it."""
    talk = associated(0x4000, terms, **changes)
    sent = talk.say(EventReport(7, 0, Noti.CONFIG, write_config(ConfigReport(0x4000, objects))))
    assert read_config_reply(sent[0].info).result == 0
    return talk, sent[1:]


def weight(at: datetime = WALL, value: str = "ff0002dc") -> FixedObs:
    return FixedObs(1, bytes.fromhex(value) + write_absolute(at))


def report(*obs: Any, invoke_id: int = 1, kind: Noti = Noti.SCAN_REPORT_FIXED, handle: int = 0,
           confirmed: bool = True) -> EventReport:  # fmt: skip
    return EventReport(invoke_id, handle, kind, write_scan(SHAPES[kind], agent_report(0, *obs)), confirmed=confirmed)


SCALE = standard(0x05DC).report.objects[0]


# -- association


@pytest.mark.parametrize(
    ("request_", "result"),
    [
        (Aarq.of(about()), 0),
        (Aarq.of(about(0x4000)), 3),
        (Aarq.of(about(0x0ABC)), 3),
        (Aarq((Protocol(20601, about().encode()),), 0x40000000), 8),
        (Aarq((Protocol(65535, bytes(18)),)), 4),
        (Aarq(()), 4),
        (Aarq.of(about(protocol_version=0x40000000)), 5),
        (Aarq.of(about(encoding_rules=0x2000)), 5),
        (Aarq.of(about(nomenclature_version=0)), 5),
        (Aarq.of(about(system_type=0x80000000)), 5),
        (Aarq.of(about(system_id=b"short")), 6),
        (Aarq.of(about(system_id=bytes(8))), 6),
        (Aarq.of(about(0x0000)), 1),
        (Aarq.of(about(0x8000)), 1),
        (Aarq((Protocol(20601, b"\x80"),)), 6),
    ],
)
def test_an_association_is_accepted_or_rejected_with_its_reason(request_: Aarq, result: int) -> None:
    talk = Talk()
    (answer,) = talk.say(request_)
    assert isinstance(answer, Aare)
    assert answer.result == result
    assert (talk.manager.state is State.UNASSOCIATED) is (result not in {0, 3})


def test_where_no_protocol_version_is_in_common_the_answer_has_none() -> None:
    (answer,) = Talk().say(Aarq.of(about(protocol_version=0x40000000)))
    assert answer.information().protocol_version == 0
    (other,) = Talk().say(Aarq((Protocol(65535, bytes(18)),)))
    assert (other.protocol.id, other.protocol.info) == (0, b"")


def test_another_protocol_beside_ours_does_no_harm() -> None:
    (answer,) = Talk().say(Aarq((Protocol(65535, bytes(18)), Protocol(20601, about().encode()))))
    assert answer.result == 0


def test_a_test_association_marks_all_it_says_as_a_test() -> None:
    talk = associated(functional_units=0x20000000)
    talk.say(report(weight()))
    assert talk.kept[0].facts == ("test-data",)


def test_a_release_is_answered_and_the_agent_can_come_again() -> None:
    talk = associated()
    assert talk.say(Rlrq()) == [Rlre()]
    assert talk.say(Aarq.of(about()))[0].result == 0


def test_a_second_request_in_an_association_aborts_it() -> None:
    talk = associated()
    assert talk.say(Aarq.of(about())) == [Abrt(0)]
    assert talk.manager.state is State.UNASSOCIATED


def test_a_release_that_is_not_answered_ends_in_an_abort() -> None:
    talk = associated()
    assert talk.heard(talk.manager.release(0.0)) == [Rlrq()]
    assert talk.wait(2.9) == []
    assert talk.wait(0.2) == [Abrt(0)]


# -- configuration


def test_a_configuration_is_told_once() -> None:
    talk, _ = configured(SCALE)
    talk.say(Rlrq())
    (answer,) = talk.say(Aarq.of(about(0x4000)))
    assert (answer.result, talk.manager.state) == (0, State.OPERATING)


@pytest.mark.parametrize(
    ("told", "result"),
    [
        (ConfigReport(0x4000, (SCALE,)), 0),
        (ConfigReport(0x4000, ()), 1),
        (ConfigReport(0x0ABC, ()), 2),
        (ConfigReport(0x9000, (SCALE,)), 1),
        (ConfigReport(0x4000, (ConfigObject(ObjectClass.VMO_PMSTORE, 3, ()),)), 1),
    ],
)
def test_a_configuration_is_accepted_or_not_with_its_reason(told: ConfigReport, result: int) -> None:
    talk = associated(0x4000)
    (answer,) = talk.say(EventReport(7, 0, Noti.CONFIG, write_config(told)))
    assert isinstance(answer, EventReportResult)
    assert read_config_reply(answer.info) == (told.id, result)
    assert (talk.manager.state is State.OPERATING) is (result == 0)


def test_a_configuration_that_makes_no_sense_is_rejected_and_another_may_follow() -> None:
    talk = associated(0x4000)
    twice = ConfigReport(0x4000, (SCALE, SCALE))
    assert talk.say(EventReport(7, 0, Noti.CONFIG, write_config(twice))) == [Reject(7, 2)]
    assert talk.manager.state is State.WAITING_FOR_CONFIG
    right = ConfigReport(0x4000, (SCALE,))
    assert read_config_reply(talk.say(EventReport(8, 0, Noti.CONFIG, write_config(right)))[0].info).result == 0


@pytest.mark.parametrize("asked", [report(weight(), invoke_id=9), Get(9, 0), Action(9, 0, Act.SET_TIME)])
def test_before_the_configuration_nothing_else_is_answered_than_that_nothing_is_there(asked: Any) -> None:
    talk = associated(0x4000)
    assert talk.say(asked) == [RemoteError(9, 1)]
    assert talk.manager.state is State.WAITING_FOR_CONFIG


# -- reports


def test_a_confirmed_report_is_kept_and_then_confirmed() -> None:
    talk = associated()
    outputs = talk.manager.receive(apdu.encode(report(weight(), invoke_id=5)), 0.0, NOW)
    (kept,) = outputs
    assert isinstance(kept, Keep)
    assert apdu.decode(kept.octets) == EventReportResult(5, 0, Noti.SCAN_REPORT_FIXED, b"", 0xFFFFFFFF)
    assert kept.observations[0].device == "eui64:1122334455667788"


def test_an_unconfirmed_report_is_kept_and_not_answered() -> None:
    talk = associated()
    assert talk.say(report(weight(), confirmed=False)) == []
    assert len(talk.kept) == 1


def test_persons_of_one_report_have_their_own_slots() -> None:
    talk = associated()
    scan = ScanReport(0xF000, 0, (Person(1, (weight(),)), Person(2, (weight(value="ff000300"),))))
    talk.say(EventReport(1, 0, Noti.SCAN_REPORT_MP_FIXED, write_scan(SHAPES[Noti.SCAN_REPORT_MP_FIXED], scan)))
    assert [(one.slot, one.values[0]) for one in talk.kept] == [(1, 73.2), (2, 76.8)]


def test_a_report_of_variable_format_changes_the_unit_for_those_that_follow() -> None:
    talk = associated()
    change = VarObs(
        1, (Attribute(Attr.UNIT_CODE, u16(1760)), Attribute(Attr.NU_VAL_OBS_SIMP, bytes.fromhex("ff0002dc")))
    )
    talk.say(report(change, kind=Noti.SCAN_REPORT_VAR), report(weight()))
    assert [one.unit for one in talk.kept] == ["[lb_av]", "[lb_av]"]


@pytest.mark.parametrize(
    ("broken", "answer"),
    [
        (EventReport(4, 0, Noti.SCAN_REPORT_FIXED, bytes.fromhex("f0000000000900100001000cff0002dc")), Reject(4, 2)),
        (EventReport(4, 0, Noti.SCAN_REPORT_FIXED, bytes.fromhex("f00000000001000600010002ff00")), Reject(4, 2)),
        (EventReport(4, 0, 0x0DFF), Reject(4, 101)),
        (EventReport(4, 9, Noti.SCAN_REPORT_FIXED, bytes(8)), RemoteError(4, 1)),
        (EventReport(4, 3, Noti.SEGMENT_DATA, bytes(14)), RemoteError(4, 1)),
        (Get(4, 0), Reject(4, 101)),
        (Set(4, 0), Reject(4, 101)),
        (bytes.fromhex("e700000a00080004010200020000"), Reject(4, 101)),
        (bytes.fromhex("e7000008000600040101ffff"), Reject(4, 2)),
    ],
)
def test_what_cannot_be_read_or_done_is_refused_for_what_it_is_and_the_association_goes_on(
    broken: Any, answer: Any
) -> None:
    talk = associated()
    assert talk.say(broken) == [answer]
    assert talk.kept == []
    talk.say(report(weight()))
    assert len(talk.kept) == 1


def test_an_answer_that_nobody_asked_for_is_ignored_while_operating() -> None:
    talk = associated()
    assert talk.say(GetResult(77, 0), RemoteError(78, 1), Reject(79, 0)) == []
    assert talk.manager.state is State.OPERATING


# -- questions of its own

ASKS = Terms(MINE, clears=True, timeouts=Timeouts(courtesy=0))
COURTEOUS = Terms(MINE)


def clock(at: datetime, state: int = 0xC000) -> tuple[Attribute, ...]:
    return (
        Attribute(Attr.MDS_TIME_INFO, struct.pack(">HHIHHI", state, 0, 0, 100, 0, 0)),
        Attribute(Attr.TIME_ABS, write_absolute(at)),
    )


def test_once_associated_it_asks_for_the_attributes_of_the_device() -> None:
    talk = associated(terms=ASKS)
    assert talk.opening[1] == Get(0, 0)  # type: ignore[attr-defined]


def test_it_lets_the_agent_report_before_it_asks_anything() -> None:
    talk = associated(terms=COURTEOUS)
    assert [type(one) for one in talk.say(report(weight()))] == [EventReportResult]
    assert talk.wait(0.1) == []
    assert talk.wait(0.2) == [Get(0, 0)]


def test_it_asks_at_once_where_a_report_waits_for_the_answer() -> None:
    talk = associated(terms=COURTEOUS)
    assert talk.say(report(weight(WALL - timedelta(days=30)))) == [Get(0, 0)]
    assert [type(one) for one in talk.wait(1.0)] == [EventReportResult]


def test_what_it_was_about_to_ask_is_forgotten_with_the_association() -> None:
    talk = associated(terms=COURTEOUS)
    talk.say(Rlrq())
    assert talk.manager.deadline is None


def test_a_report_with_an_odd_stamp_waits_for_the_clock_and_is_corrected_by_it() -> None:
    talk = associated(terms=ASKS)
    late = WALL - timedelta(days=30)
    assert talk.say(report(weight(late - timedelta(minutes=10)), invoke_id=3)) == []
    (confirmation,) = talk.say(GetResult(0, 0, clock(late)))
    assert confirmation.invoke_id == 3
    assert (talk.kept[0].measured_at, talk.kept[0].facts) == (NOW - timedelta(minutes=10), ("clock-corrected",))


def test_a_report_with_a_stamp_of_now_does_not_wait() -> None:
    talk = associated(terms=ASKS)
    assert [type(one) for one in talk.say(report(weight()))] == [EventReportResult]


def test_an_agent_that_does_not_tell_its_clock_is_confirmed_before_it_loses_patience_and_then_aborted() -> None:
    talk = associated(terms=ASKS)
    talk.say(report(weight(WALL - timedelta(days=30))))
    assert [type(one) for one in talk.wait(1.0)] == [EventReportResult]
    assert len(talk.kept) == 1
    assert talk.wait(2.0) == [Abrt(2)]


def test_what_waits_for_the_clock_is_kept_when_the_agent_leaves() -> None:
    talk = associated(terms=ASKS)
    talk.say(report(weight(WALL - timedelta(days=30))))
    assert [type(one) for one in talk.say(Rlrq())] == [EventReportResult, Rlre]
    assert len(talk.kept) == 1


def test_many_reports_that_wait_are_bounded() -> None:
    talk = associated(terms=ASKS)
    for number in range(40):
        talk.say(report(weight(WALL - timedelta(days=30, minutes=number)), invoke_id=number))
    assert len(talk.kept) == 24


def test_an_agent_that_wants_its_clock_set_gets_the_local_time() -> None:
    talk = associated(terms=ASKS)
    (asked,) = talk.say(GetResult(0, 0, clock(WALL - timedelta(days=1), state=0xC010)))
    assert asked == Action(1, 0, Act.SET_TIME, write_absolute(NOW.astimezone(IDENTITY_ZONE)) + u32(0))
    talk.say(ActionResult(1, 0, Act.SET_TIME))
    talk.say(report(weight(WALL)))
    assert talk.kept[0].facts == ()


def test_attributes_of_no_sense_in_an_answer_do_no_harm() -> None:
    talk = associated(terms=ASKS)
    silly = (Attribute(Attr.TIME_ABS, bytes(8)), Attribute(Attr.MDS_TIME_INFO, b""), Attribute(Attr.SYS_ID, b"\xff"))
    assert talk.say(GetResult(0, 0, silly)) == []
    assert talk.manager.state is State.OPERATING


def scanner(*more: Attribute, object_class: int = ObjectClass.SCAN_CFG_PERI) -> ConfigObject:
    return ConfigObject(object_class, 20, more)


def test_a_scanner_is_enabled_and_its_grouped_reports_are_read_by_its_layout() -> None:
    layout = sequence([u16(1) + write_value_map((Mapped(Attr.NU_VAL_OBS_SIMP, 4),))])
    talk, _ = configured(SCALE, scanner(Attribute(Attr.SCAN_HANDLE_ATTR_VAL_MAP, layout)), terms=ASKS)
    (asked,) = talk.say(GetResult(0, 0))
    assert asked == Set(1, 20, (Modification(0, Attribute(Attr.OP_STAT, u16(1))),))
    talk.say(SetResult(1, 20, (Attribute(Attr.OP_STAT, u16(1)),)))
    grouped = bytes.fromhex("ff0002dc")
    talk.say(report(grouped, grouped, kind=Noti.BUF_SCAN_REPORT_GROUPED, handle=20))
    assert [(one.values[0], one.record_no) for one in talk.kept] == [(73.2, 0), (73.2, 1)]
    assert talk.say(report(grouped + b"\0", kind=Noti.UNBUF_SCAN_REPORT_GROUPED, handle=20, invoke_id=6)) == [
        Reject(6, 2)
    ]


def test_an_agent_that_reports_only_when_asked_is_asked() -> None:
    talk = associated(terms=ASKS, init_agent_count=0, init_manager_count=1, data_req_mode_flags=0x0880)
    (asked,) = talk.say(GetResult(0, 0))
    assert (asked.type, read_data_request(asked.info).mode) == (Act.DATA_REQUEST, 0x8880)
    kind = Noti.SCAN_REPORT_FIXED
    scan = write_scan(SHAPES[kind], ScanReport(1, 0, (Person(None, (weight(),)),)))
    talk.say(ActionResult(asked.invoke_id, 0, Act.DATA_REQUEST, write_data_response(DataResponse(0, 0, kind, scan))))
    assert talk.kept[0].values[0] == 73.2


def test_a_question_of_the_gateway_is_answered_and_a_late_answer_aborts() -> None:
    talk = associated()
    (asked,) = talk.heard(talk.manager.ask(Get(0, 0, (Attr.SYS_ID,)), 0.0))
    talk.say(GetResult(asked.invoke_id, 0, (Attribute(Attr.SYS_ID, octets(SYSTEM)),)))
    assert talk.answered[0].answer == GetResult(asked.invoke_id, 0, (Attribute(Attr.SYS_ID, octets(SYSTEM)),))
    talk.heard(talk.manager.ask(Get(0, 0), 0.0))
    assert talk.wait(3.0) == [Abrt(2)]


def test_an_answer_of_another_kind_is_none() -> None:
    talk = associated()
    (asked,) = talk.heard(talk.manager.ask(Get(0, 0), 0.0))
    talk.say(ActionResult(asked.invoke_id, 0, Act.SET_TIME))
    assert (talk.answered, talk.manager.deadline) == ([], 3.0)


def test_nothing_can_be_asked_of_an_agent_that_is_not_there() -> None:
    with pytest.raises(WrongState):
        Talk().manager.ask(Get(0, 0), 0.0)


def test_questions_that_wait_are_bounded() -> None:
    talk = associated()
    for _ in range(257):
        talk.manager.ask(Get(0, 0), 0.0)
    with pytest.raises(WrongState):
        talk.manager.ask(Get(0, 0), 0.0)

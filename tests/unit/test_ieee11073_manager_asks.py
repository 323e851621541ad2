"""A manager by script: what it asks an agent by itself, what waits for the answer, and when it gives up."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta

import pytest

from devices.clock import IDENTITY_ZONE
from devices.ieee11073.association import Abrt, Rlre, Rlrq
from devices.ieee11073.attribute import Attribute, Mapped, write_value_map
from devices.ieee11073.codes import Act, Attr, Noti, ObjectClass
from devices.ieee11073.data_apdu import (
    Action,
    ActionResult,
    EventReportResult,
    Get,
    GetResult,
    Modification,
    Reject,
    Set,
    SetResult,
)
from devices.ieee11073.errors import WrongState
from devices.ieee11073.events import (
    ConfigObject,
    DataResponse,
    read_data_request,
    write_data_response,
)
from devices.ieee11073.mder import octets, sequence, u16, u32
from devices.ieee11073.scan_report import SHAPES, Person, ScanReport, write_scan
from devices.ieee11073.states import State, Timeouts
from devices.ieee11073.terms import Terms
from devices.ieee11073.times import write_absolute
from tests.talking_20601 import (
    MINE,
    NOW,
    SCALE,
    SYSTEM,
    WALL,
    Talk,
    associated,
    configured,
    report,
    weight,
)

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

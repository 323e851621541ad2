"""A manager by script: whom it accepts, which configurations, and what it answers to reports."""

from __future__ import annotations

from typing import Any

import pytest

from devices.ieee11073 import apdu
from devices.ieee11073.association import Aare, Aarq, Abrt, Protocol, Rlre, Rlrq
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import Act, Attr, Noti, ObjectClass
from devices.ieee11073.data_apdu import (
    Action,
    EventReport,
    EventReportResult,
    Get,
    GetResult,
    Reject,
    RemoteError,
    Set,
)
from devices.ieee11073.events import (
    ConfigObject,
    ConfigReport,
    read_config_reply,
    write_config,
)
from devices.ieee11073.manager import MOST_REFUSED
from devices.ieee11073.mder import u16
from devices.ieee11073.outputs import Keep
from devices.ieee11073.scan_report import SHAPES, Person, ScanReport, VarObs, write_scan
from devices.ieee11073.states import State
from tests.talking_20601 import (
    NOW,
    SCALE,
    Talk,
    about,
    associated,
    configured,
    report,
    weight,
)


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


def test_of_several_offers_the_first_that_is_acceptable_counts() -> None:
    offers = [Protocol(20601, about(0x05DC, protocol_version=0x40000000).encode()), Protocol(20601, about().encode())]
    (answer,) = Talk().say(Aarq(tuple(offers)))
    assert answer.result == 0
    (answer,) = Talk().say(Aarq((offers[0], offers[0])))
    assert answer.result == 5


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


@pytest.mark.parametrize(
    "told", [ConfigReport(0x4000, ()), ConfigReport(0x4000, (SCALE, SCALE))], ids=["refused", "of no sense"]
)
def test_an_agent_that_tells_what_was_refused_again_and_again_is_aborted_before_its_time(told: ConfigReport) -> None:
    talk = associated(0x4000)
    frame = EventReport(7, 0, Noti.CONFIG, write_config(told))
    for _ in range(MOST_REFUSED - 1):
        assert len(talk.say(frame)) == 1
        assert talk.manager.state is State.WAITING_FOR_CONFIG
    assert talk.say(frame)[1:] == [Abrt(0)]
    # in the next association it may tell as many
    talk.say(Aarq.of(about(0x4000)))
    assert len(talk.say(frame)) == 1
    assert talk.manager.state is State.WAITING_FOR_CONFIG


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

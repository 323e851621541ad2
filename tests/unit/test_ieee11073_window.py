"""What a manager sees of an agent's store and gets on request, as a published C manager asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from devices.ieee11073 import apdu
from devices.ieee11073.agent import Agent, Nameplate
from devices.ieee11073.association import Aare, Information
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.attribute_values import value_of
from devices.ieee11073.codes import Act, AssociateResult, Attr, Noti, ObjectClass
from devices.ieee11073.data_apdu import Action, ActionResult, Get, GetResult, RemoteError
from devices.ieee11073.events import (
    ConfigObject,
    ConfigReport,
    DataRequest,
    read_data_response,
    write_data_request,
)
from devices.ieee11073.mder import octets, u16, u32
from devices.ieee11073.objects import Configuration
from devices.ieee11073.scan_report import FIXED, FixedObs, read_scan
from devices.ieee11073.segments import (
    ALL,
    CLEARS_BY_LIST,
    CLEARS_WHOLE,
    Selection,
    TransferCode,
    read_segment_list,
    read_transfer_reply,
    write_selection,
)
from devices.ieee11073.specializations import standard
from devices.ieee11073.window import StoredSegment, Window

STORE = 30
BY_TIME = 0x0080
LATEST = (FixedObs(1, bytes(18)), FixedObs(2, bytes(10)))


def configured(capabilities: int) -> Configuration:
    """A cuff with a store."""
    said = (
        Attribute(Attr.PM_STORE_CAPAB, u16(capabilities)),
        Attribute(Attr.PM_STORE_LABEL_STRING, octets(b"home")),
        Attribute(Attr.METRIC_STORE_USAGE_CNT, u32(99)),
        Attribute(Attr.NUM_SEG, u16(99)),
    )
    store = ConfigObject(ObjectClass.VMO_PMSTORE, STORE, said)
    return Configuration.of(ConfigReport(0x4000, (*standard(0x02BC).report.objects, store)))


def made() -> Window:
    segments = {number: StoredSegment(attributes=(), entries=[bytes(4)] * 3) for number in (1, 2)}
    return Window(tuple, store=STORE, segments=segments, latest=lambda: LATEST)


def act(window: Window, configuration: Configuration, kind: Act, info: bytes) -> Any:
    handle = 0 if kind == Act.DATA_REQUEST else STORE
    return window.answer(Action(1, handle, kind, info), configuration)[0]


def test_a_get_of_the_store_tells_what_its_configuration_told_and_the_figures_of_now() -> None:
    answer, _ = made().answer(Get(1, STORE), configured(CLEARS_BY_LIST))
    assert isinstance(answer, GetResult)
    assert {one.id: value_of(one.id, one.value) for one in answer.attributes} == {
        Attr.PM_STORE_CAPAB: CLEARS_BY_LIST, Attr.PM_STORE_LABEL_STRING: "home", Attr.ID_HANDLE: STORE,
        Attr.NUM_SEG: 2, Attr.METRIC_STORE_USAGE_CNT: 6,
    }  # fmt: skip
    assert len(answer.attributes) == 5


@pytest.mark.parametrize("selection", [ALL, Selection(2, (1, 2))], ids=["all", "list"])
@pytest.mark.parametrize(
    ("capabilities", "left", "code"),
    [(CLEARS_BY_LIST, [(1, 0), (2, 0)], TransferCode.EMPTY),
     (CLEARS_BY_LIST | CLEARS_WHOLE, [], TransferCode.NO_SUCH_SEGMENT)],
    ids=["entries", "whole"],
)  # fmt: skip
def test_a_cleared_segment_stays_without_entries_unless_the_store_says_that_it_goes(
    capabilities: int, left: list[tuple[int, int]], code: TransferCode, selection: Selection
) -> None:
    window, configuration = made(), configured(capabilities)
    assert isinstance(act(window, configuration, Act.SEG_CLR, write_selection(selection)), ActionResult)
    listed = act(window, configuration, Act.SEG_GET_INFO, write_selection(ALL))
    assert [(one.instance, one.entries) for one in read_segment_list(listed.info)] == left
    assert read_transfer_reply(act(window, configuration, Act.SEG_TRIG_XFER, u16(1)).info) == (1, code)


@pytest.mark.parametrize(
    ("capabilities", "selection"),
    [(CLEARS_WHOLE, Selection(2, (1,))), (0xFFFF, Selection(3, between=bytes(16))),
     (BY_TIME, Selection(4, between=bytes(16)))],
    ids=["list", "time", "base offset time"],
)  # fmt: skip
def test_what_a_store_cannot_clear_is_refused_and_nothing_is_lost(capabilities: int, selection: Selection) -> None:
    window = made()
    refused = act(window, configured(capabilities), Act.SEG_CLR, write_selection(selection))
    assert refused == RemoteError(1, 24)
    assert [len(one.entries) for one in window.segments.values()] == [3, 3]


@pytest.mark.parametrize(
    ("request_", "result", "handles"),
    [
        (DataRequest(0x0100, 0x8880), 0, [1, 2]),
        # as the C manager asks: all numerics
        (DataRequest(0x0100, 0x8480, object_class=ObjectClass.METRIC_NU), 0, [1, 2]),
        (DataRequest(0x0100, 0x8480, object_class=ObjectClass.METRIC_ENUM), 12, []),
        (DataRequest(0x0100, 0x8280, handles=(2,)), 0, [2]),
        (DataRequest(0x0100, 0x8280, handles=(2, 3)), 13, []),
        (DataRequest(0x0100, 0x8280), 13, []),
        (DataRequest(0x0100, 0x8080), 14, []),
        (DataRequest(0x0100, 0x8820), 15, []),
    ],
    ids=["all", "class", "no such class", "handle", "no such handle", "no handle", "no scope", "no time limit"],
)
def test_a_data_request_is_answered_for_its_scope(request_: DataRequest, result: int, handles: list[int]) -> None:
    response = read_data_response(act(made(), configured(0), Act.DATA_REQUEST, write_data_request(request_)).info)
    assert response.result == result
    if not result:
        report = read_scan(FIXED, response.info)
        assert report.request == 0x0100
        assert [one.handle for one in report.persons[0].observations if isinstance(one, FixedObs)] == handles


# -- how long a manager has to confirm


def deadline(agent: Agent, kind: Noti, handle: int) -> float | None:
    agent.connected(0.0)
    agent.receive(apdu.encode(Aare.of(AssociateResult.ACCEPTED, Information.of_manager(bytes(8)))), 0.0)
    if kind == Noti.SEGMENT_DATA:
        agent.receive(apdu.encode(Action(1, handle, Act.SEG_TRIG_XFER, u16(1))), 0.0)
    else:
        agent.report(kind, bytes.fromhex("f000000000000000"), 0.0, handle=handle)
    return agent.deadline


@pytest.mark.parametrize(("ticks", "seconds"), [(None, 3.0), (8000, 3.0), (80_000, 10.0)])
@pytest.mark.parametrize(("kind", "handle"), [(Noti.SEGMENT_DATA, STORE), (Noti.UNBUF_SCAN_REPORT_FIXED, 20)])
def test_what_says_that_a_confirmation_takes_long_is_waited_for(
    kind: Noti, handle: int, ticks: int | None, seconds: float
) -> None:
    said = () if ticks is None else (Attribute(Attr.CONFIRM_TIMEOUT, u32(ticks)),)
    scanner = ConfigObject(ObjectClass.SCAN_CFG_EPI, 20, said)
    configuration = Configuration.of(ConfigReport(0x4000, (*configured(0).report.objects, scanner)))
    segments = {1: StoredSegment(attributes=said, entries=[bytes(4)])}
    agent = Agent(Nameplate(bytes(8), [configuration]), Window(tuple, store=STORE, segments=segments, scanners=[20]))
    assert deadline(agent, kind, handle) == seconds

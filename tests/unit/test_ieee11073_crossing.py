"""What crosses a release, what answers badly, and what a store must not lose."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from devices.ieee11073 import apdu
from devices.ieee11073.agent import Agent, Nameplate
from devices.ieee11073.association import Abrt, Rlre, Rlrq
from devices.ieee11073.codes import Noti
from devices.ieee11073.data_apdu import EventReport, Get, GetResult, Reject, RemoteError
from devices.ieee11073.manager import Manager
from devices.ieee11073.outputs import NO_KIND, Keep, Odd, Output, Send
from devices.ieee11073.specializations import standard
from devices.ieee11073.states import State, Timeouts
from devices.ieee11073.terms import Terms
from devices.ieee11073.window import StoredSegment, Window

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SCALE_AARQ = (
    "e2000032 80000000 0001 002a 5079 0026 80000000 8000 80000000 00000000 00800000 0008 1133557799bbddff"
    "05dc 0001 01 00 0000 0000"
)
AARE = "e300002c {result:04x} 5079 0026 80000000 8000 80000000 00000000 80000000 0008 1234567890abcdef" + "0" * 20


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def stands(side: Manager | Agent) -> State:
    return side.state


def sent(outputs: Sequence[Output]) -> list[Any]:
    raw = [one.octets for one in outputs if isinstance(one, Send | Keep) and one.octets]
    return [apdu.decode(one) for one in raw]


def asking() -> Manager:
    """A manager that has asked for the attributes of the device and waits for them."""
    manager = Manager(Terms(b"MANAGER!", timeouts=Timeouts(courtesy=0)))
    manager.connected(0.0)
    found = sent(manager.receive(octets(SCALE_AARQ), 0.0, NOW))
    assert found[1:] == [Get(0, 0)]
    return manager


def test_an_answer_that_crosses_a_release_does_not_abort_it() -> None:
    manager = asking()
    assert sent(manager.release(1.0)) == [Rlrq()]
    assert sent(manager.receive(apdu.encode(GetResult(0, 0)), 1.1, NOW)) == []
    assert stands(manager) is State.DISASSOCIATING
    manager.receive(apdu.encode(Rlre()), 1.2, NOW)
    assert stands(manager) is State.UNASSOCIATED


def test_a_release_that_is_not_answered_still_ends_when_its_own_time_is_up() -> None:
    manager = asking()
    manager.release(1.0)
    assert manager.deadline == 4.0
    assert sent(manager.tick(4.0)) == [Abrt(0)]


def test_an_answer_that_nobody_asked_for_still_aborts_a_release() -> None:
    manager = asking()
    manager.release(1.0)
    assert sent(manager.receive(apdu.encode(GetResult(9, 0)), 1.1, NOW)) == [Abrt(0)]


def test_an_agent_that_is_confirmed_while_it_releases_is_released() -> None:
    agent = Agent(Nameplate(b"AGENT---", [standard(0x05DC)]), Window(tuple))
    agent.connected(0.0)
    agent.receive(octets(AARE.format(result=0)), 0.0)
    agent.report(Noti.SCAN_REPORT_FIXED, octets("f0000000000000 00"), 0.0)
    assert sent(agent.release(0.1)) == [Rlrq()]
    agent.receive(octets("e7000012 0010 0000 0201 000a 0000 ffffffff 0d1d 0000"), 0.2)
    assert stands(agent) is State.DISASSOCIATING


TRUNCATED = {
    "an error whose lengths are short by four": "e7000008 0006 0000 0300 0002",
    "attributes that overrun": "e7000010 000e 0000 0203 0008 0000 0009 0002 0984",
    "a rejection without a problem": "e7000008 0006 0000 0400 0000",
}


@pytest.mark.parametrize("frame", [pytest.param(frame, id=name) for name, frame in TRUNCATED.items()])
def test_an_answer_that_cannot_be_read_is_not_answered_and_the_association_goes_on(frame: str) -> None:
    manager = asking()
    outputs = manager.receive(octets(frame), 0.1, NOW)
    assert sent(outputs) == []
    assert [type(one) for one in outputs if isinstance(one, Odd)] == [Odd]
    assert sent(manager.tick(10.0)) == []
    assert stands(manager) is State.OPERATING


@pytest.mark.parametrize("frame", TRUNCATED.values())
def test_an_unreadable_answer_before_an_association_is_aborted(frame: str) -> None:
    manager = Manager(Terms(b"MANAGER!"))
    manager.connected(0.0)
    assert sent(manager.receive(octets(frame), 0.0, NOW)) == [Abrt(0)]


def test_an_agent_does_not_answer_an_answer_that_it_cannot_read() -> None:
    agent = Agent(Nameplate(b"AGENT---", [standard(0x05DC)]), Window(tuple))
    agent.connected(0.0)
    agent.receive(octets(AARE.format(result=0)), 0.0)
    agent.report(Noti.SCAN_REPORT_FIXED, octets("f0000000000000 00"), 0.0)
    assert sent(agent.receive(octets("e7000008 0006 0000 0201 0002"), 0.1)) == []
    assert agent.unconfirmed == 1


@pytest.mark.parametrize("answer", [Reject(0, 2), RemoteError(0, 1)])
def test_an_agent_whose_configuration_is_rejected_aborts(answer: Reject | RemoteError) -> None:
    """Row 5.30."""
    agent = Agent(Nameplate(b"AGENT---", [standard(0x05DC)]), Window(tuple))
    agent.connected(0.0)
    agent.receive(octets(AARE.format(result=3)), 0.0)
    assert stands(agent) is State.WAITING_APPROVAL
    assert sent(agent.receive(apdu.encode(answer), 0.1)) == [Abrt(0)]
    assert stands(agent) is State.UNASSOCIATED


# -- a pen whose memory holds doses, which are no kind of reading here; octets of a public capture

PEN = (
    "e2000032 80000000 0001 002a 5079 0026 80000000 8000 80000000 00000000 00800000 0008 0014650045 07b951"
    "400a 0001 01 00 0000 0000",
    "e70000c4 00c2 0000 0101 00bc 0000 00000000 0d1c 00b2 400a 0004 00ac 003d 0100 0008 0038 0a4d 0002 {capab}"
    "0943 0002 0000 0941 0004 00000320 0953 0002 0000 0a57 0004 0002504d 0951 0002 0001 0a63 0004 00000000"
    "0944 0004 00000002 0006 0002 0004 0020 092f 0004 00823401 0a46 0002 f040 0996 0002 1560 0a55 0008 00010004"
    "0a560004 0005 0003 0003 001a 092f 0004 00823402 0a46 0002 f040 0a55 0008 00010004 0a660002 0006 0004 0003"
    "001a 092f 0004 0082f000 0a46 0002 f040 0a55 0008 00010004 0a660002",
    "e700000e 000c 0000 0203 0006 0000 0000 0000",
    "e700007c 007a 0001 0207 0074 0100 0c0d 006e 0001 006a 0010 0006 0064 0922 0002 0010 0a4e 0036 4000 0003 0030"
    "0006 00823401 0002 0001 0004 0a560004 0005 00823402 0003 0001 0004 0a660002 0006 0082f000 0004 0001 0004"
    "0a660002 0953 0002 0000 0a58 000a 0008 446f7365204c6f67 097b 0004 00000003 0a64 0004 00027100",
    "e7000012 0010 0002 0207 000a 0100 0c1c 0004 0010 0000",
    "e7000044 0042 8001 0101 003c 0100 0001c613 0d21 0032 0010 00000000 00000003 c000 0024"
    "0001c5d1 ff00001e 08000000 0000014b ff000014 08000000 00000000 007fffff 04000008",
)


@pytest.mark.parametrize("capabilities", ["0800", "0900"])
def test_a_segment_that_gave_no_readings_is_confirmed_and_never_cleared(capabilities: str) -> None:
    manager = Manager(Terms(b"MANAGER!", timeouts=Timeouts(courtesy=0), clears=True))
    manager.connected(0.0)
    for frame in PEN:
        found = manager.receive(octets(frame.format(capab=capabilities)), 0.0, NOW)
    odd, kept = found
    # what is no reading here is kept as it was sent
    assert isinstance(odd, Odd)
    assert (odd.frame, odd.reason) == (octets(PEN[-1]), NO_KIND)
    assert isinstance(kept, Keep)
    (confirmed,) = sent(found)
    assert (confirmed.invoke_id, confirmed.type) == (0x8001, Noti.SEGMENT_DATA)
    assert stands(manager) is State.OPERATING


# -- a manager that has enough of a segment


TRIGGER = "e7000010 000e {id} 0107 0008 001e 0c1c 0002 {segment}"
DESCRIBED = "e700001e 001c {id} 0201 0016 001e ffffffff 0d21 000c {segment} {index} 00000001 {status}"
ANSWERS = {
    "aborted": (DESCRIBED.format(id="0000", segment="0000", index="00000000", status="0008"), [1, 1, 1]),
    "refused": ("e700000c 000a 0000 0300 0004 0001 0000", [1, 1, 1]),
    "confirmed": (DESCRIBED.format(id="0000", segment="0000", index="00000000", status="0080"), [0, 0, 1, 1, 1]),
    "confirmed in other words": ("e7000012 0010 0000 0201 000a 001e ffffffff 0d21 0000", [0, 0, 1, 1, 1]),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_agent_stops_a_transfer_that_its_manager_ends_and_goes_on_with_the_next(name: str) -> None:
    answer, following = ANSWERS[name]
    stored = {number: StoredSegment(attributes=(), entries=[b"\0"] * 3) for number in range(2)}
    agent = Agent(Nameplate(b"AGENT---", [standard(0x05DC)]), Window(tuple, store=30, segments=stored, together=1))
    agent.connected(0.0)
    agent.receive(octets(AARE.format(result=0)), 0.0)
    outputs = agent.receive(octets(TRIGGER.format(id="0000", segment="0000")), 0.0)
    outputs += agent.receive(octets(TRIGGER.format(id="0001", segment="0001")), 0.0)
    first = [one for one in sent(outputs) if isinstance(one, EventReport)]
    assert [(one.type, one.info[:2]) for one in first] == [(Noti.SEGMENT_DATA, b"\0\0")]
    found = []
    outputs = agent.receive(octets(answer), 0.1)
    while reports := sent(outputs):
        (report,) = reports
        found.append(int.from_bytes(report.info[:2]))
        status = DESCRIBED.format(
            id=f"{report.invoke_id:04x}", segment=report.info[:2].hex(), index=report.info[2:6].hex(), status="0080"
        )
        outputs = agent.receive(octets(status), 0.2)
    assert found == following
    assert agent.unconfirmed == 0

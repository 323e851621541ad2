"""An oximeter with an episodic and a periodic scanner, whose reports are published octet by octet, through a manager.

The octets are typed in by hand from the published description; none is made by our own writers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from devices.ieee11073.manager import Manager
from devices.ieee11073.outputs import Keep, Odd, Output, Send
from devices.ieee11073.states import State, Timeouts
from devices.ieee11073.terms import Terms
from devices.observation import Observation

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
AARQ = (
    "e200 0032 80000000 0001 002a 5079 0026 80000000 8000 80000000 00000000 00800000 0008 1133557799bbddff"
    " 4000 0001 01 00 0000 0000"
)
_BASIC = "0a4c 0002"
_STAMPED = f"0a55 000c 0002 0008 {_BASIC} 0990 0008"
_OF_BOTH = f"0002 0008 {_BASIC} 0990 0008"
NUMERICS = (
    f"0006 0001 0004 0024 092f 0004 00024bb8 0a46 0002 40c0 0996 0002 0220 {_STAMPED}"
    f"0006 000a 0004 0024 092f 0004 0002481a 0a46 0002 40c0 0996 0002 0aa0 {_STAMPED}"
    f"0006 0003 0005 0030 092f 0004 00024bb8 0a46 0002 40c0 0996 0002 0220 0a61 0008 0001 0004 00024c34 {_STAMPED}"
)
EPISODIC = f"0012 0037 0003 0030 0953 0002 0000 0a53 0020 0002 001c 0001 {_OF_BOTH} 000a {_OF_BOTH} 0913 0002 0001"


def periodic(count: int = 3) -> str:
    layout = f"0001 0003 000c {_BASIC} 0947 0002 0990 0008 000a 0001 0004 {_BASIC} 0003 0001 0004 {_BASIC}"
    return f"0013 0028 0004 0042 0953 0002 0000 0a54 0004 00000a6b 0913 0002 0000 0a53 002a {count:04x} 0026 {layout}"


def told(last: str) -> str:
    return f"e700 012a 0128 1236 0101 0122 0000 ffffffff 0d1c 0118 4000 0005 0112 {NUMERICS} {EPISODIC} {last}"


AT_2007, AT_2008, AT_2010 = "20071206 12100000", "20080703 12100000", "20100803 10511100"
_FIXED = f"0001 000a 0062 {AT_2007} 000a 000a 0048 {AT_2007}"
_VAR = (
    f"0001 0002 0012 {_BASIC} 0062 0990 0008 {AT_2007} 000a 0002 0012 {_BASIC} 0048 0990 0008 {AT_2007}"
)  # fmt: skip
_GROUP = f"0014 f3cf {AT_2010} f321 {AT_2010}"
_SPARSE = f"0010 0062 0000 {AT_2008} 0049 0062"
REPORTS = {
    "episodic, grouped": (f"0030 002e 0002 0101 0028 0037 ffffffff 0d24 001e f000 0000 0001 0016 {_GROUP}",
                          (97.5, 80.1), datetime(2010, 8, 3, 10, 51, 11), None),
    "episodic, grouped by person": (
        f"0032 0030 0002 0101 002a 0037 ffffffff 0d27 0020 f000 0000 0001 0018 0001 {_GROUP}",
        (97.5, 80.1), datetime(2010, 8, 3, 10, 51, 11), 1),
    "episodic, fixed": (f"0036 0034 1238 0101 002e 0037 ffffffff 0d23 0024 f000 0000 0002 001c {_FIXED}",
                        (98.0, 72.0), datetime(2007, 12, 6, 12, 10), None),
    "episodic, fixed by person": (
        f"003c 003a 1238 0101 0034 0037 ffffffff 0d26 002a f000 0000 0001 0022 0001 0002 001c {_FIXED}",
        (98.0, 72.0), datetime(2007, 12, 6, 12, 10), 1),
    "episodic, variable": (f"004a 0048 1238 0101 0042 0037 ffffffff 0d22 0038 f000 0000 0002 0030 {_VAR}",
                           (98.0, 72.0), datetime(2007, 12, 6, 12, 10), None),
    "episodic, variable by person": (
        f"0050 004e 1238 0101 0048 0037 ffffffff 0d25 003e f000 0000 0001 0036 0001 0002 0030 {_VAR}",
        (98.0, 72.0), datetime(2007, 12, 6, 12, 10), 1),
    # the pulse and the fast responding saturation have no stamp of their own
    "periodic, grouped": (f"002c 002a 1239 0100 0024 0028 ffffffff 0d2a 001a f000 0001 0001 0012 {_SPARSE}",
                          (98.0, 73.0), datetime(2008, 7, 3, 12, 10), None),
    "periodic, grouped by person": (
        f"002e 002c 0002 0100 0026 0028 ffffffff 0d2d 001c f000 0000 0001 0014 0001 {_SPARSE}",
        (98.0, 73.0), datetime(2008, 7, 3, 12, 10), 1),
    "periodic, fixed": (f"0036 0034 1239 0100 002e 0028 ffffffff 0d29 0024 f000 0000 0002 001c {_FIXED}",
                        (98.0, 72.0), datetime(2007, 12, 6, 12, 10), None),
    "periodic, fixed by person": (
        f"003c 003a 1238 0100 0034 0028 ffffffff 0d2c 002a f000 0000 0001 0022 0001 0002 001c {_FIXED}",
        (98.0, 72.0), datetime(2007, 12, 6, 12, 10), 1),
    "periodic, variable": (f"004a 0048 1238 0100 0042 0028 ffffffff 0d28 0038 f000 0000 0002 0030 {_VAR}",
                           (98.0, 72.0), datetime(2007, 12, 6, 12, 10), None),
    "periodic, variable by person": (
        f"0050 004e 1238 0100 0048 0028 ffffffff 0d2b 003e f000 0000 0001 0036 0001 0002 0030 {_VAR}",
        (98.0, 72.0), datetime(2007, 12, 6, 12, 10), 1),
}  # fmt: skip


class Talk:
    def __init__(self, configuration: str, *, asks: bool = False) -> None:
        self.manager = Manager(Terms(b"MANAGER!", interviews=asks, timeouts=Timeouts(courtesy=0)))
        self.manager.connected(0.0)
        self.say(AARQ)
        self.answer = self.say(configuration)

    def heard(self, frame: str) -> list[Output]:
        return self.manager.receive(bytes.fromhex(frame), 0.0, NOW)

    def say(self, frame: str) -> list[str]:
        return [one.octets.hex() for one in self.heard(frame) if isinstance(one, Send | Keep) and one.octets]


@pytest.mark.parametrize("name", REPORTS)
def test_a_published_report_of_a_scanner_is_one_reading(name: str) -> None:
    octets, (saturation, pulse), at, person = REPORTS[name]
    talk = Talk(told(periodic()))
    (kept,) = [one for one in talk.heard(f"e700 {octets}") if isinstance(one, Keep)]
    found: list[Observation] = list(kept.observations)
    assert [(one.kind, one.values, one.device_at, one.slot) for one in found] == [
        (150456, (saturation, pulse, None), at, person)
    ]
    # confirmed where it asks for that, by its invoke id, handle and type
    frame = bytes.fromhex(octets)
    confirmed = f"{frame[4:6].hex()}0201000a{frame[10:18].hex()}0000"
    assert kept.octets.hex() == ("" if name.startswith("periodic") else f"e70000120010{confirmed}")


def test_both_scanners_are_enabled_one_after_the_other() -> None:
    talk = Talk(told(periodic()), asks=True)
    assert talk.answer == [
        "e7000016001412360201000e0000ffffffff0d1c000440000000",
        "e700000e000c000001030006000000000000",
    ]
    enable = talk.say("e700 000e 000c 0000 0203 0006 0000 0000 0000")
    assert enable == ["e700001600140001" + "0105000e00370001000800000953" + "00020001"]
    assert talk.say("e700 0014 0012 0001 0205 000c 0037 0001 0006 0953 0002 0001") == [
        "e700001600140002" + "0105000e00280001000800000953" + "00020001"
    ]
    assert talk.say("e700 0014 0012 0002 0205 000c 0028 0001 0006 0953 0002 0001") == []
    assert talk.manager.state is State.OPERATING


def test_a_scanner_whose_layout_cannot_be_read_costs_its_grouped_reports_alone() -> None:
    talk = Talk(told(periodic(count=4)))
    assert talk.answer == ["e7000016001412360201000e0000ffffffff0d1c000440000000"]
    outputs = talk.heard(f"e700 {REPORTS['periodic, grouped'][0]}")
    assert [type(one) for one in outputs] == [Odd]
    (kept,) = talk.heard(f"e700 {REPORTS['episodic, grouped'][0]}")
    assert isinstance(kept, Keep)


@pytest.mark.parametrize("damaged", ["092f 0004 00024bb8", "0996 0002 0220", _STAMPED], ids=["type", "unit", "map"])
def test_an_object_whose_meaning_cannot_be_read_costs_the_configuration(damaged: str) -> None:
    octets = bytes.fromhex(damaged)
    broken = octets[:2] + b"\x7f\xff" + octets[4:]
    whole = bytes.fromhex(told(periodic()))
    (answer,) = Talk(whole.replace(octets, broken, 1).hex()).answer
    assert answer == "e700000a0008123604000002" + "0002"


def test_a_group_with_two_stamps_leaves_those_without_as_they_are() -> None:
    other = f"0001 0002 0008 {_BASIC} 0990 0008 000a 0002 0008 {_BASIC} 0990 0008 0003 0001 0004 {_BASIC}"
    last = f"0013 0028 0004 0042 0953 0002 0000 0a54 0004 00000a6b 0913 0002 0000 0a53 002a 0003 0026 {other}"
    talk = Talk(told(last))
    group = f"0016 0062 {AT_2007} 0049 {AT_2008} 0062"
    frame = f"e700 0032 0030 1239 0100 002a 0028 ffffffff 0d2a 0020 f000 0001 0001 0018 {group}"
    (kept,) = talk.heard(frame)
    assert isinstance(kept, Keep)
    found: list[Any] = [(one.values, one.device_at) for one in kept.observations]
    assert found == [
        ((98.0, None, None), datetime(2007, 12, 6, 12, 10)),
        ((None, 73.0, None), datetime(2008, 7, 3, 12, 10)),
        ((98.0, None, None), None),
    ]

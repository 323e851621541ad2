"""Sessions with a published C stack, as they were recorded: its manager with an agent of ours, what its agents tell.

Octets alone; the C stack itself is not needed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import pytest

from devices.ieee11073.agent import Agent, Nameplate
from devices.ieee11073.attribute import Attribute, Mapped
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import Attr, ObjectClass
from devices.ieee11073.errors import UnknownConfiguration
from devices.ieee11073.events import ConfigObject, ConfigReport
from devices.ieee11073.manager import Manager
from devices.ieee11073.mder import octets, u16, u32
from devices.ieee11073.objects import Configuration, Metric
from devices.ieee11073.outputs import Keep, Send
from devices.ieee11073.scan_report import FixedObs
from devices.ieee11073.segments import Element, EntryHeader, EntryMap, write_entry_map
from devices.ieee11073.specializations import standard
from devices.ieee11073.states import State
from devices.ieee11073.terms import Terms
from devices.ieee11073.times import write_absolute
from devices.ieee11073.window import StoredSegment, Window
from tests.foreign_20601 import RLRE, RLRQ, SAMPLES, TOLD, aare, aarq, hex_, presented, stamp
from tests.talking_20601 import NOW

SYSTEM = bytes.fromhex("0200000000000042")
STORE = 30
WALL = datetime(2026, 11, 22, 16, 0)


class Turn(NamedTuple):
    """heard: what its manager said.  said: what our agent answered, and the C manager understood."""

    heard: str
    said: tuple[str, ...]


SEGMENT = "0a4e 0016 8000 0001 0010 0006 0002 e140 0001 0001 0004 0a56 0004"
# a store of two segments; the first with three entries, two of which go together
SESSION = {
    "an unknown configuration is told": Turn(
        aare(3),
        ("e700 006c 006a 0000 0101 0064 0000 ffffffff 0d1c 005a 4000 0002 0054"
         " 0006 0001 0004 0024 092f 0004 0002 e140 0a46 0002 f040 0996 0002 06c3"
         " 0a55 000c 0002 0008 0a56 0004 0990 0008"
         " 003d 001e 0005 0020 0a4d 0002 8140 0943 0002 0000 0953 0002 0000 0951 0002 0002 0a63 0004 00005dc0",),
    ),
    "and accepted": Turn("e700 0016 0014 0000 0201 000e 0000 ffffffff 0d1c 0004 4000 0000", ()),
    "all of the device": Turn(
        "e700 000e 000c 0000 0103 0006 0000 0000 0000",
        ("e700 0022 0020 0000 0203 001a 0000 0002 0014 0984 000a 0008 0200000000000042 0a44 0002 4000",),
    ),
    "all of the store": Turn(
        "e700 000e 000c 0001 0103 0006 001e 0000 0000",
        ("e700 0034 0032 0001 0203 002c 001e 0006 0026 0a4d 0002 8140 0943 0002 0000 0953 0002 0000"
         " 0a63 0004 00005dc0 0921 0002 001e 0951 0002 0002",),
    ),
    "the list of the segments": Turn(
        "e700 0014 0012 0002 0107 000c 001e 0c0d 0006 0001 0002 0000",
        ("e700 006e 006c 0002 0207 0066 001e 0c0d 0060 0002 005c"
         f" 0001 0003 0028 0922 0002 0001 {SEGMENT} 097b 0004 00000003"
         f" 0007 0003 0028 0922 0002 0007 {SEGMENT} 097b 0004 00000000",),
    ),
    "a segment": Turn(
        "e700 0010 000e 0003 0107 0008 001e 0c1c 0002 0001",
        ("e700 0012 0010 0003 0207 000a 001e 0c1c 0004 0001 0000",
         "e700 0038 0036 0001 0101 0030 001e ffffffff 0d21 0026 0001 00000000 00000002 8000 0018"
         " 2026112215570000 ff0001f4 2026112215580000 ff0001f5"),
    ),
    # only that it confirms: it repeats neither the first nor the last
    "its first part is confirmed": Turn(
        "e700 001e 001c 0001 0201 0016 001e ffffffff 0d21 000c 0001 00000000 00000002 0080",
        ("e700 002c 002a 0002 0101 0024 001e ffffffff 0d21 001a 0001 00000002 00000001 4000 000c"
         " 2026112215590000 ff0001f6",),
    ),
    "and its last": Turn("e700 001e 001c 0002 0201 0016 001e ffffffff 0d21 000c 0001 00000002 00000001 0080", ()),
    "an empty segment": Turn(
        "e700 0010 000e 0004 0107 0008 001e 0c1c 0002 0007",
        ("e700 0012 0010 0004 0207 000a 001e 0c1c 0004 0007 0003",),
    ),
    "all segments are cleared": Turn(
        "e700 0014 0012 0005 0107 000c 001e 0c0c 0006 0001 0002 0000",
        ("e700 000e 000c 0005 0207 0006 001e 0c0c 0000",),
    ),
    # of all numerics; the id is its own
    "data on request": Turn(
        "e700 001e 001c 0006 0107 0016 0000 0c1b 0010 0100 8480 00000000 0000 0006 0000 0000",
        ("e700 0030 002e 0006 0207 0028 0000 0c1b 0022 ffffffff 0000 0d1d 0018 0100 0000 0001 0010"
         " 0001 000c ff0002dc 2026112216000000",),
    ),
    "the time of an agent that cannot set it": Turn(
        "e700 001a 0018 0007 0107 0012 0000 0c17 000c 2026112217181900 00000000",
        ("e700 000c 000a 0007 0300 0004 0009 0000",),
    ),
    "the release": Turn(RLRQ, (RLRE,)),
}  # fmt: skip


def agent_with_a_store() -> Agent:
    said = (
        Attribute(Attr.PM_STORE_CAPAB, u16(0x8140)),
        Attribute(Attr.METRIC_STORE_SAMPLE_ALG, u16(0)),
        Attribute(Attr.OP_STAT, u16(0)),
        Attribute(Attr.NUM_SEG, u16(2)),
        Attribute(Attr.CLEAR_TIMEOUT, u32(24000)),
    )
    store = ConfigObject(ObjectClass.VMO_PMSTORE, STORE, said)
    configuration = Configuration.of(ConfigReport(0x4000, (standard(0x05DC).report.objects[0], store)))
    value = (Mapped(Attr.NU_VAL_OBS_SIMP, 4),)
    entry_map = write_entry_map(
        EntryMap(EntryHeader.ABSOLUTE, (Element(ObjectClass.METRIC_NU, Type(2, 57664), 1, value),))
    )
    entries = [write_absolute(WALL - timedelta(minutes=3 - n)) + bytes.fromhex(f"ff00{500 + n:04x}") for n in range(3)]
    segments = {
        number: StoredSegment(
            attributes=(Attribute(Attr.ID_INSTNO, u16(number)), Attribute(Attr.PM_SEG_MAP, entry_map)), entries=held
        )
        for number, held in ((1, entries), (7, []))
    }
    mine = (Attribute(Attr.SYS_ID, octets(SYSTEM)), Attribute(Attr.DEV_CONFIG_ID, u16(0x4000)))
    latest = FixedObs(1, bytes.fromhex("ff0002dc") + write_absolute(WALL))
    window = Window(lambda: mine, latest=lambda: [latest], store=STORE, segments=segments, together=2)
    return Agent(Nameplate(SYSTEM, [configuration], flags=0x8481, data_requests=1), window)


def test_our_agent_says_what_the_c_manager_understood() -> None:
    agent = agent_with_a_store()
    (asked,) = [one.octets for one in agent.connected(0.0) if isinstance(one, Send)]
    assert asked == hex_(aarq("4000", SYSTEM.hex()).replace("0001 01 00", "8481 01 01"))
    for name, turn in SESSION.items():
        said = [one.octets.hex() for one in agent.receive(hex_(turn.heard), 1.0) if isinstance(one, Send)]
        assert said == [hex_(one).hex() for one in turn.said], name
    assert agent.state is State.UNASSOCIATED
    assert agent.window.segments == {}


# -- its agents, to a manager that does not know the standard configurations


def manager_that_knows_none(monkeypatch: pytest.MonkeyPatch) -> Manager:
    def unknown(identity: int) -> Configuration:
        raise UnknownConfiguration(f"{identity:04x}")

    monkeypatch.setattr("devices.ieee11073.remembered.standard", unknown)
    manager = Manager(Terms(b"MANAGER!", interviews=False))
    manager.connected(0.0)
    return manager


@pytest.mark.parametrize("config", TOLD)
def test_the_configuration_that_a_c_agent_tells_is_that_of_our_table(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manager_that_knows_none(monkeypatch)
    manager.receive(hex_(aarq(config)), 0.0, NOW)
    assert manager.state is State.WAITING_FOR_CONFIG
    told = presented("0000", "0101", TOLD[config])
    (answer,) = [one.octets for one in manager.receive(hex_(told), 0.0, NOW) if isinstance(one, Send)]
    assert answer == hex_(presented("0000", "0201", f"0000 ffffffff 0d1c 0004 {config} 0000"))
    found = manager.remembered.find(bytes.fromhex("1133557799bbddff"), int(config, 16))
    assert found is not None
    ours = standard(int(config, 16))
    assert [meaning(one) for one in found.metrics] == [meaning(one) for one in ours.metrics]


def meaning(metric: Metric) -> tuple[object, ...]:
    return metric.handle, metric.type, metric.ids, metric.unit, metric.value_map


@pytest.mark.parametrize("name", ["oximeter", "cuff", "scale", "meter"])
def test_a_c_agent_is_read_alike_by_its_own_configuration_and_by_our_table(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = SAMPLES[name]
    told = presented("0000", "0101", TOLD[sample.config])
    report = hex_(sample.report.format(id="0001", at=stamp(WALL)))
    known = Manager(Terms(b"MANAGER!", interviews=False))
    known.connected(0.0)
    known.receive(hex_(aarq(sample.config)), 0.0, NOW)
    by_table = known.receive(report, 0.0, NOW)
    manager = manager_that_knows_none(monkeypatch)
    manager.receive(hex_(aarq(sample.config)) + hex_(told), 0.0, NOW)
    by_its_own = manager.receive(report, 0.0, NOW)
    assert by_its_own == by_table
    (kept,) = [one for one in by_its_own if isinstance(one, Keep)]
    assert [(one.kind, one.values) for one in kept.observations] == [(sample.kind, sample.values)]

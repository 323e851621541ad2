"""A configuration that is remembered and is not true any more, and what may be remembered at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from devices.ieee11073 import apdu
from devices.ieee11073.association import Aare, Aarq, Information, Rlrq
from devices.ieee11073.attribute import Attribute, Mapped
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import Attr, Noti, ReleaseReason
from devices.ieee11073.data_apdu import EventReport, EventReportResult
from devices.ieee11073.events import ConfigReport, write_config
from devices.ieee11073.judgement import MOST_OBJECTS
from devices.ieee11073.manager import Manager
from devices.ieee11073.mder import octets
from devices.ieee11073.objects import Configuration
from devices.ieee11073.outputs import Keep, Send
from devices.ieee11073.remembered import MOST_OCTETS, Remembered
from devices.ieee11073.specializations import Row, configured
from devices.ieee11073.terms import Terms
from tests.readings_20601 import metric

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SYSTEM = bytes.fromhex("1133557799bbddff")
BASIC = (Mapped(Attr.NU_VAL_OBS_BASIC, 2),)
OXIMETER = configured(0x4000, (Row(1, 19384, 0x4040, 544, BASIC),))
BETTER = configured(0x4000, (Row(1, 19384, 0x4040, 544, (*BASIC, Mapped(Attr.MSMT_STAT, 2))),))
PLAIN = "f000 0000 0001 0006 0001 0002 0061"
WITH_STATUS = "f000 0000 0001 0008 0001 0004 0061 4000"
OF_ANOTHER = "f000 0000 0001 0006 0002 0002 0061"


class Association:
    """With one manager's memory; told: how often it was told the configuration."""

    def __init__(self, remembered: Remembered, configuration: Configuration, identity: int = 0x4000) -> None:
        self.manager = Manager(Terms(b"MANAGER!", interviews=False), remembered)
        self.manager.connected(0.0)
        (answer,) = self.say(Aarq.of(Information.of_agent(SYSTEM, identity)))
        assert isinstance(answer, Aare)
        self.was_asked = answer.result == 3
        if self.was_asked:
            self.say(EventReport(0, 0, Noti.CONFIG, write_config(configuration.report)))

    def say(self, message: Any) -> list[Any]:
        outputs = self.manager.receive(apdu.encode(message), 0.0, NOW)
        return [apdu.decode(one.octets) for one in outputs if isinstance(one, Send | Keep) and one.octets]

    def report(self, info: str) -> Any:
        (answer,) = self.say(EventReport(1, 0, Noti.SCAN_REPORT_FIXED, bytes.fromhex(info)))
        return answer

    def release(self, reason: ReleaseReason = ReleaseReason.NORMAL) -> None:
        self.say(Rlrq(reason))


def test_a_configuration_is_asked_for_once_while_it_holds() -> None:
    remembered = Remembered()
    asked = []
    for _ in range(3):
        association = Association(remembered, OXIMETER)
        association.report(PLAIN)
        association.release()
        asked.append(association.was_asked)
    assert asked == [True, False, False]


@pytest.mark.parametrize("said", [WITH_STATUS, OF_ANOTHER])
def test_what_a_remembered_configuration_does_not_have_makes_it_asked_for_again(said: str) -> None:
    """The agent has changed it under the same number: its readings are confirmed, and the next association asks."""
    remembered = Remembered()
    Association(remembered, OXIMETER).release()
    second = Association(remembered, BETTER)
    assert not second.was_asked
    assert isinstance(second.report(said), EventReportResult)
    second.release()
    third = Association(remembered, BETTER)
    assert third.was_asked
    third.report(WITH_STATUS)
    third.release()
    assert not Association(remembered, BETTER).was_asked


def test_an_agent_that_never_keeps_to_what_it_told_is_not_asked_each_time() -> None:
    remembered = Remembered()
    first = Association(remembered, OXIMETER)
    first.report(WITH_STATUS)
    first.release()
    assert not Association(remembered, OXIMETER).was_asked


def test_a_standard_configuration_is_never_asked_for() -> None:
    remembered = Remembered()
    for _ in range(2):
        association = Association(remembered, OXIMETER, 0x0190)
        association.report(WITH_STATUS)
        association.release()
        assert not association.was_asked


def test_an_agent_that_leaves_because_its_configuration_changed_is_asked_again() -> None:
    remembered = Remembered()
    Association(remembered, OXIMETER).release(ReleaseReason.CONFIGURATION_CHANGED)
    assert Association(remembered, OXIMETER).was_asked


def of(objects: int, label: bytes = b"") -> Configuration:
    more = (Attribute(Attr.ID_LABEL_STRING, octets(label)),) if label else ()
    return Configuration.of(
        ConfigReport(0x4000, tuple(metric(handle, Type(2, 19384), *more) for handle in range(1, objects + 1)))
    )


@pytest.mark.parametrize(("objects", "result"), [(MOST_OBJECTS, 0), (MOST_OBJECTS + 1, 1)])
def test_a_configuration_of_more_objects_than_a_device_has_is_unsupported(objects: int, result: int) -> None:
    manager = Manager(Terms(b"MANAGER!", interviews=False))
    manager.connected(0.0)
    manager.receive(apdu.encode(Aarq.of(Information.of_agent(SYSTEM, 0x4000))), 0.0, NOW)
    told = EventReport(0, 0, Noti.CONFIG, write_config(of(objects).report))
    (answer,) = [one for one in manager.receive(apdu.encode(told), 0.0, NOW) if isinstance(one, Send)]
    assert answer.octets[-2:] == result.to_bytes(2)


def test_what_is_remembered_is_bounded_in_octets_too() -> None:
    forgotten: list[bytes] = []
    remembered = Remembered(altered=lambda system, _, now: forgotten.append(system) if now is None else None)
    big = of(16, bytes(3000))
    for number in range(100):
        remembered.keep(number.to_bytes(8), big)
    size = len(write_config(big.report))
    assert len(remembered) == MOST_OCTETS // size
    assert forgotten == [number.to_bytes(8) for number in range(100 - MOST_OCTETS // size)]
    for number in range(100):
        remembered.forget(number.to_bytes(8), 0x4000)
    remembered.keep(bytes(8), OXIMETER)
    assert len(remembered) == 1

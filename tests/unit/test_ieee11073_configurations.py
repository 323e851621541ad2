"""Configurations of 20601 agents: what makes sense, what changes, and who is remembered."""

from __future__ import annotations

import pytest

from devices.errors import BadValue
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import Attr, ObjectClass
from devices.ieee11073.events import ConfigObject, ConfigReport
from devices.ieee11073.mder import u16
from devices.ieee11073.objects import Configuration, Metric
from devices.ieee11073.remembered import Remembered
from devices.ieee11073.scan_report import FixedObs
from devices.ieee11073.specializations import (
    standard,
)
from tests.readings_20601 import only, said, simple, stamped


def test_a_report_of_variable_format_changes_map_and_unit_for_what_follows() -> None:
    before = standard(0x05DC)
    after = before.changed(1, (Attribute(Attr.UNIT_CODE, u16(1760)),))
    found = only(said(after, FixedObs(1, simple(161.4) + stamped())))
    assert (found.values[0], found.unit) == (161.4, "[lb_av]")
    assert before.changed(9, ()) is before


def test_two_objects_with_one_handle_are_refused() -> None:
    row = standard(0x05DC).report.objects[0]
    with pytest.raises(BadValue):
        Configuration.of(ConfigReport(0x4000, (row, row)))


def test_an_object_without_a_type_is_refused() -> None:
    with pytest.raises(BadValue):
        Configuration.of(ConfigReport(0x4000, (ConfigObject(ObjectClass.METRIC_NU, 1, ()),)))


def test_a_device_that_comes_again_is_known_and_the_oldest_is_forgotten_first() -> None:
    kept = Remembered(most=2)
    mine = Configuration(0x4000, dict(standard(0x05DC).objects))
    for device in (b"a", b"b"):
        kept.keep(device, mine)
    assert kept.find(b"a", 0x4000) == mine
    kept.keep(b"c", mine)
    assert (kept.find(b"b", 0x4000), len(kept)) == (None, 2)
    assert {device for device, _ in kept.each()} == {b"a", b"c"}
    kept.forget(b"a", 0x4000)
    assert kept.find(b"a", 0x4000) is None


def test_a_standard_configuration_is_known_of_every_device_and_another_number_of_none() -> None:
    kept = Remembered()
    assert kept.find(b"x", 0x02BC) == standard(0x02BC)
    assert (kept.find(b"x", 0x0ABC), kept.find(b"x", 0x4000)) == (None, None)


def test_all_metrics_of_a_configuration_are_listed_in_its_order() -> None:
    metrics = standard(0x02BC).metrics
    assert [(one.handle, one.ids) for one in metrics] == [(1, (18949, 18950, 18951)), (2, ())]
    assert all(isinstance(one, Metric) for one in metrics)

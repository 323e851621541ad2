"""Observations of 20601 agents as octets, and what is observed in them."""

from __future__ import annotations

from datetime import UTC, datetime

from devices.gatt.record import DeviceFacts
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import Attr, ObjectClass
from devices.ieee11073.events import ConfigObject
from devices.ieee11073.mder import sequence, u16, u32
from devices.ieee11073.objects import Configuration
from devices.ieee11073.observing import observe
from devices.ieee11073.scan_report import FixedObs, VarObs, agent_report
from devices.ieee11073.stamping import Heard
from devices.ieee11073.times import write_absolute
from devices.medfloat import Medfloat, encode_float, encode_sfloat, medfloat32, sfloat
from devices.observation import Observation

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WALL = datetime(2026, 11, 22, 16, 0)
SOURCE = DeviceFacts("eui64:0102030405060708")
LIVE = Heard.at(NOW)


def basic(value: float | Medfloat) -> bytes:
    return u16(encode_sfloat(value if isinstance(value, Medfloat) else sfloat(value)))


def simple(value: float) -> bytes:
    return u32(encode_float(medfloat32(value)))


def pressures(*values: float) -> bytes:
    return sequence(basic(value) for value in values)


def stamped(at: datetime = WALL) -> bytes:
    return write_absolute(at)


def said(configuration: Configuration, *obs: FixedObs | VarObs, heard: Heard = LIVE) -> tuple[Observation, ...]:
    return observe(configuration.read(agent_report(0, *obs)), SOURCE, heard)


def only(found: tuple[Observation, ...]) -> Observation:
    assert len(found) == 1
    return found[0]


def metric(handle: int, kind: Type, *more: Attribute, object_class: int = ObjectClass.METRIC_NU) -> ConfigObject:
    own = Attribute(Attr.ID_TYPE, u16(kind.partition) + u16(kind.code))
    return ConfigObject(object_class, handle, (own, *more))

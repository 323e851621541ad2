"""An oximeter of 20601 that reports its pleth beside the saturation."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

from devices.gatt.record import DeviceFacts
from devices.ieee11073.attribute import Attribute, Mapped, write_value_map
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import Attr, Noti, ObjectClass
from devices.ieee11073.data_apdu import EventReport
from devices.ieee11073.events import ConfigObject, ConfigReport
from devices.ieee11073.mder import octets, u16, u32
from devices.ieee11073.objects import Configuration
from devices.ieee11073.scan_report import SHAPES, FixedObs, agent_report, write_scan
from devices.ieee11073.times import write_absolute
from devices.medfloat import encode_float, medfloat32

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WALL = datetime(2026, 11, 22, 16, 0)
SOURCE = DeviceFacts("eui64:0102030405060708")
PLETH = Type(2, 19380)


def specification(size: int, bits: int, significant: int) -> Attribute:
    return Attribute(Attr.SA_SPECN, struct.pack(">HBBH", size, bits, significant, 0))


def scale(low: float, high: float, first: int, last: int) -> Attribute:
    ends = (encode_float(medfloat32(low)), encode_float(medfloat32(high)))
    return Attribute(Attr.SCALE_SPECN_I16, struct.pack(">IIHH", *ends, first & 0xFFFF, last & 0xFFFF))


OXIMETER = Configuration.of(
    ConfigReport(
        0x4000,
        (
            ConfigObject(
                ObjectClass.METRIC_SA_RT,
                5,
                (
                    Attribute(Attr.ID_TYPE, u16(PLETH.partition) + u16(PLETH.code)),
                    Attribute(Attr.UNIT_CODE, u16(512)),
                    Attribute(Attr.TIME_PD_SAMP, u32(107)),
                    specification(3, 16, 12),
                    scale(-1, 1, 0, 4000),
                    Attribute(
                        Attr.ATTRIBUTE_VAL_MAP,
                        write_value_map((Mapped(Attr.SIMP_SA_OBS_VAL, 8), Mapped(Attr.TIME_STAMP_ABS, 8))),
                    ),
                ),
            ),
            ConfigObject(
                ObjectClass.METRIC_NU,
                1,
                (
                    Attribute(Attr.ID_TYPE, u16(2) + u16(19384)),
                    Attribute(Attr.UNIT_CODE, u16(544)),
                    Attribute(Attr.ATTRIBUTE_VAL_MAP, write_value_map((Mapped(Attr.NU_VAL_OBS_BASIC, 2),))),
                ),
            ),
        ),
    )
)
WAVE = FixedObs(5, octets(struct.pack(">HHH", 0, 2000, 0xF000 | 4000)) + write_absolute(WALL))
SATURATION = FixedObs(1, bytes.fromhex("0061"))


def with_(attribute: Attribute) -> Configuration:
    """The oximeter, one attribute of its sample array replaced."""
    report = OXIMETER.report
    array, other = report.objects
    kept = tuple(one for one in array.attributes if one.id != attribute.id)
    return Configuration.of(ConfigReport(report.id, (ConfigObject(9, 5, (*kept, attribute)), other)))


def report(*obs: FixedObs) -> EventReport:
    kind = Noti.SCAN_REPORT_FIXED
    return EventReport(1, 0, kind, write_scan(SHAPES[kind], agent_report(0, *obs)), confirmed=True)

"""Device specializations as tables: which standard says what a device of a kind measures, and standard configurations.

A standard configuration is known to both sides by its number alone. The rows are those that independent published
sources agree on; 0320 is read with basic values (11073-10408); see docs/decisions/0028.
Sources: ISO/IEEE 11073-10404, -10406, -10407, -10408, -10415, -10417, -10420, -10421, -10425; 11073-20601 clause 8.7.3.
"""

from __future__ import annotations

import functools
import struct
from typing import Final, NamedTuple

from devices.ieee11073.attribute import Attribute, Mapped, write_value_map
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import Attr, ObjectClass
from devices.ieee11073.errors import UnknownConfiguration
from devices.ieee11073.events import ConfigObject, ConfigReport
from devices.ieee11073.mder import sequence, u16
from devices.ieee11073.objects import Configuration

SCADA: Final = 2
_BASIC: Final = Mapped(Attr.NU_VAL_OBS_BASIC, 2)
_SIMPLE: Final = Mapped(Attr.NU_VAL_OBS_SIMP, 4)
_COMPOUND: Final = Mapped(Attr.NU_CMPD_VAL_OBS_BASIC, 10)
_STAMP: Final = Mapped(Attr.TIME_STAMP_ABS, 8)
_SPOT: Final = Type(SCADA, 19516)
_MEASURED_NOW: Final = 0x4040
"""Metric-Spec-Small: stored data kept, agent starts the access."""
_INTERMITTENT: Final = 0xF040


class Row(NamedTuple):
    """One numeric of a standard configuration. ids: of its components."""

    handle: int
    type: int
    spec: int
    unit: int
    value_map: tuple[Mapped, ...]
    ids: tuple[int, ...] = ()
    supplemental: tuple[Type, ...] = ()


STANDARD_CONFIGURATIONS: Final[dict[int, tuple[Row, ...]]] = {
    0x0190: (
        Row(1, 19384, _MEASURED_NOW, 544, (_BASIC,)),
        Row(10, 18458, _MEASURED_NOW, 2720, (_BASIC,)),
    ),
    0x0191: (
        Row(1, 19384, _MEASURED_NOW, 544, (_BASIC, _STAMP), supplemental=(_SPOT,)),
        Row(10, 18458, _MEASURED_NOW, 2720, (_BASIC, _STAMP), supplemental=(_SPOT,)),
    ),
    0x02BC: (
        Row(1, 18948, _INTERMITTENT, 3872, (_COMPOUND, _STAMP), ids=(18949, 18950, 18951)),
        Row(2, 18474, _INTERMITTENT, 2720, (_BASIC, _STAMP)),
    ),
    0x0320: (Row(1, 19292, _INTERMITTENT, 6048, (_BASIC, _STAMP)),),
    0x05DC: (Row(1, 57664, _INTERMITTENT, 1731, (_SIMPLE, _STAMP)),),
    0x06A4: (Row(1, 29112, _INTERMITTENT, 2130, (_BASIC, _STAMP)),),
}


class Specialization(NamedTuple):
    """A kind of device: its standard, the term of its profile, its standard configurations."""

    standard: str
    profile: int
    name: str
    configurations: tuple[int, ...] = ()


SPECIALIZATIONS: Final[tuple[Specialization, ...]] = (
    Specialization("11073-10404", 4100, "MDC_DEV_SPEC_PROFILE_PULS_OXIM", (0x0190, 0x0191)),
    Specialization("11073-10406", 4102, "MDC_DEV_SPEC_PROFILE_MIN_ECG"),
    Specialization("11073-10407", 4103, "MDC_DEV_SPEC_PROFILE_BP", (0x02BC,)),
    Specialization("11073-10408", 4104, "MDC_DEV_SPEC_PROFILE_TEMP", (0x0320,)),
    Specialization("11073-10415", 4111, "MDC_DEV_SPEC_PROFILE_SCALE", (0x05DC,)),
    Specialization("11073-10417", 4113, "MDC_DEV_SPEC_PROFILE_GLUCOSE", (0x06A4,)),
    Specialization("11073-10420", 4116, "MDC_DEV_SPEC_PROFILE_BCA"),
    Specialization("11073-10421", 4117, "MDC_DEV_SPEC_PROFILE_PEAK_FLOW"),
    Specialization("11073-10425", 4121, "MDC_DEV_SPEC_PROFILE_CGM"),
    Specialization("11073-10441", 4137, "MDC_DEV_SPEC_PROFILE_HF_CARDIO"),
    Specialization("11073-10442", 4138, "MDC_DEV_SPEC_PROFILE_HF_STRENGTH"),
    Specialization("11073-10471", 4167, "MDC_DEV_SPEC_PROFILE_AI_ACTIVITY_HUB"),
    Specialization("11073-10472", 4168, "MDC_DEV_SPEC_PROFILE_AI_MED_MINDER"),
    Specialization("11073-20601", 4169, "MDC_DEV_SPEC_PROFILE_GENERIC"),
)
BY_PROFILE: Final[dict[int, Specialization]] = {one.profile: one for one in SPECIALIZATIONS}
BY_STANDARD: Final[dict[str, Specialization]] = {one.standard: one for one in SPECIALIZATIONS}
BY_CONFIGURATION: Final[dict[int, Specialization]] = {
    identity: one for one in SPECIALIZATIONS for identity in one.configurations
}


def _attributes(row: Row) -> tuple[Attribute, ...]:
    found = [
        Attribute(Attr.ID_TYPE, u16(SCADA) + u16(row.type)),
        Attribute(Attr.METRIC_SPEC_SMALL, u16(row.spec)),
    ]
    if row.ids:
        # a fixed compound of so many components
        found.append(Attribute(Attr.METRIC_STRUCT_SMALL, struct.pack(">BB", 3, len(row.ids))))
    found.append(Attribute(Attr.UNIT_CODE, u16(row.unit)))
    if row.ids:
        found.append(Attribute(Attr.ID_PHYSIO_LIST, sequence(u16(one) for one in row.ids)))
    found.append(Attribute(Attr.ATTRIBUTE_VAL_MAP, write_value_map(row.value_map)))
    if row.supplemental:
        types = sequence(u16(one.partition) + u16(one.code) for one in row.supplemental)
        found.append(Attribute(Attr.SUPPLEMENTAL_TYPES, types))
    return tuple(found)


def configured(identity: int, rows: tuple[Row, ...]) -> Configuration:
    """A configuration of numerics."""
    objects = (ConfigObject(ObjectClass.METRIC_NU, row.handle, _attributes(row)) for row in rows)
    return Configuration.of(ConfigReport(identity, tuple(objects)))


@functools.cache
def standard(identity: int) -> Configuration:
    """The standard configuration of this id. UnknownConfiguration."""
    rows = STANDARD_CONFIGURATIONS.get(identity)
    if rows is None:
        raise UnknownConfiguration(f"{identity:04x} is no standard configuration that is known here")
    return configured(identity, rows)

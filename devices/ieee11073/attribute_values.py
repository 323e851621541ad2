"""What the octets of an attribute mean: one row an attribute, for values and for showing them.

Source: ISO/IEEE 11073-20601, annex A.2 to A.7 (attribute types); the type of each attribute: clauses 6.3.3 to 6.3.9.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from devices.errors import BadValue, Truncated
from devices.ieee11073.attribute import read_value_map
from devices.ieee11073.codes import Attr
from devices.ieee11073.mder import Reader, untext
from devices.ieee11073.times import absolute, base_offset
from devices.medfloat import Medfloat, decode_float, decode_sfloat


class Type(NamedTuple):
    """TYPE: a term of a partition of the nomenclature."""

    partition: int
    code: int


class NuObsValue(NamedTuple):
    """A numeric value with its own id, status and unit."""

    metric_id: int
    state: int
    unit: int
    value: Medfloat


class EnumValue(NamedTuple):
    """EnumVal. choice: 1 a term, 2 a text, 16 bits."""

    choice: int
    value: int | str


class TimeInfo(NamedTuple):
    """MdsTimeInfo. state: bits of `TimeState`.  protocol: how the clock is synchronised.  accuracy: relative time."""

    state: int
    protocol: int
    accuracy: int
    resolution_abs: int
    resolution_rel: int
    resolution_hires: int


_TIME_INFO: Final = struct.Struct(">HHIHHI")
_NU_OBS: Final = struct.Struct(">HHHI")
Read = Callable[[bytes], Any]


def _whole(raw: bytes, size: int) -> bytes:
    if len(raw) != size:
        kind = Truncated if len(raw) < size else BadValue
        raise kind(f"{len(raw)} octets, not {size}", field="attribute-value")
    return raw


def _u16(raw: bytes) -> int:
    return int.from_bytes(_whole(raw, 2))


def _u32(raw: bytes) -> int:
    return int.from_bytes(_whole(raw, 4))


def _sfloat(raw: bytes) -> Medfloat:
    return decode_sfloat(_u16(raw))


def _float(raw: bytes) -> Medfloat:
    return decode_float(_u32(raw))


def _octets(raw: bytes) -> bytes:
    reader = Reader(raw)
    found = reader.octets("octet-string")
    reader.finish("octet-string")
    return found


def _text(raw: bytes) -> str:
    return untext(_octets(raw))


def _sfloats(raw: bytes) -> tuple[Medfloat, ...]:
    return _list(2, lambda reader: decode_sfloat(reader.u16("value")))(raw)


def _list(smallest: int, read: Callable[[Reader], Any]) -> Callable[[bytes], tuple[Any, ...]]:
    def of(raw: bytes) -> tuple[Any, ...]:
        reader = Reader(raw)
        count, inner = reader.sequence(smallest, "list")
        found = tuple(read(inner) for _ in range(count))
        inner.finish("list")
        reader.finish("list")
        return found

    return of


def _type(raw: bytes) -> Type:
    return Type(_u16(raw[:2]), _u16(raw[2:]))


def _nu_obs(reader: Reader) -> NuObsValue:
    identity, state, unit, word = reader.fields(_NU_OBS, "nu-obs-value")
    return NuObsValue(identity, state, unit, decode_float(word))


def _one_nu_obs(raw: bytes) -> NuObsValue:
    return _nu_obs(Reader(_whole(raw, _NU_OBS.size)))


def _enumeration(raw: bytes) -> EnumValue:
    """EnumObsValue: metric-id, state, EnumVal. Bits are 16 or 32 wide: the published definitions differ."""
    reader = Reader(raw)
    reader.u16("metric-id")
    reader.u16("state")
    choice = reader.u16("enum-val")
    inner = reader.inner("enum-val")
    reader.finish("enum-obs-value")
    if choice == 2:
        return EnumValue(choice, untext(inner.octets("enum-text-string")))
    value = int.from_bytes(inner.rest("enum-val"))
    return EnumValue(choice, value)


def _model(raw: bytes) -> dict[str, str]:
    reader = Reader(raw)
    found = {name: untext(reader.octets(name)) for name in ("manufacturer", "model")}
    reader.finish("system-model")
    return found


PRODUCTION: Final = (
    "unspecified", "serial-number", "part-number", "hw-revision", "sw-revision", "fw-revision", "protocol-revision",
    "prod-spec-gmdn",
)  # fmt: skip


def _production(reader: Reader) -> tuple[str, str]:
    kind = reader.u16("spec-type")
    reader.u16("component-id")
    return PRODUCTION[kind] if kind < len(PRODUCTION) else str(kind), untext(reader.octets("prod-spec"))


def _value_map(raw: bytes) -> Any:
    reader = Reader(raw)
    found = read_value_map(reader)
    reader.finish("attribute-value-map")
    return found


def _handle_value_map(raw: bytes) -> Any:
    return _list(6, lambda reader: (reader.u16("obj-handle"), read_value_map(reader)))(raw)


def _pair(reader: Reader) -> tuple[int, int]:
    return reader.u16("type"), reader.u16("version")


def _type_of(reader: Reader) -> Type:
    return Type(reader.u16("partition"), reader.u16("code"))


def _id(reader: Reader) -> int:
    return reader.u16("id")


def _time_info(raw: bytes) -> TimeInfo:
    return TimeInfo._make(_TIME_INFO.unpack(_whole(raw, _TIME_INFO.size)))


def _structure(raw: bytes) -> dict[str, int]:
    structure, components = _whole(raw, 2)
    return {"ms-struct": structure, "ms-comp-no": components}


def _adjust(raw: bytes) -> int:
    """In 1/100 s."""
    return int.from_bytes(_whole(raw, 6), signed=True)


def _hires(raw: bytes) -> int:
    return int.from_bytes(_whole(raw, 8))


READ: Final[dict[int, Read]] = {
    Attr.CONFIRM_MODE: _u16,
    Attr.CONFIRM_TIMEOUT: _u32,
    Attr.ID_HANDLE: _u16,
    Attr.ID_INSTNO: _u16,
    Attr.ID_LABEL_STRING: _text,
    Attr.ID_MODEL: _model,
    Attr.ID_PHYSIO: _u16,
    Attr.ID_PROD_SPECN: _list(6, _production),
    Attr.ID_TYPE: _type,
    Attr.METRIC_STORE_CAPAC_CNT: _u32,
    Attr.METRIC_STORE_SAMPLE_ALG: _u16,
    Attr.METRIC_STORE_USAGE_CNT: _u32,
    Attr.MSMT_STAT: _u16,
    Attr.NU_ACCUR_MSMT: _float,
    Attr.NU_CMPD_VAL_OBS: _list(_NU_OBS.size, _nu_obs),
    Attr.NU_VAL_OBS: _one_nu_obs,
    Attr.NUM_SEG: _u16,
    Attr.OP_STAT: _u16,
    Attr.POWER_STAT: _u16,
    Attr.SCAN_REP_PD: _u32,
    Attr.SEG_USAGE_CNT: _u32,
    Attr.SYS_ID: _octets,
    Attr.SYS_TYPE: _type,
    Attr.TIME_ABS: absolute,
    Attr.TIME_END_SEG: absolute,
    Attr.TIME_PD_SAMP: _u32,
    Attr.TIME_REL: _u32,
    Attr.TIME_STAMP_ABS: absolute,
    Attr.TIME_STAMP_REL: _u32,
    Attr.TIME_START_SEG: absolute,
    Attr.TX_WIND: _u16,
    Attr.UNIT_CODE: _u16,
    Attr.UNIT_LABEL_STRING: _text,
    Attr.VAL_BATT_CHARGE: _u16,
    Attr.VAL_ENUM_OBS: _enumeration,
    Attr.TIME_REL_HI_RES: _hires,
    Attr.TIME_STAMP_REL_HI_RES: _hires,
    Attr.DEV_CONFIG_ID: _u16,
    Attr.MDS_TIME_INFO: _time_info,
    Attr.METRIC_SPEC_SMALL: _u16,
    Attr.SOURCE_HANDLE_REF: _u16,
    Attr.SIMP_SA_OBS_VAL: _octets,
    Attr.ENUM_OBS_VAL_SIMP_OID: _u16,
    Attr.ENUM_OBS_VAL_SIMP_STR: _text,
    Attr.NU_VAL_OBS_BASIC: _sfloat,
    Attr.PM_STORE_CAPAB: _u16,
    Attr.PM_SEG_PERSON_ID: _u16,
    Attr.SCAN_HANDLE_ATTR_VAL_MAP: _handle_value_map,
    Attr.SCAN_REP_PD_MIN: _u32,
    Attr.ATTRIBUTE_VAL_MAP: _value_map,
    Attr.NU_VAL_OBS_SIMP: _float,
    Attr.PM_STORE_LABEL_STRING: _text,
    Attr.PM_SEG_LABEL_STRING: _text,
    Attr.TIME_PD_MSMT_ACTIVE: _float,
    Attr.SYS_TYPE_SPEC_LIST: _list(4, _pair),
    Attr.METRIC_ID_PART: _u16,
    Attr.ENUM_OBS_VAL_PART: _u16,
    Attr.SUPPLEMENTAL_TYPES: _list(4, _type_of),
    Attr.TIME_ABS_ADJUST: _adjust,
    Attr.CLEAR_TIMEOUT: _u32,
    Attr.TRANSFER_TIMEOUT: _u32,
    Attr.ENUM_OBS_VAL_SIMP_BIT_STR: _u32,
    Attr.ENUM_OBS_VAL_BASIC_BIT_STR: _u16,
    Attr.METRIC_STRUCT_SMALL: _structure,
    Attr.NU_CMPD_VAL_OBS_SIMP: _list(4, lambda reader: decode_float(reader.u32("value"))),
    Attr.NU_CMPD_VAL_OBS_BASIC: _sfloats,
    Attr.ID_PHYSIO_LIST: _list(2, _id),
    Attr.SCAN_HANDLE_LIST: _list(2, _id),
    Attr.TIME_BO: base_offset,
    Attr.TIME_STAMP_BO: base_offset,
    Attr.TIME_START_SEG_BO: base_offset,
    Attr.TIME_END_SEG_BO: base_offset,
}
"""The attributes that can be read; others stay octets."""


def value_of(attribute: int, raw: bytes) -> Any:
    """The value; the octets themselves for an attribute without a row. Truncated, BadValue: name the attribute."""
    read = READ.get(attribute)
    if read is None:
        return raw
    try:
        return read(raw)
    except (Truncated, BadValue) as error:
        name = Attr(attribute).name.lower().replace("_", "-")
        raise type(error)(error.detail, field=name) from error


def values_of(attributes: Any) -> dict[int, Any]:
    """All attributes of a list by id; the last of several with one id. Truncated, BadValue."""
    return {one.id: value_of(one.id, one.value) for one in attributes}

"""APDUs as JSON for people: `suifang-decode` and logs. The words are the standard's, in its own spelling.

An APDU is read on its own; what its observations mean depends on a configuration: the number of a standard one, or the
APDU in which the agent reported it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from devices.errors import DeviceError
from devices.ieee11073 import apdu, data_apdu
from devices.ieee11073.association import Aare, Aarq, Abrt, Information, Protocol, Rlre, Rlrq
from devices.ieee11073.attribute import Attribute, Mapped
from devices.ieee11073.attribute_values import value_of
from devices.ieee11073.codes import (
    PROTOCOL_20601,
    AbortReason,
    Act,
    AssociateResult,
    Attr,
    ConfigResult,
    Noti,
    ObjectClass,
    Problem,
    ReleaseReason,
    RemoteErrorCode,
    name_of,
)
from devices.ieee11073.data_apdu import (
    Action,
    ActionResult,
    EventReport,
    EventReportResult,
    Get,
    GetResult,
    Reject,
    RemoteError,
    Set,
    SetResult,
)
from devices.ieee11073.events import read_config, read_config_reply, read_data_response
from devices.ieee11073.objects import Configuration, Metric
from devices.ieee11073.scan_report import SHAPES, FixedObs, Obs, ScanReport, VarObs, read_scan
from devices.ieee11073.times import AbsoluteTime
from devices.ieee11073.wide_values import as_sent
from devices.medfloat import Medfloat

_FLAGS: Final = frozenset({Attr.METRIC_SPEC_SMALL, Attr.PM_STORE_CAPAB, Attr.MSMT_STAT})


def rendered(data: bytes, found: apdu.Apdu, configuration: Configuration | None = None) -> dict[str, Any]:
    """All fields of an APDU by their names. Truncated, BadValue: what it carries cannot be read."""
    head = {"apdu": apdu.NAMES[int.from_bytes(data[:2])], "length": len(data) - 4}
    match found:
        case Aarq():
            protocols = [{"data-proto-id": one.id, **_protocol(one)} for one in found.protocols]
            size = sum(4 + len(one.info) for one in found.protocols)
            version = f"0x{found.assoc_version:08x}"
            return {**head, "assoc-version": version, "data-proto-list-length": size, "protos": protocols}
        case Aare():
            result = _named(AssociateResult, found.result)
            return {**head, "result": result, "data-proto-id": found.protocol.id, **_protocol(found.protocol)}
        case Rlrq():
            return {**head, "reason": found.reason, "reason-name": _word(ReleaseReason, found.reason)}
        case Rlre():
            return {**head, "reason": found.reason, "reason-name": _word(ReleaseReason, found.reason)}
        case Abrt():
            return {**head, "reason": found.reason, "reason-name": _word(AbortReason, found.reason)}
        case _:
            operation = data_apdu.operation_of(found)
            op = f"0x{operation:04x} {data_apdu.OPERATIONS[operation]}"
            return {
                **head,
                "octets": len(data) - 6,
                "invoke-id": found.invoke_id,
                "op": op,
                "op-length": len(data) - 12,
                **_data(found, configuration),
            }


def _protocol(protocol: Protocol) -> dict[str, Any]:
    if protocol.id != PROTOCOL_20601:
        return {"info-length": len(protocol.info), "info": protocol.info.hex()}
    return {"info-length": len(protocol.info), "info": _information(protocol.information())}


def _information(of: Information) -> dict[str, Any]:
    return {
        "protocol-version": hex(of.protocol_version),
        "encoding-rules": hex(of.encoding_rules),
        "nomenclature-version": hex(of.nomenclature_version),
        "functional-units": hex(of.functional_units),
        "system-type": hex(of.system_type),
        "system-id": of.system_id.hex(),
        "dev-config-id": f"0x{of.dev_config_id:04x}",
        "data-req-mode-flags": f"0x{of.data_req_mode_flags:04x}",
        "init-agent-count": of.init_agent_count,
        "init-manager-count": of.init_manager_count,
        "option-list": _attributes(of.options),
    }


def _data(  # noqa: PLR0911  one for each kind of data APDU
    found: data_apdu.DataApdu, configuration: Configuration | None
) -> dict[str, Any]:
    match found:
        case EventReport() | EventReportResult():
            asks = isinstance(found, EventReport)
            event = f"{found.type} MDC_NOTI_{name}" if (name := name_of(Noti, found.type)) else found.type
            return {
                "obj-handle": found.handle,
                "event-time" if asks else "current-time": f"0x{found.time:08x}",
                "event-type": event,
                "event-info" if asks else "reply-info": _event(found, configuration),
            }
        case Get():
            return {"obj-handle": found.handle, "attribute-id-list": list(found.attributes)}
        case GetResult() | SetResult():
            return {"obj-handle": found.handle, "attributes": _attributes(found.attributes)}
        case Set():
            rows = [{"modify-operator": one.operator, **_attribute(one.attribute)} for one in found.modifications]
            return {"obj-handle": found.handle, "modification-list": rows}
        case Action() | ActionResult():
            act = f"{found.type} MDC_ACT_{name}" if (name := name_of(Act, found.type)) else found.type
            return {"obj-handle": found.handle, "action-type": act, **_action(found, configuration)}
        case RemoteError():
            return {"error-value": _named(RemoteErrorCode, found.error), "parameter": found.parameter.hex()}
        case Reject():
            return {"problem": _named(Problem, found.problem)}


def _event(found: EventReport | EventReportResult, configuration: Configuration | None) -> Any:
    if found.type == Noti.CONFIG and isinstance(found, EventReport):
        report = read_config(found.info)
        objects = [
            {
                "class": name_of(ObjectClass, one.object_class) or one.object_class,
                "handle": one.handle,
                "attributes": _attributes(one.attributes),
            }
            for one in report.objects
        ]
        return {"config-report-id": f"0x{report.id:04x}", "count": len(objects), "length": len(found.info) - 6,
                "objects": objects}  # fmt: skip
    if found.type == Noti.CONFIG:
        reply = read_config_reply(found.info)
        return {"config-report-id": f"0x{reply.id:04x}", "config-result": _config_result(reply.result)}
    shape = SHAPES.get(found.type)
    if shape is None or isinstance(found, EventReportResult):
        return found.info.hex()
    return _scan(read_scan(shape, found.info), found.info, configuration, persons=shape.persons)


def _config_result(result: int) -> str:
    words = {
        ConfigResult.ACCEPTED: "accepted-config",
        ConfigResult.UNSUPPORTED: "unsupported-config",
        ConfigResult.STANDARD_UNKNOWN: "standard-config-unknown",
    }
    return f"{result} {words[ConfigResult(result)]}" if result in set(ConfigResult) else str(result)


def _action(found: Action | ActionResult, configuration: Configuration | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"action-info": found.info.hex()}
    if isinstance(found, ActionResult) and found.type == Act.DATA_REQUEST:
        answer = read_data_response(found.info)
        shape = SHAPES.get(answer.type)
        shown |= {"rel-time-stamp": f"0x{answer.time:08x}", "data-req-result": answer.result}
        if shape is not None:
            shown["event-info"] = _scan(
                read_scan(shape, answer.info), answer.info, configuration, persons=shape.persons
            )
    return shown


def _scan(report: ScanReport, info: bytes, configuration: Configuration | None, *, persons: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"data-req-id": f"0x{report.request:04x}", "scan-report-no": report.number}
    rows = [
        {"person-id": person.id, "obs": [_obs(obs, configuration) for obs in person.observations]}
        for person in report.persons
    ]
    if persons:
        return {**shown, "count": len(rows), "length": len(info) - 8, "persons": rows}
    return {**shown, "count": len(rows[0]["obs"]), "length": len(info) - 8, "obs": rows[0]["obs"]}  # type: ignore[arg-type]


def _obs(obs: Obs, configuration: Configuration | None) -> dict[str, Any]:
    if isinstance(obs, bytes):
        return {"raw": obs.hex()}
    if isinstance(obs, VarObs):
        return {"handle": obs.handle, "attrs": {_id(one.id): _value(one.id, one.value) for one in obs.attributes}}
    return _fixed(obs, configuration)


def _fixed(obs: FixedObs, configuration: Configuration | None) -> dict[str, Any]:
    metric = None if configuration is None else configuration.objects.get(obs.handle)
    if not isinstance(metric, Metric):
        return {"handle": obs.handle, "raw": obs.data.hex(), "note": "handle not in configuration"}
    attributes, at = {}, 0
    for attribute, size in as_sent(metric.value_map, obs.data):
        attributes[_id(attribute)] = _value(attribute, obs.data[at : at + size])
        at += size
    shown = {"handle": obs.handle, "attrs": attributes}
    return shown | {"trailing": obs.data[at:].hex()} if obs.data[at:] else shown


def _attributes(attributes: Iterable[Attribute]) -> dict[str, Any]:
    rows = [_attribute(one) for one in attributes]
    length = sum(4 + len(one.value) for one in attributes)
    return {"count": len(rows), "length": length, "attrs": rows}


def _attribute(one: Attribute) -> dict[str, Any]:
    return {"id": one.id, "name": _id(one.id), "value": _value(one.id, one.value)}


def _id(attribute: int) -> str:
    return name_of(Attr, attribute) or str(attribute)


def _value(attribute: int, raw: bytes) -> Any:
    """An attribute that cannot be read is shown as its octets: the APDU around it is whole."""
    try:
        value = value_of(attribute, raw)
    except DeviceError:
        return raw.hex()
    if attribute in _FLAGS:
        return f"0x{value:04x}"
    return _plain(value)


def _plain(value: Any) -> Any:  # noqa: PLR0911  one for each kind of value
    match value:
        case Medfloat():
            return value.value if not value.absent else value.absent.name.lower().replace("_", "-")
        case AbsoluteTime():
            return str(value)
        case Mapped():
            return [_id(value.attribute), value.size]
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat()
        case tuple() if hasattr(value, "_asdict"):
            return {name: _plain(part) for name, part in value._asdict().items()}
        case tuple():
            return [_plain(part) for part in value]
        case _:
            return msgspec.to_builtins(value)


def _word(kind: Any, value: int) -> str | None:
    name = name_of(kind, value)
    return None if name is None else name.lower().replace("_", "-")


def _named(kind: Any, value: int) -> str:
    word = _word(kind, value)
    return str(value) if word is None else f"{value} {word}"

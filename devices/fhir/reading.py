"""From FHIR Observations back to `Observation`: ours lose nothing, others' as far as they follow the guide.

Resources of one record are brought together by the record identifier that ours bear. A resource without one is a
record by itself, but for the status bits and the meal of another: those join what they are derived from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from devices.errors import BadValue
from devices.fhir import status
from devices.fhir.base_observation import SESSION_TAG, SLOT_TAG, UNIT_TAG
from devices.fhir.coding import MDC, OWN_MEASURE, Resource, code_in, number_in
from devices.fhir.coincident import is_coincident
from devices.fhir.enumerations import MEAL_CONTEXT, STATUS_CODES, facts_of_bits
from devices.fhir.identifier import Record, device_in, record_in
from devices.fhir.resource_parts import context_in, device_of, tag_in, time_of, understood
from devices.fhir.waveform import is_waveform
from devices.nomenclature import BY_CODE, KINDS, Kind
from devices.observation import Fact, Observation, fact_names

_BESIDE: Final = STATUS_CODES | {MEAL_CONTEXT}
"""What is said beside a reading and is none by itself."""
_RESULTS: Final = {
    "positive-infinity": Fact.RESULT_TOO_HIGH.value,
    "negative-infinity": Fact.RESULT_TOO_LOW.value,
}


def observations_in(resources: Iterable[Resource], devices: Mapping[str, str] | None = None) -> tuple[Observation, ...]:
    """The observations, in the order of their first resource. Coincident time stamps, waveforms and other resources are
    passed by.

    devices: what a reference to a Device stands for (`Observation.device`), for resources that do not say it.
    BadValue: names the element; a code, unit or time that is not in our tables, or no device.
    """
    found, refused = observations_apart(resources, devices)
    if refused:
        raise refused[0]
    return found


def observations_apart(
    resources: Iterable[Resource], devices: Mapping[str, str] | None = None
) -> tuple[tuple[Observation, ...], tuple[BadValue, ...]]:
    """The same, and why some were refused: one that cannot be read does not keep others from being read."""
    groups, refused = _groups(resources)
    found = []
    for group in groups:
        try:
            found.append(_read(group, devices or {}))
        except BadValue as error:
            refused.append(error)
    return tuple(found), tuple(refused)


def _groups(resources: Iterable[Resource]) -> tuple[list[list[Resource]], list[BadValue]]:
    """The resources of each record, and what is of none."""
    records: dict[str, list[Resource]] = {}
    beside: list[Resource] = []
    by_reference: dict[str, str] = {}
    refused: list[BadValue] = []
    for number, resource in enumerate(resources):
        try:
            key = _record_of(resource, number)
        except BadValue as error:
            refused.append(error)
            continue
        if key == str(number) and _code(resource) in _BESIDE:
            beside.append(resource)
        elif key is not None:
            records.setdefault(key, []).append(resource)
            by_reference[f"Observation/{resource.get('id')}"] = key
    for resource in beside:
        try:
            records[_whose(resource, by_reference)].append(resource)
        except BadValue as error:
            refused.append(error)
    return list(records.values()), refused


def _whose(resource: Resource, by_reference: Mapping[str, str]) -> str:
    """The record of the reading that this is derived from."""
    try:
        references = [str(one.get("reference")) for one in resource.get("derivedFrom", ())]
    except (AttributeError, TypeError) as error:
        raise BadValue(str(error), field="derivedFrom") from error
    key = next((by_reference[one] for one in references if one in by_reference), None)
    if key is None:
        raise BadValue(f"{_code(resource)} of a reading that is not here", field="code")
    return key


def phd_devices(resources: Iterable[Resource]) -> dict[str, str]:
    """By the reference `Device/id`: the device that each Device resource is. One without an identifier is left out.

    BadValue: its identifiers are none.
    """
    found = {}
    for resource in resources:
        if resource.get("resourceType") == "Device" and "id" in resource:
            try:
                name = device_in(resource.get("identifier", []))
            except (AttributeError, TypeError) as error:
                raise BadValue(str(error), field="identifier") from error
            if name is not None:
                found[f"Device/{resource['id']}"] = name
    return found


def _record_of(resource: Resource, number: int) -> str | None:
    """What brings the resources of one record together. None: no Observation, or one that is not of a kind's values."""
    try:
        if resource.get("resourceType") != "Observation" or is_coincident(resource) or is_waveform(resource):
            return None
        understood(resource)
        record = record_in(resource)
        _code(resource)
    except (AttributeError, TypeError) as error:
        raise BadValue(str(error), field="Observation") from error
    # a device without a clock and without numbers has only the time of measurement to tell records apart
    return f"{record}|{resource.get('effectiveDateTime')}" if record is not None else str(number)


def _read(group: list[Resource], devices: Mapping[str, str]) -> Observation:
    try:
        # as strict as what arrives in JSON
        plain = msgspec.to_builtins(_observation(group, devices), builtin_types=(datetime,))
        return msgspec.convert(plain, Observation, builtin_types=(datetime,))
    except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
        # a list where a stranger should have written an object, or a number that is none
        raise BadValue(str(error), field="Observation") from error


def _observation(group: list[Resource], devices: Mapping[str, str]) -> Observation:
    parts = [part for resource in group for part in _parts(resource)]
    first = group[0]
    record = record_in(first) or Record(device_of(first, devices), _kind_of(parts, first), None, 0)
    kind = BY_CODE.get(record.kind)
    if kind is None:
        raise BadValue(f"{record.kind} is not in the table of kinds", field="code")
    unit, values, absent = _values(kind, parts, tag_in(first, UNIT_TAG))
    bits = 0
    for resource in group:
        bits |= status.facts_in(resource) | facts_of_bits(resource)
    slot = tag_in(first, SLOT_TAG)
    return Observation(
        device=record.device,
        kind=kind.code,
        values=values,
        unit=unit,
        measured_at=time_of(first),
        device_at=record.device_at,
        record_no=record.record_no,
        slot=int(slot) if slot is not None else None,
        session=tag_in(first, SESSION_TAG),
        absent=absent,
        facts=fact_names(bits | _RESULTS.get(absent.get(0, ""), 0)),
        context=context_in(group),
    )


def _parts(resource: Resource) -> list[tuple[str, Resource]]:
    """Code and holder of each value: of the resource itself, or of the components of a compound."""
    own = _code(resource)
    if own in _BESIDE:
        return []
    holders = [one for one in resource.get("component", ()) if "valueQuantity" in one or "dataAbsentReason" in one]
    if "valueQuantity" in resource or not holders:
        return [(own, resource)]
    return [(_code(one), one) for one in holders]


def _code(holder: Resource) -> str:
    return code_in(holder.get("code"), MDC) or code_in(holder.get("code"), OWN_MEASURE) or ""


def _kind_of(parts: list[tuple[str, Resource]], resource: Resource) -> int:
    """The kind whose own code this is, else the first that has a slot for one of the values."""
    codes = [_code(resource), *(code for code, _ in parts)]
    for code in codes:
        if code.isascii() and code.isdecimal() and int(code) in BY_CODE:
            return int(code)
    for kind in KINDS:
        if any(str(slot.code) in codes or slot.ref in codes for slot in kind.slots):
            return kind.code
    raise BadValue(f"no kind has a value {codes[0][:64]!r}", field="code")


def _values(
    kind: Kind, parts: list[tuple[str, Resource]], said: str | None
) -> tuple[str, tuple[float | None, ...], dict[int, str]]:
    """Unit of the first value, all values in slot order, and why some are absent."""
    holders = dict(parts)
    if len(parts) == 1 and str(kind.code) in holders:
        # a set of values that failed as a whole bears the code of the set
        holders.setdefault(str(kind.slots[0].code), holders[str(kind.code)])
    values: list[float | None] = [None] * len(kind.slots)
    absent: dict[int, str] = {}
    units: dict[int, str] = {}
    for index, slot in enumerate(kind.slots):
        holder = holders.get(str(slot.code)) if slot.code else holders.get(slot.ref)
        number = number_in(holder["valueQuantity"], slot) if holder and "valueQuantity" in holder else None
        if number is not None:
            units[index] = number[1]
        if number is not None and isinstance(number[0], float):
            values[index] = number[0]
        elif number is not None:
            absent[index] = str(number[0])
        elif holder is not None:
            absent[index] = status.reason_in(holder.get("dataAbsentReason", {}))
        else:
            absent[index] = "not-sent"
    fitting = [unit for unit, row in kind.units.items() if all(row[index] == ucum for index, ucum in units.items())]
    if not fitting:
        raise BadValue(f"{kind.ref} takes {' or '.join(kind.units)}", field="valueQuantity.code")
    return said if said in fitting else fitting[0], tuple(values), absent

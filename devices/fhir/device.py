"""PhdDevice and PhgDevice: the device that measured, and the gateway that heard it; and back.

Source: HL7 Personal Health Device implementation guide 2.0.0, profiles PhdDevice and PhgDevice in their FHIR R4 form.
"""

from __future__ import annotations

from typing import Final

import msgspec

from devices.errors import BadValue
from devices.fhir.coding import BITS, BITS_BEFORE, GUIDE, IDENTIFIER_TYPES, MDC, YES_NO, Resource, code_in, concept
from devices.fhir.identifier import EUI64_SYSTEM, NO_EUI64, dashed, device_identifiers, device_in
from devices.nomenclature import (
    BLOOD_PRESSURE,
    BODY_COMPOSITION,
    BODY_MASS,
    BODY_TEMPERATURE,
    BY_CODE,
    GLUCOSE_INTERSTITIAL,
    HEART_RATE,
    PEAK_FLOW,
    PULSE_OXIMETRY,
)

SIMPLE_MDS: Final = "65573"
GATEWAY_MDS: Final = "531981"
GENERIC: Final = ("528457", "MDC_DEV_SPEC_PROFILE_GENERIC")
_SPECIALIZATIONS: Final = {
    BLOOD_PRESSURE: ("528391", "MDC_DEV_SPEC_PROFILE_BP"),
    PULSE_OXIMETRY: ("528388", "MDC_DEV_SPEC_PROFILE_PULS_OXIM"),
    BODY_TEMPERATURE: ("528392", "MDC_DEV_SPEC_PROFILE_TEMP"),
    BODY_MASS: ("528399", "MDC_DEV_SPEC_PROFILE_SCALE"),
    BODY_COMPOSITION: ("528404", "MDC_DEV_SPEC_PROFILE_BCA"),
    HEART_RATE: ("528525", "MDC_DEV_SUB_SPEC_PROFILE_HR"),
    GLUCOSE_INTERSTITIAL: ("528409", "MDC_DEV_SPEC_PROFILE_CGM"),
    PEAK_FLOW: ("528405", "MDC_DEV_SPEC_PROFILE_PEAK_FLOW"),
}
_METER: Final = ("528401", "MDC_DEV_SPEC_PROFILE_GLUCOSE")
_VERSIONS: Final = {"hardware": "531974", "software": "531975", "firmware": "531976"}
_TIME_SYNC: Final = "68220"
_UNREGULATED: Final = "532354.0"
_KIND_TAG: Final = "urn:suifang:kind"
_UNKNOWN: Final = "unknown"
NTP: Final = "532226"
"""MDC_TIME_SYNC_NTPV4."""


class Nameplate(msgspec.Struct, frozen=True, kw_only=True):
    """What a device says of itself. device: as in `Observation.device`.  kinds: what it measures.

    system_id: 16 hex digits, where the device has an EUI-64 but is not known by it.
    """

    device: str
    manufacturer: str
    model: str
    serial: str = ""
    hardware: str = ""
    software: str = ""
    firmware: str = ""
    kinds: tuple[int, ...] = ()
    system_id: str = ""


def _specialization(kind: int) -> tuple[str, str]:
    found = _SPECIALIZATIONS.get(kind)
    if found is not None:
        return found
    known = BY_CODE.get(kind)
    return _METER if known is not None and known.concept.startswith("glucose") else GENERIC


def phd_device(plate: Nameplate) -> Resource:
    """The device. A maker, model or version that it does not tell is `unknown`, because the profile demands each."""
    specializations = dict.fromkeys(map(_specialization, plate.kinds)) or {GENERIC: None}
    found: Resource = {
        "resourceType": "Device",
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/PhdDevice"]},
        "identifier": device_identifiers(plate.device, plate.system_id),
        "manufacturer": plate.manufacturer or _UNKNOWN,
        "modelNumber": plate.model or _UNKNOWN,
        "type": concept(MDC, SIMPLE_MDS, display="MDC_MOC_VMS_MDS_SIMP"),
        "specialization": [
            {"systemType": concept(MDC, code, display=name), "version": "1"} for code, name in specializations
        ],
    }
    if plate.kinds:
        found["meta"]["tag"] = [{"system": _KIND_TAG, "code": str(kind)} for kind in plate.kinds]
    if plate.serial:
        found["serialNumber"] = plate.serial
    found["version"] = [
        {"type": concept(MDC, code), "value": getattr(plate, name)}
        for name, code in _VERSIONS.items()
        if getattr(plate, name)
    ] or [{"type": concept(MDC, _VERSIONS["firmware"]), "value": _UNKNOWN}]
    return found


def nameplate_in(resource: Resource) -> Nameplate:
    """What a PhdDevice says: ours loses nothing but the case of digits, others' as far as they follow the guide.

    `kinds` are told by ours alone.  BadValue: names the element.
    """
    try:
        _is(resource, SIMPLE_MDS)
        device = device_in(resource.get("identifier", []))
        if device is None:
            raise BadValue("no identifier that is known here", field="identifier")
        system_id = _system_id(resource)
        versions = _versions(resource)
        return Nameplate(
            device=device,
            manufacturer=_told(resource, "manufacturer"),
            model=_told(resource, "modelNumber"),
            serial=_told(resource, "serialNumber"),
            kinds=tuple(
                int(tag["code"]) for tag in resource.get("meta", {}).get("tag", ()) if tag.get("system") == _KIND_TAG
            ),
            system_id="" if device == f"eui64:{system_id}" else system_id,
            **versions,
        )
    except (AttributeError, TypeError, KeyError, ValueError, ArithmeticError) as error:
        raise BadValue(str(error), field="Device") from error


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """What a PhgDevice says; the members are the parameters of `phg_device`."""

    system_id: str
    software: str
    manufacturer: str
    model: str = ""
    sync: str
    regulated: bool


def gateway_in(resource: Resource) -> Gateway:
    """What a PhgDevice says. BadValue: names the element."""
    try:
        _is(resource, GATEWAY_MDS)
        system_id = _system_id(resource)
        if not system_id:
            raise BadValue("no EUI-64", field="identifier")
        sync, unregulated = "", False
        for one in resource.get("property", ()):
            kind: Resource | None = one.get("type")
            value: Resource | None = next(iter(one.get("valueCode", ())), None)
            if code_in(kind, MDC) == _TIME_SYNC:
                sync = code_in(value, MDC) or ""
            elif _UNREGULATED in (code_in(kind, BITS), code_in(kind, BITS_BEFORE)):
                unregulated = code_in(value, YES_NO) == "Y"
        return Gateway(
            system_id=system_id,
            software=_versions(resource).get("software", ""),
            manufacturer=_told(resource, "manufacturer"),
            model=_told(resource, "modelNumber"),
            sync=sync,
            regulated=not unregulated,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise BadValue(str(error), field="Device") from error


def _is(resource: Resource, code: str) -> None:
    if resource.get("resourceType") != "Device" or code_in(resource.get("type"), MDC) != code:
        raise BadValue(f"no Device of type {code}", field="type")


def _system_id(resource: Resource) -> str:
    """16 hex digits in lower case, empty where there are none."""
    for one in resource.get("identifier", ()):
        if one.get("system") == EUI64_SYSTEM and one.get("value") != NO_EUI64:
            return str(one.get("value", "")).replace("-", "").lower()
    return ""


def _told(resource: Resource, element: str) -> str:
    text = str(resource.get(element, ""))
    return "" if text == _UNKNOWN else text


def _versions(resource: Resource) -> dict[str, str]:
    names = {code: name for name, code in _VERSIONS.items()}
    found = {}
    for one in resource.get("version", ()):
        name = names.get(code_in(one.get("type"), MDC) or "")
        if name is not None and one.get("value") != _UNKNOWN:
            found[name] = str(one.get("value", ""))
    return found


def phg_device(
    system_id: str,
    software: str,
    *,
    manufacturer: str = "Suifang",
    model: str = "gateway",
    sync: str = NTP,
    regulated: bool = False,
) -> Resource:
    """The gateway. system_id: 16 hex digits.  model: of the software.  sync: MDC code of how its clock is set."""
    return {
        "resourceType": "Device",
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/PhgDevice"]},
        "identifier": [
            {
                "type": concept(IDENTIFIER_TYPES, "SYSID"),
                "system": EUI64_SYSTEM,
                "value": dashed(system_id.upper()),
            }
        ],
        "manufacturer": manufacturer,
        "modelNumber": model or _UNKNOWN,
        "type": concept(MDC, GATEWAY_MDS, display="MDC_MOC_VMS_MDS_AHD"),
        "specialization": [{"systemType": concept(MDC, GENERIC[0], display=GENERIC[1]), "version": "1"}],
        "version": [{"type": concept(MDC, _VERSIONS["software"], display="MDC_ID_PROD_SPEC_SW"), "value": software}],
        "property": [
            {
                "type": concept(MDC, _TIME_SYNC, display="MDC_TIME_SYNC_PROTOCOL"),
                "valueCode": [concept(MDC, sync)],
            },
            {
                # the bit is negated: set where the device is not regulated
                "type": concept(BITS, _UNREGULATED, display="negated-regulation-status"),
                "valueCode": [concept(YES_NO, "N" if regulated else "Y")],
            },
        ],
    }

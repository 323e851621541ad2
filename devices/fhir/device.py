"""PhdDevice and PhgDevice: the device that measured, and the gateway that heard it.

Source: HL7 Personal Health Device implementation guide, profiles PhdDevice and PhgDevice in their FHIR R4 form.
"""

from __future__ import annotations

from typing import Final

import msgspec

from devices.fhir.coding import BITS, GUIDE, MDC, YES_NO, Resource, concept
from devices.fhir.identifier import EUI64_SYSTEM, dashed, device_identifiers
from devices.nomenclature import BLOOD_PRESSURE, BODY_COMPOSITION, BODY_MASS, BODY_TEMPERATURE, BY_CODE, PULSE_OXIMETRY

SIMPLE_MDS: Final = "65573"
GATEWAY_MDS: Final = "531981"
GENERIC: Final = ("528457", "MDC_DEV_SPEC_PROFILE_GENERIC")
_SPECIALIZATIONS: Final = {
    BLOOD_PRESSURE: ("528391", "MDC_DEV_SPEC_PROFILE_BP"),
    PULSE_OXIMETRY: ("528388", "MDC_DEV_SPEC_PROFILE_PULS_OXIM"),
    BODY_TEMPERATURE: ("528392", "MDC_DEV_SPEC_PROFILE_TEMP"),
    BODY_MASS: ("528399", "MDC_DEV_SPEC_PROFILE_SCALE"),
    BODY_COMPOSITION: ("528399", "MDC_DEV_SPEC_PROFILE_SCALE"),
}
_METER: Final = ("528401", "MDC_DEV_SPEC_PROFILE_GLUCOSE")
_VERSIONS: Final = {"hardware": "531974", "software": "531975", "firmware": "531976"}
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
    """The device. A name or model that it does not tell is `unknown`, because the profile demands both."""
    specializations = dict.fromkeys(map(_specialization, plate.kinds)) or {GENERIC: None}
    identifiers = device_identifiers(plate.device)
    if plate.system_id:
        identifiers[0]["value"] = dashed(plate.system_id.upper())
    found: Resource = {
        "resourceType": "Device",
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/PhdDevice"]},
        "identifier": identifiers,
        "manufacturer": plate.manufacturer or "unknown",
        "modelNumber": plate.model or "unknown",
        "type": concept(MDC, SIMPLE_MDS, display="MDC_MOC_VMS_MDS_SIMP"),
        "specialization": [
            {"systemType": concept(MDC, code, display=name), "version": "1"} for code, name in specializations
        ],
    }
    if plate.serial:
        found["serialNumber"] = plate.serial
    versions = [
        {"type": concept(MDC, code), "value": getattr(plate, name)}
        for name, code in _VERSIONS.items()
        if getattr(plate, name)
    ]
    return found | ({"version": versions} if versions else {})


def phg_device(
    system_id: str, software: str, *, manufacturer: str = "Suifang", sync: str = NTP, regulated: bool = False
) -> Resource:
    """The gateway. system_id: 16 hex digits.  sync: MDC code of how its clock is kept right."""
    return {
        "resourceType": "Device",
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/PhgDevice"]},
        "identifier": [
            {
                "type": concept(f"{GUIDE}/CodeSystem/ContinuaDeviceIdentifiers", "SYSID"),
                "system": EUI64_SYSTEM,
                "value": dashed(system_id.upper()),
            }
        ],
        "manufacturer": manufacturer,
        "type": concept(MDC, GATEWAY_MDS, display="MDC_MOC_VMS_MDS_AHD"),
        "specialization": [{"systemType": concept(MDC, GENERIC[0], display=GENERIC[1]), "version": "1"}],
        "version": [{"type": concept(MDC, _VERSIONS["software"], display="MDC_ID_PROD_SPEC_SW"), "value": software}],
        "property": [
            {
                "type": concept(MDC, "68220", display="MDC_TIME_SYNC_PROTOCOL"),
                "valueCode": [concept(MDC, sync)],
            },
            {
                # the bit is negated: set where the device is not regulated
                "type": concept(BITS, "532354.0", display="negated-regulation-status"),
                "valueCode": [concept(YES_NO, "N" if regulated else "Y")],
            },
        ],
    }

"""One `Observation` as FHIR Observations: numeric, compound numeric (blood pressure), coincident time stamp.

Source: HL7 Personal Health Device implementation guide, profiles PhdNumericObservation, PhdCompoundNumericObservation,
PhdCompoundObservation and PhdCoincidentTimeStampObservation; vital signs of FHIR R4 beside them where unit and code
meet their profiles. PhdRtsaObservation is left out: no kind holds samples.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from devices.clock import identity_at
from devices.fhir import status
from devices.fhir.coding import (
    ABSENT_SYSTEM,
    BLOOD_PRESSURE_LOINC,
    GUIDE,
    LOINC,
    MDC,
    R4,
    VITALS,
    Resource,
    code_of,
    concept,
    loinc_of,
    quantity,
)
from devices.fhir.enumerations import bits_of, meal_of
from devices.fhir.identifier import DEVICE_SYSTEM, conditional_create, record_identifier, reference_to
from devices.nomenclature import BLOOD_PRESSURE, BY_CODE, GLUCOSE_CONTROL, Slot
from devices.observation import Fact, Observation

UNIT_TAG: Final = "urn:suifang:unit"
SLOT_TAG: Final = "urn:suifang:user-slot"
SESSION_TAG: Final = "urn:suifang:session"
POSTURE_TAG: Final = "urn:suifang:posture"
SITE_SYSTEM: Final = "urn:suifang:site"
_CATEGORY: Final = f"{GUIDE}/CodeSystem/PhdObservationCategories"
_VITAL_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_GATEWAY: Final = f"{R4}/observation-gatewayDevice"
_COINCIDENT: Final = f"{GUIDE}/StructureDefinition/CoincidentTimeStampReference"
_PRESSURES: Final = 3
_WITH_OFFSET, _WITHOUT_OFFSET = "68225", "67975"


class Sender(NamedTuple):
    """gateway: reference to the PhgDevice.  subject: reference to the patient.  patient: how the conditional-create
    identifier names the patient (`value-system`, or the logical id given to the gateway)."""

    gateway: str
    subject: str
    patient: str


class _Record(NamedTuple):
    """One observation on its way. bits: its facts.  coincident: reference to the time stamp, where there is one."""

    observation: Observation
    sender: Sender
    bits: int
    coincident: str | None

    def absent(self, index: int) -> str | None:
        """Why the slot has no number. None: it has one."""
        values = self.observation.values
        if index < len(values) and values[index] is not None:
            return None
        return self.observation.absent.get(index, "not-sent")

    def value(self, index: int, ucum: str) -> Resource:
        """valueQuantity or dataAbsentReason; the status of the record takes precedence over the value's own."""
        withheld = status.absence(self.bits)
        if withheld is not None:
            return {"dataAbsentReason": status.withheld_reason(withheld)}
        reason = self.absent(index)
        if reason is not None:
            return {"dataAbsentReason": status.absent_reason(reason)}
        value = self.observation.values[index]
        assert value is not None
        return {"valueQuantity": quantity(value, ucum)}


def resources_of(observation: Observation, sender: Sender) -> list[Resource]:
    """Its resources: first the leading value (or all pressures), then the other values, the status bits, the meal and
    the coincident time stamp. None at all for what `status.why_withheld` names.

    KeyError: a kind, unit or fact that is not in our tables.
    """
    if status.why_withheld(observation) is not None:
        return []
    bits = observation.fact_bits()
    coincident = coincident_time_stamp(observation, sender)
    record = _Record(observation, sender, bits, key_of(coincident) if coincident is not None else None)
    kind = BY_CODE[observation.kind]
    units = kind.units[observation.unit]
    pressures = observation.kind == BLOOD_PRESSURE
    found = [_pressures(record)] if pressures else []
    found.extend(
        _numeric(record, index, kind.slots[index], units[index])
        for index in range(_PRESSURES if pressures else 0, len(kind.slots))
        if index == 0 or record.absent(index) != "not-sent"
    )
    if status.absence(bits) is None:
        found.extend(_enumerations(record, key_of(found[0])))
    return found if coincident is None else [*found, coincident]


def key_of(resource: Resource) -> str:
    """What other entries of a transaction call this Observation."""
    whose = [one["value"] for one in resource.get("identifier", ()) if "system" in one]
    code = resource["code"]["coding"][0]["code"]
    return reference_to(
        "Observation", "|".join([*(whose or [resource["subject"]["reference"]]), code, resource["effectiveDateTime"]])
    )


def _shell(record: _Record, profiles: tuple[str, ...], code: Resource, vital: str = "") -> Resource:
    """What all have in common: PhdBaseObservation. profiles: of the guide.  vital: of FHIR R4."""
    observation, sender, bits, coincident = record
    tags = [{"system": UNIT_TAG, "code": observation.unit}]
    if observation.slot is not None:
        tags.append({"system": SLOT_TAG, "code": str(observation.slot)})
    if observation.session is not None:
        tags.append({"system": SESSION_TAG, "code": observation.session})
    context = observation.context
    if context is not None and context.posture is not None:
        tags.append({"system": POSTURE_TAG, "code": context.posture.value})
    device = reference_to("Device", observation.device)
    categories = [concept(_CATEGORY, "phd-observation")]
    if vital:
        categories.insert(0, concept(_VITAL_CATEGORY, "vital-signs", text="Vital Signs"))
    create = conditional_create(observation, code["coding"][0]["code"], sender.patient)
    found: Resource = {
        "resourceType": "Observation",
        "meta": {
            "profile": [f"{GUIDE}/StructureDefinition/{profile}" for profile in profiles]
            + ([f"{R4}/{vital}"] if vital else []),
            "tag": tags,
        },
        "extension": [{"url": _GATEWAY, "valueReference": {"reference": sender.gateway}}],
        "identifier": ([] if create is None else [create]) + [record_identifier(observation)],
        "category": categories,
        "code": code,
        # a control solution is no patient
        "subject": {"reference": device if observation.kind == GLUCOSE_CONTROL else sender.subject},
        "effectiveDateTime": observation.measured_at.isoformat(),
        "device": {"reference": device, "identifier": {"system": DEVICE_SYSTEM, "value": observation.device}},
    }
    if not found["meta"]["profile"]:
        del found["meta"]["profile"]
    if coincident is not None:
        found["extension"].append({"url": _COINCIDENT, "valueReference": {"reference": coincident}})
    if context is not None and context.site is not None:
        found["bodySite"] = concept(SITE_SYSTEM, context.site.value, text=context.site.value)
    status.apply(found, bits)
    return found


def _numeric(record: _Record, index: int, slot: Slot, ucum: str) -> Resource:
    vital = VITALS.get(loinc_of(slot, ucum))
    # without a code of the nomenclature it cannot meet the guide's profile, and does not claim to
    profiles = ("PhdNumericObservation",) if slot.code else ()
    shell = _shell(record, profiles, code_of(slot, ucum), vital.profile if vital is not None else "")
    return shell | record.value(index, ucum)


def _pressures(record: _Record) -> Resource:
    """Systolic and diastolic always (their profile demands them), the mean where the cuff sent it."""
    kind = BY_CODE[record.observation.kind]
    units = kind.units[record.observation.unit]
    is_vital = units[0] in VITALS[BLOOD_PRESSURE_LOINC].units
    code = concept(MDC, str(kind.code), display=kind.ref, text=kind.ref)
    if is_vital:
        code["coding"].append({"system": LOINC, "code": BLOOD_PRESSURE_LOINC})
    profiles = ("PhdCompoundNumericObservation", "PhdCompoundObservation")
    found = _shell(record, profiles, code, "bp" if is_vital else "")
    withheld = status.absence(record.bits)
    if withheld is not None:
        found["dataAbsentReason"] = status.withheld_reason(withheld)
    found["component"] = [
        {"code": code_of(kind.slots[index], units[index])} | record.value(index, units[index])
        for index in range(_PRESSURES)
        if index < _PRESSURES - 1 or record.absent(index) != "not-sent"
    ]
    return found


def _enumerations(record: _Record, leading: str) -> list[Resource]:
    """Status bits and meal, derived from the leading Observation."""
    found = [
        _shell(record, ("PhdBitsEnumerationObservation",), concept(MDC, code)) | {"component": components}
        for code, components in bits_of(record.observation.kind, record.bits)
    ]
    meal = meal_of(record.observation.context)
    if meal is not None:
        shell = _shell(record, ("PhdCodedEnumerationObservation",), concept(MDC, meal[0]))
        found.append(shell | {"valueCodeableConcept": meal[1]})
    return [one | {"derivedFrom": [{"reference": leading}]} for one in found]


def coincident_time_stamp(observation: Observation, sender: Sender) -> Resource | None:
    """What the device's clock showed at a time of the gateway's: here at the measurement itself, which is where both
    are known. None: the device has no clock, or sent UTC with an offset that nobody had to touch.

    A wall time without an offset is written with that of `devices.clock.IDENTITY_ZONE`, because FHIR has no other way.
    """
    bits = observation.fact_bits()
    device_at = observation.device_at
    fault = bool(bits & (Fact.TIME_FAULT | Fact.CLOCK_NOT_SET).value)
    kept = device_at is not None and device_at.tzinfo is not None and not bits & Fact.CLOCK_CORRECTED.value
    if not fault and (device_at is None or kept):
        return None
    aware = device_at is not None and device_at.tzinfo is not None
    found: Resource = {
        "resourceType": "Observation",
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/PhdCoincidentTimeStampObservation"]},
        "status": "final",
        "code": concept(MDC, _WITH_OFFSET if aware else _WITHOUT_OFFSET),
        "subject": {
            "reference": reference_to("Device", observation.device),
            "identifier": {"system": DEVICE_SYSTEM, "value": observation.device},
        },
        "effectiveDateTime": observation.measured_at.isoformat(),
        "device": {"reference": sender.gateway},
    }
    if fault or device_at is None:
        return found | {"dataAbsentReason": concept(ABSENT_SYSTEM, "unknown")}
    return found | {"valueDateTime": identity_at(device_at).isoformat()}

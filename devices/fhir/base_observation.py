"""What all Observations of a record have in common: who said it of whom, when, by which device and gateway.

Source: HL7 Personal Health Device implementation guide 2.0.0, profile PhdBaseObservation in FHIR R4.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Final, NamedTuple, Protocol

from devices.fhir import status
from devices.fhir.coding import GUIDE, R4, Resource, concept, written_time
from devices.fhir.identifier import DEVICE_SYSTEM, Identified, conditional_create, record_identifier, reference_to
from devices.nomenclature import GLUCOSE_CONTROL
from devices.observation import Context, Fact

UNIT_TAG: Final = "urn:suifang:unit"
SLOT_TAG: Final = "urn:suifang:user-slot"
SESSION_TAG: Final = "urn:suifang:session"
POSTURE_TAG: Final = "urn:suifang:posture"
SITE_SYSTEM: Final = "urn:suifang:site"
_CATEGORY: Final = f"{GUIDE}/CodeSystem/PhdObservationCategories"
_VITAL_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
_GATEWAY: Final = f"{R4}/observation-gatewayDevice"
_COINCIDENT: Final = f"{GUIDE}/StructureDefinition/CoincidentTimeStampReference"


class Said(Identified, Protocol):
    """What an `Observation` and a `Waveform` both have; the members mean what they mean there."""

    @property
    def unit(self) -> str: ...
    @property
    def measured_at(self) -> datetime: ...
    @property
    def slot(self) -> int | None: ...
    @property
    def session(self) -> str | None: ...
    @property
    def context(self) -> Context | None: ...

    def fact_bits(self) -> int: ...


class Sender(NamedTuple):
    """gateway: reference to the PhgDevice.  subject: reference to the patient.  patient: how the conditional-create
    identifier names the patient (`value-system`, or the logical id given to the gateway).  zone: where the gateway
    stands; times are written at its offset, as the guide recommends. None: as they are."""

    gateway: str
    subject: str
    patient: str
    zone: tzinfo | None = None


def key_of(resource: Resource) -> str:
    """What other entries of a transaction call this Observation."""
    whose = [one["value"] for one in resource.get("identifier", ()) if "system" in one]
    code = resource["code"]["coding"][0]["code"]
    return reference_to(
        "Observation", "|".join([*(whose or [resource["subject"]["reference"]]), code, resource["effectiveDateTime"]])
    )


def base(
    said: Said,
    sender: Sender,
    code: Resource,
    *,
    profiles: tuple[str, ...],
    bits: int,
    coincident: str | None,
    vital: str = "",
) -> Resource:
    """An Observation without its value. profiles: of the guide.  vital: of FHIR R4.  bits: the facts.

    coincident: reference to the coincident time stamp, where there is one.
    """
    tags = [{"system": UNIT_TAG, "code": said.unit}]
    if said.slot is not None:
        tags.append({"system": SLOT_TAG, "code": str(said.slot)})
    if said.session is not None:
        tags.append({"system": SESSION_TAG, "code": said.session})
    context = said.context
    if context is not None and context.posture is not None:
        tags.append({"system": POSTURE_TAG, "code": context.posture.value})
    device = reference_to("Device", said.device)
    # a control solution is no patient, whether its kind or a fact tells that it was one
    control = said.kind == GLUCOSE_CONTROL or bool(bits & Fact.CONTROL_SOLUTION.value)
    categories = [concept(_CATEGORY, "phd")]
    if vital:
        categories.insert(0, concept(_VITAL_CATEGORY, "vital-signs", text="Vital Signs"))
    create = conditional_create(said, code["coding"][0]["code"], sender.patient)
    found: Resource = {
        "resourceType": "Observation",
        "meta": {
            "profile": [f"{GUIDE}/StructureDefinition/{profile}" for profile in profiles]
            + ([f"{R4}/{vital}"] if vital else []),
            "tag": tags,
        },
        "extension": [{"url": _GATEWAY, "valueReference": {"reference": sender.gateway}}],
        "identifier": ([] if create is None else [create]) + [record_identifier(said)],
        "category": categories,
        "code": code,
        "subject": {"reference": device if control else sender.subject},
        "effectiveDateTime": written_time(said.measured_at, sender.zone),
        "device": {"reference": device, "identifier": {"system": DEVICE_SYSTEM, "value": said.device}},
    }
    if not found["meta"]["profile"]:
        del found["meta"]["profile"]
    if coincident is not None:
        found["extension"].append({"url": _COINCIDENT, "valueReference": {"reference": coincident}})
    if context is not None and context.site is not None:
        found["bodySite"] = concept(SITE_SYSTEM, context.site.value, text=context.site.value)
    status.apply(found, bits)
    return found

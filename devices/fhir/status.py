"""What a measurement status is in FHIR: status, interpretation, reason of absence, security label, note.

Source: HL7 Personal Health Device implementation guide 2.0.0, PhdBaseObservation (Measurement Status) and MDER FLOATs.
The labels follow the guide; where ours say more than the guide can (body movement, a corrected clock), each fact is a
tag as well, so that nothing is lost between two of us.
"""

from __future__ import annotations

import enum
from typing import Any, Final, Protocol

from devices.fhir.coding import ABSENT_SYSTEM, Resource, code_in, concept
from devices.observation import ABSENT_NAMES, FACT_NAMES, Fact, fact_names

MEASUREMENT_STATUS: Final = "http://hl7.org/fhir/uv/pocd/CodeSystem/measurement-status"
ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
FACT_TAG: Final = "urn:suifang:fact"
_NOTE: Final = "Entered by hand."

_TEST: Final = (Fact.TEST_DATA | Fact.DEMO_DATA | Fact.SIMULATED).value
_WITHOUT_VALUE: Final = ((Fact.INVALID.value, "error"), (Fact.NOT_AVAILABLE.value, "not-performed"))
_INTERPRETATIONS: Final = (
    ((Fact.QUESTIONABLE | Fact.IMPLAUSIBLE).value, "questionable"),
    (Fact.CALIBRATION_ONGOING.value, "calibration-ongoing"),
    (Fact.EARLY_ESTIMATE.value, "early-indication"),
    (Fact.VALIDATED.value, "validated-data"),
)
_STATUSES: Final = (
    (Fact.AMENDED.value, "amended"),
    (Fact.EARLY_ESTIMATE.value, "preliminary"),
    ((Fact.INVALID | Fact.ENTERED_IN_ERROR).value, "entered-in-error"),
)
"""The last that applies; the guide has no word for a reading that its source corrected, FHIR has."""
_FACT_OF: Final[dict[str, int]] = {
    "questionable": Fact.QUESTIONABLE.value,
    "calibration-ongoing": Fact.CALIBRATION_ONGOING.value,
    "early-indication": Fact.EARLY_ESTIMATE.value,
    "validated-data": Fact.VALIDATED.value,
}
_FACT_OF_STATUS: Final[dict[str, int]] = {
    "preliminary": Fact.EARLY_ESTIMATE.value,
    "amended": Fact.AMENDED.value,
    "corrected": Fact.AMENDED.value,
    # no result yet, or none any more: whatever value stands there is none
    "registered": Fact.NOT_AVAILABLE.value,
    "cancelled": Fact.NOT_AVAILABLE.value,
    "unknown": Fact.QUESTIONABLE.value,
}
"""FHIR R4 ObservationStatus; `entered-in-error` is one of two facts, `final` none."""
_REASONS: Final[dict[str, str]] = {
    "not-a-number": "not-a-number",
    "positive-infinity": "positive-infinity",
    "negative-infinity": "negative-infinity",
    "not-sent": "unknown",
}
"""Ours to HL7's; every other of ours is `error`."""


class Withheld(enum.StrEnum):
    """Why an observation has no resources."""

    LOST_TIMELINE = "lost-timeline"
    """No way back to a common timeline: the guide throws it away; here it stays in the table, and is not sent on."""


class WithFacts(Protocol):
    """An `Observation` or a `Waveform`."""

    def fact_bits(self) -> int: ...


def why_withheld(said: WithFacts) -> Withheld | None:
    """None: it has resources."""
    return Withheld.LOST_TIMELINE if said.fact_bits() & Fact.LOST_TIMELINE.value else None


def absence(bits: int) -> str | None:
    """The HL7 reason why no value of the record may be given at all. None: its values stand."""
    return next((reason for fact, reason in _WITHOUT_VALUE if bits & fact), None)


def absent_reason(reason: str) -> Resource:
    """dataAbsentReason for one of ours; the text keeps ours apart where HL7 has one code for several."""
    return concept(ABSENT_SYSTEM, _REASONS.get(reason, "error"), text=reason)


def withheld_reason(reason: str) -> Resource:
    """dataAbsentReason for a value that `absence` withholds."""
    return concept(ABSENT_SYSTEM, reason)


def reason_in(value: Resource) -> str:
    """Ours for a dataAbsentReason; `unsuccessful` for whatever is no number by other causes."""
    text = value.get("text")
    if isinstance(text, str) and text in ABSENT_NAMES:
        return text
    code = code_in(value, ABSENT_SYSTEM)
    return next((ours for ours, theirs in _REASONS.items() if theirs == code), "unsuccessful")


def apply(resource: Resource, bits: int) -> None:
    """Set status, interpretation, security, note and tags of a resource that has `meta`."""
    resource["status"] = "final"
    for fact, code in _STATUSES:
        if bits & fact:
            resource["status"] = code
    found = [concept(MEASUREMENT_STATUS, code) for facts, code in _INTERPRETATIONS if bits & facts]
    if found:
        resource["interpretation"] = found
    label(resource, bits)
    if bits & Fact.MANUALLY_ENTERED.value:
        resource["note"] = [{"text": _NOTE}]
    resource["meta"].setdefault("tag", []).extend({"system": FACT_TAG, "code": name} for name in fact_names(bits))


def label(resource: Resource, bits: int) -> None:
    """Set the security label of a resource that has `meta`, where it is of a test."""
    if bits & _TEST:
        resource["meta"]["security"] = [{"system": ACT_REASON, "code": "HTEST"}]


def facts_in(resource: Resource) -> int:
    """The facts of a resource: its tags where they are ours, else what the guide's labels say."""
    meta: dict[str, Any] = resource.get("meta", {})
    bits = 0
    for tag in meta.get("tag", ()):
        if tag.get("system") == FACT_TAG:
            bits |= FACT_NAMES.get(tag.get("code", ""), Fact(0)).value
    for one in resource.get("interpretation", ()):
        code = code_in(one, MEASUREMENT_STATUS)
        if code == "questionable" and bits & Fact.IMPLAUSIBLE.value:
            continue
        bits |= _FACT_OF.get(code or "", 0)
    state = resource.get("status")
    if state == "entered-in-error" and not bits & Fact.ENTERED_IN_ERROR.value:
        bits |= Fact.INVALID.value
    else:
        bits |= _FACT_OF_STATUS.get(str(state), 0)
    if code_in(resource.get("dataAbsentReason"), ABSENT_SYSTEM) == "not-performed":
        bits |= Fact.NOT_AVAILABLE.value
    if not bits & _TEST and any(label.get("code") == "HTEST" for label in meta.get("security", ())):
        bits |= Fact.TEST_DATA.value
    return bits

"""The coincident time stamp: what the device's clock showed at a time of the gateway's, and back.

Source: HL7 Personal Health Device implementation guide 2.0.0, profile PhdCoincidentTimeStampObservation. How the clock
was kept right (component 68220) is not said: no record of ours knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple

from devices.clock import IDENTITY_ZONE
from devices.errors import BadValue
from devices.fhir import status
from devices.fhir.base_observation import Said, Sender
from devices.fhir.coding import ABSENT_SYSTEM, GUIDE, MDC, UCUM, Resource, code_in, concept, writable, written_time
from devices.fhir.identifier import DEVICE_SYSTEM, device_in, reference_to
from devices.fhir.resource_parts import understood
from devices.observation import Fact

_WITH_OFFSET: Final = "68225"
_WITHOUT_OFFSET: Final = "67975"
_COUNTERS: Final = ("67983", "68072")
CLOCKS: Final = frozenset({_WITH_OFFSET, _WITHOUT_OFFSET, *_COUNTERS})
"""The MDC codes of a device's clocks: with an offset, without one, a counter, a counter of high resolution."""
_MICROSECONDS: Final = {"us": 1, "ms": 1_000, "s": 1_000_000}


class Coincident(NamedTuple):
    """gateway_at: what the gateway's clock showed; None: the device's is better kept.  device_at: what the device's
    showed, without an offset where it knows none.  counted: the same for a clock that only counts.  Both None: it
    could not be read."""

    device: str
    gateway_at: datetime | None
    device_at: datetime | None = None
    counted: timedelta | None = None


def coincident_time_stamp(said: Said, sender: Sender) -> Resource | None:
    """At the measurement itself, which is where both clocks are known. None: the device has no clock, or sent UTC with
    an offset that nobody had to touch.

    FHIR has no wall time without an offset: it is written with the sender's, which is taken to stand beside the device,
    else with that of `devices.clock.IDENTITY_ZONE`.
    """
    bits = said.fact_bits()
    device_at = said.device_at
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
            "reference": reference_to("Device", said.device),
            "identifier": {"system": DEVICE_SYSTEM, "value": said.device},
        },
        "effectiveDateTime": written_time(said.measured_at, sender.zone),
        "device": {"reference": sender.gateway},
    }
    status.label(found, bits)
    if fault or device_at is None:
        return found | {"dataAbsentReason": concept(ABSENT_SYSTEM, "unknown")}
    return found | {"valueDateTime": written_time(device_at if aware else _beside(device_at, sender.zone))}


def _beside(wall: datetime, zone: tzinfo | None) -> datetime:
    placed = wall.replace(tzinfo=zone or IDENTITY_ZONE)
    # read back it loses its offset, so it must not be moved to another
    return placed if writable(placed.utcoffset()) else wall.replace(tzinfo=IDENTITY_ZONE)


def coincidents_in(resources: Iterable[Resource], devices: Mapping[str, str] | None = None) -> tuple[Coincident, ...]:
    """The coincident time stamps among the resources, in their order; others are passed by.

    devices: what a reference to a Device stands for, for resources that do not say it.  BadValue: names the element.
    """
    try:
        clocks = [one for one in resources if is_coincident(one)]
    except (AttributeError, TypeError) as error:
        raise BadValue(str(error), field="code") from error
    return tuple(_read(one, devices or {}) for one in clocks)


def is_coincident(resource: Resource) -> bool:
    """Is it an Observation of a device's clock?"""
    return resource.get("resourceType") == "Observation" and code_in(resource.get("code"), MDC) in CLOCKS


def _read(resource: Resource, devices: Mapping[str, str]) -> Coincident:
    try:
        understood(resource)
        subject: dict[str, Any] = resource.get("subject", {})
        device = device_in([subject["identifier"]]) if "identifier" in subject else None
        device = device or devices.get(str(subject.get("reference")))
        if device is None:
            raise BadValue("no device that is known here", field="subject")
        gateway_at = _time(resource, "effectiveDateTime")
        # drafts after version 2.0.0 write a time without an offset as text
        shown = _time(resource, "valueDateTime") or _time(resource, "valueString")
        if shown is not None and code_in(resource.get("code"), MDC) == _WITHOUT_OFFSET:
            shown = shown.replace(tzinfo=None)
        return Coincident(device, gateway_at, shown, _counted(resource.get("valueQuantity")))
    except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
        raise BadValue(str(error), field="Observation") from error


def _time(resource: Resource, element: str) -> datetime | None:
    text = resource.get(element)
    if text is None:
        return None
    try:
        return datetime.fromisoformat(str(text))
    except ValueError as error:
        raise BadValue(str(error), field=element) from error


def _counted(value: Resource | None) -> timedelta | None:
    if value is None:
        return None
    number, scale = value.get("value"), _MICROSECONDS.get(str(value.get("code")))
    if value.get("system") != UCUM or scale is None:
        raise BadValue(f"a counter counts in {', '.join(_MICROSECONDS)}", field="valueQuantity.code")
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise BadValue("no number", field="valueQuantity.value")
    return timedelta(microseconds=number * scale)

"""What is read of every Observation alike: its device, time, tags and circumstances. BadValue: names the element."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from devices.errors import BadValue
from devices.fhir.base_observation import POSTURE_TAG, SITE_SYSTEM
from devices.fhir.coding import Resource, code_in
from devices.fhir.enumerations import meal_in
from devices.fhir.identifier import device_in
from devices.observation import Context, Posture, Site


def device_of(resource: Resource, devices: Mapping[str, str]) -> str:
    """Our name of the device. devices: what a reference to a Device stands for."""
    device: dict[str, Any] = resource.get("device", {})
    found = device_in([device["identifier"]]) if "identifier" in device else None
    found = found or devices.get(str(device.get("reference")))
    if found is None:
        raise BadValue("no device that is known here", field="device")
    return found


def understood(resource: Resource) -> None:
    """BadValue: it has a modifier, which may say the opposite of what else it says (FHIR R4, extensibility 2.4.0.2)."""
    if resource.get("modifierExtension"):
        raise BadValue("a modifier that is not known here", field="modifierExtension")


def time_of(resource: Resource) -> datetime:
    """Aware: when it was measured, or began to be."""
    period = resource.get("effectivePeriod", {})
    text = resource.get("effectiveDateTime") or period.get("start")
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise BadValue(str(error), field="effectiveDateTime") from error
    if found.tzinfo is None:
        raise BadValue(f"{text} has no time of day with an offset", field="effectiveDateTime")
    return found


def tag_in(resource: Resource, system: str) -> str | None:
    """The code of our tag. None: there is none."""
    tags = resource.get("meta", {}).get("tag", ())
    return next((str(tag.get("code")) for tag in tags if tag.get("system") == system), None)


def context_in(group: Iterable[Resource]) -> Context | None:
    """The circumstances that the resources of one record tell. None: they tell none."""
    resources = list(group)
    holders = [one for resource in resources for one in (resource, *resource.get("component", ()))]
    meal = next((found for found in map(meal_in, holders) if found is not None), None)
    site = code_in(resources[0].get("bodySite"), SITE_SYSTEM)
    posture = tag_in(resources[0], POSTURE_TAG)
    try:
        found = Context(meal=meal, site=Site(site) if site else None, posture=Posture(posture) if posture else None)
    except ValueError as error:
        raise BadValue(str(error), field="bodySite") from error
    return None if found == Context() else found

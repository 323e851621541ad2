"""A transaction Bundle: devices, observations and their time stamps, each created only where it is not there yet.

Source: HL7 Personal Health Device implementation guide, Conditional-create Identifier; FHIR R4, conditional create.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from devices.fhir.base_observation import Sender, key_of
from devices.fhir.coding import Resource
from devices.fhir.device import Nameplate, phd_device
from devices.fhir.identifier import reference_to
from devices.fhir.observation import resources_of
from devices.observation import Observation


def _entry(url: str, resource: Resource, identifier: Resource | None) -> Resource:
    request = {"method": "POST", "url": resource["resourceType"]}
    if identifier is not None:
        system = quote(identifier["system"], safe=":/.") + "|" if "system" in identifier else ""
        request["ifNoneExist"] = f"identifier={system}{quote(identifier['value'], safe=':')}"
    return {"fullUrl": url, "resource": resource, "request": request}


def transaction(
    observations: Iterable[Observation],
    plates: Iterable[Nameplate],
    gateway: Resource,
    *,
    subject: str,
    patient: str,
) -> Resource:
    """The Bundle. plates: of every device among the observations.  gateway: from `device.phg_device`.

    subject, patient: as in `Sender`.  Repeats of an observation are one entry.
    """
    key = gateway["identifier"][0]
    sender = Sender(reference_to("Device", key["value"]), subject, patient)
    entries = {sender.gateway: _entry(sender.gateway, gateway, key)}
    for plate in plates:
        url, resource = reference_to("Device", plate.device), phd_device(plate)
        entries[url] = _entry(url, resource, resource["identifier"][-1])
    for observation in observations:
        for resource in resources_of(observation, sender):
            url = key_of(resource)
            identifiers = resource.get("identifier", ())
            entries[url] = _entry(url, resource, next((one for one in identifiers if "system" not in one), None))
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries.values())}

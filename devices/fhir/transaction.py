"""A transaction Bundle: devices, observations and their time stamps, each created only where it is not there yet.

A corrected observation takes the place of the one that a server holds under the same identifier.
Source: HL7 Personal Health Device implementation guide, Conditional-create Identifier; FHIR R4, conditional create and
conditional update.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import tzinfo
from typing import Final
from urllib.parse import quote

from devices.fhir.base_observation import Sender, key_of
from devices.fhir.coding import Resource
from devices.fhir.device import Nameplate, phd_device
from devices.fhir.identifier import reference_to
from devices.fhir.observation import resources_of
from devices.observation import Fact, Observation

_CORRECTED: Final = (Fact.AMENDED | Fact.ENTERED_IN_ERROR).value


def _entry(url: str, resource: Resource, identifier: Resource | None, *, corrected: bool = False) -> Resource:
    request = {"method": "POST", "url": resource["resourceType"]}
    if identifier is not None:
        system = quote(identifier["system"], safe=":/.") + "|" if "system" in identifier else ""
        # FHIR R4, search 3.1.1.4.0.2: what separates values is escaped within one
        value = re.sub(r"[\\,$|]", r"\\\g<0>", identifier["value"])
        where = f"identifier={system}{quote(value, safe=':')}"
        if corrected:
            request = {"method": "PUT", "url": f"{resource['resourceType']}?{where}"}
        else:
            request["ifNoneExist"] = where
    return {"fullUrl": url, "resource": resource, "request": request}


def transaction(
    observations: Iterable[Observation],
    plates: Iterable[Nameplate],
    gateway: Resource,
    *,
    subject: str,
    patient: str,
    zone: tzinfo | None = None,
) -> Resource:
    """The Bundle. plates: of every device among the observations.  gateway: from `device.phg_device`.

    subject, patient, zone: as in `Sender`.  Repeats of an observation are one entry.
    """
    key = gateway["identifier"][0]
    sender = Sender(reference_to("Device", key["value"]), subject, patient, zone)
    entries = {sender.gateway: _entry(sender.gateway, gateway, key)}
    for plate in plates:
        url, resource = reference_to("Device", plate.device), phd_device(plate)
        entries[url] = _entry(url, resource, resource["identifier"][-1])
    for observation in observations:
        corrected = bool(observation.fact_bits() & _CORRECTED)
        for resource in resources_of(observation, sender):
            url = key_of(resource)
            identifiers = resource.get("identifier", ())
            identifier = next((one for one in identifiers if "system" not in one), None)
            entries[url] = _entry(url, resource, identifier, corrected=corrected)
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries.values())}

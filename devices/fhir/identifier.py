"""Who and which: device identifiers, the conditional-create identifier, the identity of a record, references.

Source: HL7 Personal Health Device implementation guide 2.0.0, PhdBaseObservation (Conditional-create Identifier) and
Generating the time stamp part of the identifier. Seconds are counted from 2000-01-01 on the device's own clock; the
guide's worked example (690897360 for 2021-11-22 11:56:30) is 30 s off, the count is 690897390.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from devices.errors import BadValue
from devices.fhir.coding import IDENTIFIER_TYPES, Resource, concept

EUI64_SYSTEM: Final = "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680"
BLUETOOTH_SYSTEM: Final = "http://hl7.org/fhir/sid/eui-48/bluetooth"
DEVICE_SYSTEM: Final = "urn:suifang:device"
RECORD_SYSTEM: Final = "urn:suifang:record"
NO_EUI64: Final = "00-00-00-00-00-00-00-00"
"""What version 1 of the guide demanded of a device without one; it says nothing of which device it is."""
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:suifang:fhir")
_QUARTER: Final = timedelta(minutes=15)


class Identified(Protocol):
    """What the identity of a record is made of; the members mean what they mean in `Observation`."""

    @property
    def device(self) -> str: ...
    @property
    def kind(self) -> int: ...
    @property
    def device_at(self) -> datetime | None: ...
    @property
    def record_no(self) -> int: ...


class Record(NamedTuple):
    """What a record identifier holds: the identity of an observation, in words."""

    device: str
    kind: int
    device_at: datetime | None
    record_no: int


def reference_to(resource_type: str, key: str) -> str:
    """`urn:uuid:…`, the same for the same key: what a transaction's entries call each other."""
    return f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{resource_type}/{key}')}"


def _hex(device: str) -> str:
    return re.sub(r"[:\-.]", "", device.partition(":")[2]).upper()


def device_part(device: str) -> str:
    """16 hex digits of an EUI-64, 12 of a Bluetooth address, else what the vendor calls it; capitals, no dashes."""
    return _hex(device)


def dashed(digits: str) -> str:
    """Hex digits in pairs, as IEEE writes an EUI."""
    return "-".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def device_identifiers(device: str, system_id: str = "") -> list[Resource]:
    """Device.identifier: SYSID and BTMAC, as far as the device has them, and our own. system_id: 16 hex digits, where
    the device is not known by it."""
    scheme, digits = device.partition(":")[0], _hex(device)
    eui64 = system_id.upper() or (digits if scheme == "eui64" and len(digits) == 16 else "")
    found = [_identifier("SYSID", EUI64_SYSTEM, dashed(eui64))] if eui64 else []
    if scheme == "ble" and len(digits) == 12:
        found.append(_identifier("BTMAC", BLUETOOTH_SYSTEM, dashed(digits)))
    return [*found, {"system": DEVICE_SYSTEM, "value": device}]


def _identifier(code: str, system: str, value: str) -> Resource:
    return {
        "type": concept(IDENTIFIER_TYPES, code),
        "system": system,
        "value": value,
    }


def device_in(identifiers: list[Resource]) -> str | None:
    """Our name of the device that bears these identifiers. None: it has none that we know."""
    by_system = {str(one.get("system")): str(one.get("value", "")) for one in identifiers}
    if DEVICE_SYSTEM in by_system:
        return by_system[DEVICE_SYSTEM]
    eui64 = by_system.get(EUI64_SYSTEM, NO_EUI64)
    if eui64 != NO_EUI64:
        return f"eui64:{eui64.replace('-', '').lower()}"
    address = by_system.get(BLUETOOTH_SYSTEM)
    return f"ble:{address.replace('-', ':').lower()}" if address else None


def stamp_part(device_at: datetime) -> str:
    """Seconds since 2000-01-01 by the device's clock, with its fraction where it has one; an offset in quarters of an
    hour where the device knows one."""
    offset = device_at.utcoffset()
    since = device_at.replace(tzinfo=UTC) - _EPOCH if offset is None else device_at - _EPOCH
    microseconds = since // timedelta(microseconds=1)
    whole, rest = divmod(abs(microseconds), 1_000_000)
    fraction = f".{rest:06}".rstrip("0") if rest else ""
    quarters = "" if offset is None else f"{round(offset / _QUARTER):+d}"
    return f"{'-' if microseconds < 0 else ''}{whole}{fraction}{quarters}"


def conditional_create(said: Identified, code: str, patient: str) -> Resource | None:
    """Observation.identifier for a conditional create. None: the record has no stamp, each one is new.

    patient: `value-system` of the patient's identifier, or the logical id that the gateway was given.  Duration and
    supplemental information would follow; no kind has them.
    """
    if said.device_at is None:
        return None
    return {"value": f"{device_part(said.device)}-{patient}-{code}-{stamp_part(said.device_at)}"}


def record_identifier(said: Identified) -> Resource:
    """The identifier that all resources of one record share."""
    stamp = said.device_at.isoformat() if said.device_at is not None else ""
    value = f"{said.device}|{said.kind}|{stamp}|{said.record_no}"
    return {"system": RECORD_SYSTEM, "value": value}


def record_in(resource: Resource) -> Record | None:
    """What the record identifier says. None: there is none. BadValue: it is not one of ours."""
    for one in resource.get("identifier", ()):
        if one.get("system") == RECORD_SYSTEM:
            try:
                device, kind, stamp, number = str(one.get("value")).split("|")
                return Record(device, int(kind), datetime.fromisoformat(stamp) if stamp else None, int(number))
            except ValueError as error:
                raise BadValue(str(error), field="identifier") from error
    return None

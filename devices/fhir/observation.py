"""One `Observation` as FHIR Observations: numeric, compound (blood pressure), bits, coded value, coincident time stamp.

Source: HL7 Personal Health Device implementation guide 2.0.0, profiles PhdNumericObservation, PhdCompoundObservation,
PhdBitsEnumerationObservation and PhdCodedEnumerationObservation (PhdCompoundNumericObservation: as version 1 has it);
vital signs of FHIR R4 beside them where unit and code meet their profiles. Samples are in `devices.fhir.waveform`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from devices.fhir import status
from devices.fhir.base_observation import Sender, base, key_of
from devices.fhir.coding import BLOOD_PRESSURE_LOINC, LOINC, MDC, VITALS, Resource, code_of, concept, loinc_of, quantity
from devices.fhir.coincident import coincident_time_stamp
from devices.fhir.enumerations import bits_of, meal_of
from devices.nomenclature import BLOOD_PRESSURE, BY_CODE, Slot
from devices.observation import Observation

_PRESSURES: Final = 3


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
        written = quantity(value, ucum)
        if written is None:
            return {"dataAbsentReason": status.absent_reason("not-at-this-resolution")}
        return {"valueQuantity": written}


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


def _shell(record: _Record, profiles: tuple[str, ...], code: Resource, vital: str = "") -> Resource:
    observation, sender, bits, coincident = record
    return base(observation, sender, code, profiles=profiles, bits=bits, coincident=coincident, vital=vital)


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

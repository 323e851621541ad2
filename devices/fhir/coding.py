"""Codings and quantities: MDC, LOINC and UCUM, and which vital-signs profile they meet.

Sources: HL7 Personal Health Device implementation guide 2.0.0 (Nomenclature codes, Obtaining the unit code); FHIR R4
vital signs, http://hl7.org/fhir/R4/observation-vitalsigns.html (the LOINC code and the units of each profile).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple

from devices.errors import BadValue
from devices.nomenclature import Slot

Resource = dict[str, Any]

MDC: Final = "urn:iso:std:iso:11073:10101"
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
GUIDE: Final = "http://hl7.org/fhir/uv/phd"
R4: Final = "http://hl7.org/fhir/StructureDefinition"
ABSENT_SYSTEM: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
YES_NO: Final = "http://terminology.hl7.org/CodeSystem/v2-0136"
BITS: Final = "http://terminology.hl7.org/CodeSystem/ASN1ToHL7"
BITS_BEFORE: Final = f"{GUIDE}/CodeSystem/ASN1ToHL7"
"""Where the guide had them before its version 2."""
IDENTIFIER_TYPES: Final = "http://terminology.hl7.org/CodeSystem/ContinuaDeviceIdentifiers"
OWN_MEASURE: Final = "urn:suifang:measure"
"""For values without a code in the nomenclature (impedance, basal metabolism): by their name in the table of kinds."""


class Vital(NamedTuple):
    """A FHIR R4 vital-signs profile, and the units that it allows."""

    profile: str
    units: frozenset[str]


BLOOD_PRESSURE_LOINC: Final = "85354-9"
VITALS: Final[dict[str, Vital]] = {
    BLOOD_PRESSURE_LOINC: Vital("bp", frozenset({"mm[Hg]"})),
    "8867-4": Vital("heartrate", frozenset({"/min"})),
    "2708-6": Vital("oxygensat", frozenset({"%"})),
    "8310-5": Vital("bodytemp", frozenset({"Cel", "[degF]"})),
    "29463-7": Vital("bodyweight", frozenset({"kg", "[lb_av]"})),
    "8302-2": Vital("bodyheight", frozenset({"cm", "[in_i]"})),
    "39156-5": Vital("bmi", frozenset({"kg/m2"})),
}
_OF_PRESSURES: Final = frozenset({"8480-6", "8462-4", "8478-0"})
# by pulse oximetry: the second code beside the one that the R4 profile demands
_BESIDE: Final = {"2708-6": "59408-5"}
# the table of kinds has the codes of moles per volume; mass per volume is another code
_BY_MASS: Final = {"14743-9": "41653-7", "15074-8": "2339-0", "14749-6": "2345-7", "105272-9": "99504-3"}
# kinds measure lengths in m, the profile of body height demands cm
_WRITTEN: Final = {"m": ("cm", 2)}
_READ: Final = {("8302-2", "cm"): ("m", -2)}
# what others write for the same unit: UCUM lets the litre be l, and counts be annotated
_SAME: Final = {
    "mmol/l": "mmol/L",
    "mg/dl": "mg/dL",
    "1/min": "/min",
    "{beat}/min": "/min",
    "{beats}/min": "/min",
    "{Beats}/min": "/min",
}
_BOUNDS: Final = {
    ">": "positive-infinity",
    ">=": "positive-infinity",
    "<": "negative-infinity",
    "<=": "negative-infinity",
}
_FURTHEST: Final = timedelta(hours=14)
_MINUTE: Final = timedelta(minutes=1)


def concept(system: str, code: str, *, display: str = "", text: str = "") -> Resource:
    """A CodeableConcept of one coding."""
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]} | ({"text": text} if text else {})


def code_in(value: Resource | None, system: str) -> str | None:
    """The code of this system in a CodeableConcept. None: there is none."""
    for coding in (value or {}).get("coding", ()):
        if coding.get("system") == system and isinstance(coding.get("code"), str):
            return str(coding["code"])
    return None


def loinc_of(slot: Slot, ucum: str) -> str:
    """The LOINC code of a slot in this unit, empty where there is none that fits.

    An Observation that bears the LOINC code of a vital sign has to meet its profile; in a unit that the profile does
    not allow (a pressure in kPa) it goes without.
    """
    loinc = _BY_MASS.get(slot.loinc, slot.loinc) if ucum == "mg/dL" else slot.loinc
    vital = VITALS.get(BLOOD_PRESSURE_LOINC if loinc in _OF_PRESSURES else loinc)
    return "" if vital is not None and _WRITTEN.get(ucum, (ucum, 0))[0] not in vital.units else loinc


def code_of(slot: Slot, ucum: str) -> Resource:
    """The CodeableConcept of a slot: MDC first, then LOINC."""
    system, code = (MDC, str(slot.code)) if slot.code else (OWN_MEASURE, slot.ref)
    found = concept(system, code, display=slot.ref if slot.code else "", text=slot.ref)
    loinc = loinc_of(slot, ucum)
    for one in (loinc, _BESIDE.get(loinc, "")):
        if one:
            found["coding"].append({"system": LOINC, "code": one})
    return found


def _shifted(value: float, places: int) -> float:
    return float(Decimal(repr(value)).scaleb(places))


def quantity(value: float, ucum: str) -> Resource | None:
    """A Quantity in UCUM. Lengths in m are written in cm: the point is moved, and 15 digits come through unrounded.

    None: no finite number, or none once its point is moved.
    """
    written, places = _WRITTEN.get(ucum, (ucum, 0))
    number = _shifted(value, places)
    return {"value": number, "unit": written, "system": UCUM, "code": written} if math.isfinite(number) else None


def number_in(value: Resource, slot: Slot) -> tuple[float | str, str] | None:
    """The number of a Quantity, or in its place the reason why it is only a bound (`devices.observation.Absent`), and
    its UCUM unit as the table of kinds has it. None: no number, or not UCUM.  BadValue: a number that is not finite.
    """
    number, ucum = value.get("value"), value.get("code")
    if isinstance(number, bool) or not isinstance(number, (int, float, Decimal)):
        return None
    if value.get("system") != UCUM or not isinstance(ucum, str):
        return None
    if not math.isfinite(number):
        raise BadValue(f"{number} is no number", field="valueQuantity.value")
    ucum = _SAME.get(ucum, ucum)
    unit, places = _READ.get((slot.loinc, ucum), (ucum, 0))
    if "comparator" in value:
        return _BOUNDS.get(str(value["comparator"]), "unsuccessful"), unit
    return _shifted(float(number), places), unit


def writable(offset: timedelta | None) -> bool:
    """FHIR's dateTime has offsets of whole minutes, to 14 h."""
    return offset is not None and abs(offset) <= _FURTHEST and not offset % _MINUTE


def written_time(at: datetime, zone: tzinfo | None = None) -> str:
    """An aware time as FHIR's dateTime, in this zone; None: as it is. Where its offset cannot be written, in UTC.

    OverflowError: there it is outside the calendar.
    """
    shown = at if zone is None else at.astimezone(zone)
    return (shown if writable(shown.utcoffset()) else shown.astimezone(UTC)).isoformat()

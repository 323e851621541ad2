"""Status bits and meal context: what PhdBitsEnumerationObservation and PhdCodedEnumerationObservation hold.

Source: HL7 Personal Health Device implementation guide 2.0.0, code system ASN1ToHL7 and the profiles named; MDER
numbers bits from the left, so `8410608.0` is the high-order one. A fact that stands for several bits (a strip wrongly
inserted, or of the wrong type) has no row: which bit it was is not known any more.
"""

from __future__ import annotations

from typing import Final

from devices.fhir.coding import BITS, BITS_BEFORE, MDC, YES_NO, Resource, code_in, concept
from devices.nomenclature import BLOOD_PRESSURE, GLUCOSE_CONTROL, GLUCOSE_INTERSTITIAL, GLUCOSE_KINDS, PULSE_OXIMETRY
from devices.observation import Context, Fact, Meal

_CUFF: Final = {
    0: Fact.BODY_MOVEMENT,
    1: Fact.CUFF_TOO_LOOSE,
    2: Fact.IRREGULAR_PULSE,
    3: Fact.PULSE_ABOVE_RANGE,
    4: Fact.PULSE_BELOW_RANGE,
    5: Fact.IMPROPER_POSITION,
}
_OXIMETER: Final = {
    0: Fact.SENSOR_DISCONNECTED,
    2: Fact.SENSOR_DISPLACED,
    7: Fact.PULSE_QUESTIONABLE,
    10: Fact.LOW_PERFUSION,
    11: Fact.POOR_SIGNAL,
    14: Fact.DEVICE_MALFUNCTION,
}
_METER: Final = {
    0: Fact.BATTERY_LOW,
    2: Fact.SAMPLE_INSUFFICIENT,
    5: Fact.RESULT_TOO_HIGH,
    6: Fact.RESULT_TOO_LOW,
    9: Fact.READ_INTERRUPTED,
    10: Fact.DEVICE_MALFUNCTION,
    11: Fact.SENSOR_TEMPERATURE,
}
_SENSOR: Final = {3: Fact.DEVICE_MALFUNCTION, 18: Fact.RESULT_TOO_LOW, 19: Fact.RESULT_TOO_HIGH}
_BITS: Final[dict[int, tuple[str, dict[int, Fact]]]] = {
    BLOOD_PRESSURE: ("8410608", _CUFF),
    PULSE_OXIMETRY: ("150604", _OXIMETER),
    GLUCOSE_CONTROL: ("8417752", _METER),
    **dict.fromkeys(GLUCOSE_KINDS, ("8417752", _METER)),
    GLUCOSE_INTERSTITIAL: ("8418060", _SENSOR),
}
_READ_ONLY: Final = {
    Fact.DEVICE_MALFUNCTION: ("150604.1", "8417752.1", "8418060.2"),
    Fact.QUESTIONABLE: ("150604.3",),
    Fact.SENSOR_DISCONNECTED: ("150604.4",),
    Fact.POOR_SIGNAL: ("150604.5", "150604.9", "150604.12", "150604.13"),
    Fact.PULSE_QUESTIONABLE: ("150604.8",),
    Fact.STRIP_ERROR: ("8417752.3", "8417752.4"),
    Fact.SENSOR_TEMPERATURE: ("8417752.7", "8417752.8", "8418060.10", "8418060.11"),
}
"""Bits that share a fact with another: not written, and read as those of a 20601 agent are."""
_FACT_OF: Final = {f"{code}.{bit}": fact.value for code, bits in _BITS.values() for bit, fact in bits.items()} | {
    code: fact.value for fact, codes in _READ_ONLY.items() for code in codes
}
STATUS_CODES: Final = frozenset(code for code, _ in _BITS.values())

MEAL_CONTEXT: Final = "8417864"
_MEALS: Final = {
    Meal.PREPRANDIAL: "8417868",
    Meal.POSTPRANDIAL: "8417872",
    Meal.FASTING: "8417876",
    Meal.CASUAL: "8417880",
    Meal.BEDTIME: "8417908",
}


def bits_of(kind: int, facts: int) -> list[tuple[str, list[Resource]]]:
    """The MDC code of the status word and a component a bit that is set; only set bits of an event are reported."""
    code, bits = _BITS.get(kind, ("", {}))
    components = [
        {
            "code": concept(BITS, f"{code}.{bit}", text=str(fact.name).lower().replace("_", "-")),
            "valueBoolean": True,
        }
        for bit, fact in bits.items()
        if facts & fact.value
    ]
    return [(code, components)] if components else []


def facts_of_bits(resource: Resource) -> int:
    """The facts of the bits that are set, also as version 1 of the guide said it; a bit that is no fact has none."""
    found = 0
    for component in resource.get("component", ()):
        if component.get("valueBoolean") is True or code_in(component.get("valueCodeableConcept"), YES_NO) == "Y":
            code = code_in(component.get("code"), BITS) or code_in(component.get("code"), BITS_BEFORE)
            found |= _FACT_OF.get(code or "", 0)
    return found


def meal_of(context: Context | None) -> tuple[str, Resource] | None:
    """The MDC code of the meal context and its value. None: not known."""
    if context is None or context.meal is None:
        return None
    name = f"MDC_CTXT_GLU_MEAL_{context.meal.name}"
    return MEAL_CONTEXT, concept(MDC, _MEALS[context.meal], display=name, text=context.meal.value)


def meal_in(resource: Resource) -> Meal | None:
    """The meal of a coded enumeration. None: a code without one of ours."""
    code = code_in(resource.get("valueCodeableConcept"), MDC)
    return next((meal for meal, known in _MEALS.items() if known == code), None)

"""What a glucose record means: kind by sample type, HI and LO, control solution, and the meal from its context.

Source: Bluetooth Glucose Service 1.0.1, clauses 3.1 and 3.2; ISO/IEEE 11073-10101 for the kinds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from devices.clock import Moment, place
from devices.gatt import record
from devices.gatt.glucose import (
    GlucoseMeasurement,
    GlucoseMeasurementContext,
    MealCode,
    SampleLocation,
    SampleType,
    SensorStatus,
)
from devices.nomenclature import GLUCOSE_CONTROL, GLUCOSE_INTERSTITIAL
from devices.observation import Context, Fact, Meal, Observation, Site

_KIND: Final[dict[int, int]] = {
    SampleType.CAPILLARY_WHOLE_BLOOD: 160184,
    SampleType.CAPILLARY_PLASMA: 160188,
    SampleType.VENOUS_WHOLE_BLOOD: 160192,
    SampleType.VENOUS_PLASMA: 160196,
    SampleType.ARTERIAL_WHOLE_BLOOD: 160200,
    SampleType.ARTERIAL_PLASMA: 160204,
    SampleType.UNDETERMINED_WHOLE_BLOOD: 160364,
    SampleType.UNDETERMINED_PLASMA: 160368,
    SampleType.INTERSTITIAL_FLUID: GLUCOSE_INTERSTITIAL,
    SampleType.CONTROL_SOLUTION: GLUCOSE_CONTROL,
}
_UNDETERMINED: Final = 160364
_SHIFT: Final = {"kg/L": ("mg/dL", 5), "mol/L": ("mmol/L", 3)}
_MEAL: Final[dict[int, Meal]] = {
    MealCode.PREPRANDIAL: Meal.PREPRANDIAL,
    MealCode.POSTPRANDIAL: Meal.POSTPRANDIAL,
    MealCode.FASTING: Meal.FASTING,
    MealCode.CASUAL: Meal.CASUAL,
    MealCode.BEDTIME: Meal.BEDTIME,
}
SITES: Final[dict[int, Site]] = {
    SampleLocation.FINGER: Site.FINGER,
    SampleLocation.ALTERNATE_SITE: Site.ALTERNATE_SITE,
    SampleLocation.EARLOBE: Site.EARLOBE,
}
_FACTS: Final = (
    (SensorStatus.BATTERY_LOW.value, Fact.BATTERY_LOW),
    (SensorStatus.SENSOR_MALFUNCTION.value, Fact.DEVICE_MALFUNCTION),
    (SensorStatus.SAMPLE_SIZE_INSUFFICIENT.value, Fact.SAMPLE_INSUFFICIENT),
    (SensorStatus.STRIP_INSERTION_ERROR.value | SensorStatus.STRIP_TYPE_INCORRECT.value, Fact.STRIP_ERROR),
    (SensorStatus.RESULT_TOO_HIGH.value, Fact.RESULT_TOO_HIGH),
    (SensorStatus.RESULT_TOO_LOW.value, Fact.RESULT_TOO_LOW),
    (SensorStatus.TEMPERATURE_TOO_HIGH.value | SensorStatus.TEMPERATURE_TOO_LOW.value, Fact.SENSOR_TEMPERATURE),
    (SensorStatus.READ_INTERRUPTED.value, Fact.READ_INTERRUPTED),
    (SensorStatus.GENERAL_DEVICE_FAULT.value, Fact.DEVICE_MALFUNCTION),
    (SensorStatus.TIME_FAULT.value, Fact.TIME_FAULT),
)


# plain integers: to look up a member of an enumeration costs more than to compare it
_CONTROL_TYPE: Final = SampleType.CONTROL_SOLUTION.value
_CONTROL_LOCATION: Final = SampleLocation.CONTROL_SOLUTION.value
_CONTROL_SOLUTION: Final = Fact.CONTROL_SOLUTION.value
_INVALID: Final = Fact.INVALID.value


@record.remembered
def status_facts(status: int | None) -> int:
    """The facts of a sensor status annunciation, as bits."""
    return record.facts_of(status, _FACTS)


@record.remembered
def _circumstances(meal_code: int, location: int) -> Context | None:
    meal, site = _MEAL.get(meal_code), SITES.get(location)
    return Context(meal=meal, site=site) if meal or site else None


def is_control(measurement: GlucoseMeasurement) -> bool:
    """Control solution by its type, or by its location where the meter kept the type of the last sample.

    Also of interstitial fluid: 4 is control solution in the tables of both services, and under the skin is 5.
    """
    return measurement.type == _CONTROL_TYPE or measurement.sample_location == _CONTROL_LOCATION


def kind_of(measurement: GlucoseMeasurement) -> int:
    """The MDC code. Without a concentration or with a reserved type: undetermined whole blood."""
    if is_control(measurement):
        return GLUCOSE_CONTROL
    return _KIND.get(measurement.type or 0, _UNDETERMINED)


def observe(
    measurement: GlucoseMeasurement,
    source: record.DeviceFacts,
    moment: Moment,
    context: GlucoseMeasurementContext | None = None,
    *,
    foreign_meals: frozenset[int] = frozenset(),
) -> Observation:
    """One glucose record, in mg/dL where the meter sent kg/L and in mmol/L where it sent mol/L: exact shifts.

    record_no is the sequence number.  foreign_meals: meal codes with which a product marks records that are not
    glucose at all (`devices.products`); such a record is INVALID.
    """
    unit, places = _SHIFT[measurement.unit]
    number = measurement.concentration
    facts = status_facts(measurement.sensor_status_annunciation)
    kind = kind_of(measurement)
    if kind == GLUCOSE_CONTROL:
        facts |= _CONTROL_SOLUTION
    meal = context.meal if context is not None else None
    if meal in foreign_meals:
        facts |= _INVALID
    return record.observe(
        kind,
        (None if number is None else number.shifted(places),),
        unit,
        source,
        place(measurement.user_facing_time, moment),
        facts,
        measurement.trailing,
        None,
        _circumstances(meal or 0, measurement.sample_location or 0),
        measurement.sequence_number,
    )


def join(
    measurements: Iterable[GlucoseMeasurement], contexts: Iterable[GlucoseMeasurementContext]
) -> list[tuple[GlucoseMeasurement, GlucoseMeasurementContext | None]]:
    """Each measurement with the context of its sequence number, in the order of the measurements."""
    by_number = {context.sequence_number: context for context in contexts}
    return [(measurement, by_number.get(measurement.sequence_number)) for measurement in measurements]

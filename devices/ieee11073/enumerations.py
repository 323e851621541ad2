"""What enumerations say about the values beside them: meal, sample location, the status words of meter and oximeter.

Sources: ISO/IEEE 11073-10417 (glucose: meal, location, device and sensor status), 11073-10404 (oximeter status).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from devices.gatt.record import facts_of
from devices.ieee11073.attribute_values import EnumValue
from devices.ieee11073.codes import Attr
from devices.ieee11073.objects import Measured
from devices.observation import Fact, Meal, Site

_PHD_DM: Final = 128
_SCADA: Final = 2
MEAL: Final = (_PHD_DM, 29256)
LOCATION: Final = (_PHD_DM, 29236)
GLUCOSE_STATUS: Final = (_PHD_DM, 29144)
OXIMETER_STATUS: Final = (_SCADA, 19532)
CONTROL_SOLUTION: Final = 29252

MEALS: Final = {
    29260: Meal.PREPRANDIAL,
    29264: Meal.POSTPRANDIAL,
    29268: Meal.FASTING,
    29272: Meal.CASUAL,
    # published lists give either number to bedtime
    29261: Meal.BEDTIME,
    29300: Meal.BEDTIME,
}
SITES: Final = {
    29240: Site.FINGER,
    29241: Site.SUBCUTANEOUS,
    29244: Site.ALTERNATE_SITE,
    29248: Site.EARLOBE,
}


def _bit(number: int) -> int:
    return 0x8000 >> number


_GLUCOSE: Final = (
    (_bit(0), Fact.BATTERY_LOW),
    (_bit(1), Fact.DEVICE_MALFUNCTION),
    (_bit(2), Fact.SAMPLE_INSUFFICIENT),
    (_bit(3) | _bit(4), Fact.STRIP_ERROR),
    (_bit(5), Fact.RESULT_TOO_HIGH),
    (_bit(6), Fact.RESULT_TOO_LOW),
    (_bit(7) | _bit(8), Fact.SENSOR_TEMPERATURE),
    (_bit(9), Fact.READ_INTERRUPTED),
    (_bit(10), Fact.DEVICE_MALFUNCTION),
)
_OXIMETER: Final = (
    (_bit(0) | _bit(4), Fact.SENSOR_DISCONNECTED),
    (_bit(1) | _bit(14), Fact.DEVICE_MALFUNCTION),
    (_bit(2), Fact.SENSOR_DISPLACED),
    (_bit(3), Fact.QUESTIONABLE),
    (_bit(5) | _bit(9) | _bit(11) | _bit(12) | _bit(13), Fact.POOR_SIGNAL),
    (_bit(7) | _bit(8), Fact.PULSE_QUESTIONABLE),
    (_bit(10), Fact.LOW_PERFUSION),
)


class Circumstances(NamedTuple):
    """What was said beside the numbers. facts: bits of `Fact`.  control: the sample is control solution."""

    facts: int = 0
    meal: Meal | None = None
    site: Site | None = None
    control: bool = False


NONE: Final = Circumstances()
_VALUES: Final = (
    Attr.ENUM_OBS_VAL_SIMP_OID,
    Attr.ENUM_OBS_VAL_BASIC_BIT_STR,
    Attr.ENUM_OBS_VAL_SIMP_BIT_STR,
    Attr.VAL_ENUM_OBS,
)


def value_in(measured: Measured) -> int | None:
    """The term or the bits of an enumeration. 32 bits are brought to the 16 of the tables: both begin at bit 0."""
    for attribute in _VALUES:
        value = measured.values.get(attribute)
        if value is None:
            continue
        if isinstance(value, EnumValue):
            value = value.value
        if isinstance(value, int):
            return value >> 16 if attribute == Attr.ENUM_OBS_VAL_SIMP_BIT_STR else value
    return None


def circumstances(enumerations: Iterable[Measured]) -> Circumstances:
    """What the enumerations of one record say together."""
    found = NONE
    for measured in enumerations:
        value = value_in(measured)
        if value is None:
            continue
        kind = tuple(measured.metric.type)
        if kind == MEAL:
            found = found._replace(meal=MEALS.get(value, found.meal))
        elif kind == LOCATION:
            found = found._replace(
                site=SITES.get(value, found.site), control=found.control or value == CONTROL_SOLUTION
            )
        elif kind == GLUCOSE_STATUS:
            found = found._replace(facts=found.facts | facts_of(value, _GLUCOSE))
        elif kind == OXIMETER_STATUS:
            found = found._replace(facts=found.facts | facts_of(value, _OXIMETER))
    return found

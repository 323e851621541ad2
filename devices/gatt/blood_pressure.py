"""Blood Pressure Service (0x1810): measurement 0x2A35, intermediate cuff pressure 0x2A36, feature 0x2A49.

Source: Bluetooth Blood Pressure Service 1.1.1, clauses 3.1 (measurement), 3.2 (intermediate), 3.3 (feature).
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final

from devices import medfloat
from devices.clock import DATE_TIME, DateTime, Moment, place
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.medfloat import Medfloat
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Fact, Observation
from devices.octets import SFLOAT, U8, U16, Choice, Field, Layout

UNITS: Final = Choice("unit", 0x01, "mm[Hg]", "kPa")
_TAIL: Final = (
    Field("time_stamp", DATE_TIME, when=0x02),
    Field("pulse_rate", SFLOAT, when=0x04),
    Field("user_id", U8, when=0x08),
    Field("measurement_status", U16, when=0x10),
)


class MeasurementStatus(enum.IntFlag):
    """Bits of `measurement_status`; the pulse range is two bits: 0 in range, 1 above, 2 below, 3 reserved."""

    BODY_MOVEMENT = 0x01
    CUFF_TOO_LOOSE = 0x02
    IRREGULAR_PULSE = 0x04
    PULSE_ABOVE_RANGE = 0x08
    PULSE_BELOW_RANGE = 0x10
    PULSE_RANGE = 0x18
    IMPROPER_POSITION = 0x20


class Feature(enum.IntFlag):
    """Bits of the feature characteristic."""

    BODY_MOVEMENT_DETECTION = 0x01
    CUFF_FIT_DETECTION = 0x02
    IRREGULAR_PULSE_DETECTION = 0x04
    PULSE_RANGE_DETECTION = 0x08
    MEASUREMENT_POSITION_DETECTION = 0x10
    MULTIPLE_BOND = 0x20
    E2E_CRC = 0x40
    USER_DATA_SERVICE = 0x80
    USER_FACING_TIME = 0x100


_FACTS: Final = (
    (MeasurementStatus.BODY_MOVEMENT.value, Fact.BODY_MOVEMENT),
    (MeasurementStatus.CUFF_TOO_LOOSE.value, Fact.CUFF_TOO_LOOSE),
    (MeasurementStatus.IRREGULAR_PULSE.value, Fact.IRREGULAR_PULSE),
    (MeasurementStatus.IMPROPER_POSITION.value, Fact.IMPROPER_POSITION),
)
_RANGE: Final = {0x08: Fact.PULSE_ABOVE_RANGE.value, 0x10: Fact.PULSE_BELOW_RANGE.value}


class BloodPressureMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2A35, indicated. Pressures in `unit` (mm[Hg] or kPa), pulse in /min, user_id 0xFF: unknown user."""

    uuid: ClassVar[str] = "2A35"
    layout: ClassVar[Layout] = Layout(
        (
            Field("systolic", SFLOAT),
            Field("diastolic", SFLOAT),
            Field("mean_arterial_pressure", SFLOAT),
            *_TAIL,
        ),
        choices=(UNITS,),
    )

    systolic: Medfloat
    diastolic: Medfloat
    mean_arterial_pressure: Medfloat
    unit: str = "mm[Hg]"
    time_stamp: DateTime | None = None
    pulse_rate: Medfloat | None = None
    user_id: int | None = None
    measurement_status: int | None = None


class IntermediateCuffPressure(Characteristic, frozen=True, kw_only=True):
    """0x2A36, notified while the cuff inflates; never a reading. The places of diastolic and mean are unused."""

    uuid: ClassVar[str] = "2A36"
    layout: ClassVar[Layout] = Layout(
        (
            Field("current_cuff_pressure", SFLOAT),
            Field("unused_diastolic", SFLOAT),
            Field("unused_mean_arterial_pressure", SFLOAT),
            *_TAIL,
        ),
        choices=(UNITS,),
    )

    current_cuff_pressure: Medfloat
    unused_diastolic: Medfloat = medfloat.NAN
    unused_mean_arterial_pressure: Medfloat = medfloat.NAN
    unit: str = "mm[Hg]"
    time_stamp: DateTime | None = None
    pulse_rate: Medfloat | None = None
    user_id: int | None = None
    measurement_status: int | None = None


class BloodPressureFeature(Characteristic, frozen=True, kw_only=True):
    """0x2A49, read: bits of `Feature`."""

    uuid: ClassVar[str] = "2A49"
    layout: ClassVar[Layout] = Layout((Field("features", U16),), flags="")

    features: int


@record.remembered
def status_facts(status: int | None) -> int:
    """The facts of a measurement status, as bits."""
    facts = record.facts_of(status, _FACTS)
    return facts | _RANGE.get((status or 0) & MeasurementStatus.PULSE_RANGE.value, 0)


def observe(measurement: BloodPressureMeasurement, source: record.DeviceFacts, moment: Moment) -> Observation:
    """One cuff reading: systolic, diastolic, mean, pulse. A mean of 0 was not computed by the cuff."""
    m = measurement
    mean, user, status = m.mean_arterial_pressure, m.user_id, m.measurement_status
    return record.observe(
        BLOOD_PRESSURE,
        (m.systolic, m.diastolic, mean if mean.value else record.nonzero(mean), m.pulse_rate),
        m.unit,
        source,
        place(m.time_stamp, moment),
        status_facts(status) if status else 0,
        m.trailing,
        None if user == record.UNKNOWN_USER else user,
    )

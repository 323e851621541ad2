"""Enhanced Blood Pressure Measurement (0x2B34) and Enhanced Intermediate Cuff Pressure (0x2B35).

Source: GATT Specification Supplement, as two public implementations render it: the fields of 0x2A35, with times in
seconds. Bit 6 says from when they count: 1900-01-01, or 2000-01-01 where it is set. The time stamp
is UTC, the user facing time is what the display showed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

import msgspec

from devices.clock import CorrectedTime, Moment, correct
from devices.gatt import record
from devices.gatt.blood_pressure import UNITS, status_facts
from devices.gatt.characteristic import Characteristic
from devices.medfloat import Medfloat
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from devices.octets import SFLOAT, U8, U16, U32, Choice, Field, Layout

_CHOICES: Final = (UNITS, Choice("epoch", 0x40, 1900, 2000))
_TAIL: Final = (
    Field("time_stamp", U32, when=0x02),
    Field("pulse_rate", SFLOAT, when=0x04),
    Field("user_id", U8, when=0x08),
    Field("measurement_status", U16, when=0x10),
    Field("user_facing_time", U32, when=0x20),
)


class EnhancedBloodPressureMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2B34, indicated. Pressures in `unit`, pulse in /min; times in s since the first day of `epoch`."""

    uuid: ClassVar[str] = "2B34"
    layout: ClassVar[Layout] = Layout(
        (
            Field("systolic", SFLOAT),
            Field("diastolic", SFLOAT),
            Field("mean_arterial_pressure", SFLOAT),
            *_TAIL,
        ),
        choices=_CHOICES,
    )

    systolic: Medfloat
    diastolic: Medfloat
    mean_arterial_pressure: Medfloat
    unit: str = "mm[Hg]"
    epoch: int = 2000
    time_stamp: int | None = None
    pulse_rate: Medfloat | None = None
    user_id: int | None = None
    measurement_status: int | None = None
    user_facing_time: int | None = None


class EnhancedIntermediateCuffPressure(Characteristic, frozen=True, kw_only=True):
    """0x2B35, notified while the cuff inflates; never a reading."""

    uuid: ClassVar[str] = "2B35"
    layout: ClassVar[Layout] = Layout((Field("current_cuff_pressure", SFLOAT), *_TAIL), choices=_CHOICES)

    current_cuff_pressure: Medfloat
    unit: str = "mm[Hg]"
    epoch: int = 2000
    time_stamp: int | None = None
    pulse_rate: Medfloat | None = None
    user_id: int | None = None
    measurement_status: int | None = None
    user_facing_time: int | None = None


def _time(measurement: EnhancedBloodPressureMeasurement, moment: Moment) -> CorrectedTime:
    """The UTC stamp where there is one: it does not jump with the display. Else what the display showed, as local."""
    began = datetime(measurement.epoch, 1, 1)  # noqa: DTZ001  UTC or local, by the field
    live, received = moment.live, moment.received_at
    if measurement.time_stamp is not None:
        stamp = began + timedelta(seconds=measurement.time_stamp)
        found = correct(stamp, None, None, received, UTC, live=live)
        return msgspec.structs.replace(found, device_at=stamp.replace(tzinfo=UTC))
    shown = measurement.user_facing_time
    at = None if shown is None else began + timedelta(seconds=shown)
    return correct(at, moment.device_now, moment.gateway_now, received, moment.zone, live=live)


def observe(measurement: EnhancedBloodPressureMeasurement, source: record.DeviceFacts, moment: Moment) -> Observation:
    """One cuff reading, as of 0x2A35."""
    return record.observe(
        BLOOD_PRESSURE,
        (
            measurement.systolic,
            measurement.diastolic,
            record.nonzero(measurement.mean_arterial_pressure),
            measurement.pulse_rate,
        ),
        measurement.unit,
        source,
        _time(measurement, moment),
        status_facts(measurement.measurement_status),
        measurement.trailing,
        slot=record.slot_of(measurement.user_id),
    )

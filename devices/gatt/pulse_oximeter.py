"""Pulse Oximeter Service (0x1822): spot-check 0x2A5E, continuous 0x2A5F, features 0x2A60.

Source: Bluetooth Pulse Oximeter Service 1.0.1, clauses 3.1 (spot-check, table 3.2), 3.2 (continuous, table 3.4),
3.3 (features); measurement status table 3.3, device and sensor status table 3.5.
"""

from __future__ import annotations

import enum
from typing import Any, ClassVar, Final, Self

from devices.clock import DATE_TIME, DateTime, Moment, place
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.medfloat import Medfloat
from devices.nomenclature import PULSE_OXIMETRY
from devices.observation import Fact, Observation
from devices.octets import SFLOAT, U16, U24, Choice, Field, Layout


class MeasurementStatus(enum.IntFlag):
    """Bits of `measurement_status`; 0-4 are reserved."""

    MEASUREMENT_ONGOING = 0x0020
    EARLY_ESTIMATE = 0x0040
    VALIDATED = 0x0080
    FULLY_QUALIFIED = 0x0100
    FROM_STORAGE = 0x0200
    FOR_DEMONSTRATION = 0x0400
    FOR_TESTING = 0x0800
    CALIBRATION_ONGOING = 0x1000
    UNAVAILABLE = 0x2000
    QUESTIONABLE = 0x4000
    INVALID = 0x8000


class SensorStatus(enum.IntFlag):
    """Bits of `device_and_sensor_status`; 16-23 are reserved."""

    EXTENDED_DISPLAY_UPDATE = 0x0001
    EQUIPMENT_MALFUNCTION = 0x0002
    SIGNAL_PROCESSING_IRREGULARITY = 0x0004
    INADEQUATE_SIGNAL = 0x0008
    POOR_SIGNAL = 0x0010
    LOW_PERFUSION = 0x0020
    ERRATIC_SIGNAL = 0x0040
    NON_PULSATILE_SIGNAL = 0x0080
    QUESTIONABLE_PULSE = 0x0100
    SIGNAL_ANALYSIS_ONGOING = 0x0200
    SENSOR_INTERFERENCE = 0x0400
    SENSOR_UNCONNECTED_TO_USER = 0x0800
    UNKNOWN_SENSOR = 0x1000
    SENSOR_DISPLACED = 0x2000
    SENSOR_MALFUNCTION = 0x4000
    SENSOR_DISCONNECTED = 0x8000


_M, _S = MeasurementStatus, SensorStatus
_MEASUREMENT_FACTS: Final = (
    (_M.EARLY_ESTIMATE.value, Fact.EARLY_ESTIMATE),
    (_M.VALIDATED.value, Fact.VALIDATED),
    (_M.FROM_STORAGE.value, Fact.FROM_STORAGE),
    (_M.FOR_DEMONSTRATION.value, Fact.DEMO_DATA),
    (_M.FOR_TESTING.value, Fact.TEST_DATA),
    (_M.CALIBRATION_ONGOING.value, Fact.CALIBRATION_ONGOING),
    (_M.UNAVAILABLE.value, Fact.NOT_AVAILABLE),
    (_M.QUESTIONABLE.value, Fact.QUESTIONABLE),
    (_M.INVALID.value, Fact.INVALID),
)
_FROM_STORAGE: Final = Fact.FROM_STORAGE.value
_SENSOR_FACTS: Final = (
    ((_S.EQUIPMENT_MALFUNCTION | _S.SENSOR_MALFUNCTION).value, Fact.DEVICE_MALFUNCTION),
    (
        (
            _S.SIGNAL_PROCESSING_IRREGULARITY | _S.INADEQUATE_SIGNAL | _S.POOR_SIGNAL | _S.ERRATIC_SIGNAL
            | _S.SENSOR_INTERFERENCE
        ).value,
        Fact.POOR_SIGNAL,
    ),
    (_S.LOW_PERFUSION.value, Fact.LOW_PERFUSION),
    ((_S.NON_PULSATILE_SIGNAL | _S.QUESTIONABLE_PULSE).value, Fact.PULSE_QUESTIONABLE),
    (_S.UNKNOWN_SENSOR.value, Fact.QUESTIONABLE),
    (_S.SENSOR_DISPLACED.value, Fact.SENSOR_DISPLACED),
    ((_S.SENSOR_UNCONNECTED_TO_USER | _S.SENSOR_DISCONNECTED).value, Fact.SENSOR_DISCONNECTED),
)  # fmt: skip


class PlxSpotCheckMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2A5E, indicated. spo2 and pulse_amplitude_index in %, pr in /min."""

    uuid: ClassVar[str] = "2A5E"
    layout: ClassVar[Layout] = Layout(
        (
            Field("spo2", SFLOAT),
            Field("pr", SFLOAT),
            Field("time_stamp", DATE_TIME, when=0x01),
            Field("measurement_status", U16, when=0x02),
            Field("device_and_sensor_status", U24, when=0x04),
            Field("pulse_amplitude_index", SFLOAT, when=0x08),
        ),
        choices=(Choice("device_clock_not_set", 0x10, False, True),),
    )

    spo2: Medfloat
    pr: Medfloat
    time_stamp: DateTime | None = None
    measurement_status: int | None = None
    device_and_sensor_status: int | None = None
    pulse_amplitude_index: Medfloat | None = None
    device_clock_not_set: bool = False


class PlxContinuousMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2A5F, notified, without a stamp. The fast and slow pairs answer to motion more quickly and more steadily."""

    uuid: ClassVar[str] = "2A5F"
    layout: ClassVar[Layout] = Layout(
        (
            Field("spo2", SFLOAT),
            Field("pr", SFLOAT),
            Field("spo2_fast", SFLOAT, when=0x01),
            Field("pr_fast", SFLOAT, when=0x01),
            Field("spo2_slow", SFLOAT, when=0x02),
            Field("pr_slow", SFLOAT, when=0x02),
            Field("measurement_status", U16, when=0x04),
            Field("device_and_sensor_status", U24, when=0x08),
            Field("pulse_amplitude_index", SFLOAT, when=0x10),
        )
    )

    spo2: Medfloat
    pr: Medfloat
    spo2_fast: Medfloat | None = None
    pr_fast: Medfloat | None = None
    spo2_slow: Medfloat | None = None
    pr_slow: Medfloat | None = None
    measurement_status: int | None = None
    device_and_sensor_status: int | None = None
    pulse_amplitude_index: Medfloat | None = None


class PlxFeatures(Characteristic, frozen=True, kw_only=True):
    """0x2A60, read. Bits 0 and 1 announce the two masks of status bits that the device can raise."""

    uuid: ClassVar[str] = "2A60"
    layout: ClassVar[Layout] = Layout(
        (
            Field("measurement_status_support", U16, when=0x01),
            Field("device_and_sensor_status_support", U24, when=0x02),
        ),
        flags="H",
        choices=tuple(
            Choice(name, 0x04 << bit, False, True)
            for bit, name in enumerate(
                (
                    "spot_check_storage",
                    "spot_check_time_stamp",
                    "fast_pair",
                    "slow_pair",
                    "amplitude_index",
                    "multiple_bonds",
                )
            )
        ),
    )

    measurement_status_support: int | None = None
    device_and_sensor_status_support: int | None = None
    spot_check_storage: bool = False
    spot_check_time_stamp: bool = False
    fast_pair: bool = False
    slow_pair: bool = False
    amplitude_index: bool = False
    multiple_bonds: bool = False

    @property
    def supported_features(self) -> int:
        """The feature word, as sent."""
        return self.flags_in()

    @classmethod
    def of(cls, supported_features: int, **supports: Any) -> Self:
        """Features from the whole word; bits 0 and 1 follow from the masks given."""
        named: dict[str, Any] = {one.name: bool(supported_features & one.mask) for one in cls.layout.choices}
        return cls(reserved=supported_features & 0xFF00, **named, **supports)


@record.remembered
def status_facts(measurement_status: int | None, device_and_sensor_status: int | None) -> int:
    """The facts of both status words, as bits."""
    return record.facts_of(measurement_status, _MEASUREMENT_FACTS) | record.facts_of(
        device_and_sensor_status, _SENSOR_FACTS
    )


def observe(
    measurement: PlxSpotCheckMeasurement | PlxContinuousMeasurement, source: record.DeviceFacts, moment: Moment
) -> Observation:
    """One oximeter reading: saturation, pulse, amplitude index. A spot-check from storage is not live."""
    facts = status_facts(measurement.measurement_status, measurement.device_and_sensor_status)
    stamp, clock_set = None, True
    if isinstance(measurement, PlxSpotCheckMeasurement):
        stamp, clock_set = measurement.time_stamp, not measurement.device_clock_not_set
    return record.observe(
        PULSE_OXIMETRY,
        (
            measurement.spo2,
            measurement.pr,
            measurement.pulse_amplitude_index,
        ),
        "%",
        source,
        place(
            stamp,
            moment,
            clock_set=clock_set,
            live=moment.live and not facts & _FROM_STORAGE,
        ),
        facts,
        measurement.trailing,
    )

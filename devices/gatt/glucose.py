"""Glucose Service (0x1808): measurement 0x2A18, measurement context 0x2A34, feature 0x2A51.

Source: Bluetooth Glucose Service 1.0.1, clauses 3.1 (measurement), 3.2 (context), 3.3 (feature); codes from the GATT
Specification Supplement. A measurement and its context are two notifications joined by the sequence number. The record
access control point is in `record_access`; what a record means is in `glucose_record`.
"""

from __future__ import annotations

import enum
from datetime import timedelta
from typing import Any, ClassVar, Final, Self

import msgspec

from devices.clock import DATE_TIME, DateTime
from devices.errors import BadValue
from devices.gatt.characteristic import Characteristic
from devices.medfloat import Medfloat
from devices.octets import S16, SFLOAT, U8, U16, Choice, Field, Layout


class SampleType(enum.IntEnum):
    """The low nibble of Type-Sample Location."""

    CAPILLARY_WHOLE_BLOOD = 1
    CAPILLARY_PLASMA = 2
    VENOUS_WHOLE_BLOOD = 3
    VENOUS_PLASMA = 4
    ARTERIAL_WHOLE_BLOOD = 5
    ARTERIAL_PLASMA = 6
    UNDETERMINED_WHOLE_BLOOD = 7
    UNDETERMINED_PLASMA = 8
    INTERSTITIAL_FLUID = 9
    CONTROL_SOLUTION = 10


class SampleLocation(enum.IntEnum):
    """The high nibble of Type-Sample Location."""

    FINGER = 1
    ALTERNATE_SITE = 2
    EARLOBE = 3
    CONTROL_SOLUTION = 4
    NOT_AVAILABLE = 15


class SensorStatus(enum.IntFlag):
    """Bits of `sensor_status_annunciation`."""

    BATTERY_LOW = 0x001
    SENSOR_MALFUNCTION = 0x002
    SAMPLE_SIZE_INSUFFICIENT = 0x004
    STRIP_INSERTION_ERROR = 0x008
    STRIP_TYPE_INCORRECT = 0x010
    RESULT_TOO_HIGH = 0x020
    RESULT_TOO_LOW = 0x040
    TEMPERATURE_TOO_HIGH = 0x080
    TEMPERATURE_TOO_LOW = 0x100
    READ_INTERRUPTED = 0x200
    GENERAL_DEVICE_FAULT = 0x400
    TIME_FAULT = 0x800


class MealCode(enum.IntEnum):
    """Values of `meal`."""

    PREPRANDIAL = 1
    POSTPRANDIAL = 2
    FASTING = 3
    CASUAL = 4
    BEDTIME = 5


OVERRUN: Final = 0xFFFF
"""`exercise_duration` that does not fit the field."""


def _split(values: dict[str, Any], packed: str, low: str, high: str) -> dict[str, Any]:
    """One octet of two nibbles as two values."""
    octet = values.pop(packed, None)
    if octet is not None:
        values[low], values[high] = octet & 0x0F, octet >> 4
    return values


def _join(values: dict[str, Any], packed: str, low: str, high: str) -> dict[str, Any]:
    """Two values as one octet of two nibbles. BadValue: one without the other, or more than four bits."""
    first, second = values[low], values[high]
    if (first is None) != (second is None):
        raise BadValue("stands with its companion nibble or not at all", field=low if first is None else high)
    if first is not None:
        for name in (low, high):
            if not 0 <= values[name] <= 15:
                raise BadValue(f"{values[name]} does not fit a nibble", field=name)
        values[packed] = first | second << 4
    return values


class GlucoseMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2A18, notified. concentration in `unit`: kg/L or mol/L.  time_offset: minutes, signed.

    type, sample_location: `SampleType`, `SampleLocation` (a reserved code stays a plain number); they stand with the
    concentration or not at all.
    """

    uuid: ClassVar[str] = "2A18"
    layout: ClassVar[Layout] = Layout(
        (
            Field("sequence_number", U16),
            Field("base_time", DATE_TIME),
            Field("time_offset", S16, when=0x01),
            Field("concentration", SFLOAT, when=0x02),
            Field("type_sample_location", U8, when=0x02),
            Field("sensor_status_annunciation", U16, when=0x08),
        ),
        choices=(Choice("unit", 0x04, "kg/L", "mol/L"), Choice("context_information", 0x10, False, True)),
    )

    sequence_number: int
    base_time: DateTime
    time_offset: int | None = None
    concentration: Medfloat | None = None
    unit: str = "kg/L"
    type: int | None = None
    sample_location: int | None = None
    sensor_status_annunciation: int | None = None
    context_information: bool = False

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the field."""
        values = (layout or cls.layout).unpack(data)
        return cls(**_split(values, "type_sample_location", "type", "sample_location"))

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a field does not fit, or type, location and concentration are not all there."""
        return (layout or self.layout).pack(self._packed())

    def flags_in(self, layout: Layout | None = None) -> int:
        """The flags that announce the fields present."""
        return (layout or self.layout).flags_of(self._packed())

    def _packed(self) -> dict[str, Any]:
        return _join(msgspec.structs.asdict(self), "type_sample_location", "type", "sample_location")

    @property
    def user_facing_time(self) -> DateTime:
        """Base time plus offset (clause 3.1.1.4): what the display showed. The base time where it is not a date."""
        base = self.base_time.naive()
        if base is None or not self.time_offset:
            return self.base_time
        try:
            return DateTime.of(base + timedelta(minutes=self.time_offset))
        except OverflowError:
            return self.base_time


class GlucoseMeasurementContext(Characteristic, frozen=True, kw_only=True):
    """0x2A34, notified after the measurement with the same sequence number.

    carbohydrate in kg; exercise_duration in s, `OVERRUN` where it is longer; exercise_intensity and hba1c in %.
    medication in `medication_unit`, kg or L: the Supplement says kilogram and litre of the field, milligram and
    millilitre of its flag; the number is kept as it was sent.
    """

    uuid: ClassVar[str] = "2A34"
    layout: ClassVar[Layout] = Layout(
        (
            Field("sequence_number", U16),
            Field("extended_flags", U8, when=0x80),
            Field("carbohydrate_id", U8, when=0x01),
            Field("carbohydrate", SFLOAT, when=0x01),
            Field("meal", U8, when=0x02),
            Field("tester_health", U8, when=0x04),
            Field("exercise_duration", U16, when=0x08),
            Field("exercise_intensity", U8, when=0x08),
            Field("medication_id", U8, when=0x10),
            Field("medication", SFLOAT, when=0x10),
            Field("hba1c", SFLOAT, when=0x40),
        ),
        choices=(Choice("medication_unit", 0x20, "kg", "L"),),
    )

    sequence_number: int
    extended_flags: int | None = None
    carbohydrate_id: int | None = None
    carbohydrate: Medfloat | None = None
    meal: int | None = None
    tester: int | None = None
    health: int | None = None
    exercise_duration: int | None = None
    exercise_intensity: int | None = None
    medication_id: int | None = None
    medication: Medfloat | None = None
    medication_unit: str = "kg"
    hba1c: Medfloat | None = None

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the field."""
        return cls(**_split((layout or cls.layout).unpack(data), "tester_health", "tester", "health"))

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a field does not fit, or is missing beside its companion."""
        return (layout or self.layout).pack(self._packed())

    def flags_in(self, layout: Layout | None = None) -> int:
        """The flags that announce the fields present."""
        return (layout or self.layout).flags_of(self._packed())

    def _packed(self) -> dict[str, Any]:
        return _join(msgspec.structs.asdict(self), "tester_health", "tester", "health")


class GlucoseFeature(Characteristic, frozen=True, kw_only=True):
    """0x2A51, read. Bits 0 low battery, 1 malfunction, 2 sample size, 3 strip insertion, 4 strip type, 5 result range,
    6 temperature range, 7 read interrupt, 8 general fault, 9 time fault, 10 multiple bond."""

    uuid: ClassVar[str] = "2A51"
    layout: ClassVar[Layout] = Layout((Field("features", U16),), flags="")

    features: int

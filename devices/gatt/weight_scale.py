"""Weight Scale Service (0x181D): measurement 0x2A9D, feature 0x2A9E.

Source: Bluetooth Weight Scale Service 1.0.1, clauses 3.1 (feature), 3.2 (measurement). The resolutions in the feature
say how coarse the scale is; the unit of the field stays 0.005 kg or 0.01 lb (GATT Specification Supplement).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, TypeAlias

from devices.clock import DATE_TIME, DateTime, Moment, place
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.nomenclature import BODY_MASS
from devices.observation import Absent, Observation
from devices.octets import U8, U32, Choice, Field, Layout, scaled

MASS_SI: Final = scaled(5, 1000, unsuccessful=True)
MASS_IMPERIAL: Final = scaled(1, 100, unsuccessful=True)
TENTHS: Final = scaled(1, 10)
METRES: Final = scaled(1, 1000)

Resolution: TypeAlias = tuple[float | None, float | None]
"""SI and imperial; None: not specified or reserved."""
MASS_RESOLUTION: Final[tuple[Resolution, ...]] = (
    (None, None), (0.5, 1.0), (0.2, 0.5), (0.1, 0.2), (0.05, 0.1), (0.02, 0.05), (0.01, 0.02), (0.005, 0.01),
)  # fmt: skip
HEIGHT_RESOLUTION: Final[tuple[Resolution, ...]] = ((None, None), (0.01, 1.0), (0.005, 0.5), (0.001, 0.1))


def resolution(table: Sequence[Resolution], code: int) -> Resolution:
    """The row of a code; a reserved one has the row of "not specified"."""
    return table[code] if code < len(table) else (None, None)


class WeightMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2A9D, indicated. weight in `unit` (kg or [lb_av]), None: unsuccessful (0xFFFF). BMI in kg/m2, height in m or
    [in_i]; both or neither. user_id 0xFF: unknown user."""

    uuid: ClassVar[str] = "2A9D"
    layout: ClassVar[Layout] = Layout(
        (
            Field("weight", MASS_SI, unless=0x01),
            Field("weight", MASS_IMPERIAL, when=0x01),
            Field("time_stamp", DATE_TIME, when=0x02),
            Field("user_id", U8, when=0x04),
            Field("bmi", TENTHS, when=0x08),
            Field("height", METRES, when=0x08, unless=0x01),
            Field("height", TENTHS, when=0x09),
        ),
        choices=(Choice("unit", 0x01, "kg", "[lb_av]"),),
    )

    weight: float | None
    unit: str = "kg"
    time_stamp: DateTime | None = None
    user_id: int | None = None
    bmi: float | None = None
    height: float | None = None

    @property
    def height_unit(self) -> str:
        """UCUM unit of `height`."""
        return "m" if self.unit == "kg" else "[in_i]"


class WeightScaleFeature(Characteristic, frozen=True, kw_only=True):
    """0x2A9E, read. Bit 0 time stamp, 1 multiple users, 2 BMI, 3-6 weight resolution, 7-9 height resolution."""

    uuid: ClassVar[str] = "2A9E"
    layout: ClassVar[Layout] = Layout((Field("features", U32),), flags="")

    features: int

    @property
    def time_stamp_supported(self) -> bool:
        """Bit 0."""
        return bool(self.features & 1)

    @property
    def multiple_users_supported(self) -> bool:
        """Bit 1."""
        return bool(self.features & 2)

    @property
    def bmi_supported(self) -> bool:
        """Bit 2."""
        return bool(self.features & 4)

    @property
    def weight_resolution(self) -> tuple[float | None, float | None]:
        """In kg and in lb; None: not specified or reserved."""
        return resolution(MASS_RESOLUTION, self.features >> 3 & 0xF)

    @property
    def height_resolution(self) -> tuple[float | None, float | None]:
        """In m and in inches; None: not specified or reserved."""
        return resolution(HEIGHT_RESOLUTION, self.features >> 7 & 0x7)


def observe(measurement: WeightMeasurement, source: record.DeviceFacts, moment: Moment) -> Observation:
    """One weighing: mass, BMI, height. BMI and height of 0 are of a user that the scale does not know."""
    weight = Absent.UNSUCCESSFUL if measurement.weight is None else measurement.weight
    return record.observe(
        BODY_MASS,
        (
            weight,
            record.nonzero(measurement.bmi),
            record.nonzero(measurement.height),
        ),
        measurement.unit,
        source,
        place(measurement.time_stamp, moment),
        0,
        measurement.trailing,
        slot=record.slot_of(measurement.user_id),
    )

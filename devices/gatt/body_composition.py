"""Body Composition Service (0x181B): measurement 0x2A9C, feature 0x2A9B.

Source: Bluetooth Body Composition Service 1.0, clauses 3.1 (feature), 3.2 (measurement). Basal metabolism is in kJ.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from devices.clock import DATE_TIME, DateTime, Moment, place
from devices.errors import BadValue
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.gatt.weight_scale import HEIGHT_RESOLUTION, MASS_RESOLUTION, METRES, TENTHS, resolution
from devices.nomenclature import BODY_COMPOSITION
from devices.observation import Absent, Observation
from devices.octets import U8, U16, U32, Choice, Codec, Field, Layout, scaled
from devices.plausibility import Value
from devices.units import BY_UCUM

_PERCENT: Final = scaled(1, 10, unsuccessful=True)
_KILOGRAMS: Final = scaled(5, 1000)
_POUNDS: Final = scaled(1, 100)


def _mass(name: str, flag: int) -> tuple[Field, Field]:
    return Field(name, _KILOGRAMS, when=flag, unless=0x01), Field(name, _POUNDS, when=flag | 0x01)


def _length(name: str, flag: int, imperial: Codec = TENTHS) -> tuple[Field, Field]:
    return Field(name, METRES, when=flag, unless=0x01), Field(name, imperial, when=flag | 0x01)


class BodyCompositionMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2A9C, indicated. Percentages in %, masses in `unit` (kg or [lb_av]), height in m or [in_i], impedance in Ohm.

    body_fat_percentage None: unsuccessful (0xFFFF).  multiple_packet: one of two frames of one measurement.
    """

    uuid: ClassVar[str] = "2A9C"
    layout: ClassVar[Layout] = Layout(
        (
            Field("body_fat_percentage", _PERCENT),
            Field("time_stamp", DATE_TIME, when=0x0002),
            Field("user_id", U8, when=0x0004),
            Field("basal_metabolism", U16, when=0x0008),
            Field("muscle_percentage", TENTHS, when=0x0010),
            *_mass("muscle_mass", 0x0020),
            *_mass("fat_free_mass", 0x0040),
            *_mass("soft_lean_mass", 0x0080),
            *_mass("body_water_mass", 0x0100),
            Field("impedance", TENTHS, when=0x0200),
            *_mass("weight", 0x0400),
            *_length("height", 0x0800),
        ),
        flags="H",
        choices=(Choice("unit", 0x0001, "kg", "[lb_av]"), Choice("multiple_packet", 0x1000, False, True)),
    )

    body_fat_percentage: float | None
    unit: str = "kg"
    time_stamp: DateTime | None = None
    user_id: int | None = None
    basal_metabolism: int | None = None
    muscle_percentage: float | None = None
    muscle_mass: float | None = None
    fat_free_mass: float | None = None
    soft_lean_mass: float | None = None
    body_water_mass: float | None = None
    impedance: float | None = None
    weight: float | None = None
    height: float | None = None
    multiple_packet: bool = False


class BodyCompositionFeature(Characteristic, frozen=True, kw_only=True):
    """0x2A9B, read. Bits 0 time stamp, 1 users, 2 metabolism, 3 muscle %, 4-7 masses, 8 impedance, 9 weight, 10 height,
    11-14 mass resolution, 15-17 height resolution (tables of the scale's feature)."""

    uuid: ClassVar[str] = "2A9B"
    layout: ClassVar[Layout] = Layout((Field("features", U32),), flags="")

    features: int

    @property
    def mass_resolution(self) -> tuple[float | None, float | None]:
        """In kg and in lb; None: not specified or reserved."""
        return resolution(MASS_RESOLUTION, self.features >> 11 & 0xF)

    @property
    def height_resolution(self) -> tuple[float | None, float | None]:
        """In m and in inches; None: not specified or reserved."""
        return resolution(HEIGHT_RESOLUTION, self.features >> 15 & 0x7)


_OF_A_FRAME: Final = frozenset({"multiple_packet", "reserved", "trailing"})


def merge(first: BodyCompositionMeasurement, second: BodyCompositionMeasurement) -> BodyCompositionMeasurement:
    """The two frames of one measurement as one. BadValue: names what they contradict each other in, so that they are of
    two measurements: unit, user, time, or a value. A value of 0 was not computed, and contradicts none."""
    found: dict[str, Any] = {"trailing": first.trailing + second.trailing}
    mine = msgspec.structs.asdict(first)
    for name, value in msgspec.structs.asdict(second).items():
        if name in _OF_A_FRAME or _says_nothing(name, value):
            continue
        if _says_nothing(name, mine[name]):
            found[name] = value
        elif mine[name] != value:
            raise BadValue(f"{value} in the second packet of {mine[name]}", field=name)
    return msgspec.structs.replace(first, **found)


def _says_nothing(name: str, value: object) -> bool:
    return value is None or (value == 0 and name != "user_id")


def _si(number: float | None, imperial: str | None, unit: str) -> Value:
    """The kind has SI units only; a zero stands for a value that the scale did not compute."""
    if number is None or imperial is None:
        return number or None
    factor = BY_UCUM[imperial].factor / (BY_UCUM[unit].factor or 1)
    return record.nonzero(round(number * factor, 6))


def observe(measurement: BodyCompositionMeasurement, source: record.DeviceFacts, moment: Moment) -> Observation:
    """One composition. Imperial masses and heights become kg and m here, because the kind is led by a percentage."""
    m = measurement
    mass, length = ("[lb_av]", "[in_i]") if m.unit == "[lb_av]" else (None, None)
    fat = Absent.UNSUCCESSFUL if m.body_fat_percentage is None else m.body_fat_percentage
    return record.observe(
        BODY_COMPOSITION,
        (
            fat,
            _si(m.weight, mass, "kg"),
            _si(m.height, length, "m"),
            _si(m.fat_free_mass, mass, "kg"),
            _si(m.soft_lean_mass, mass, "kg"),
            _si(m.body_water_mass, mass, "kg"),
            _si(m.muscle_percentage, None, "%"),
            _si(m.muscle_mass, mass, "kg"),
            _si(None if m.basal_metabolism is None else float(m.basal_metabolism), None, "kJ"),
            _si(m.impedance, None, "Ohm"),
        ),
        "%",
        source,
        place(m.time_stamp, moment),
        0,
        m.trailing,
        slot=record.slot_of(m.user_id),
    )

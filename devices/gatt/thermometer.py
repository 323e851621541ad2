"""Health Thermometer Service (0x1809): measurement 0x2A1C, intermediate 0x2A1E, type 0x2A1D, interval 0x2A21.

Source: Bluetooth Health Thermometer Service 1.0, clauses 3.1 (measurement), 3.2 (type), 3.3 (intermediate),
3.4 (interval).
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final

from devices.clock import DATE_TIME, DateTime, Moment, place
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.medfloat import Medfloat
from devices.nomenclature import BODY_TEMPERATURE
from devices.observation import Context, Observation, Site
from devices.octets import FLOAT, U8, U16, Choice, Field, Layout


class TemperatureType(enum.IntEnum):
    """Where the temperature was taken."""

    ARMPIT = 1
    BODY = 2
    EAR = 3
    FINGER = 4
    GASTRO_INTESTINAL_TRACT = 5
    MOUTH = 6
    RECTUM = 7
    TOE = 8
    TYMPANUM = 9


_SITE: Final[dict[int, Site]] = {
    TemperatureType.ARMPIT: Site.ARMPIT,
    TemperatureType.BODY: Site.BODY,
    TemperatureType.EAR: Site.EAR,
    TemperatureType.FINGER: Site.FINGER,
    TemperatureType.GASTRO_INTESTINAL_TRACT: Site.GASTROINTESTINAL,
    TemperatureType.MOUTH: Site.MOUTH,
    TemperatureType.RECTUM: Site.RECTUM,
    TemperatureType.TOE: Site.TOE,
    TemperatureType.TYMPANUM: Site.TYMPANUM,
}


_CONTEXT: Final = {kind: Context(site=site) for kind, site in _SITE.items()}


class IntermediateTemperature(Characteristic, frozen=True, kw_only=True):
    """0x2A1E, notified while the thermometer settles; never a reading. Same fields as the measurement."""

    uuid: ClassVar[str] = "2A1E"
    layout: ClassVar[Layout] = Layout(
        (
            Field("temperature", FLOAT),
            Field("time_stamp", DATE_TIME, when=0x02),
            Field("temperature_type", U8, when=0x04),
        ),
        choices=(Choice("unit", 0x01, "Cel", "[degF]"),),
    )

    temperature: Medfloat
    unit: str = "Cel"
    time_stamp: DateTime | None = None
    temperature_type: int | None = None


class TemperatureMeasurement(IntermediateTemperature, frozen=True, kw_only=True):
    """0x2A1C, indicated. temperature in `unit`: Cel or [degF].  temperature_type: `TemperatureType`."""

    uuid: ClassVar[str] = "2A1C"


class TemperatureTypeValue(Characteristic, frozen=True, kw_only=True):
    """0x2A1D, read: the one site of a thermometer that does not say it in each measurement."""

    uuid: ClassVar[str] = "2A1D"
    layout: ClassVar[Layout] = Layout((Field("temperature_type", U8),), flags="")

    temperature_type: int


class MeasurementInterval(Characteristic, frozen=True, kw_only=True):
    """0x2A21. interval in s; 0: no periodic measurement."""

    uuid: ClassVar[str] = "2A21"
    layout: ClassVar[Layout] = Layout((Field("interval", U16),), flags="")

    interval: int


def observe(measurement: TemperatureMeasurement, source: record.DeviceFacts, moment: Moment) -> Observation:
    """One body temperature, with its site."""
    return record.observe(
        BODY_TEMPERATURE,
        (measurement.temperature,),
        measurement.unit,
        source,
        place(measurement.time_stamp, moment),
        0,
        measurement.trailing,
        None,
        _CONTEXT.get(measurement.temperature_type or 0),
    )

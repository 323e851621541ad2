"""Cuff, oximeter and scale: devices that indicate what they have stored, oldest first, once they are asked to.

Sources: Blood Pressure Service 1.1.1, clause 3.1.2; Pulse Oximeter Service 1.0.1, clause 3.1; Weight Scale Service
1.0.1, clause 3.2.2. A record counts as delivered when its indication has been confirmed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from bumble.device import Connection
from bumble.gatt import Characteristic

from devices import medfloat
from devices.clock import DateTime
from devices.errors import BadValue
from devices.gatt.blood_pressure import BloodPressureMeasurement
from devices.gatt.blood_pressure import MeasurementStatus as CuffStatus
from devices.gatt.pulse_oximeter import PlxSpotCheckMeasurement
from devices.gatt.weight_scale import WeightMeasurement
from devices.medfloat import Medfloat
from simulators.peripheral import INDICATE, Kept, Measurement, Peripheral

_CUFF_BITS: Final = {
    "body-movement": CuffStatus.BODY_MOVEMENT,
    "cuff-too-loose": CuffStatus.CUFF_TOO_LOOSE,
    "irregular-pulse": CuffStatus.IRREGULAR_PULSE,
    "pulse-above-range": CuffStatus.PULSE_ABOVE_RANGE,
    "pulse-below-range": CuffStatus.PULSE_BELOW_RANGE,
    "improper-position": CuffStatus.IMPROPER_POSITION,
}
# PLXS 1.0.1, table 3.4: measurement status
_OXIMETER_BITS: Final = {
    "early-estimate": 1 << 6,
    "validated": 1 << 7,
    "from-storage": 1 << 9,
    "demo-data": 1 << 10,
    "test-data": 1 << 11,
    "calibration-ongoing": 1 << 12,
    "not-available": 1 << 13,
    "questionable": 1 << 14,
    "invalid": 1 << 15,
}
# PLXS 1.0.1, table 3.5: device and sensor status
_SENSOR_BITS: Final = {
    "device-malfunction": 1 << 1,
    "poor-signal": 1 << 4,
    "low-perfusion": 1 << 5,
    "pulse-questionable": 1 << 8,
    "sensor-disconnected": 1 << 11,
    "sensor-displaced": 1 << 13,
}


def number(value: float | None) -> Medfloat:
    """An SFLOAT; None is NaN: the device tried and failed."""
    return medfloat.NAN if value is None else medfloat.sfloat(value)


def status_word(facts: frozenset[str], *tables: Mapping[str, int]) -> list[int | None]:
    """One status word a table, None where none of its bits is set. BadValue: a fact this device cannot say."""
    known = {name for table in tables for name in table}
    if facts - known:
        raise BadValue(f"{', '.join(sorted(facts - known))}: no bit for it in this service", field="facts")
    words: list[int | None] = []
    for table in tables:
        word = 0
        for name in facts & table.keys():
            word |= int(table[name])
        words.append(word or None)
    return words


def date_time(stamp: datetime | None) -> DateTime | None:
    """The stamp as the frame carries it."""
    return None if stamp is None else DateTime.of(stamp)


class _Indicating(Peripheral):
    measurement: ClassVar[int]

    @abstractmethod
    def frame(self, measurement: Measurement, stamp: datetime | None) -> bytes:
        """The octets of the measurement characteristic."""

    def record(self, measurement: Measurement, stamp: datetime | None) -> Kept:
        frames = ((f"{self.measurement:04X}", self.frame(measurement, stamp)),)
        return Kept(record_no=0, measurement=measurement, device_at=stamp, frames=frames)

    def characteristics(self) -> list[Characteristic[Any]]:
        self._sending = self.notifying(self.measurement, INDICATE)
        self._sending.on(Characteristic.EVENT_SUBSCRIPTION, self._on_subscription)
        return [self._sending]

    def _on_subscription(self, connection: Connection, _notify: bool, indicate: bool) -> None:
        if indicate:
            self.work(self._send(connection))

    async def _send(self, connection: Connection) -> None:
        again, self.sends_again = self.sends_again, 0
        repeats = self.delivered[-again:] if again else []
        for record in [*repeats, *self.pending]:
            frame = record.frames[0][1]
            while (short := self.cut(frame)) is not None:
                await self.bumble.indicate_subscriber(connection, self._sending, short)
            await self.bumble.indicate_subscriber(connection, self._sending, frame)
            self.acknowledged(record)
            if await self.dropped(connection):
                return
        await self.hang_up(connection)


class BloodPressureCuff(_Indicating):
    """Values: systolic, diastolic, mean, pulse (the last may be left out); unit mm[Hg] or kPa."""

    service = 0x1810
    measurement = 0x2A35

    def frame(self, measurement: Measurement, stamp: datetime | None) -> bytes:
        systolic, diastolic, mean, *rest = measurement.values
        (status,) = status_word(measurement.facts, _CUFF_BITS)
        return BloodPressureMeasurement(
            systolic=number(systolic),
            diastolic=number(diastolic),
            mean_arterial_pressure=number(mean),
            unit=measurement.unit,
            time_stamp=date_time(stamp),
            pulse_rate=number(rest[0]) if rest else None,
            user_id=measurement.slot,
            measurement_status=status,
        ).encode()


class PulseOximeter(_Indicating):
    """Spot checks. Values: saturation %, pulse /min, amplitude index % (may be left out)."""

    service = 0x1822
    measurement = 0x2A5E

    def frame(self, measurement: Measurement, stamp: datetime | None) -> bytes:
        saturation, pulse, *rest = measurement.values
        status, sensor = status_word(measurement.facts, _OXIMETER_BITS, _SENSOR_BITS)
        return PlxSpotCheckMeasurement(
            spo2=number(saturation),
            pr=number(pulse),
            time_stamp=date_time(stamp),
            measurement_status=status,
            device_and_sensor_status=sensor,
            pulse_amplitude_index=number(rest[0]) if rest else None,
        ).encode()


class WeightScale(_Indicating):
    """Values: mass, body mass index and height (both or neither); unit kg or [lb_av]. A mass of None: unsuccessful."""

    service = 0x181D
    measurement = 0x2A9D

    def frame(self, measurement: Measurement, stamp: datetime | None) -> bytes:
        weight, *rest = measurement.values
        bmi, height = rest if len(rest) == 2 else (None, None)
        return WeightMeasurement(
            weight=weight,
            unit=measurement.unit,
            time_stamp=date_time(stamp),
            user_id=measurement.slot,
            bmi=bmi,
            height=height,
        ).encode()

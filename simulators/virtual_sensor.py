"""A virtual continuous glucose sensor in a developer's own words, as `simulators.virtual` has the others.

async with Sensor.on(air, 5) as sensor:
    await sensor.measure(104, 98, 91)       # mg/dL, five minutes apart; returns when a gateway has collected them
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Self

from devices.nomenclature import GLUCOSE_INTERSTITIAL
from simulators.peripheral import Kept, Make, Measurement
from simulators.peripheral_cgm import GlucoseSensor
from simulators.radio import Air
from simulators.virtual_device import VirtualDevice, serial_of, uid_of

_APART: Final = timedelta(minutes=5)
_SESSION: Final = timedelta(days=1)


class Sensor(VirtualDevice[GlucoseSensor]):
    """Its session began a day ago; `peripheral` is all that a simulated sensor can do besides (`sense`, `restart`…)."""

    @classmethod
    def on(cls, air: Air, number: int) -> Self:
        """A sensor on this air; the number (1 to 255) tells devices of one test apart."""
        sensor = GlucoseSensor(
            air,
            address=f"F0:53:46:DE:00:{number:02X}",
            serial=serial_of(number),
            uid=uid_of(number),
            make=Make(model="SIM-CGM", name="SIM-CGM"),
            started_at=datetime.now(UTC).replace(microsecond=0) - _SESSION,
        )
        return cls(sensor)

    async def measure(self, *concentrations: float | None) -> list[Kept]:
        """Measure, five minutes apart, and offer it; returns when a gateway has collected it. None: NaN on the air."""
        first = (self.peripheral.kept[-1].record_no if self.peripheral.kept else 0) * timedelta(minutes=1) + _APART
        return await self.peripheral.measure(
            *(
                Measurement(
                    kind=GLUCOSE_INTERSTITIAL,
                    values=(value,),
                    unit="mg/dL",
                    taken_at=self.peripheral.started_at + first + number * _APART,
                )
                for number, value in enumerate(concentrations)
            )
        )

"""Devices on the air that no resident of the cohort owns: a continuous glucose sensor and a scale that only advertises.

    async with Unowned(air, seed, clock) as unowned:
        await unowned.live(ledger)              # measures until it is cancelled

The sensor's session is two hours old, with a record a minute in its memory; it goes on measuring once a minute, and is
collected through its record access control point each time. Nobody confirms what the scale advertises.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from devices.nomenclature import BODY_MASS, GLUCOSE_INTERSTITIAL
from simulators.peripheral import Kept, Make, Measurement
from simulators.peripheral_advertised import AdvertisingScale
from simulators.peripheral_cgm import GlucoseSensor
from simulators.physiology import Body, Profile
from simulators.radio import Air
from simulators.stage import ZONE
from simulators.truth import Ledger, Made

_MINUTE: Final = timedelta(minutes=1)
_SESSION: Final = 120
_WEIGHED_EVERY_S: Final = (10.0, 30.0)
_FIRST_WITHIN_S: Final = 15.0
_SHOWS_S: Final = 0.5
"""Each of a handful of frames: a display is lit for some seconds."""
_PERSON: Final = Profile(fasting=6.0, meal_rise=2.4, weight=67.5)


class Unowned:
    """Switched on inside `async with`. seed: of the serial number, the curve, the weights and when somebody weighs."""

    def __init__(self, air: Air, seed: int, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._random = random.Random(f"{seed}:unowned")
        self._body = Body(seed, "unowned", _PERSON)
        tail = self._random.randrange(1 << 8)
        self.began_at = clock().replace(microsecond=0) - _SESSION * _MINUTE
        self.sensor = GlucoseSensor(
            air,
            address=f"F0:53:46:C6:00:{tail:02X}",
            serial=f"SIMCGM{tail:03d}",
            clock=clock,
            make=Make(model="SIM-CGM", name="SIM-CGM"),
            started_at=self.began_at,
            interval=1,
            together=5,
        )
        self.scale = AdvertisingScale(
            air, address=f"F0:53:46:AD:00:{tail:02X}", seed=seed, clock=clock, shows_s=_SHOWS_S
        )

    async def __aenter__(self) -> Self:
        await self.sensor.start()
        await self.scale.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.scale.stop()
        await self.sensor.stop()

    async def live(self, ledger: Ledger) -> None:
        """Measure until cancelled, each measurement written down before it is sent."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._sense(ledger))
            both.create_task(self._weigh(ledger))

    async def _sense(self, ledger: Ledger) -> None:
        following = 1
        while True:
            lasted = (self._clock() - self.began_at) // _MINUTE
            for minute in range(following, lasted + 1):
                ledger.write(self._made(self._sensed(minute)))
            following = lasted + 1
            # what is measured meanwhile comes with the next
            await self.sensor.offer()
            next_at = self.began_at + following * _MINUTE
            await asyncio.sleep(max(0.0, (next_at - self._clock()).total_seconds()))

    def _sensed(self, minute: int) -> Kept:
        at = self.began_at + minute * _MINUTE
        value = self._body.interstitial(at.astimezone(ZONE))
        (kept,) = self.sensor.keep(
            Measurement(kind=GLUCOSE_INTERSTITIAL, values=(value,), unit="mg/dL", taken_at=at),
        )
        return kept

    def _made(self, kept: Kept) -> Made:
        measurement = kept.measurement
        return Made(
            uid=self.sensor.device,
            kind=measurement.kind,
            values=measurement.values,
            made_at=self._clock(),
            measured_at=measurement.taken_at,
            device_at=kept.device_at,
            record_no=kept.record_no,
            route="ble",
        )

    async def _weigh(self, ledger: Ledger) -> None:
        ordinal = 0
        while True:
            if ordinal == 0:
                # a gateway that has just begun connects to all the others first, and does not scan meanwhile
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_FIRST_WITHIN_S):
                        await self.sensor.until_delivered(1)
            await asyncio.sleep(self._random.uniform(*_WEIGHED_EVERY_S) if ordinal else 1.0)
            ordinal += 1
            now = self._clock()
            weighing = self.scale.weighing(self._body.weight(now.astimezone(ZONE), ordinal))
            ledger.write(
                Made(
                    uid=self.scale.device,
                    kind=BODY_MASS,
                    values=(weighing.kilograms, None, None),
                    made_at=now,
                    measured_at=now,
                    device_at=weighing.device_at,
                    route="ble",
                )
            )
            await self.scale.present(weighing)

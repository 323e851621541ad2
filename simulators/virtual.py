"""Virtual devices in a developer's own words, over the simulated peripherals: for tests of gateways and apps.

    async with Cuff.on(air, 1) as cuff:
        await cuff.measure(systolic=128, diastolic=79, pulse=66)

`device` is the identity its observations carry, `address` its Bluetooth address, `peripheral` all that a simulated
device can do besides (wrong clocks, dropped links, repeated records).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar, Self

from devices.observation import Context, Meal
from simulators.cohort import MODELS, OwnedDevice
from simulators.neighbourhood import peripheral
from simulators.peripheral import Kept, Measurement, Peripheral
from simulators.radio import Air
from simulators.timeline import KINDS
from simulators.virtual_device import VirtualDevice, serial_of, uid_of


class Virtual(VirtualDevice[Peripheral]):
    """A device of a resident's, as the cohort has them."""

    concept: ClassVar[str]

    @classmethod
    def on(cls, air: Air, number: int) -> Self:
        """A device on this air; the number (1 to 255) tells devices of one test apart."""
        name, model = MODELS[cls.concept]
        owned = OwnedDevice(
            uid=uid_of(number),
            concept=cls.concept,
            label=name,
            model=model,
            serial=serial_of(number),
            route="ble",
        )
        return cls(peripheral(air, owned))

    async def _take(
        self,
        values: tuple[float | None, ...],
        *,
        at: datetime | None,
        facts: Iterable[str],
        context: Context | None = None,
    ) -> Kept:
        kind, unit = KINDS[self.concept]
        taken = Measurement(
            kind=kind,
            values=values,
            unit=unit,
            taken_at=at or datetime.now(UTC),
            facts=frozenset(facts),
            context=context,
        )
        (kept,) = await self.peripheral.measure(taken)
        return kept


class Cuff(Virtual):
    """A blood pressure cuff, mmHg."""

    concept = "blood_pressure"

    async def measure(
        self,
        systolic: float | None = 128,
        diastolic: float | None = 79,
        pulse: float | None = 66,
        *,
        at: datetime | None = None,
        facts: Iterable[str] = (),
    ) -> Kept:
        """Measure and offer it; returns when a gateway has confirmed it. None: the cuff failed (NaN on the air)."""
        mean = None if systolic is None or diastolic is None else float(round(diastolic + (systolic - diastolic) / 3))
        return await self._take((systolic, diastolic, mean, pulse), at=at, facts=facts)


class Meter(Virtual):
    """A glucose meter, mmol/L."""

    concept = "glucose"

    async def measure(
        self,
        glucose: float | None = 5.6,
        *,
        meal: Meal | None = None,
        at: datetime | None = None,
        facts: Iterable[str] = (),
    ) -> Kept:
        """Measure and offer it. None with the fact `result-too-high` is the meter's HI."""
        return await self._take((glucose,), at=at, facts=facts, context=Context(meal=meal) if meal else None)


class Oximeter(Virtual):
    """A pulse oximeter, spot checks: %, 1/min."""

    concept = "oxygen_saturation"

    async def measure(
        self,
        saturation: float | None = 97,
        pulse: float | None = 72,
        *,
        at: datetime | None = None,
        facts: Iterable[str] = (),
    ) -> Kept:
        """Measure and offer it."""
        return await self._take((saturation, pulse), at=at, facts=facts)


class Scale(Virtual):
    """A weight scale, kg."""

    concept = "body_weight"

    async def measure(
        self, kilograms: float | None = 64.2, *, at: datetime | None = None, facts: Iterable[str] = ()
    ) -> Kept:
        """Measure and offer it."""
        return await self._take((kilograms,), at=at, facts=facts)

"""A continuous glucose sensor on the air, what it measures, and what of it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from devices.nomenclature import GLUCOSE_INTERSTITIAL
from devices.observation import Observation
from simulators.peripheral import Measurement
from simulators.peripheral_cgm import GlucoseSensor
from simulators.radio import Air
from tests.fix_bluetooth import Edge

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
BEGAN = NOW - timedelta(hours=6)


def glucose(minute: int, value: float | None = None, began: datetime = BEGAN) -> Measurement:
    """minute: of the session. Without a value it follows from the minute."""
    return Measurement(
        kind=GLUCOSE_INTERSTITIAL,
        values=(100.0 + minute % 50 if value is None else value,),
        unit="mg/dL",
        taken_at=began + timedelta(minutes=minute),
    )


def sensor_on(air: Air, **settings: Any) -> GlucoseSensor:
    settings.setdefault("started_at", BEGAN)
    return GlucoseSensor(air, address="F0:00:00:00:00:08", serial="CGM-1", **settings)


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


async def until_kept(running: Edge, count: int) -> list[Observation]:
    async with asyncio.timeout(20):
        while len(running.kept) < count:  # noqa: ASYNC110 - the outbox is the edge's
            await asyncio.sleep(0.02)
    return running.kept


async def until_marked(running: Edge, sensor: GlucoseSensor, minute: int) -> None:
    while (running.outbox.mark(sensor.device, "181F") or (None,) * 3)[2] != minute:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.02)


def minutes(found: list[Observation]) -> list[int]:
    return [one.record_no for one in found]

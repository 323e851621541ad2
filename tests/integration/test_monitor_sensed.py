"""A continuous glucose sensor beside the rules: the same low is an emergency in blood, and nothing under the skin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from devices.nomenclature import GLUCOSE_INTERSTITIAL
from devices.observation import Observation
from monitor.alerts import RaisedReason
from tests.fix_monitor import NOW, Stage, meter

DEVICE = "ble:0A11"
DIABETES = ("diabetes",)


def sensed(mg: float | None, minutes_ago: int = 0, **more: Any) -> Observation:
    at = NOW - timedelta(minutes=minutes_ago)
    return Observation(
        device=DEVICE, kind=GLUCOSE_INTERSTITIAL, values=(mg,), unit="mg/dL", measured_at=at, device_at=at, **more
    )


@pytest.mark.parametrize("mg", [45.0, 420.0], ids=["low", "high"])
async def test_under_the_skin_raises_nothing(stage: Stage, mg: float) -> None:
    await stage.resident(programmes=DIABETES, device=DEVICE)
    assert await stage.raised(*(sensed(mg, minutes) for minutes in range(0, 60, 5))) == []
    assert (await stage.queue(await stage.nurse())).items == []


async def test_beyond_what_the_sensor_can_show_raises_nothing_either(stage: Stage) -> None:
    await stage.resident(programmes=DIABETES, device=DEVICE)
    assert await stage.raised(sensed(None, absent={0: "negative-infinity"}, facts=("result-too-low",))) == []


async def test_the_same_low_in_blood_is_an_emergency(stage: Stage) -> None:
    await stage.resident(programmes=DIABETES, device=DEVICE)
    assert await stage.raised(meter(2.5, device=DEVICE)) == [RaisedReason.NEW]


async def test_a_sensor_neither_proves_nor_disproves_what_a_meter_said(stage: Stage) -> None:
    await stage.resident(programmes=DIABETES, device=DEVICE)
    nurse = await stage.nurse()
    await stage.raised(meter(2.5, at=NOW - timedelta(minutes=30), device=DEVICE))
    (before,) = (await stage.queue(nurse)).items
    assert await stage.raised(*(sensed(110.0, minutes) for minutes in (20, 15, 10))) == []
    (after,) = (await stage.queue(nurse)).items
    assert (after.sentence_zh, after.severity) == (before.sentence_zh, before.severity)

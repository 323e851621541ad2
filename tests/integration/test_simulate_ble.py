"""`suifang-simulate ble` for a gateway of one's own: what its truth file says is what the far end receives."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from devices.nomenclature import BODY_MASS, GLUCOSE_INTERSTITIAL
from devices.observation import Observation
from simulators import broadcast
from simulators.embedded.broker import Broker
from simulators.truth import Ledger
from tests.fix_bluetooth import OpenReceiver, StartGateway


@pytest.mark.timeout(90)
async def test_a_sensor_and_a_scale_that_only_advertises_are_among_the_devices(
    broker: Broker, gateway: StartGateway, receiver: OpenReceiver, free_port: int, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.jsonl"
    url = f"tcp-client:127.0.0.1:{free_port}"
    run = broadcast.run(seed=4, seconds=None, ledger=Ledger(truth), port=free_port, scenario_name="everyday")
    async with receiver(broker) as far_end:
        with gateway(broker, radio_url=url, simulated="true"):
            running = asyncio.create_task(run)
            await far_end.until(lambda end: len(_sensed(end.stored)) >= 120 and bool(_weighed(end.stored)))
            os.kill(os.getpid(), signal.SIGINT)
            _, found = await asyncio.wait_for(running, 30)
    assert found["advertised"] >= 1
    made = Ledger.read(truth)
    for kind, stored in (
        (GLUCOSE_INTERSTITIAL, _sensed(far_end.stored)),
        (BODY_MASS, _weighed(far_end.stored)),
    ):
        true = {(one.uid, one.record_no, one.device_at): (one.values, one.person) for one in made if one.kind == kind}
        for one in stored:
            assert true[one.device, one.record_no, one.device_at] == (one.values, None)


def _sensed(stored: Mapping[tuple[object, ...], Observation]) -> list[Observation]:
    return [one for one in stored.values() if one.kind == GLUCOSE_INTERSTITIAL]


def _weighed(stored: Mapping[tuple[object, ...], Observation]) -> list[Observation]:
    """By the scale that only advertises; another is a resident's."""
    return [one for one in stored.values() if one.kind == BODY_MASS and one.device.startswith("ble:")]

"""Virtual Bluetooth devices for a gateway of one's own: an air with an HCI door over TCP, and people who measure.

Beside what the residents own there are a continuous glucose sensor and a scale that only advertises.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from datetime import UTC, datetime
from typing import Any

from simulators import neighbourhood, timeline
from simulators.chain import devices_of
from simulators.cohort import cohort
from simulators.peripheral import Peripheral
from simulators.physiology import Body
from simulators.scenario import load
from simulators.stage import ZONE
from simulators.truth import Ledger
from simulators.unowned import Unowned


async def run(
    *, seed: int, seconds: float | None, ledger: Ledger, port: int, scenario_name: str
) -> tuple[bool, dict[str, Any]]:
    """Measure for so long (None: until SIGINT). All right when a gateway has collected all that is confirmed."""
    people = cohort(seed, datetime.now(ZONE).date())
    scenario = load(scenario_name, people)
    bodies = {person.key: Body(seed, person.key, person.profile) for person in people}
    delivering: set[asyncio.Task[None]] = set()
    async with contextlib.AsyncExitStack() as stack:
        air = await stack.enter_async_context(neighbourhood.air(port))
        peripherals = await neighbourhood.devices(stack, air, devices_of(people, "ble"))
        unowned = await stack.enter_async_context(Unowned(air, seed, lambda: datetime.now(UTC)))
        sys.stderr.write(f"{len(peripherals) + 2} devices; for the gateway: SUIFANG_GATEWAY_RADIO_URL={air.url}\n")
        sys.stderr.write("SUIFANG_GATEWAY_BLEAK_BACKEND=simulators.bumble_backend:backends\n")
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        living = asyncio.create_task(unowned.live(ledger))
        start = asyncio.get_running_loop().time()
        for act in timeline.live(scenario, people, seed):
            if seconds is not None and act.at_s >= seconds:
                break
            if act.device.uid not in peripherals:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, start + act.at_s - asyncio.get_running_loop().time())):
                    await stop.wait()
            if stop.is_set():
                break
            now = datetime.now(UTC)
            reading = timeline.shown(act, bodies[act.person.key], now.astimezone(ZONE))
            device = peripherals[act.device.uid]
            ledger.write(neighbourhood.keep(device, act, reading, now))
            task = asyncio.create_task(neighbourhood.deliver(device))
            delivering.add(task)
            task.add_done_callback(delivering.discard)
        sensor = unowned.sensor
        if not stop.is_set():
            delivering.add(asyncio.create_task(_all_of(sensor)))
            await asyncio.wait(delivering, timeout=10)
        for task in (living, *delivering):
            task.cancel()
        await asyncio.gather(living, *delivering, return_exceptions=True)
        ledger.close()
        confirming: dict[str, Peripheral] = {**peripherals, sensor.device: sensor}
        left = {uid: len(device.pending) for uid, device in confirming.items() if device.pending}
        delivered = sum(len(device.delivered) for device in confirming.values())
        made = sum(len(device.kept) for device in confirming.values())
        # nobody confirms an advertisement: whether it was heard only the gateway knows
        advertised = len(unowned.scale.weighed)
    found = {"measured": made, "collected": delivered, "advertised": advertised, "left": left, "seed": seed}
    return not left, found


async def _all_of(device: Peripheral) -> None:
    """Until all that it has by now has been collected."""
    await device.until_delivered(len(device.kept))

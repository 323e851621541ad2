"""The simulated Bluetooth devices of a cohort, on one air, and what a gateway must be told to hear them.

Loads Bumble: imported only by who wants a radio.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from simulators.cohort import OwnedDevice
from simulators.embedded.broker import Credentials
from simulators.peripheral import Make, Measurement, Peripheral
from simulators.peripheral_glucose import GlucoseMeter
from simulators.peripheral_indicating import BloodPressureCuff, PulseOximeter, WeightScale
from simulators.radio import Air
from simulators.timeline import KINDS, Act, Reading
from simulators.truth import Made

_KINDS: Final[Mapping[str, type[Peripheral]]] = {
    "blood_pressure": BloodPressureCuff,
    "glucose": GlucoseMeter,
    "oxygen_saturation": PulseOximeter,
    "body_weight": WeightScale,
}


def air(port: int = 0) -> Air:
    """An air with a door over TCP; `async with`."""
    return Air(port)


def peripheral(on: Air, device: OwnedDevice) -> Peripheral:
    """The simulated device of a cohort's device, not started yet. KeyError: no such kind."""
    octets = device.system_id
    return _KINDS[device.concept](
        on,
        # random static (the two highest bits set), from the parts of the EUI-64 that tell devices apart
        address=":".join(f"{octet:02X}" for octet in (0xF0, 0x53, 0x46, *octets[5:8])),
        serial=device.serial,
        uid=device.uid,
        clock_offset=timedelta(seconds=device.clock_offset_s),
        make=Make(manufacturer=device.manufacturer, model=device.model, name=device.model),
    )


async def devices(stack: contextlib.AsyncExitStack, on: Air, owned: Sequence[OwnedDevice]) -> dict[str, Peripheral]:
    """Power them on until the stack is closed; by uid."""
    return {device.uid: await stack.enter_async_context(peripheral(on, device)) for device in owned}


def keep(device: Peripheral, act: Act, reading: Reading, now: datetime) -> Made:
    """Measure: the device keeps the record; the truth about it, to be written down before anything is sent."""
    kind, unit = KINDS[reading.concept]
    (kept,) = device.keep(
        Measurement(
            kind=kind,
            values=reading.values,
            unit=unit,
            taken_at=now,
            facts=frozenset(reading.facts),
            context=reading.context,
        )
    )
    return Made(
        uid=act.device.uid,
        kind=kind,
        values=reading.values,
        made_at=now,
        measured_at=now,
        device_at=kept.device_at,
        record_no=kept.record_no,
        person=act.person.key,
        route="ble",
        injection=act.injection.id if act.injection else "",
        facts=reading.facts,
    )


async def deliver(device: Peripheral, again: int = 0) -> None:
    """Offer what is kept until a gateway has it all; then the last record so many times again."""
    await device.offer()
    for _ in range(again):
        device.sends_again = 1
        await device.offer()


def gateway_environment(radio_url: str, folder: Path, sign_in: Credentials, *, site: str) -> dict[str, str]:
    """Settings of a gateway that hears this air and sends to this broker."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "SUIFANG_GATEWAY_SITE": site,
        "SUIFANG_GATEWAY_SOURCE": sign_in.username,
        "SUIFANG_GATEWAY_BROKER_HOST": sign_in.host,
        "SUIFANG_GATEWAY_BROKER_PORT": str(sign_in.port),
        "SUIFANG_GATEWAY_BROKER_PASSWORD": sign_in.password,
        "SUIFANG_GATEWAY_OUTBOX": str(folder / "outbox.sqlite"),
        "SUIFANG_GATEWAY_RADIO_URL": radio_url,
        "SUIFANG_GATEWAY_BLEAK_BACKEND": "simulators.bumble_backend:backends",
        "SUIFANG_GATEWAY_SIMULATED": "true",
        # simulated devices measure every few seconds: nobody rests between two of them
        "SUIFANG_GATEWAY_REST_S": "0.2",
        # and nobody who watches a fault waits a minute for the broker to be found again
        "SUIFANG_GATEWAY_RECONNECT_MOST_S": "3",
        "SUIFANG_GATEWAY_RESEND_S": "5",
    }

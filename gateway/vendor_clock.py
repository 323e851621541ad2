"""Setting the clock of a meter whose clock is a characteristic of its maker's own.

Source: the declarations in `devices.products`. docs/decisions/0057-a-clock-that-cannot-be-read-may-be-set.md
"""

from __future__ import annotations

from devices.products.known import clock_of
from gateway.connected import ConnectedDevice
from gateway.errors import AccessRefused, LinkLost


async def set_clock(device: ConnectedDevice) -> None:
    """Where that is wanted, and the product declares how: before its records are asked for. LinkLost, NoAnswer."""
    clock = clock_of(device.link.services, device.product)
    # one that can be read is corrected, not set: else what it stamped before would be on another timeline
    if clock is None or device.device_now is not None or not device.terms.sets_clocks:
        return
    service, characteristic = clock.service, clock.characteristic
    if device.terms.clock_kept() is False:
        device.log.warning("clock not set", characteristic=characteristic, why="nothing keeps the gateway's own right")
        return
    try:
        await device.link.subscribe(service, characteristic, device.guarded(lambda _raw: None))
    except (AccessRefused, LinkLost) as error:
        if device.link.closed.is_set():
            raise
        device.log.info("clock does not notify", characteristic=characteristic, why=error.detail)
    try:
        await device.link.write(service, characteristic, clock.octets(device.clock().astimezone(device.terms.zone)))
    except AccessRefused as error:
        device.log.warning("clock not set", characteristic=characteristic, why=error.detail)
        return
    device.log.info("clock set", characteristic=characteristic)

"""How often a continuous glucose sensor sends by itself, asked at its Specific Ops Control Point.

Source: Bluetooth CGM Service 1.0.2, clause 3.9; op codes as `devices.gatt.cgm_operations`. Nothing else is ever asked
there: to begin or to end a session, to calibrate and to set alert levels is for people.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from devices.gatt.cgm_operations import FASTEST, CgmOpCode, CgmOperation
from gateway.cgm_session import SERVICE
from gateway.connected import ConnectedDevice
from gateway.errors import AccessRefused

_CONTROL: Final = CgmOperation.uuid
_WAITS_S: Final = 5.0


async def interval_of(device: ConnectedDevice, *, crc: bool) -> int:
    """Minutes. 0: it sends nothing by itself, as fast as it can, or does not say.  crc: the sensor wants one.

    LinkLost, NoAnswer.
    """
    if _CONTROL not in device.link.services[SERVICE]:
        return 0
    answer: asyncio.Future[CgmOperation] = asyncio.get_running_loop().create_future()

    def hear(raw: bytes) -> None:
        value = device.decoded(_CONTROL, raw)
        if isinstance(value, CgmOperation) and not answer.done():
            answer.set_result(value)

    asked = CgmOperation(op_code=CgmOpCode.GET_COMMUNICATION_INTERVAL, e2e_crc=crc)
    closed = asyncio.ensure_future(device.link.closed.wait())
    try:
        await device.link.subscribe(SERVICE, _CONTROL, device.guarded(hear))
        await device.link.write(SERVICE, _CONTROL, asked.encode())
        ends: set[asyncio.Future[Any]] = {answer, closed}
        await asyncio.wait(ends, timeout=_WAITS_S, return_when=asyncio.FIRST_COMPLETED)
    except AccessRefused as error:
        device.log.info("interval not told", why=error.detail)
        return 0
    finally:
        closed.cancel()
    if not answer.done():
        return 0
    told = answer.result()
    if told.op_code != CgmOpCode.COMMUNICATION_INTERVAL or told.operand[0] == FASTEST:
        return 0
    return told.operand[0]

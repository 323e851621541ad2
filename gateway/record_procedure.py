"""One procedure of a Record Access Control Point: asked, waited for, and what its answer means.

Source: Bluetooth Glucose Service 1.0.1, clause 3.4; other services have the same point.
"""

from __future__ import annotations

import asyncio
import enum
from typing import Any, Final

from devices.gatt.record_access import RecordAccess, ResponseCode
from gateway.connected import ConnectedDevice
from gateway.errors import AccessRefused, LinkLost, NoAnswer

CONTROL: Final = RecordAccess.uuid
_BUSY: Final = 0xFE  # Procedure Already In Progress (Core Supplement, Part B, 1.2)
_BUSY_WAITS_S: Final = (1.0, 3.0)


class Report(enum.StrEnum):
    """How the device answered."""

    DONE = "done"
    NO_RECORDS = "no-records"
    REFUSED = "refused"


def meaning(device: ConnectedDevice, code: int | None) -> Report:
    """Of a response code; one that is neither success nor "no records" is logged."""
    if code == ResponseCode.SUCCESS:
        return Report.DONE
    if code == ResponseCode.NO_RECORDS_FOUND:
        return Report.NO_RECORDS
    device.log.warning("records not reported", response_code=code)
    return Report.REFUSED


async def run(
    device: ConnectedDevice, service: str, request: RecordAccess, answer: asyncio.Future[RecordAccess]
) -> int | None:
    """The response code. LinkLost, NoAnswer: nothing was heard for the idle time.  AccessRefused, OutboxFull."""
    for wait_s in (*_BUSY_WAITS_S, None):
        try:
            await device.link.write(service, CONTROL, request.encode())
            break
        except AccessRefused as error:
            if error.code != _BUSY or wait_s is None:
                raise
            await asyncio.sleep(wait_s)
    listening = asyncio.ensure_future(device.quiet(device.terms.idle_s))
    try:
        ends: set[asyncio.Future[Any]] = {answer, listening}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listening.cancel()
    if answer.done():
        return answer.result().response_code
    if device.failure is not None:
        raise device.failure
    raise LinkLost if device.link.closed.is_set() else NoAnswer

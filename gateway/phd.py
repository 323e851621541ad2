"""`suifang-gateway phd`: agents over TCP as a process, either printed or kept in the outbox and sent up."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import structlog

from devices.ieee11073.terms import Terms
from devices.observation import Fact, Observation
from gateway.errors import BadSetting, OutboxBroken
from gateway.outbox import Outbox, utc_now
from gateway.phd_listener import PhdListener
from gateway.settings import Settings
from gateway.status import Status, status
from gateway.uplink import Uplink

_log = structlog.get_logger()
DEFAULT: Final = "127.0.0.1:6024"
"""The port that 20601 managers are found on by habit."""


class Printed:
    """Readings as JSON lines on standard output; nothing is kept."""

    def put(self, observations: Sequence[Observation]) -> None:
        """A line each, flushed: then the agent may be told. OutboxBroken: nobody reads them."""
        try:
            sys.stdout.write("".join(msgspec.json.encode(one).decode() + "\n" for one in observations))
            sys.stdout.flush()
        except BrokenPipeError as error:
            # what is buffered still would fail once more at exit, and make the exit status 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise OutboxBroken("nobody reads standard output any more") from error

    def odd(self, device: str, characteristic: str, frame: bytes, field: str, reason: str) -> None:
        """A frame that could not be read is logged by the listener; here it is shown."""
        _log.info("frame", device=device, characteristic=characteristic, field=field, reason=reason, octets=frame.hex())


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, with brackets around an IPv6 address. BadSetting."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise BadSetting(f"{text!r} is not HOST:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def system_id(name: str) -> bytes:
    """An EUI-64 for this gateway, the same at each start: locally administered, so nobody else's."""
    raw = bytearray(hashlib.sha256(name.encode()).digest()[:8])
    raw[0] = (raw[0] | 0x02) & 0xFE
    return bytes(raw)


async def run_printed(listen: str, *, zone: str) -> None:
    """Until SIGINT or SIGTERM. BadSetting."""
    try:
        terms = Terms(system_id("suifang"), zone=ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadSetting(f"no time zone {zone!r}") from error
    await _serve(PhdListener(terms, Printed(), utc_now), listen, _stopped())


async def run(settings: Settings, listen: str) -> None:
    """Agents to the outbox, the outbox to the broker, until SIGINT or SIGTERM. OutboxBusy, OutboxBroken, BadSetting."""
    stop = _stopped()
    terms = Terms(
        system_id(f"{settings.site}/{settings.source}"),
        zone=ZoneInfo(settings.zone),
        facts=Fact.SIMULATED if settings.simulated else Fact(0),
        session=settings.session,
        clears=True,
    )
    with Outbox(settings.outbox, most_octets=settings.most_octets, most_together=settings.most_together) as outbox:

        def report(running: bool) -> Status:
            return status(outbox.figures(), utc_now(), running=running)

        uplink = Uplink(settings, outbox, utc_now, report)
        async with asyncio.TaskGroup() as group:
            group.create_task(uplink.run())
            try:
                await _serve(PhdListener(terms, outbox, utc_now, uplink.news), listen, stop)
            finally:
                uplink.stop()


def _stopped() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _serve(listener: PhdListener, listen: str, stop: asyncio.Event) -> None:
    host, port = await listener.open(*address(listen))
    _log.info("listening", host=host, port=port)
    waits = {asyncio.ensure_future(event.wait()) for event in (stop, listener.failed)}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await listener.close()
    if listener.failure is not None:
        raise listener.failure
    _log.info("stopped")

"""11073-20601 agents over TCP as a part of a gateway: on their own, beside a radio, or only printed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import structlog

from devices.ieee11073.terms import Terms
from devices.observation import Fact, Observation
from gateway.errors import BadSetting, OutboxBroken
from gateway.outbox import utc_now
from gateway.phd_listener import PhdListener
from gateway.settings import Settings, address

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
    await serve(PhdListener(terms, Printed(), utc_now), listen, _stopped())


def terms_of(settings: Settings) -> Terms:
    """What this gateway lets its manager do; segments that are on its disk are cleared on the agent."""
    return Terms(
        system_id(f"{settings.site}/{settings.source}"),
        zone=ZoneInfo(settings.zone),
        facts=Fact.SIMULATED if settings.simulated else Fact(0),
        session=settings.session,
        clears=True,
    )


def _stopped() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def serve(
    listener: PhdListener, listen: str, stop: asyncio.Event, opened: Callable[[str | None], None] = lambda _where: None
) -> None:
    """Accept agents until `stop`. opened: told where, and None when no more. BadSetting, OutboxBroken."""
    host, port = await listener.open(*address(listen))
    _log.info("listening", host=host, port=port)
    opened(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    waits = {asyncio.ensure_future(event.wait()) for event in (stop, listener.failed)}
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await listener.close()
        opened(None)
    if listener.failure is not None:
        raise listener.failure
    _log.info("no more agents")

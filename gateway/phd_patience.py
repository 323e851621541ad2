"""What a connection of an agent is not waited for: words, the rest of an APDU, its reading, a sign of life.

A ward's agents lose their power and their network without a farewell, and an association has no heartbeat of its own:
without these limits each of them would hold a place for ever.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final, NamedTuple


class Patience(NamedTuple):
    """Seconds. silence: of a connection that is not associated.  unfinished: of an APDU that has begun.  unread: of a
    peer that does not read what it is told.  goodbye: a little longer than the standard's time for a release.  idle: of
    one that says nothing while there is no place left for others."""

    silence: float = 30.0
    unfinished: float = 30.0
    unread: float = 30.0
    goodbye: float = 3.5
    idle: float = 600.0


PATIENCE: Final = Patience()
_IDLE_S: Final = 60
_BETWEEN_S: Final = 15
_PROBES: Final = 4
"""A peer that is gone without a farewell is noticed after two minutes."""


def watch(transport: asyncio.BaseTransport) -> None:
    """Let the kernel ask a quiet peer whether it is still there."""
    found = transport.get_extra_info("socket")
    if found is None:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", _IDLE_S), ("TCP_KEEPINTVL", _BETWEEN_S), ("TCP_KEEPCNT", _PROBES)):
        if hasattr(socket, option):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class Waits:
    """The limits that run for one connection, each by its name."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: dict[str, asyncio.TimerHandle] = {}

    def start(self, name: str, seconds: float, over: Callable[[], None], *, again: bool = False) -> None:
        """One that runs goes on running; again: from now on."""
        if again:
            self.stop(name)
        if name not in self._running:
            self._running[name] = self._loop.call_later(seconds, over)

    def stop(self, name: str) -> None:
        """What was waited for has come."""
        handle = self._running.pop(name, None)
        if handle is not None:
            handle.cancel()

    def stop_all(self) -> None:
        """The connection is over."""
        for name in list(self._running):
            self.stop(name)

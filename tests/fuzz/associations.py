"""A manager and an agent of ISO/IEEE 11073-20601 that are fed arbitrary octets while they are associated."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from devices.errors import DeviceError
from devices.ieee11073 import apdu
from devices.ieee11073.agent import Agent, Nameplate
from devices.ieee11073.manager import Manager
from devices.ieee11073.objects import Configuration
from devices.ieee11073.outputs import Keep, Output, Send
from devices.ieee11073.remembered import Remembered
from devices.ieee11073.specializations import standard
from devices.ieee11073.states import State
from devices.ieee11073.terms import Terms
from devices.ieee11073.window import Window

BEGAN = datetime(2026, 11, 22, tzinfo=UTC)
_AGENT = b"AGENT---"
LIVES = 50
"""Inputs that one association takes at most before it is made anew: what it keeps must not grow meanwhile."""


class Associated:
    """Two machines that agreed on a configuration; made anew when one has left the association."""

    def __init__(self, configuration: Configuration | None = None) -> None:
        self._configuration = standard(0x05DC) if configuration is None else configuration
        self._remembered = Remembered()
        self._begin()

    def _begin(self) -> None:
        self._inputs = 0
        # what arbitrary octets made it forget
        self._remembered.keep(_AGENT, self._configuration)
        self.manager = Manager(Terms(b"MANAGER!"), self._remembered)
        self.agent = Agent(
            Nameplate(_AGENT, [self._configuration]),
            Window(tuple, set_time=lambda _: None, latest=tuple, store=30, scanners=[20]),
        )
        self.manager.connected(0.0)
        (request,) = (one.octets for one in self.agent.connected(0.0) if isinstance(one, Send))
        outputs = self.manager.receive(request, 0.0, BEGAN)
        self.agent.receive(next(one.octets for one in outputs if isinstance(one, Send)), 0.0)

    def _next(self, state: State) -> float:
        self._inputs += 1
        if self._inputs > LIVES or state is not State.OPERATING:
            self._begin()
        return float(self._inputs)

    def manager_takes(self, data: bytes) -> None:
        """Octets from a hostile agent; whatever the manager answers must be an APDU."""
        now = self._next(self.manager.state)
        _check(lambda: [*self.manager.receive(data, now, BEGAN), *self.manager.tick(now + 0.5)])

    def agent_takes(self, data: bytes) -> None:
        """Octets from a hostile manager."""
        now = self._next(self.agent.state)
        _check(lambda: [*self.agent.receive(data, now), *self.agent.tick(now + 0.5)])


def _check(step: Callable[[], list[Output]]) -> None:
    """A machine answers with an abort or a reject, it does not raise, and what it sends is an APDU."""
    try:
        for output in step():
            if isinstance(output, Send | Keep) and output.octets:
                apdu.decode(output.octets)
    except DeviceError as error:
        raise AssertionError("a machine raised, or sent what is no APDU") from error

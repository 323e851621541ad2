"""11073-20601 agents over TCP: readings are kept before they are confirmed.

The protocol is `devices.ieee11073.manager`, which knows no sockets; here are the sockets, the clocks and the outbox.
On TCP the APDUs follow each other without framing of their own; the agent connects and speaks first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import structlog

from devices.ieee11073.association import Information
from devices.ieee11073.codes import AbortReason
from devices.ieee11073.data_apdu import GetResult
from devices.ieee11073.manager import Manager
from devices.ieee11073.outputs import NO_KIND, Answered, Became, Keep, Odd, Output, Send
from devices.ieee11073.remembered import Remembered
from devices.ieee11073.states import Event, State
from devices.ieee11073.terms import Terms
from devices.observation import Observation
from gateway.errors import BadSetting, GatewayError, OutboxBroken
from gateway.phd_agents import Agents
from gateway.phd_patience import PATIENCE, Patience, Waits, watch

_log = structlog.get_logger()
MOST_CONNECTIONS: Final = 128
ROUND_S: Final = 60.0
"""How often the roster is told that an agent is still heard."""


class Kept(Protocol):
    """Where readings go. OutboxFull, OutboxBroken: they were not kept, and are not confirmed."""

    def put(self, observations: Sequence[Observation]) -> None:
        """All of them or none."""

    def odd(self, device: str, characteristic: str, frame: bytes, field: str, reason: str) -> None:
        """A frame that could not be read."""


class PhdListener:
    """Accepts agents until it is closed. agents: where it is told who they are; None: nowhere.
    failure: why nothing can be kept any more."""

    def __init__(
        self,
        terms: Terms,
        kept: Kept,
        clock: Callable[[], datetime],
        told: Callable[[], None] | None = None,
        agents: Agents | None = None,
        *,
        patience: Patience = PATIENCE,
    ) -> None:
        self.terms = terms
        self.kept = kept
        self.clock = clock
        self.told = told
        self.agents = agents
        self.patience = patience
        self.remembered = Remembered() if agents is None else agents.remembered
        self.connections: set[_Connection] = set()
        self.failure: OutboxBroken | None = None
        self.failed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._round: asyncio.TimerHandle | None = None

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address that was bound (port 0 takes a free one). BadSetting: it cannot be bound."""
        try:
            self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), host, port)
        except OSError as error:
            raise BadSetting(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self._go_round()
        address = self._server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def close(self) -> None:
        """Accept nothing new, release every association in good order, end."""
        if self._server is not None:
            self._server.close()
        if self._round is not None:
            self._round.cancel()
        for connection in list(self.connections):
            connection.release()
        await self._end(self.patience.goodbye)
        for connection in list(self.connections):
            connection.abort()
        await self._end(self.patience.goodbye)
        if self._server is not None:
            await self._server.wait_closed()

    async def _end(self, most_s: float) -> None:
        """Until every connection has ended, or time is up."""
        ends = [asyncio.ensure_future(connection.ended.wait()) for connection in self.connections]
        if ends:
            _, late = await asyncio.wait(ends, timeout=most_s)
            for end in late:
                end.cancel()

    @property
    def is_open(self) -> bool:
        """New agents are accepted."""
        return self._server is not None and self._server.is_serving()

    def make_room(self) -> None:
        """Release whoever has said nothing for longest, if for long; it can come again, as who was refused can."""
        quietest = min(self.connections, key=lambda one: one.heard_at)
        if (self.clock() - quietest.heard_at).total_seconds() > self.patience.idle:
            quietest.leaves = True
            quietest.release()

    def _go_round(self) -> None:
        """Tell when each agent was heard last, now and then: an association may last for days."""
        if self.agents is not None:
            self.tell(partial(self.agents.heard, {one: one.heard_at for one in self.connections}))
            self._round = asyncio.get_running_loop().call_later(ROUND_S, self._go_round)

    def tell(self, news: Callable[[], None]) -> None:
        """Tell `agents` something."""
        try:
            news()
        except OutboxBroken as error:
            self.fail(error)

    def fail(self, error: OutboxBroken) -> None:
        """The disk cannot be trusted any more: whoever runs this has to end."""
        self.failure = error
        self.failed.set()


class _Connection(asyncio.Protocol):
    """One agent."""

    def __init__(self, listener: PhdListener) -> None:
        self._listener = listener
        self._manager = Manager(listener.terms, listener.remembered)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waits = Waits(self._loop)
        self._unfinished: int | None = None
        self._log = _log
        self._peer = ""
        self._about: Information | None = None
        self._waveforms = 0
        self.heard_at = listener.clock()
        self.leaves = False
        """Its place is wanted: once released, it is not waited for to associate anew."""
        self.ended = asyncio.Event()

    # -- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if len(self._listener.connections) >= MOST_CONNECTIONS:
            _log.warning("too many agents", most=MOST_CONNECTIONS)
            transport.abort()
            self._listener.make_room()
            return
        self._listener.connections.add(self)
        watch(transport)
        peer = transport.get_extra_info("peername")
        self._peer = f"tcp:{peer[0]}" if peer else "tcp:"
        self._log = _log.bind(peer=str(peer))
        self._do(self._manager.connected(self._loop.time()))
        self._await_speech()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._listener.clock()
        self._do(self._manager.receive(data, self._loop.time(), self.heard_at))
        self._await_the_rest()

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._listener.connections:
            self._do(self._manager.disconnected(self._loop.time()))
        self._listener.connections.discard(self)
        if self._waveforms:
            self._log.info("waveforms were not kept", device=self._device, count=self._waveforms)
        if self._timer is not None:
            self._timer.cancel()
        self._waits.stop_all()
        self.ended.set()

    def pause_writing(self) -> None:
        # an agent that does not read its confirmations is not read either
        if self._transport is not None:
            self._transport.pause_reading()
            self._waits.start("unread", self._listener.patience.unread, self.abort)

    def resume_writing(self) -> None:
        self._waits.stop("unread")
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # -- wishes

    def release(self) -> None:
        """End in good order; a connection without an association just ends."""
        if self._manager.state in {State.UNASSOCIATED, State.DISCONNECTED}:
            self.drop()
        else:
            self._do(self._manager.release(self._loop.time()))

    def drop(self) -> None:
        """End, after what was said has left."""
        if self._transport is not None:
            self._transport.close()
            self._waits.start("goodbye", self._listener.patience.goodbye, self.abort)

    def abort(self) -> None:
        """End at once."""
        if self._transport is not None:
            self._transport.abort()

    def _do(self, outputs: list[Output]) -> None:
        """Commit all readings in one transaction, then send all octets in their order."""
        readings: list[Observation] = []
        octets: list[bytes] = []
        others: list[Odd | Became | Answered] = []
        waveforms = 0
        for output in outputs:
            if isinstance(output, Keep):
                readings.extend(output.observations)
                waveforms += len(output.waveforms)
                octets.append(output.octets)
            elif isinstance(output, Send):
                octets.append(output.octets)
            else:
                others.append(output)
        if not self._keep(readings, others):
            self._refuse()
            return
        if octets and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(octets))
        if waveforms:
            self._count(waveforms)
        if others:
            self._follow(others)
        self._arm()

    def _keep(self, readings: list[Observation], others: list[Odd | Became | Answered]) -> bool:
        """False: not kept, so nothing may be confirmed."""
        listener = self._listener
        try:
            if readings:
                listener.kept.put(readings)
            for output in others:
                if isinstance(output, Odd):
                    event = "reading of no kind" if output.reason == NO_KIND else "frame cannot be read"
                    self._log.warning(event, field=output.field, reason=output.reason)
                    listener.kept.odd(self._device, "20601", output.frame, output.field, output.reason)
                    if output.reason != NO_KIND:
                        self._doubt()
        except OutboxBroken as error:
            listener.fail(error)
            return False
        except GatewayError as error:
            self._log.warning("not kept and not confirmed", why=error.detail)
            return False
        if readings and listener.told is not None:
            listener.told()
        return True

    def _count(self, waveforms: int) -> None:
        """Waveforms are not kept (docs/decisions/0088): said at the first one, and how many there were at the end."""
        if not self._waveforms:
            self._log.info("waveforms are not kept", device=self._device)
        self._waveforms += waveforms
        if self._listener.agents is not None:
            self._listener.agents.waveforms += waveforms

    def _refuse(self) -> None:
        """The agent keeps what it has, and comes again."""
        if self._listener.agents is not None:
            self._listener.tell(partial(self._listener.agents.went, self, Event.REQ_ABORT, self.heard_at))
        for output in self._manager.abort(self._loop.time(), AbortReason.BUFFER_OVERFLOW):
            # a reading that was held back is not kept either, so its confirmation stays here
            if isinstance(output, Send) and self._transport is not None:
                self._transport.write(output.octets)
        self.drop()

    @property
    def _device(self) -> str:
        about = self._manager.about or self._about
        return "tcp:unknown" if about is None else f"eui64:{about.system_id.hex()}"

    # -- who it is

    def _doubt(self) -> None:
        """A configuration under which a frame made no sense is asked for again."""
        agents, about = self._listener.agents, self._manager.about or self._about
        if agents is not None and about is not None:
            agents.mistaken(about.system_id, about.dev_config_id)

    def _follow(self, others: list[Odd | Became | Answered]) -> None:
        agents = self._listener.agents
        for other in others:
            if isinstance(other, Became):
                self._about = self._manager.about or self._about
                if agents is not None:
                    self._listener.tell(partial(self._note, agents, other))
                self._became(other)
            elif isinstance(other, Answered) and agents is not None and isinstance(other.answer, GetResult):
                self._listener.tell(partial(agents.described, self, other.answer.attributes))

    def _note(self, agents: Agents, output: Became) -> None:
        if output.state is State.OPERATING and self._about is not None:
            agents.came(self, self._device, self._peer, self._about.dev_config_id)
        elif output.state in {State.UNASSOCIATED, State.DISCONNECTED}:
            agents.went(self, output.why, self.heard_at)

    def _became(self, output: Became) -> None:
        self._log.info("association", state=output.state.value, why=output.why, device=self._device)
        self._waits.stop("silence")
        if output.state is State.UNASSOCIATED:
            if output.why == Event.RX_GARBAGE or self.leaves or not self._listener.is_open:
                # a stream of something else cannot be understood again
                self.drop()
            else:
                self._await_speech()

    def _await_speech(self) -> None:
        self._waits.start("silence", self._listener.patience.silence, self.drop, again=True)

    def _await_the_rest(self) -> None:
        begun = self._manager.unfinished
        if begun is None:
            self._waits.stop("unfinished")
        else:
            self._waits.start("unfinished", self._listener.patience.unfinished, self._stalled,
                              again=begun != self._unfinished)  # fmt: skip
        self._unfinished = begun

    def _stalled(self) -> None:
        self._log.warning("an APDU was not finished", device=self._device)
        self.abort()

    def _arm(self) -> None:
        deadline = self._manager.deadline
        if self._timer is not None:
            if deadline == self._timer.when():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self.ended.is_set():
            self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._do(self._manager.tick(self._loop.time()))

"""The gateway process: radio and 20601 agents to outbox, outbox to broker, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from devices.observation import Fact
from gateway import phd
from gateway.bluez import Limits, open_radio
from gateway.collector import Collector, wanted_by
from gateway.connected import Terms
from gateway.errors import GatewayError, OutboxBroken, RadioGone, leaves
from gateway.outbox import Outbox, utc_now
from gateway.phd_agents import Agents
from gateway.phd_listener import PhdListener
from gateway.roster import batteries
from gateway.settings import Settings
from gateway.status import Status, status
from gateway.uplink import Uplink, set_within

_log = structlog.get_logger()
_PAUSE_S = 5.0


def configure_logging(level: int = logging.INFO) -> None:
    """JSON lines on standard error; libraries' warnings too."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


class _ToStructlog(logging.Handler):
    """The standard library's records in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        text: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            text["exc_info"] = record.exc_info
        _log.log(record.levelno, record.getMessage(), **text)


class Gateway:
    """The parts, and how they end. radio: listen to Bluetooth devices.  listen: HOST:PORT for 20601 agents."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], datetime] = utc_now,
        *,
        radio: bool = True,
        listen: str | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._parts: dict[str, Callable[[], Awaitable[None]]] = {}
        if radio:
            self._parts["radio"] = self._radio_part
        if listen is not None:
            self._parts["agents"] = partial(self._agents_part, listen)
        self._outbox = Outbox(
            settings.outbox, clock=clock, most_octets=settings.most_octets, most_together=settings.most_together
        )
        self._uplink = Uplink(settings, self._outbox, clock, self._report)
        self._radio: bool | None = None
        self._no_radio_said = ""
        self._listening: str | None = None
        self._agents: Agents | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until `stop` or a signal. OutboxBroken: the disk cannot be trusted any more."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        _log.info("gateway starts", site=self._settings.site, source=self._settings.source)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._uplink.run())
                group.create_task(self._hear())
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            self._outbox.close()
        _log.info("gateway stopped")

    def stop(self) -> None:
        """Take nothing new, finish what is under way, send what is kept, end."""
        self._stop.set()

    async def _hear(self) -> None:
        """All parts, until each has drained; then the uplink may."""
        try:
            async with asyncio.TaskGroup() as group:
                for name, part in self._parts.items():
                    group.create_task(self._last(name, part))
        finally:
            self._outbox.let_all_go()
            self._uplink.stop()

    async def _last(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """A part, begun again when it fails, so that it does not end the other. Alone, it ends the gateway.

        OutboxBroken ends the gateway: no part can keep anything any more.
        """
        while not self._stop.is_set():
            try:
                await part()
            except Exception as error:
                broken = next((one for one in leaves(error) if isinstance(one, OutboxBroken)), None)
                if broken is not None:
                    raise broken from error
                if len(self._parts) == 1:
                    raise
                known = all(isinstance(one, GatewayError) for one in leaves(error))
                why = "; ".join(str(one) for one in leaves(error))
                _log.error("a part failed", part=name, why=why, again_in_s=_PAUSE_S, exc_info=not known)
                await set_within(self._stop, _PAUSE_S)

    async def _agents_part(self, listen: str) -> None:
        """20601 agents, for as long as the port is ours."""
        if self._agents is None:
            self._agents = Agents(self._outbox, self._clock, self._uplink.news)
        terms = phd.terms_of(self._settings)
        listener = PhdListener(terms, self._outbox, self._clock, self._uplink.news, self._agents)
        await phd.serve(listener, listen, self._stop, self._tell_listening)

    async def _radio_part(self) -> None:
        """The radio, opened again whenever it goes."""
        while not self._stop.is_set():
            try:
                await self._collect()
            except RadioGone as error:
                self._tell_radio(False)
                if error.detail != self._no_radio_said:
                    # once a reason: a gateway that serves agents may never have one
                    self._no_radio_said = error.detail
                    _log.warning("no radio", why=error.detail, again_every_s=_PAUSE_S)
                await set_within(self._stop, _PAUSE_S)
            except Exception:
                self._tell_radio(False)
                raise

    async def _collect(self) -> None:
        settings = self._settings
        terms = Terms(
            zone=ZoneInfo(settings.zone),
            facts=Fact.SIMULATED if settings.simulated else Fact(0),
            session=settings.session,
            idle_s=settings.idle_s,
            sets_clocks=settings.set_clocks,
        )
        wanted = wanted_by(settings.accept)
        async with open_radio(
            backend=settings.bleak_backend,
            url=settings.radio_url,
            identity=f"{settings.site}/{settings.source}",
            bonds=settings.bonds,
            services=wanted.scanned,
            limits=Limits(settings.connect_s, settings.call_s),
            passkeys={address: passkey.get_secret_value() for address, passkey in settings.passkeys.items()},
        ) as radio:
            self._tell_radio(True)
            if self._no_radio_said:
                self._no_radio_said = ""
                _log.info("radio found")
            collector = Collector(
                radio,
                self._outbox,
                terms,
                wanted,
                clock=self._clock,
                scan_s=settings.scan_s,
                rest=timedelta(seconds=settings.rest_s),
                rest_most=timedelta(seconds=settings.rest_most_s),
                told=self._uplink.news,
                drain_s=settings.drain_s,
            )
            await collector.run(self._stop)

    def _tell_radio(self, here: bool) -> None:
        if here is not self._radio:
            self._radio = here
            self._uplink.news()

    def _tell_listening(self, where: str | None) -> None:
        self._listening = where
        self._uplink.news()

    def _report(self, running: bool) -> Status:
        return status(
            self._outbox.figures(),
            self._clock(),
            radio=self._radio,
            listening=self._listening,
            agents=() if self._agents is None else self._agents.associated,
            waveforms=0 if self._agents is None else self._agents.waveforms,
            batteries=batteries(self._outbox),
            running=running,
        )


async def run(settings: Settings) -> None:
    """A gateway with these settings, in this event loop. OutboxBusy, OutboxBroken, BadSetting."""
    await Gateway(settings, listen=settings.phd_listen).run()


async def run_for_agents(settings: Settings, listen: str) -> None:
    """One without a radio, for 20601 agents alone. OutboxBusy, OutboxBroken, BadSetting."""
    await Gateway(settings, radio=False, listen=listen).run()

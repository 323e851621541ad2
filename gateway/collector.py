"""Who is listened to, and when: scan, stop the scan, connect, follow; then the next, while the first still talks.

What a device says in its advertisements alone is kept while scanning (`gateway.advertised`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog

from gateway.advertised import Advertised
from gateway.connected import ConnectedDevice, Terms
from gateway.errors import GatewayError, LinkLost, NoAnswer, OutboxFull, RadioGone
from gateway.outbox import Outbox
from gateway.radio import HEALTH_SERVICES, Discovery, Radio
from gateway.roster import missed
from gateway.sessions import Outcome, follow

_log = structlog.get_logger()
_DOUBLINGS: Final = 10
_MOST_RESTS: Final = 1024
"""Remembered pauses, before those that are long over are forgotten."""


class Wanted(NamedTuple):
    """The allow-list taken apart; a device is admitted by its address or by a service that it advertises."""

    addresses: frozenset[str]
    services: frozenset[str]

    @property
    def scanned(self) -> frozenset[str] | None:
        """What a scan may be narrowed to. None: nothing, a listed address may advertise any service."""
        return None if self.addresses else self.services

    def admits(self, discovery: Discovery) -> bool:
        """Is this device on the list?"""
        return discovery.address in self.addresses or bool(discovery.services & self.services)

    def hears(self, discovery: Discovery) -> bool:
        """Is this device on the list, by its advertised data too?"""
        return self.admits(discovery) or not self.services.isdisjoint(discovery.service_data)


def wanted_by(accept: frozenset[str]) -> Wanted:
    """accept: addresses (with colons) and service UUIDs; empty: every health device."""
    addresses = frozenset(entry for entry in accept if ":" in entry)
    return Wanted(addresses, frozenset(accept - addresses) if accept else frozenset(HEALTH_SERVICES))


class _Rest(NamedTuple):
    until: datetime
    failures: int


_GOOD: Final = frozenset({Outcome.COLLECTED, Outcome.NOTHING_NEW})
"""After others a device is left alone for longer each time; a sensor, too, that advertises between its measurements."""


class Collector:
    """One radio's work. rest: how long a device is left alone after a session, doubled with each failure in a row.

    told: called when the outbox fills up or a session is over.
    """

    def __init__(
        self,
        radio: Radio,
        outbox: Outbox,
        terms: Terms,
        wanted: Wanted,
        *,
        clock: Callable[[], datetime],
        scan_s: float,
        rest: timedelta,
        rest_most: timedelta,
        told: Callable[[], None],
        drain_s: float,
    ) -> None:
        self._radio = radio
        self._outbox = outbox
        self._terms = terms
        self._wanted = wanted
        self._clock = clock
        self._scan_s = scan_s
        self._rest = rest
        self._rest_most = rest_most
        self._told = told
        self._drain_s = drain_s
        self._advertised = Advertised(outbox, terms, wanted.hears, clock, told)
        self._rests: dict[str, _Rest] = {}
        self._talking: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; sessions under way may finish within the drain time. RadioGone, OutboxBroken."""
        try:
            async with asyncio.TaskGroup() as sessions:
                stopped = sessions.create_task(stop.wait())
                while not stop.is_set():
                    await self._next(sessions, stopped, stop)
                await self._drain()
        except* RadioGone as group:
            raise RadioGone(f"{group.exceptions[0]}") from group
        except* GatewayError as group:
            raise group.exceptions[0] from group

    async def _next(self, sessions: asyncio.TaskGroup, stopped: asyncio.Task[bool], stop: asyncio.Event) -> None:
        """Find one device and begin its session."""
        if self._outbox.full:
            # A device that is not connected to keeps its records; one that is connected to would be told "received".
            self._told()
            await asyncio.wait({stopped}, timeout=1.0)
            return
        scan = asyncio.ensure_future(self._radio.discover(self._is_next, self._scan_s))
        try:
            await asyncio.wait({scan, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not scan.done():
                scan.cancel()
                await asyncio.wait({scan})
        if scan.cancelled():
            return
        try:
            discovery = scan.result()
        except OutboxFull:
            # an advertised reading did not fit; `full` above says how it goes on
            self._told()
            return
        if discovery is None:
            return
        connected = asyncio.Event()
        session = sessions.create_task(self._session(discovery, connected, stop))
        self._talking[discovery.address] = session
        # the adapter does one thing at a time: no scan while a connection is being made
        waiting = asyncio.ensure_future(connected.wait())
        try:
            await asyncio.wait({session, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def _drain(self) -> None:
        """What a session cut short has not committed, the device has not been told: it comes again."""
        sessions = list(self._talking.values())
        if sessions:
            _, late = await asyncio.wait(sessions, timeout=self._drain_s)
            for session in late:
                session.cancel()

    def _is_next(self, discovery: Discovery) -> bool:
        """Is this the device to connect to? What it advertises is kept first. OutboxFull, OutboxBroken."""
        return not self._advertised.hear(discovery) and self._is_due(discovery)

    def _is_due(self, discovery: Discovery) -> bool:
        if discovery.address in self._talking or not self._wanted.admits(discovery):
            return False
        rest = self._rests.get(discovery.address)
        return rest is None or rest.until <= self._clock()

    async def _session(self, discovery: Discovery, connected: asyncio.Event, stop: asyncio.Event) -> None:
        good = False
        try:
            async with self._radio.connect(discovery) as link:
                connected.set()
                device = ConnectedDevice(link, discovery, self._outbox, self._terms, self._clock, stop=stop)
                good = await follow(device) in _GOOD
        except (LinkLost, NoAnswer) as error:
            _log.info("no connection", address=discovery.address, why=error.detail)
            self._note_missed(discovery.address)
        finally:
            self._talking.pop(discovery.address, None)
            self._set_rest(discovery.address, good)
            self._told()

    def _note_missed(self, address: str) -> None:
        try:
            missed(self._outbox, address, Outcome.NO_CONNECTION.value, self._clock())
        except OutboxFull:
            _log.warning("the roster cannot be written: the disk is full")

    def _set_rest(self, address: str, good: bool) -> None:
        before = self._rests.get(address)
        failures = 0 if good else 1 + (before.failures if before else 0)
        pause = min(self._rest * 2 ** min(failures, _DOUBLINGS), self._rest_most)
        now = self._clock()
        if len(self._rests) >= _MOST_RESTS:
            # addresses that change at random never come back
            self._rests = {key: rest for key, rest in self._rests.items() if rest.until + self._rest_most > now}
        self._rests[address] = _Rest(now + pause, failures)

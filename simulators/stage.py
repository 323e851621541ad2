"""Plays a scenario on a running chain: residents measure, devices and kiosks send, the truth is written down first.

Readings of `ble` devices go to a simulated Bluetooth device where the chain has one, else they are pushed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self
from zoneinfo import ZoneInfo

from psycopg import OperationalError

from devices.message import MOST_BYTES, Message, digest, encode
from devices.observation import Observation
from simulators import frontdesk, timeline, witness
from simulators.cohort import SITES
from simulators.fleet import Kiosk
from simulators.physiology import Body
from simulators.scenario import REFUSAL, Flaw, Scenario
from simulators.timeline import Act, Reading
from simulators.truth import Fate, Ledger, made

if TYPE_CHECKING:
    from simulators.chain import Chain
    from simulators.peripheral import Peripheral

ZONE: Final = ZoneInfo("Asia/Shanghai")
_AHEAD: Final = timedelta(days=2)
_CARD_WITHIN_S: Final = 30


class Stage:
    """A scenario on a chain. `happened`: the last things worth telling, oldest first."""

    def __init__(self, chain: Chain, scenario: Scenario, *, seed: int, ledger: Ledger) -> None:
        self.chain = chain
        self.scenario = scenario
        self.ledger = ledger
        self.happened: deque[tuple[datetime, str]] = deque(maxlen=8)
        self.on_event: Callable[[str], None] = lambda _text: None
        self.began_at: datetime | None = None
        self._seed = seed
        self._bodies = {person.key: Body(seed, person.key, person.profile) for person in chain.people}
        self._records: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = contextlib.AsyncExitStack()
        self._kiosks: dict[str, Kiosk] = {}

    async def __aenter__(self) -> Self:
        for name, site in [("history", "dongyuan"), ("home", "dongyuan"), *((f"kiosk-{s}", s) for s in SITES)]:
            kiosk = Kiosk(self.chain.broker.credentials(name), site=site)
            self._kiosks[name] = await self._stack.enter_async_context(kiosk)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    @property
    def waiting(self) -> int:
        """Messages without a receipt, and devices with readings that no gateway has collected."""
        return sum(kiosk.waiting for kiosk in self._kiosks.values()) + len(self._tasks)

    @property
    def republished(self) -> int:
        """Messages that a source sent again because no receipt had come."""
        return sum(kiosk.tally.republished for kiosk in self._kiosks.values())

    @property
    def receipt_spans(self) -> list[float]:
        """Seconds from a push to its receipt, of live sources."""
        return [span for name, kiosk in self._kiosks.items() if name != "history" for span in kiosk.spans]

    async def import_history(self, now: datetime) -> int:
        """Push the scenario's days behind through MQTT, as one source; how many readings these were."""
        past = timeline.history(self.scenario, self.chain.people, self._seed, now, ZONE)
        sessions = [
            (entry.observation.session, self.chain.subjects[entry.person.key], entry.observation.measured_at)
            for entry in past
            if entry.observation.session
        ]
        async with self.chain.connection() as conn:
            await frontdesk.read_cards(conn, sessions, now=now)
        for entry in past:
            seen = entry.observation
            self._records[seen.device] = max(seen.record_no, self._records.get(seen.device, 0))
            self.ledger.write(made(seen, at=now, person=entry.person.key, route="history", injection=entry.injection))
        self._kiosks["history"].push([entry.observation for entry in past])
        return len(past)

    async def history_stored(self, timeout_s: float) -> bool:
        """Wait for the receipts of the history."""
        return await self._kiosks["history"].settled(timeout_s)

    async def play(self, seconds: float | None) -> None:
        """Play the live part for so long (None: until cancelled), in real time."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        self.began_at = datetime.now(UTC)
        for act in timeline.live(self.scenario, self.chain.people, self._seed):
            end = act.at_s if seconds is None else min(act.at_s, seconds)
            await asyncio.sleep(max(0.0, start + end - loop.time()))
            if seconds is not None and act.at_s >= seconds:
                return
            await self._perform(act)

    async def settle(self, timeout_s: float) -> bool:
        """Wait until every device is empty, everything sent has its receipt, everything that a gateway still holds is
        stored, and every batch is judged; whether that came true in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for kiosk in self._kiosks.values():
            await kiosk.settled(max(0.0, until - loop.time()))
        while loop.time() < until:
            async with self.chain.connection() as conn:
                if not await witness.missing(conn, self.ledger.entries) and not await witness.unjudged(conn):
                    return not self.waiting
            await asyncio.sleep(0.2)
        return False

    async def _perform(self, act: Act) -> None:
        now = datetime.now(UTC)
        reading = timeline.shown(act, self._bodies[act.person.key], now.astimezone(ZONE))
        if act.injection is not None:
            self._tell(now, f"{act.person.key} {act.injection.says}")
        peripheral = self.chain.peripherals.get(act.device.uid)
        if peripheral is not None:
            self._measure(peripheral, act, reading, now)
        else:
            await self._push(act, reading, now)

    def _measure(self, device: Peripheral, act: Act, reading: Reading, now: datetime) -> None:
        from simulators import neighbourhood  # noqa: PLC0415 - Bumble loads only where there is a radio

        self.ledger.write(neighbourhood.keep(device, act, reading, now))
        again = act.injected.deliveries - 1 if act.injected else 0
        task = asyncio.create_task(neighbourhood.deliver(device, again), name=f"deliver {act.device.uid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _push(self, act: Act, reading: Reading, now: datetime) -> None:
        flaw = act.injection.flaw if act.injection else None
        at_kiosk = act.device.route == "kiosk"
        measured_at = now + _AHEAD if flaw is Flaw.FUTURE else now
        session = timeline.session_uid(act.person, now) if at_kiosk and flaw is not Flaw.UNKNOWN_DEVICE else None
        self._records[act.device.uid] = record_no = self._records.get(act.device.uid, 0) + 1
        observation = timeline.observe(reading, act.device, measured_at, record_no=record_no, session=session)
        if session is not None:
            await self._read_card(session, act, measured_at, now)
        payload = _spoilt(observation, flaw, now)
        refusal = REFUSAL.get(flaw) if flaw else None
        self.ledger.write(
            made(
                observation,
                at=now,
                person=None if refusal or (at_kiosk and session is None) else act.person.key,
                route="kiosk" if at_kiosk else "push",
                fate=Fate.REFUSED if refusal else Fate.STORED,
                reason=refusal.value if refusal else "",
                payload_sha256=digest(payload) if flaw is Flaw.UNREADABLE else "",
                injection=act.injection.id if act.injection else "",
            )
        )
        kiosk = self._kiosks[self._source(act)]
        kiosk.push_payload(payload)
        for again in range(1, act.injected.deliveries if act.injected else 1):
            kiosk.push_payload(_message(observation, now + timedelta(milliseconds=again)))

    async def _read_card(self, session: str, act: Act, at: datetime, now: datetime) -> None:
        """The kiosk's card reader, which waits while the database is away."""
        until = asyncio.get_running_loop().time() + _CARD_WITHIN_S
        while True:
            try:
                async with self.chain.connection() as conn:
                    await frontdesk.read_cards(conn, [(session, self.chain.subjects[act.person.key], at)], now=now)
            except OperationalError:
                if asyncio.get_running_loop().time() > until:
                    raise
                await asyncio.sleep(0.3)
            else:
                return

    def _source(self, act: Act) -> str:
        if act.device.route != "kiosk":
            return "home"
        site = act.injection.kiosk if act.injection and act.injection.kiosk else act.person.site
        return f"kiosk-{site}"

    def _tell(self, now: datetime, text: str) -> None:
        self.happened.append((now, text))
        self.on_event(text)


def _message(observation: Observation, now: datetime) -> bytes:
    name = f"{observation.device.removeprefix('eui64:')}-{observation.record_no}-{now:%H%M%S%f}"
    return encode(Message(message_id=name, sent_at=now, observations=[observation]))


def _spoilt(observation: Observation, flaw: Flaw | None, now: datetime) -> bytes:
    payload = _message(observation, now)
    if flaw is Flaw.NAN_LITERAL:
        document = json.loads(payload)
        document["observations"][0]["values"] = [
            float("nan") if value is None else value for value in document["observations"][0]["values"]
        ]
        return json.dumps(document).encode()
    if flaw is Flaw.UNREADABLE:
        return payload[: min(len(payload) * 2 // 3, MOST_BYTES)]
    return payload

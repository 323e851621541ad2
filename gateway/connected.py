"""A device while it is connected: who it is, what its clock shows, and what became of its frames.

Frames become observations and are committed to the outbox while they are being delivered, so that (where the stack
lets us) the device hears "received" after the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Final, NamedTuple, TypeVar

import structlog

from devices import catalogue
from devices.clock import IDENTITY_ZONE, Counter, Moment
from devices.errors import DeviceError
from devices.gatt.battery import BatteryLevel
from devices.gatt.cgm import CgmFeature, CgmSessionStartTime
from devices.gatt.characteristic import Characteristic
from devices.gatt.current_time import CurrentTime
from devices.gatt.device_information import (
    FirmwareRevision,
    InformationString,
    ManufacturerName,
    ModelNumber,
    SerialNumber,
    SystemId,
)
from devices.gatt.elapsed_time import ElapsedTimeValue
from devices.gatt.glucose import GlucoseMeasurementContext
from devices.gatt.record import DeviceFacts
from devices.observation import Fact, Observation
from devices.products.declaration import Product
from devices.products.known import find
from gateway.errors import AccessRefused, GatewayError, OutboxBroken, OutboxFull
from gateway.outbox import Mark, Outbox, utc_now
from gateway.radio import Discovery, Link
from gateway.roster import Sheet
from gateway.status import clock_synchronised

_log = structlog.get_logger()
_Value = TypeVar("_Value")
_ELAPSED: Final = ("183F", "1840")
"""Services in which the clock of a health sensor may be read: its own, and the sensor's."""


class Terms(NamedTuple):
    """What holds for every device. zone: of its clock.  facts: on each observation.  idle_s: silence that ends it.
    sets_clocks: of devices whose clock cannot be read, while `clock_kept` does not say that ours may be wrong."""

    zone: tzinfo = IDENTITY_ZONE
    facts: Fact = Fact(0)
    session: str | None = None
    idle_s: float = 30.0
    sets_clocks: bool = False
    clock_kept: Callable[[], bool | None] = clock_synchronised


class Plate(NamedTuple):
    """What the device says about itself."""

    device: str
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    battery: int | None = None


class ConnectedDevice:
    """What is known of the device while it is connected. kept: observations.  failure: why nothing more is kept.
    stop: the gateway ends; what is under way may finish, and nothing more is waited for."""

    def __init__(
        self,
        link: Link,
        discovery: Discovery,
        outbox: Outbox,
        terms: Terms,
        clock: Callable[[], datetime] = utc_now,
        *,
        stop: asyncio.Event | None = None,
    ) -> None:
        self.link = link
        self.outbox = outbox
        self.clock = clock
        self.terms = terms
        self.stop = stop or asyncio.Event()
        self.plate = Plate(f"ble:{discovery.address.lower()}")
        self.product: Product | None = None
        self.device_now: datetime | None = None
        self.gateway_now: datetime | None = None
        self.counter: Counter | None = None
        self.kept = 0
        self.failure: GatewayError | None = None
        self.heard = asyncio.Event()
        """Set at each frame."""
        self._discovery = discovery
        self.log = _log.bind(device=self.plate.device)

    # -- getting acquainted

    async def get_acquainted(self) -> None:
        """Device information, battery and clock; what a device does not tell is left open. LinkLost, NoAnswer."""
        await self._read_plate()
        await self._read_clock()

    async def _read_plate(self) -> None:
        found: dict[str, str] = {}
        for name, kind in (
            ("manufacturer", ManufacturerName),
            ("model", ModelNumber),
            ("serial", SerialNumber),
            ("firmware", FirmwareRevision),
        ):
            value = await self.value("180A", kind.uuid)
            if isinstance(value, InformationString):
                found[name] = value.text[:64]
        identity = await self.value("180A", SystemId.uuid)
        device = identity.device if isinstance(identity, SystemId) and identity.plausible else self.plate.device
        battery = await self.value("180F", BatteryLevel.uuid)
        level = battery.level if isinstance(battery, BatteryLevel) else None
        self.plate = Plate(device, battery=level, **found)
        self.product = find(self.plate.manufacturer, self.plate.model)
        self.log = _log.bind(device=device)

    async def _read_clock(self) -> None:
        before = self.clock()
        value = await self.value("1805", CurrentTime.uuid)
        if isinstance(value, CurrentTime):
            # the answer was made somewhere between question and receipt
            self.gateway_now = before + (self.clock() - before) / 2
            self.device_now = value.naive()
        service = next((one for one in _ELAPSED if ElapsedTimeValue.uuid in self.link.services.get(one, ())), None)
        if service is not None:
            await self._read_elapsed(service)

    async def _read_elapsed(self, service: str) -> None:
        """The clock of a health sensor, whose stamps may count from a moment of their own."""
        before = self.clock()
        value = await self.value(service, ElapsedTimeValue.uuid)
        if not isinstance(value, ElapsedTimeValue):
            return
        read_at = before + (self.clock() - before) / 2
        time = value.time
        since, at = time.since, time.at
        if time.is_counter and since is not None:
            self.counter = Counter(since, read_at)
        elif at is not None and self.device_now is None:
            self.gateway_now = read_at
            self.device_now = at if at.tzinfo is None else at.astimezone(self.terms.zone).replace(tzinfo=None)

    async def value(self, service: str, characteristic: str) -> object:
        """Read a decoded value. None: the device does not have it, does not let us read it, or it makes no sense."""
        if characteristic not in self.link.services.get(service, frozenset()):
            return None
        try:
            raw = await self.link.read(service, characteristic)
        except AccessRefused as error:
            self.log.info("not readable", characteristic=characteristic, why=error.detail)
            return None
        return self.decoded(characteristic, raw)

    @property
    def clock_offset(self) -> timedelta | None:
        """The device's clock minus the gateway's. None: not read."""
        if self.device_now is None or self.gateway_now is None:
            return None
        return self.device_now - self.gateway_now.astimezone(self.terms.zone).replace(tzinfo=None)

    # -- frames

    def moment(self, *, live: bool) -> Moment:
        """Now, with what is known of the device's clock."""
        return Moment(self.clock(), self.terms.zone, self.device_now, self.gateway_now, live, self.counter)

    def decoded(self, characteristic: str, raw: bytes) -> object:
        """The value. None: it cannot be read; then the frame is kept as an oddity. OutboxFull."""
        return self.read_by(lambda octets: catalogue.decode(characteristic, octets, self.product), characteristic, raw)

    def read_by(self, decode: Callable[[bytes], _Value], characteristic: str, raw: bytes) -> _Value | None:
        """As `decoded`, where more is known of the characteristic than its octets say."""
        try:
            return decode(raw)
        except DeviceError as error:
            self.note_odd(characteristic, raw, error)
            return None

    def observed(
        self,
        value: object,
        moment: Moment,
        context: GlucoseMeasurementContext | None = None,
        start: CgmSessionStartTime | None = None,
        feature: CgmFeature | None = None,
    ) -> tuple[Observation, ...]:
        """The observations in a decoded value. start: of a CGM session.  feature: of a CGM sensor."""
        assert isinstance(value, Characteristic)
        source = DeviceFacts(self.plate.device, self.terms.session, self.terms.facts)
        return catalogue.observe(value, source, moment, context, start, self.product, feature)

    def keep(self, observations: list[Observation], mark: Mark | None = None) -> None:
        """Commit to the outbox. OutboxFull, OutboxBroken."""
        if observations or mark is not None:
            self.outbox.put(observations, mark)
        self._note_kept(*observations)

    def hold(self, observation: Observation, until: datetime) -> int:
        """Commit to the outbox, to be sent when it is whole, or at that time; its row. OutboxFull, OutboxBroken."""
        row = self.outbox.hold(observation, until)
        self._note_kept(observation)
        return row

    def _note_kept(self, *observations: Observation) -> None:
        self.kept += len(observations)
        for observation in observations:
            self.log.info("kept", kind=observation.kind, record_no=observation.record_no, facts=observation.facts)

    def guarded(self, hear: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """`hear`, for the frames of a subscription. What it raises stays the session's failure: nothing is heard, and
        where the stack lets us nothing is confirmed, after it."""

        def guard(raw: bytes) -> None:
            self.heard.set()
            if self.failure is not None:
                raise self.failure
            try:
                hear(raw)
            except (OutboxFull, OutboxBroken) as error:
                self.failure = error
                raise

        return guard

    def on_indication(self, characteristic: str, raw: bytes) -> None:
        """A frame of an indicated measurement: commit before this returns. OutboxFull, OutboxBroken."""
        value = self.decoded(characteristic, raw)
        if isinstance(value, Characteristic):
            self.hear(value)

    def hear(self, value: Characteristic, *, live: bool = True, mark: Mark | None = None) -> None:
        """A whole value: keep the observations in it, and, where it gives fewer than it holds, the value as an oddity
        with the reason. OutboxFull, OutboxBroken."""
        why = catalogue.why_odd(value)
        if why is not None:
            # before the mark moves past it
            self.note_odd(value.uuid, value.encode(), why)
        self.keep(list(self.observed(value, self.moment(live=live))), mark)

    def note_odd(self, characteristic: str, raw: bytes, why: DeviceError) -> None:
        """Keep a frame that gives no observation, or not all that it holds. OutboxFull, OutboxBroken."""
        reason = type(why).__name__
        self.log.warning(
            "frame cannot be read", characteristic=characteristic, field=why.field, reason=reason, why=why.detail
        )
        self.outbox.odd(self.plate.device, characteristic, raw, why.field, reason)

    async def quiet(self, idle_s: float) -> None:
        """Return when the link is closed, the outbox has failed, or nothing was heard for `idle_s`."""
        while not self.link.closed.is_set() and self.failure is None:
            self.heard.clear()
            waits = {asyncio.ensure_future(event.wait()) for event in (self.link.closed, self.heard)}
            try:
                done, _ = await asyncio.wait(waits, timeout=idle_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if not done:
                return

    def sheet(self, outcome: str) -> Sheet:
        """For the roster."""
        offset = self.clock_offset
        return Sheet(
            **self.plate._asdict(),
            address=self._discovery.address,
            name=self._discovery.name,
            services=tuple(sorted(self.link.services)),
            clock_offset_s=None if offset is None else round(offset.total_seconds(), 1),
            seen_at=self.clock(),
            outcome=outcome,
        )

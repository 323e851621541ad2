"""Simulated Bluetooth health devices: what each keeps, shows and sends.

    from simulators.peripheral_indicating import BloodPressureCuff, PulseOximeter, WeightScale
    from simulators.peripheral_glucose import GlucoseMeter

    cuff = BloodPressureCuff(air, address="F0:00:00:00:00:01", serial="BP-0001", uid="eui64:...", clock=clock)
    await cuff.start(); ...; await cuff.stop()          # or: async with cuff:

    cuff.device                     "eui64:...": the identity its observations will carry
    cuff.keep(*measurements)        stored in the device, nothing is sent (taken while no gateway is near)
    await cuff.offer()              advertise until all that is kept has been acknowledged by a gateway
    await cuff.measure(*ms)         keep and offer
    cuff.kept, cuff.delivered       lists of Kept: delivered are those a gateway has acknowledged, in that order
    await cuff.until_delivered(3)   in the middle of an offer
    cuff.clock_offset = timedelta(minutes=-90)          its wall clock is this much off (settable while it runs)
    cuff.sends_again = 1            the next connection repeats this many acknowledged records first
    cuff.drops_after = 2            the link is dropped after this many records of the next connection, once
    cuff.corrupts_next = 1          this many frames go out cut short, and count as not delivered

A measurement is given in the terms of `devices.nomenclature`: `Measurement(kind=BLOOD_PRESSURE, unit="mm[Hg]",
values=(128, 79, 95, 66), taken_at=now)`; a value of None is sent as NaN (a failed reading). The stamp is `taken_at` in
the zone of the device plus `clock_offset`. Everything random is the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, ClassVar, Final, Self

from bumble import att, core
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Descriptor, Service

from devices.clock import IDENTITY_ZONE
from devices.gatt.current_time import CurrentTime
from devices.gatt.device_information import SystemId
from devices.observation import Context
from simulators.radio import Air

READ: Final = Characteristic.Properties.READ
NOTIFY: Final = Characteristic.Properties.NOTIFY
INDICATE: Final = Characteristic.Properties.INDICATE
WRITE: Final = Characteristic.Properties.WRITE
_READABLE: Final = Characteristic.Permissions.READABLE
_LINGERS_S: Final = 0.1


def utc_now() -> datetime:
    """The real time."""
    return datetime.now(UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a device measured. kind, values, unit, facts, context, slot: as in `Observation`; taken_at: true time."""

    kind: int
    values: tuple[float | None, ...]
    unit: str
    taken_at: datetime
    facts: frozenset[str] = frozenset()
    context: Context | None = None
    slot: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record in the device's memory. record_no: 0 where the service has none; device_at: its stamp without a zone."""

    record_no: int
    measurement: Measurement
    device_at: datetime | None
    frames: tuple[tuple[str, bytes], ...]
    """What goes over the air: characteristic and octets."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """What stands on the type plate."""

    manufacturer: str = "SUIFANG SIM"
    model: str = "SIM"
    firmware: str = "1.0"
    name: str = "SIM"


class Peripheral(ABC):
    """A device. address: random static, unique on its air.  uid: `eui64:` + 16 hex digits; None: made from the serial.

    zone: of its wall clock.  has_clock: False leaves stamps and the Current Time Service out.  secure: its values need
    a bond (LE Secure Connections, just works).  interval_ms: of advertising.  lingers_s: idle time before it hangs up.
    """

    service: ClassVar[int]
    """16-bit UUID of the service that is advertised."""

    def __init__(
        self,
        air: Air,
        *,
        address: str,
        serial: str,
        uid: str | None = None,
        clock: Callable[[], datetime] = utc_now,
        zone: tzinfo = IDENTITY_ZONE,
        clock_offset: timedelta = timedelta(0),
        has_clock: bool = True,
        battery: int = 90,
        make: Make | None = None,
        secure: bool = False,
        interval_ms: int = 20,
        lingers_s: float = _LINGERS_S,
    ) -> None:
        self.device = uid or f"eui64:{hashlib.sha256(serial.encode()).hexdigest()[:16]}"
        self.serial = serial
        self.make = make or Make()
        self.address = address
        self.clock_offset = clock_offset
        self.battery = battery
        self.kept: list[Kept] = []
        self.delivered: list[Kept] = []
        self.sends_again = 0
        self.drops_after: int | None = None
        self.corrupts_next = 0
        self.connections = 0
        self._air = air
        self._clock = clock
        self._zone = zone
        self._has_clock = has_clock
        self._secure = secure
        self._interval_ms = interval_ms
        self._lingers_s = lingers_s
        self._bumble: Device | None = None
        self._connection: Connection | None = None
        self._offering = False
        self._collected = asyncio.Event()
        self._progress = asyncio.Event()
        self._work: set[asyncio.Task[None]] = set()

    # -- what the owner does

    async def start(self) -> None:
        """Power on; silent until there is something to offer."""
        device = self._bumble = await self._air.device(
            self.make.name,
            self.address,
            advertising_interval_min=self._interval_ms,
            advertising_interval_max=self._interval_ms,
            advertising_data=self._advertising_data(),
        )
        device.add_services([*self._plate(), Service(core.UUID.from_16_bits(self.service), self.characteristics())])
        device.on(Device.EVENT_CONNECTION, self._on_connection)

    async def stop(self) -> None:
        """Battery out."""
        self._offering = False
        await self._halt()
        if self._bumble is not None:
            if self._connection is None:
                await self._bumble.stop_advertising()
            self._air.unplug(self._bumble)
            await self._bumble.power_off()
            self._bumble = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def keep(self, *measurements: Measurement) -> list[Kept]:
        """Store measurements without sending them. BadValue: a value does not fit the device's number format."""
        added = []
        for measurement in measurements:
            stamp = (measurement.taken_at.astimezone(self._zone) + self.clock_offset).replace(
                microsecond=0, tzinfo=None
            )
            added.append(self.record(measurement, stamp if self._has_clock else None))
            self.kept.append(added[-1])
        return added

    @property
    def pending(self) -> list[Kept]:
        """Kept and not yet acknowledged, oldest first."""
        done = {id(record) for record in self.delivered}
        return [record for record in self.kept if id(record) not in done]

    async def offer(self) -> None:
        """Advertise until all that is kept has been acknowledged and the link is down again."""
        if self.pending or self.sends_again:
            self._offering = True
            self._collected.clear()
            if self._connection is None:
                await self._advertise()
            await self._collected.wait()

    async def until_delivered(self, count: int) -> None:
        """Until so many records have been acknowledged."""
        while len(self.delivered) < count:
            self._progress.clear()
            await self._progress.wait()

    async def measure(self, *measurements: Measurement) -> list[Kept]:
        """Keep and offer: returns when a gateway has acknowledged them."""
        added = self.keep(*measurements)
        await self.offer()
        return added

    # -- what a kind of device says

    @abstractmethod
    def record(self, measurement: Measurement, stamp: datetime | None) -> Kept:
        """The record, with its frames."""

    @abstractmethod
    def characteristics(self) -> list[Characteristic[Any]]:
        """Of the service that is advertised."""

    # -- for the kinds

    def notifying(self, uuid: int, properties: Characteristic.Properties, **values: Any) -> Characteristic[Any]:
        """A characteristic that sends; its configuration needs encryption where the device is `secure`."""
        permissions = Characteristic.Permissions.WRITEABLE if properties & WRITE else Characteristic.Permissions(0)
        characteristic = Characteristic[Any](core.UUID.from_16_bits(uuid), properties, permissions, **values)
        if self._secure and self._bumble is not None:
            rights = att.Attribute.READABLE | att.Attribute.WRITEABLE | att.Attribute.WRITE_REQUIRES_ENCRYPTION
            cccd = self._bumble.gatt_server.make_descriptor_value(characteristic)
            characteristic.descriptors = [Descriptor(core.UUID.from_16_bits(0x2902), rights, cccd)]
        return characteristic

    def work(self, task: Coroutine[Any, Any, None]) -> None:
        """Do `task` while this connection lasts; it is cancelled with it."""
        running = asyncio.get_running_loop().create_task(task)
        self._work.add(running)
        running.add_done_callback(self._work.discard)

    @property
    def bumble(self) -> Device:
        """The powered stack."""
        assert self._bumble is not None
        return self._bumble

    def acknowledged(self, record: Kept) -> None:
        """A gateway has confirmed it."""
        if not any(record is one for one in self.delivered):
            self.delivered.append(record)
        self._progress.set()

    def cut(self, frame: bytes) -> bytes | None:
        """The frame cut short, while `corrupts_next` says so; else None."""
        if self.corrupts_next <= 0:
            return None
        self.corrupts_next -= 1
        return frame[: max(1, len(frame) // 3)]

    async def dropped(self, connection: Connection) -> bool:
        """Count a record towards `drops_after`; True: the link has been dropped."""
        if self.drops_after is None:
            return False
        self.drops_after -= 1
        if self.drops_after > 0:
            return False
        self.drops_after = None
        await self.hang_up(connection, after_s=0)
        return True

    async def hang_up(self, connection: Connection, after_s: float | None = None) -> None:
        """End the connection from this side, after the idle time."""
        await asyncio.sleep(self._lingers_s if after_s is None else after_s)
        self._work.discard(asyncio.current_task())  # not to be cancelled by its own doing
        with contextlib.suppress(core.BaseBumbleError):
            await connection.disconnect()

    # -- inside

    def _wall(self) -> datetime:
        return (self._clock().astimezone(self._zone) + self.clock_offset).replace(tzinfo=None)

    def _current_time(self, _connection: Connection) -> bytes:
        return CurrentTime.of(self._wall(), adjust_reason=0).encode()

    def _plate(self) -> list[Service]:
        def shown(uuid: int, value: Any) -> Characteristic[Any]:
            return Characteristic[Any](core.UUID.from_16_bits(uuid), READ, _READABLE, value)

        eui64 = bytes.fromhex(self.device.removeprefix("eui64:"))
        information = [
            shown(0x2A29, self.make.manufacturer.encode()),
            shown(0x2A24, self.make.model.encode()),
            shown(0x2A25, self.serial.encode()),
            shown(0x2A26, self.make.firmware.encode()),
            shown(0x2A23, SystemId(eui64=eui64).encode()),
        ]
        level = shown(0x2A19, CharacteristicValue(read=lambda _connection: bytes([self.battery])))
        services = [
            Service(core.UUID.from_16_bits(0x180A), information),
            Service(core.UUID.from_16_bits(0x180F), [level]),
        ]
        if self._has_clock:
            clock = shown(0x2A2B, CharacteristicValue(read=self._current_time))
            services.append(Service(core.UUID.from_16_bits(0x1805), [clock]))
        return services

    def _advertising_data(self) -> bytes:
        kinds = core.AdvertisingData
        parts = [
            (int(kinds.FLAGS), b"\x06"),
            (int(kinds.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS), self.service.to_bytes(2, "little")),
            (int(kinds.COMPLETE_LOCAL_NAME), self.make.name.encode()[:20]),
        ]
        return bytes(kinds(parts))

    async def _advertise(self) -> None:
        if self._bumble is not None:
            await self._bumble.start_advertising()

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        self.connections += 1
        connection.on(Connection.EVENT_DISCONNECTION, self._on_disconnection)

    def _on_disconnection(self, reason: int) -> None:
        del reason
        self._connection = None
        for task in self._work:
            task.cancel()
        if not self._offering:
            return
        if self.pending or self.sends_again:
            self._work.clear()
            self.work(self._advertise())
        else:
            self._offering = False
            self._collected.set()

    async def _halt(self) -> None:
        tasks = list(self._work)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""A scale that never has to be connected to: it advertises what it measures, again and again, for as long as it is lit.

    scale = AdvertisingScale(air, address="F0:00:00:00:00:07", seed=1)
    async with scale:
        weighing = await scale.weigh(71.35)       # returns when the display has gone dark
    weighing.kilograms, weighing.device_at, weighing.frames

Source: the service data that `devices.products.xiaomi_scale` reads. A weighing is a run of frames: numbers that still
swing, the stable one, (with `composition`) the same with an impedance, and the last one marked "stepped off". Each is
repeated every `interval_ms` for `shows_s`. Like the real one it can be connected to, and then has nothing to say.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple, Self

from bumble import core
from bumble.device import Connection, Device

from devices.clock import IDENTITY_ZONE, DateTime
from devices.products.xiaomi_scale import AdvertisedComposition, AdvertisedWeight
from simulators.peripheral import utc_now
from simulators.radio import Air

_STEP_KG: Final = 0.05
_SWINGS: Final = 3


class Weighing(NamedTuple):
    """kilograms: as shown.  device_at: the scale's stamp, without a zone.  frames: its service data, in their order."""

    kilograms: float
    device_at: datetime
    frames: tuple[bytes, ...]


class AdvertisingScale:
    """composition: service 181B with impedance, else 181D.  seed: of the swinging numbers and the impedance.
    name: advertised; empty leaves it out."""

    def __init__(
        self,
        air: Air,
        *,
        address: str,
        seed: int = 1,
        composition: bool = False,
        name: str | None = None,
        clock: Callable[[], datetime] = utc_now,
        zone: tzinfo = IDENTITY_ZONE,
        clock_offset: timedelta = timedelta(0),
        interval_ms: int = 20,
        shows_s: float = 0.2,
    ) -> None:
        self.address = address
        self.device = f"ble:{address.lower()}"
        self.service = 0x181B if composition else 0x181D
        self.clock_offset = clock_offset
        self.connections = 0
        self.weighed: list[Weighing] = []
        self._air = air
        self._random = random.Random(f"{seed}:{address}")
        self._name = ("MIBFS" if composition else "MI_SCALE") if name is None else name
        self._clock = clock
        self._zone = zone
        self._interval_ms = interval_ms
        self._shows_s = shows_s
        self._bumble: Device | None = None

    async def start(self) -> None:
        """Power on; silent until somebody steps on it."""
        self._bumble = await self._air.device(
            self._name or "scale",
            self.address,
            advertising_interval_min=self._interval_ms,
            advertising_interval_max=self._interval_ms,
        )
        self._bumble.on(Device.EVENT_CONNECTION, self._on_connection)

    async def stop(self) -> None:
        """Battery out."""
        if self._bumble is not None:
            await self._bumble.stop_advertising()
            self._air.unplug(self._bumble)
            await self._bumble.power_off()
            self._bumble = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def weigh(self, kilograms: float, *, not_person: bool = False) -> Weighing:
        """Somebody steps on and off again. BadValue: more than the scale can show."""
        weighing = self.weighing(kilograms, not_person=not_person)
        await self.present(weighing)
        return weighing

    async def present(self, weighing: Weighing) -> None:
        """Show its frames, until the display goes dark."""
        self.weighed.append(weighing)
        for frame in weighing.frames:
            await self.show(frame)
        assert self._bumble is not None
        await self._bumble.stop_advertising()

    def weighing(self, kilograms: float, *, not_person: bool = False) -> Weighing:
        """The frames of a weighing now, without showing them."""
        at = (self._clock().astimezone(self._zone) + self.clock_offset).replace(microsecond=0, tzinfo=None)
        shown = round(round(kilograms / _STEP_KG) * _STEP_KG, 2)
        swings = [max(0.0, round(shown + self._random.uniform(-2, 2), 1)) for _ in range(_SWINGS)]
        frames = [self._frame(swing, at, stabilized=False, not_person=not_person) for swing in swings]
        frames.append(self._frame(shown, at, not_person=not_person))
        last: dict[str, Any] = {}
        if self.service == 0x181B and not not_person:
            last = {"impedance": self._random.randrange(400, 650), "impedance_measured": True}
            frames.append(self._frame(shown, at, **last))
        frames.append(self._frame(shown, at, removed=True, not_person=not_person, **last))
        return Weighing(shown, at, tuple(frames))

    async def show(self, frame: bytes) -> None:
        """Advertise these octets as the service's data for a while; afterwards they stay until the next."""
        assert self._bumble is not None
        service = self.service.to_bytes(2, "little")
        kinds = core.AdvertisingData
        parts = [
            (int(kinds.FLAGS), b"\x06"),
            (int(kinds.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS), service),
            (int(kinds.SERVICE_DATA_16_BIT_UUID), service + frame),
        ]
        if self._name:
            parts.append((int(kinds.COMPLETE_LOCAL_NAME), self._name.encode()))
        await self._bumble.start_advertising(advertising_data=bytes(kinds(parts)), auto_restart=True)
        await asyncio.sleep(self._shows_s)

    def _frame(self, kilograms: float, at: datetime, **more: Any) -> bytes:
        kind = AdvertisedComposition if self.service == 0x181B else AdvertisedWeight
        return kind(weight=kilograms, time_stamp=DateTime.of(at), **more).encode()

    def _on_connection(self, _connection: Connection) -> None:
        self.connections += 1

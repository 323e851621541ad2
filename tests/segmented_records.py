"""A device that gives its records out by number, each in segments, and what a session leaves of them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue

from devices.gatt.blood_pressure_enhanced import EnhancedBloodPressureMeasurement as Enhanced
from devices.gatt.record_access import OpCode, Operator, RecordAccess, ResponseCode, response
from devices.gatt.segmentation import Header
from devices.medfloat import sfloat
from simulators.peripheral import INDICATE, NOTIFY, WRITE, Kept, Measurement, Peripheral
from simulators.radio import Air

T = TypeVar("T")
NOW = datetime.now(UTC).replace(microsecond=0)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MMHG, TEMPERATURE, CELSIUS, WEIGHT = 3872, 2 << 16 | 19292, 6048, 2 << 16 | 57664


async def within(work: Awaitable[T]) -> T:
    async with asyncio.timeout(20):
        return await work


def cut(whole: bytes, room: int = 19, counter: int = 0) -> list[bytes]:
    """A value as the segments of the health sensor service."""
    cuts = [whole[at : at + room] for at in range(0, len(whole), room)]
    return [bytes([Header(n == 0, n == len(cuts) - 1, (counter + n) % 64).octet]) + one for n, one in enumerate(cuts)]


class Memory(Peripheral):
    """Gives its records out by number, each as the frames it was given. anew: the numbers begin again.

    Records are frames of `records`; a measurement is not how this device is filled.
    """

    service = 0x1810
    record_uuid = "2B36"
    wide = 2

    def __init__(self, air: Air, **settings: Any) -> None:
        super().__init__(air, address="F0:00:00:00:00:06", serial="MEM-1", **settings)
        self.records: dict[int, list[bytes]] = {}
        self.requests: list[RecordAccess] = []
        self.asked = asyncio.Event()
        self.stops_after: int | None = None

    def record(self, measurement: Measurement, stamp: datetime | None) -> Kept:
        raise AssertionError("filled by frames")

    def characteristics(self) -> list[Characteristic[Any]]:
        control = CharacteristicValue[bytes](write=self._on_request)
        self._sending = {
            self.record_uuid: self.notifying(int(self.record_uuid, 16), NOTIFY),
            "2A52": self.notifying(0x2A52, INDICATE | WRITE, value=control),
        }
        return list(self._sending.values())

    async def come(self) -> None:
        """One connection, until this side has hung up."""
        self.asked.clear()
        before = self.connections
        await self._advertise()
        while self.connections == before or self._connection is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _on_request(self, connection: Connection, value: bytes) -> None:
        self.requests.append(RecordAccess.decode(value))
        self.asked.set()
        self.work(self._answer(connection, self.requests[-1]))

    async def _answer(self, connection: Connection, request: RecordAccess) -> None:
        least = 0
        if request.operator == Operator.GREATER_OR_EQUAL:
            assert len(request.operand) == 1 + self.wide
            least = int.from_bytes(request.operand[1:], "little")
        chosen = [frames for number, frames in sorted(self.records.items()) if number >= least]
        for sent, frame in enumerate(frame for frames in chosen for frame in frames):
            if sent == self.stops_after:
                self.stops_after = None
                await self.hang_up(connection, after_s=0)
                return
            await self.bumble.notify_subscriber(connection, self._sending[self.record_uuid], frame)
        code = ResponseCode.SUCCESS if chosen else ResponseCode.NO_RECORDS_FOUND
        answer = response(OpCode.REPORT_STORED_RECORDS, code).encode()
        await self.bumble.indicate_subscriber(connection, self._sending["2A52"], answer)
        if chosen or least == 0:
            await self.hang_up(connection)

    @property
    def asked_from(self) -> list[int | None]:
        """The number each request begins with; None: all."""
        return [int(one.bounds[0]) if one.bounds else None for one in self.requests]  # type: ignore[arg-type]


def pressure(systolic: int, minutes_ago: int) -> Enhanced:
    return Enhanced(
        systolic=sfloat(systolic),
        diastolic=sfloat(80),
        mean_arterial_pressure=sfloat(95),
        time_stamp=int((NOW - timedelta(minutes=minutes_ago) - EPOCH).total_seconds()),
        pulse_rate=sfloat(64),
        user_id=1,
    )


def oddities(path: Path) -> list[tuple[str, str, str]]:
    database = sqlite3.connect(path / "outbox.sqlite")
    try:
        return database.execute("SELECT characteristic, field, reason FROM oddity ORDER BY id").fetchall()
    finally:
        database.close()

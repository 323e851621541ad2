"""A continuous glucose sensor: it measures every few minutes of a session, keeps all of it, and notifies who listens.

    sensor = GlucoseSensor(air, address="F0:00:00:00:00:08", serial="CGM-1", started_at=now - timedelta(hours=6))
    async with sensor:
        sensor.keep(*measurements); await sensor.offer()    # collected through the record access control point
        await sensor.sense(measurement)                     # kept, and notified at once to who is connected

Source: CGM Service 1.0.2, clauses 3.1 to 3.11. Records are numbered by the minutes since the session began. Sessions
are begun with `restart` alone: what a gateway asks at the Specific Ops Control Point is in `operations`, and only the
communication interval is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from bumble import att
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue

from devices.clock import DateTime
from devices.errors import BadValue
from devices.gatt.cgm import (
    E2E_CRC_SUPPORTED,
    SESSION_STOPPED,
    SUBCUTANEOUS_TISSUE,
    CgmFeature,
    CgmMeasurement,
    CgmRecord,
    CgmSessionRunTime,
    CgmSessionStartTime,
    CgmStatus,
)
from devices.gatt.cgm_operations import CgmOpCode, CgmOperation, CgmResponse
from devices.gatt.glucose import SampleType
from simulators.peripheral import INDICATE, READ, WRITE, Kept, Measurement
from simulators.peripheral_indicating import number, status_word
from simulators.peripheral_records import RecordMemory

_MINUTE: Final = timedelta(minutes=1)
_QUARTER: Final = timedelta(minutes=15)
_STATUS: Final = {"battery-low": 0x02, "device-malfunction": 0x08}
_CALIBRATION_TEMPERATURE: Final = {"sensor-temperature": 0x10, "calibration-ongoing": 0x40}
_WARNING: Final = {"result-too-low": 0x40, "result-too-high": 0x80}
_MISSING_CRC: Final = 0x80
_UNKNOWN: Final = DateTime(0, 0, 0)


class GlucoseSensor(RecordMemory):
    """One value, mg/dL, in interstitial fluid. started_at: of the session; None: when it was made.

    knows_start: False leaves the start with year 0.  tells_zone: of the start.  tells_offset: in the status.
    e2e_crc: supported.  together: records a notification, as many as fit.  interval: of communication, minutes.
    run_time: hours.  stays: does not hang up when all has been collected.
    sample: what it says that it measures, and where (0x2AA8).
    spoils: how many times more the record of this number goes out with a wrong CRC.
    """

    service = 0x181F
    measured = "2AA7"

    def __init__(
        self,
        *args: Any,
        started_at: datetime | None = None,
        knows_start: bool = True,
        tells_zone: bool = True,
        tells_offset: bool = True,
        e2e_crc: bool = True,
        together: int = 1,
        interval: int = 5,
        run_time: int = 336,
        stays: bool = False,
        sample: tuple[int, int] = (SampleType.INTERSTITIAL_FLUID, SUBCUTANEOUS_TISSUE),
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self.started_at = started_at or self._clock()
        self.stopped = False
        self.stays = stays
        self.spoils: dict[int, int] = {}
        self.operations: list[CgmOperation] = []
        self._asked = asyncio.Event()
        self._always = False
        self._knows_start = knows_start
        self._tells_zone = tells_zone
        self._tells_offset = tells_offset
        self._e2e_crc = e2e_crc
        self._together = together
        self._interval = interval
        self._run_time = run_time
        self._sample = sample

    def restart(self, started_at: datetime) -> None:
        """A new session, as the person begins it; the records of the former one are gone."""
        self.forget()
        self.started_at = started_at

    async def measure_and_stay(self, *measurements: Measurement) -> list[Kept]:
        """Keep and offer: returns when a gateway has them, and is still connected (with `stays`)."""
        added = self.keep(*measurements)
        offer = asyncio.ensure_future(self.offer())
        try:
            await self.until_delivered(len(self.kept))
        finally:
            offer.cancel()
        return added

    async def until_asked(self) -> None:
        """Until a gateway that is connected has asked for the communication interval: it listens."""
        await self._asked.wait()

    async def sense(self, *measurements: Measurement) -> list[Kept]:
        """Keep, and notify who has asked for it. Delivered they are once a gateway asks for what is behind them."""
        added = self.keep(*measurements)
        await self._tell_live(added)
        return added

    async def tell_again(self) -> None:
        """Notify the last record once more."""
        await self._tell_live(self.kept[-1:])

    async def advertise_on(self) -> None:
        """Advertise from now on whenever nobody is connected, also with nothing to offer."""
        self._always = True
        await self._advertise()

    async def stop(self) -> None:
        self._always = False
        await super().stop()

    async def _tell_live(self, records: list[Kept]) -> None:
        connection = self._connection
        if connection is not None and self.subscribed(connection, self.measured):
            for frame in self._frames(connection, records):
                await self.bumble.notify_subscriber(connection, self.sending[self.measured], frame)
            for record in records:
                self.went_out(record)

    def _on_disconnection(self, reason: int) -> None:
        self._asked.clear()
        super()._on_disconnection(reason)
        if self._always and not self._offering:
            self._work.clear()
            self.work(self._advertise())

    def record(self, measurement: Measurement, stamp: datetime | None) -> Kept:
        del stamp  # a sensor stamps with the minutes of its session
        if measurement.unit != "mg/dL":
            raise BadValue(f"{measurement.unit} is not the unit of this service", field="concentration")
        (value,) = measurement.values
        status, temperature, warning = status_word(measurement.facts, _STATUS, _CALIBRATION_TEMPERATURE, _WARNING)
        record = CgmRecord(
            concentration=number(value),
            time_offset=(measurement.taken_at - self.started_at) // _MINUTE,
            status=status,
            calibration_temperature=temperature,
            warning=warning,
            e2e_crc=self._e2e_crc,
        )
        offset = record.time_offset
        return Kept(
            record_no=offset,
            measurement=measurement,
            device_at=self._start + offset * _MINUTE if self._knows_start else None,
            frames=((self.measured, CgmMeasurement(records=(record,)).encode()),),
        )

    @property
    def _start(self) -> datetime:
        """What the sensor's clock showed when the session began."""
        return (self.started_at.astimezone(self._zone) + self.clock_offset).replace(microsecond=0, tzinfo=None)

    async def transmit(self, connection: Connection, chosen: list[Kept]) -> bool:
        batches = [chosen[at : at + self._room(connection)] for at in range(0, len(chosen), self._room(connection))]
        for batch in batches:
            for frame in self._frames(connection, batch):
                await self.bumble.notify_subscriber(connection, self.sending[self.measured], frame)
            for record in batch:
                self.went_out(record)
                if await self.dropped(connection):
                    return True
        return False

    async def hang_up(self, connection: Connection, after_s: float | None = None) -> None:
        if after_s is not None or not self.stays:
            await super().hang_up(connection, after_s)

    def _room(self, connection: Connection) -> int:
        """Records that fit into a notification."""
        longest = max((len(record.frames[0][1]) for record in self.kept), default=1)
        return max(1, min(self._together, (connection.att_mtu - 3) // longest))

    def _frames(self, connection: Connection, records: list[Kept]) -> Iterator[bytes]:
        room = self._room(connection)
        for at in range(0, len(records), room):
            frame = b"".join(self._spoiled(record) for record in records[at : at + room])
            while (short := self.cut(frame)) is not None:
                yield short
            yield frame

    def _spoiled(self, record: Kept) -> bytes:
        frame = record.frames[0][1]
        left = self.spoils.get(record.record_no, 0)
        if left <= 0:
            return frame
        self.spoils[record.record_no] = left - 1
        return frame[:-1] + bytes([frame[-1] ^ 0xFF])

    # -- what else it has

    def characteristics(self) -> list[Characteristic[Any]]:
        found = super().characteristics()
        operations = CharacteristicValue[bytes](write=self._on_operation)
        self.sending["2AAC"] = self.notifying(0x2AAC, INDICATE | WRITE, value=operations)
        shown = {"2AA8": self._feature, "2AA9": self._status, "2AAA": self._session_start, "2AAB": self._session_run}
        return [
            *found,
            self.sending["2AAC"],
            *(
                Characteristic[Any](uuid, READ, Characteristic.READABLE, CharacteristicValue(read=read))
                for uuid, read in shown.items()
            ),
        ]

    def _feature(self, _connection: Connection) -> bytes:
        features = E2E_CRC_SUPPORTED if self._e2e_crc else 0
        kind, location = self._sample
        return CgmFeature(features=features, type=kind, sample_location=location).encode()

    def _status(self, _connection: Connection) -> bytes:
        if not self._tells_offset:
            raise att.ATT_Error(att.ErrorCode.READ_NOT_PERMITTED)
        offset = (self._clock() - self.started_at) // _MINUTE
        status = SESSION_STOPPED if self.stopped else 0
        return CgmStatus(time_offset=offset, status=status, e2e_crc=self._e2e_crc).encode()

    def _session_start(self, _connection: Connection) -> bytes:
        start, zone = self._start, self.started_at.astimezone(self._zone).utcoffset()
        tells = self._knows_start and self._tells_zone and zone is not None
        return CgmSessionStartTime(
            session_start_time=DateTime.of(start) if self._knows_start else _UNKNOWN,
            time_zone=(zone or timedelta()) // _QUARTER if tells else -128,
            dst_offset=0 if tells else 255,
            e2e_crc=self._e2e_crc,
        ).encode()

    def _session_run(self, _connection: Connection) -> bytes:
        return CgmSessionRunTime(run_time=self._run_time, e2e_crc=self._e2e_crc).encode()

    def _on_operation(self, connection: Connection, value: bytes) -> None:
        """Errors: ATT 0x80 where a CRC is missing (clause 1.6)."""
        operation = CgmOperation.decode(value)
        if self._e2e_crc and not operation.e2e_crc:
            raise att.ATT_Error(_MISSING_CRC)
        self.operations.append(operation)
        self._asked.set()
        if operation.op_code == CgmOpCode.GET_COMMUNICATION_INTERVAL:
            answer = CgmOpCode.COMMUNICATION_INTERVAL, bytes([self._interval])
        else:
            answer = CgmOpCode.RESPONSE_CODE, bytes([operation.op_code, CgmResponse.OP_CODE_NOT_SUPPORTED])
        told = CgmOperation(op_code=answer[0], operand=answer[1], e2e_crc=self._e2e_crc).encode()
        self.work(self._tell(connection, told))

    async def _tell(self, connection: Connection, told: bytes) -> None:
        await self.bumble.indicate_subscriber(connection, self.sending["2AAC"], told)

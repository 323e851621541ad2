"""Virtual 11073-20601 devices: cuff, scale, meter, oximeter and thermometer agents that report over TCP, from a seed.

Each device is an agent of its own with its own connection, clock and nameplate; what it reports is what the simulated
body shows at that moment. The ground truth is written before a reading leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from devices.ieee11073.agent import Agent, Nameplate
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import Attr, Noti
from devices.ieee11073.data_apdu import EventReportResult
from devices.ieee11073.mder import octets, sequence, text, u16, u32
from devices.ieee11073.objects import Configuration
from devices.ieee11073.outputs import Answered, Became, Output, Send
from devices.ieee11073.scan_report import SHAPES, FixedObs, Obs, agent_report, write_scan
from devices.ieee11073.specializations import BY_CONFIGURATION, standard
from devices.ieee11073.stamping import TimeState
from devices.ieee11073.states import State
from devices.ieee11073.times import write_absolute
from devices.ieee11073.window import Window
from devices.medfloat import encode_float, encode_sfloat, medfloat32, sfloat
from simulators.physiology import Body, Profile
from simulators.stage import ZONE
from simulators.truth import Ledger, Made

_UNKNOWN_ACCURACY: Final = 0
_TIME_SYNC_NONE: Final = 7936


class Reading(NamedTuple):
    """What an agent reports at once. values: as the observation that must come of it."""

    kind: int
    values: tuple[float | None, ...]
    obs: tuple[Obs, ...]


def _basic(value: float) -> bytes:
    return u16(encode_sfloat(sfloat(value)))


def _simple(value: float) -> bytes:
    return u32(encode_float(medfloat32(value)))


def _cuff(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    shown = body.blood_pressure(local, ordinal)
    pressures = sequence(_basic(value) for value in shown[:3])
    return Reading(150020, tuple(shown), (FixedObs(1, pressures + stamp), FixedObs(2, _basic(shown.pulse) + stamp)))


def _scale(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    kilograms = body.weight(local, ordinal)
    return Reading(188736, (kilograms, None, None), (FixedObs(1, _simple(kilograms) + stamp),))


def _meter(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    # the standard configuration is in mg/dL
    level = float(round(body.glucose(local, ordinal).value * 18))
    return Reading(160184, (level,), (FixedObs(1, _basic(level) + stamp),))


def _oximeter(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    shown = body.oximetry(local, ordinal)
    obs = (FixedObs(1, _basic(shown.saturation) + stamp), FixedObs(10, _basic(shown.pulse) + stamp))
    return Reading(150456, (shown.saturation, shown.pulse, None), obs)


def _thermometer(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    # warmer in the evening by half a degree; nobody here has a fever
    noise = random.Random(f"{body.profile}:{ordinal}").gauss(0, 0.1)
    degrees = round(36.5 + 0.02 * local.hour + noise, 1)
    return Reading(150364, (degrees,), (FixedObs(1, _basic(degrees) + stamp),))


class Kind(NamedTuple):
    """A kind of device: its standard configuration, and what it reports."""

    configuration: int
    read: Callable[[Body, datetime, int, bytes], Reading]


KINDS: Final[dict[str, Kind]] = {
    "blood-pressure": Kind(0x02BC, _cuff),
    "weight": Kind(0x05DC, _scale),
    "glucose": Kind(0x06A4, _meter),
    "oximeter": Kind(0x0191, _oximeter),
    "thermometer": Kind(0x0320, _thermometer),
}


class Device:
    """One virtual device. offset: its clock minus the true time; None: the clock was never set."""

    def __init__(
        self,
        name: str,
        seed: int,
        ledger: Ledger,
        *,
        extended: bool = False,
        offset: timedelta = timedelta(0),
        clock: Callable[[], datetime],
    ) -> None:
        self.name = name
        self.kind = KINDS[name]
        self.offset = offset
        self.confirmed = 0
        self.refused = 0
        self.measured = 0
        self.closed = asyncio.Event()
        self._news = asyncio.Event()
        self._clock = clock
        self._ledger = ledger
        self._body = Body(seed, name, Profile())
        # locally administered, and the same at each start
        self.system_id = bytes((0x02, *random.Random(f"{seed}:{name}").randbytes(7)))
        configuration = standard(self.kind.configuration)
        if extended:
            configuration = Configuration(0x4000, configuration.objects)
        window = Window(self._attributes, set_time=self._set_time)
        self.agent = Agent(Nameplate(self.system_id, [configuration]), window)
        self._writer: asyncio.StreamWriter | None = None

    @property
    def uid(self) -> str:
        """As in `Observation.device`."""
        return f"eui64:{self.system_id.hex()}"

    def wall(self) -> datetime:
        """What the device's clock shows."""
        return (self._clock() + self.offset).astimezone(ZONE).replace(tzinfo=None)

    def _set_time(self, wall: datetime) -> None:
        self.offset = wall.replace(tzinfo=ZONE) - self._clock()

    def _attributes(self) -> Sequence[Attribute]:
        state = TimeState.REAL_TIME_CLOCK | TimeState.SET_CLOCK
        profile = BY_CONFIGURATION[self.kind.configuration].profile
        info = struct.pack(">HHIHHI", state, _TIME_SYNC_NONE, _UNKNOWN_ACCURACY, 100, 0, 0)
        return (
            Attribute(Attr.SYS_TYPE_SPEC_LIST, sequence([u16(profile) + u16(1)])),
            Attribute(Attr.ID_MODEL, octets(text("Suifang")) + octets(text(f"virtual {self.name}"))),
            Attribute(Attr.SYS_ID, octets(self.system_id)),
            Attribute(Attr.DEV_CONFIG_ID, u16(self.agent.configuration.id)),
            Attribute(Attr.MDS_TIME_INFO, info),
            Attribute(Attr.TIME_ABS, write_absolute(self.wall())),
        )

    def measure(self) -> None:
        """One reading: into the ground truth, then to the manager."""
        now = self._clock()
        at = self.wall().replace(microsecond=0)
        reading = self.kind.read(self._body, now.astimezone(ZONE), self.measured, write_absolute(at))
        self.measured += 1
        truth = Made(
            uid=self.uid,
            kind=reading.kind,
            values=reading.values,
            made_at=now,
            measured_at=now,
            device_at=at,
            route="phd",
        )
        self._ledger.write(truth)
        info = write_scan(SHAPES[Noti.SCAN_REPORT_FIXED], agent_report(0, *reading.obs))
        self._do(self.agent.report(Noti.SCAN_REPORT_FIXED, info, self._now()))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _do(self, outputs: list[Output]) -> None:
        self._news.set()
        for output in outputs:
            match output:
                case Send():
                    if self._writer is not None:
                        self._writer.write(output.octets)
                case Answered(answer=EventReportResult(type=Noti.SCAN_REPORT_FIXED)):
                    self.confirmed += 1
                case Answered(answer=answer) if not isinstance(answer, EventReportResult):
                    self.refused += 1
                case Became(state=State.UNASSOCIATED, why=why) if why != "transport-up":
                    self.closed.set()
                case _:
                    pass

    async def run(self, host: str, port: int, count: int, every_s: float) -> None:
        """Connect, report `count` readings, release. OSError: nobody listens there."""
        reader, self._writer = await asyncio.open_connection(host, port)
        try:
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(self._hear(reader))
                ticking = group.create_task(self._tick())
                self._do(self.agent.connected(self._now()))
                for turn in range(count):
                    if turn and not self.closed.is_set():
                        await asyncio.sleep(every_s)
                    self.measure()
                await self.until(lambda: not self.agent.unconfirmed)
                self._do(self.agent.release(self._now()))
                await self.until(self.closed.is_set)
                hearing.cancel()
                ticking.cancel()
        finally:
            self._do(self.agent.disconnected(self._now()))
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    async def until(self, done: Callable[[], bool], most_s: float = 30) -> None:
        """Until something is so, the manager has gone, or time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                while not done() and not self.closed.is_set():
                    self._news.clear()
                    await self._news.wait()

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(65536):
                self._do(self.agent.receive(data, self._now()))
        except ConnectionError:
            pass  # said below: the manager has gone
        self.closed.set()
        self._news.set()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            self._do(self.agent.tick(self._now()))


def true_time() -> datetime:
    """The real time."""
    return datetime.now(UTC)


async def run(
    names: Sequence[str],
    *,
    host: str,
    port: int,
    seed: int,
    count: int,
    every_s: float,
    ledger: Ledger,
    extended: bool = False,
    offset: timedelta = timedelta(0),
) -> tuple[bool, dict[str, Any]]:
    """All devices at once. All right when every reading was confirmed. OSError: nobody listens there."""
    devices = [Device(name, seed, ledger, extended=extended, offset=offset, clock=true_time) for name in names]
    why: OSError | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(device.run(host, port, count, every_s))
    except* OSError as failed:
        why = OSError(f"{host}:{port}: {failed.exceptions[0]}")
    finally:
        ledger.close()
    if why is not None:
        raise why
    found = {
        device.name: {"device": device.uid, "measured": device.measured, "confirmed": device.confirmed,
                      "refused": device.refused}
        for device in devices
    }  # fmt: skip
    confirmed = sum(device.confirmed for device in devices)
    return confirmed == count * len(devices), {"confirmed": confirmed, "devices": found, "seed": seed}

"""Virtual 11073-20601 devices: agents of every kind that report over TCP, from a seed.

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
from typing import Any, Final

from devices.ieee11073.agent import Agent, Nameplate
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import Attr, Noti
from devices.ieee11073.data_apdu import EventReportResult
from devices.ieee11073.mder import octets, sequence, text, u16
from devices.ieee11073.objects import Configuration
from devices.ieee11073.outputs import Answered, Became, Output, Send
from devices.ieee11073.scan_report import SHAPES, agent_report, write_scan
from devices.ieee11073.stamping import TimeState
from devices.ieee11073.states import State
from devices.ieee11073.times import write_absolute
from devices.ieee11073.window import Window
from simulators.agent_kinds import KINDS, TOLD
from simulators.physiology import Body, Profile
from simulators.stage import ZONE
from simulators.truth import Ledger, Made

_UNKNOWN_ACCURACY: Final = 0
_TIME_SYNC_NONE: Final = 7936


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
        configuration = self.kind.configuration
        if extended:
            configuration = Configuration(TOLD, configuration.objects)
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
        info = struct.pack(">HHIHHI", state, _TIME_SYNC_NONE, _UNKNOWN_ACCURACY, 100, 0, 0)
        return (
            Attribute(Attr.SYS_TYPE_SPEC_LIST, sequence([u16(self.kind.profile) + u16(1)])),
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
        for kind, values in reading.shown.items():
            truth = Made(
                uid=self.uid,
                kind=kind,
                values=values,
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

"""A continuous glucose sensor: what it has stored since last time, and what it measures while the gateway listens.

Source: Bluetooth CGM Service 1.0.2, clauses 3.1 and 3.6 to 3.8. Stored and live records come by the same notification,
which nobody confirms; the procedure's answer is indicated, and what came is committed while it is delivered. Records
are asked for from the one behind the mark on: the session says whether the numbers are still the same, and only where
it cannot the mark's own record has to show it. Sessions are begun and ended by people: of the Specific Ops Control
Point only the communication interval is asked. docs/decisions/0056-a-sensor-is-listened-to-as-long-as-it-talks.md
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Final

from devices import catalogue
from devices.gatt.cgm import CgmMeasurement, CgmRecord
from devices.gatt.record_access import RecordAccess, ResponseCode, report_all, report_from
from gateway import record_procedure, roster, sensors
from gateway.cgm_interval import interval_of
from gateway.cgm_session import SERVICE, CgmSession, digest, is_marked, read_session
from gateway.connected import ConnectedDevice
from gateway.errors import AccessRefused, LinkLost, NoAnswer, OutboxFull
from gateway.outbox import Mark
from gateway.record_procedure import CONTROL, Report

MEASUREMENT: Final = CgmMeasurement.uuid
_TOGETHER: Final = 50
"""Records a commit, while many come."""
_MOST_NUMBER: Final = 0xFFFF
_MOST_ODD: Final = 1000
_NOTED_EVERY: Final = timedelta(minutes=1)
LISTENING: Final = "listening"
"""In the roster, for a sensor that is connected."""


class _Fetch:
    """One procedure. waiting: not yet committed.  came: all, in their order.  sound: how many of them came before one
    that cannot be read; None: all could.  passes: what cannot be read is passed over."""

    def __init__(self, *, passes: bool) -> None:
        self.waiting: list[CgmRecord] = []
        self.came: list[CgmRecord] = []
        self.sound: int | None = None
        self.passes = passes
        self.answer: asyncio.Future[RecordAccess] = asyncio.get_running_loop().create_future()

    def take(self, records: tuple[CgmRecord, ...]) -> None:
        self.waiting += records
        self.came += records

    def note_unreadable(self) -> None:
        if self.sound is None and not self.passes:
            self.sound = len(self.came)

    @property
    def unbroken(self) -> list[CgmRecord]:
        """Those before the first that cannot be read."""
        return self.came[: self.sound]


class Sensor:
    """One connection to a sensor. mark: how far the stored records of this session are kept."""

    def __init__(self, device: ConnectedDevice, session: CgmSession) -> None:
        self._device = device
        self._session = session
        self._mark: Mark | None = None
        self._unproven: Mark | None = None
        self._kept: dict[int, str] = {}
        self._odd: set[bytes] = set()
        self._doubtful: list[CgmRecord] = []
        self._spacing = 0
        self._fetch: _Fetch | None = None
        self._broken = False
        self._noted_at = device.clock()
        self._behind = asyncio.Event()
        self._enter(session)

    def _enter(self, session: CgmSession) -> None:
        """Take up the mark, if it is of this session."""
        device = self._device
        self._session = session
        mark = device.outbox.mark(device.plate.device, SERVICE)
        follows = None if mark is None else session.follows(mark)
        if follows is False:
            device.log.info("another session of the sensor")
        self._mark = None if follows is False else mark
        self._unproven = mark if mark is not None and follows is None else None
        self._kept = {}

    @property
    def has_memory(self) -> bool:
        """Are there stored records to ask for?"""
        return CONTROL in self._device.link.services[SERVICE]

    # -- frames

    def on_measurement(self, raw: bytes) -> None:
        """One or more records, stored or live. OutboxFull, OutboxBroken."""
        # once a connection: what cannot be read is asked for again
        value = None if raw in self._odd else self._device.read_by(self._decode, MEASUREMENT, raw)
        if value is None:
            if len(self._odd) < _MOST_ODD:
                self._odd.add(raw)
            if self._fetch is None:
                self._behind.set()
            else:
                self._fetch.note_unreadable()
        elif self._fetch is None:
            for one in value.records:
                self._on_live(one)
            if self._device.clock() - self._noted_at > _NOTED_EVERY:
                self._note()
        else:
            self._fetch.take(value.records)
            if len(self._fetch.waiting) >= _TOGETHER:
                self._commit(self._fetch, complete=False)

    def _decode(self, raw: bytes) -> CgmMeasurement:
        layout = catalogue.layout_of(MEASUREMENT, raw, self._device.product)
        return CgmMeasurement.decode(raw, layout, e2e_crc=self._session.e2e_crc)

    def on_answer(self, raw: bytes) -> None:
        """The end of a procedure: commit before this returns. OutboxFull, OutboxBroken."""
        value = self._device.decoded(CONTROL, raw)
        fetch = self._fetch
        if not isinstance(value, RecordAccess) or fetch is None:
            return
        self._commit(fetch, complete=value.response_code == ResponseCode.SUCCESS)
        if not fetch.answer.done():
            fetch.answer.set_result(value)

    def _on_live(self, one: CgmRecord) -> None:
        number, last = one.time_offset, self._last
        if self._kept.get(number) == digest(one) or (self._mark is not None and is_marked(one, self._mark)):
            return
        proven = last >= 0 and self._unproven is None and not self._behind.is_set()
        is_next = proven and number not in self._kept and 0 < number - last <= self._spacing
        if is_next or not (self.has_memory or number in self._kept):
            self._keep([one], self._session.mark(self._device.plate.device, one) if is_next else None, live=True)
            return
        # an old record, one behind a gap, or one of a new session: its time is not known before that has been read anew
        self._doubtful.append(one)
        self._behind.set()

    # -- what is kept

    @property
    def _last(self) -> int:
        return -1 if self._mark is None else self._mark.sequence

    def _commit(self, fetch: _Fetch, *, complete: bool) -> None:
        """Keep what waits. complete: all that was stored has come; else what was measured meanwhile may stand among it,
        and moves no mark."""
        waiting, fetch.waiting = fetch.waiting, []
        marked = self._unproven
        shown = [one for one in fetch.came if marked is not None and is_marked(one, marked)]
        if shown:
            self._kept[shown[0].time_offset] = digest(shown[0])
            self._unproven = None
        self._note_spacing(fetch.came)
        self._keep(waiting, self._mark_of(fetch, complete=complete), live=False)

    def _mark_of(self, fetch: _Fetch, *, complete: bool) -> Mark | None:
        if self._unproven is not None:
            return None
        found = fetch.unbroken
        if not complete:
            now = self._session.offset
            found = [] if now is None else [one for one in found if one.time_offset < now]
        if not found or found[-1].time_offset <= self._last:
            return None
        return self._session.mark(self._device.plate.device, found[-1])

    def _keep(self, records: list[CgmRecord], mark: Mark | None, *, live: bool) -> None:
        new = list({one.time_offset: one for one in records if one.time_offset not in self._kept}.values())
        self._device.keep(self._session.observed(self._device, new, live=live), mark)
        self._kept.update((one.time_offset, digest(one)) for one in new)
        self._mark = mark or self._mark

    def _note_spacing(self, records: list[CgmRecord]) -> None:
        numbers = [one.time_offset for one in records]
        steps = [after - before for before, after in pairwise(numbers) if after > before]
        if steps:
            self._spacing = min(steps)

    # -- what is asked

    async def catch_up(self) -> Report:
        """Fetch what is stored and not kept. LinkLost, NoAnswer, OutboxFull: what came has been kept."""
        self._behind.clear()
        if self._doubtful:
            await self._look_again()
        report = Report.NO_RECORDS
        if self.has_memory:
            try:
                report = await self._fetched()
            except AccessRefused as error:
                self._device.log.warning("records refused", service=SERVICE, why=error.detail)
                report = Report.REFUSED
        self._note()
        return report

    def _note(self) -> None:
        """What the status and the roster show of a sensor that is listened to."""
        device = self._device
        self._noted_at = device.clock()
        try:
            sensors.note(device.outbox, self._session.sheet(device))
            roster.note(device.outbox, device.sheet(LISTENING))
        except OutboxFull:
            device.log.warning("the roster cannot be written: the disk is full")

    async def _look_again(self) -> None:
        session = await read_session(self._device)
        doubtful, self._doubtful = self._doubtful, []
        same = self._mark is None or session.follows(self._mark)
        if same is False:
            # all of the new session is going to be asked for
            self._enter(session)
        else:
            self._keep(doubtful, None, live=True)

    async def _fetched(self) -> Report:
        code = await self._procedure()
        if self._unproven is not None:
            # nothing shows that this is the session of the mark
            self._device.log.warning("record numbers began anew", mark=self._last)
            self._mark = self._unproven = None
            code = await self._procedure()
        if self._broken:
            # a record that cannot be read gets one more chance, then it is passed over
            code = await self._procedure(passes=True)
        return record_procedure.meaning(self._device, code)

    async def _procedure(self, *, passes: bool = False) -> int | None:
        """The response code. LinkLost, NoAnswer, AccessRefused, OutboxFull."""
        self._broken = False
        first = self._last + (self._unproven is None)
        if first > _MOST_NUMBER:
            return ResponseCode.NO_RECORDS_FOUND
        fetch = self._fetch = _Fetch(passes=passes)
        try:
            asked = report_all() if self._mark is None else report_from(first)
            return await record_procedure.run(self._device, SERVICE, asked, fetch.answer)
        except (LinkLost, NoAnswer, AccessRefused):
            # also what was measured while the sensor was busy, before it refused
            self._commit(fetch, complete=False)
            raise
        finally:
            self._broken = fetch.sound is not None
            self._fetch = None

    async def listen(self) -> None:
        """Until the sensor goes, is silent for longer than it says that it is, or the gateway is stopped.

        LinkLost, NoAnswer, OutboxFull.
        """
        device = self._device
        if self._session.stopped:
            return
        interval = await interval_of(device, crc=bool(self._session.e2e_crc))
        silence = device.terms.idle_s + 60 * interval
        while not device.link.closed.is_set() and device.failure is None:
            ends = (device.quiet(silence), device.stop.wait(), self._behind.wait())
            waits = [asyncio.ensure_future(end) for end in ends]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
            if device.stop.is_set() or not self._behind.is_set():
                return
            await self.catch_up()


async def collect(device: ConnectedDevice) -> tuple[Sensor, Report]:
    """Fetch what is new; then the sensor may be listened to. LinkLost, NoAnswer, AccessRefused, OutboxFull."""
    sensor = Sensor(device, await read_session(device))
    await device.link.subscribe(SERVICE, MEASUREMENT, device.guarded(sensor.on_measurement))
    if sensor.has_memory:
        await device.link.subscribe(SERVICE, CONTROL, device.guarded(sensor.on_answer))
    return sensor, await sensor.catch_up()

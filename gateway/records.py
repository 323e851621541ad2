"""Numbered records of a glucose meter, fetched through its Record Access Control Point.

Source: Bluetooth Glucose Service 1.0.1, clause 3.4. Records and their contexts come as notifications, which nobody
confirms; the procedure's answer is indicated. All of it is committed while that answer is delivered, with the mark of
the last number, so that the next connection asks for what is new. The mark's own record is asked for again: if it is
not there, or is another one, the meter's numbers began anew and all records are fetched (repeats collapse at ingest).
Nothing is ever deleted on the meter: its memory is shared with the person's other apps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from devices.clock import Moment
from devices.gatt.glucose import GlucoseMeasurement, GlucoseMeasurementContext
from devices.gatt.record_access import RecordAccess, ResponseCode, report_all, report_from
from devices.observation import Observation
from gateway import record_procedure
from gateway.connected import ConnectedDevice
from gateway.errors import LinkLost, NoAnswer
from gateway.outbox import Mark
from gateway.record_procedure import CONTROL, Report

SERVICE: Final = "1808"
_MEASUREMENT: Final = GlucoseMeasurement.uuid
_CONTEXT: Final = GlucoseMeasurementContext.uuid


class _Fetch:
    """One procedure: what was notified so far, and its answer. mark: where the last connection ended."""

    def __init__(self, device: ConnectedDevice, mark: Mark | None) -> None:
        self._device = device
        self._before = mark
        self._measurements: list[tuple[GlucoseMeasurement, Moment]] = []
        self._contexts: dict[int, GlucoseMeasurementContext] = {}
        self._kept = 0
        self.answer: asyncio.Future[RecordAccess] = asyncio.get_running_loop().create_future()

    def on_measurement(self, raw: bytes) -> None:
        """A record."""
        device = self._device
        value = device.decoded(_MEASUREMENT, raw)
        if isinstance(value, GlucoseMeasurement):
            self._measurements.append((value, device.moment(live=False)))

    def on_context(self, raw: bytes) -> None:
        """The circumstances of a record, joined by its number."""
        value = self._device.decoded(_CONTEXT, raw)
        if isinstance(value, GlucoseMeasurementContext):
            self._contexts[value.sequence_number] = value

    def on_answer(self, raw: bytes) -> None:
        """The end of the procedure: commit before this returns."""
        device = self._device
        value = device.decoded(CONTROL, raw)
        if not isinstance(value, RecordAccess):
            return
        if value.response_code in (ResponseCode.SUCCESS, ResponseCode.PROCEDURE_NOT_COMPLETED):
            self.commit(complete=True)
        if not self.answer.done():
            self.answer.set_result(value)

    def commit(self, *, complete: bool) -> None:
        """Keep what is whole. complete: no context will come any more, records that miss theirs go without.

        Else what precedes the first record without its context is kept: the rest comes again, with its context, and a
        record that had gone without it would have to stay so, because repeats collapse.
        """
        device = self._device
        whole: list[GlucoseMeasurement] = []
        observations: list[Observation] = []
        for measurement, moment in self._measurements[self._kept :]:
            context = self._contexts.get(measurement.sequence_number)
            if measurement.context_information and context is None and not complete:
                break
            whole.append(measurement)
            observations += device.observed(measurement, moment, context)
        if whole:
            device.keep(observations, self._mark(whole))
            self._kept += len(whole)

    def _mark(self, whole: list[GlucoseMeasurement]) -> Mark | None:
        """The last record. None where the numbers do not rise or began anew: the old mark stays."""
        numbers = [measurement.sequence_number for measurement in whole]
        if numbers != sorted(numbers) or not self.continues:
            return None
        return Mark(self._device.plate.device, SERVICE, numbers[-1], str(whole[-1].base_time))

    @property
    def continues(self) -> bool:
        """The mark's own record came again as it was, or is no longer there while later ones are."""
        mark = self._before
        if mark is None:
            return True
        found = [one for one, _ in self._measurements if one.sequence_number == mark.sequence]
        return bool(self._measurements) and all(str(one.base_time) == mark.stamp for one in found)


async def collect(device: ConnectedDevice) -> Report:
    """Fetch what is new. LinkLost, NoAnswer, AccessRefused, OutboxFull: what is whole has been kept."""
    link, services = device.link, device.link.services[SERVICE]
    mark = device.outbox.mark(device.plate.device, SERVICE)
    running = [_Fetch(device, mark)]  # notifications go to the fetch that runs

    def to(hear: Callable[[_Fetch, bytes], None]) -> Callable[[bytes], None]:
        return device.guarded(lambda raw: hear(running[-1], raw))

    if _CONTEXT in services:
        await link.subscribe(SERVICE, _CONTEXT, to(_Fetch.on_context))
    await link.subscribe(SERVICE, _MEASUREMENT, to(_Fetch.on_measurement))
    await link.subscribe(SERVICE, CONTROL, to(_Fetch.on_answer))
    code = await _run(device, running[0], report_all() if mark is None else report_from(mark.sequence))
    if mark is not None and not running[0].continues:
        device.log.warning("record numbers began anew", mark=mark.sequence)
        running.append(_Fetch(device, None))
        code = await _run(device, running[1], report_all())
    return record_procedure.meaning(device, code)


async def _run(device: ConnectedDevice, fetch: _Fetch, request: RecordAccess) -> int | None:
    """The response code of one procedure."""
    try:
        return await record_procedure.run(device, SERVICE, request, fetch.answer)
    except (LinkLost, NoAnswer):
        fetch.commit(complete=False)
        raise

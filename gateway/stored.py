"""Stored records that come in segments: blood pressures (0x2B36) and health observations (0x2BDD).

They are asked for as a glucose meter's are (`gateway.records`), from the mark on. Each record is committed with its
last segment, and with the mark of its number; so a link that drops costs no record that was whole.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from devices.errors import DeviceError
from devices.gatt.blood_pressure import BloodPressureFeature, Feature
from devices.gatt.blood_pressure_record import BloodPressureRecord, recorded_in
from devices.gatt.generic_health_sensor import StoredHealthObservations
from devices.gatt.record_access import OpCode, Operator, RecordAccess, report_all, request
from gateway import record_procedure
from gateway.connected import ConnectedDevice
from gateway.outbox import Mark
from gateway.record_procedure import CONTROL, Report
from gateway.segments import Segment, Segments, together

_WIDTHS: Final = {BloodPressureRecord.uuid: 2, StoredHealthObservations.uuid: 4}
"""Octets of a record number, by characteristic."""


class _Fetch:
    """One procedure. before: where the last connection ended; its own record comes again and is not kept again, because
    one without a stamp would not collapse with itself.  crc: by the feature; None: not known."""

    def __init__(
        self, device: ConnectedDevice, service: str, characteristic: str, before: Mark | None, *, crc: bool | None
    ) -> None:
        self._device = device
        self._crc = crc
        self._service = service
        self._before = before
        self._last = -1
        self._moves = True
        self._anew = False
        self.segments = Segments(device, characteristic, self._on_record)
        self.answer: asyncio.Future[RecordAccess] = asyncio.get_running_loop().create_future()

    def on_answer(self, raw: bytes) -> None:
        """The end of the procedure."""
        value = self._device.decoded(CONTROL, raw)
        if isinstance(value, RecordAccess) and not self.answer.done():
            self.answer.set_result(value)

    def _on_record(self, parts: tuple[Segment, ...]) -> None:
        first = parts[0]
        if isinstance(first, BloodPressureRecord):
            self._on_pressure(first, tuple(part for part in parts if isinstance(part, BloodPressureRecord)))
        elif isinstance(first, StoredHealthObservations):
            value = together(parts)
            assert isinstance(value, StoredHealthObservations)
            number = None if len(value.segment) < 4 else value.record_number
            mark = self._mark(number, value.segment)
            if mark is None or mark != self._before:
                self._device.hear(value, live=False, mark=mark)

    def _on_pressure(self, first: BloodPressureRecord, parts: tuple[BloodPressureRecord, ...]) -> None:
        device = self._device
        try:
            found = recorded_in(parts, crc=self._crc)
        except DeviceError as error:
            value = together(parts)
            mark = self._mark(first.sequence_number, value.segment)
            if mark is None or mark != self._before:
                device.note_odd(value.uuid, value.encode(), error)
                device.keep([], mark)
            return
        mark = self._mark(found.sequence_number, found.value.encode())
        if mark is None or mark != self._before:
            device.hear(found.value, live=False, mark=mark)

    def _mark(self, number: int | None, octets: bytes) -> Mark | None:
        """Of this record. None, and the old mark stays: it has no number, the numbers do not rise or began anew, or one
        before it was not whole and has to come again."""
        if number is None:
            return None
        stamp = hashlib.sha256(octets).hexdigest()[:16]
        before = self._before
        if before is not None and number == before.sequence and stamp != before.stamp:
            self._anew = True
        if self._anew or number < self._last or self.segments.gaps:
            self._moves = False
        self._last = number
        return Mark(self._device.plate.device, self._service, number, stamp) if self._moves else None

    @property
    def continues(self) -> bool:
        """The mark's own record came again as it was, or is no longer there while later ones are."""
        return self._before is None or (self._last >= 0 and not self._anew)


async def collect(device: ConnectedDevice, service: str, characteristic: str) -> Report:
    """Fetch what is new. LinkLost, NoAnswer, AccessRefused, OutboxFull: what was whole has been kept."""
    mark = device.outbox.mark(device.plate.device, service)
    crc = await _seals(device) if characteristic == BloodPressureRecord.uuid else None
    running = _Fetch(device, service, characteristic, mark, crc=crc)

    def hear_record(raw: bytes) -> None:
        running.segments.on_frame(raw)

    def hear_answer(raw: bytes) -> None:
        running.on_answer(raw)

    await device.link.subscribe(service, characteristic, device.guarded(hear_record))
    await device.link.subscribe(service, CONTROL, device.guarded(hear_answer))
    try:
        asked = report_all() if mark is None else _report_from(mark.sequence, _WIDTHS[characteristic])
        code = await record_procedure.run(device, service, asked, running.answer)
        if mark is not None and not running.continues:
            device.log.warning("record numbers began anew", mark=mark.sequence)
            running.segments.end()
            running = _Fetch(device, service, characteristic, None, crc=crc)
            code = await record_procedure.run(device, service, report_all(), running.answer)
    finally:
        running.segments.end()
    return record_procedure.meaning(device, code)


async def _seals(device: ConnectedDevice) -> bool | None:
    """Do records of blood pressure end in a CRC? None: the cuff does not say."""
    feature = await device.value("1810", BloodPressureFeature.uuid)
    return bool(feature.features & Feature.E2E_CRC) if isinstance(feature, BloodPressureFeature) else None


def _report_from(number: int, width: int) -> RecordAccess:
    return request(OpCode.REPORT_STORED_RECORDS, Operator.GREATER_OR_EQUAL, number, width=width)

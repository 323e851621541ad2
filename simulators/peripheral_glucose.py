"""Glucose meter: numbered records in a memory, fetched through the Record Access Control Point.

Source: Glucose Service 1.0.1, clauses 3.1 to 3.4. Records go out as notifications, each followed by its context, then
the procedure's answer is indicated; the records count as delivered when that has been confirmed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from bumble import att
from bumble.device import Connection
from bumble.gatt import Characteristic, CharacteristicValue

from devices.errors import BadValue, DeviceError
from devices.gatt.glucose import GlucoseMeasurement, GlucoseMeasurementContext, SampleLocation, SampleType
from devices.gatt.record_access import OpCode, Operator, RecordAccess, ResponseCode, number_response, response
from devices.medfloat import Medfloat, sfloat
from devices.nomenclature import GLUCOSE_CONTROL
from devices.observation import Meal, Site
from simulators.peripheral import INDICATE, NOTIFY, WRITE, Kept, Measurement, Peripheral
from simulators.peripheral_indicating import date_time, number, status_word

_TYPES: Final = {
    160184: SampleType.CAPILLARY_WHOLE_BLOOD,
    160188: SampleType.CAPILLARY_PLASMA,
    160192: SampleType.VENOUS_WHOLE_BLOOD,
    160196: SampleType.VENOUS_PLASMA,
    160200: SampleType.ARTERIAL_WHOLE_BLOOD,
    160204: SampleType.ARTERIAL_PLASMA,
    160364: SampleType.UNDETERMINED_WHOLE_BLOOD,
    160368: SampleType.UNDETERMINED_PLASMA,
    160212: SampleType.INTERSTITIAL_FLUID,
    GLUCOSE_CONTROL: SampleType.CONTROL_SOLUTION,
}
_SITES: Final = {
    Site.FINGER: SampleLocation.FINGER,
    Site.ALTERNATE_SITE: SampleLocation.ALTERNATE_SITE,
    Site.EARLOBE: SampleLocation.EARLOBE,
}
_UNITS: Final = {"mg/dL": ("kg/L", -5), "mmol/L": ("mol/L", -3)}
_BITS: Final = {
    "battery-low": 0x001,
    "device-malfunction": 0x002,
    "sample-insufficient": 0x004,
    "strip-error": 0x008,
    "result-too-high": 0x020,
    "result-too-low": 0x040,
    "read-interrupted": 0x200,
    "time-fault": 0x800,
    "control-solution": 0,  # said by the sample type
}
_MEALS: Final = tuple(Meal)  # preprandial 1, postprandial 2, fasting 3, casual 4, bedtime 5
_BUSY: Final = 0xFE
_NOT_CONFIGURED: Final = 0xFD
_BOUNDS: Final = {
    Operator.ALL: 0,
    Operator.FIRST: 0,
    Operator.LAST: 0,
    Operator.LESS_OR_EQUAL: 1,
    Operator.GREATER_OR_EQUAL: 1,
    Operator.WITHIN_RANGE: 2,
}


class GlucoseMeter(Peripheral):
    """One value, the concentration in mmol/L or mg/dL; `context.meal` becomes a context record of its own.

    first_number: of the first record.  `drops_after` drops the link between that record and its context.
    `sends_again` does nothing here: the gateway asks for what it wants.
    """

    service = 0x1808

    def __init__(self, *args: Any, first_number: int = 1, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._next = first_number
        self._running: Connection | None = None
        self._notified: set[int] = set()
        self.requests: list[RecordAccess] = []

    def reset(self, first_number: int = 1) -> None:
        """The memory is emptied and the numbers begin again, as after a repair."""
        self.kept.clear()
        self.delivered.clear()
        self._notified.clear()
        self._next = first_number

    def record(self, measurement: Measurement, stamp: datetime | None) -> Kept:
        if stamp is None:
            raise BadValue("a glucose record always has a base time", field="base_time")
        unit, places = _UNITS[measurement.unit]
        (value,) = measurement.values
        (status,) = status_word(measurement.facts, _BITS)
        context = measurement.context
        meal = context.meal if context else None
        site = context.site if context else None
        digits: Medfloat = number(value) if value is None else sfloat(value)
        base = date_time(stamp)
        assert base is not None
        glucose = GlucoseMeasurement(
            sequence_number=self._next,
            base_time=base,
            concentration=digits.shifted(places),
            unit=unit,
            type=_TYPES[measurement.kind],
            sample_location=_SITES.get(site, SampleLocation.NOT_AVAILABLE) if site else SampleLocation.NOT_AVAILABLE,
            sensor_status_annunciation=status,
            context_information=meal is not None,
        )
        frames = [("2A18", glucose.encode())]
        if meal is not None:
            circumstances = GlucoseMeasurementContext(sequence_number=self._next, meal=_MEALS.index(meal) + 1)
            frames.append(("2A34", circumstances.encode()))
        self._next += 1
        return Kept(record_no=glucose.sequence_number, measurement=measurement, device_at=stamp, frames=tuple(frames))

    def characteristics(self) -> list[Characteristic[Any]]:
        control = CharacteristicValue[bytes](write=self._on_request)
        self._sending = {
            "2A18": self.notifying(0x2A18, NOTIFY),
            "2A34": self.notifying(0x2A34, NOTIFY),
            "2A52": self.notifying(0x2A52, INDICATE | WRITE, value=control),
        }
        feature = Characteristic[Any]("2A51", Characteristic.Properties.READ, Characteristic.READABLE, b"\x00\x00")
        return [*self._sending.values(), feature]

    def _on_request(self, connection: Connection, value: bytes) -> None:
        """Errors: ATT 0xFD where the answers have not been switched on, 0xFE while a procedure runs (clause 3.4.3)."""
        subscribed = self.bumble.gatt_server.subscribers.get(connection, {})
        if any(not (subscribed.get(self._sending[uuid].handle) or b"\0")[0] for uuid in ("2A18", "2A52")):
            raise att.ATT_Error(_NOT_CONFIGURED)
        if self._running is connection:
            raise att.ATT_Error(_BUSY)
        self._running = connection
        self.work(self._answer(connection, value))

    async def _answer(self, connection: Connection, value: bytes) -> None:
        sent: list[Kept] = []
        try:
            request = RecordAccess.decode(value)
            self.requests.append(request)
            answer = self._refusal(request)
            if answer is None:
                chosen = self._chosen(request)
                if request.op_code == OpCode.REPORT_NUMBER_OF_STORED_RECORDS:
                    answer = number_response(len(chosen))
                else:
                    for record in chosen:
                        if await self._dropped_at(connection, record):
                            return
                        sent.append(record)
                    code = ResponseCode.SUCCESS if chosen else ResponseCode.NO_RECORDS_FOUND
                    answer = response(request.op_code, code)
        except DeviceError:
            answer = response(value[0] if value else 0, ResponseCode.INVALID_OPERAND)
        await self.bumble.indicate_subscriber(connection, self._sending["2A52"], answer.encode())
        self._running = None
        if sent and request.operator == Operator.GREATER_OR_EQUAL:
            # who asks from a number on has kept what went out before it, though the link broke before the answer
            earlier = [record for record in self.kept if record.record_no < sent[0].record_no]
            sent = [record for record in earlier if id(record) in self._notified] + sent
        for record in sent:
            self.acknowledged(record)
        if sent and not self.pending:
            await self.hang_up(connection)

    def _refusal(self, request: RecordAccess) -> RecordAccess | None:
        if request.op_code not in (OpCode.REPORT_STORED_RECORDS, OpCode.REPORT_NUMBER_OF_STORED_RECORDS):
            return response(request.op_code, ResponseCode.OP_CODE_NOT_SUPPORTED)
        if request.operator == Operator.NULL:
            return response(request.op_code, ResponseCode.INVALID_OPERATOR)
        if request.operator not in set(_BOUNDS):
            return response(request.op_code, ResponseCode.OPERATOR_NOT_SUPPORTED)
        return None

    def _chosen(self, request: RecordAccess) -> list[Kept]:
        bounds = [bound for bound in request.bounds if isinstance(bound, int)]
        if len(bounds) != _BOUNDS[Operator(request.operator)]:
            raise BadValue("only sequence numbers are compared here", field="operand")
        match Operator(request.operator):
            case Operator.FIRST:
                return self.kept[:1]
            case Operator.LAST:
                return self.kept[-1:]
            case Operator.GREATER_OR_EQUAL:
                return [record for record in self.kept if record.record_no >= bounds[0]]
            case Operator.LESS_OR_EQUAL:
                return [record for record in self.kept if record.record_no <= bounds[0]]
            case Operator.WITHIN_RANGE:
                return [record for record in self.kept if bounds[0] <= record.record_no <= bounds[1]]
            case _:
                return list(self.kept)

    async def _dropped_at(self, connection: Connection, record: Kept) -> bool:
        """Notify the record and its context; True: the link has been dropped between the two."""
        (uuid, frame), *context = record.frames
        while (short := self.cut(frame)) is not None:
            await self.bumble.notify_subscriber(connection, self._sending[uuid], short)
        await self.bumble.notify_subscriber(connection, self._sending[uuid], frame)
        self._notified.add(id(record))
        if await self.dropped(connection):
            return True
        for uuid, frame in context:
            await self.bumble.notify_subscriber(connection, self._sending[uuid], frame)
        return False

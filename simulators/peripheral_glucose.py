"""Glucose meter: numbered records in a memory, each followed by its context.

Source: Glucose Service 1.0.1, clauses 3.1 to 3.4.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from bumble.device import Connection
from bumble.gatt import Characteristic

from devices.errors import BadValue
from devices.gatt.glucose import GlucoseMeasurement, GlucoseMeasurementContext, SampleLocation, SampleType
from devices.medfloat import Medfloat, sfloat
from devices.nomenclature import GLUCOSE_CONTROL
from devices.observation import Meal, Site
from simulators.peripheral import NOTIFY, Kept, Measurement
from simulators.peripheral_indicating import date_time, number, status_word
from simulators.peripheral_records import RecordMemory

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


class GlucoseMeter(RecordMemory):
    """One value, the concentration in mmol/L or mg/dL; `context.meal` becomes a context record of its own.

    first_number: of the first record.  `drops_after` drops the link between that record and its context.
    """

    service = 0x1808
    measured = "2A18"

    def __init__(self, *args: Any, first_number: int = 1, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._next = first_number

    def reset(self, first_number: int = 1) -> None:
        """The memory is emptied and the numbers begin again, as after a repair."""
        self.forget()
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
        found = super().characteristics()
        self.sending["2A34"] = self.notifying(0x2A34, NOTIFY)
        feature = Characteristic[Any]("2A51", Characteristic.Properties.READ, Characteristic.READABLE, b"\x00\x00")
        return [*found, self.sending["2A34"], feature]

    async def transmit(self, connection: Connection, chosen: list[Kept]) -> bool:
        for record in chosen:
            (uuid, frame), *context = record.frames
            while (short := self.cut(frame)) is not None:
                await self.bumble.notify_subscriber(connection, self.sending[uuid], short)
            await self.bumble.notify_subscriber(connection, self.sending[uuid], frame)
            self.went_out(record)
            if await self.dropped(connection):
                return True
            for uuid, frame in context:
                await self.bumble.notify_subscriber(connection, self.sending[uuid], frame)
        return False

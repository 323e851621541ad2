"""Heart Rate Service (0x180D): measurement 0x2A37, body sensor location 0x2A38, control point 0x2A39.

Source: Bluetooth Heart Rate Service 1.0, clauses 3.1 (measurement), 3.2 (location), 3.3 (control point).
"""

from __future__ import annotations

import functools
import struct
from typing import ClassVar, Final, Self

from devices.clock import Moment, place
from devices.errors import BadValue, Truncated
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.nomenclature import HEART_RATE
from devices.observation import Fact, Observation
from devices.octets import U8, U16, Choice, Field, Layout

_RR: Final = 0x10
_NO_CONTACT: Final = (Fact.NOT_AVAILABLE | Fact.SENSOR_DISCONNECTED).value


@functools.cache
def _intervals(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}H")


class HeartRateMeasurement(Characteristic, frozen=True, kw_only=True):
    """0x2A37, notified. heart_rate in /min, sent as 16 bits where `wide`.  energy_expended in kJ since the last reset.

    rr_intervals: in 1/1024 s, oldest first; empty where the frame has none.  sensor_contact: None where the sensor
    cannot tell.
    """

    uuid: ClassVar[str] = "2A37"
    layout: ClassVar[Layout] = Layout(
        (
            Field("heart_rate", U8, unless=0x01),
            Field("heart_rate", U16, when=0x01),
            Field("energy_expended", U16, when=0x08),
        ),
        choices=(
            Choice("wide", 0x01, False, True),
            Choice("contact_detected", 0x02, False, True),
            Choice("contact_supported", 0x04, False, True),
            Choice("rr_present", _RR, False, True),
        ),
    )

    heart_rate: int
    wide: bool = False
    contact_detected: bool = False
    contact_supported: bool = False
    energy_expended: int | None = None
    rr_present: bool = False
    rr_intervals: tuple[int, ...] = ()

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the field, also where an interval is cut in half, or none of those announced is
        there."""
        if not data or not data[0] & _RR:
            return (layout or cls.layout).read(data, cls)
        values = (layout or cls.layout).unpack(data)
        rest = values.pop("trailing", b"")
        if not rest or len(rest) % 2:
            raise Truncated(f"{len(rest)} octets are no whole number of intervals", field="rr_intervals")
        return cls(rr_intervals=_intervals(len(rest) // 2).unpack(rest), **values)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a field does not fit, or intervals and `rr_present` do not go together."""
        if bool(self.rr_intervals) is not self.rr_present:
            raise BadValue("the flags announce them, or there are none", field="rr_intervals")
        head = super().encode(layout)
        try:
            return head + struct.pack(f"<{len(self.rr_intervals)}H", *self.rr_intervals)
        except struct.error as error:
            raise BadValue(str(error), field="rr_intervals") from error

    @property
    def sensor_contact(self) -> bool | None:
        """Does the sensor touch the skin?"""
        return self.contact_detected if self.contact_supported else None


class BodySensorLocation(Characteristic, frozen=True, kw_only=True):
    """0x2A38, read. 0 other, 1 chest, 2 wrist, 3 finger, 4 hand, 5 ear lobe, 6 foot."""

    uuid: ClassVar[str] = "2A38"
    layout: ClassVar[Layout] = Layout((Field("location", U8),), flags="")

    location: int


class HeartRateControlPoint(Characteristic, frozen=True, kw_only=True):
    """0x2A39, written. 1: reset the energy expended."""

    uuid: ClassVar[str] = "2A39"
    layout: ClassVar[Layout] = Layout((Field("command", U8),), flags="")

    command: int = 1


def observe(measurement: HeartRateMeasurement, source: record.DeviceFacts, moment: Moment) -> Observation:
    """One heart rate, at the time of reception. Without skin contact it is not available."""
    facts = _NO_CONTACT if measurement.sensor_contact is False else 0
    return record.observe(
        HEART_RATE,
        (float(measurement.heart_rate),),
        "/min",
        source,
        place(None, moment),
        facts,
        measurement.trailing,
    )

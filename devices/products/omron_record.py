"""Omron cuffs: a reading as it lies in the cuff's memory, 14 octets, little endian. It is not 0x2A35.

Source: eigger/hass-omron, record_parsers.py (classic 14-octet record) and a captured record of a HEM-7142T2 in its
tests. The memory is read by a protocol of the vendor behind a key or a bond, which the gateway does not speak; so this
decodes what another tool has read. A slot that was never written is all ones, or all zeros, and holds no record.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final, Self

from devices.clock import DateTime, Moment, place
from devices.errors import BadValue
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Fact, Observation
from devices.octets import Field, Layout, fixed
from devices.products.declaration import Product

_LAYOUT: Final = struct.Struct("<BBBBHH6s")
_BASE: Final = 25
"""Systolic pressures are kept less so much."""
_HIGHEST: Final = 0xE1


class OmronRecord(Characteristic, frozen=True, kw_only=True):
    """A slot of the memory. Pressures in mm[Hg], pulse in /min.  cuff, position: bits as they are, of unknown sense.

    rest: octets 8 to 13.  year_bits: bits 6 and 7 beside the year.
    """

    uuid: ClassVar[str] = "OMRON:EEPROM14LE"
    layout: ClassVar[Layout] = Layout((Field("slot", fixed(_LAYOUT.size)),), flags="")

    systolic: int
    diastolic: int
    pulse_rate: int
    time_stamp: DateTime
    irregular_pulse: bool = False
    body_movement: bool = False
    cuff: int = 0
    position: int = 0
    year_bits: int = 0
    rest: bytes = bytes(6)

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated. BadValue: nothing was measured into this slot."""
        values = (layout or cls.layout).unpack(data)
        systolic, diastolic, pulse, year, date, time, rest = _LAYOUT.unpack(values["slot"])
        if systolic > _HIGHEST or not (diastolic or pulse or date >> 10 & 0x0F):
            raise BadValue("nothing was measured into it", field="slot")
        return cls(
            systolic=systolic + _BASE,
            diastolic=diastolic,
            pulse_rate=pulse,
            time_stamp=DateTime(
                2000 + (year & 0x3F), date >> 10 & 0x0F, date >> 5 & 0x1F, date & 0x1F, time >> 6 & 0x3F, time & 0x3F
            ),
            irregular_pulse=bool(date >> 14 & 1),
            body_movement=bool(date >> 15),
            cuff=time >> 12 & 0x03,
            position=time >> 14,
            year_bits=year >> 6,
            rest=rest,
            trailing=values.get("trailing", b""),
        )

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a number does not fit its bits."""
        at = self.time_stamp
        parts = (
            (self.systolic - _BASE, 8), (self.diastolic, 8), (self.pulse_rate, 8), (at.year - 2000, 6), (at.month, 4),
            (at.day, 5), (at.hours, 5), (at.minutes, 6), (at.seconds, 6), (self.cuff, 2), (self.position, 2),
            (self.year_bits, 2),
        )  # fmt: skip
        if any(not 0 <= value < 1 << bits for value, bits in parts) or len(self.rest) != 6:
            raise BadValue(f"{self.systolic}/{self.diastolic} at {at} has no place in a slot", field="slot")
        date = self.body_movement << 15 | self.irregular_pulse << 14 | at.month << 10 | at.day << 5 | at.hours
        time = self.position << 14 | self.cuff << 12 | at.minutes << 6 | at.seconds
        slot = _LAYOUT.pack(
            self.systolic - _BASE, self.diastolic, self.pulse_rate, self.year_bits << 6 | at.year - 2000, date, time,
            self.rest,
        )  # fmt: skip
        return (layout or self.layout).pack({"slot": slot, "trailing": self.trailing})

    @property
    def sequence_number(self) -> int:
        """Of the record, octets 10 and 11: of a captured memory, it grows with the slots. It identifies nothing: the
        stamp has seconds, and what is stored without a number would come a second time with one."""
        return int.from_bytes(self.rest[2:4], "little")


def observe(slot: OmronRecord, source: record.DeviceFacts, moment: Moment) -> tuple[Observation, ...]:
    """The reading in a slot."""
    facts = Fact.FROM_STORAGE.value
    if slot.irregular_pulse:
        facts |= Fact.IRREGULAR_PULSE.value
    if slot.body_movement:
        facts |= Fact.BODY_MOVEMENT.value
    # six bits hold seconds that no minute has; the source takes them for the last one
    at = slot.time_stamp._replace(seconds=min(slot.time_stamp.seconds, 59))
    return (
        record.observe(
            BLOOD_PRESSURE,
            (float(slot.systolic), float(slot.diastolic), None, float(slot.pulse_rate)),
            "mm[Hg]",
            source=source,
            time=place(at, moment, live=False),
            facts=facts,
            trailing=slot.trailing,
        ),
    )


OMRON_CUFF: Final = Product(
    name="omron-cuff",
    manufacturer="OMRON",
    models=("HEM-7142T2",),
    memory=(OmronRecord.uuid,),
)

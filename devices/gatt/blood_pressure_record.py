"""Blood Pressure Record (0x2B36): a stored reading, in segments, with its number and the characteristic that it is.

Source: Bluetooth GATT Specification Supplement, Blood Pressure Record. Whether an E2E-CRC ends it is said by the
feature (0x2A49, bit 6), which a frame alone does not know: two octets more than the reading takes are the CRC, and have
to be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, NamedTuple, Self

import msgspec

from devices.clock import Moment
from devices.errors import BadValue, Truncated, UnknownCharacteristic
from devices.gatt import blood_pressure, blood_pressure_enhanced, record
from devices.gatt.characteristic import Characteristic
from devices.gatt.segmentation import Header, joined
from devices.observation import Observation
from devices.octets import U8, U16, Field, Layout, crc16

_RECORDED: Final[dict[str, type[Characteristic]]] = {
    known.uuid: known
    for known in (
        blood_pressure.BloodPressureMeasurement,
        blood_pressure.IntermediateCuffPressure,
        blood_pressure_enhanced.EnhancedBloodPressureMeasurement,
        blood_pressure_enhanced.EnhancedIntermediateCuffPressure,
    )
}


class Recorded(NamedTuple):
    """A whole record. e2e_crc: it ends in one that is right."""

    sequence_number: int
    value: Characteristic
    e2e_crc: bool


class BloodPressureRecord(Characteristic, frozen=True, kw_only=True):
    """0x2B36, notified: one segment. recorded_uuid: of the characteristic that the record holds.  segment: octets."""

    uuid: ClassVar[str] = "2B36"
    layout: ClassVar[Layout] = Layout(
        (Field("header", U8), Field("sequence_number", U16), Field("recorded_uuid", U16)), flags=""
    )

    first: bool
    last: bool
    counter: int
    sequence_number: int
    recorded_uuid: int
    segment: bytes = b""

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the field."""
        values = (layout or cls.layout).unpack(data)
        first, last, counter = Header.of(values.pop("header"))
        return cls(first=first, last=last, counter=counter, segment=values.pop("trailing", b""), **values)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a number does not fit."""
        head = {
            "header": self.header.octet,
            "sequence_number": self.sequence_number,
            "recorded_uuid": self.recorded_uuid,
        }
        return (layout or self.layout).pack(head) + self.segment

    @property
    def header(self) -> Header:
        """As `segmentation.Joining` takes it."""
        return Header(self.first, self.last, self.counter)

    @property
    def recorded(self) -> Characteristic | None:
        """The reading, where one segment holds all of it. BadValue, UnknownCharacteristic, Truncated."""
        return recorded_in((self,)).value if self.first and self.last else None


def recorded_in(segments: Iterable[BloodPressureRecord], *, crc: bool | None = None) -> Recorded:
    """The record in its segments, which all bear its number. crc: by the feature. None: not known.

    BadValue: a segment is missing or of another record, or the CRC is wrong.  UnknownCharacteristic: it holds something
    else than a blood pressure.  Truncated: names the field of the reading.
    """
    parts = tuple(segments)
    whole = joined((one.header, one.segment) for one in parts)
    if len({(one.sequence_number, one.recorded_uuid) for one in parts}) != 1:
        raise BadValue("segments of several records", field="sequence_number")
    uuid = f"{parts[0].recorded_uuid:04X}"
    known = _RECORDED.get(uuid)
    if known is None:
        raise UnknownCharacteristic(f"a record of {uuid}", field="recorded_uuid")
    if crc is None:
        crc = len(known.decode(whole).trailing) == 2
    if crc and crc16(_covered(parts)) != int.from_bytes(whole[-2:], "little"):
        raise BadValue(f"0x{whole[:-3:-1].hex()} is not the CRC", field="e2e_crc")
    return Recorded(parts[0].sequence_number, known.decode(whole[:-2] if crc else whole), crc)


def _covered(parts: Sequence[BloodPressureRecord]) -> bytes:
    """All octets of all segments but the last two of the value, which may lie in two segments."""
    found, left = [], sum(len(one.segment) for one in parts) - 2
    for one in parts:
        octets = one.encode()
        found.append(octets[: len(octets) - len(one.segment) + max(left, 0)])
        left -= len(one.segment)
    return b"".join(found)


def segments_of(
    sequence_number: int, value: Characteristic, *, most: int = 20, counter: int = 0, crc: bool = False
) -> tuple[BloodPressureRecord, ...]:
    """The segments of a record. most: octets of each.  counter: of the first one.  BadValue: too small a segment."""
    room = most - 5
    if room < 1:
        raise BadValue(f"{most} octets have no room for a head of 5", field="segment")
    whole = value.encode() + bytes(2 * crc)
    cuts = [whole[at : at + room] for at in range(0, len(whole), room)]
    found = [
        BloodPressureRecord(
            first=index == 0,
            last=index == len(cuts) - 1,
            counter=(counter + index) % 64,
            sequence_number=sequence_number,
            recorded_uuid=int(value.uuid, 16),
            segment=cut,
        )
        for index, cut in enumerate(cuts)
    ]
    if not crc:
        return tuple(found)
    seal = crc16(_covered(found)).to_bytes(2, "little")
    whole, at, sealed = whole[:-2] + seal, 0, []
    for one in found:
        end = at + len(one.segment)
        sealed.append(msgspec.structs.replace(one, segment=whole[at:end]))
        at = end
    return tuple(sealed)


def observe(value: BloodPressureRecord, source: record.DeviceFacts, moment: Moment) -> tuple[Observation, ...]:
    """The reading of a record that one segment holds; none where it is cut, or cannot be read (`why_none`)."""
    try:
        return observe_recorded(recorded_in((value,)), source, moment)
    except (BadValue, Truncated, UnknownCharacteristic):
        return ()


def why_none(value: BloodPressureRecord) -> BadValue | Truncated | UnknownCharacteristic | None:
    """Why a record gives no reading. None: it gives one, holds a pressure on the way, or is one segment of several."""
    if not (value.first and value.last):
        return None
    try:
        recorded_in((value,))
    except (BadValue, Truncated, UnknownCharacteristic) as error:
        return error
    return None


def observe_recorded(whole: Recorded, source: record.DeviceFacts, moment: Moment) -> tuple[Observation, ...]:
    """The reading of a whole record: with the identity that it had when it was measured, so both collapse."""
    moment = moment._replace(live=False)
    match whole.value:
        case blood_pressure_enhanced.EnhancedBloodPressureMeasurement():
            return (blood_pressure_enhanced.observe(whole.value, source, moment),)
        case blood_pressure.BloodPressureMeasurement():
            return (blood_pressure.observe(whole.value, source, moment),)
    return ()

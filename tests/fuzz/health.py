"""Bodies and segments of health observations and stored blood pressures, arbitrary and damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from devices.catalogue import decode, why_odd
from devices.clock import Moment
from devices.errors import DeviceError
from devices.gatt import health_observing
from devices.gatt.blood_pressure_record import BloodPressureRecord, observe_recorded, recorded_in, segments_of
from devices.gatt.health_observation import observation_in
from devices.gatt.record import DeviceFacts
from devices.gatt.segmentation import MOST_OCTETS, Header, Joining
from tests.health_bodies import CURRENT, OFFSET, TEMPERATURE, body, compound, number, stamp

MOMENT = Moment(datetime(2026, 11, 22, tzinfo=UTC))
SOURCE = DeviceFacts("eui64:0102030405060708")
ENHANCED = bytes.fromhex("7e780050005d00005f862940000104 0080cf8629".replace(" ", ""))


def _body(data: bytes) -> None:
    one = observation_in(data)
    if one.octets != data:
        raise AssertionError("a body that does not come back")
    health_observing.observe(one, SOURCE, MOMENT)
    health_observing.why_none(one)


def _record(data: bytes) -> None:
    """Frames of a stored blood pressure: a length before each."""
    segments: list[BloodPressureRecord] = []
    at = 0
    while at < len(data):
        end = at + 1 + data[at] % 24
        segments.append(BloodPressureRecord.decode(data[at + 1 : end]))
        why_odd(segments[-1])
        at = end
    observe_recorded(recorded_in(segments), SOURCE, MOMENT)


class Segments:
    """One connection that never ends: what it keeps must not grow."""

    def __init__(self) -> None:
        self._joining = Joining()

    def take(self, data: bytes) -> None:
        """A header, and so many octets."""
        if data:
            try:
                self._joining.take(Header.of(data[0]), data[1:] * 64)
            except DeviceError:
                return
            if self._joining.size > MOST_OCTETS:
                raise AssertionError("a value without bound")


def _known() -> list[bytes]:
    numeric = body(1, number(97, 544), type=150456, time=stamp(MOMENT.received_at), status=2)
    cuff = body(7, compound((150021, 1, number(120, 3872)), (150022, 1, number(80, 3872))), type=150020, patient=1)
    bundle = body(255, bytes([2]) + numeric.octets + cuff.octets, supplemental=(8417872,))
    # at the ends: of a number, and of the calendar
    last = stamp(datetime(9999, 12, 31, 23), flags=CURRENT | OFFSET, offset=-48)
    ends = body(1, struct.pack("<HI", 1728, 0x80000001), type=188736, time=last)
    return [TEMPERATURE, numeric.octets, cuff.octets, bundle.octets, ends.octets]


def codecs() -> dict[str, tuple[Callable[[bytes], Any], list[bytes]]]:
    """By name: what takes octets, and octets that it is known to take."""
    parts = [part.encode() for part in segments_of(7, decode("2B34", ENHANCED), crc=True)]
    return {
        "2B8B-body": (_body, _known()),
        "2B36-record": (_record, [b"".join(bytes([len(part)]) + part for part in parts)]),
        "segments": (Segments().take, [b"\x01ab", b"\x04cd", b"\x0aef"]),
    }


def frames() -> dict[str, list[bytes]]:
    """Known frames by characteristic."""
    return {
        "2B8B": [b"\x03" + one for one in _known()],
        "2BDD": [b"\x03\x07\0\0\0" + one for one in _known()],
        "2B36": [part.encode() for part in segments_of(7, decode("2B34", ENHANCED), most=40)],
        "2B34": [ENHANCED],
        "2BF2": [stamp(MOMENT.received_at).octets],
    }

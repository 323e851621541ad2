"""Values that come in several frames: their segments put together, bounded, and what is not whole kept as an oddity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from devices.errors import BadValue
from devices.gatt.blood_pressure_record import BloodPressureRecord
from devices.gatt.generic_health_sensor import HealthObservationSegment
from devices.gatt.segmentation import Joining
from gateway.connected import ConnectedDevice

Segment = BloodPressureRecord | HealthObservationSegment
MOST: Final = 4096
"""Segments of a value: more than the longest needs in frames of 20 octets."""


class Segments:
    """One segmented characteristic on one connection. whole: told the segments of each value that is whole.
    gaps: values of which a part is missing or cannot be read."""

    def __init__(self, device: ConnectedDevice, uuid: str, whole: Callable[[tuple[Segment, ...]], None]) -> None:
        self._device = device
        self._uuid = uuid
        self._whole = whole
        self._joining = Joining()
        self._parts: list[Segment] = []
        self._given_up = False
        self.gaps = 0

    def on_frame(self, raw: bytes) -> None:
        """A segment; with the last one the value is committed before this returns. OutboxFull, OutboxBroken."""
        part = self._device.decoded(self._uuid, raw)
        if not isinstance(part, BloodPressureRecord | HealthObservationSegment):
            self.gaps += 1
            return
        if part.first:
            self.end()
            self._given_up = False
        elif self._given_up:
            return
        if len(self._parts) == MOST:
            self._give_up(BadValue(f"more than {MOST} segments", field="header"), *self._parts)
            return
        try:
            last = self._joining.take(part.header, part.segment) is not None
        except BadValue as error:
            self._give_up(error, *self._parts, part)
            return
        self._parts.append(part)
        if last:
            parts, self._parts = tuple(self._parts), []
            self._whole(parts)

    def end(self) -> None:
        """No more will come of a value that is not whole: it is kept as it is. OutboxFull, OutboxBroken."""
        if self._parts:
            self._give_up(BadValue("the last segment did not come", field="header"), *self._parts)

    def _give_up(self, error: BadValue, *parts: Segment) -> None:
        # one oddity a value: what follows of it says no more
        self._parts, self._given_up, self._joining = [], True, Joining()
        self.gaps += 1
        self._device.note_odd(self._uuid, together(parts).encode(), error)


def together(parts: tuple[Segment, ...]) -> Segment:
    """The segments as one that is first and last: what the value would be in a frame that is long enough.

    The counters are not in it, so a CRC over the segments does not fit it.
    """
    segment = b"".join(part.segment for part in parts)
    return msgspec.structs.replace(parts[0], first=True, last=True, counter=0, segment=segment)

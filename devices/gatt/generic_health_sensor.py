"""Generic Health Sensor Service (0x1840): observations 0x2B8B and 0x2BDD, features, control point. Provisional.

Source: Bluetooth Generic Health Sensor Service 1.0 as three public implementations have it (see `health_observation`).
No device is known that has the service, and there are no public frames of the adopted version: what is read of it
bears `Fact.PROVISIONAL`.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from typing import ClassVar, Self

from devices.errors import BadValue, Truncated
from devices.gatt.characteristic import Characteristic
from devices.gatt.health_observation import HealthObservation, observation_in
from devices.gatt.octet_cursor import Cursor
from devices.gatt.segment import Segment
from devices.gatt.segmentation import joined
from devices.medfloat import Medfloat
from devices.octets import FLOAT, U8, U32, Field, Layout


class HealthObservationSegment(Segment, frozen=True, kw_only=True):
    """One segment of an observation."""


class LiveHealthObservations(HealthObservationSegment, frozen=True, kw_only=True):
    """0x2B8B, notified or indicated as it is measured."""

    uuid: ClassVar[str] = "2B8B"

    @property
    def observation(self) -> HealthObservation | None:
        """The observation, where one segment holds all of it. Truncated, BadValue."""
        return observation_in(self.segment) if self.first and self.last else None


class StoredHealthObservations(HealthObservationSegment, frozen=True, kw_only=True):
    """0x2BDD, notified or indicated when the record access control point asks for it."""

    uuid: ClassVar[str] = "2BDD"

    @property
    def record_number(self) -> int | None:
        """The number of the stored record, where this segment begins it. Truncated."""
        return stored_record(self.segment)[0] if self.first else None

    @property
    def observation(self) -> HealthObservation | None:
        """The observation, where one segment holds all of it. Truncated, BadValue."""
        return observation_in(stored_record(self.segment)[1]) if self.first and self.last else None


def stored_record(whole: bytes) -> tuple[int, bytes]:
    """Number and body of a stored record. Truncated: names the field."""
    if len(whole) < 4:
        raise Truncated(f"{len(whole)} of 4 octets", field="record_number")
    return int.from_bytes(whole[:4], "little"), whole[4:]


def assembled(segments: Iterable[HealthObservationSegment]) -> bytes:
    """The body in the segments of one observation. BadValue: one is missing, or does not belong to it."""
    return joined((one.header, one.segment) for one in segments)


class HealthSensorFeatures(Characteristic, frozen=True, kw_only=True):
    """0x2BF3, read. observation_types: MDC codes.  specializations: (11073-10101 term, version); None where the flags
    do not announce them."""

    uuid: ClassVar[str] = "2BF3"
    layout: ClassVar[Layout] = Layout((Field("flags", U8),), flags="")

    flags: int = 0
    observation_types: tuple[int, ...] = ()
    specializations: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: names the field."""
        del layout
        cursor = Cursor(bytes(data))
        flags = cursor.take("B", "flags")
        types = cursor.references("observation_types")
        found: tuple[tuple[int, int], ...] | None = None
        if flags & 1:
            count = cursor.take("B", "specializations")
            found = tuple(cursor.take("HB", "specializations") for _ in range(count))
        return cls(flags=flags, observation_types=types, specializations=found, trailing=cursor.rest)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: a number does not fit, or the flags say otherwise."""
        del layout
        if bool(self.flags & 1) is (self.specializations is None):
            raise BadValue("bit 0 announces the specializations", field="flags")
        try:
            types = struct.pack(
                f"<BB{len(self.observation_types)}I", self.flags, len(self.observation_types), *self.observation_types
            )
            rest = b"" if self.specializations is None else bytes([len(self.specializations)])
            rest += b"".join(struct.pack("<HB", *one) for one in self.specializations or ())
        except (struct.error, ValueError) as error:
            raise BadValue(str(error), field="features") from error
        return types + rest + self.trailing


class SensorCommand(enum.IntEnum):
    """What the control point is told, and how it ended."""

    START_LIVE_OBSERVATIONS = 0x01
    STOP_LIVE_OBSERVATIONS = 0x02
    SUCCESS = 0x80
    SERVER_BUSY = 0x81
    ERROR = 0x82


class HealthSensorControlPoint(Characteristic, frozen=True, kw_only=True):
    """0x2BF4, written, and answered by indication. command: `SensorCommand`."""

    uuid: ClassVar[str] = "2BF4"
    layout: ClassVar[Layout] = Layout((Field("command", U8),), flags="")

    command: int


class ObservationScheduleChanged(Characteristic, frozen=True, kw_only=True):
    """0x2BF1, indicated. type: 32-bit MDC code.  measurement_period, update_interval: seconds.

    From one implementation (STM32 ghs.h).
    """

    uuid: ClassVar[str] = "2BF1"
    layout: ClassVar[Layout] = Layout(
        (Field("type", U32), Field("measurement_period", FLOAT), Field("update_interval", FLOAT)), flags=""
    )

    type: int
    measurement_period: Medfloat
    update_interval: Medfloat

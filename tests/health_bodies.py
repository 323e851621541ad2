"""Bodies of health observations, built by the published field order: there are no public frames of the service."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Any

from devices.gatt.elapsed_time import ElapsedTime
from devices.gatt.health_observation import HealthObservation
from devices.medfloat import encode_float, medfloat32

TEMPERATURE = bytes.fromhex("01 1700 0b00 944b0200 22 70a482290000 01 20 0200 a017 6801 00ff".replace(" ", ""))
"""Type, time and status: a temperature of 36.0 degrees by a clock kept by NTP."""
NTP, MANUAL = 1, 4
CURRENT, OFFSET, UTC_, COUNTER = 0x20, 0x10, 0x02, 0x01


def number(value: float, unit: int) -> bytes:
    return struct.pack("<HI", unit, encode_float(medfloat32(value)))


def stamp(at: datetime, *, flags: int = CURRENT | UTC_, source: int = NTP, offset: int = 0) -> ElapsedTime:
    seconds = (at.replace(tzinfo=None) - datetime(2000, 1, 1)) // timedelta(seconds=1)
    return ElapsedTime(flags, seconds, source, offset)


def body(kind: int, value: bytes, **more: Any) -> HealthObservation:
    """A body whose flags announce what it has."""
    bits = {"type": 1, "time": 2, "duration": 4, "status": 8, "id": 16, "patient": 32, "supplemental": 64,
            "derived_from": 128, "has_member": 256, "tlvs": 512}  # fmt: skip
    return HealthObservation(kind=kind, flags=sum(bits[name] for name in more), value=value, **more)


def compound(*components: tuple[int, int, bytes]) -> bytes:
    return bytes([len(components)]) + b"".join(struct.pack("<IB", code, form) + raw for code, form, raw in components)

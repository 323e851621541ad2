"""A stored reading as evidence: named by what identifies it in the readings table, never by its corrected time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from ingest.observations import StoredObservation
from monitor.judging_reading import DeviceReading

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def evidence_key(reading: StoredObservation) -> str:
    """`device:kind:microseconds of the device's own time:record number`."""
    moment = (reading.identity_at - _EPOCH) // timedelta(microseconds=1)
    return f"{reading.device_id}:{reading.kind}:{moment}:{reading.record_no}"


def device_reading(reading: StoredObservation) -> DeviceReading:
    """A stored reading as the rules see it."""
    meal = reading.context.meal if reading.context else None
    return DeviceReading(
        concept=reading.concept,
        values=reading.values,
        unit=reading.unit,
        measured_at=reading.measured_at,
        facts=reading.facts,
        meal=meal.value if meal else None,
        absent={slot: int(why) for slot, why in reading.absent.items()},
        device=reading.device_uid,
        source="kiosk" if reading.session_uid else "device",
        reference=evidence_key(reading),
    )

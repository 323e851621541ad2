"""How a reading is named as evidence: by what identifies it in the readings table, never by its corrected time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from ingest.observations import StoredObservation

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def evidence_key(reading: StoredObservation) -> str:
    """`device:kind:microseconds of the device's own time:record number`."""
    moment = (reading.identity_at - _EPOCH) // timedelta(microseconds=1)
    return f"{reading.device_id}:{reading.kind}:{moment}:{reading.record_no}"

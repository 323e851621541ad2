"""Sessions of continuous glucose sensors, for `suifang-gateway status`: since when each runs, and how long it will.

In the outbox's file, beside the mark of how far its records are kept.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from gateway.outbox import Outbox

MOST: Final = 1000
"""Sensors are worn for days and never come back."""


class SensorSession(msgspec.Struct, frozen=True, kw_only=True):
    """began_at: of the session.  run_time: hours.  stopped: the sensor says that it is over.  read_at: when it was
    asked.  None: it did not say."""

    device: str
    began_at: datetime | None
    run_time: int | None
    stopped: bool
    read_at: datetime


_WRITE: Final = "INSERT OR REPLACE INTO sensor VALUES (:device, :began_at, :run_time, :stopped, :read_at)"
_KEEP_LATEST: Final = (
    "DELETE FROM sensor WHERE device NOT IN (SELECT device FROM sensor ORDER BY read_at DESC LIMIT :most)"
)
_READ: Final = (
    "SELECT sensor.*, mark.sequence FROM sensor LEFT JOIN mark ON mark.device = sensor.device AND mark.service = '181F'"
    " ORDER BY read_at DESC LIMIT 50"
)


def note(outbox: Outbox, session: SensorSession) -> None:
    """Write it in place of the sensor's former one. OutboxFull."""
    row = {
        **msgspec.structs.asdict(session),
        "began_at": None if session.began_at is None else session.began_at.isoformat(),
        "stopped": int(session.stopped),
        "read_at": session.read_at.isoformat(),
    }
    outbox.write(_WRITE, row)
    outbox.write(_KEEP_LATEST, {"most": MOST})


def listed(database: sqlite3.Connection) -> list[dict[str, Any]]:
    """The sessions, the last read first. ends_at: None where the sensor does not say.  kept_until: minutes of the
    session up to which the stored records are kept. A file of an older gateway has none."""
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'sensor'").fetchone():
        return []
    return [_shown(row) for row in database.execute(_READ)]


def _shown(row: tuple[Any, ...]) -> dict[str, Any]:
    device, began_at, run_time, stopped, read_at, kept_until = row
    ends_at = None
    if began_at is not None and run_time is not None:
        try:
            ends_at = (datetime.fromisoformat(began_at) + timedelta(hours=run_time)).isoformat()
        except OverflowError:
            ends_at = None
    return {
        "device": device,
        "began_at": began_at,
        "ends_at": ends_at,
        "stopped": bool(stopped),
        "kept_until": kept_until,
        "read_at": read_at,
    }

"""The roster: each device that was ever connected, for `suifang-gateway devices`. In the outbox's file."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

import msgspec

from gateway.outbox import Outbox
from gateway.outbox_file import connect, translated


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a device. services: 16-bit UUIDs.  battery: %.  clock_offset_s: its clock minus ours, seconds.
    seen_at, outcome: when and how its last connection ended (`gateway.sessions.Outcome`)."""

    device: str
    address: str
    name: str = ""
    manufacturer: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    services: tuple[str, ...] = ()
    battery: int | None = None
    clock_offset_s: float | None = None
    seen_at: datetime
    outcome: str = ""


_COLUMNS = ", ".join(Sheet.__struct_fields__)
_PLACES = ", ".join(f":{name}" for name in Sheet.__struct_fields__)


def note(outbox: Outbox, sheet: Sheet) -> None:
    """Write the sheet in place of the device's former one. OutboxFull."""
    values = msgspec.structs.asdict(sheet)
    values["services"] = " ".join(sheet.services)
    values["seen_at"] = sheet.seen_at.isoformat()
    outbox.write(f"INSERT OR REPLACE INTO device ({_COLUMNS}) VALUES ({_PLACES})", values)  # noqa: S608 - own names


def sheets(path: Path) -> list[Sheet]:
    """All sheets in the outbox file, the last seen first; works beside a running gateway. OutboxBroken."""
    with translated():
        database = connect(path, read_only=True)
        try:
            database.row_factory = sqlite3.Row
            rows = database.execute(f"SELECT {_COLUMNS} FROM device ORDER BY seen_at DESC").fetchall()  # noqa: S608
        finally:
            database.close()
    return [msgspec.convert({**dict(row), "services": row["services"].split()}, Sheet, strict=False) for row in rows]

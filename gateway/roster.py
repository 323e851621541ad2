"""The roster: each device that was ever heard, for `suifang-gateway devices`. In the outbox's file."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.outbox import Outbox
from gateway.outbox_file import connect, translated


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a device. address: Bluetooth's, or `tcp:` and the host of a 20601 agent.  services: 16-bit
    UUIDs, or the standards of an agent's specializations.  battery: %.  clock_offset_s: its clock minus ours, seconds.
    seen_at, outcome: when it was heard last, and how that went (the `Outcome` of `gateway.sessions` and
    `gateway.phd_agents`, or `gateway.advertised.OUTCOME`)."""

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


MOST_DEVICES: Final = 10_000
"""Devices that change their address, and agents that invent their system id, must not fill the disk."""
MOST_BATTERIES: Final = 200
_KEEP_LATEST: Final = (
    "DELETE FROM device WHERE device NOT IN (SELECT device FROM device ORDER BY seen_at DESC LIMIT :most)"
)
_COLUMNS = ", ".join(Sheet.__struct_fields__)
_PLACES = ", ".join(f":{name}" for name in Sheet.__struct_fields__)


def note(outbox: Outbox, *sheets: Sheet) -> None:
    """Write each sheet in place of its device's former one; the devices not heard for longest go where there are too
    many. OutboxFull."""
    rows = [
        {
            **msgspec.structs.asdict(sheet),
            "services": " ".join(sheet.services),
            "seen_at": sheet.seen_at.isoformat(),
        }
        for sheet in sheets
    ]
    outbox.write(f"INSERT OR REPLACE INTO device ({_COLUMNS}) VALUES ({_PLACES})", *rows)  # noqa: S608 - own names
    if outbox.read("SELECT count(*) FROM device")[0][0] > MOST_DEVICES:
        outbox.write(_KEEP_LATEST, {"most": MOST_DEVICES})


def missed(outbox: Outbox, address: str, outcome: str, at: datetime) -> None:
    """A device that has a sheet was heard, and that was all. OutboxFull."""
    values = {"address": address, "outcome": outcome, "seen_at": at.isoformat()}
    outbox.write("UPDATE device SET seen_at = :seen_at, outcome = :outcome WHERE address = :address", values)


def known(outbox: Outbox, device: str) -> Sheet | None:
    """The device's sheet. None: it was never heard."""
    rows = outbox.read(f"SELECT {_COLUMNS} FROM device WHERE device = ?", device)  # noqa: S608 - own names
    return _sheet(rows[0]) if rows else None


def batteries(outbox: Outbox) -> dict[str, int]:
    """Percent, of the devices that told it; of the last heard if there are very many."""
    query = "SELECT device, battery FROM device WHERE battery IS NOT NULL ORDER BY seen_at DESC LIMIT ?"
    return dict(outbox.read(query, MOST_BATTERIES))


def sheets(path: Path) -> list[Sheet]:
    """All sheets in the outbox file, the last seen first; works beside a running gateway. OutboxBroken."""
    with translated():
        database = connect(path, read_only=True)
        try:
            rows = database.execute(f"SELECT {_COLUMNS} FROM device ORDER BY seen_at DESC").fetchall()  # noqa: S608
        finally:
            database.close()
    return [_sheet(row) for row in rows]


def _sheet(row: tuple[Any, ...]) -> Sheet:
    values = dict(zip(Sheet.__struct_fields__, row, strict=True))
    return msgspec.convert({**values, "services": values["services"].split()}, Sheet, strict=False)

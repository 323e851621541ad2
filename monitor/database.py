"""The monitor's schema in the database it shares with ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yoyo

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def migrate(url: str) -> None:
    """Bring schema `monitor` up to date; nothing happens when it is."""
    backend = yoyo.get_backend(url.replace("postgresql://", "postgresql+psycopg://", 1), "_yoyo_monitor")
    try:
        with backend.lock():
            backend.apply_migrations(backend.to_apply(yoyo.read_migrations(str(MIGRATIONS))))
    finally:
        backend.connection.close()

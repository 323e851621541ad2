"""The monitor's door to the database it shares with ingest: its own migrations, ingest's pool."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

import psycopg

from ingest.database import apply_migrations, connect, open_pool, wait_for_database
from ingest.database import require_migrated as require_telemetry
from ingest.errors import DatabaseUnavailable, NotMigrated

__all__ = ["connect", "migrate", "open_pool", "require_migrated", "wait_for_database"]

MIGRATION_TABLE: Final = "monitor_migration"
_MIGRATE_LOCK: Final = 0x5F1D_0002
"""Advisory lock key: two processes that migrate at once take turns, and a killed one leaves nothing behind."""


def migrate(url: str) -> None:
    """Bring the schema `monitor` to this program's version; safe to repeat and to run twice at once.

    Errors: `ingest.errors.DatabaseUnavailable`; `psycopg.Error` of a statement that failed (nothing of it stays).
    """
    try:
        guard = psycopg.connect(url, autocommit=True)
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(str(error).strip()) from None
    with guard:
        guard.execute("SELECT pg_advisory_lock(%s)", (_MIGRATE_LOCK,))
        apply_migrations(url, room="monitor", table=MIGRATION_TABLE)


async def require_migrated(url: str) -> None:
    """Errors: `NotMigrated` where a migration of ingest or of the monitor was not applied; `DatabaseUnavailable`."""
    folder = files("monitor").joinpath("migrations")
    wanted = {entry.name.removesuffix(".sql") for entry in folder.iterdir() if entry.name.endswith(".sql")}
    async with await connect(url) as conn:
        await require_telemetry(conn)
        try:
            cursor = await conn.execute("SELECT migration_id FROM monitor_migration")
        except psycopg.errors.UndefinedTable:
            raise NotMigrated("schema monitor is missing: run `suifang-monitor migrate`") from None
        if missing := wanted - {row[0] for row in await cursor.fetchall()}:
            raise NotMigrated(f"migration {min(missing)} is not applied: run `suifang-monitor migrate`")

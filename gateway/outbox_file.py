"""The outbox's SQLite file: how it is opened, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Final

from gateway.errors import OutboxBroken, OutboxFull

VERSION: Final = 1
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "journal_size_limit=8388608")


@contextmanager
def translated() -> Iterator[None]:
    """SQLite's errors as the gateway's: a full disk is a full outbox, all else a broken one."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise OutboxFull(f"{error}") from error
        raise OutboxBroken(f"{error}") from error


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the file, made where it does not exist unless `read_only`. sqlite3.Error; OutboxBroken: its version."""
    mode = "ro" if read_only else "rwc"
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=5)
    try:
        if not read_only:
            for pragma in _PRAGMAS:
                database.execute(f"PRAGMA {pragma}").fetchall()
        _require_version(database, path, may_create=not read_only)
    except BaseException:
        database.close()
        raise
    return database


def _require_version(database: sqlite3.Connection, path: Path, *, may_create: bool) -> None:
    found = database.execute("PRAGMA user_version").fetchone()[0]
    if found == 0 and may_create:
        schema = resources.files("gateway").joinpath("outbox.sql").read_text(encoding="utf-8")
        database.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version={VERSION}; COMMIT;")
    elif found != VERSION:
        raise OutboxBroken(f"{path} has version {found}, this gateway speaks {VERSION}")

"""The outbox's SQLite file: how it is opened, and what its errors mean."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Final

from gateway.errors import OutboxBroken, OutboxFull

VERSION: Final = 3
_UPGRADES: Final[dict[int, tuple[str, ...]]] = {1: ("configuration",), 2: ("sensor",)}
"""By version: the tables that came with the next one. A table that is there is never altered, so that an older
gateway's file can be read as it is, and `outbox.sql` says all there is to say about each."""
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
    if found == VERSION or (found in _UPGRADES and not may_create):
        return
    schema = resources.files("gateway").joinpath("outbox.sql").read_text(encoding="utf-8")
    if found in _UPGRADES:
        new = [name for version in range(found, VERSION) for name in _UPGRADES[version]]
        schema = "\n".join(_table(schema, name) for name in new)
    elif found != 0 or not may_create:
        raise OutboxBroken(f"{path} has version {found}, this gateway speaks {VERSION}")
    database.executescript(f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version={VERSION}; COMMIT;")


def _table(schema: str, name: str) -> str:
    """Its CREATE TABLE."""
    found = re.search(rf"^CREATE TABLE {name} \(.+?^\) STRICT;", schema, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]

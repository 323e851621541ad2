"""The outbox's SQLite file: how it is opened and written, by one process, and what its errors mean."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Final

from gateway.errors import OutboxBroken, OutboxBusy, OutboxFull

VERSION: Final = 3
_UPGRADES: Final[dict[int, tuple[str, ...]]] = {1: ("configuration",), 2: ("sensor",)}
"""By version: the tables that came with the next one. A table that is there is never altered, so that an older
gateway's file can be read as it is, and `outbox.sql` says all there is to say about each."""
TRIES_A_FULL_DISK_AFTER: Final = timedelta(seconds=30)
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


class OutboxFile:
    """The file at `path`, locked for this process. OutboxBusy: another has it. OutboxBroken: it cannot be opened."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._disk_full_until: datetime | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutboxBroken(f"{path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise OutboxBusy(f"{path} is in use") from error
        try:
            with translated():
                self._database = connect(path)
        except OutboxBroken:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """What is in it stays."""
        self._database.close()
        os.close(self._lock)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it, on disk when this ends, or nothing. OutboxFull, OutboxBroken."""
        with translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException as error:
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                    self._disk_full_until = self._clock() + TRIES_A_FULL_DISK_AFTER
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def first(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        """The first row. OutboxBroken."""
        with translated():
            row: tuple[Any, ...] | None = self._database.execute(query, parameters).fetchone()
            return row

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows. OutboxBroken."""
        with translated():
            return self._database.execute(query, parameters).fetchall()

    @property
    def octets(self) -> int:
        """In use; pages that are free are used again."""
        pages, free, size = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    @property
    def on_full_disk(self) -> bool:
        """The disk was full lately."""
        until = self._disk_full_until
        return until is not None and self._clock() < until

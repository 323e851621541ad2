"""A connection that outlives its server: work is held and repeated until the database takes it.

While the database is away nothing is acknowledged, nothing is lost and one line is logged; another when it is back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import psycopg
import structlog
from psycopg import AsyncConnection

from ingest import database
from ingest.errors import IngestError

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_WRONG_STATE: Final = "25"
"""SQLSTATE class 25: a server that became a read-only standby, a transaction that cannot go on."""
_LIMIT_EXCEEDED: Final = "54"
"""SQLSTATE class 54, though psycopg counts it as operational: too long for an index, nested too deeply."""

_T = TypeVar("_T")

log = structlog.get_logger(__name__)


def is_about_the_server(error: Exception) -> bool:
    """True: another try may go well (server gone, disk full, schema missing). False: it is about the data."""
    state = (error.sqlstate or "") if isinstance(error, psycopg.Error) else ""
    if isinstance(error, (psycopg.OperationalError, psycopg.ProgrammingError, psycopg.InterfaceError, IngestError)):
        return not state.startswith(_LIMIT_EXCEEDED)
    return state.startswith(_WRONG_STATE)


class SteadyConnection:
    """One connection in autocommit mode, made when needed and made again when lost."""

    def __init__(self, url: str, *, on_lost: Callable[[], None] = lambda: None) -> None:
        """on_lost: called when a connection is gone, before the next is used."""
        self._url = url
        self._on_lost = on_lost
        self._conn: AsyncConnection | None = None

    async def run(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        """Do `work` until the server has taken it. `work` must be repeatable; errors about the data are raised."""
        pause, tries = _FIRST_PAUSE, 0
        while True:
            try:
                result = await work(await self._ready())
            except Exception as error:
                if not is_about_the_server(error):
                    raise
                await self.close()
                self._on_lost()
                tries += 1
                if tries == 1:
                    log.warning("database does not take the work, holding", detail=" ".join(str(error).split())[:300])
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                if tries:
                    log.info("database takes the work again", attempts=tries)
                return result

    async def close(self) -> None:
        """Also after an error: a connection in doubt is not used again."""
        if self._conn is not None:
            await self._conn.close()
            self._conn = None

    async def _ready(self) -> AsyncConnection:
        if self._conn is not None and self._conn.closed:
            self._conn = None
            self._on_lost()
        if self._conn is None:
            self._conn = await database.connect(self._url)
            await database.require_migrated(self._conn)
        return self._conn

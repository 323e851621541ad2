"""Which process takes which partition: a fair share each, held by advisory locks in the database of the cell.

The database is where two writers of one device would meet, so it is asked who may: a lock has one holder, ends with
its process, and needs no clock. Nothing that is stored depends on it, since repeats and strangers collapse by content;
without it a device would only change writers more often, at the price of deadlocks repeated.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
from psycopg import AsyncConnection

from ingest.named_sql import load
from ingest.steady import SteadyConnection

_QUERIES: Final = load("ingest", "sql/claims.sql")
_ROUND_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


class Claims:
    """A share of the partitions 0 to `count` - 1: `held` may be taken from now; `changed` says that it is another."""

    def __init__(self, database_url: str, count: int) -> None:
        self.held: frozenset[int] = frozenset()
        self.changed = asyncio.Event()
        self._count = count
        # processes that start together do not all try the same partition first
        self._order = random.sample(range(count), count)
        self._locked: set[int] = set()
        self._there = False
        self._database = SteadyConnection(database_url, on_lost=self._lose)

    async def keep(self, *, able: Callable[[], bool], busy: Callable[[int], bool]) -> None:
        """Look after the share until cancelled; what was claimed stays so until `close`.

        able: whether this process could take messages at all; otherwise it leaves its share to the others.
        busy: whether messages of a partition are still in hand; one that others wait for is given back after that.
        """
        while True:
            await self._database.run(partial(self._look, busy=busy) if able() else self._leave)
            await asyncio.sleep(_ROUND_SECONDS)

    async def close(self) -> None:
        """Give everything back."""
        await self._database.close()
        self._lose()

    async def _look(self, conn: AsyncConnection, *, busy: Callable[[int], bool]) -> None:
        if not self._there:
            await conn.execute(_QUERIES["notice_silence"])
            await conn.execute(_QUERIES["be_there"])
            self._there = True
        row = await (await conn.execute(_QUERIES["count_there"])).fetchone()
        assert row is not None
        fair = math.ceil(self._count / row[0])
        surplus = set(sorted(self._locked)[fair:])
        self._hold(self._locked - surplus)
        for partition in surplus:
            if not busy(partition):
                await conn.execute(_QUERIES["release"], {"partition": partition})
                self._locked.discard(partition)
        for partition in self._order:
            if len(self._locked) >= fair:
                break
            if partition not in self._locked and await _claimed(conn, partition):
                self._locked.add(partition)
        self._hold(self._locked - surplus)

    async def _leave(self, conn: AsyncConnection) -> None:
        if self._there:
            self._hold(set())
            await conn.execute(_QUERIES["leave"])
            self._lose()

    def _hold(self, partitions: set[int]) -> None:
        if self.held != partitions:
            self.held = frozenset(partitions)
            self.changed.set()
            log.info("partitions claimed", partitions=sorted(partitions), of=self._count)

    def _lose(self) -> None:
        self._there = False
        self._locked.clear()
        self._hold(set())


async def _claimed(conn: AsyncConnection, partition: int) -> bool:
    row = await (await conn.execute(_QUERIES["claim"], {"partition": partition})).fetchone()
    return row is not None and bool(row[0])

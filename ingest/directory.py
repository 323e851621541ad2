"""Names to surrogates: sources, devices and sessions get their row at first sight and are remembered in the process.

Rows are made in a statement of their own, before the batch's transaction, so that what is remembered is committed.
Forget everything when the connection was lost: behind a restored database the numbers may mean somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from psycopg import AsyncConnection

from ingest.named_sql import QUERIES

MOST_NAMES: Final = 200_000
"""Sessions come and go: beyond this everything is forgotten and asked anew."""


_SEEN_EVERY: Final = timedelta(seconds=30)


class Directory:
    """One a connection: a name that another writer forgot in the middle of a batch would be missed."""

    def __init__(self) -> None:
        self.sources: dict[tuple[str, str], int] = {}
        self.devices: dict[str, int] = {}
        self.sessions: dict[str, int] = {}
        self._registered: set[str] = set()
        self._seen: dict[str, datetime] = {}

    def forget(self) -> None:
        """After a lost connection."""
        self.sources.clear()
        self.devices.clear()
        self.sessions.clear()
        self._registered.clear()
        self._seen.clear()

    def unseen(self, devices: Iterable[str], now: datetime) -> list[str]:
        """Those that were not said to be seen in the last half minute: to be said at most so often, not each batch."""
        since = now - _SEEN_EVERY
        return [uid for uid in devices if not since < self._seen.get(uid, since) <= now]

    def saw(self, devices: Iterable[str], now: datetime) -> None:
        """Behind the commit that said so: an attempt that was rolled back said nothing."""
        self._seen.update(dict.fromkeys(devices, now))

    async def learn(
        self,
        conn: AsyncConnection,
        *,
        sources: Iterable[tuple[str, str]],
        devices: Iterable[str],
        sessions: Iterable[str],
        now: datetime,
    ) -> set[str]:
        """Know all these names afterwards; the devices that nobody registered (asked anew each time)."""
        if len(self.sessions) + len(self.devices) > MOST_NAMES:
            self.forget()
        if new_sources := [name for name in sources if name not in self.sources]:
            await self._learn_sources(conn, new_sources, now)
        if new_sessions := [uid for uid in sessions if uid not in self.sessions]:
            await conn.execute(QUERIES["add_sessions"], {"uids": new_sessions})
            cursor = await conn.execute(QUERIES["sessions"], {"uids": new_sessions})
            self.sessions |= dict(await cursor.fetchall())
        asked = [uid for uid in devices if uid not in self._registered]
        if not asked:
            return set()
        if new_devices := [uid for uid in asked if uid not in self.devices]:
            await conn.execute(QUERIES["add_devices"], {"uids": new_devices, "now": now})
        unregistered = set()
        for uid, device_id, registered in await (await conn.execute(QUERIES["devices"], {"uids": asked})).fetchall():
            self.devices[uid] = device_id
            if registered:
                self._registered.add(uid)
            else:
                unregistered.add(uid)
        return unregistered

    async def _learn_sources(self, conn: AsyncConnection, names: list[tuple[str, str]], now: datetime) -> None:
        parameters = {"sites": [site for site, _ in names], "sources": [source for _, source in names], "now": now}
        await conn.execute(QUERIES["add_sources"], parameters)
        for site, source, source_id in await (await conn.execute(QUERIES["sources"], parameters)).fetchall():
            self.sources[site, source] = source_id

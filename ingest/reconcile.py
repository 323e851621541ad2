"""The books: what each source sent a day, and what became of it. sent = stored + duplicate + refused, always."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from ingest.named_sql import QUERIES


class Line(NamedTuple):
    """One source and UTC day of reception; counts are of observations as delivered, repeats included.

    judged: of the stored ones. balanced: nothing is missing between sent and its parts."""

    site: str
    source: str
    day: date
    messages: int
    sent: int
    stored: int
    duplicate: int
    refused: int
    judged: int

    @property
    def balanced(self) -> bool:
        """Nothing is missing."""
        return self.sent == self.stored + self.duplicate + self.refused


async def reconcile(conn: AsyncConnection, *, since: date | None = None) -> list[Line]:
    """By day, site and source."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(QUERIES["reconcile"], {"since": since})
        return [Line(*row) for row in await cursor.fetchall()]

"""The books: what each source sent a day, and what became of it: sent = stored + duplicate + refused, stored = judged.

The books are also held against what is there: the rows of the table, the quarantine, the batches and their touches.
What does not add up is a `Difference` with a name.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection
from psycopg.rows import tuple_row

from ingest.named_sql import QUERIES, load

JUDGED_WITHIN: Final = timedelta(hours=1)
"""What is stored and not judged is a difference after this; before, it is on its way. Ours."""

_SQL: Final = load("ingest", "sql/reconcile.sql")


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


class What(enum.StrEnum):
    """What does not add up. expected → found."""

    SENT_UNACCOUNTED = "sent-unaccounted"
    """Sent → stored, duplicate and refused together."""

    STORED_WITHOUT_BATCH = "stored-without-batch"
    """Stored by the account → stored by its batches: a batch is gone."""

    ROWS_MISSING = "rows-missing"
    """Stored by a batch → its rows in the table."""

    TOUCHES_MISSING = "touches-missing"
    """Stored by a batch → by its touches: the judge cannot find the rest."""

    QUARANTINE_MISSING = "quarantine-missing"
    """Refused by the account, all days → times kept in quarantine less what was replayed."""

    NOT_JUDGED = "not-judged"
    """Stored longer ago than `JUDGED_WITHIN` → judged of that (0)."""


class Kept(NamedTuple):
    """How long what the books are held against is kept; None: for ever."""

    batches: timedelta | None = None
    quarantine: timedelta | None = None


class Difference(NamedTuple):
    """day None: over all days. batch_id: the batch concerned, the oldest of several."""

    what: What
    site: str | None
    source: str | None
    day: date | None
    batch_id: int | None
    expected: int
    found: int


async def reconcile(conn: AsyncConnection, *, since: date | None = None) -> list[Line]:
    """By day, site and source."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(QUERIES["reconcile"], {"since": since})
        return [Line(*row) for row in await cursor.fetchall()]


async def differences(
    conn: AsyncConnection,
    *,
    now: datetime,
    since: date | None = None,
    judged_within: timedelta = JUDGED_WITHIN,
    kept: Kept = Kept(),  # noqa: B008 - a value
) -> list[Difference]:
    """Everything that does not add up, by name. Reads each batch's rows by the key: bound it with `since`.

    What retention removed cannot be held against the books any more: readings by its own word (`telemetry.let_go`),
    batches and quarantine by `kept`.
    """
    found = [
        Difference(What.SENT_UNACCOUNTED, line.site, line.source, line.day, None, line.sent, _accounted(line))
        for line in await reconcile(conn, since=since)
        if not line.balanced
    ]
    first = since
    if kept.batches is not None:
        # whole days of which no batch has been let go
        whole = (now - kept.batches).date() + timedelta(days=1)
        first = whole if since is None else max(since, whole)
    for site, source, day, stored, batched in await _rows(conn, "unbatched", {"since": first}):
        found.append(Difference(What.STORED_WITHOUT_BATCH, site, source, day, None, stored, batched))
    for batch_id, stored, touched, rows, site, source, day in await _rows(conn, "batches_short", {"since": since}):
        what, there = (What.TOUCHES_MISSING, touched) if touched != stored else (What.ROWS_MISSING, rows)
        found.append(Difference(what, site, source, day, batch_id, stored, there))
    for site, source, refused, quarantined in await _rows(conn, "unquarantined", {}):
        if kept.quarantine is None or quarantined > refused:
            found.append(Difference(What.QUARANTINE_MISSING, site, source, None, None, refused, quarantined))
    about = {"before": now - judged_within, "since": since}
    for site, source, day, stored, batch_id in await _rows(conn, "unjudged_since", about):
        found.append(Difference(What.NOT_JUDGED, site, source, day, batch_id, stored, 0))
    return found


def _accounted(line: Line) -> int:
    return line.stored + line.duplicate + line.refused


async def _rows(conn: AsyncConnection, name: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL[name], parameters)
        return await cursor.fetchall()

"""The write into the one unique key: exact, and as near to a bare COPY as an index allows.

Optimistic: the batch goes straight into the table, in a savepoint. Only when a row is there already are the same bytes
staged in a temporary table and merged, and then every row's fate is known: stored, repeated, or another reading under
a key that is taken. Measured: the optimistic way costs nothing, staging alone is half as fast.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final, NamedTuple

from psycopg import AsyncConnection, errors, sql

from devices.observation import Fact
from ingest.named_sql import QUERIES
from ingest.rows import COLUMNS, HEADER, TRAILER, Entry, pack

_COLUMN_LIST: Final = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_INTO_TABLE: Final = sql.SQL("COPY telemetry.observation ({}) FROM STDIN (FORMAT binary)").format(_COLUMN_LIST)
_INTO_STAGE: Final = sql.SQL("COPY observation_stage ({}) FROM STDIN (FORMAT binary)").format(_COLUMN_LIST)
_UNREGISTERED: Final = int(Fact.UNREGISTERED_DEVICE)


class Fate(enum.IntEnum):
    """What became of one row."""

    STORED = 0
    DUPLICATE = 1
    CONFLICT = 2


class Written(NamedTuple):
    """The fate of each row by its ordinal; `staged`: the optimistic way met a repeat."""

    fates: list[Fate]
    staged: bool


async def write(
    conn: AsyncConnection, entries: Sequence[Entry], batch_id: int, *, unregistered: frozenset[int] = frozenset()
) -> Written:
    """Store `entries` (any order; ordinals 0..n-1) inside the caller's transaction.

    The first delivery wins, within the batch too. unregistered: device_ids whose rows carry that fact.
    Errors: `psycopg.Error`; struct.error for a number that fits no column.
    """
    fates = [Fate.STORED] * len(entries)
    if not entries:
        return Written(fates, staged=False)
    ordered = sorted(entries)
    repeats = {position for position in range(1, len(ordered)) if ordered[position][:4] == ordered[position - 1][:4]}
    packed = [
        pack(
            entry,
            batch_id,
            entry.row.facts | _UNREGISTERED if entry.device_id in unregistered else entry.row.facts,
        )
        for entry in ordered
    ]
    firsts = packed if not repeats else [item for position, item in enumerate(packed) if position not in repeats]
    try:
        async with conn.transaction():
            await _copy(conn, _INTO_TABLE, firsts)
    except errors.UniqueViolation:
        for position, fate in (await _merge(conn, packed, repeats)).items():
            fates[ordered[position].ordinal] = fate
        return Written(fates, staged=True)
    kept = ordered[0]
    for position, entry in enumerate(ordered):
        if position in repeats:
            fates[entry.ordinal] = _repeat(kept, entry)
        else:
            kept = entry
    return Written(fates, staged=False)


def _repeat(kept: Entry, again: Entry) -> Fate:
    one, two = kept.row, again.row
    same = (one.unit, one.absent, one.user_slot) == (two.unit, two.absent, two.user_slot) and _padded(
        one.values
    ) == _padded(two.values)
    return Fate.DUPLICATE if same else Fate.CONFLICT


def _padded(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """As the columns v0 to v3 hold them: a value not sent is NULL."""
    return values if len(values) >= 4 else values + (None,) * (4 - len(values))


async def _copy(conn: AsyncConnection, statement: sql.Composed, packed: Sequence[bytes]) -> None:
    async with conn.cursor() as cursor, cursor.copy(statement) as copy:
        await copy.write(b"".join((HEADER, *packed, TRAILER)))


async def _merge(conn: AsyncConnection, packed: Sequence[bytes], repeats: set[int]) -> dict[int, Fate]:
    """Position → fate, for the rows that were not stored. `repeats`: positions with the key of the one before."""
    await conn.execute(QUERIES["make_stage"])
    await _copy(conn, _INTO_STAGE, packed)
    row = await (await conn.execute(QUERIES["stage_begin"])).fetchone()
    assert row is not None
    first_ordinal, first, last = row
    cursor = await conn.execute(QUERIES["stage_into_observation"])
    kept_out = {ordinal for (ordinal,) in await cursor.fetchall()} | {first_ordinal + position for position in repeats}
    if not kept_out:
        return {}
    cursor = await conn.execute(QUERIES["stage_compare"], {"ordinals": list(kept_out), "first": first, "last": last})
    return {
        ordinal - first_ordinal: Fate.CONFLICT if other else Fate.DUPLICATE
        for ordinal, other in await cursor.fetchall()
    }

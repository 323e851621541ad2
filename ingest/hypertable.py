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

from ingest.named_sql import QUERIES
from ingest.placing import Placed
from ingest.rows import COLUMNS, HEADER, TRAILER

_COLUMN_LIST: Final = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_INTO_TABLE: Final = sql.SQL("COPY telemetry.observation ({}) FROM STDIN (FORMAT binary)").format(_COLUMN_LIST)
_INTO_STAGE: Final = sql.SQL("COPY observation_stage ({}) FROM STDIN (FORMAT binary)").format(_COLUMN_LIST)


SAVEPOINT: Final = "rows"
"""What the optimistic way falls back to; set together with what else goes before the rows, to save a round trip."""


class Fate(enum.IntEnum):
    """What became of one row."""

    STORED = 0
    DUPLICATE = 1
    CONFLICT = 2


class Written(NamedTuple):
    """The fate of each row that was not stored, by its ordinal; `staged`: the optimistic way met a repeat."""

    fates: dict[int, Fate]
    staged: bool


async def write(conn: AsyncConnection, placed: Placed) -> Written:
    """Store these rows in the caller's transaction, after its savepoint. The first delivery wins, in the batch too.

    Errors: `psycopg.Error`; `SerializationFailure` also where the row that kept one out is gone: another try stores it.
    """
    if not placed.packed:
        return Written({}, staged=False)
    try:
        await _copy(conn, _INTO_TABLE, [placed.packed[ordinal] for ordinal in placed.order.tolist()])
    except errors.UniqueViolation:
        await conn.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")
        turns = placed.in_turn()
        order = turns.order.tolist()
        fates = await _merge(conn, [placed.packed[ordinal] for ordinal in order], turns.repeated())
        return Written({order[position]: fate for position, fate in fates.items()}, staged=True)
    return Written({}, staged=False)


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
    fates = {
        ordinal - first_ordinal: Fate.CONFLICT if other else Fate.DUPLICATE
        for ordinal, other in await cursor.fetchall()
    }
    if len(fates) != len(kept_out):
        raise errors.SerializationFailure("a row that kept another out was let go meanwhile")
    return fates

"""One transaction of ingest: observations, batch, touches, accounts, quarantine and NOTIFY together or not at all.

`store` runs one attempt. `store_with_retry` repeats it where the server asked for that (a deadlock between writers, a
serialization failure); nothing but time is lost, since identity comes from content.
"""

from __future__ import annotations

import asyncio
import enum
import random
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from psycopg import AsyncConnection, Error, errors

from devices.message import Reason, Receipt, Remark
from ingest import bookkeeping, columns, hypertable, identity, quarantine
from ingest.bookkeeping import Batch, Counts
from ingest.columns import Rows
from ingest.directory import Directory
from ingest.hypertable import Fate
from ingest.intake import Intake
from ingest.named_sql import QUERIES
from ingest.packing import Integers
from ingest.placing import NOWHERE, Placed, place

MOST_ATTEMPTS: Final = 20

_first: Final = attrgetter("first")


Settle = Callable[[AsyncConnection, Receipt, Sequence[quarantine.Refusal]], Awaitable[None]]
"""What stands in the place of the books where a message was counted when it first came (`ingest.replay`): called in the
transaction, once the fate of each observation is known. What it raises undoes all of it."""


class UnknownDevices(enum.StrEnum):
    """What to do with readings of a device that nobody registered."""

    STORE = "store"
    REFUSE = "refuse"


class Stored(NamedTuple):
    """One receipt a message, in order; batch_id None: nothing new was stored. attempts: 1 without deadlocks."""

    receipts: list[Receipt]
    batch_id: int | None
    stored: int
    duplicate: int
    refused: int
    attempts: int
    staged: bool


@dataclass(slots=True)
class _Tally:
    """What became of one message in this attempt. An attempt must not change the `Intake`: it may be repeated."""

    intake: Intake
    rows: Rows
    first: int = 0
    """The ordinal of its first row in the batch."""
    stored: int = 0
    duplicate: int = 0
    refused: tuple[Remark, ...] = ()
    notices: tuple[Remark, ...] = ()
    refusals: list[quarantine.Refusal] | None = None

    def counts(self) -> Counts:
        """For the books. Only of a message whose topic was understood."""
        intake = self.intake
        assert intake.topic is not None
        source = (intake.topic.site, intake.topic.source)
        numbers = (1, intake.sent, self.stored, self.duplicate, len(self.refused))
        return Counts(source, intake.received_at.date(), intake.devices, numbers)

    def receipt(self) -> Receipt:
        return Receipt(
            message_id=self.intake.message_id,
            payload_sha256=self.intake.payload_sha256,
            received_at=self.intake.received_at,
            stored=self.stored,
            duplicate=self.duplicate,
            refused=self.refused,
            notices=self.notices,
        )


async def store_with_retry(
    conn: AsyncConnection,
    directory: Directory,
    intakes: Sequence[Intake],
    *,
    now: datetime,
    unknown_devices: UnknownDevices = UnknownDevices.STORE,
    settle: Settle | None = None,
) -> Stored:
    """Commit these messages. Errors: `psycopg.Error` where the server refuses or is gone; then nothing is stored."""
    for attempt in range(1, MOST_ATTEMPTS):
        try:
            stored = await store(conn, directory, intakes, now=now, unknown_devices=unknown_devices, settle=settle)
        except (errors.DeadlockDetected, errors.SerializationFailure):
            await asyncio.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311 - so that two do not meet again
        else:
            return stored._replace(attempts=attempt)
    return await store(conn, directory, intakes, now=now, unknown_devices=unknown_devices, settle=settle)


async def store(
    conn: AsyncConnection,
    directory: Directory,
    intakes: Sequence[Intake],
    *,
    now: datetime,
    unknown_devices: UnknownDevices = UnknownDevices.STORE,
    settle: Settle | None = None,
) -> Stored:
    """One attempt, on a connection in autocommit mode. settle: for one message, in the place of the books."""
    unregistered = await directory.learn(
        conn,
        sources={(i.topic.site, i.topic.source) for i in intakes if i.topic is not None},
        devices=set().union(*(intake.devices for intake in intakes)),
        sessions=set().union(*(intake.sessions for intake in intakes)),
        now=now,
    )
    tallies = [
        _Tally(i, i.rows, refused=tuple(i.refused), notices=tuple(i.notices), refusals=i.refusals()) for i in intakes
    ]
    if unregistered:
        for tally in tallies:
            _remark_unregistered(tally, unregistered, refuse=unknown_devices is UnknownDevices.REFUSE)
    first = 0
    for tally in tallies:
        if unknown_devices is UnknownDevices.REFUSE and not unregistered.isdisjoint(tally.intake.devices):
            tally.rows = tally.rows.without(unregistered)
        tally.first, tally.stored = first, len(tally.rows)
        first += tally.stored
    rows = columns.joined([tally.rows for tally in tallies if len(tally.rows)])
    try:
        firsts = [tally.first for tally in tallies]
        written, batch_id, placed = await _write_rows(conn, directory, rows, unregistered, firsts)
        for ordinal, fate in sorted(written.fates.items()):
            owner = tallies[bisect_right(tallies, ordinal, key=_first) - 1]
            owner.stored -= 1
            if fate is Fate.DUPLICATE:
                owner.duplicate += 1
            else:
                _refuse_reused(owner, rows.items[ordinal])
        stored = sum(tally.stored for tally in tallies)
        duplicate = sum(tally.duplicate for tally in tallies)
        refused = sum(len(tally.refused) for tally in tallies)
        if settle is not None:
            (tally,) = tallies
            await settle(conn, tally.receipt(), tally.refusals or ())
        # one way there and back for all that follows, the commit included
        async with conn.pipeline():
            if settle is None:
                await quarantine.keep(conn, [refusal for tally in tallies for refusal in tally.refusals or ()])
            if stored:
                batch = Batch(batch_id, now, len(intakes), stored, duplicate, refused)
                await bookkeeping.add_batch(conn, directory, batch, rows=rows, placed=placed, kept_out=written.fates)
            counts = [tally.counts() for tally in tallies if tally.intake.topic is not None]
            seen = await bookkeeping.add_accounts(conn, directory, counts, batch_id, now, accounted=settle is None)
            await conn.execute("COMMIT")
    except BaseException:
        await _roll_back(conn)
        raise
    directory.saw(seen, now)
    return Stored(
        [tally.receipt() for tally in tallies],
        batch_id if stored else None,
        stored,
        duplicate,
        refused,
        1,
        written.staged,
    )


def _remark_unregistered(tally: _Tally, unregistered: set[str], *, refuse: bool) -> None:
    """A refused reading is kept whole; a stored one is noticed once a device and message."""
    if unregistered.isdisjoint(tally.intake.devices):
        return
    rows = tally.intake.rows
    if refuse:
        for item, device in zip(rows.items, rows.devices, strict=True):
            if device in unregistered:
                _refuse(tally, item, Remark(item, "device", Reason.UNKNOWN_DEVICE, "nobody registered this device"))
        return
    for device in sorted(unregistered & tally.intake.devices, key=rows.devices.index):
        item = rows.items[rows.devices.index(device)]
        remark = Remark(item, "device", Reason.UNREGISTERED_DEVICE, "stored; nobody registered this device")
        tally.notices += (remark,)


def _refuse_reused(tally: _Tally, item: int) -> None:
    detail = "another reading is stored with this device, kind, device time and record number"
    _refuse(tally, item, Remark(item, "record_no", Reason.RECORD_REUSED, detail))


def _refuse(tally: _Tally, item: int, remark: Remark) -> None:
    intake = tally.intake
    tally.refused += (remark,)
    assert tally.refusals is not None
    tally.refusals.append(
        quarantine.Refusal(
            intake.received_at,
            intake.topic_text,
            intake.message_id,
            item,
            intake.content(item),
            remark.field,
            remark.reason,
            remark.detail,
        )
    )


async def _write_rows(
    conn: AsyncConnection, directory: Directory, rows: Rows, unregistered: set[str], firsts: Sequence[int]
) -> tuple[hypertable.Written, int, Placed]:
    """Begins the transaction."""
    if not len(rows):
        await conn.execute("BEGIN")
        return hypertable.Written({}, staged=False), 0, NOWHERE
    numbers = directory.devices
    device_ids: Integers = np.fromiter((numbers[uid] for uid in rows.devices), np.int64, len(rows))
    async with conn.pipeline():
        await conn.execute("BEGIN")
        numbered = await conn.execute(QUERIES["next_batch"])
        identities = await identity.decide(conn, rows, device_ids)
        found = await numbered.fetchone()
    assert found is not None
    batch_id: int = found[0]
    placed = place(
        rows,
        device_ids,
        identities,
        batch_id=batch_id,
        sessions=directory.sessions,
        unregistered={directory.devices[uid] for uid in unregistered},
        firsts=firsts,
    )
    return await hypertable.write(conn, placed), batch_id, placed


async def _roll_back(conn: AsyncConnection) -> None:
    if conn.closed:
        return
    try:
        await conn.rollback()
    except Error:  # the first error is the one to tell; the next batch must not join what is left of this one
        await conn.close()

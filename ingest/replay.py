"""What was quarantined once more: after a device was registered, a kind was added, an operator decided.

A replay is one transaction: the readings, the row of the quarantine and the books go together, so that it can be broken
off, repeated and done twice at once. It counts nothing twice: what was counted as refused on the day it came moves to
stored or duplicate there. A whole message that this program can read now is taken apart: each of its observations gets
a fate of its own, and those that are refused get rows of their own.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import psycopg
from psycopg import AsyncConnection

from devices.message import Reason, Receipt, Remark
from ingest import commit, intake, quarantine, steady
from ingest.commit import UnknownDevices
from ingest.directory import Directory
from ingest.intake import Intake
from ingest.named_sql import QUERIES
from ingest.quarantine import Kept, Refusal


class Replayed(enum.StrEnum):
    """What a replay did."""

    STORED = "stored"
    DUPLICATE = "duplicate"
    TAKEN_APART = "taken-apart"
    """A whole message or series that can be read now: its observations each have a fate."""

    STILL_REFUSED = "still-refused"
    NOT_AN_OBSERVATION = "not-an-observation"
    """A whole message that cannot be taken apart: its source must send it again, mended."""

    ALREADY_RESOLVED = "already-resolved"
    """By somebody else, meanwhile."""


class Outcome(NamedTuple):
    """refused: why it is still refused, or which of the observations taken apart are."""

    replayed: Replayed
    stored: int = 0
    duplicate: int = 0
    refused: tuple[Remark, ...] = ()


class _NothingToSettle(Exception):
    """What the transaction found out, so that it must leave nothing."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.replayed.value)
        self.outcome = outcome


async def replay(
    conn: AsyncConnection,
    directory: Directory,
    kept: Kept,
    *,
    limits: intake.Limits,
    now: datetime,
    unknown_devices: UnknownDevices = UnknownDevices.STORE,
) -> Outcome:
    """Try one quarantined row again, on a connection in autocommit mode.

    Its time is judged against `limits` at its own reception: widen them to let a distant time in. Errors:
    `psycopg.Error` where the server does not take it; then nothing has changed.
    """
    again = _taken_again(kept, limits)
    is_one = kept.item >= 0 and again.sent == 1
    if again.topic is None or any(remark.index < 0 for remark in again.refused) or (is_one and again.refused):
        replayed = Replayed.NOT_AN_OBSERVATION if kept.item < 0 else Replayed.STILL_REFUSED
        return Outcome(replayed, refused=tuple(again.refused))
    outcome = Outcome(Replayed.ALREADY_RESOLVED)

    async def settle(conn: AsyncConnection, receipt: Receipt, refusals: Sequence[Refusal]) -> None:
        nonlocal outcome
        if is_one and receipt.refused:
            raise _NothingToSettle(Outcome(Replayed.STILL_REFUSED, refused=receipt.refused))
        replayed = Replayed.TAKEN_APART
        if is_one:
            replayed = Replayed.STORED if receipt.stored else Replayed.DUPLICATE
        outcome = Outcome(replayed, receipt.stored, receipt.duplicate, receipt.refused)
        await _move(conn, kept, outcome, refusals, now)

    try:
        await commit.store_with_retry(conn, directory, [again], now=now, unknown_devices=unknown_devices, settle=settle)
    except _NothingToSettle as found:
        return found.outcome
    except psycopg.Error as error:
        if steady.is_about_the_server(error):
            raise
        detail = f"{type(error).__name__}: the database cannot store it"
        return Outcome(Replayed.STILL_REFUSED, refused=(Remark(kept.item, "payload", Reason.NOT_STORABLE, detail),))
    return outcome


def _taken_again(kept: Kept, limits: intake.Limits) -> Intake:
    """As if it came now, but judged at its own reception; one observation or series as a message of its own."""
    payload = kept.content
    if kept.item >= 0:
        member = b"series" if b'"measured_us"' in payload else b"observations"
        payload = b'{"message_id":"replay","sent_at":"2000-01-01T00:00:00Z","%b":[%b]}' % (member, payload)
    again = intake.take(kept.topic, payload, kept.received_at, limits)
    again.message_id = kept.message_id
    return again


async def _move(
    conn: AsyncConnection, kept: Kept, outcome: Outcome, refusals: Sequence[Refusal], now: datetime
) -> None:
    """In the transaction that stores: the row is resolved, the books move, what is refused gets rows of its own."""
    await quarantine.keep(conn, refusals)
    resolution = f"replayed: {outcome.replayed}"
    if not await quarantine.resolve(conn, kept.quarantine_id, resolution=resolution, now=now):
        raise _NothingToSettle(Outcome(Replayed.ALREADY_RESOLVED))
    _, _, site, source, _ = kept.topic.split("/")
    await conn.execute(
        QUERIES["move_account"],
        {
            "site": site,
            "source": source,
            "day": kept.received_at.date(),
            "stored": outcome.stored,
            "duplicate": outcome.duplicate,
            "refused": len(outcome.refused),
        },
    )

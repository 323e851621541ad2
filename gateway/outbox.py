"""The outbox: what was heard stays on this disk until the receiver says that it has it.

A put is one transaction, committed and synced before it returns; then the device may be told "received". Observations
leave in messages whose id and contents never change. They are forgotten on a receipt alone: stored, duplicate and
refused are all durable at the receiver. One process, one thread; `changed` is set whenever something may be due.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec

from devices.message import MOST_BYTES, Receipt, digest, encode_kept
from devices.observation import Observation
from gateway.errors import OutboxBroken, OutboxBusy, OutboxFull
from gateway.outbox_file import connect, translated
from gateway.outbox_held import Held
from gateway.receipts import Refused, Settlement, judge

MOST_ODDITIES: Final = 10_000
"""Unreadable frames kept; a broken device must not fill the disk. The oldest go first."""

_ENVELOPE_OCTETS: Final = 1024
"""More than a message has around its observations."""

_PUT: Final = "INSERT INTO observation (body, put_at) VALUES (?, ?)"

TRIES_A_FULL_DISK_AFTER: Final = timedelta(seconds=30)


class Mark(NamedTuple):
    """The last numbered record of a device's service that is on this disk. stamp: its time, as the device wrote it."""

    device: str
    service: str
    sequence: int
    stamp: str


class Parcel(NamedTuple):
    """A message ready to be sent; `payload` is the same at each attempt, `size` counts its observations."""

    message_id: str
    payload: bytes
    size: int
    attempts: int


class Figures(NamedTuple):
    """How much is kept. backlog: observations; octets: in use; oldest_at: when the oldest of the backlog was put."""

    backlog: int
    in_flight: int
    oldest_at: datetime | None
    octets: int
    most_octets: int
    refused: int
    oddities: int
    full: bool
    """Nothing new is accepted."""


class _Flight(NamedTuple):
    attempts: int
    again_at: datetime | None


def utc_now() -> datetime:
    """The real time."""
    return datetime.now(UTC)


def new_id() -> str:
    """A message id that nobody else makes."""
    return uuid.uuid4().hex


class Outbox:
    """The SQLite file at `path`. OutboxBusy: another process has it. OutboxBroken: it cannot be opened.

    most_octets: size limit of the file.  most_together: observations a message.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], datetime] = utc_now,
        most_octets: int = 256 * 1024 * 1024,
        most_together: int = 100,
        ids: Callable[[], str] = new_id,
    ) -> None:
        self._clock = clock
        self._most_octets = most_octets
        self._most_together = most_together
        self._ids = ids
        self._held = Held()
        self._flights: dict[str, _Flight] = {}
        self._digests: dict[str, str] = {}
        self._disk_full_until: datetime | None = None
        self.changed = asyncio.Event()
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
        """Close the file; what is in it stays."""
        self._database.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- from the devices

    def put(self, observations: Sequence[Observation], mark: Mark | None = None) -> None:
        """Keep, and move the device's mark, in one transaction. OutboxFull: nothing was kept."""
        now = self._clock().isoformat()
        with self._transaction() as database:
            self._require_room()
            database.executemany(_PUT, [(msgspec.json.encode(observation), now) for observation in observations])
            if mark is not None:
                database.execute("INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?)", mark)
        self.changed.set()

    def hold(self, observation: Observation, until: datetime) -> int:
        """Keep, and send it only when it is complete, let go, or that time has come; its row. OutboxFull.

        A first part that comes again while it is held is the same row.
        """
        row = self._held.same(observation)
        if row is None:
            with self._transaction() as database:
                self._require_room()
                row = database.execute(_PUT, (msgspec.json.encode(observation), self._clock().isoformat())).lastrowid
            assert row is not None
        self._held.add(row, observation, until)
        return row

    def complete(self, row: int, observation: Observation) -> bool:
        """Put the whole in place of what is held. False: it is held no more. OutboxFull: it is held on."""
        if not self._held.waits(row):
            return False
        with self._transaction() as database:
            database.execute("UPDATE observation SET body = ? WHERE id = ?", (msgspec.json.encode(observation), row))
        self.let_go(row)
        return True

    def let_go(self, row: int) -> None:
        """What is held may be sent as it is."""
        self._held.let_go(row)
        self.changed.set()

    def let_all_go(self) -> None:
        """So may all that is held."""
        self._held.let_all_go()
        self.changed.set()

    def mark(self, device: str, service: str) -> Mark | None:
        """How far this device's records are kept. None: not at all."""
        row = self._one("SELECT * FROM mark WHERE device = ? AND service = ?", device, service)
        return None if row is None else Mark(*row)

    def odd(self, device: str, characteristic: str, frame: bytes, field: str, reason: str) -> None:
        """Keep a frame that could not be read. OutboxFull."""
        with self._transaction() as database:
            database.execute(
                "INSERT INTO oddity (device, characteristic, frame, field, reason, heard_at) VALUES (?, ?, ?, ?, ?, ?)",
                (device, characteristic, frame, field, reason, self._clock().isoformat()),
            )
            database.execute("DELETE FROM oddity WHERE id <= (SELECT max(id) FROM oddity) - ?", (MOST_ODDITIES,))

    # -- to the receiver

    def due(self, now: datetime, most: int) -> list[Parcel]:
        """Up to `most` messages to send at `now`, oldest first; observations not yet in a message are grouped here."""
        rows = self._all("SELECT id, message_id, made_at FROM message ORDER BY id")
        ready = [row for row in rows if self._is_ready(row[1], now)][:most]
        while len(ready) < most and (row := self._group(now)) is not None:
            ready.append(row)
        parcels = []
        for number, message_id, made_at in ready:
            payload, size = self._payload(number, message_id, made_at)
            flight = self._flights.get(message_id, _Flight(0, None))
            self._digests[digest(payload)] = message_id
            parcels.append(Parcel(message_id, payload, size, flight.attempts))
        return parcels

    def sent(self, message_id: str, again_at: datetime) -> None:
        """It is on its way; without a receipt it is due again at `again_at`. Not on disk: a restart re-sends."""
        attempts = self._flights.get(message_id, _Flight(0, None)).attempts
        self._flights[message_id] = _Flight(attempts + 1, again_at)

    def unsent(self, message_id: str) -> None:
        """It did not leave after all: due at once."""
        attempts = self._flights.get(message_id, _Flight(0, None)).attempts
        self._flights[message_id] = _Flight(attempts, None)

    def in_flight(self, now: datetime) -> int:
        """Messages that wait for their receipt."""
        return sum(1 for flight in self._flights.values() if flight.again_at is not None and flight.again_at > now)

    def next_due(self) -> datetime | None:
        """When the first message in flight is due again. None: none is in flight."""
        return min((flight.again_at for flight in self._flights.values() if flight.again_at is not None), default=None)

    def settle(self, receipt: Receipt) -> Settlement:
        """Forget what the receiver has, keep what it refused for the operator; one transaction."""
        message_id = receipt.message_id
        row = self._one("SELECT id FROM message WHERE message_id = ?", message_id)
        if row is None:
            message_id = self._digests.get(receipt.payload_sha256, "")
            row = self._one("SELECT id FROM message WHERE message_id = ?", message_id)
        if row is None:
            return Settlement.UNKNOWN
        bodies = self._all("SELECT body FROM observation WHERE message = ? ORDER BY id", row[0])
        verdict = judge(receipt, len(bodies))
        if not isinstance(verdict, list):
            return verdict
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO refusal (message_id, position, field, reason, detail, body, refused_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [self._refusal(message_id, refused, bodies[refused.position][0]) for refused in verdict],
            )
            database.execute("DELETE FROM observation WHERE message = ?", row)
            database.execute("DELETE FROM message WHERE id = ?", row)
        self._flights.pop(message_id, None)
        self._digests = {key: value for key, value in self._digests.items() if value != message_id}
        self.changed.set()
        return Settlement.SETTLED

    @property
    def full(self) -> bool:
        """Is nothing new accepted? At the size limit, and for a while after the disk was full."""
        until = self._disk_full_until
        return self._octets() >= self._most_octets or (until is not None and self._clock() < until)

    def figures(self) -> Figures:
        """How full it is."""
        backlog, oldest = self._one("SELECT count(*), min(put_at) FROM observation") or (0, None)
        return Figures(
            backlog=backlog,
            in_flight=self.in_flight(self._clock()),
            oldest_at=None if oldest is None else datetime.fromisoformat(oldest),
            octets=self._octets(),
            most_octets=self._most_octets,
            refused=(self._one("SELECT count(*) FROM refusal") or (0,))[0],
            oddities=(self._one("SELECT count(*) FROM oddity") or (0,))[0],
            full=self.full,
        )

    def write(self, statement: str, *rows: Mapping[str, Any]) -> None:
        """A statement of a neighbour with tables in the same file (`gateway.roster`), once a row. OutboxFull."""
        with self._transaction() as database:
            database.executemany(statement, rows)

    def read(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of such a neighbour."""
        return self._all(query, *parameters)

    # -- inside

    def _is_ready(self, message_id: str, now: datetime) -> bool:
        again_at = self._flights.get(message_id, _Flight(0, None)).again_at
        return again_at is None or again_at <= now

    def _group(self, now: datetime) -> tuple[int, str, str] | None:
        """Make a message of the oldest observations without one."""
        rows: list[tuple[int]] = []
        octets = 0
        held = self._held.rows(now)
        for number, length in self._all(
            "SELECT id, length(body) FROM observation WHERE message IS NULL ORDER BY id LIMIT ?",
            self._most_together + len(held),
        ):
            if number in held:
                continue
            octets += length + 1
            if len(rows) == self._most_together or (rows and octets > MOST_BYTES - _ENVELOPE_OCTETS):
                break
            rows.append((number,))
        if not rows:
            return None
        message_id, made_at = self._ids(), now.astimezone(UTC).isoformat()
        with self._transaction() as database:
            cursor = database.execute("INSERT INTO message (message_id, made_at) VALUES (?, ?)", (message_id, made_at))
            message = cursor.lastrowid
            assert message is not None
            database.executemany("UPDATE observation SET message = ? WHERE id = ?", [(message, row[0]) for row in rows])
        return message, message_id, made_at

    def _payload(self, number: int, message_id: str, made_at: str) -> tuple[bytes, int]:
        bodies = [row[0] for row in self._all("SELECT body FROM observation WHERE message = ? ORDER BY id", number)]
        return encode_kept(message_id, datetime.fromisoformat(made_at), bodies), len(bodies)

    def _refusal(self, message_id: str, refused: Refused, body: bytes) -> tuple[Any, ...]:
        return (message_id, *refused, body, self._clock().isoformat())

    def _require_room(self) -> None:
        if self._octets() >= self._most_octets:
            raise OutboxFull

    def _octets(self) -> int:
        pages, free, size = (
            self._database.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
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

    def _one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        with translated():
            row: tuple[Any, ...] | None = self._database.execute(query, parameters).fetchone()
            return row

    def _all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with translated():
            return self._database.execute(query, parameters).fetchall()

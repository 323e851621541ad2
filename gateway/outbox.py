"""The outbox: what was heard stays on this disk until the receiver says that it has it.

A put is one transaction, committed and synced before it returns; then the device may be told "received". Observations
leave in messages whose id and contents never change. They are forgotten on a receipt alone: stored, duplicate and
refused are all durable at the receiver. One process, one thread; `changed` is set whenever something may be due.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgspec

from devices.message import MOST_BYTES, Receipt, digest, encode_kept
from devices.observation import Observation
from gateway.errors import OutboxFull
from gateway.outbox_file import OutboxFile
from gateway.outbox_flights import Flights
from gateway.outbox_held import Held
from gateway.receipts import Refused, Settlement, judge

MOST_ODDITIES: Final = 10_000
"""Unreadable frames kept; a broken device must not fill the disk. The oldest go first."""

_ENVELOPE_OCTETS: Final = 1024
"""More than a message has around its observations."""

_PUT: Final = "INSERT INTO observation (body, put_at) VALUES (?, ?)"


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
        self._flights = Flights()
        self.changed = asyncio.Event()
        self._file = OutboxFile(path, clock)

    def close(self) -> None:
        """Close the file; what is in it stays."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- from the devices

    def put(self, observations: Sequence[Observation], mark: Mark | None = None) -> None:
        """Keep, and move the device's mark, in one transaction. OutboxFull: nothing was kept."""
        now = self._clock().isoformat()
        with self._file.transaction() as database:
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
            with self._file.transaction() as database:
                self._require_room()
                row = database.execute(_PUT, (msgspec.json.encode(observation), self._clock().isoformat())).lastrowid
            assert row is not None
        self._held.add(row, observation, until)
        return row

    def complete(self, row: int, observation: Observation) -> bool:
        """Put the whole in place of what is held. False: it is held no more. OutboxFull: it is held on."""
        if not self._held.waits(row):
            return False
        with self._file.transaction() as database:
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
        row = self._file.first("SELECT * FROM mark WHERE device = ? AND service = ?", device, service)
        return None if row is None else Mark(*row)

    def odd(self, device: str, characteristic: str, frame: bytes, field: str, reason: str) -> None:
        """Keep a frame that could not be read. OutboxFull."""
        with self._file.transaction() as database:
            database.execute(
                "INSERT INTO oddity (device, characteristic, frame, field, reason, heard_at) VALUES (?, ?, ?, ?, ?, ?)",
                (device, characteristic, frame, field, reason, self._clock().isoformat()),
            )
            database.execute("DELETE FROM oddity WHERE id <= (SELECT max(id) FROM oddity) - ?", (MOST_ODDITIES,))

    # -- to the receiver

    def due(self, now: datetime, most: int) -> list[Parcel]:
        """Up to `most` messages to send at `now`, oldest first; observations not yet in a message are grouped here."""
        rows = self._file.rows("SELECT id, message_id, made_at FROM message ORDER BY id")
        ready = [row for row in rows if self._flights.is_due(row[1], now)][:most]
        while len(ready) < most and (row := self._group(now)) is not None:
            ready.append(row)
        parcels = []
        for number, message_id, made_at in ready:
            payload, size = self._payload(number, message_id, made_at)
            self._flights.note_payload(message_id, digest(payload))
            parcels.append(Parcel(message_id, payload, size, self._flights.attempts(message_id)))
        return parcels

    def sent(self, message_id: str, again_at: datetime) -> None:
        """It is on its way; without a receipt it is due again at `again_at`. Not on disk: a restart re-sends."""
        self._flights.sent(message_id, again_at)

    def unsent(self, message_id: str) -> None:
        """It did not leave after all: due at once."""
        self._flights.unsent(message_id)

    def in_flight(self, now: datetime) -> int:
        """Messages that wait for their receipt."""
        return self._flights.count(now)

    def next_due(self) -> datetime | None:
        """When the first message in flight is due again. None: none is in flight."""
        return self._flights.next_due()

    def settle(self, receipt: Receipt) -> Settlement:
        """Forget what the receiver has, keep what it refused for the operator; one transaction."""
        message_id = receipt.message_id
        row = self._file.first("SELECT id FROM message WHERE message_id = ?", message_id)
        if row is None:
            message_id = self._flights.by_digest(receipt.payload_sha256) or ""
            row = self._file.first("SELECT id FROM message WHERE message_id = ?", message_id)
        if row is None:
            return Settlement.UNKNOWN
        bodies = self._file.rows("SELECT body FROM observation WHERE message = ? ORDER BY id", row[0])
        verdict = judge(receipt, len(bodies))
        if not isinstance(verdict, list):
            return verdict
        with self._file.transaction() as database:
            database.executemany(
                "INSERT INTO refusal (message_id, position, field, reason, detail, body, refused_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [self._refusal(message_id, refused, bodies[refused.position][0]) for refused in verdict],
            )
            database.execute("DELETE FROM observation WHERE message = ?", row)
            database.execute("DELETE FROM message WHERE id = ?", row)
        self._flights.landed(message_id)
        self.changed.set()
        return Settlement.SETTLED

    @property
    def full(self) -> bool:
        """Is nothing new accepted? At the size limit, and for a while after the disk was full."""
        return self._file.octets >= self._most_octets or self._file.on_full_disk

    def figures(self) -> Figures:
        """How full it is."""
        backlog, oldest = self._file.first("SELECT count(*), min(put_at) FROM observation") or (0, None)
        return Figures(
            backlog=backlog,
            in_flight=self.in_flight(self._clock()),
            oldest_at=None if oldest is None else datetime.fromisoformat(oldest),
            octets=self._file.octets,
            most_octets=self._most_octets,
            refused=(self._file.first("SELECT count(*) FROM refusal") or (0,))[0],
            oddities=(self._file.first("SELECT count(*) FROM oddity") or (0,))[0],
            full=self.full,
        )

    def write(self, statement: str, *rows: Mapping[str, Any]) -> None:
        """A statement of a neighbour with tables in the same file (`gateway.roster`), once a row. OutboxFull."""
        with self._file.transaction() as database:
            database.executemany(statement, rows)

    def read(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of such a neighbour."""
        return self._file.rows(query, *parameters)

    # -- inside

    def _group(self, now: datetime) -> tuple[int, str, str] | None:
        """Make a message of the oldest observations without one."""
        rows: list[tuple[int]] = []
        octets = 0
        held = self._held.rows(now)
        for number, length in self._file.rows(
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
        with self._file.transaction() as database:
            cursor = database.execute("INSERT INTO message (message_id, made_at) VALUES (?, ?)", (message_id, made_at))
            message = cursor.lastrowid
            assert message is not None
            database.executemany("UPDATE observation SET message = ? WHERE id = ?", [(message, row[0]) for row in rows])
        return message, message_id, made_at

    def _payload(self, number: int, message_id: str, made_at: str) -> tuple[bytes, int]:
        bodies = [
            row[0] for row in self._file.rows("SELECT body FROM observation WHERE message = ? ORDER BY id", number)
        ]
        return encode_kept(message_id, datetime.fromisoformat(made_at), bodies), len(bodies)

    def _refusal(self, message_id: str, refused: Refused, body: bytes) -> tuple[Any, ...]:
        return (message_id, *refused, body, self._clock().isoformat())

    def _require_room(self) -> None:
        if self._file.octets >= self._most_octets:
            raise OutboxFull

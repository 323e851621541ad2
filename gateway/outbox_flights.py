"""Messages that have been sent and wait for their receipt. In memory alone: a restart sends again."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple


class _Flight(NamedTuple):
    attempts: int
    again_at: datetime | None


_NONE: Final = _Flight(0, None)


class Flights:
    """By message id: how often it was sent, and when it is due again; by the payload's digest, which message it was."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight] = {}
        self._digests: dict[str, str] = {}

    def note_payload(self, message_id: str, digest: str) -> None:
        """A receiver that could not read the message names it by its digest."""
        self._digests[digest] = message_id

    def by_digest(self, digest: str) -> str | None:
        """The message with this payload. None: it is settled, or nobody's."""
        return self._digests.get(digest)

    def attempts(self, message_id: str) -> int:
        """How often it has been sent."""
        return self._flights.get(message_id, _NONE).attempts

    def sent(self, message_id: str, again_at: datetime) -> None:
        """Once more; due again at `again_at`."""
        self._flights[message_id] = _Flight(self.attempts(message_id) + 1, again_at)

    def unsent(self, message_id: str) -> None:
        """It did not leave after all: due at once."""
        self._flights[message_id] = _Flight(self.attempts(message_id), None)

    def landed(self, message_id: str) -> None:
        """Its receipt has come."""
        self._flights.pop(message_id, None)
        self._digests = {key: value for key, value in self._digests.items() if value != message_id}

    def is_due(self, message_id: str, now: datetime) -> bool:
        """Is it to be sent?"""
        again_at = self._flights.get(message_id, _NONE).again_at
        return again_at is None or again_at <= now

    def count(self, now: datetime) -> int:
        """Those that wait."""
        return sum(1 for flight in self._flights.values() if flight.again_at is not None and flight.again_at > now)

    def next_due(self) -> datetime | None:
        """When the first is due again. None: none waits."""
        return min((flight.again_at for flight in self._flights.values() if flight.again_at is not None), default=None)

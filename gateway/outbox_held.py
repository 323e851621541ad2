"""Observations that are on disk and wait a while for the rest of their record before they are sent.

What is held is known to this process alone: after a restart everything that is on disk may be sent as it is.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from devices.observation import Observation


class _Wait(NamedTuple):
    observation: Observation
    until: datetime


class Held:
    """The rows of the outbox that wait. Each has an end, so there are as many as devices began a record lately."""

    def __init__(self) -> None:
        self._waits: dict[int, _Wait] = {}

    def add(self, row: int, observation: Observation, until: datetime) -> None:
        """The row waits until then."""
        self._waits[row] = _Wait(observation, until)

    def same(self, observation: Observation) -> int | None:
        """The row that waits with this very reading: the device has begun its record again. None: there is none.

        What has no stamp of the device identifies nothing.
        """
        if observation.device_at is None:
            return None
        reading = _reading(observation)
        return next((row for row, wait in self._waits.items() if _reading(wait.observation) == reading), None)

    def waits(self, row: int) -> bool:
        """It has neither been let go nor completed."""
        return row in self._waits

    def let_go(self, row: int) -> None:
        """It waits no more."""
        self._waits.pop(row, None)

    def let_all_go(self) -> None:
        """Nothing waits any more."""
        self._waits.clear()

    def rows(self, now: datetime) -> frozenset[int]:
        """Those that wait at `now`; the others are forgotten."""
        self._waits = {row: wait for row, wait in self._waits.items() if wait.until > now}
        return frozenset(self._waits)


def _reading(one: Observation) -> tuple[object, ...]:
    return one.device, one.kind, one.device_at, one.record_no, one.slot, one.values

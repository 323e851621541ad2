"""The rows of one message, side by side in columns: times, numbers and packed octets of all of them.

A message of many observations is not walked through one by one: its plain observations (known kind, every number
present and possible, time within limits) are checked and packed together, a group of equal form at a time. Whatever is
not plain is left to `ingest.rows`, which knows every case and says what is wrong; both give the same octets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, repeat
from operator import attrgetter, sub
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.observation import FACT_NAMES, Context, Observation
from ingest.packing import Integers, possible, tails
from ingest.rows import EPOCH, LOCAL_EPOCH, SHAPES, UNREGISTERED, Row, stamp_of

NO_STAMP: Final = int(np.iinfo(np.int64).min)
"""Stands for the stamp of a device without a clock."""

_FEWEST: Final = 24
"""Below so many observations of one form, one by one is faster."""

_EXACT_SECONDS: Final = 4.0e9
"""A float holds every microsecond up to here, 127 years from 2000, with room to spare."""

_Form = tuple[int, str, int, bool, bool]
"""Kind, unit, number of values; without user slot; without circumstances."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """All columns are of one length. measured, stamps: microseconds since 2000 UTC (`NO_STAMP`: none); items: index in
    the message; sessions: None where no row has one; tails: the columns from `kind` on, packed."""

    items: list[int]
    devices: list[str]
    kinds: Integers
    records: Integers
    measured: Integers
    stamps: Integers
    facts: Integers
    sessions: list[str | None] | None
    tails: list[bytes]

    def __len__(self) -> int:
        return len(self.items)

    def without(self, devices: set[str]) -> Rows:
        """Those of other devices."""
        return self.at([position for position, device in enumerate(self.devices) if device not in devices])

    def at(self, positions: Sequence[int]) -> Rows:
        """These only."""
        return Rows(
            [self.items[position] for position in positions],
            [self.devices[position] for position in positions],
            self.kinds[positions],
            self.records[positions],
            self.measured[positions],
            self.stamps[positions],
            self.facts[positions],
            None if self.sessions is None else [self.sessions[position] for position in positions],
            [self.tails[position] for position in positions],
        )


def _integers(numbers: Iterable[int]) -> Integers:
    return np.fromiter(numbers, np.int64)


_NO_INTEGERS: Final = _integers(())
NONE: Final = Rows([], [], _NO_INTEGERS, _NO_INTEGERS, _NO_INTEGERS, _NO_INTEGERS, _NO_INTEGERS, None, [])
"""Of a message in which nothing can be stored."""


def of_rows(rows: Sequence[Row]) -> Rows:
    """Rows that were packed one by one."""
    if not rows:
        return NONE
    items, devices, kinds, records, measured, stamps, facts, sessions, packed = zip(*rows, strict=True)
    return Rows(
        list(items),
        list(devices),
        _integers(kinds),
        _integers(records),
        _integers(measured),
        _integers(NO_STAMP if stamp is None else stamp for stamp in stamps),
        _integers(facts),
        list(sessions) if any(sessions) else None,
        list(packed),
    )


def joined(parts: Sequence[Rows]) -> Rows:
    """One after the other."""
    if len(parts) < 2:
        return parts[0] if parts else NONE
    sessions = None
    if any(part.sessions is not None for part in parts):
        sessions = [uid for part in parts for uid in part.sessions or [None] * len(part)]
    return Rows(
        [item for part in parts for item in part.items],
        [device for part in parts for device in part.devices],
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.records for part in parts]),
        np.concatenate([part.measured for part in parts]),
        np.concatenate([part.stamps for part in parts]),
        np.concatenate([part.facts for part in parts]),
        sessions,
        [tail for part in parts for tail in part.tails],
    )


class _Read(NamedTuple):
    """The members of some observations, side by side."""

    devices: tuple[str, ...]
    kinds: tuple[int, ...]
    units: tuple[str, ...]
    records: tuple[int, ...]
    measured_at: tuple[datetime, ...]
    device_at: tuple[datetime | None, ...]
    values: tuple[tuple[float | None, ...], ...]
    facts: tuple[tuple[str, ...], ...]
    absent: tuple[dict[int, str], ...]
    slots: tuple[int | None, ...]
    sessions: tuple[str | None, ...]
    contexts: tuple[Context | None, ...]


_read: Final = attrgetter(
    *("device", "kind", "unit", "record_no", "measured_at", "device_at"),
    *("values", "facts", "absent", "slot", "session", "context"),
)


def plain(observations: Sequence[Observation], earliest: int, latest: int) -> tuple[list[Rows], list[int]]:
    """The plain ones in columns, and the indices of the others. earliest, latest: bounds of `Rows.measured`."""
    count = len(observations)
    if count < _FEWEST:
        return [], list(range(count))
    read = _Read(*zip(*map(_read, observations), strict=True))
    found: list[Rows] = []
    others: list[int] = []
    for form, indices in _groups(read, count):
        if len(indices) < _FEWEST:
            others.extend(indices)
            continue
        group = read if len(indices) == count else _Read(*zip(*(_read(observations[i]) for i in indices), strict=True))
        rows, left = _plain(form, indices, group, earliest, latest)
        if len(rows):
            found.append(rows)
        others.extend(left)
    return found, others


def _groups(read: _Read, count: int) -> Iterable[tuple[_Form, list[int]]]:
    """By form: the members of one group fill the same columns."""
    if _alike(read, count):
        form = (read.kinds[0], read.units[0], len(read.values[0]), read.slots[0] is None, read.contexts[0] is None)
        return [(form, list(range(count)))]
    members: dict[_Form, list[int]] = {}
    for index in range(count):
        form = (
            read.kinds[index],
            read.units[index],
            len(read.values[index]),
            read.slots[index] is None,
            read.contexts[index] is None,
        )
        members.setdefault(form, []).append(index)
    return members.items()


def _alike(read: _Read, count: int) -> bool:
    """The ordinary case: one kind, from one device."""
    return (
        read.kinds.count(read.kinds[0]) == count
        and read.units.count(read.units[0]) == count
        and len(set(map(len, read.values))) == 1
        and read.slots.count(None) in {0, count}
        and read.contexts.count(None) in {0, count}
    )


def _plain(form: _Form, indices: list[int], group: _Read, earliest: int, latest: int) -> tuple[Rows, Sequence[int]]:
    """The rows of those members that are plain, and the indices of the others."""
    kind, unit, width, no_slot, no_context = form
    shape = SHAPES.get((kind, unit))
    if shape is None or not 0 < width <= len(shape.bounds):
        return NONE, indices
    count = len(indices)
    numbers = _numbers(group.values, width)
    measured = _microseconds(map(sub, group.measured_at, repeat(EPOCH)), count)
    if measured is None:
        return NONE, indices
    records = np.array(group.records, np.int64)
    fit = possible(shape, numbers) & (measured >= earliest) & (measured <= latest)
    facts = np.zeros(count, np.int64)
    if any(group.facts):
        bits = {names: fact_bits(names) for names in set(group.facts)}
        facts = _integers(map(bits.__getitem__, group.facts))
        fit &= facts >= 0
    if any(group.absent):
        fit &= np.fromiter((not reasons for reasons in group.absent), np.bool_)
    slots = None if no_slot else np.array(group.slots, np.int64)
    circumstances = None
    if not no_context:
        circumstances = _integers(map(circumstances_of, group.contexts))
        fit &= circumstances > 0
    rows = Rows(
        indices,
        list(group.devices),
        np.full(count, kind, np.int64),
        records,
        measured,
        _stamps(group.device_at),
        facts,
        list(group.sessions) if any(group.sessions) else None,
        tails(shape, records, numbers, slots=slots, circumstances=circumstances),
    )
    if fit.all():
        return rows, ()
    return rows.at(np.flatnonzero(fit).tolist()), [indices[place] for place in np.flatnonzero(~fit).tolist()]


def fact_bits(names: tuple[str, ...]) -> int:
    """-1: one of them is unknown."""
    bits = 0
    for name in names:
        if name not in FACT_NAMES:
            return -1
        bits |= FACT_NAMES[name]
    return bits & ~UNREGISTERED


@lru_cache(maxsize=4096)
def circumstances_of(context: Context | None) -> int:
    return context.packed() if context is not None else 0


def _numbers(values: Sequence[Sequence[float | None]], width: int) -> NDArray[np.float64]:
    """A row an observation; what is absent is NaN, which no bounds hold."""
    try:
        return np.fromiter(chain.from_iterable(values), np.float64, len(values) * width).reshape(-1, width)
    except TypeError:
        return np.array(values, np.float64)


def _microseconds(spans: Iterable[timedelta], count: int) -> Integers | None:
    """None: some are so long that a float of seconds would not hold their microseconds."""
    seconds = np.fromiter(map(timedelta.total_seconds, spans), np.float64, count)
    if (np.abs(seconds) > _EXACT_SECONDS).any():
        return None
    return np.rint(seconds * 1e6).astype(np.int64)


def _stamps(stamps: Sequence[datetime | None]) -> Integers:
    """Each on its own clock: with or without a zone, or none at all."""
    try:
        found = _microseconds(map(sub, stamps, repeat(LOCAL_EPOCH)), len(stamps))
    except TypeError:  # one has a zone, or there is none: mixed, and rare
        found = None
    if found is not None:
        return found
    return _integers(NO_STAMP if stamp is None else stamp_of(stamp) for stamp in stamps)

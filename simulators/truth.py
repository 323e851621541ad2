"""The ground truth: every measurement that was made and every alert that must exist, compared with what the chain did.

The truth is written down by those who make the measurements, before they are sent, and by the scenario that injected
the episodes. The rules under test are not asked. `compare` is a function of values: `simulators.witness` reads them.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec

from devices.clock import identity_at
from devices.observation import Observation
from simulators.scenario import Alarm


class Fate(enum.StrEnum):
    """What must become of a measurement."""

    STORED = "stored"
    REFUSED = "refused"


class Key(NamedTuple):
    """What makes a record itself (house law 2): the device's own stamp, not the corrected time."""

    uid: str
    kind: int
    record_no: int
    stamp: datetime


class Made(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One measurement. person: the intended recipient, None: it must wait without one; made_at: when it was made,
    by this process's clock; route: history, kiosk, push, ble; payload_sha256: of a message that cannot be read."""

    uid: str
    kind: int
    values: tuple[float | None, ...]
    made_at: datetime
    measured_at: datetime
    route: str
    device_at: datetime | None = None
    record_no: int = 0
    person: str | None = None
    fate: Fate = Fate.STORED
    reason: str = ""
    payload_sha256: str = ""
    injection: str = ""
    facts: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The device's own stamp; the time of measurement only where the device has no clock."""
        return Key(self.uid, self.kind, self.record_no, as_stamp(self.device_at or self.measured_at))


def as_stamp(moment: datetime) -> datetime:
    """A device's stamp in UTC; one without an offset is read where `devices.clock` says that identities are read."""
    return identity_at(moment).astimezone(UTC)


def made(observation: Observation, *, at: datetime, person: str | None, route: str, **more: str | Fate) -> Made:
    """The truth about an observation that is going to be sent."""
    return Made(
        uid=observation.device,
        kind=observation.kind,
        values=observation.values,
        made_at=at,
        measured_at=observation.measured_at,
        device_at=observation.device_at,
        record_no=observation.record_no,
        person=person,
        route=route,
        facts=observation.facts,
        **more,  # type: ignore[arg-type]
    )


class Ledger:
    """The measurements made so far, in memory and (where a file is given) as JSON lines that survive this process."""

    def __init__(self, path: Path | None = None) -> None:
        self.entries: list[Made] = []
        self.injections: set[str] = set()
        """Of which injections something has been measured."""
        self.last: dict[tuple[str, str | None], Made] = {}
        """By device and person: a kiosk's cuff is everybody's."""
        self._file: TextIO | None = path.open("a", encoding="utf-8") if path else None

    def write(self, entry: Made) -> None:
        """Before the measurement is sent."""
        self.entries.append(entry)
        self.last[entry.uid, entry.person] = entry
        self.injections.add(entry.injection)
        if self._file:
            self._file.write(msgspec.json.encode(entry).decode() + "\n")
            self._file.flush()

    def close(self) -> None:
        """Ends the file."""
        if self._file:
            self._file.close()
            self._file = None

    @staticmethod
    def read(path: Path) -> list[Made]:
        """The entries of a ground-truth file."""
        return [msgspec.json.decode(line, type=Made) for line in path.read_bytes().splitlines() if line.strip()]


class StoredRow(NamedTuple):
    """A row of the database: its identity, values as reported, whose it is (a person's key) and when it was stored."""

    key: Key
    values: tuple[float | None, ...]
    person: str | None
    stored_at: datetime


class RefusedRow(NamedTuple):
    """A quarantine row. key: where the payload could be read; sha256: of the whole payload it came in."""

    reason: str
    uid: str
    record_no: int
    sha256: str


class RaisedAlert(NamedTuple):
    """An alert of the database in the scenario's words, when it came to its present gravity, and by which record."""

    person: str
    alarm: Alarm
    raised_at: datetime
    key: Key | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """sent: measurements made that must be stored or refused. duplicates: rows stored beyond the one that is true;
    lost: true ones without a row; altered: stored with other values; misplaced: with another person than meant."""

    sent: int
    stored: int
    duplicates: int
    lost: int
    altered: int
    misplaced: int
    quarantined: int
    quarantine_expected: int
    quarantine_missing: tuple[str, ...]
    quarantine_unexpected: tuple[str, ...]
    alerts_expected: int
    alerts_raised: int
    missed: tuple[str, ...]
    false: tuple[str, ...]
    lost_keys: tuple[str, ...]
    surplus_keys: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Nothing lost, doubled, altered, misplaced, missed or false, and quarantine holds what it must."""
        return not (
            self.duplicates
            or self.lost
            or self.altered
            or self.misplaced
            or self.missed
            or self.false
            or self.quarantine_missing
            or self.quarantine_unexpected
        )


def compare(
    entries: Sequence[Made],
    rows: Iterable[StoredRow],
    refused: Iterable[RefusedRow],
    expected: dict[str, list[Alarm]],
    raised: Iterable[RaisedAlert],
) -> Verdict:
    """The truth against the database. expected: person's key to the alerts that must exist, each once."""
    must_store = {entry.key: entry for entry in entries if entry.fate is Fate.STORED}
    found: dict[Key, list[StoredRow]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    surplus = [key for key, same in found.items() for _ in same[1 if key in must_store else 0 :]]
    lost = [key for key in must_store if key not in found]
    pairs = [(entry, found[key][0]) for key, entry in must_store.items() if key in found]
    expected_refusals = Counter(
        (entry.reason, entry.payload_sha256 or f"{entry.uid}#{entry.record_no}")
        for entry in entries
        if entry.fate is Fate.REFUSED
    )
    quarantine = list(refused)
    torn = {entry.payload_sha256 for entry in entries if entry.payload_sha256}
    seen_refusals = Counter(
        (row.reason, row.sha256 if row.sha256 in torn else f"{row.uid}#{row.record_no}") for row in quarantine
    )
    due = Counter((person, alarm) for person, alarms in expected.items() for alarm in alarms)
    alerts = Counter((alert.person, alert.alarm) for alert in raised)
    return Verdict(
        sent=len(must_store) + expected_refusals.total(),
        stored=sum(len(same) for same in found.values()),
        duplicates=len(surplus),
        lost=len(lost),
        altered=sum(not _same(entry.values, row.values) for entry, row in pairs),
        misplaced=sum(entry.person != row.person for entry, row in pairs),
        quarantined=len(quarantine),
        quarantine_expected=expected_refusals.total(),
        quarantine_missing=_named(expected_refusals - seen_refusals),
        quarantine_unexpected=_named(seen_refusals - expected_refusals),
        alerts_expected=due.total(),
        alerts_raised=alerts.total(),
        missed=_alarms(due - alerts),
        false=_alarms(alerts - due),
        lost_keys=tuple(_key_name(key) for key in lost[:20]),
        surplus_keys=tuple(_key_name(key) for key in surplus[:20]),
    )


def milliseconds(spans: Iterable[float]) -> dict[str, float | None]:
    """The median and the 99th percentile (nearest rank) of spans in seconds, in ms; None: nothing measured."""
    ordered = sorted(spans)
    if not ordered:
        return {"p50": None, "p99": None}
    ranks = {"p50": 0.50, "p99": 0.99}
    return {name: round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * q))], 1) for name, q in ranks.items()}


def _same(meant: tuple[float | None, ...], stored: tuple[float | None, ...]) -> bool:
    """Equal as far as an IEEE 11073 SFLOAT carries a value; absent slots at the end may be left out."""
    longest = max(len(meant), len(stored))
    padded = [(*values, *[None] * (longest - len(values))) for values in (meant, stored)]
    return all(
        (one is None and other is None) or (one is not None and other is not None and abs(one - other) < 0.006)
        for one, other in zip(*padded, strict=True)
    )


def _key_name(key: Key) -> str:
    return f"{key.uid} {key.kind} #{key.record_no} {key.stamp.isoformat()}"


def _named(counted: Counter[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(f"{reason} {what}" for reason, what in sorted(counted.elements()))


def _alarms(counted: Counter[tuple[str, Alarm]]) -> tuple[str, ...]:
    return tuple(f"{person} {alarm.condition} {alarm.grade}" for person, alarm in sorted(counted.elements()))

"""What the chain really did, read from its database: rows, quarantine, alerts, queue, accounts. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow, tuple_row

from simulators.scenario import Alarm
from simulators.truth import Fate, Key, Made, RaisedAlert, RefusedRow, StoredRow, Verdict, as_stamp, compare

_ROWS: Final = """
SELECT d.device_uid, o.kind, o.record_no, COALESCE(odd.device_at, o.identity_at),
       o.v0, o.v1, o.v2, o.v3, o.more, s.subject_id, {committed_o}, o.measured_at
FROM telemetry.observation o
JOIN telemetry.device d USING (device_id)
JOIN telemetry.batch b USING (batch_id)
LEFT JOIN telemetry.odd_identity odd
  ON (odd.device_id, odd.kind, odd.record_no, odd.identity_at) = (o.device_id, o.kind, o.record_no, o.identity_at)
LEFT JOIN telemetry.subject_observation s
  ON (s.device_id, s.kind, s.record_no, s.identity_at) = (o.device_id, o.kind, o.record_no, o.identity_at)
"""
_KEYS: Final = """
SELECT d.device_uid, o.kind, o.record_no, COALESCE(odd.device_at, o.identity_at)
FROM telemetry.observation o
JOIN telemetry.device d USING (device_id)
LEFT JOIN telemetry.odd_identity odd
  ON (odd.device_id, odd.kind, odd.record_no, odd.identity_at) = (o.device_id, o.kind, o.record_no, o.identity_at)
"""
_QUARANTINE: Final = "SELECT reason, content, content_sha256 FROM telemetry.quarantine"
_ALERTS: Final = """
SELECT a.subject_id, a.condition, a.severity, f.kind, n.raised_at, n.measured_at
FROM monitor.alert a
CROSS JOIN LATERAL (
  SELECT {committed_finding} AS raised_at, measured_at FROM monitor.finding
  WHERE alert_id = a.alert_id AND reason IN ('new', 'worsened')
  ORDER BY monitor.finding.raised_at DESC, finding_id DESC LIMIT 1
) n
LEFT JOIN LATERAL (
  SELECT kind FROM monitor.followup WHERE alert_id = a.alert_id ORDER BY followup_id DESC LIMIT 1
) f ON true
ORDER BY a.alert_id
"""
_COUNTS: Final = """
SELECT (SELECT COALESCE(sum(stored), 0) FROM telemetry.account),
       (SELECT COALESCE(sum(duplicate), 0) FROM telemetry.account),
       (SELECT COALESCE(sum(times), 0) FROM telemetry.quarantine),
       (SELECT count(*) FROM telemetry.quarantine),
       (SELECT count(*) FROM telemetry.batch WHERE judged_at IS NULL),
       (SELECT count(*) FROM monitor.alert)
"""
_QUEUE: Final = """
SELECT kind, count(*), count(*) FILTER (WHERE holder_id IS NOT NULL)
FROM monitor.followup WHERE state <> 'closed' GROUP BY kind
"""


class Counts(NamedTuple):
    """Cheap numbers for the live table. queue: kind of work item to (open, of these held by somebody)."""

    stored: int
    redelivered: int
    refusals: int
    quarantined: int
    unjudged: int
    alerts: int
    queue: dict[str, tuple[int, int]]


class Seen(NamedTuple):
    """Everything that `compare` needs from the database."""

    rows: list[StoredRow]
    refused: list[RefusedRow]
    raised: list[RaisedAlert]


async def counts(conn: AsyncConnection[TupleRow]) -> Counts:
    """For the live table."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_COUNTS)
        row = await cursor.fetchone()
        assert row is not None
        await cursor.execute(_QUEUE)
        queue = {kind: (waiting, held) for kind, waiting, held in await cursor.fetchall()}
    stored, redelivered, refusals, quarantined, unjudged, alerts = (int(number) for number in row)
    return Counts(stored, redelivered, refusals, quarantined, unjudged, alerts, queue)


async def look(conn: AsyncConnection[TupleRow], subjects: dict[str, UUID]) -> Seen:
    """Read it all. subjects: a person's key to the subject's id."""
    names = {subject: key for key, subject in subjects.items()}
    async with conn.cursor(row_factory=tuple_row) as cursor:
        commits = await _commits(cursor)
        await cursor.execute(_ROWS.format(committed_o=commits.row))
        raw = await cursor.fetchall()
        rows = [_row(row, names) for row in raw]
        by_moment = {(row[9], row[11]): made.key for row, made in zip(raw, rows, strict=True) if row[9] is not None}
        await cursor.execute(_QUARANTINE)
        refused = [_refused(*row) for row in await cursor.fetchall()]
        await cursor.execute(_ALERTS.format(committed_finding=commits.finding))
        raised = [
            RaisedAlert(
                person=names.get(subject, str(subject)),
                alarm=Alarm(condition, kind or severity),
                raised_at=raised_at,
                key=by_moment.get((subject, measured_at)),
            )
            for subject, condition, severity, kind, raised_at, measured_at in await cursor.fetchall()
        ]
    return Seen(rows, refused, raised)


async def missing(conn: AsyncConnection[TupleRow], entries: Iterable[Made]) -> int:
    """How many measurements that must be stored are not there (yet)."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_KEYS)
        there = {Key(uid, kind, no, as_stamp(stamp)) for uid, kind, no, stamp in await cursor.fetchall()}
    return len({entry.key for entry in entries if entry.fate is Fate.STORED} - there)


async def unjudged(conn: AsyncConnection[TupleRow]) -> int:
    """Batches that the monitor has not judged."""
    return (await counts(conn)).unjudged


class _Commits(NamedTuple):
    """SQL for when a row was committed: the server's own record where it keeps one (`track_commit_timestamp`), else
    the stamp that the service put into the row, which is a little earlier."""

    row: str
    finding: str


async def _commits(cursor: AsyncCursor[TupleRow]) -> _Commits:
    await cursor.execute("SELECT current_setting('track_commit_timestamp')")
    row = await cursor.fetchone()
    if row is None or row[0] != "on":
        return _Commits("b.stored_at", "raised_at")
    return _Commits("pg_xact_commit_timestamp(o.xmin)", "pg_xact_commit_timestamp(monitor.finding.xmin)")


def judge(entries: list[Made], expected: dict[str, list[Alarm]], seen: Seen) -> Verdict:
    """The comparison with the truth."""
    return compare(entries, seen.rows, seen.refused, expected, seen.raised)


def spans(entries: Iterable[Made], seen: Seen, *, since: datetime) -> dict[str, list[float]]:
    """Seconds by stage, of what was made at or after `since`.

    sent_to_stored: from the moment a measurement was handed to its device or kiosk to its batch's commit, all routes;
    ble, push, kiosk: the same by route; stored_to_alert: to the alert's own transaction; sent_to_alert: end to end.
    """
    stored_at = {row.key: row.stored_at for row in seen.rows}
    live = [entry for entry in entries if entry.made_at >= since and entry.key in stored_at]
    found: dict[str, list[float]] = {"sent_to_stored": []}
    for entry in live:
        span = (stored_at[entry.key] - entry.made_at).total_seconds()
        found["sent_to_stored"].append(span)
        found.setdefault(f"sent_to_stored_{entry.route}", []).append(span)
    made_at = {entry.key: entry.made_at for entry in live}
    found["stored_to_alert"], found["sent_to_alert"] = [], []
    for alert in seen.raised:
        if alert.key in made_at:
            found["stored_to_alert"].append((alert.raised_at - stored_at[alert.key]).total_seconds())
            found["sent_to_alert"].append((alert.raised_at - made_at[alert.key]).total_seconds())
    return found


def _row(row: tuple[Any, ...], names: dict[UUID, str]) -> StoredRow:
    uid, kind, record_no, stamp, v0, v1, v2, v3, more, subject, stored_at, _ = row
    person = None if subject is None else names.get(subject, str(subject))
    return StoredRow(Key(uid, kind, record_no, as_stamp(stamp)), (v0, v1, v2, v3, *(more or ())), person, stored_at)


def _refused(reason: str, content: bytes, sha256: str) -> RefusedRow:
    try:
        item = json.loads(content)
    except ValueError:
        return RefusedRow(reason, "", 0, sha256)
    if not isinstance(item, dict):
        return RefusedRow(reason, "", 0, sha256)
    return RefusedRow(reason, str(item.get("device", "")), int(item.get("record_no", 0)), sha256)

"""From a finding to an episode and its work item, with the reason for what was done.

An alert is the episode of one patient and one condition: repeats and worsening join it, an emergency silences lesser
findings, and after it is closed the next finding opens another. One rule met by one reading counts once, however
often it is judged, and what an episode comes to does not depend on the order in which its readings arrived.

Conventions of this project: a late finding, and one that rests on doubtful readings alone, never counts for more than
`due`: nobody is paged, and what would press if it were certain stands in the section of rechecks. What was measured
before somebody reached the patient about the same matter is dealt with.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import Jsonb

from ingest.named_sql import load
from monitor.evaluation_finding import Finding
from monitor.patients import Resident
from monitor.severity import PRESSING, ItemKind, Severity
from monitor.workitem import NewFollowup, add_event, notify, open_followup

_SQL: Final = load("monitor", "sql/alerts.sql")


_SAID: Final = frozenset(
    {
        "told_zh", "told_en", "sentence_zh", "sentence_en", "shown", "excess", "session_at", "evidence", "thresholds",
    }
)  # fmt: skip
"""What a finding says was measured; the rest is what it was raised for."""


class RaisedReason(enum.StrEnum):
    """What a finding did."""

    NEW = "new"  # opened an episode and its work item
    WORSENED = "worsened"  # the episode presses more than before
    REPEATED = "repeated"  # joined the episode
    SILENCED = "silenced"  # an emergency of the same condition is open, or somebody has dealt with it since


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """`followup_id`: the open work item, None when the episode has none. `again`: raised before, nothing was done."""

    alert_id: int
    reason: RaisedReason
    followup_id: int | None
    again: bool = False


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """What a finding counts for. `lowered`: late or doubtful, so less than its rule says."""

    severity: Severity
    kind: ItemKind
    due_on: date | None
    lowered: bool


def weigh(finding: Finding, today: date) -> Weight | None:
    """What a finding counts for; None: nothing for the queue (satisfactory, or a mere note)."""
    severity, kind = finding.severity, finding.queue
    if kind is None or (kind is ItemKind.REGULAR and severity is Severity.ROUTINE and not finding.questionable):
        return None  # the schedule paces regular visits
    if severity in PRESSING and (finding.late or finding.questionable):
        return Weight(severity=Severity.DUE, kind=ItemKind.RECHECK, due_on=today, lowered=True)
    due_on = None if severity in PRESSING else finding.due
    return Weight(severity=severity, kind=kind, due_on=due_on, lowered=False)


async def lock_subjects(conn: AsyncConnection[TupleRow], subject_ids: Iterable[UUID]) -> None:
    """Let one transaction at a time judge a subject: in one order, so that evaluators do not wait in a ring."""
    await conn.execute(_SQL["lock_subjects"], {"subject_ids": sorted(set(subject_ids))})


async def known_findings(
    conn: AsyncConnection[TupleRow], subject_id: UUID, *, since: datetime
) -> dict[tuple[str, str], str | None]:
    """(rule, evidence key) of what was raised for readings measured since then, and what it says was measured."""
    cursor = await conn.execute(_SQL["known_since"], {"subject_id": subject_id, "since": since})
    return {(rule, key): said for rule, key, said in await cursor.fetchall()}


async def restate(conn: AsyncConnection[TupleRow], subject_id: UUID, finding: Finding, evidence_key: str) -> None:
    """A reading that arrived since has changed its session's mean: say the new one. What it counts for stays."""
    about = {"subject_id": subject_id, "rule_id": finding.rule, "evidence_key": evidence_key}
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["stated"], about)
        row = await cursor.fetchone()
    if row is None or finding.told_zh is None or finding.told_en is None or not row["evidence"].get("told_zh"):
        return
    stated: dict[str, Any] = row["evidence"]
    zh = msgspec.structs.replace(finding.told_zh, note=stated["told_zh"]["note"])
    en = msgspec.structs.replace(finding.told_en, note=stated["told_en"]["note"])
    new = msgspec.structs.replace(finding, told_zh=zh, told_en=en, sentence_zh=zh.sentence, sentence_en=en.sentence)
    said = {name: value for name, value in msgspec.to_builtins(new).items() if name in _SAID}
    columns = {"shown": new.shown, "excess": new.excess, "session_at": new.session_at}
    await conn.execute(_SQL["restate"], about | columns | {"evidence": Jsonb(stated | said)})


async def raise_alert(
    conn: AsyncConnection[TupleRow],
    finding: Finding,
    resident: Resident,
    now: datetime,
    *,
    evidence_key: str,
    today: date,
    document: str = "",
) -> Raised | None:
    """Join or open the episode and its work item, in the caller's transaction; None: the finding asks for nothing.

    evidence_key: the reading or visit judged (`monitor.evidence`). today: the site's day. document: the pack's.
    """
    weight = weigh(finding, today)
    if weight is None:
        return None
    who = resident.subject_id
    await lock_subjects(conn, [who])
    about = {"subject_id": who, "condition": finding.condition, "rule_id": finding.rule, "evidence_key": evidence_key}
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["known"], about)
        if known := await cursor.fetchone():
            reason = RaisedReason(known["reason"])
            return Raised(alert_id=known["alert_id"], reason=reason, followup_id=known["followup_id"], again=True)
        measured_at = finding.measured_at or now
        # the item before its alert, as everybody who closes one does: nobody waits in a ring
        await cursor.execute(_SQL["lock_open_followup"], about)
        await cursor.execute(_SQL["handled_alert"], about | {"measured_at": measured_at})
        handled = await cursor.fetchone()
        await cursor.execute(_SQL["open_alert"], about)
        current = await cursor.fetchone()
    entry = _Entry(
        conn=conn,
        finding=finding,
        weight=weight,
        subject_id=who,
        evidence_key=evidence_key,
        measured_at=measured_at,
        now=now,
        citation={"document": document, "clause": finding.clause, "edition": finding.edition},
    )
    if handled is not None and not weight.severity.outranks(Severity(handled["severity"])):
        await entry.add(handled["alert_id"], RaisedReason.SILENCED)
        return Raised(alert_id=handled["alert_id"], reason=RaisedReason.SILENCED, followup_id=None)
    if current is None:
        return await entry.open_episode()
    return await entry.join(current["alert_id"], Severity(current["severity"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One finding on its way into an episode."""

    conn: AsyncConnection[TupleRow]
    finding: Finding
    weight: Weight
    subject_id: UUID
    evidence_key: str
    measured_at: datetime
    now: datetime
    citation: dict[str, str]

    async def add(self, alert_id: int, reason: RaisedReason) -> int:
        row = await self._one(
            "add_finding",
            {
                "alert_id": alert_id,
                "subject_id": self.subject_id,
                "rule_id": self.finding.rule,
                "evidence_key": self.evidence_key,
                "reason": reason.value,
                "found_severity": self.finding.severity.value,
                "severity": self.weight.severity.value,
                "kind": self.weight.kind.value,
                "late": self.finding.late,
                "measured_at": self.measured_at,
                "shown": self.finding.shown,
                "excess": self.finding.excess,
                "session_at": self.finding.session_at,
                "now": self.now,
                "evidence": Jsonb(msgspec.to_builtins(self.finding)),
            },
        )
        return int(row["finding_id"])

    async def open_episode(self) -> Raised:
        row = await self._one(
            "new_alert",
            {
                "subject_id": self.subject_id,
                "condition": self.finding.condition,
                "severity": self.weight.severity.value,
                "now": self.now,
                "late": self.finding.late,
            },
        )
        alert_id = int(row["alert_id"])
        finding_id = await self.add(alert_id, RaisedReason.NEW)
        followup_id = await open_followup(
            self.conn,
            NewFollowup(
                subject_id=self.subject_id,
                kind=self.weight.kind,
                severity=self.weight.severity,
                sentence_zh=self.finding.sentence_zh,
                sentence_en=self.finding.sentence_en,
                citation=self.citation,
                raised_at=self.now,
                due_on=self.weight.due_on,
                programme=self.finding.programme,
                alert_id=alert_id,
                finding_id=finding_id,
                late=self.finding.late,
            ),
        )
        return Raised(alert_id=alert_id, reason=RaisedReason.NEW, followup_id=followup_id)

    async def join(self, alert_id: int, severity: Severity) -> Raised:
        row = await self._one("open_followup_of", {"alert_id": alert_id})
        followup_id = int(row["followup_id"])
        reason = RaisedReason.REPEATED
        if self.weight.severity.outranks(severity):
            reason = RaisedReason.WORSENED
            await self.conn.execute(
                _SQL["worsen"],
                {"alert_id": alert_id, "severity": self.weight.severity.value, "late": self.finding.late},
            )
        elif severity is Severity.EMERGENCY and severity.outranks(self.weight.severity):
            reason = RaisedReason.SILENCED
        await self.add(alert_id, reason)
        await self.conn.execute(_SQL["recount"], {"alert_id": alert_id})
        if reason is RaisedReason.WORSENED:
            await self.conn.execute(_SQL["reopen"], {"followup_id": followup_id})
        if reason is not RaisedReason.SILENCED:
            await add_event(self.conn, followup_id, reason.value, now=self.now)
            shown = self.weight.severity if reason is RaisedReason.WORSENED else severity
            event = "opened" if reason is RaisedReason.WORSENED else "changed"
            await notify(self.conn, followup_id, event, shown)
        return Raised(alert_id=alert_id, reason=reason, followup_id=followup_id)

    async def _one(self, query: str, values: dict[str, Any]) -> dict[str, Any]:
        async with self.conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_SQL[query], values)
            row = await cursor.fetchone()
        assert row is not None, query
        return row

"""What an open episode comes to: its gravity, its item's section, sentence and due day, from the findings that stand.

Everything here is a function of the set of findings and readings, whatever their order of arrival: the first of the
gravest explains the item, repeats and the latest calm reading are told beside it. An episode whose last finding was
withdrawn closes, unless somebody has begun to work on it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow, dict_row, tuple_row
from psycopg.types.json import Jsonb

from ingest.named_sql import load
from monitor import audit
from monitor.alerts import weigh
from monitor.desk import Desk
from monitor.episode_words import Latest, Said, episode_sentence
from monitor.evaluation_condition import meets
from monitor.evaluation_finding import Finding
from monitor.judging_reading import DeviceReading, as_record, unsound
from monitor.sentences import short_text
from monitor.severity import KIND_ORDER, ItemKind, Severity
from monitor.workitem import add_event, notify

_SQL: Final = load("monitor", "sql/alerts.sql")
_SEVERITIES: Final = [severity.value for severity in Severity]


class Withdrawn(enum.StrEnum):
    """Why findings were withdrawn; also the event and the outcome of their items."""

    REASSIGNED = "reassigned"  # the readings turned out to be somebody else's
    CORRECTED = "corrected"  # a reading was amended or entered in error


_VOID: Final = {
    Withdrawn.REASSIGNED: (
        "读数已改归他人，这条待办不再成立。原为：{old}",
        "The readings were given to somebody else; this item no longer stands. It was: {old}",
    ),
    Withdrawn.CORRECTED: (
        "读数已更正或作废，这条待办不再成立。原为：{old}",
        "The reading was corrected or withdrawn; this item no longer stands. It was: {old}",
    ),
}


class Teller(NamedTuple):
    """What telling needs besides the findings. readings: the person's of those conditions, by time,
    that rules may see. why: what emptied the episodes that are empty now."""

    conn: AsyncConnection[TupleRow]
    desk: Desk
    now: datetime
    readings: Sequence[DeviceReading] = ()
    why: Withdrawn = Withdrawn.REASSIGNED


async def open_episodes(conn: AsyncConnection[TupleRow], subject_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these residents have an open episode."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["with_episodes"], {"subject_ids": list(subject_ids)})
        return {subject_id for (subject_id,) in await cursor.fetchall()}


async def retell(teller: Teller, subject_id: UUID, conditions: Iterable[str]) -> None:
    """Bring a resident's open episodes of these conditions, and their items, to what their findings say now."""
    async with teller.conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["episodes_of"], {"subject_id": subject_id, "conditions": sorted(conditions)})
        episodes = await cursor.fetchall()
    for episode in episodes:
        gravest = await _gravest(teller.conn, episode["alert_id"])
        if gravest:
            await _tell(teller, episode, gravest)
        else:
            await _void(teller, episode)


async def _gravest(conn: AsyncConnection[TupleRow], alert_id: int) -> list[dict[str, Any]]:
    """The findings that press most, by measured time; a session once, as its last reading left it."""
    values = {"alert_id": alert_id, "severities": _SEVERITIES, "kinds": list(KIND_ORDER)}
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL["gravest"], values)
        rows = await cursor.fetchall()
    return list({row["session_at"] or row["evidence_key"]: row for row in rows}.values())


async def _tell(teller: Teller, episode: dict[str, Any], gravest: Sequence[dict[str, Any]]) -> None:
    told = await _finding(teller.conn, gravest[0]["finding_id"])
    by = gravest[0]
    if told.told_zh is None:
        by = gravest[-1]  # a sentence that counts days, or the like: the latest knows most
        told = await _finding(teller.conn, by["finding_id"])
    weight = weigh(told, teller.desk.day(by["raised_at"]))
    assert weight is not None, told.rule
    zh, en = _sentences(told, gravest, _latest(teller.readings, told, gravest[-1]["measured_at"]))
    pack = teller.desk.pack(told.programme)
    item = {
        "followup_id": episode["followup_id"],
        "finding_id": by["finding_id"],
        "kind": weight.kind.value,
        "severity": weight.severity.value,
        "sentence_zh": zh,
        "sentence_en": en,
        "late": told.late,
        "due_on": weight.due_on,
    }
    if any(episode[name] != value for name, value in item.items()):
        citation = {"document": pack.document.title if pack else "", "clause": told.clause, "edition": told.edition}
        await teller.conn.execute(_SQL["explain"], item | {"programme": told.programme, "citation": Jsonb(citation)})
        await notify(teller.conn, episode["followup_id"], "changed", weight.severity)
    if episode["alert_severity"] != weight.severity:
        await teller.conn.execute(
            _SQL["weigh_alert"], {"alert_id": episode["alert_id"], "severity": weight.severity.value}
        )
    await teller.conn.execute(_SQL["recount"], {"alert_id": episode["alert_id"]})


def _sentences(told: Finding, gravest: Sequence[dict[str, Any]], latest: Latest | None) -> tuple[str, str]:
    if told.told_zh is None or told.told_en is None:
        return told.sentence_zh, told.sentence_en
    said = [Said(row["measured_at"], row["shown"], row["excess"]) for row in gravest]
    return episode_sentence(told.told_zh, said, latest, "zh"), episode_sentence(told.told_en, said, latest, "en")


def _latest(readings: Sequence[DeviceReading], told: Finding, after: datetime) -> Latest | None:
    """The newest sound reading of the condition since the last one told. A doubtful one calms nobody."""
    for reading in reversed(readings):
        if reading.measured_at <= after:
            return None
        if reading.concept != told.condition or reading.questionable or unsound(reading) is not None:
            continue
        record = as_record(reading)
        shown = short_text(record, record.quantities.keys())
        lines = [(limit, record.quantities.get(limit.fact)) for limit in told.thresholds]
        below = bool(lines) and all(
            measured is not None and meets(limit.op, measured, limit.printed, limit.printed_unit) is False
            for limit, measured in lines
        )
        return Latest(reading.measured_at, shown, below) if shown else None
    return None


async def _finding(conn: AsyncConnection[TupleRow], finding_id: int) -> Finding:
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["evidence"], {"finding_id": finding_id})
        row = await cursor.fetchone()
    assert row is not None
    return msgspec.convert(row[0], Finding)


async def _void(teller: Teller, episode: dict[str, Any]) -> None:
    """Nothing stands any more: what nobody has begun closes, what somebody has begun says so and is theirs to end."""
    conn, now = teller.conn, teller.now
    if episode["alert_severity"] == Severity.TECHNICAL:
        return
    about = {"followup_id": episode["followup_id"], "alert_id": episode["alert_id"], "now": now}
    begun = episode["state"] != "open" or episode["attempts"] > 0
    if begun:
        zh, en = (
            text.format(old=episode[f"sentence_{tongue}"])
            for text, tongue in zip(_VOID[teller.why], ("zh", "en"), strict=True)
        )
        severity = Severity.TECHNICAL
        changes = {"kind": ItemKind.TECHNICAL.value, "severity": severity.value, "sentence_zh": zh, "sentence_en": en}
        await conn.execute(_SQL["void_item"], about | changes)
        await conn.execute(_SQL["weigh_alert"], {"alert_id": episode["alert_id"], "severity": severity.value})
    else:
        severity = Severity(episode["severity"])
        await conn.execute(_SQL["close_void_item"], about | {"outcome": teller.why.value})
        await conn.execute(_SQL["close_void_alert"], about)
        await audit.record(
            conn,
            actor="monitor",
            action=f"followup_{teller.why.value}",
            subject_id=episode["subject_id"],
            detail={"followup": episode["followup_id"]},
            now=now,
        )
    await notify(conn, episode["followup_id"], "changed" if begun else "closed", severity)


async def withdraw(
    conn: AsyncConnection[TupleRow],
    subject_id: UUID,
    met: Sequence[tuple[str, str]],
    keys: Sequence[str],
    *,
    why: Withdrawn,
    now: datetime,
) -> set[str]:
    """Withdraw a resident's findings: these (rule, evidence key), and all that rest on these readings.

    Each item concerned, also a closed one, says so in its history. The conditions concerned; `retell` does the rest.
    """
    values = {
        "subject_id": subject_id,
        "rules": [rule for rule, _ in met],
        "of": [key for _, key in met],
        "keys": list(keys),
        "now": now,
    }
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["withdraw"], values)
        alerts: dict[int, str] = dict(await cursor.fetchall())
        await cursor.execute(_SQL["items_of_alerts"], {"alert_ids": sorted(alerts)})
        items = [followup_id for (followup_id,) in await cursor.fetchall()]
    for followup_id in items:
        await add_event(conn, followup_id, why.value, now=now)
    return set(alerts.values())

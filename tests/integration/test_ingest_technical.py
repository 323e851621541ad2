"""A quarantine that grows is a technical alert: raised once, shown, resolved when it grows no more."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection
from structlog.testing import capture_logs

from ingest import commit, database, status, technical
from ingest.directory import Directory
from ingest.technical import Limit, Seen
from simulators.embedded.broker import Broker
from tests.fix_ingest import IngestProcess, Source, message, pressure, taken

LIMIT = Limit(most=4, minutes=60)


def now() -> datetime:
    return datetime.now(UTC)


async def refuse(conn: AsyncConnection, first: int, count: int, *, source: str = "gw-1", kind: int = 77) -> None:
    """`count` readings that are refused, each another."""
    bad = [pressure(number, kind=kind) for number in range(first, first + count)]
    await commit.store_with_retry(conn, Directory(), [taken(message(*bad), source=source)], now=now())


async def test_what_is_ordinary_raises_nothing_and_what_is_more_raises_once(telemetry: AsyncConnection) -> None:
    await refuse(telemetry, 0, LIMIT.most)
    assert await technical.look_at_quarantine(telemetry, LIMIT, now()) is Seen.QUIET
    await refuse(telemetry, 10, 3, source="gw-2")
    with capture_logs() as lines:
        assert await technical.look_at_quarantine(telemetry, LIMIT, now()) is Seen.RAISED
        assert await technical.look_at_quarantine(telemetry, LIMIT, now()) is Seen.STANDING
    assert [(line["log_level"], line["event"], line["number"]) for line in lines] == [("error", "quarantine grows", 7)]
    (alert,) = await technical.open_alerts(telemetry)
    assert (alert.number, alert.topic, alert.reason) == (7, "suifang/v1/north/gw-1/observations", "unknown-kind")


async def test_the_same_bad_thing_sent_again_is_no_growth(telemetry: AsyncConnection) -> None:
    for _ in range(3):
        await refuse(telemetry, 0, LIMIT.most)
    assert await technical.look_at_quarantine(telemetry, LIMIT, now()) is Seen.QUIET


async def test_it_is_resolved_when_it_grows_no_more_and_raised_anew_when_it_does(telemetry: AsyncConnection) -> None:
    await refuse(telemetry, 0, 6)
    assert await technical.look_at_quarantine(telemetry, LIMIT, now()) is Seen.RAISED
    later = now() + timedelta(minutes=LIMIT.minutes + 1)
    assert await technical.look_at_quarantine(telemetry, LIMIT, later) is Seen.RESOLVED
    assert await technical.open_alerts(telemetry) == []
    assert await technical.look_at_quarantine(telemetry, LIMIT, later) is Seen.QUIET
    await refuse(telemetry, 10, 6)
    assert await technical.look_at_quarantine(telemetry, LIMIT, now()) is Seen.RAISED
    rows = await (
        await telemetry.execute("SELECT count(*), count(resolved_at) FROM telemetry.technical_alert")
    ).fetchone()
    assert rows == (2, 1)


@pytest.mark.parametrize(("number", "seen"), [(3, Seen.STANDING), (2, Seen.RESOLVED)])
async def test_a_count_about_the_limit_does_not_flutter(telemetry: AsyncConnection, number: int, seen: Seen) -> None:
    await refuse(telemetry, 0, 6)
    assert await technical.look_at_quarantine(telemetry, LIMIT, now()) is Seen.RAISED
    await telemetry.execute(
        f"UPDATE telemetry.quarantine SET received_at = '2026-01-01' WHERE item >= {number}".encode()
    )
    assert await technical.look_at_quarantine(telemetry, LIMIT, now()) is seen


async def test_of_two_processes_that_look_at_once_one_raises(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    await refuse(telemetry, 0, 6)
    other = await database.connect(migrated_database_url)
    seen = await asyncio.gather(*(technical.look_at_quarantine(conn, LIMIT, now()) for conn in (telemetry, other)))
    await other.close()
    assert sorted(seen) == [Seen.RAISED, Seen.STANDING]
    assert len(await technical.open_alerts(telemetry)) == 1


def test_the_service_watches_and_the_status_says_so(broker: Broker, source: Source, migrated_database_url: str) -> None:
    settings = {"quarantine_alert_count": "3", "quarantine_watch_seconds": "0.2"}
    with IngestProcess(broker, migrated_database_url, **settings) as process:
        source.send(message(*(pressure(number, kind=77) for number in range(5)), message_id="bad"))
        assert len(source.receipt().refused) == 5
        line = process.wait_for_line("quarantine grows")
        assert (line["level"], line["number"], line["reason"]) == ("error", 5, "unknown-kind")
        source.send(message(pressure(50), message_id="first"))
        source.send(message(pressure(50, values=(180.0, 99.0)), message_id="another-story"))
        assert [source.receipt().stored for _ in range(2)] == [1, 0]
        ((standing,), refused, alerts, sources) = told(migrated_database_url)
        assert (standing["quarantined"], standing["waiting_batches"]) == (6, 1)
        assert [(one["reason"], one["rows"]) for one in refused] == [("unknown-kind", 5), ("record-reused", 1)]
        assert [(alert["cause"], alert["topic"]) for alert in alerts] == [
            ("quarantine-growth", "suifang/v1/north/gw-1/observations")
        ]
        assert [(heard["site"], heard["source"]) for heard in sources] == [("north", "gw-1")]
        assert process.stop() == 0


def told(url: str) -> list[list[dict[str, Any]]]:
    """The lines of `suifang-ingest status`, by what they are about."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUIFANG_INGEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "status"],
        env=kept | {"SUIFANG_INGEST_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [[line for line in lines if line["about"] == about] for about in ("ingest", "quarantine", "alert", "source")]


@pytest.mark.parametrize("table", ["source", "device"])
async def test_what_a_clock_far_ahead_said_of_who_was_heard_does_not_stay(
    telemetry: AsyncConnection, table: str
) -> None:
    noon = now()
    directory = Directory()
    for number, at in enumerate((noon, noon + timedelta(days=3000), noon, noon + timedelta(minutes=2))):
        await commit.store_with_retry(telemetry, directory, [taken(message(pressure(number)))], now=at)
    ((seen,),) = await (await telemetry.execute(f"SELECT last_seen_at FROM telemetry.{table}".encode())).fetchall()
    assert seen == noon + timedelta(minutes=2)


async def test_a_status_ends_what_a_clock_far_ahead_said_of_its_source(telemetry: AsyncConnection) -> None:
    noon = now()
    understood = status.understand("suifang/v1/north/gw-1/status", b"{}")
    assert understood is not None
    for at in (noon + timedelta(days=3000), noon, noon - timedelta(seconds=5)):
        await status.keep(telemetry, understood, at)
    assert [heard.last_seen_at for heard in await technical.sources_heard(telemetry)] == [noon]

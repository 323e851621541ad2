"""What is in quarantine tried again: broken off, done twice at once, after the program or the database was mended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import AsyncConnection

from devices.message import Reason
from ingest import assignments, commit, database, intake, quarantine, reconcile, replay
from ingest.commit import UnknownDevices
from ingest.directory import Directory
from ingest.replay import Outcome, Replayed
from simulators.embedded.broker import Broker
from tests.fix_ingest import (
    IngestProcess,
    Source,
    ask,
    ingest_environment,
    message,
    pressure,
    suifang_ingest,
    taken,
    wait_until,
)

WIDER = intake.Limits(future=timedelta(hours=3))
OPEN = "SELECT count(*) FROM telemetry.quarantine WHERE resolved_at IS NULL"
BOOKS = "SELECT messages, sent, stored, duplicate, refused FROM telemetry.account"


def now() -> datetime:
    return datetime.now(UTC)


def ahead(number: int = 7, **changes: Any) -> Any:
    """A reading of a clock that is two hours ahead."""
    return pressure(number, at=(now() + timedelta(hours=2)).replace(microsecond=0), **changes)


async def put(conn: AsyncConnection, *payloads: bytes, **how: Any) -> None:
    await commit.store_with_retry(conn, Directory(), [taken(payload) for payload in payloads], now=now(), **how)


async def try_again(conn: AsyncConnection, kept: quarantine.Kept, limits: intake.Limits = WIDER) -> Outcome:
    return await replay.replay(conn, Directory(), kept, limits=limits, now=now())


async def found(conn: AsyncConnection, query: str) -> Sequence[tuple[Any, ...]]:
    return await (await conn.execute(query.encode())).fetchall()


async def differences(conn: AsyncConnection) -> list[reconcile.What]:
    return [one.what for one in await reconcile.differences(conn, now=now())]


async def test_of_two_who_replay_one_row_at_once_one_stores_and_the_books_count_it_once(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    other = await database.connect(migrated_database_url)
    for number in range(20):
        await put(telemetry, message(ahead(number)))
        (kept,) = await quarantine.listing(telemetry)
        both = await asyncio.gather(try_again(telemetry, kept), try_again(other, kept))
        assert sorted(one.replayed for one in both) == [Replayed.ALREADY_RESOLVED, Replayed.STORED]
    await other.close()
    assert await found(telemetry, BOOKS) == [(20, 20, 20, 0, 0)]
    assert await differences(telemetry) == []


async def test_a_row_that_cannot_be_stored_holds_back_no_other_and_says_why(telemetry: AsyncConnection) -> None:
    await put(telemetry, message(ahead(13), ahead(14)))
    await telemetry.execute("ALTER TABLE telemetry.observation ADD CONSTRAINT superstition CHECK (record_no <> 13)")
    second, first = await quarantine.listing(telemetry)
    refused = await try_again(telemetry, first)
    assert (refused.replayed, refused.refused[0].reason) == (Replayed.STILL_REFUSED, Reason.NOT_STORABLE)
    assert (await try_again(telemetry, second)).replayed is Replayed.STORED


async def test_to_replay_a_reading_is_not_to_hear_its_source(telemetry: AsyncConnection) -> None:
    await put(telemetry, message(ahead()))
    await telemetry.execute("UPDATE telemetry.source SET last_seen_at = '2026-01-01'")
    (kept,) = await quarantine.listing(telemetry)
    assert (await try_again(telemetry, kept)).stored == 1
    assert await found(telemetry, "SELECT last_seen_at FROM telemetry.source") == [(datetime(2026, 1, 1, tzinfo=UTC),)]


async def test_a_message_the_database_could_not_store_is_taken_apart_once_it_can(
    broker: Broker, source: Source, telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    await telemetry.execute("ALTER TABLE telemetry.observation ADD CONSTRAINT superstition CHECK (record_no <> 13)")
    with IngestProcess(broker, migrated_database_url):
        source.send(message(pressure(12)))
        source.receipt()
        source.send(message(pressure(12), pressure(13), pressure(14), ahead(15), pressure(16, kind=77)))
        assert [remark.reason for remark in source.receipt().refused] == [Reason.NOT_STORABLE]
    await telemetry.execute("ALTER TABLE telemetry.observation DROP CONSTRAINT superstition")
    (kept,) = await quarantine.listing(telemetry)
    again = await try_again(telemetry, kept, intake.Limits())
    assert (again.replayed, again.stored, again.duplicate) == (Replayed.TAKEN_APART, 2, 1)
    assert {remark.reason for remark in again.refused} == {Reason.FUTURE_TIME, Reason.UNKNOWN_KIND}
    assert await found(telemetry, BOOKS) == [(2, 6, 3, 1, 2)]
    assert await differences(telemetry) == []
    assert (await try_again(telemetry, kept)).replayed is Replayed.ALREADY_RESOLVED
    unknown, future = await quarantine.listing(telemetry)
    assert (future.reason, (await try_again(telemetry, future)).replayed) == ("future-time", Replayed.STORED)
    assert (await try_again(telemetry, unknown)).replayed is Replayed.STILL_REFUSED
    assert await found(telemetry, BOOKS) == [(2, 6, 4, 1, 1)]
    assert await differences(telemetry) == []


async def test_of_a_message_that_no_program_can_read_nothing_changes(telemetry: AsyncConnection) -> None:
    await put(telemetry, b"\xff\xfe no message", message(pressure(1)))
    (kept,) = await quarantine.listing(telemetry)
    assert (await try_again(telemetry, kept)).replayed is Replayed.NOT_AN_OBSERVATION
    assert await found(telemetry, OPEN) == [(1,)]
    assert await found(telemetry, BOOKS) == [(2, 2, 1, 0, 1)]


def test_the_server_that_ends_a_replay_in_the_middle_leaves_nothing_and_the_next_one_goes_on(
    broker: Broker, source: Source, migrated_database_url: str
) -> None:
    url = migrated_database_url
    with IngestProcess(broker, url):
        source.send(message(*(ahead(number) for number in range(5))))
        assert len(source.receipt().refused) == 5
    with psycopg.connect(url) as holding:
        holding.execute("SELECT FROM telemetry.quarantine WHERE quarantine_id = 3 FOR UPDATE")
        command = [sys.executable, "-m", "ingest", "replay", "--future-seconds", "10000"]
        replaying = subprocess.Popen(
            command, env=ingest_environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        wait_until(lambda: len(ask(url, waiting)) == 1, "the replay at the third row")
        ask(url, f"SELECT pg_terminate_backend(pid) FROM ({waiting}) w")
        told, complaint = replaying.communicate(timeout=60)
    assert (replaying.returncode, len(told.splitlines())) == (1, 2)
    assert complaint.startswith("suifang-ingest: ")
    assert len(complaint.splitlines()) == 1
    assert ask(url, BOOKS) == [(1, 5, 2, 0, 3)]
    code, lines, _ = suifang_ingest(url, "replay", "--future-seconds", "10000")
    assert (code, [line["quarantine_id"] for line in lines]) == (0, [3, 4, 5])
    assert ask(url, BOOKS) == [(1, 5, 5, 0, 0)]
    assert [line.get("difference") for line in suifang_ingest(url, "reconcile")[1]] == [None]


async def test_the_command_tries_every_open_row_and_says_of_each_what_became_of_it(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    await put(telemetry, message(pressure(1)), unknown_devices=UnknownDevices.REFUSE)
    await put(telemetry, message(*(pressure(number, kind=77) for number in range(2, 1000))))
    await put(telemetry, message(*(pressure(number, kind=78) for number in range(2, 50))))
    await assignments.register_device(telemetry, "ble:cuff-1", concept=None, label=None, now=now())
    code, lines, _ = suifang_ingest(migrated_database_url, "replay")
    assert (code, len(lines)) == (0, 1047)
    assert (lines[0]["outcome"], lines[0]["stored"], lines[0]["refused"]) == ("stored", 1, [])
    assert {line["outcome"] for line in lines[1:]} == {"still-refused"}
    assert (lines[1]["refused"][0]["field"], lines[1]["refused"][0]["reason"]) == ("kind", "unknown-kind")


async def test_a_row_asked_for_by_number_is_replayed_or_the_command_says_why_not_and_ends_with_1(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    url = migrated_database_url
    await put(telemetry, message(ahead()))
    await put(telemetry, message(pressure(1, at=now() - timedelta(days=2000))))
    code, (line,), _ = suifang_ingest(url, "replay", "1")
    assert (code, line["outcome"], line["refused"][0]["reason"]) == (1, "still-refused", "future-time")
    code, (line,), _ = suifang_ingest(url, "quarantine", "replay", "1", "--future-seconds", "10000")
    assert (code, line["outcome"]) == (0, "stored")
    code, (line,), _ = suifang_ingest(url, "replay", "2", "--ancient-days", "2001")
    assert (code, line["outcome"]) == (0, "stored")
    for number, complaint in (("1", "row 1 is resolved already: replayed: stored"), ("99", "no row 99 in quarantine")):
        code, lines, told = suifang_ingest(url, "replay", number)
        assert (code, lines, told) == (1, [], f"suifang-ingest: {complaint}\n")

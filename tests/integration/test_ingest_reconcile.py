"""The books add up through repeats, refusals, replays and corrections; what is damaged afterwards is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection

from devices.message import Reason
from ingest import commit, corrections, intake, observations, quarantine, reconcile, replay
from ingest.corrections import Key
from ingest.directory import Directory
from ingest.reconcile import What
from tests.fix_ingest import AN_HOUR_AGO, message, pressure, taken

HOURS_LATER = timedelta(hours=5)


def now() -> datetime:
    return datetime.now(UTC)


async def put(conn: AsyncConnection, *payloads: bytes, source: str = "gw-1") -> None:
    await commit.store_with_retry(conn, Directory(), [taken(one, source=source) for one in payloads], now=now())


async def judge(conn: AsyncConnection) -> None:
    async with conn.transaction():
        while (batch := await observations.claim_batch(conn)) is not None:
            await observations.mark_judged(conn, batch.batch_id, now())


async def a_day(conn: AsyncConnection) -> None:
    """Two sources: 7 sent by one (4 stored, 1 repeated, 2 refused, of which the same twice), 2 by the other."""
    bad = pressure(9, kind=77)
    await put(conn, message(pressure(1), pressure(2), pressure(3, device="ble:cuff-2")), message(bad, bad))
    await put(conn, message(pressure(1), pressure(4)))
    await put(conn, message(pressure(5), pressure(6)), source="gw-2")
    await judge(conn)


async def named(conn: AsyncConnection, **how: Any) -> list[tuple[What, str | None, int, int]]:
    found = await reconcile.differences(conn, now=how.pop("now", now()), **how)
    return [(one.what, one.source, one.expected, one.found) for one in found]


async def test_a_day_of_repeats_and_refusals_adds_up(telemetry: AsyncConnection) -> None:
    await a_day(telemetry)
    lines = await reconcile.reconcile(telemetry)
    assert [(x.source, x.sent, x.stored, x.duplicate, x.refused, x.judged) for x in lines] == [
        ("gw-1", 7, 4, 1, 2, 4),
        ("gw-2", 2, 2, 0, 0, 2),
    ]
    assert await named(telemetry) == []


async def test_it_adds_up_after_a_replay_a_correction_and_retention(telemetry: AsyncConnection) -> None:
    old = [pressure(number, at=AN_HOUR_AGO - timedelta(days=100 + number)) for number in range(3)]
    future = pressure(7, at=(now() + timedelta(hours=2)).replace(microsecond=0))
    await put(telemetry, message(*old, future), message(future))
    (kept,) = await quarantine.listing(telemetry)
    assert kept.times == 2
    wider = intake.Limits(future=timedelta(hours=3))
    again = await replay.replay(telemetry, Directory(), kept, limits=wider, now=now())
    assert again.replayed is replay.Replayed.STORED
    await judge(telemetry)
    key = Key.of((await corrections.readings_of_device(telemetry, "ble:cuff-1", since=AN_HOUR_AGO))[0])
    await corrections.enter_in_error(telemetry, key, by="duty", reason="a test", now=now())
    assert await named(telemetry) == []


@pytest.mark.parametrize(
    ("damage", "what", "source", "numbers"),
    [
        ("DELETE FROM telemetry.observation WHERE record_no IN (1, 2)", What.ROWS_MISSING, "gw-1", (3, 1)),
        ("DELETE FROM telemetry.touch WHERE batch_id = 1 AND device_id = 2", What.TOUCHES_MISSING, "gw-1", (3, 2)),
        ("DELETE FROM telemetry.batch WHERE stored = 2", What.STORED_WITHOUT_BATCH, "gw-2", (2, 0)),
        (
            "UPDATE telemetry.account SET stored = stored + 1, duplicate = duplicate - 1 WHERE duplicate > 0",
            What.STORED_WITHOUT_BATCH,
            "gw-1",
            (5, 4),
        ),
        ("DELETE FROM telemetry.quarantine", What.QUARANTINE_MISSING, "gw-1", (2, 0)),
        ("UPDATE telemetry.quarantine SET times = 1", What.QUARANTINE_MISSING, "gw-1", (2, 1)),
        ("UPDATE telemetry.batch SET judged_at = NULL WHERE stored = 2", What.NOT_JUDGED, "gw-2", (2, 0)),
    ],
)
async def test_what_was_damaged_is_named(
    telemetry: AsyncConnection, damage: str, what: What, source: str, numbers: tuple[int, int]
) -> None:
    await a_day(telemetry)
    await telemetry.execute(damage.encode())
    assert await named(telemetry, now=now() + HOURS_LATER) == [(what, source, *numbers)]


async def test_an_account_that_does_not_balance_is_refused_by_the_database_and_named_without_its_check(
    telemetry: AsyncConnection,
) -> None:
    await a_day(telemetry)
    await telemetry.execute("ALTER TABLE telemetry.account DROP CONSTRAINT account_balance")
    await telemetry.execute("UPDATE telemetry.account SET sent = sent + 3 WHERE duplicate > 0")
    assert await named(telemetry) == [(What.SENT_UNACCOUNTED, "gw-1", 10, 7)]


async def test_a_replay_that_is_interrupted_between_the_table_and_the_books_leaves_nothing(
    telemetry: AsyncConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    future = pressure(7, at=(now() + timedelta(hours=2)).replace(microsecond=0))
    await put(telemetry, message(pressure(1), future))
    (kept,) = await quarantine.listing(telemetry)

    def killed(*_: object, **__: object) -> Callable[[], Awaitable[bool]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(quarantine, "resolve", killed)
    with pytest.raises(KeyboardInterrupt):
        await replay.replay(telemetry, Directory(), kept, limits=intake.Limits(future=timedelta(hours=3)), now=now())
    monkeypatch.undo()
    await judge(telemetry)
    assert await named(telemetry) == []
    again = await replay.replay(
        telemetry, Directory(), kept, limits=intake.Limits(future=timedelta(hours=3)), now=now()
    )
    assert again.replayed is replay.Replayed.STORED
    await judge(telemetry)
    assert await named(telemetry) == []


async def test_what_has_just_been_stored_is_on_its_way_and_no_difference(telemetry: AsyncConnection) -> None:
    await put(telemetry, message(pressure(1)))
    assert await named(telemetry) == []
    assert await named(telemetry, judged_within=timedelta(0), now=now() + timedelta(seconds=1)) == [
        (What.NOT_JUDGED, "gw-1", 1, 0)
    ]


async def test_what_retention_let_go_is_not_missed(telemetry: AsyncConnection) -> None:
    ancient = pressure(1, at=AN_HOUR_AGO - timedelta(days=200))
    await put(telemetry, message(ancient, pressure(2, device="ble:cuff-2")))
    await judge(telemetry)
    await telemetry.execute("DELETE FROM telemetry.observation WHERE record_no = 1")
    assert [what for what, *_ in await named(telemetry)] == [What.ROWS_MISSING]
    await telemetry.execute(
        "INSERT INTO telemetry.let_go VALUES ('observation', 0, %s, %s)", (AN_HOUR_AGO - timedelta(days=90), now())
    )
    assert await named(telemetry) == []


async def test_batches_and_quarantine_that_are_kept_for_a_time_are_held_against_the_books_for_that_time(
    telemetry: AsyncConnection,
) -> None:
    await a_day(telemetry)
    await telemetry.execute("DELETE FROM telemetry.batch")
    await telemetry.execute("DELETE FROM telemetry.quarantine")
    in_time, later = now() + timedelta(days=20), now() + timedelta(days=40)
    kept = reconcile.Kept(batches=timedelta(days=30), quarantine=timedelta(days=30))
    assert await named(telemetry, now=in_time, kept=kept) == [
        (What.STORED_WITHOUT_BATCH, "gw-1", 4, 0),
        (What.STORED_WITHOUT_BATCH, "gw-2", 2, 0),
    ]
    assert await named(telemetry, now=later, kept=kept) == []


def suifang_ingest(url: str, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUIFANG_INGEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "ingest", *arguments],
        env=kept | {"SUIFANG_INGEST_DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


async def test_the_command_ends_with_1_and_names_the_batch_that_is_short(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    await a_day(telemetry)
    code, lines = suifang_ingest(migrated_database_url, "reconcile")
    assert (code, [line["balanced"] for line in lines]) == (0, [True, True])
    await telemetry.execute("DELETE FROM telemetry.observation WHERE record_no = 2")
    code, lines = suifang_ingest(migrated_database_url, "reconcile")
    assert code == 1
    today = now().date().isoformat()
    assert lines[2:] == [
        {
            "difference": "rows-missing",
            "site": "north",
            "source": "gw-1",
            "day": today,
            "batch_id": 1,
            "expected": 3,
            "found": 2,
        }
    ]
    assert Reason.UNKNOWN_KIND in {kept.reason for kept in await quarantine.listing(telemetry)}

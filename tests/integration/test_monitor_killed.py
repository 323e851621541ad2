"""`suifang-monitor run` as a process: killed while it judges, stopped, two at once, and what it writes to its log."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from psycopg import AsyncConnection

from tests.fix_monitor import Stage, cuff

_ANYTHING_LOCKED = """
SELECT FROM pg_locks WHERE NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


_IDLE = """
SELECT FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle' AND query = 'COMMIT'"""
"""Looked for batches, found none, waits to be told."""


def _environment(url: str) -> dict[str, str]:
    def key() -> str:
        return base64.b64encode(secrets.token_bytes(32)).decode()

    ours = {
        "DATABASE_URL": url,
        "IDENTITY_KEY": key(),
        "BLIND_INDEX_KEY": key(),
        "EDITION": "2011",
        "POLL_SECONDS": "3600",
    }
    return {**os.environ, **{f"SUIFANG_MONITOR_{name}": value for name, value in ours.items()}}


@dataclass(frozen=True)
class Judge:
    """`suifang-monitor run` and where its log goes."""

    process: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[dict[str, object]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    async def ended(self) -> int:
        """Its exit code."""
        return await asyncio.to_thread(self.process.wait)


@contextmanager
def _running(url: str, folder: Path, command: str = "run", **settings: str) -> Iterator[Judge]:
    log = folder / f"{secrets.token_hex(4)}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor", command],
            env=_environment(url) | settings,
            stdin=subprocess.DEVNULL,
            stderr=sink,
        )
        try:
            yield Judge(process, log)
        finally:
            process.kill()
            process.wait()


async def _command(url: str, *command: str, given: str = "") -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "monitor", *command],
        env=_environment(url),
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def _until(stage: Stage, query: str, judge: Judge | None = None) -> None:
    while not await stage.rows(query):
        assert judge is None or judge.process.poll() is None, judge.log.read_text()
        await asyncio.sleep(0.02)


async def test_a_judge_killed_in_the_middle_loses_nothing_and_raises_nothing_twice(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.resident("一", device="ble:A1")
    subject_id = await stage.resident("二", device="ble:A2")
    now = datetime.now(UTC)
    await stage.measure(cuff(186, 112, at=now, device="ble:A1"), cuff(187, 112, at=now, device="ble:A2"), at=now)
    # held at the second person's work item: the first one's alert is written but not committed
    await stage.conn.execute(
        "CREATE FUNCTION monitor.hold() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.severity = 'emergency' THEN PERFORM pg_advisory_xact_lock(4711); END IF; RETURN NEW; END $$"
    )
    await stage.conn.execute(
        "CREATE TRIGGER hold BEFORE INSERT ON monitor.followup FOR EACH ROW EXECUTE FUNCTION monitor.hold()"
    )
    async with await AsyncConnection.connect(stage.url, autocommit=True) as gate:
        await gate.execute("SELECT pg_advisory_lock(4711)")
        with _running(stage.url, tmp_path) as victim:
            await _until(stage, _ANYTHING_LOCKED, victim)
            victim.process.send_signal(signal.SIGKILL)
            assert await victim.ended() == -signal.SIGKILL
        await gate.execute("SELECT pg_advisory_unlock(4711)")
    await _until(stage, "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory')")
    assert await stage.rows("SELECT count(*) FROM monitor.alert") == [(0,)]
    assert await stage.rows("SELECT count(*) FROM telemetry.batch WHERE judged_at IS NULL") == [(1,)]

    with _running(stage.url, tmp_path) as heir:
        await _until(stage, "SELECT FROM telemetry.batch WHERE judged_at IS NOT NULL", heir)
    found = await stage.rows("SELECT severity, count(*), count(DISTINCT subject_id) FROM monitor.alert GROUP BY 1")
    assert found == [("emergency", 2, 2)]
    assert await stage.rows(
        f"SELECT kind, repeats FROM monitor.followup WHERE subject_id = '{subject_id}' AND alert_id IS NOT NULL"
    ) == [("emergency", 0)]


async def test_two_judges_at_once_share_the_batches_and_raise_each_alert_once(stage: Stage, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for number in range(8):
        await stage.resident(f"人{number}", device=f"ble:A{number}")
    for _ in range(3):
        for number in range(8):
            await stage.measure(cuff(186, 112, at=datetime.now(UTC), device=f"ble:A{number}"), at=now)
    with _running(stage.url, tmp_path) as one, _running(stage.url, tmp_path) as two:
        done = "SELECT 1 WHERE NOT EXISTS (SELECT FROM telemetry.batch WHERE judged_at IS NULL)"
        await _until(stage, done, one)
        assert two.process.poll() is None
    counts = await stage.rows("SELECT count(*), sum(repeats) FROM monitor.alert")
    assert counts == [(8, 16)]


async def test_a_new_batch_wakes_the_judge_and_a_signal_ends_it(stage: Stage, tmp_path: Path) -> None:
    await stage.resident()
    with _running(stage.url, tmp_path) as judge:
        await _until(stage, _IDLE, judge)
        now = datetime.now(UTC)
        await stage.measure(cuff(186, 112, at=now), at=now)
        await _until(stage, "SELECT FROM monitor.alert", judge)
        judge.process.send_signal(signal.SIGINT)
        assert await judge.ended() == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_the_desk_answers_and_a_signal_ends_it(stage: Stage, tmp_path: Path, signum: signal.Signals) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with _running(stage.url, tmp_path, "web", SUIFANG_MONITOR_PORT=str(port)) as desk:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as browser:
            answer = None
            while answer is None:
                assert desk.process.poll() is None, desk.log.read_text()
                try:
                    answer = await browser.get("/login")
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
        assert answer.status_code == 200
        desk.process.send_signal(signum)
        assert await desk.ended() == 0


async def test_the_judge_waits_out_a_lost_connection(stage: Stage, tmp_path: Path) -> None:
    await stage.resident()
    with _running(stage.url, tmp_path) as judge:
        await _until(stage, _IDLE, judge)
        await stage.conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        now = datetime.now(UTC)
        await stage.measure(cuff(186, 112, at=now), at=now)
        await _until(stage, "SELECT FROM monitor.alert", judge)


async def test_the_log_is_json_and_names_nobody(stage: Stage, tmp_path: Path) -> None:
    await stage.resident("陈秀兰")
    await stage.resident("周明", device="ble:B2")
    await stage.conn.execute("UPDATE monitor.identity SET phone_index = NULL")
    now = datetime.now(UTC)
    readings = (cuff(186, 112, at=now), cuff(190, 112, at=now, device="ble:B2", facts=("simulated",)))
    await stage.measure(*readings, at=now)
    with _running(stage.url, tmp_path) as judge:
        await _until(stage, "SELECT FROM telemetry.batch WHERE judged_at IS NOT NULL", judge)
        judge.process.send_signal(signal.SIGTERM)
        assert await judge.ended() == 0
        lines = judge.lines()
    events = [line["event"] for line in lines]
    assert "batch judged" in events
    assert "reading and resident are not both simulated or both real" in events
    text = json.dumps(lines, ensure_ascii=False)
    for secret in ("陈秀兰", "周明", "陈大明", "青霉素", "1380000", "1390000", "11010519"):
        assert secret not in text


async def test_a_schema_that_is_not_migrated_is_said_in_one_line(database_url: str) -> None:
    code, _, err = await _command(database_url, "run")
    assert code == 1
    assert "suifang-ingest migrate" in err


async def test_a_misspelt_setting_is_refused_and_no_secret_is_repeated(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUIFANG_MONITOR_EDITON", "2011")
    code, _, err = await _command(database_url, "run")
    assert code == 2
    assert "SUIFANG_MONITOR_EDITON" in err
    assert "postgresql://" not in err


async def test_accounts_are_added_and_the_trail_is_verified_from_the_command_line(stage: Stage) -> None:
    arguments = ("user", "add", "zhang", "--name", "张敏", "--site", "dongyuan")
    code, out, err = await _command(stage.url, *arguments, given="a long enough password\n")
    assert (code, out[:5], err) == (0, "user ", "")
    assert await stage.rows("SELECT role, sites FROM monitor.app_user") == [("nurse", ["dongyuan"])]
    assert await _command(stage.url, "audit", "verify") == (0, "whole\n", "")
    await stage.conn.execute("SET session_replication_role = replica")
    await stage.conn.execute("UPDATE monitor.audit SET actor = 'somebody'")
    assert await _command(stage.url, "audit", "verify") == (1, "", "audit row 1: changed\n")

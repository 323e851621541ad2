"""The commands as a stranger uses them: what is wrong is named in a line, with a status, without secrets or rows."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection

from devices.observation import Absent
from ingest import assignments, commit, corrections, observations
from ingest.corrections import Key
from ingest.directory import Directory
from tests.fix_ingest import (
    AN_HOUR_AGO,
    PATIENCE_SECONDS,
    assert_refused,
    ingest_environment,
    message,
    pressure,
    suifang_ingest,
    taken,
)

SAID = ("--by", "duty", "--reason", "typed wrong")
SYSTOLIC = 150021
NOWHERE = "postgresql://postgres@127.0.0.1:1/nothing"


async def put(conn: AsyncConnection, *payloads: bytes) -> None:
    await commit.store_with_retry(conn, Directory(), [taken(p) for p in payloads], now=datetime.now(UTC))


def raw_content(url: str, number: int) -> bytes:
    command = [sys.executable, "-m", "ingest", "quarantine", "show", str(number), "--raw"]
    return subprocess.run(command, env=ingest_environment(url), capture_output=True, check=True).stdout


async def key_of_the_newest(conn: AsyncConnection) -> str:
    (reading,) = await corrections.readings_of_device(conn, "ble:cuff-1", since=AN_HOUR_AGO, limit=1)
    return str(Key.of(reading))


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        ("quarantine list --reason nonsense", 2, "future-time"),
        ("quarantine show 99", 1, "suifang-ingest: no row 99 in quarantine"),
        ("replay --future-seconds inf", 2, "--future-seconds"),
        ("replay --future-seconds -1", 2, "--future-seconds"),
        ("correct readings ble:nobody", 1, "suifang-ingest: no device ble:nobody"),
        ("correct readings ble:nobody --days 99999999999", 2, "--days"),
        ("correct history 1:2:3:4", 1, "suifang-ingest: no reading 1:2:3:4"),
        ("correct amend 1:2:3:4 --value 0=1 --value 0=2 --by x --reason y", 1, "--value: one slot is given twice"),
        ("correct amend 1:2:3:4 --value 0 --by x --reason y", 1, "--value: given as slot=number"),
        ("reconcile --since 2026-13-45", 2, "--since"),
    ],
)
def test_what_cannot_be_done_is_named_with_what_is_wrong_about_it(
    migrated_database_url: str, arguments: str, status: int, complaint: str
) -> None:
    assert_refused(migrated_database_url, arguments, status=status, complaint=complaint)


@pytest.mark.parametrize("command", ["rollup --anew", "correct error KEY --by duty --reason x", "replay"])
async def test_a_database_that_takes_nothing_is_told_of_in_a_line(
    telemetry: AsyncConnection, migrated_database_url: str, command: str
) -> None:
    await put(telemetry, message(pressure(1)), message(pressure(1, values=(99.0, 80.0, 93.0, 66.0))))
    await telemetry.execute("UPDATE telemetry.quarantine SET reason = 'future-time', content = %s", (b"{}",))
    key = await key_of_the_newest(telemetry)
    await telemetry.execute(
        "UPDATE telemetry.quarantine SET content = %s",
        (json.dumps(json.loads(message(pressure(2)))["observations"][0]).encode(),),
    )
    await telemetry.execute(f"ALTER DATABASE {telemetry.info.dbname} SET default_transaction_read_only TO on")
    code, lines, told = suifang_ingest(migrated_database_url, *command.replace("KEY", key).split())
    assert (code, lines) == (1, [])
    assert told.startswith("suifang-ingest: the database does not do it: cannot execute")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    "address", ["postgres:/duty:s3cret@host/db", "dbname=x password=s3cret", "postgresql://u:s3cret%%@h"]
)
def test_an_address_that_cannot_be_read_is_refused_without_being_shown(address: str) -> None:
    code, lines, told = suifang_ingest(address, "status")
    assert (code, lines) == (2, [])
    assert told.startswith("suifang-ingest: SUIFANG_INGEST_DATABASE_URL: ")
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("keep_days", "99999999999", "KEEP_DAYS: Input should be less than or equal to 36600"),
        ("keep_concept_days", '{"happiness": 3}', "KEEP_CONCEPT_DAYS: no such concept: happiness"),
        ("keep_concept_days", "nonsense", "KEEP_CONCEPT_DAYS: error parsing value"),
        ("rollup_seconds", "nan", "ROLLUP_SECONDS: Input should be a finite number"),
        ("session_expiry_seconds", "99999999999", "SESSION_EXPIRY_SECONDS: Input should be less than or equal to"),
        ("site_zone", "Mars/Base", "SITE_ZONE: no such time zone: Mars/Base"),
        ("broker_ca_file", "/nowhere/ca.pem", "BROKER_CA_FILE: no such file: /nowhere/ca.pem"),
        ("part", "1", "PARTS: part is counted from 0"),
    ],
)
def test_a_setting_that_is_wrong_is_named_with_what_is_wrong_about_it(setting: str, value: str, complaint: str) -> None:
    code, lines, told = suifang_ingest(NOWHERE, "status", **{setting: value})
    assert (code, lines) == (2, [])
    assert f"suifang-ingest: SUIFANG_INGEST_{complaint}" in told


def test_a_certificate_that_is_none_ends_the_service_with_a_line(migrated_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    code, _, told = suifang_ingest(migrated_database_url, "run", broker_ca_file=str(tmp_path / "ca.pem"))
    assert code == 1
    assert told.splitlines()[-1].startswith("suifang-ingest: ")
    assert "Traceback" not in told


async def test_what_is_no_text_is_shown_readable_exact_and_raw(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    octets = b"\xff\x00\x1b[31m\\xff \xed\xa0\x80 " + "冯".encode()
    huge = b"[" * 1_048_577
    await put(telemetry, octets)
    await put(telemetry, huge)
    _, (line,), _ = suifang_ingest(migrated_database_url, "quarantine", "show", "1")
    assert base64.b64decode(line["content_base64"]) == octets
    assert line["content"].startswith("\\xff\x00")
    _, (line,), _ = suifang_ingest(migrated_database_url, "quarantine", "show", "2")
    assert (line["content"].encode(), line["reason"], "content_base64" in line) == (huge, "too-large", False)
    assert raw_content(migrated_database_url, 1) == octets
    _, listed, _ = suifang_ingest(migrated_database_url, "quarantine", "list")
    assert [(line["quarantine_id"], line["content_bytes"]) for line in listed] == [(2, len(huge)), (1, len(octets))]


def test_without_a_setting_to_keep_less_it_says_that_everything_is_kept(migrated_database_url: str) -> None:
    code, lines, told = suifang_ingest(migrated_database_url, "retain")
    assert (code, lines) == (0, [])
    assert "everything is kept" in told


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_service_can_be_stopped_while_it_waits_for_its_database(how: signal.Signals) -> None:
    command = [sys.executable, "-m", "ingest", "run"]
    with subprocess.Popen(command, env=ingest_environment(NOWHERE), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "waiting" in process.stderr.readline()
        process.send_signal(how)
        try:
            assert process.wait(PATIENCE_SECONDS) == 0
        finally:
            process.kill()


async def test_a_number_no_instrument_measures_does_not_end_the_questions_of_a_dashboard(
    telemetry: AsyncConnection,
) -> None:
    await put(
        telemetry,
        message(
            pressure(1, values=(16.0, 10.0), unit="kPa"),
            pressure(2, values=(1.7e308, -1.7e308), unit="kPa"),
            pressure(3, values=(5e-324, 0.0), unit="kPa"),
        ),
    )
    query = "SELECT record_no, slot, value, reported_value FROM telemetry.reading ORDER BY record_no, slot"
    async with telemetry.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        found = await (await cursor.execute(query)).fetchall()
    assert found == [
        (1, 0, 120.009869, 16.0),
        (1, 1, 75.006168, 10.0),
        (2, 0, None, 1.7e308),
        (2, 1, None, -1.7e308),
        (3, 0, None, 5e-324),
        (3, 1, 0.0, 0.0),
    ]
    subject = uuid4()
    await assignments.assign_device(telemetry, "ble:cuff-1", subject, since=AN_HOUR_AGO, by="duty", now=AN_HOUR_AGO)
    until = AN_HOUR_AGO + timedelta(hours=1)
    points = await observations.series(telemetry, subject, SYSTOLIC, since=AN_HOUR_AGO, until=until)
    assert [(point.value, point.absent) for point in points] == [
        (120.009869, Absent.PRESENT),
        (None, Absent.POSITIVE_INFINITY),
        (0.0, Absent.PRESENT),
    ]


async def test_a_row_of_which_nothing_can_be_made_is_closed_and_still_counts_as_refused(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    url = migrated_database_url
    await put(telemetry, b"no message", message(pressure(1)))
    code, lines, _ = suifang_ingest(url, "quarantine", "close", "1", "--by", "duty", "--reason", "sent again")
    assert (code, lines) == (0, [{"quarantine_id": 1, "outcome": "closed"}])
    assert suifang_ingest(url, "quarantine", "list")[1] == []
    _, (line,), _ = suifang_ingest(url, "quarantine", "show", "1")
    assert (line["resolution"], line["content"]) == ("closed: duty: sent again", "no message")
    _, (line,), _ = suifang_ingest(url, "reconcile")
    assert (line["stored"], line["refused"]) == (1, 1)
    for number, complaint in (("1", "is resolved already: closed: duty: sent again"), ("7", "no row 7")):
        code, _, told = suifang_ingest(url, "quarantine", "close", number, "--by", "duty", "--reason", "again")
        assert (code, complaint in told) == (1, True)

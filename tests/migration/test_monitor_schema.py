"""What stood in the monitor's tables before a migration stands right after it."""

from __future__ import annotations

import uuid
from importlib.resources import files

import psycopg
import pytest

from ingest import database as telemetry
from monitor import database as desk
from monitor.severity import KIND_ORDER
from tests.fix_ingest import ask


def _migrated_to(url: str, last: str) -> None:
    """The monitor's schema as an older program left it."""
    telemetry.migrate(url)
    folder = files("monitor").joinpath("migrations")
    with psycopg.connect(url, autocommit=True) as conn:
        for entry in sorted(entry.name for entry in folder.iterdir()):
            if entry.endswith(".sql") and entry <= last:
                conn.execute(folder.joinpath(entry).read_bytes())


def _put_item(conn: psycopg.Connection, found_severity: str, severity: str, queue: str, state: str = "open") -> int:
    """A resident, an alert, its finding and its item in the section of two weeks."""
    subject = uuid.uuid4()
    conn.execute(
        "INSERT INTO monitor.patient (subject_id, sex, birth_date, site, added_at)"
        " VALUES (%s, 1, '1950-01-01', 'x', now())",
        (subject,),
    )
    alert = conn.execute(
        "INSERT INTO monitor.alert (subject_id, condition, severity, opened_at, late)"
        " VALUES (%s, 'blood_pressure', %s, now(), false) RETURNING alert_id",
        (subject, severity),
    ).fetchone()
    assert alert
    finding = conn.execute(
        "INSERT INTO monitor.finding (alert_id, subject_id, rule_id, evidence_key, reason, found_severity, severity,"
        " late, measured_at, raised_at, evidence) VALUES (%s, %s, 'ht.emergency', '1:2:3:0', 'new', %s, %s, false,"
        " now(), now(), jsonb_build_object('queue', %s::text)) RETURNING finding_id",
        (alert[0], subject, found_severity, severity, queue),
    ).fetchone()
    assert finding
    item = conn.execute(
        "INSERT INTO monitor.followup (subject_id, kind, severity, state, alert_id, finding_id, sentence_zh,"
        " sentence_en, citation, raised_at, closed_at, outcome)"
        " SELECT %s, 'two_weeks', %s, %s::text, %s, %s, 'zh', 'en', '{}', now(),"
        " CASE WHEN %s::text = 'closed' THEN now() END, CASE WHEN %s::text = 'closed' THEN 'refused' END"
        " RETURNING followup_id",
        (subject, severity, state, alert[0], finding[0], state, state),
    ).fetchone()
    assert item
    return int(item[0])


@pytest.fixture
def old_url(database_url: str) -> str:
    """A database as the first monitor left it, with items of both sorts."""
    _migrated_to(database_url, "0001_monitor.sql")
    with psycopg.connect(database_url, autocommit=True) as conn:
        assert _put_item(conn, "worsening", "due", "worsening") == 1
        assert _put_item(conn, "due", "due", "two_weeks") == 2
        assert _put_item(conn, "worsening", "due", "worsening", "closed") == 3
        folder = files("monitor").joinpath("migrations")
        for entry in sorted(entry.name for entry in folder.iterdir()):
            if entry.endswith(".sql") and entry > "0001_monitor.sql":
                conn.execute(folder.joinpath(entry).read_bytes())
    return database_url


def test_what_was_doubtful_or_late_moves_to_its_own_section(old_url: str) -> None:
    kinds = ask(old_url, "SELECT followup_id, kind FROM monitor.followup ORDER BY followup_id")
    assert kinds == [(1, "recheck"), (2, "two_weeks"), (3, "two_weeks")]


def test_a_migrated_database_takes_every_section(migrated_database_url: str) -> None:
    ((check,),) = ask(
        migrated_database_url,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'followup_kind_known'",
    )
    assert [kind for kind in KIND_ORDER if f"'{kind}'" not in check] == []


def test_migrating_twice_changes_nothing(migrated_database_url: str) -> None:
    desk.migrate(migrated_database_url)
    ((applied,),) = ask(migrated_database_url, "SELECT count(*) FROM monitor_migration")
    folder = files("monitor").joinpath("migrations")
    assert applied == sum(entry.name.endswith(".sql") for entry in folder.iterdir())

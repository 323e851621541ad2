"""Who registers devices and says whose they are needs nothing but the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection

from ingest import commit, observations
from ingest.directory import Directory
from tests.fix_ingest import AN_HOUR_AGO, assert_refused, message, pressure, suifang_ingest, taken

SUBJECT, OTHER = "5f000000-0000-4000-8000-000000000001", "5f000000-0000-4000-8000-000000000002"
EARLIER = (AN_HOUR_AGO - timedelta(days=1)).isoformat()
SINCE = ("--since", EARLIER, "--by", "duty")


async def put(conn: AsyncConnection) -> None:
    sent = message(
        pressure(1, slot=1), pressure(2, slot=2), pressure(3, session="kiosk-7.81"), pressure(4, device="ble:cuff-2")
    )
    await commit.store_with_retry(conn, Directory(), [taken(sent)], now=datetime.now(UTC))


async def test_what_was_heard_is_registered_assigned_ended_and_revoked(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    url = migrated_database_url
    await put(telemetry)

    def left() -> list[tuple[str, int | None, str | None]]:
        _, lines, _ = suifang_ingest(url, "unassigned")
        return sorted((line["device"], line["user_slot"], line["session"]) for line in lines)

    _, heard, _ = suifang_ingest(url, "device", "list", "--unregistered")
    assert {line["device"] for line in heard} == {"ble:cuff-1", "ble:cuff-2"}
    cuff = ("device", "register", "ble:cuff-1", "--concept", "blood_pressure")
    assert suifang_ingest(url, *cuff, "--label", "cuff 12", "--serial", "A1")[0] == 0
    assert suifang_ingest(url, "device", "register", "ble:cuff-1", "--model", "M3")[0] == 0
    _, heard, _ = suifang_ingest(url, "device", "list")
    (cuff_1,) = (line for line in heard if line["registered_at"])
    assert [cuff_1[name] for name in ("device", "concept", "label", "serial", "model")] == [
        *("ble:cuff-1", "blood_pressure", "cuff 12", "A1", "M3")
    ]
    of_slot = ("assign", "device", "ble:cuff-1", SUBJECT, "--user-slot", "2", *SINCE)
    code, (made,), _ = suifang_ingest(url, *of_slot)
    assert (code, made["outcome"]) == (0, "assigned")
    assert suifang_ingest(url, "assign", "session", "kiosk-7.81", OTHER, *SINCE)[0] == 0
    assert left() == [("ble:cuff-1", 1, None), ("ble:cuff-2", None, None)]
    code, lines, told = suifang_ingest(url, "assign", "device", "ble:cuff-1", OTHER, *SINCE)
    assert (code, lines, told) == (
        1,
        [],
        "suifang-ingest: The device or session is already assigned in that period.\n",
    )
    number = str(made["assignment_id"])
    ended = ("assign", "end", number, "--until", AN_HOUR_AGO.isoformat(), "--by", "duty")
    assert [suifang_ingest(url, *ended)[0] for _ in range(2)] == [0, 1]
    _, (told_of,), _ = suifang_ingest(url, "assign", "list", SUBJECT)
    assert (str(told_of["assignment_id"]), datetime.fromisoformat(told_of["until"])) == (number, AN_HOUR_AGO)
    assert len(left()) == 3
    assert [suifang_ingest(url, "assign", "revoke", number)[0] for _ in range(2)] == [0, 1]
    changes = [await observations.claim_change(telemetry)]
    assert changes[0] is not None
    assert str(changes[0].subject_id) == SUBJECT


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        ("device register nonsense", 1, "DEVICE: 'nonsense' is no such name"),
        ("device register ble:x --concept happiness", 1, "--concept: 'happiness' is none of "),
        (f"assign device ble:nobody {SUBJECT} --since 2026-03-01T08:00+08:00 --by duty", 1, "no device ble:nobody"),
        ("assign device ble:x nobody --since 2026-03-01T08:00+08:00 --by duty", 2, "subject"),
        (
            f"assign session s {SUBJECT} --since 2026-03-01T08:00 --by duty",
            1,
            "--since: '2026-03-01T08:00' has no zone",
        ),
        (f"assign session s {SUBJECT} --since yesterday --by duty", 1, "--since: 'yesterday' is no time"),
        (
            f"assign session s {SUBJECT} --since 2026-03-01T08:00Z --until 2026-03-01T08:00Z --by duty",
            1,
            "until: not after since",
        ),
        ("assign end 7 --until 2026-03-01T08:00+08:00 --by duty", 1, "no assignment 7"),
        ("assign revoke 7", 1, "no assignment 7"),
    ],
)
def test_what_cannot_be_assigned_is_named_with_what_is_wrong_about_it(
    migrated_database_url: str, arguments: str, status: int, complaint: str
) -> None:
    assert_refused(migrated_database_url, arguments, status=status, complaint=complaint)

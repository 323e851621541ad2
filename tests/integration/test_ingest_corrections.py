"""Stored readings that were wrong: what holds now is read everywhere, what was is kept and nobody can change it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import AsyncConnection

from devices.message import Reason
from devices.nomenclature import BODY_COMPOSITION
from devices.observation import Absent, Fact, Observation
from ingest import assignments, commit, corrections, observations, quarantine, reconcile
from ingest.commit import Stored
from ingest.corrections import Corrected, Key, Status
from ingest.directory import Directory
from ingest.errors import CannotCorrect, UnknownName
from tests.fix_ingest import AN_HOUR_AGO, message, pressure, suifang_ingest, taken

BY: dict[str, Any] = {"by": "duty", "reason": "typed for the neighbour", "now": datetime(2026, 11, 2, tzinfo=UTC)}
LONG_AGO = AN_HOUR_AGO - timedelta(days=30)


async def put(conn: AsyncConnection, *sent: Observation) -> Stored:
    now = datetime.now(UTC)
    return await commit.store_with_retry(conn, Directory(), [taken(message(*sent))], now=now)


async def owner(conn: AsyncConnection, uid: str = "ble:cuff-1") -> UUID:
    subject, now = uuid4(), datetime.now(UTC)
    await assignments.register_device(conn, uid, concept=None, label=None, now=now)
    await assignments.assign_device(conn, uid, subject, since=LONG_AGO, by="test", now=now)
    return subject


async def seen(conn: AsyncConnection, subject: UUID) -> list[observations.StoredObservation]:
    return await observations.window(conn, subject, since=LONG_AGO, until=datetime.now(UTC))


async def key_of(conn: AsyncConnection, uid: str = "ble:cuff-1") -> Key:
    (only,) = await corrections.readings_of_device(conn, uid, since=LONG_AGO)
    return Key.of(only)


async def test_an_amended_reading_says_the_new_values_and_its_history_the_old(telemetry: AsyncConnection) -> None:
    subject = await owner(telemetry)
    await put(telemetry, pressure(1))
    key = await key_of(telemetry)
    assert await corrections.amend(telemetry, key, {0: 136.0, 3: None}, **BY) is Corrected.CORRECTED
    (found,) = await seen(telemetry, subject)
    assert (found.values, found.absent) == ((136.0, 80.0, 93.0, None), {3: Absent.NOT_SENT})
    assert Fact.AMENDED in Fact(found.facts)
    (line,) = await corrections.history(telemetry, key)
    assert (line.status, line.by, line.reason, line.at) == (Status.AMENDED, "duty", BY["reason"], BY["now"])
    assert (line.was.values, line.now.values) == ((121.0, 80.0, 93.0, 66.0), (136.0, 80.0, 93.0, None))
    assert corrections.as_it_was(found, line.was).values == (121.0, 80.0, 93.0, 66.0)
    rows = await (await telemetry.execute("SELECT slot, value FROM telemetry.reading ORDER BY slot")).fetchall()
    assert rows == [(0, 136.0), (1, 80.0), (2, 93.0)]


async def test_what_was_entered_in_error_is_kept_but_is_nobodys_latest_and_no_reading_of_the_views(
    telemetry: AsyncConnection,
) -> None:
    subject = await owner(telemetry)
    await put(telemetry, pressure(1))
    await put(telemetry, pressure(2))
    second = Key.of((await corrections.readings_of_device(telemetry, "ble:cuff-1", since=LONG_AGO))[0])
    assert await corrections.enter_in_error(telemetry, second, **BY) is Corrected.CORRECTED
    assert await corrections.enter_in_error(telemetry, second, **BY) is Corrected.UNCHANGED
    assert [o.record_no for o in await observations.latest(telemetry, subject)] == [1]
    moments = await observations.latest_moments(telemetry, [subject])
    assert moments == {subject: AN_HOUR_AGO + timedelta(seconds=1)}
    for view in ("reading", "subject_observation"):
        rows = await (await telemetry.execute(f"SELECT DISTINCT record_no FROM telemetry.{view}".encode())).fetchall()
        assert rows == [(1,)], view
    shown = [(o.record_no, Fact.ENTERED_IN_ERROR in Fact(o.facts)) for o in await seen(telemetry, subject)]
    assert shown == [(1, False), (2, True)]


async def test_a_reading_reinstated_counts_again_and_all_three_steps_stay(telemetry: AsyncConnection) -> None:
    subject = await owner(telemetry)
    await put(telemetry, pressure(1))
    key = await key_of(telemetry)
    await corrections.enter_in_error(telemetry, key, **BY)
    with pytest.raises(CannotCorrect, match="reinstate it first"):
        await corrections.amend(telemetry, key, {0: 130.0}, **BY)
    await corrections.reinstate(telemetry, key, **BY)
    await corrections.amend(telemetry, key, {0: 130.0}, **BY)
    assert [o.values[0] for o in await observations.latest(telemetry, subject)] == [130.0]
    assert [line.status for line in await corrections.history(telemetry, key)] == [
        Status.ENTERED_IN_ERROR,
        Status.REINSTATED,
        Status.AMENDED,
    ]


async def test_a_repeat_of_what_an_amended_reading_was_stays_a_duplicate(telemetry: AsyncConnection) -> None:
    await put(telemetry, pressure(1))
    key = await key_of(telemetry)
    await corrections.amend(telemetry, key, {0: 136.0}, **BY)
    await corrections.amend(telemetry, key, {0: 137.0}, **BY)
    for same in (pressure(1), pressure(1, values=(136.0, 80.0, 93.0, 66.0)), pressure(1, values=(137.0, 80, 93, 66))):
        again = await put(telemetry, same)
        assert (again.stored, again.duplicate, again.refused) == (0, 1, 0)
    other = await put(telemetry, pressure(1, values=(140.0, 80.0, 93.0, 66.0)))
    assert [r.reason for r in other.receipts[0].refused] == [Reason.RECORD_REUSED]


@pytest.mark.parametrize(
    ("statement", "status", "systolic"),
    [
        ({"facts": ("amended",), "values": (136.0, 80.0, 93.0, 66.0)}, Status.AMENDED, 136.0),
        ({"facts": ("entered-in-error",)}, Status.ENTERED_IN_ERROR, 121.0),
    ],
)
async def test_a_sources_word_that_its_reading_is_wrong_waits_for_a_person_and_is_then_applied(
    telemetry: AsyncConnection, statement: dict[str, Any], status: Status, systolic: float
) -> None:
    await put(telemetry, pressure(1))
    said = await put(telemetry, pressure(1, **statement))
    assert [r.reason for r in said.receipts[0].refused] == [Reason.RECORD_REUSED]
    (kept,) = await quarantine.listing(telemetry)
    assert await corrections.accept(telemetry, kept.quarantine_id, **BY) is Corrected.CORRECTED
    key = await key_of(telemetry)
    assert [line.status for line in await corrections.history(telemetry, key)] == [status]
    found = await corrections.find(telemetry, key)
    assert found is not None
    assert found.values[0] == systolic
    assert await quarantine.listing(telemetry) == []
    again = await put(telemetry, pressure(1, **statement))
    assert (again.duplicate, again.refused) == (1, 0)
    assert all(line.balanced for line in await reconcile.reconcile(telemetry))


async def test_what_a_device_said_later_under_the_same_number_can_be_accepted_or_left(
    telemetry: AsyncConnection,
) -> None:
    await put(telemetry, pressure(1), pressure(2))
    await put(telemetry, pressure(1, values=(99.0, 60.0)), pressure(2, unit="kPa", values=(16.0, 10.0)))
    reused, wrong_unit = sorted(await quarantine.listing(telemetry), key=lambda kept: b"kPa" in kept.content)
    with pytest.raises(CannotCorrect, match="stored in mm"):
        await corrections.accept(telemetry, wrong_unit.quarantine_id, **BY)
    await corrections.accept(telemetry, reused.quarantine_id, **BY)
    with pytest.raises(UnknownName):
        await corrections.accept(telemetry, reused.quarantine_id, **BY)
    kept = await quarantine.find(telemetry, wrong_unit.quarantine_id)
    assert kept is not None
    assert kept.resolved_at is None


async def test_a_record_of_an_odd_clock_is_found_by_what_its_source_says_of_it(telemetry: AsyncConnection) -> None:
    stamp = (AN_HOUR_AGO - timedelta(days=9000)).replace(tzinfo=None)
    await put(telemetry, pressure(1, device_at=stamp))
    await put(telemetry, pressure(1, device_at=stamp, facts=("entered-in-error",)))
    (kept,) = await quarantine.listing(telemetry)
    assert await corrections.accept(telemetry, kept.quarantine_id, **BY) is Corrected.CORRECTED


async def test_values_past_the_fourth_and_impossible_ones_are_amended_too(telemetry: AsyncConnection) -> None:
    await put(
        telemetry,
        pressure(1, device="ble:scale", kind=BODY_COMPOSITION, unit="%", values=(20.0, None, 1.7, None, 40.0)),
    )
    key = await key_of(telemetry, "ble:scale")
    await corrections.amend(telemetry, key, {4: None, 6: 30.0}, **BY)
    found = await corrections.find(telemetry, key)
    assert found is not None
    assert (found.values[4:], found.absent[4]) == ((None, None, 30.0), Absent.NOT_SENT)
    await corrections.amend(telemetry, key, {0: 900.0}, **BY)
    found = await corrections.find(telemetry, key)
    assert found is not None
    assert Fact.IMPLAUSIBLE in Fact(found.facts)
    await corrections.amend(telemetry, key, {0: 21.0}, **BY)
    found = await corrections.find(telemetry, key)
    assert found is not None
    assert Fact.IMPLAUSIBLE not in Fact(found.facts)


@pytest.mark.parametrize(
    ("values", "how", "why"),
    [
        ({}, BY, "no value"),
        ({9: 1.0}, BY, "has no value 9"),
        ({0: float("nan")}, BY, "a number or none"),
        ({0: 1.0}, BY | {"reason": " "}, "who corrects and why"),
    ],
)
async def test_what_cannot_be_corrected_is_refused_and_changes_nothing(
    telemetry: AsyncConnection, values: dict[int, float | None], how: dict[str, Any], why: str
) -> None:
    await put(telemetry, pressure(1))
    key = await key_of(telemetry)
    with pytest.raises(CannotCorrect, match=why):
        await corrections.amend(telemetry, key, values, **how)
    found = await corrections.find(telemetry, key)
    assert found is not None
    assert (found.values[0], await corrections.history(telemetry, key)) == (121.0, [])


async def test_the_history_takes_no_change_and_no_deletion(telemetry: AsyncConnection) -> None:
    await put(telemetry, pressure(1))
    key = await key_of(telemetry)
    await corrections.enter_in_error(telemetry, key, **BY)
    for attempt in (
        "UPDATE telemetry.correction SET reason = 'nothing was wrong'",
        "UPDATE telemetry.correction SET was_values = '{1,2,3,4}', judged_at = now()",
        "DELETE FROM telemetry.correction",
        "TRUNCATE telemetry.correction",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await telemetry.execute(attempt.encode())
    claimed = await corrections.claim_correction(telemetry)
    assert claimed is not None
    await corrections.mark_correction_judged(telemetry, claimed.correction_id, BY["now"])
    assert await corrections.claim_correction(telemetry) is None


async def test_an_operator_finds_amends_and_looks_back_from_the_command_line(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    await put(telemetry, pressure(1))
    url = migrated_database_url
    _, (listed,), _ = suifang_ingest(url, "correct", "readings", "ble:cuff-1")
    said = ("--by", "duty", "--reason", "typed for the neighbour")
    code, (done,), _ = suifang_ingest(url, "correct", "amend", listed["key"], "--value", "0=136", *said)
    assert (code, done) == (0, {"key": listed["key"], "outcome": "corrected"})
    assert suifang_ingest(url, "correct", "error", listed["key"], *said)[0] == 0
    _, lines, _ = suifang_ingest(url, "correct", "history", listed["key"])
    assert [(line["status"], line["by"], line["was"]["values"][0]) for line in lines] == [
        ("amended", "duty", 121.0),
        ("entered-in-error", "duty", 136.0),
    ]
    for wrong, complaint in (("1:2:3", "names no reading"), ("9:9:9:9", "no reading 9:9:9:9")):
        code, lines, told = suifang_ingest(url, "correct", "error", wrong, *said)
        assert (code, lines) == (1, [])
        assert complaint in told


@pytest.mark.parametrize(
    "later",
    [
        pressure(1, values=(136.0, 82.0, 93.0, 66.0)),
        pressure(1, values=(136.0,)),
        pressure(1, values=(None, 80.0, 93.0, 66.0), absent={0: "positive-infinity"}),
        pressure(1, values=(136.0, 82.0, None), absent={2: "unsuccessful", 3: "not-a-number"}),
    ],
    ids=["other-values", "fewer-values", "another-reason-of-absence", "both"],
)
async def test_what_was_accepted_is_a_duplicate_when_its_source_sends_it_again(
    telemetry: AsyncConnection, later: Observation
) -> None:
    await put(telemetry, pressure(1))
    assert (await put(telemetry, later)).refused == 1
    (kept,) = await quarantine.listing(telemetry)
    assert await corrections.accept(telemetry, kept.quarantine_id, **BY) is Corrected.CORRECTED
    assert [(await put(telemetry, again)).duplicate for again in (later, pressure(1), later)] == [1, 1, 1]
    found = await corrections.find(telemetry, await key_of(telemetry))
    assert found is not None
    assert found.values[: len(later.values)] == later.values
    assert {slot: reason.name.lower().replace("_", "-") for slot, reason in found.absent.items()} == later.absent


async def test_what_is_another_users_corrects_no_reading(telemetry: AsyncConnection) -> None:
    await put(telemetry, pressure(1, slot=1))
    assert (await put(telemetry, pressure(1, slot=2))).refused == 1
    (kept,) = await quarantine.listing(telemetry)
    with pytest.raises(CannotCorrect, match="slot: it is stored for user 1, this is of user 2"):
        await corrections.accept(telemetry, kept.quarantine_id, **BY)
    assert len(await quarantine.listing(telemetry)) == 1

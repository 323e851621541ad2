"""The published read side: batches to judge, windows of a subject, and assignments that touch no reading."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection, sql

from devices.nomenclature import BLOOD_PRESSURE, BODY_TEMPERATURE, PULSE_OXIMETRY
from devices.observation import Absent, Fact, Observation
from ingest import assignments, commit, corrections, database, observations
from ingest.corrections import Key
from ingest.directory import Directory
from ingest.errors import AssignmentOverlap, UnknownName
from ingest.named_sql import QUERIES
from tests.fix_ingest import AN_HOUR_AGO, message, pressure, taken

LONG_AGO = AN_HOUR_AGO - timedelta(days=30)
CHEN, WANG = uuid4(), uuid4()
SYSTOLIC = 150021


def now() -> datetime:
    return datetime.now(UTC)


async def put(conn: AsyncConnection, *sent: Observation) -> None:
    await commit.store_with_retry(conn, Directory(), [taken(message(*sent))], now=now())


async def give(
    conn: AsyncConnection,
    subject: UUID,
    uid: str = "ble:cuff-1",
    *,
    user_slot: int | None = None,
    since: datetime = LONG_AGO,
    until: datetime | None = None,
) -> int:
    await assignments.register_device(conn, uid, concept="blood_pressure", label="on the shelf", now=now())
    return await assignments.assign_device(
        conn, uid, subject, user_slot=user_slot, since=since, until=until, by="test", now=now()
    )


async def numbers(conn: AsyncConnection, subject: UUID) -> list[int]:
    return [o.record_no for o in await observations.window(conn, subject, since=LONG_AGO, until=now())]


async def test_a_batch_is_claimed_once_and_judged_once(telemetry: AsyncConnection, migrated_database_url: str) -> None:
    await give(telemetry, CHEN)
    await put(telemetry, pressure(1), pressure(2, device="ble:nobodys"))
    rival = await database.connect(migrated_database_url)
    async with telemetry.transaction():
        batch = await observations.claim_batch(telemetry)
        assert batch is not None
        async with rival.transaction():
            assert await observations.claim_batch(rival) is None
        found = await observations.batch_observations(telemetry, batch)
        assert [(o.device_uid, o.subject_id) for o in found] == [("ble:cuff-1", CHEN), ("ble:nobodys", None)]
        assert await observations.mark_judged(telemetry, batch.batch_id, now())
    async with rival.transaction():
        assert await observations.claim_batch(rival) is None
        assert not await observations.mark_judged(rival, batch.batch_id, now())
    await rival.close()


async def test_a_batch_gives_only_the_rows_it_added(telemetry: AsyncConnection) -> None:
    await put(telemetry, pressure(1), pressure(3))
    await put(telemetry, pressure(1), pressure(2), pressure(3))
    async with telemetry.transaction():
        first = await observations.claim_batch(telemetry)
        assert first is not None
        await observations.mark_judged(telemetry, first.batch_id, now())
        second = await observations.claim_batch(telemetry)
        assert second is not None
        assert [o.record_no for o in await observations.batch_observations(telemetry, first)] == [1, 3]
        assert [o.record_no for o in await observations.batch_observations(telemetry, second)] == [2]


async def test_a_window_is_ordered_bounded_and_filtered_by_concept(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN)
    fever = pressure(4, kind=BODY_TEMPERATURE, unit="Cel", values=(38.5,))
    await put(telemetry, pressure(3), pressure(1), fever, pressure(2))
    assert await numbers(telemetry, CHEN) == [1, 2, 3, 4]
    second, third = AN_HOUR_AGO + timedelta(seconds=2), AN_HOUR_AGO + timedelta(seconds=3)
    inside = await observations.window(telemetry, CHEN, since=second, until=third)
    assert [o.record_no for o in inside] == [2, 3]
    hot = await observations.window(telemetry, CHEN, since=LONG_AGO, until=now(), concepts=["body_temperature"])
    assert [(o.concept, o.values, o.unit, o.device_label) for o in hot] == [
        ("body_temperature", (38.5,), "Cel", "on the shelf")
    ]


async def test_the_latest_is_one_a_concept(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN)
    await put(telemetry, pressure(1), pressure(2), pressure(1, kind=PULSE_OXIMETRY, unit="%", values=(97.0, 61.0)))
    expected = [("blood_pressure", 2), ("oxygen_saturation", 1)]
    assert [(o.concept, o.record_no) for o in await observations.latest(telemetry, CHEN)] == expected
    bounded = await observations.latest(telemetry, CHEN, since=AN_HOUR_AGO + timedelta(seconds=2))
    assert [(o.concept, o.record_no) for o in bounded] == expected[:1]


async def test_a_series_is_one_value_of_every_kind_that_has_it_in_one_unit(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN)
    await put(
        telemetry,
        pressure(1, unit="kPa", values=(16.0, 10.0)),
        pressure(2, values=(None, 80.0), absent={0: "not-a-number"}, facts=("questionable",)),
        pressure(3, kind=PULSE_OXIMETRY, unit="%", values=(97.0, 61.0)),
        pressure(4),
    )
    key = Key.of((await corrections.readings_of_device(telemetry, "ble:cuff-1", since=LONG_AGO, limit=1))[0])
    await corrections.enter_in_error(telemetry, key, by="test", reason="a test", now=now())
    systolic = await observations.series(telemetry, CHEN, SYSTOLIC, since=LONG_AGO, until=now())
    assert [(p.value and round(p.value, 1), p.absent) for p in systolic] == [
        (120.0, Absent.PRESENT),
        (None, Absent.NOT_A_NUMBER),
    ]
    assert [Fact.QUESTIONABLE in Fact(p.facts) for p in systolic] == [False, True]
    second = AN_HOUR_AGO + timedelta(seconds=2)
    assert len(await observations.series(telemetry, CHEN, SYSTOLIC, since=second, until=second)) == 1
    assert await observations.series(telemetry, CHEN, 1, since=LONG_AGO, until=now()) == []


async def test_the_latest_of_a_concept_is_found_however_old_it_is(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN, since=LONG_AGO - timedelta(days=900))
    months_ago = AN_HOUR_AGO - timedelta(days=200)
    fever = pressure(4, kind=BODY_TEMPERATURE, unit="Cel", values=(38.5,), at=months_ago)
    await put(telemetry, fever, pressure(5, at=months_ago), pressure(6))
    found = await observations.latest(telemetry, CHEN)
    assert [(o.concept, o.record_no) for o in found] == [("blood_pressure", 6), ("body_temperature", 4)]
    lately = await observations.latest(telemetry, CHEN, since=AN_HOUR_AGO)
    assert [o.record_no for o in lately] == [6]


async def test_what_a_subject_has_is_found_by_the_key_alone(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN)
    await put(telemetry, *(pressure(n) for n in range(900)))
    await put(telemetry, *(pressure(n, device=f"ble:other-{n}") for n in range(900)))
    await telemetry.execute("ANALYZE telemetry.observation")
    parameters = {"subject_id": CHEN, "since": LONG_AGO, "until": now(), "kinds": [BLOOD_PRESSURE, PULSE_OXIMETRY]}
    parameters |= {"first": LONG_AGO, "last": now(), "before": now(), "limit": 9, "each": 9}
    for name in ("window", "latest", "unassigned"):
        query = sql.SQL("EXPLAIN ") + QUERIES[name]
        plan = "\n".join(row[0] for row in await (await telemetry.execute(query, parameters)).fetchall())
        assert "observation_key" in plan
        assert "Seq Scan on _hyper" not in plan
        assert "Seq Scan on observation" not in plan


async def test_reassigning_touches_no_reading(telemetry: AsyncConnection) -> None:
    wrong = await give(telemetry, CHEN)
    await put(telemetry, *(pressure(n) for n in range(1, 5)))
    before = await (
        await telemetry.execute("SELECT xmin::text, o.* FROM telemetry.observation o ORDER BY 1, 2")
    ).fetchall()
    handed_over = AN_HOUR_AGO + timedelta(seconds=3)
    await assignments.end_assignment(telemetry, wrong, until=handed_over, by="test", now=now())
    await give(telemetry, WANG, since=handed_over)
    assert (await numbers(telemetry, CHEN), await numbers(telemetry, WANG)) == ([1, 2], [3, 4])
    await assignments.revoke_assignment(telemetry, wrong)
    assert await numbers(telemetry, CHEN) == []
    pool = await observations.unassigned(telemetry, since=LONG_AGO, limit=10)
    assert [o.record_no for o in pool] == [2, 1]
    after = await (
        await telemetry.execute("SELECT xmin::text, o.* FROM telemetry.observation o ORDER BY 1, 2")
    ).fetchall()
    assert after == before


async def test_users_of_one_device_are_told_apart_and_no_user_is_nobody(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN, user_slot=1)
    await give(telemetry, WANG, user_slot=2)
    await put(telemetry, pressure(1, slot=1), pressure(2, slot=2), pressure(3), pressure(4, slot=3))
    assert (await numbers(telemetry, CHEN), await numbers(telemetry, WANG)) == ([1], [2])
    assert [o.record_no for o in await observations.unassigned(telemetry, since=LONG_AGO)] == [4, 3]


async def test_a_reading_can_never_belong_to_two_people(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN, user_slot=1)
    with pytest.raises(AssignmentOverlap):
        await give(telemetry, WANG, user_slot=1)
    with pytest.raises(AssignmentOverlap):  # the whole device includes user 1
        await give(telemetry, WANG)
    await give(telemetry, WANG, user_slot=2)


async def test_a_session_is_its_own_person_whoever_owns_the_device(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN)
    await put(telemetry, pressure(1, session="kiosk.7"), pressure(2))
    await assignments.assign_session(telemetry, "kiosk.7", WANG, since=LONG_AGO, by="test", now=now())
    assert (await numbers(telemetry, CHEN), await numbers(telemetry, WANG)) == ([2], [1])
    async with telemetry.transaction():
        batch = await observations.claim_batch(telemetry)
        assert batch is not None
        assert [o.subject_id for o in await observations.batch_observations(telemetry, batch)] == [WANG, CHEN]
    assert [o.session_uid for o in await observations.latest(telemetry, WANG)] == ["kiosk.7"]


async def test_the_devices_of_a_subject_are_those_of_now(telemetry: AsyncConnection) -> None:
    await give(telemetry, CHEN, until=AN_HOUR_AGO)
    await give(telemetry, CHEN, "ble:cuff-2")
    assert [(d.uid, d.concept, d.label) for d in await observations.devices_of(telemetry, CHEN, now())] == [
        ("ble:cuff-2", "blood_pressure", "on the shelf")
    ]
    assert len(await assignments.assignments_of(telemetry, CHEN)) == 2


async def test_an_unknown_device_cannot_be_assigned(telemetry: AsyncConnection) -> None:
    with pytest.raises(UnknownName):
        await assignments.assign_device(telemetry, "ble:ghost", CHEN, since=LONG_AGO, by="test", now=now())

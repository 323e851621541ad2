"""One transaction of ingest, in a real database: what becomes of each observation, and what is written beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from psycopg import AsyncConnection

from devices.message import Reason
from devices.nomenclature import BODY_COMPOSITION, KINDS
from devices.observation import Absent, Context, Fact, Meal, Posture, Site
from ingest import assignments, commit, database, intake, observations, quarantine, reconcile, replay
from ingest.commit import Stored, UnknownDevices
from ingest.directory import Directory
from ingest.replay import Replayed
from tests.fix_ingest import AN_HOUR_AGO, message, pressure, taken


def now() -> datetime:
    return datetime.now(UTC)


async def put(conn: AsyncConnection, *payloads: bytes, **how: Any) -> Stored:
    return await commit.store_with_retry(conn, Directory(), [taken(p) for p in payloads], now=now(), **how)


async def rows(conn: AsyncConnection, query: str) -> list[tuple[Any, ...]]:
    return await (await conn.execute(query)).fetchall()


async def test_a_repeat_with_another_correction_is_a_duplicate_and_the_first_delivery_wins(
    telemetry: AsyncConnection,
) -> None:
    await put(telemetry, message(pressure(1)))
    again = await put(telemetry, message(pressure(1, measured_at=AN_HOUR_AGO + timedelta(seconds=9))))
    assert (again.stored, again.duplicate, again.refused, again.batch_id) == (0, 1, 0, None)
    assert await rows(telemetry, "SELECT measured_at FROM telemetry.observation") == [
        (AN_HOUR_AGO + timedelta(seconds=1),)
    ]


async def test_the_fate_of_each_row_is_exact_when_a_batch_mixes_new_repeated_and_reused(
    telemetry: AsyncConnection,
) -> None:
    await put(telemetry, message(*(pressure(n) for n in range(10))))
    mixed = message(
        pressure(3),
        pressure(4, values=(121.0, 81.0, 94.0, 67.0)),
        pressure(20),
        pressure(20),
        pressure(20, values=(122.0, 82.0, 95.0, 68.0)),
        pressure(4),
    )
    receipt = (await put(telemetry, mixed)).receipts[0]
    assert (receipt.stored, receipt.duplicate) == (1, 3)
    assert [(remark.index, remark.reason) for remark in receipt.refused] == [
        (1, Reason.RECORD_REUSED),
        (4, Reason.RECORD_REUSED),
    ]
    assert len(await quarantine.listing(telemetry, reason="record-reused")) == 2
    assert await rows(telemetry, "SELECT count(*) FROM telemetry.observation") == [(11,)]


async def test_within_one_fresh_batch_the_first_delivery_wins(telemetry: AsyncConnection) -> None:
    receipt = (await put(telemetry, message(pressure(1), pressure(1), pressure(1, values=(99.0, 60.0))))).receipts[0]
    assert (receipt.stored, receipt.duplicate, [r.index for r in receipt.refused]) == (1, 1, [2])


async def test_a_batch_writes_its_touches_its_accounts_and_its_batch_row(telemetry: AsyncConnection) -> None:
    stored = await put(telemetry, message(pressure(1), pressure(2), pressure(3, device="ble:cuff-2")))
    assert await rows(telemetry, "SELECT batch_id, stored, judged_at FROM telemetry.batch") == [
        (stored.batch_id, 3, None)
    ]
    touched = await rows(
        telemetry,
        "SELECT device_uid, stored, first_at, last_at FROM telemetry.touch JOIN telemetry.device USING (device_id)"
        " ORDER BY 1",
    )
    first = AN_HOUR_AGO + timedelta(seconds=1)
    third = AN_HOUR_AGO + timedelta(seconds=3)
    assert touched == [
        ("ble:cuff-1", 2, first, AN_HOUR_AGO + timedelta(seconds=2)),
        ("ble:cuff-2", 1, third, third),
    ]
    lines = await reconcile.reconcile(telemetry)
    assert [(line.sent, line.stored, line.duplicate, line.refused, line.judged) for line in lines] == [(3, 3, 0, 0, 0)]
    await observations.mark_judged(telemetry, stored.batch_id or 0, now())
    assert [line.judged for line in await reconcile.reconcile(telemetry)] == [3]


async def test_poison_does_not_hold_back_the_reading_beside_it(telemetry: AsyncConnection) -> None:
    payload = message(pressure(1), pressure(2, kind=77), pressure(3, unit="furlong"), pressure(4))
    receipt = (await put(telemetry, payload)).receipts[0]
    assert receipt.stored == 2
    assert [(r.index, r.field, r.reason) for r in receipt.refused] == [
        (1, "kind", Reason.UNKNOWN_KIND),
        (2, "unit", Reason.UNKNOWN_UNIT),
    ]
    kept = await quarantine.listing(telemetry)
    assert sorted(row.reason for row in kept) == ["unknown-kind", "unknown-unit"]


async def test_a_nan_literal_is_refused_with_its_field_and_the_reading_beside_it_is_stored(
    telemetry: AsyncConnection,
) -> None:
    payload = message(pressure(1), pressure(2)).replace(b"122.0", b"NaN")
    receipt = (await put(telemetry, payload)).receipts[0]
    assert receipt.stored == 1
    assert [(r.index, r.field, r.reason) for r in receipt.refused] == [(1, "values[0]", Reason.NOT_A_NUMBER)]


async def test_a_reading_from_the_future_waits_in_quarantine_and_can_be_replayed(telemetry: AsyncConnection) -> None:
    future = pressure(1, at=(now() + timedelta(hours=2)).replace(microsecond=0))
    receipt = (await put(telemetry, message(future, pressure(2)))).receipts[0]
    assert (receipt.stored, [r.reason for r in receipt.refused]) == (1, [Reason.FUTURE_TIME])
    (kept,) = await quarantine.listing(telemetry)
    tried = await replay.replay(telemetry, Directory(), kept, limits=intake.Limits(), now=now())
    assert (tried.replayed, [r.reason for r in tried.refused]) == (Replayed.STILL_REFUSED, [Reason.FUTURE_TIME])
    wider = intake.Limits(future=timedelta(hours=3))
    again = await replay.replay(telemetry, Directory(), kept, limits=wider, now=now())
    assert again.replayed is Replayed.STORED
    assert await quarantine.listing(telemetry) == []
    (line,) = await reconcile.reconcile(telemetry)
    assert (line.sent, line.stored, line.refused, line.balanced) == (2, 2, 0, True)


async def test_a_replay_finds_its_day_in_the_books_whatever_zone_the_server_is_in(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    evening = datetime(2026, 1, 9, 20, 0, tzinfo=UTC)  # the tenth in China
    refused = message(pressure(1, at=evening + timedelta(hours=2)))
    one = intake.take("suifang/v1/north/gw-1/observations", refused, evening, intake.Limits())
    await commit.store_with_retry(telemetry, Directory(), [one], now=evening)
    await telemetry.execute(f"ALTER DATABASE {telemetry.info.dbname} SET timezone TO 'Asia/Shanghai'")
    elsewhere = await database.connect(migrated_database_url)
    (kept,) = await quarantine.listing(elsewhere)
    wider = intake.Limits(future=timedelta(hours=3))
    outcome = await replay.replay(elsewhere, Directory(), kept, limits=wider, now=now())
    (line,) = await reconcile.reconcile(elsewhere)
    await elsewhere.close()
    assert outcome.replayed is Replayed.STORED
    assert (line.day.day, line.stored, line.refused) == (9, 1, 0)


async def test_an_impossible_value_is_stored_flagged_and_noticed(telemetry: AsyncConnection) -> None:
    receipt = (await put(telemetry, message(pressure(1, values=(2047.0, 2047.0, None, 66.0))))).receipts[0]
    assert receipt.stored == 1
    assert {(r.field, r.reason) for r in receipt.notices} >= {
        ("values[0]", Reason.IMPLAUSIBLE_VALUE),
        ("values[1]", Reason.IMPLAUSIBLE_VALUE),
    }
    ((facts,),) = await rows(telemetry, "SELECT facts FROM telemetry.observation")
    assert Fact.IMPLAUSIBLE in Fact(facts)


async def test_an_unknown_device_is_stored_flagged_and_noticed_until_it_is_registered(
    telemetry: AsyncConnection,
) -> None:
    directory = Directory()
    first = await commit.store_with_retry(telemetry, directory, [taken(message(pressure(1), pressure(2)))], now=now())
    assert [r.reason for r in first.receipts[0].notices] == [Reason.UNREGISTERED_DEVICE]
    await assignments.register_device(telemetry, "ble:cuff-1", concept="blood_pressure", label="cuff", now=now())
    second = await commit.store_with_retry(telemetry, directory, [taken(message(pressure(3)))], now=now())
    assert second.receipts[0].notices == ()
    flags = await rows(telemetry, "SELECT facts & (1::bigint << 37) <> 0 FROM telemetry.observation ORDER BY record_no")
    assert flags == [(True,), (True,), (False,)]


async def test_a_site_may_refuse_unknown_devices_and_replay_after_registering(telemetry: AsyncConnection) -> None:
    receipt = (await put(telemetry, message(pressure(1)), unknown_devices=UnknownDevices.REFUSE)).receipts[0]
    assert (receipt.stored, [r.reason for r in receipt.refused]) == (0, [Reason.UNKNOWN_DEVICE])
    await assignments.register_device(telemetry, "ble:cuff-1", concept="blood_pressure", label="cuff", now=now())
    (kept,) = await quarantine.listing(telemetry)
    outcome = await replay.replay(
        telemetry, Directory(), kept, limits=intake.Limits(), now=now(), unknown_devices=UnknownDevices.REFUSE
    )
    assert outcome.replayed is Replayed.STORED


async def test_the_same_bad_thing_sent_again_is_one_row_that_counts(telemetry: AsyncConnection) -> None:
    await put(telemetry, message(pressure(1, kind=77), message_id="a"))
    await put(telemetry, message(pressure(9), pressure(1, kind=77), message_id="b"))
    (kept,) = await quarantine.listing(telemetry)
    assert (kept.times, kept.message_id) == (2, "a")


async def test_what_is_no_message_is_kept_whole(telemetry: AsyncConnection) -> None:
    garbage = b'\xff\x00{"observations": ['
    receipt = (await put(telemetry, garbage, message(pressure(1)))).receipts
    assert [(r.index, r.reason) for r in receipt[0].refused] == [(-1, Reason.MALFORMED)]
    assert receipt[0].message_id == receipt[0].payload_sha256
    assert receipt[1].stored == 1
    (kept,) = await quarantine.listing(telemetry)
    assert (kept.content, kept.item) == (garbage, -1)


async def test_every_kind_comes_back_as_it_was_sent(telemetry: AsyncConnection) -> None:
    subject = uuid4()
    await assignments.register_device(telemetry, "ble:all", concept=None, label="all in one", now=now())
    await assignments.assign_device(
        telemetry, "ble:all", subject, since=AN_HOUR_AGO - timedelta(days=1), by="test", now=now()
    )
    sent = [
        pressure(
            number,
            device="ble:all",
            kind=kind.code,
            unit=unit,
            values=tuple(float(slot.low) + 1 + index for index, slot in enumerate(kind.slots)),
            context=Context(meal=Meal.FASTING, site=Site.RIGHT_WRIST, posture=Posture.RECLINING),
        )
        for number, (kind, unit) in enumerate((kind, unit) for kind in KINDS for unit in kind.units)
    ]
    assert (await put(telemetry, message(*sent))).stored == len(sent)
    found = await observations.window(telemetry, subject, since=AN_HOUR_AGO, until=now())
    assert [(o.kind, o.unit, o.values, o.context) for o in found] == [
        (o.kind, o.unit, o.values, o.context) for o in sent
    ]


async def test_absent_values_keep_their_reasons_up_to_the_last_slot(telemetry: AsyncConnection) -> None:
    subject = uuid4()
    await assignments.register_device(telemetry, "ble:scale", concept="body_composition", label=None, now=now())
    await assignments.assign_device(
        telemetry, "ble:scale", subject, since=AN_HOUR_AGO - timedelta(days=1), by="test", now=now()
    )
    sent = pressure(
        1,
        device="ble:scale",
        kind=BODY_COMPOSITION,
        unit="%",
        values=(20.0, None, 1.7, None, 40.0, None, 30.0, 25.0, 7000.0, None),
        absent={1: "not-a-number", 3: "positive-infinity", 9: "unsuccessful"},
        slot=2,
        session="kiosk.1",
    )
    await put(telemetry, message(sent))
    await assignments.assign_session(telemetry, "kiosk.1", subject, since=AN_HOUR_AGO, by="test", now=now())
    (found,) = await observations.window(telemetry, subject, since=AN_HOUR_AGO, until=now())
    assert found.values == sent.values
    assert (found.user_slot, found.session_uid) == (2, "kiosk.1")
    assert found.absent == {
        1: Absent.NOT_A_NUMBER,
        3: Absent.POSITIVE_INFINITY,
        5: Absent.NOT_SENT,
        9: Absent.UNSUCCESSFUL,
    }

"""The outbox: nothing is forgotten without a receipt, nothing is lost with the process."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.decoding import decode
from devices.message import MOST_BYTES, Reason, Receipt, Remark, digest
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import FACT_NAMES, Observation
from gateway.errors import OutboxBroken, OutboxBusy, OutboxFull
from gateway.outbox import Mark, Outbox, Parcel
from gateway.outbox_file import connect
from gateway.receipts import Settlement

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)


def reading(number: int) -> Observation:
    return Observation(
        device="eui64:00091f0000000001",
        kind=BLOOD_PRESSURE,
        values=(120.0 + number % 40, 80.0, None, None),
        unit="mm[Hg]",
        measured_at=NOW + timedelta(minutes=number),
        device_at=datetime(2026, 3, 2, 16, 0) + timedelta(minutes=number),
        absent={2: "not-sent", 3: "not-sent"},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def opened(path: Path, **chosen: object) -> Outbox:
    names = (f"m-{os.getpid()}-{n}" for n in itertools.count())
    return Outbox(path, clock=lambda: NOW, ids=lambda: next(names), **chosen)  # type: ignore[arg-type]


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    with opened(path) as found:
        yield found


def receipt_for(parcel: Parcel, **chosen: object) -> Receipt:
    facts: dict[str, object] = {
        "message_id": parcel.message_id,
        "payload_sha256": digest(parcel.payload),
        "received_at": LATER,
        "stored": parcel.size,
    }
    return Receipt(**{**facts, **chosen})  # type: ignore[arg-type]


def contents(parcels: list[Parcel]) -> list[Observation]:
    return [one for parcel in parcels for _, one in decode(parcel.payload).observations]


def test_what_is_put_is_due_as_one_message_within_the_contract(outbox: Outbox) -> None:
    outbox.put([reading(1), reading(2)])
    (parcel,) = outbox.due(NOW, 20)
    assert contents([parcel]) == [reading(1), reading(2)]
    assert decode(parcel.payload).refused == []
    assert parcel.size == 2


def test_a_message_holds_at_most_a_hundred_and_keeps_the_order(outbox: Outbox) -> None:
    outbox.put([reading(n) for n in range(230)])
    parcels = outbox.due(NOW, 20)
    assert [parcel.size for parcel in parcels] == [100, 100, 30]
    assert contents(parcels) == [reading(n) for n in range(230)]
    assert max(len(parcel.payload) for parcel in parcels) < MOST_BYTES


def test_a_reading_that_the_contract_refuses_holds_back_no_other(outbox: Outbox) -> None:
    odd = msgspec.structs.replace(reading(2), session="two words")
    outbox.put([reading(1), odd, reading(3)])
    (parcel,) = outbox.due(NOW, 9)
    decoded = decode(parcel.payload)
    assert [observation for _, observation in decoded.observations] == [reading(1), reading(3)]
    assert [(remark.index, remark.field) for remark in decoded.refused] == [(1, "session")]


def test_a_message_is_never_larger_than_the_receiver_takes(path: Path) -> None:
    long = msgspec.structs.replace(reading(1), facts=tuple(FACT_NAMES) * 2)
    with opened(path, most_together=1000) as outbox:
        outbox.put([long] * 1000)
        parcels = outbox.due(NOW, 9)
        assert [len(parcel.payload) <= MOST_BYTES for parcel in parcels] == [True] * len(parcels)
        assert len(parcels) > 1
        assert sum(parcel.size for parcel in parcels) == 1000


def test_a_message_in_flight_is_not_due_until_its_time_and_then_it_is_the_same_octets(outbox: Outbox) -> None:
    outbox.put([reading(1)])
    (first,) = outbox.due(NOW, 20)
    outbox.sent(first.message_id, LATER)
    outbox.put([reading(2)])
    (other,) = outbox.due(NOW, 20)
    assert contents([other]) == [reading(2)]
    outbox.sent(other.message_id, LATER + timedelta(seconds=1))
    assert (outbox.due(NOW, 20), outbox.in_flight(NOW), outbox.next_due()) == ([], 2, LATER)
    (again,) = outbox.due(LATER, 20)
    assert (again.payload, again.attempts) == (first.payload, 1)


def test_a_restart_sends_again_with_the_same_id_and_octets(path: Path) -> None:
    with opened(path) as before:
        before.put([reading(1)])
        (first,) = before.due(NOW, 20)
        before.sent(first.message_id, NOW + timedelta(hours=1))
    with opened(path) as after:
        (again,) = after.due(NOW + timedelta(seconds=5), 20)
        assert (again.message_id, again.payload) == (first.message_id, first.payload)


@pytest.mark.parametrize(("stored", "duplicate"), [(3, 0), (0, 3), (1, 2)])
def test_stored_and_duplicate_both_settle(outbox: Outbox, stored: int, duplicate: int) -> None:
    outbox.put([reading(n) for n in range(3)])
    (parcel,) = outbox.due(NOW, 20)
    assert outbox.settle(receipt_for(parcel, stored=stored, duplicate=duplicate)) is Settlement.SETTLED
    assert (outbox.figures().backlog, outbox.due(LATER, 20)) == (0, [])


def test_what_was_refused_is_settled_and_kept_for_the_operator_with_field_and_reason(
    outbox: Outbox, path: Path
) -> None:
    outbox.put([reading(n) for n in range(3)])
    (parcel,) = outbox.due(NOW, 20)
    remark = Remark(1, "measured_at", Reason.FUTURE_TIME, "ahead")
    assert outbox.settle(receipt_for(parcel, stored=2, refused=(remark,))) is Settlement.SETTLED
    figures = outbox.figures()
    assert (figures.backlog, figures.refused) == (0, 1)
    kept = connect(path, read_only=True)
    rows = kept.execute("SELECT position, field, reason, detail, body FROM refusal").fetchall()
    kept.close()
    assert [row[:4] for row in rows] == [(1, "measured_at", "future-time", "ahead")]
    assert b'"values":[121.0' in rows[0][4]


def test_a_message_refused_as_a_whole_is_kept_whole_and_found_by_its_digest(outbox: Outbox) -> None:
    outbox.put([reading(n) for n in range(3)])
    (parcel,) = outbox.due(NOW, 20)
    whole = Remark(-1, "payload", Reason.MALFORMED)
    answer = receipt_for(parcel, message_id="unreadable", stored=0, refused=(whole,))
    assert outbox.settle(answer) is Settlement.SETTLED
    assert outbox.figures().refused == 3


def test_a_receipt_that_accounts_for_too_few_forgets_nothing(outbox: Outbox) -> None:
    outbox.put([reading(n) for n in range(3)])
    (parcel,) = outbox.due(NOW, 20)
    assert outbox.settle(receipt_for(parcel, stored=2)) is Settlement.INCOMPLETE
    assert outbox.figures().backlog == 3


def test_a_receipt_for_nothing_of_ours_changes_nothing(outbox: Outbox) -> None:
    outbox.put([reading(1)])
    (parcel,) = outbox.due(NOW, 20)
    assert outbox.settle(receipt_for(parcel, message_id="other", payload_sha256="0")) is Settlement.UNKNOWN
    assert outbox.settle(receipt_for(parcel)) is Settlement.SETTLED
    assert outbox.settle(receipt_for(parcel)) is Settlement.UNKNOWN


def test_at_the_size_limit_nothing_new_is_kept_and_nothing_old_is_dropped(path: Path) -> None:
    with opened(path, most_octets=120_000) as outbox:
        kept = 0
        while not outbox.full:
            outbox.put([reading(kept)])
            kept += 1
        with pytest.raises(OutboxFull):
            outbox.put([reading(kept)])
        figures = outbox.figures()
        assert (figures.full, figures.backlog) == (True, kept)
        for parcel in outbox.due(NOW, 10_000):
            outbox.settle(receipt_for(parcel))
        outbox.put([reading(0)])
        assert not outbox.figures().full


def test_a_full_disk_is_a_full_outbox_and_the_transaction_leaves_no_half(outbox: Outbox) -> None:
    outbox.put([reading(1)])
    pages = outbox.read("PRAGMA page_count")[0][0]
    outbox.read(f"PRAGMA max_page_count={pages}")
    with pytest.raises(OutboxFull):
        outbox.put([reading(n) for n in range(500)], Mark("eui64:00091f0000000001", "1808", 500, "x"))
    figures = outbox.figures()
    assert (figures.backlog, figures.full) == (1, True)
    assert outbox.mark("eui64:00091f0000000001", "1808") is None


def test_a_disk_that_was_full_is_tried_again_after_a_while(path: Path) -> None:
    times = [NOW]
    with Outbox(path, clock=lambda: times[-1]) as outbox:
        outbox.read("PRAGMA max_page_count=1")
        with pytest.raises(OutboxFull):
            outbox.put([reading(n) for n in range(500)])
        outbox.read("PRAGMA max_page_count=100000")
        assert outbox.figures().full
        times.append(NOW + timedelta(seconds=31))
        assert not outbox.figures().full
        outbox.put([reading(1)])
        assert outbox.figures().backlog == 1


def test_a_mark_moves_with_the_records_it_stands_for(outbox: Outbox) -> None:
    mark = Mark("eui64:00091f0000000001", "1808", 7, "2026-03-02T16:00:00")
    outbox.put([reading(1)], mark)
    assert outbox.mark(mark.device, mark.service) == mark
    outbox.put([reading(2)], mark._replace(sequence=9))
    assert outbox.mark(mark.device, mark.service) == mark._replace(sequence=9)


def test_one_outbox_serves_one_process(outbox: Outbox, path: Path) -> None:
    with pytest.raises(OutboxBusy):
        Outbox(path)


def test_a_file_that_is_no_outbox_is_refused_and_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"not a database, but somebody's file" * 100)
    with pytest.raises(OutboxBroken):
        Outbox(path)
    assert path.read_bytes().startswith(b"not a database")


def test_an_outbox_of_a_later_version_is_refused(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version=99")
    database.close()
    with pytest.raises(OutboxBroken, match="version 99"):
        Outbox(path)


def test_unreadable_frames_are_bounded_so_that_a_broken_device_cannot_fill_the_disk(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.outbox.MOST_ODDITIES", 5)
    for number in range(9):
        outbox.odd("ble:f0:00", "2A35", bytes([number]), "systolic", "Truncated")
    rows = outbox.read("SELECT frame FROM oddity ORDER BY id")
    assert rows == [(bytes([number]),) for number in range(4, 9)]


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from gateway.outbox import Outbox
from tests.unit.test_outbox import reading
outbox = Outbox(Path(sys.argv[1]))
number = 0
while True:
    outbox.put([reading(number)])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


def test_a_process_killed_while_it_puts_has_lost_nothing_it_reported(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        reported += [int(line) for line in process.stdout.read().split()]
    with opened(path) as outbox:
        kept = contents(outbox.due(NOW, 10_000))
        assert kept[: len(reported)] == [reading(n) for n in reported]
        assert len(kept) - len(reported) in {0, 1}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["put", "send", "answer", "lose", "restart"]), max_size=40), data=st.data())
def test_whatever_happens_every_reading_is_either_kept_or_received(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "outbox.sqlite"
    put, received, now, flights = 0, set[float | None](), NOW, list[Parcel]()
    outbox = Outbox(path, clock=lambda: NOW, most_together=3)
    try:
        for step in steps:
            now += timedelta(seconds=10)
            if step == "put":
                outbox.put([reading(n) for n in range(put, put + 2)])
                put += 2
            elif step == "send":
                for parcel in outbox.due(now, 2):
                    outbox.sent(parcel.message_id, now + timedelta(seconds=15))
                    flights.append(parcel)
            elif step == "answer" and flights:
                parcel = flights.pop(data.draw(st.integers(0, len(flights) - 1)))
                received |= {one.measured_at.timestamp() for one in contents([parcel])}
                outbox.settle(receipt_for(parcel))
            elif step == "lose" and flights:
                flights.pop()
            elif step == "restart":
                outbox.close()
                outbox = Outbox(path, clock=lambda: NOW, most_together=3)
        kept = {one.measured_at.timestamp() for one in contents(outbox.due(now + timedelta(days=1), 1000))}
    finally:  # also when Hypothesis abandons this example while it draws
        outbox.close()
    assert kept | received == {reading(n).measured_at.timestamp() for n in range(put)}
    assert not kept & received

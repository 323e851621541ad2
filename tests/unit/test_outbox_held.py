"""What is held is on disk, and leaves when it is whole, let go, or its time has come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from devices.nomenclature import BODY_MASS
from devices.observation import Observation
from gateway.errors import OutboxFull
from gateway.outbox import Outbox
from tests.fix_bluetooth import kept_in

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
STAMP = datetime(2026, 11, 22, 15, 59)
HALF = Observation("ble:00:01", BODY_MASS, (71.3, None, None), "kg", NOW, STAMP)
WHOLE = msgspec.structs.replace(HALF, values=(71.3, 24.4, 1.71))
OTHER = msgspec.structs.replace(HALF, device="ble:00:02")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite", clock=lambda: NOW, most_together=2) as opened:
        yield opened


def test_what_is_held_leaves_when_its_time_has_come(outbox: Outbox) -> None:
    outbox.hold(HALF, LATER)
    assert outbox.due(LATER - timedelta(seconds=1), 10) == []
    assert [parcel.size for parcel in outbox.due(LATER, 10)] == [1]


def test_others_do_not_wait_for_what_is_held(outbox: Outbox) -> None:
    outbox.hold(HALF, LATER)
    outbox.put([OTHER] * 3)
    assert [parcel.size for parcel in outbox.due(NOW, 10)] == [2, 1]


def test_the_whole_takes_the_place_of_what_was_held(outbox: Outbox) -> None:
    assert outbox.complete(outbox.hold(HALF, LATER), WHOLE)
    assert [parcel.size for parcel in outbox.due(NOW, 10)] == [1]
    assert kept_in(outbox) == [WHOLE]


def test_what_has_left_is_not_completed_any_more(outbox: Outbox) -> None:
    row = outbox.hold(HALF, LATER)
    outbox.due(LATER, 10)
    assert not outbox.complete(row, WHOLE)
    assert kept_in(outbox) == [HALF]


def test_a_first_part_that_comes_again_is_held_once(outbox: Outbox) -> None:
    first = outbox.hold(HALF, LATER)
    assert outbox.hold(msgspec.structs.replace(HALF, measured_at=NOW + timedelta(seconds=1)), LATER) == first
    assert outbox.hold(msgspec.structs.replace(HALF, values=(70.0, None, None)), LATER) != first
    assert outbox.figures().backlog == 2


def test_two_first_parts_without_a_stamp_are_two(outbox: Outbox) -> None:
    unstamped = msgspec.structs.replace(HALF, device_at=None)
    assert outbox.hold(unstamped, LATER) != outbox.hold(unstamped, LATER)


def test_a_full_outbox_holds_nothing(outbox: Outbox) -> None:
    outbox._most_octets = 0
    with pytest.raises(OutboxFull):
        outbox.hold(HALF, LATER)
    assert outbox.figures().backlog == 0


def test_all_that_is_held_can_be_let_go(outbox: Outbox) -> None:
    outbox.hold(HALF, LATER)
    outbox.hold(OTHER, LATER)
    outbox.let_all_go()
    assert outbox.changed.is_set()
    assert kept_in(outbox) == [HALF, OTHER]


def test_after_a_restart_what_was_held_leaves_as_it_is(tmp_path: Path) -> None:
    with Outbox(tmp_path / "o.sqlite") as before:
        before.hold(HALF, LATER)
    with Outbox(tmp_path / "o.sqlite") as after:
        assert [parcel.size for parcel in after.due(NOW, 10)] == [1]

"""One row a record, whatever the clocks and the corrections say, with two processes writing at the same time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from devices.observation import Observation
from ingest import commit, database
from ingest.directory import Directory
from tests.fix_ingest import ask, message, pressure, taken

DAY = 86_400
EXAMPLE = itertools.count()

# of the device's clock against the truth: right, minutes off, about a day off (the threshold), years off
skews = st.one_of(
    st.just(0),
    st.integers(-600, 600),
    st.integers(DAY - 15, DAY + 15),
    st.integers(-DAY - 15, -DAY + 15),
    st.sampled_from([-26 * 365 * DAY, 9 * 365 * DAY]),
)
# of a gateway's correction: seconds as a rule; days where somebody set the clock between two downloads
errors = st.one_of(st.integers(-10, 10), st.sampled_from([2 * DAY, -3 * DAY]))


@dataclass(frozen=True)
class Record:
    """One record of one device and what two gateways make of its time."""

    device: int
    number: int
    at: int
    skew: int
    first_error: int
    second_error: int
    clock: bool


records = st.lists(
    st.builds(
        Record,
        device=st.integers(0, 2),
        number=st.integers(1, 40),
        at=st.integers(0, 5 * DAY),
        skew=skews,
        first_error=errors,
        second_error=errors,
        clock=st.sampled_from([True, True, True, False]),
    ),
    min_size=1,
    max_size=24,
    unique_by=lambda record: (record.device, record.number),
)


def delivered(record: Record, error: int, prefix: str) -> Observation:
    true_at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=record.at)
    stamp = true_at + timedelta(seconds=record.skew, hours=8)
    return pressure(
        record.number,
        device=f"{prefix}-{record.device}",
        # without a clock of its own a device's reading has the time of its one reception
        measured_at=true_at + timedelta(seconds=error if record.clock else 0),
        device_at=stamp.replace(tzinfo=None) if record.clock else None,
    )


async def deliver(url: str, observations: Sequence[Observation], pieces: int) -> tuple[int, int]:
    """As a process of its own would: own connection, own memory, several transactions."""
    conn = await database.connect(url)
    directory, stored, duplicate = Directory(), 0, 0
    try:
        for start in range(0, len(observations), pieces):
            one = taken(message(*observations[start : start + pieces]))
            outcome = await commit.store_with_retry(conn, directory, [one], now=datetime.now(UTC))
            assert outcome.refused == 0, outcome.receipts[0].refused
            stored, duplicate = stored + outcome.stored, duplicate + outcome.duplicate
    finally:
        await conn.close()
    return stored, duplicate


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=records, seed=st.randoms(use_true_random=False), first=st.integers(1, 9), second=st.integers(1, 9))
def test_records_downloaded_by_two_gateways_at_once_are_one_row_each(
    migrated_database_url: str, records: list[Record], seed: random.Random, first: int, second: int
) -> None:
    prefix = f"ble:example-{next(EXAMPLE)}"
    one = [delivered(record, record.first_error, prefix) for record in records]
    two = [delivered(record, record.second_error, prefix) for record in records]
    seed.shuffle(one)
    seed.shuffle(two)

    async def both() -> list[tuple[int, int]]:
        return await asyncio.gather(
            deliver(migrated_database_url, one, first), deliver(migrated_database_url, two, second)
        )

    counts = asyncio.run(both())
    assert sum(stored for stored, _ in counts) == len(records)
    assert sum(duplicate for _, duplicate in counts) == len(records)
    found = ask(
        migrated_database_url,
        "SELECT device_uid, record_no, count(*) FROM telemetry.observation JOIN telemetry.device USING (device_id)"
        " WHERE device_uid LIKE %s GROUP BY 1, 2",
        f"{prefix}-%",
    )
    assert {(uid, number): count for uid, number, count in found} == {
        (f"{prefix}-{record.device}", record.number): 1 for record in records
    }


async def stored_of(conn: AsyncConnection, *observations: Observation) -> list[tuple[int, int]]:
    directory = Directory()
    return [
        (outcome.stored, outcome.duplicate)
        for observation in observations
        for outcome in [
            await commit.store_with_retry(conn, directory, [taken(message(observation))], now=datetime.now(UTC))
        ]
    ]


def off_by(days: float, correction: float = 0.0) -> Observation:
    """Record 1 of a device whose clock is `days` ahead, at a gateway whose correction is `correction` days off."""
    at = datetime(2026, 1, 10, tzinfo=UTC)
    stamp = at + timedelta(days=days, hours=8)
    return pressure(1, measured_at=at + timedelta(days=correction), device_at=stamp.replace(tzinfo=None))


async def test_a_clock_years_off_opens_no_chunk_in_that_year(telemetry: AsyncConnection) -> None:
    assert await stored_of(telemetry, off_by(3285)) == [(1, 0)]
    row = await (await telemetry.execute("SELECT identity_at, measured_at FROM telemetry.observation")).fetchone()
    assert row == (datetime(2026, 1, 10, tzinfo=UTC),) * 2


async def test_a_repeat_on_the_other_side_of_the_threshold_is_found(telemetry: AsyncConnection) -> None:
    assert await stored_of(telemetry, off_by(0.9), off_by(0.9, -0.5), off_by(0.9, 0.2)) == [(1, 0), (0, 1), (0, 1)]
    odd_first = [msgspec.structs.replace(o, device="ble:b") for o in (off_by(1.1), off_by(1.1, 0.5))]
    assert await stored_of(telemetry, *odd_first) == [(1, 0), (0, 1)]


@pytest.mark.parametrize("order", [1, -1], ids=["ordinary first", "odd first"])
async def test_both_sides_of_the_threshold_in_one_transaction_are_one_record(
    telemetry: AsyncConnection, order: int
) -> None:
    deliveries = [off_by(0.9), off_by(0.9, -0.5), off_by(0.9, 0.2)][::order]
    intakes = [taken(message(one)) for one in deliveries]
    outcome = await commit.store_with_retry(telemetry, Directory(), intakes, now=datetime.now(UTC))
    assert (outcome.stored, outcome.duplicate) == (1, 2)
    assert await stored_of(telemetry, *deliveries) == [(0, 1)] * 3


async def test_after_the_clock_was_set_right_its_old_records_are_still_found(telemetry: AsyncConnection) -> None:
    assert await stored_of(telemetry, off_by(40), off_by(40, 40)) == [(1, 0), (0, 1)]


async def test_the_first_year_of_the_calendar_is_a_stamp_like_any_other(telemetry: AsyncConnection) -> None:
    first = pressure(1, device_at=datetime(1, 1, 1))
    assert await stored_of(telemetry, first, first) == [(1, 0), (0, 1)]


async def test_stamps_of_far_years_a_microsecond_apart_are_records_of_their_own(telemetry: AsyncConnection) -> None:
    at = datetime(2026, 1, 10, tzinfo=UTC)
    years = (datetime(1, 1, 1), datetime(1600, 1, 1), datetime(9999, 12, 31, 23, 59, 59))
    stamps = [year + timedelta(microseconds=count) for year in years for count in range(12)]
    far = [pressure(1, measured_at=at + timedelta(seconds=n), device_at=stamp) for n, stamp in enumerate(stamps)]
    for repeats in (0, 1):
        outcome = await commit.store_with_retry(telemetry, Directory(), [taken(message(*far))], now=datetime.now(UTC))
        assert (outcome.stored, outcome.duplicate) == ((36, 0), (0, 36))[repeats]


@pytest.mark.parametrize(
    ("days", "own"), [(0.9, True), (1, True), (-1, True), (1.001, False), (-1.001, False), (1.9, False), (-1.9, False)]
)
async def test_a_clock_up_to_a_day_off_places_its_records_and_none_moves_the_corrected_time(
    telemetry: AsyncConnection, days: float, *, own: bool
) -> None:
    assert await stored_of(telemetry, off_by(days)) == [(1, 0)]
    row = await (await telemetry.execute("SELECT identity_at, measured_at FROM telemetry.observation")).fetchone()
    at = datetime(2026, 1, 10, tzinfo=UTC)
    assert row == (at + timedelta(days=days if own else 0), at)

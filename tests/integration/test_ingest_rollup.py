"""Roll-ups equal what one would count from all readings, whatever came late, twice, for somebody else or in error."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from devices.nomenclature import BLOOD_PRESSURE, BODY_COMPOSITION, KINDS
from devices.observation import Observation
from ingest import assignments, commit, corrections, database, rollup
from ingest.directory import Directory
from ingest.errors import AssignmentOverlap
from ingest.intake import Limits
from ingest.rollup import Turn
from ingest.rollup_series import Grain, series
from simulators.embedded.broker import Broker
from simulators.embedded.database import Server, create_database, drop_database
from tests.fix_ingest import IngestProcess, Source, ask, message, pressure, taken, wait_until

EXAMPLE = itertools.count()
ZONE = "Asia/Shanghai"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ANY_AGE = Limits(ancient=timedelta(days=36_525))
BEGAN = datetime(2026, 1, 1, 15, tzinfo=UTC)
"""23:00 in Shanghai: hours later is another day there, and not yet in UTC."""

LEFT_OUT = ("test-data", "demo-data", "implausible", "invalid", "time-fault")
CANONICAL = {"kPa": Decimal("7.50061683")}

Key = tuple[str, str, datetime, int, int, bool]
"""Subject, device, bucket, kind, slot, simulated."""
Sum = tuple[int, float, float, Decimal]


@dataclass(frozen=True)
class Record:
    """A cuff's record; a repeat of it says the same."""

    device: int
    number: int
    minutes: int
    ahead: int
    slot: int | None
    session: int | None
    facts: tuple[str, ...]
    unit: str


@dataclass
class Assigned:
    """A period of the model; the database numbers it."""

    number: int
    subject: UUID
    device: int | None
    slot: int | None
    session: int | None
    since: datetime
    until: datetime | None


@dataclass
class World:
    """What was stored, whose it is and what was found to be wrong: nothing is summed here before the end."""

    prefix: str
    stored: dict[tuple[int, int], Record] = field(default_factory=dict)
    assigned: list[Assigned] = field(default_factory=list)
    wrong: set[tuple[int, int]] = field(default_factory=set)
    amended: dict[tuple[int, int], float] = field(default_factory=dict)

    def subject_of(self, record: Record) -> UUID | None:
        at = BEGAN + timedelta(minutes=record.minutes)
        for one in self.assigned:
            is_spoken = (
                one.session == record.session
                if record.session is not None
                else one.device == record.device and one.slot in (None, record.slot)
            )
            if is_spoken and one.since <= at and (one.until is None or at < one.until):
                return one.subject
        return None

    def counted(self, grain: Grain) -> dict[Key, Sum]:
        values: dict[Key, list[Decimal]] = defaultdict(list)
        for key, record in self.stored.items():
            subject = self.subject_of(record)
            # an amended reading is looked at anew: what made it implausible may be gone
            left_out = set(LEFT_OUT) - ({"implausible"} if key in self.amended else set())
            if subject is None or key in self.wrong or set(record.facts) & left_out:
                continue
            local = (BEGAN + timedelta(minutes=record.minutes)).astimezone(ZoneInfo(ZONE))
            bucket = local.replace(minute=0, second=0, microsecond=0, hour=local.hour if grain is Grain.HOUR else 0)
            first, *others = numbers_of(record)
            for slot, value in enumerate((self.amended.get(key, first), *others)):
                factor = CANONICAL.get(record.unit, Decimal(1)) if slot < 3 else Decimal(1)
                values[
                    str(subject), f"{self.prefix}-{record.device}", bucket.astimezone(UTC), 150020, slot,
                    "simulated" in record.facts,
                ].append(round(Decimal(str(value)) * factor, 6))  # fmt: skip
        return {key: (len(of), float(min(of)), float(max(of)), sum(of, Decimal())) for key, of in values.items()}


def numbers_of(record: Record) -> tuple[float, ...]:
    high = 15.5 + record.number % 7 / 10 if record.unit == "kPa" else 120.0 + record.number % 50
    return (high, high / 2, high / 2 + 1, 60.0 + record.minutes % 30)


def observation_of(world: World, record: Record) -> Observation:
    at = BEGAN + timedelta(minutes=record.minutes)
    return pressure(
        record.number,
        device=f"{world.prefix}-{record.device}",
        values=numbers_of(record),
        unit=record.unit,
        measured_at=at,
        device_at=at + timedelta(minutes=record.ahead),
        slot=record.slot,
        session=None if record.session is None else f"{world.prefix.replace(':', '.')}.{record.session}",
        facts=record.facts,
    )


records = st.builds(
    Record,
    device=st.integers(0, 2),
    number=st.integers(1, 30),
    # minutes apart, or weeks
    minutes=st.one_of(st.integers(0, 180), st.integers(0, 40 * 1440)),
    ahead=st.sampled_from([0, 0, 0, -1439, 1439, 30, 5 * 1440, -9000]),
    slot=st.sampled_from([None, 1, 2]),
    session=st.sampled_from([None, None, None, 1]),
    facts=st.one_of(st.just(()), st.sampled_from([("simulated",), *((name,) for name in LEFT_OUT)])),
    unit=st.sampled_from(["mm[Hg]", "kPa"]),
)
hours = st.one_of(st.none(), st.integers(0, 4), st.integers(0, 41 * 24))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.lists(records, min_size=1, max_size=6)),
        st.tuples(st.just("again"), st.integers(0, 9)),
        st.tuples(
            st.just("assign"),
            st.tuples(st.integers(0, 1), st.integers(0, 3), st.sampled_from([None, None, 1, 2]), hours, hours),
        ),
        st.tuples(st.just("end"), st.tuples(st.integers(0, 5), st.integers(0, 41 * 24))),
        st.tuples(st.just("revoke"), st.integers(0, 5)),
        st.tuples(
            st.just("correct"),
            st.tuples(st.sampled_from(["wrong", "right", "amend"]), st.integers(0, 9), st.integers(1, 5)),
        ),
        st.tuples(st.just("correct"), st.tuples(st.just("wrong"), st.integers(0, 9), st.just(0))),
        st.tuples(st.just("roll"), st.none()),
    ),
    min_size=8,
    max_size=24,
)


class Run:
    """The steps, on a connection and in the model side by side."""

    def __init__(self, conn: AsyncConnection, world: World) -> None:
        self.conn, self.world, self.directory = conn, world, Directory()
        self.subjects = (uuid4(), uuid4())

    async def deliver(self, sent: list[Record]) -> None:
        new = {}
        for record in sent:
            key = (record.device, record.number)
            # another reading under the same key would be refused: the model leaves that to other tests
            new.setdefault(key, self.world.stored.get(key, record))
        payload = message(*(observation_of(self.world, record) for record in new.values()))
        outcome = await commit.store_with_retry(self.conn, self.directory, [taken(payload, limits=ANY_AGE)], now=NOW)
        assert outcome.refused == 0, outcome.receipts[0].refused
        assert outcome.stored == len(new.keys() - self.world.stored.keys())
        self.world.stored |= new

    async def again(self, which: int) -> None:
        if self.world.stored:
            await self.deliver([list(self.world.stored.values())[which % len(self.world.stored)]])

    async def assign(self, what: tuple[int, int, int | None, int | None, int | None]) -> None:
        who, target, slot, first, length = what
        since = BEGAN + timedelta(hours=-50 if first is None else first)
        until = None if length is None else since + timedelta(hours=length + 1)
        subject = self.subjects[who]
        uid = f"{self.world.prefix}-{target}"
        try:
            if target == 3:
                session = f"{self.world.prefix.replace(':', '.')}.1"
                number = await assignments.assign_session(
                    self.conn, session, subject, since=since, until=until, by="test", now=NOW
                )
            else:
                await assignments.register_device(self.conn, uid, concept=None, label=None, now=NOW)
                number = await assignments.assign_device(
                    self.conn, uid, subject, user_slot=slot, since=since, until=until, by="test", now=NOW
                )
        except AssignmentOverlap:
            return
        self.world.assigned.append(
            Assigned(number, subject, None if target == 3 else target, slot, 1 if target == 3 else None, since, until)
        )

    async def end(self, what: tuple[int, int]) -> None:
        which, hour = what
        until = BEGAN + timedelta(hours=hour)
        if self.world.assigned:
            one = self.world.assigned[which % len(self.world.assigned)]
            if one.since < until and (one.until is None or until < one.until):
                await assignments.end_assignment(self.conn, one.number, until=until, by="test", now=NOW)
                one.until = until

    async def revoke(self, which: int) -> None:
        if self.world.assigned:
            one = self.world.assigned.pop(which % len(self.world.assigned))
            await assignments.revoke_assignment(self.conn, one.number, now=NOW)

    async def correct(self, what: tuple[str, int, int]) -> None:
        how, which, more = what
        if not self.world.stored:
            return
        key = list(self.world.stored)[which % len(self.world.stored)]
        found = await self.conn.execute(
            "SELECT device_id, kind, identity_at, record_no FROM telemetry.observation JOIN telemetry.device USING"
            " (device_id) WHERE device_uid = %s AND record_no = %s",
            (f"{self.world.prefix}-{key[0]}", key[1]),
        )
        (row,) = await found.fetchall()
        said: dict[str, Any] = {"by": "test", "reason": "a test", "now": NOW}
        if how == "wrong":
            await corrections.enter_in_error(self.conn, corrections.Key(*row), **said)
            self.world.wrong.add(key)
        elif how == "right" and key in self.world.wrong:
            await corrections.reinstate(self.conn, corrections.Key(*row), **said)
            self.world.wrong.remove(key)
        elif how == "amend" and key not in self.world.wrong:
            value = numbers_of(self.world.stored[key])[0] + more / 2
            await corrections.amend(self.conn, corrections.Key(*row), {0: value}, **said)
            self.world.amended[key] = value

    async def roll(self, _: None = None) -> None:
        await everything_rolled_up(self.conn)


async def everything_rolled_up(conn: AsyncConnection, zone: str = ZONE) -> None:
    while (rolled := await rollup.roll_up(conn, zone=zone, now=NOW)).turn is not Turn.NOTHING_DUE:
        assert rolled.turn is Turn.ROLLED_UP


async def kept(conn: AsyncConnection, grain: Grain, prefix: str) -> dict[Key, Sum]:
    rows = await conn.execute(
        "SELECT subject_id::text, device_uid, bucket_at, kind, slot, simulated, number, low, high, total"
        f" FROM telemetry.rollup_{grain.value} JOIN telemetry.device USING (device_id) WHERE device_uid LIKE %s",
        (f"{prefix}-%",),
    )
    return {row[:6]: row[6:] for row in await rows.fetchall()}


@pytest.fixture
def plain_table_url(postgres_cluster: Server) -> Iterator[str]:
    """A migrated database without any extension."""
    name = f"test_rollup_{uuid4().hex[:8]}"
    url = create_database(postgres_cluster.url, name, template="template0")
    database.migrate(url, with_timescale=False)
    yield url
    drop_database(postgres_cluster.url, name)


@pytest.mark.parametrize("place", ["migrated_database_url", "plain_table_url"])
def test_they_equal_what_is_counted_from_all_readings(place: str, request: pytest.FixtureRequest) -> None:
    url: str = request.getfixturevalue(place)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=steps, at_once=st.booleans())
    def holds(steps: list[tuple[str, Any]], at_once: bool) -> None:
        world = World(f"ble:example-{next(EXAMPLE)}")

        async def play() -> dict[Grain, dict[Key, Sum]]:
            conn = await database.connect(url)
            run = Run(conn, world)
            # something to begin with: a device that is one person's, another that is for each user, a session
            for given_to in ((0, 0, None, None, None), (1, 1, 1, None, 900), (0, 3, None, None, None)):
                await run.assign(given_to)
            for name, what in steps:
                await getattr(run, name)(what)
                if at_once:
                    await run.roll()
            await run.roll()
            found = {grain: await kept(conn, grain, world.prefix) for grain in Grain}
            await conn.close()
            return found

        found = asyncio.run(play())
        for grain in Grain:
            assert found[grain] == world.counted(grain)

    holds()


async def put(conn: AsyncConnection, *sent: Observation) -> None:
    stored = await commit.store_with_retry(conn, Directory(), [taken(message(*sent), limits=ANY_AGE)], now=NOW)
    assert stored.refused == 0


async def own(conn: AsyncConnection, uid: str = "ble:cuff-1") -> UUID:
    subject = uuid4()
    await assignments.register_device(conn, uid, concept=None, label=None, now=NOW)
    await assignments.assign_device(conn, uid, subject, since=BEGAN - timedelta(days=900), by="test", now=NOW)
    return subject


def weeks_ago(number: int, hours: float, **changes: Any) -> Observation:
    at = BEGAN + timedelta(hours=hours)
    return pressure(number, measured_at=at, device_at=at, **changes)


async def seen(conn: AsyncConnection, subject: UUID, grain: Grain, **how: Any) -> list[tuple[datetime, int, float]]:
    found = await series(conn, subject, grain, since=BEGAN - timedelta(days=900), until=NOW, **how)
    return [(one.bucket_at, one.number, one.mean) for one in found if one.kind == BLOOD_PRESSURE and one.slot == 0]


async def test_a_day_is_one_of_the_sites_calendar_and_two_devices_are_added_up(
    telemetry: AsyncConnection,
) -> None:
    conn = telemetry
    subject = await own(conn)
    await assignments.register_device(conn, "ble:cuff-2", concept=None, label=None, now=NOW)
    await assignments.assign_device(conn, "ble:cuff-2", subject, since=BEGAN, by="test", now=NOW)
    # 23:00, 23:59 and 00:30 of the next day in Shanghai; all one day in UTC
    values = (100.0, 60.0, 70.0, 60.0)
    await put(conn, weeks_ago(1, 0, values=values), weeks_ago(2, 0.99), weeks_ago(3, 1.5))
    await put(conn, weeks_ago(4, 0.5, device="ble:cuff-2", values=(110.0, 60.0, 70.0, 60.0)))
    await everything_rolled_up(conn)
    first = datetime(2025, 12, 31, 16, tzinfo=UTC)
    assert await seen(conn, subject, Grain.DAY) == [
        (first, 3, pytest.approx((100 + 122 + 110) / 3)),
        (first + timedelta(days=1), 1, 123.0),
    ]
    assert [at for at, _, _ in await seen(conn, subject, Grain.HOUR)] == [BEGAN, BEGAN + timedelta(hours=1)]
    found = await conn.execute(
        "SELECT number, low, high, unit FROM telemetry.subject_day WHERE subject_id = %s AND code = 150021"
        " ORDER BY bucket_at",
        (subject,),
    )
    assert await found.fetchall() == [(3, 100.0, 122.0, "mm[Hg]"), (1, 123.0, 123.0, "mm[Hg]")]


async def test_another_zone_makes_them_anew(telemetry: AsyncConnection) -> None:
    conn = telemetry
    subject = await own(conn)
    await put(conn, weeks_ago(1, 0), weeks_ago(2, 1.5))
    await everything_rolled_up(conn)
    assert len(await seen(conn, subject, Grain.DAY)) == 2
    await everything_rolled_up(conn, "Asia/Kolkata")
    assert [(at, number) for at, number, _ in await seen(conn, subject, Grain.DAY)] == [
        (datetime(2025, 12, 31, 18, 30, tzinfo=UTC), 2)
    ]
    assert [at.minute for at, _, _ in await seen(conn, subject, Grain.HOUR)] == [30, 30]


async def test_simulated_readings_are_a_series_of_their_own(telemetry: AsyncConnection) -> None:
    conn = telemetry
    subject = await own(conn)
    await put(conn, weeks_ago(1, 0), weeks_ago(2, 0.1, facts=("simulated",)), weeks_ago(3, 0.2, facts=("demo-data",)))
    await everything_rolled_up(conn)
    assert [number for _, number, _ in await seen(conn, subject, Grain.HOUR)] == [1]
    assert await seen(conn, subject, Grain.HOUR, simulated=True) == [(BEGAN, 1, 122.0)]


async def test_every_value_of_a_kind_has_its_own_code_and_unit(telemetry: AsyncConnection) -> None:
    conn = telemetry
    subject = await own(conn)
    (kind,) = (kind for kind in KINDS if kind.code == BODY_COMPOSITION)
    values = (22.0, 70.0, 175.0, 50.0, 48.0, 38.0, 42.0, 30.0, 6500.0, None)
    sent = (*values[:2], 1.75, *values[3:])  # metres; the canonical unit is the centimetre
    await put(conn, weeks_ago(1, 0, kind=BODY_COMPOSITION, unit="%", values=sent, absent={9: "not-sent"}))
    await everything_rolled_up(conn)
    found = await series(conn, subject, Grain.DAY, since=BEGAN - timedelta(days=1), until=NOW, concepts=[kind.concept])
    assert [(one.ref, one.mean) for one in found] == [
        (slot.ref, value) for slot, value in zip(kind.slots, values, strict=True) if value is not None
    ]
    assert [one.unit for one in found][:3] == ["%", "kg", "cm"]
    assert not await series(conn, subject, Grain.DAY, since=BEGAN, until=NOW, concepts=["glucose"])


async def test_one_process_at_a_time_and_what_it_did_not_finish_stays_due(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    conn = telemetry
    await own(conn)
    await put(conn, weeks_ago(1, 0))
    rival = await database.connect(migrated_database_url)
    async with rival.transaction():
        await rival.execute("SELECT pg_advisory_xact_lock(%s)", (rollup.TURN,))
        assert (await rollup.roll_up(conn, zone=ZONE, now=NOW)).turn is Turn.BUSY
    await rival.close()
    assert (await rollup.waiting(conn)).batches == 1
    await everything_rolled_up(conn)
    assert await rollup.waiting(conn) == (0, None, 0, 0)


def test_the_service_rolls_up_what_it_stored_by_itself(broker: Broker, migrated_database_url: str) -> None:
    async def begin() -> UUID:
        conn = await database.connect(migrated_database_url)
        subject = await own(conn)
        await conn.close()
        return subject

    subject = asyncio.run(begin())
    settings = {"rollup_seconds": "0.1", "keep_batch_days": "30"}
    with Source(broker) as source, IngestProcess(broker, migrated_database_url, **settings) as process:
        source.send(message(pressure(1), pressure(2)))
        assert source.receipt().stored == 2
        found = "SELECT sum(number) FROM telemetry.subject_day WHERE subject_id = %s AND code = 150021"
        wait_until(lambda: ask(migrated_database_url, found, subject) == [(2,)], "the day's roll-up")
        assert process.wait_for_line("retention applied")["rows"] == 0
        assert process.stop() == 0


async def test_they_are_right_after_rolling_up_while_two_processes_write(
    telemetry: AsyncConnection, migrated_database_url: str
) -> None:
    subject = await own(telemetry)
    done = asyncio.Event()

    async def write(numbers: range) -> None:
        conn = await database.connect(migrated_database_url)
        for start in numbers[::20]:
            some = (weeks_ago(number, number % 97) for number in range(start, start + 20))
            one = taken(message(*some), limits=ANY_AGE)
            await commit.store_with_retry(conn, Directory(), [one], now=NOW)
        await conn.close()

    async def roll() -> int:
        times = 0
        while not done.is_set():
            turn = (await rollup.roll_up(telemetry, zone=ZONE, now=NOW)).turn
            times += turn is Turn.ROLLED_UP
            await asyncio.sleep(0)
        return times

    rolling = asyncio.create_task(roll())
    await asyncio.gather(write(range(600)), write(range(300, 900)))
    done.set()
    assert await rolling > 1
    await everything_rolled_up(telemetry)
    counted = await seen(telemetry, subject, Grain.HOUR)
    assert [number for _, number, _ in counted] == [len(range(hour, 900, 97)) for hour in range(97)]
    assert sum(number for _, number, _ in await seen(telemetry, subject, Grain.DAY)) == 900

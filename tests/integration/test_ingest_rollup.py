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

from devices.observation import Observation
from ingest import assignments, commit, corrections, database, rollup
from ingest.directory import Directory
from ingest.errors import AssignmentOverlap
from ingest.intake import Limits
from ingest.rollup import Turn
from ingest.rollup_series import Grain
from simulators.embedded.database import Server, create_database, drop_database
from tests.fix_ingest import message, pressure, taken

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

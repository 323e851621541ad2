"""Late, repeated, corrected, reassigned, refused, replayed, let go: the database is what a plain model is."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from psycopg import AsyncConnection

from devices.decoding import decode_observation
from devices.nomenclature import BLOOD_PRESSURE, BY_CODE, KINDS
from devices.observation import Fact, Observation
from devices.units import canonical
from ingest import (
    assignments,
    commit,
    corrections,
    database,
    intake,
    observations,
    quarantine,
    reconcile,
    replay,
    retention,
    rollup,
)
from ingest.corrections import Corrected, Key
from ingest.directory import Directory
from ingest.errors import AssignmentOverlap, CannotCorrect, UnknownName
from ingest.replay import Replayed
from ingest.retention import Keep
from tests.fix_ingest import message

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime.now(UTC).replace(microsecond=0)
ALWAYS = {"since": NOW - timedelta(days=300), "until": NOW + timedelta(days=300)}
DAY = timedelta(days=1)
GLUCOSE = next(kind.code for kind in KINDS if kind.concept == "glucose")
IN_ERROR = int(Fact.ENTERED_IN_ERROR)
BY: dict[str, Any] = {"by": "duty", "reason": "a test", "now": NOW}


@dataclass
class Reading:
    """What the model knows of one stored reading. sent: its first delivery."""

    sent: Observation
    identity_at: datetime
    values: list[float | None]
    facts: int

    def numbers(self) -> dict[int, float]:
        units = BY_CODE[self.sent.kind].units[self.sent.unit]
        return {slot: canonical(v, units[slot]) for slot, v in enumerate(self.values) if v is not None}


@dataclass
class Bound:
    """One assignment."""

    number: int
    subject: UUID
    device: str | None
    slot: int | None
    session: str | None
    since: datetime
    until: datetime | None

    def holds(self, one: Observation) -> bool:
        if not self.since <= one.measured_at or (self.until is not None and one.measured_at >= self.until):
            return False
        if one.session is not None:
            return one.session == self.session
        return one.device == self.device and self.slot in {None, one.slot}


def key_of(one: Observation) -> tuple[Any, ...]:
    return (one.device, one.device_at or one.measured_at, one.kind, one.record_no)


@dataclass
class Site:
    """Both: two connections to the database, and the model."""

    conns: list[AsyncConnection]
    chance: random.Random
    directories: list[Directory] = field(default_factory=lambda: [Directory(), Directory()])
    readings: dict[tuple[Any, ...], Reading] = field(default_factory=dict)
    bound: list[Bound] = field(default_factory=list)
    sent: list[Observation] = field(default_factory=list)
    books: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    let_go: dict[int, datetime] = field(default_factory=dict)
    hours_from: datetime = NOW - timedelta(days=999)
    count: int = 0

    def reading(self) -> Observation:
        """A new one: often at a border of a local day, of a clock that is right, far off or not there."""
        pick, self.count = self.chance.choice, self.count + 1
        midnight = (NOW - timedelta(days=pick([1, 2, 8, 30, 31, 45, 60]))).astimezone(ZONE).replace(hour=0, minute=0)
        at = midnight.replace(second=0).astimezone(UTC)
        at += timedelta(
            seconds=pick([-1, 0, 3599, 3600, self.chance.randrange(-40_000, 40_000)]), microseconds=self.count
        )
        kind, unit, values = pick(
            [
                (BLOOD_PRESSURE, "mm[Hg]", (float(self.chance.randrange(90, 180)), 60.0, None, 66.0)),
                (BLOOD_PRESSURE, "kPa", (float(self.chance.randrange(12, 22)), 8.0)),
                (GLUCOSE, "mg/dL", (float(self.chance.randrange(70, 200)),)),
            ]
        )
        session = pick([None, None, None, "s-1", "s-2"])
        shift = pick([None, timedelta(), timedelta(), timedelta(days=4000), timedelta(days=-3)])
        return Observation(
            device=f"ble:cuff-{self.chance.randrange(3)}",
            kind=kind,
            unit=unit,
            values=values,
            measured_at=at + timedelta(hours=pick([0, 0, 0, -10, 10])) if shift == timedelta() else at,
            device_at=None if shift is None else (at + timedelta(hours=8) - shift).replace(tzinfo=None),
            record_no=self.count,
            session=session,
            slot=pick([None, 1, 2]) if session is None else None,
            facts=pick([(), (), ("simulated",), ("test-data",), ("irregular-pulse",)]),
        )

    def add(self, one: Observation) -> bool:
        if key_of(one) in self.readings:
            return False
        stamp = one.measured_at if one.device_at is None else one.device_at.replace(tzinfo=UTC) - timedelta(hours=8)
        identity_at = stamp if abs(stamp - one.measured_at) <= DAY else one.measured_at
        self.readings[key_of(one)] = Reading(one, identity_at, list(one.values), one.fact_bits())
        return True

    async def store(self, which: int, *messages: Sequence[Observation]) -> list[int]:
        """Stored, duplicate, refused."""
        topic = "suifang/v1/north/gw-1/observations"
        taken = [intake.take(topic, message(*one), NOW, intake.Limits()) for one in messages]
        done = await commit.store_with_retry(self.conns[which], self.directories[which], taken, now=NOW)
        fates = [done.stored, done.duplicate, done.refused]
        self.books = [was + more for was, more in zip(self.books, [sum(fates), *fates], strict=True)]
        return fates

    async def deliver(self) -> None:
        """New ones and repeats, some with another correction, by two writers at once."""
        new = [self.reading() for _ in range(self.chance.randrange(1, 30))]
        old = self.chance.sample(self.sent, min(len(self.sent), 8))
        old = [
            one for one in old if key_of(one) in self.readings and self.readings[key_of(one)].sent.values == one.values
        ]
        moved = timedelta(days=self.chance.choice([0, 2]))
        old = [
            one if one.device_at is None else msgspec.structs.replace(one, measured_at=one.measured_at - moved)
            for one in old
        ]
        self.sent += new
        batches: tuple[list[Observation], list[Observation]] = ([], [])
        for one in self.chance.sample(new + old, len(new + old)):
            which = self.chance.choice([(0,), (1,), (0, 1)])
            for writer in which:
                batches[writer].append(one)
        fates = await asyncio.gather(*(self.store(n, batch) for n, batch in enumerate(batches) if batch))
        stored = sum([self.add(one) for one in new])
        total = len(batches[0]) + len(batches[1])
        assert [sum(column) for column in zip(*fates, strict=True)] == [stored, total - stored, 0]

    async def refuse(self) -> None:
        """Of a clock ahead, of no kind, and one under the number of another."""
        at = NOW + timedelta(hours=2, microseconds=self.count)
        ahead = msgspec.structs.replace(self.reading(), measured_at=at, device_at=None)
        no_kind = msgspec.structs.replace(self.reading(), kind=77)
        assert await self.store(0, [ahead], [no_kind], [ahead]) == [0, 0, 3]
        past = [one for one in self.readings.values() if one.sent.measured_at < NOW]
        if past:
            one = self.chance.choice(past)
            other = tuple(None if value is None else value + self.chance.randrange(1, 4) for value in one.values)
            await self.store(0, [msgspec.structs.replace(one.sent, values=other)])

    async def try_again(self) -> None:
        """Rows of the quarantine, each by two at once, or accepted as a correction."""
        for kept in self.chance.sample(rows := await quarantine.listing(self.conns[0], limit=999), min(3, len(rows))):
            one = decode_observation(kept.content)
            if kept.reason == "record-reused" and self.chance.random() < 0.5:
                await self.accept(kept.quarantine_id)
                continue
            wide = intake.Limits(future=400 * DAY, ancient=4000 * DAY)
            both = await asyncio.gather(
                *(
                    replay.replay(conn, names, kept, limits=wide, now=NOW)
                    for conn, names in zip(self.conns, self.directories, strict=True)
                )
            )
            said = {outcome.replayed for outcome in both}
            if said == {Replayed.STILL_REFUSED}:
                assert not isinstance(one, Observation) or list(one.values) != self.readings[key_of(one)].values
                continue
            assert isinstance(one, Observation)
            fate = Replayed.STORED if self.add(one) else Replayed.DUPLICATE
            assert said == {fate, Replayed.ALREADY_RESOLVED}
            self.books[3] -= 1
            self.books[1 if fate is Replayed.STORED else 2] += 1

    async def accept(self, number: int) -> None:
        kept = await quarantine.find(self.conns[0], number)
        assert kept is not None
        one = decode_observation(kept.content)
        assert isinstance(one, Observation)
        try:
            done = await corrections.accept(self.conns[0], number, **BY)
        except (UnknownName, CannotCorrect):
            stored = self.readings.get(key_of(one))
            assert stored is None or stored.facts & IN_ERROR
            return
        if done is Corrected.CORRECTED:
            stored = self.readings[key_of(one)]
            stored.values, stored.facts = list(one.values), stored.facts | Fact.AMENDED

    async def correct(self) -> None:
        rows = await (await self.conns[0].execute("SELECT device_uid, device_id FROM telemetry.device")).fetchall()
        ids: dict[str, int] = dict(rows)
        for one in self.chance.sample(every := list(self.readings.values()), min(4, len(every))):
            key = Key(ids[one.sent.device], one.sent.kind, one.identity_at, one.sent.record_no)
            how = self.chance.randrange(3)
            if how == 0 and not one.facts & IN_ERROR:
                value = {"kPa": 15.0, "mg/dL": 99.0, "mm[Hg]": 133.0}[one.sent.unit]
                if await corrections.amend(self.conns[1], key, {0: value}, **BY) is Corrected.CORRECTED:
                    one.values[0], one.facts = value, one.facts | Fact.AMENDED
            elif how == 1:
                await corrections.enter_in_error(self.conns[1], key, **BY)
                one.facts |= IN_ERROR
            else:
                await corrections.reinstate(self.conns[1], key, **BY)
                one.facts &= ~IN_ERROR

    async def reassign(self) -> None:
        conn, pick = self.conns[0], self.chance.choice
        since = NOW - timedelta(days=self.chance.randrange(70), seconds=self.chance.randrange(86_400))
        until = pick([None, since + timedelta(days=self.chance.randrange(1, 30))])
        if self.bound and self.chance.random() < 0.4:
            one = pick(self.bound)
            try:
                await assignments.end_assignment(conn, one.number, until=since, by="duty", now=NOW)
                one.until = since
            except UnknownName:
                await assignments.revoke_assignment(conn, one.number, now=NOW)
                self.bound.remove(one)
            return
        subject = UUID(int=pick([1, 2, 3]))
        device, slot, session = pick([("ble:cuff-0", None, None), ("ble:cuff-1", 2, None), (None, None, "s-1")])
        period: dict[str, Any] = {"since": since, "until": until, "by": "duty", "now": NOW}
        try:
            if session is not None:
                number = await assignments.assign_session(conn, session, subject, **period)
            else:
                await assignments.register_device(conn, device, concept=None, label=None, now=NOW)
                number = await assignments.assign_device(conn, device, subject, user_slot=slot, **period)
        except AssignmentOverlap:
            return
        self.bound.append(Bound(number, subject, device, slot, session, since, until))

    async def judge(self) -> None:
        for table in ("batch", "assignment_change", "correction"):
            await self.conns[0].execute(f"UPDATE telemetry.{table} SET judged_at = %s WHERE judged_at IS NULL", (NOW,))

    async def roll_up(self) -> None:
        while (await rollup.roll_up(self.conns[0], zone=ZONE.key, now=NOW)).turn is rollup.Turn.ROLLED_UP:
            if self.chance.random() < 0.5:
                return

    async def retain(self) -> None:
        pick = self.chance.choice
        keep = Keep(
            pick([None, 40 * DAY, 55 * DAY]), pick([{}, {GLUCOSE: 31 * DAY}]), hours=pick([None, 10 * DAY, 32 * DAY])
        )
        for gone in await retention.retain(self.conns[1], keep, now=NOW):
            if gone.what is retention.What.HOURS:
                self.hours_from = max(self.hours_from, gone.before_at)
            elif gone.kinds or gone.chunks:
                kinds = gone.kinds or tuple(BY_CODE)
                self.let_go.update({k: max(gone.before_at, self.let_go.get(k, gone.before_at)) for k in kinds})
                for key, one in list(self.readings.items()):
                    if one.identity_at < gone.before_at and one.sent.kind in kinds:
                        del self.readings[key]

    def whose(self, one: Observation) -> UUID | None:
        return next((bound.subject for bound in self.bound if bound.holds(one)), None)

    async def compare(self) -> None:
        """The rows, whose they are, the roll-ups and the books."""
        conn = self.conns[0]
        while (await rollup.roll_up(conn, zone=ZONE.key, now=NOW)).turn is rollup.Turn.ROLLED_UP:
            pass
        by_subject: dict[UUID | None, list[tuple[Any, ...]]] = defaultdict(list)
        for one in self.readings.values():
            facts = Fact(one.facts & ~int(Fact.UNREGISTERED_DEVICE))
            values = tuple(one.values[: len(one.sent.values)])
            by_subject[self.whose(one.sent)].append((one.sent.record_no, one.identity_at, values, facts))
        found = {subject: await observations.window(conn, subject, **ALWAYS) for subject in map(UUID, _SUBJECTS)}
        nobodys = await observations.unassigned(conn, since=ALWAYS["since"], limit=100_000)
        for whose, stored in {**found, None: nobodys}.items():
            there = [
                (o.record_no, o.identity_at, o.values, Fact(o.facts & ~int(Fact.UNREGISTERED_DEVICE))) for o in stored
            ]
            assert sorted(there, key=str) == sorted(by_subject[whose], key=str)
        await self.compare_sums("rollup_hour", {"minute": 0, "second": 0, "microsecond": 0})
        await self.compare_sums("rollup_day", {"hour": 0, "minute": 0, "second": 0, "microsecond": 0})
        ((*books,),) = await (
            await conn.execute("SELECT sent, stored, duplicate, refused FROM telemetry.account")
        ).fetchall()
        assert books == self.books
        late = timedelta(days=1)  # the model judges when it likes
        assert await reconcile.differences(conn, now=NOW, judged_within=late) == []

    async def compare_sums(self, table: str, begin: dict[str, int]) -> None:
        sums: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for one in self.readings.values():
            subject = self.whose(one.sent)
            if subject is None or one.facts & rollup.LEFT_OUT:
                continue
            at = one.sent.measured_at.astimezone(ZONE).replace(**begin).astimezone(UTC)
            for slot, number in one.numbers().items():
                simulated = bool(one.facts & Fact.SIMULATED)
                sums[one.sent.device, one.sent.kind, slot, subject, simulated, at].append(number)
        query = (
            "SELECT device_uid, kind, slot, subject_id, simulated, bucket_at, number, low, high, total::float8"
            f" FROM telemetry.{table} JOIN telemetry.device USING (device_id)"
        )
        rows = await (await self.conns[0].execute(query.encode())).fetchall()
        there = {row[:6]: row[6:] for row in rows}
        for key in sums.keys() | there.keys():
            frozen = key[1] in self.let_go and key[5] < self.let_go[key[1]] + DAY
            if frozen or (table == "rollup_hour" and key[5] < self.hours_from):
                continue
            numbers = sums[key]
            expected = (len(numbers), min(numbers), max(numbers), sum(numbers)) if numbers else ()
            assert there.get(key, ()) == pytest.approx(expected, abs=1e-5), (table, key)


_SUBJECTS = [str(UUID(int=number)) for number in (1, 2, 3)]


@pytest.fixture
async def conns(migrated_database_url: str) -> AsyncIterator[list[AsyncConnection]]:
    """Two, of two writers."""
    both = [await database.connect(migrated_database_url) for _ in range(2)]
    yield both
    for conn in both:
        await conn.close()


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_in_whatever_order_the_database_is_what_a_plain_model_is(
    conns: list[AsyncConnection], seed: int
) -> None:
    site = Site(conns, random.Random(seed))
    often = [site.deliver] * 4 + [site.correct, site.reassign] * 3 + [site.refuse, site.try_again, site.roll_up] * 2
    await site.deliver()
    for step in range(40):
        await site.chance.choice([*often, site.judge, site.judge, site.retain])()
        if step % 8 == 7:
            await site.compare()

"""The monitor on a real database: residents, staff, readings stored by ingest's own writer, judged at a chosen time."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from devices.message import Message, encode
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Context, Meal, Observation
from ingest.assignments import assign_device, register_device
from ingest.commit import store
from ingest.directory import Directory
from ingest.intake import Limits, take
from monitor import access, followups, patients
from monitor.access import Role, User
from monitor.alerts import RaisedReason
from monitor.desk import Desk
from monitor.evaluator import judge_all
from monitor.identity import Keys
from monitor.judging import LiveRules
from monitor.judging_subject import Bench, Judged
from monitor.patients import NewPatient, Registered
from monitor.programme import load_packs
from monitor.queue import Queue, queue

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
"""09:00 at the centre."""
GLUCOSE = 160184
PASSWORD = "a long enough password"
_numbers = itertools.count(1)


@dataclass
class Stage:
    """One test's database and what stands on it."""

    url: str
    conn: AsyncConnection[TupleRow]
    bench: Bench
    directory: Directory = field(default_factory=Directory)

    @property
    def desk(self) -> Desk:
        return self.bench.desk

    async def resident(
        self,
        name: str = "陈秀兰",
        *,
        programmes: tuple[str, ...] = ("hypertension",),
        device: str | None = "ble:C04F21",
        site: str = "dongyuan",
        simulated: bool = False,
        since: date = date(2026, 10, 1),
        born: date = date(1955, 3, 12),
    ) -> UUID:
        """A resident who owns a device."""
        number = next(_numbers)
        async with self.conn.transaction():
            subject_id = await patients.add(
                self.conn,
                NewPatient(
                    name=name,
                    sex=2,
                    birth_date=born,
                    site=site,
                    id_number=f"11010519550312{number:04d}",
                    phone=f"138{number:08d}",
                    contact_name="陈大明",
                    contact_phone=f"139{number:08d}",
                    allergies="青霉素",
                    record_code=f"110105001003{number:05d}",
                    registers=tuple(Registered(programme=programme, since=since) for programme in programmes),
                    simulated=simulated,
                ),
                keys=self.desk.keys,
                by="test",
                now=NOW,
            )
            if device is not None:
                await register_device(self.conn, device, concept="blood_pressure", label="家用血压计", now=NOW)
                await assign_device(self.conn, device, subject_id, since=NOW - timedelta(days=400), by="test", now=NOW)
        return subject_id

    async def give(self, device: str, subject_id: UUID, *, since: datetime = NOW - timedelta(days=400)) -> int:
        """The assignment of a device, registered if it was not."""
        async with self.conn.transaction():
            await register_device(self.conn, device, concept=None, label=None, now=NOW)
            return await assign_device(self.conn, device, subject_id, since=since, by="test", now=NOW)

    async def nurse(
        self, login: str = "wang", name: str = "王护士", *, sites: tuple[str, ...] = ("*",), role: Role = Role.NURSE
    ) -> User:
        """An account, logged in by nobody."""
        async with self.conn.transaction():
            user_id = await access.add_user(
                self.conn, login=login, name=name, role=role, sites=sites, password=PASSWORD, by="test", now=NOW
            )
        return User(user_id=user_id, login=login, name=name, role=role, sites=sites)

    async def measure(self, *observations: Observation, at: datetime = NOW) -> None:
        """Store them as one batch, as ingest does."""
        message = Message(message_id=f"m{next(_numbers)}", sent_at=at, observations=list(observations))
        topic = "suifang/v1/dongyuan/gw1/observations"
        intake = take(topic, encode(message), at, Limits())
        assert not intake.refused, intake.refused
        stored = await store(self.conn, self.directory, [intake], now=at)
        assert stored.stored == len(observations)

    async def judge(self, at: datetime = NOW) -> list[Judged]:
        """Judge what waits, as if it were `at`."""
        return await judge_all(self.conn, self.bench, clock=lambda: at)

    async def raised(self, *observations: Observation, at: datetime = NOW) -> list[RaisedReason]:
        """Store, judge, and say what the findings did."""
        await self.measure(*observations, at=at)
        return [reason for judged in await self.judge(at) for reason in judged.raised.elements()]

    async def queue(self, viewer: User, at: datetime = NOW, *, kind: str | None = None, mine: bool = False) -> Queue:
        """The queue as the viewer sees it."""
        async with self.conn.transaction():
            return await queue(self.conn, viewer=viewer, desk=self.desk, now=at, kind=kind, mine=mine)

    async def claim(self, followup_id: int, user: User, at: datetime = NOW) -> followups.ClaimResult:
        """One request: one transaction."""
        async with self.conn.transaction():
            return await followups.claim(self.conn, followup_id, user=user, now=at)

    async def close(
        self, followup_id: int, user: User, outcome: followups.Outcome, note: str = "", at: datetime = NOW
    ) -> followups.CloseResult:
        """One request: one transaction."""
        async with self.conn.transaction():
            return await followups.close(
                self.conn, followup_id, user=user, outcome=outcome, note=note, desk=self.desk, now=at
            )

    async def rows(self, query: str) -> list[TupleRow]:
        """What stands in the tables."""
        return await (await self.conn.execute(query.encode())).fetchall()


def cuff(
    systolic: float,
    diastolic: float,
    *,
    at: datetime = NOW,
    facts: tuple[str, ...] = (),
    device: str = "ble:C04F21",
    session: str | None = None,
) -> Observation:
    """A reading of a blood pressure cuff whose clock is right."""
    return Observation(
        device=device,
        kind=BLOOD_PRESSURE,
        values=(systolic, diastolic, None, None),
        unit="mm[Hg]",
        measured_at=at,
        device_at=at,
        facts=facts,
        session=session,
    )


def meter(mmol: float, *, at: datetime = NOW, meal: Meal | None = None, device: str = "ble:0A11") -> Observation:
    """A reading of a glucose meter."""
    return Observation(
        device=device,
        kind=GLUCOSE,
        values=(mmol,),
        unit="mmol/L",
        measured_at=at,
        device_at=at,
        context=Context(meal=meal) if meal else None,
    )


@pytest.fixture
def bench() -> Bench:
    """The 2011 packs, fresh keys, Shanghai's days."""
    desk = Desk(Keys.generate(), ZoneInfo("Asia/Shanghai"), load_packs("2011"))
    return Bench(desk=desk, rules=LiveRules(), history=timedelta(days=90))


@pytest.fixture
async def stage(migrated_database_url: str, bench: Bench) -> AsyncIterator[Stage]:
    """A migrated database of this test's own."""
    async with await AsyncConnection.connect(migrated_database_url, autocommit=True) as conn:
        yield Stage(migrated_database_url, conn, bench)

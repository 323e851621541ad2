"""The nurse's desk in tests: a station with residents and nurses, judged by the real rules and served by uvicorn.

Readings go through ingest's own transaction and are judged by the real evaluator; nothing is written into tables.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
import uvicorn

from devices.message import Leaf, Message, Topic, encode
from devices.nomenclature import BLOOD_PRESSURE, BODY_MASS
from devices.observation import Context, Meal, Observation
from ingest import assignments, commit, intake, rollup
from ingest import database as telemetry
from ingest.directory import Directory
from ingest.rollup import Turn
from monitor import access, patients, visits
from monitor.access import Role
from monitor.app import bench_from
from monitor.database import open_pool
from monitor.evaluator import judge_all
from monitor.settings import Settings
from monitor.web.app import Server, create_app

PASSWORD = "correct horse 1"
GLUCOSE = 160184
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
_CODES = iter(range(1, 1_000_000))


def desk_settings(url: str, **changes: Any) -> Settings:
    """Settings of a demo site: edition 2011, simulated, plain HTTP."""
    values: dict[str, Any] = {
        "database_url": url,
        "identity_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "blind_index_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "edition": "2011",
        "simulated_banner": True,
        "secure_cookies": False,
    }
    return Settings(**(values | changes))


class Station:
    """A health station: opens records, hands out devices, receives readings and has them judged."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bench = bench_from(settings)
        self._url = settings.database_url.get_secret_value()
        self._directory = Directory()
        self._messages = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection whose transaction commits at the end."""
        async with await psycopg.AsyncConnection.connect(self._url) as conn:
            yield conn

    async def nurse(self, login: str, name: str, *, sites: Sequence[str] = ("*",), role: Role = Role.NURSE) -> None:
        """An account with `PASSWORD`."""
        async with self.transaction() as conn:
            await access.add_user(
                conn,
                login=login,
                name=name,
                role=role,
                sites=sites,
                password=PASSWORD,
                by="test",
                now=datetime.now(UTC),
            )

    async def resident(self, name: str, *, devices: Sequence[str] = (), **changes: Any) -> UUID:
        """A resident; `devices`: uids of cuffs, meters and scales assigned to them a year back."""
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "sex": 2,
            "birth_date": date(1955, 3, 12),
            "site": "东苑站",
            "phone": "13800000000",
            "record_code": f"99990000300{next(_CODES):06d}",
            "registers": (patients.Registered(programme="hypertension", since=date(2019, 5, 1)),),
            "consented_on": date(2025, 3, 2),
            "simulated": True,
        }
        async with self.transaction() as conn:
            new = patients.NewPatient(name=name, **(values | changes))
            subject = await patients.add(conn, new, keys=self.bench.desk.keys, by="test", now=now)
            for uid in devices:
                concept, label = _device(uid)
                await assignments.register_device(conn, uid, concept=concept, label=label, now=now)
                since = now - timedelta(days=400)
                await assignments.assign_device(conn, uid, subject, since=since, by="test", now=now)
        return subject

    async def visit(self, subject: UUID, at: datetime, sbp: float, dbp: float, classification: int) -> None:
        """A clinic visit that took place."""
        observed: dict[str, Any] = {
            "sbp": sbp,
            "dbp": dbp,
            "adverse_reaction": False,
            "reaction_hard_to_control": False,
            "complication": "none",
        }
        new = visits.NewVisit(
            subject_id=subject,
            programme="hypertension",
            edition="2011",
            visited_at=at,
            mode=1,
            classification=classification,
            observed=observed,
        )
        async with self.transaction() as conn:
            await visits.record_visit(conn, new, user=None, now=at)

    async def receive(self, *observations: Observation, judge: bool = True) -> None:
        """Readings arrive by a gateway's message, are stored in ingest's transaction, and judged."""
        self._messages += 1
        now = datetime.now(UTC)
        payload = encode(Message(message_id=f"m-{self._messages}", sent_at=now, observations=list(observations)))
        topic = Topic("north", "gw-1", Leaf.OBSERVATIONS)
        conn = await telemetry.connect(self._url)
        try:
            taken = intake.take(str(topic), payload, now, intake.Limits())
            stored = await commit.store_with_retry(conn, self._directory, [taken], now=now)
            assert stored.refused == 0, stored.receipts
        finally:
            await conn.close()
        if judge:
            await self.judge()

    async def roll_up(self) -> None:
        """Ingest's work on the means of hours and days, until there is none."""
        async with self.transaction() as conn:
            while (
                await rollup.roll_up(conn, zone="Asia/Shanghai", now=datetime.now(UTC))
            ).turn is not Turn.NOTHING_DUE:
                pass

    async def judge(self) -> None:
        """The evaluator's work on everything that waits."""
        async with await psycopg.AsyncConnection.connect(self._url) as conn:
            await judge_all(conn, self.bench, clock=lambda: datetime.now(UTC))


def cuff(at: datetime, systolic: float, diastolic: float, *, device: str = "ble:cuff-4F21", **more: Any) -> Observation:
    """One record of a cuff."""
    return _observation(device, BLOOD_PRESSURE, (systolic, diastolic, (systolic + 2 * diastolic) // 3, 78.0), at, more)


def sugar(
    at: datetime, value: float, meal: Meal | None = Meal.FASTING, *, device: str = "ble:meter-A9C0"
) -> Observation:
    """One record of a glucose meter, mmol/L."""
    return _observation(device, GLUCOSE, (value,), at, {"context": Context(meal=meal) if meal else None})


def scale(at: datetime, kilograms: float, *, device: str = "ble:scale-7710") -> Observation:
    """One record of a weight scale."""
    return _observation(device, BODY_MASS, (kilograms,), at, {})


def _observation(device: str, kind: int, values: tuple[float, ...], at: datetime, more: dict[str, Any]) -> Observation:
    at = at.replace(microsecond=0)
    unit = {BLOOD_PRESSURE: "mm[Hg]", BODY_MASS: "kg"}.get(kind, "mmol/L")
    stamp = (at + timedelta(hours=8)).replace(tzinfo=None)
    facts = ("simulated", *more.pop("facts", ()))
    fields: dict[str, Any] = {"device": device, "kind": kind, "values": values, "unit": unit, "measured_at": at}
    return Observation(**(fields | {"device_at": stamp, "facts": facts} | more))


def _device(uid: str) -> tuple[str, str]:
    tail = uid.rpartition("-")[2]
    if "cuff" in uid:
        return "blood_pressure", f"家用血压计 …{tail}"
    return ("glucose", f"血糖仪 …{tail}") if "meter" in uid else ("body_weight", f"体重秤 …{tail}")


class RunningDesk:
    """The desk behind a real uvicorn on 127.0.0.1."""

    def __init__(self, station: Station, base: str, feed: Any) -> None:
        self.station = station
        self.base = base
        self.feed = feed

    def client(self) -> httpx.AsyncClient:
        """A browser's worth of cookies, nobody signed in."""
        return httpx.AsyncClient(base_url=self.base, follow_redirects=False, timeout=20)

    @asynccontextmanager
    async def signed_in(self, login: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client with a session."""
        async with self.client() as client:
            fields = {"login": login, "password": PASSWORD, "csrf": token_in((await client.get("/login")).text)}
            answer = await client.post("/login", data=fields)
            assert answer.status_code == 303, answer.text
            yield client


def token_in(page: str) -> str:
    """The form token of a page."""
    found = _TOKEN.search(page)
    assert found, "the page has no form"
    return found[1]


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[RunningDesk]:
    """A desk on a free port until the block ends; open streams end with it."""
    pool = await open_pool(settings.database_url.get_secret_value(), min_size=1, max_size=6)
    app = create_app(settings, pool)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on", access_log=False)
    server = Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not task.done(), "the desk did not start"
            await asyncio.sleep(0.02)
        await asyncio.wait_for(app.state.feed.listening.wait(), 20)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield RunningDesk(Station(settings), f"http://127.0.0.1:{port}", app.state.feed)
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)
        await pool.close()


@pytest.fixture
async def desk(migrated_database_url: str) -> AsyncIterator[RunningDesk]:
    """An empty station with two nurses, `wang` and `zhang`, and its desk."""
    async with serving(desk_settings(migrated_database_url)) as running:
        await running.station.nurse("wang", "王护士")
        await running.station.nurse("zhang", "张敏")
        yield running

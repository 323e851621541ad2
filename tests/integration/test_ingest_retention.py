"""Only what is set is let go, only what is judged and rolled up: a hypertable by chunks, a plain table by rows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from psycopg import AsyncConnection
from typer.testing import CliRunner

from devices.nomenclature import BODY_TEMPERATURE
from devices.observation import Observation
from ingest import assignments, cli, commit, database, retention, rollup, timescale
from ingest.directory import Directory
from ingest.intake import Limits
from ingest.retention import Held, Keep, What
from ingest.rollup import Turn
from simulators.embedded.database import Server, create_database, drop_database
from tests.fix_ingest import ask, message, pressure, taken

ZONE = "Asia/Shanghai"
NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1000)
ANY_AGE = Limits(ancient=timedelta(days=36_525))
CENTURY = timedelta(days=36_525)


@pytest.fixture
def bare_url(postgres_cluster: Server) -> Iterator[str]:
    """A migrated database without any extension."""
    name = f"test_retention_{uuid4().hex[:8]}"
    url = create_database(postgres_cluster.url, name, template="template0")
    database.migrate(url, with_timescale=False)
    yield url
    drop_database(postgres_cluster.url, name)


@pytest.fixture(params=["migrated_database_url", "bare_url"])
def url(request: pytest.FixtureRequest) -> str:
    """The same on the server's own edition and on a plain table."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def conn(url: str) -> AsyncIterator[AsyncConnection]:
    connected = await database.connect(url)
    yield connected
    await connected.close()


def days_old(number: int, days: float, **changes: Any) -> Observation:
    at = NOW - timedelta(days=days)
    return pressure(number, measured_at=at, device_at=changes.pop("device_at", at), **changes)


async def put(conn: AsyncConnection, *sent: Observation) -> None:
    stored = await commit.store_with_retry(conn, Directory(), [taken(message(*sent), limits=ANY_AGE)], now=NOW)
    assert stored.refused == 0


async def own(conn: AsyncConnection, uid: str = "ble:cuff-1") -> UUID:
    subject = uuid4()
    await assignments.register_device(conn, uid, concept=None, label=None, now=LONG_AGO)
    await assignments.assign_device(conn, uid, subject, since=LONG_AGO, by="test", now=LONG_AGO)
    return subject


async def roll_up(conn: AsyncConnection) -> int:
    """Hours that were left as they are."""
    frozen = 0
    while (rolled := await rollup.roll_up(conn, zone=ZONE, now=NOW)).turn is Turn.ROLLED_UP:
        frozen += rolled.frozen
    return frozen


async def judge(conn: AsyncConnection) -> None:
    for table in ("batch", "assignment_change"):
        await conn.execute(f"UPDATE telemetry.{table} SET judged_at = %s WHERE judged_at IS NULL", (NOW,))


async def settle(conn: AsyncConnection) -> int:
    await judge(conn)
    return await roll_up(conn)


async def kept(conn: AsyncConnection) -> list[int]:
    found = await conn.execute("SELECT record_no FROM telemetry.observation ORDER BY record_no")
    return [number for (number,) in await found.fetchall()]


async def rolled(conn: AsyncConnection, table: str = "rollup_day") -> list[int]:
    found = await conn.execute(f"SELECT number FROM telemetry.{table} WHERE slot = 0 ORDER BY bucket_at")
    return [number for (number,) in await found.fetchall()]


async def test_nothing_goes_unless_it_is_set(conn: AsyncConnection) -> None:
    await put(conn, days_old(1, 900))
    await settle(conn)
    assert Keep().everything
    assert await retention.retain(conn, Keep(), now=NOW) == []
    assert await kept(conn) == [1]


async def test_old_observations_go_with_their_ledger_and_their_rollups_stay(conn: AsyncConnection) -> None:
    await own(conn)
    odd = {"device_at": NOW - CENTURY}
    await put(conn, days_old(1, 100, **odd), days_old(2, 1, **odd), days_old(3, 100))
    await settle(conn)
    (done,) = await retention.retain(conn, Keep(observations=timedelta(days=50)), now=NOW)
    assert (done.what, done.held) == (What.OBSERVATIONS, None)
    is_hypertable = await timescale.hypertable_schema(conn) is not None
    assert (bool(done.chunks), done.rows) == ((True, None) if is_hypertable else (False, 2))
    assert await kept(conn) == [2]
    ledger = await conn.execute("SELECT record_no FROM telemetry.odd_identity")
    assert await ledger.fetchall() == [(2,)]
    assert await rolled(conn) == [2, 1]


async def test_what_is_not_judged_or_not_rolled_up_holds_its_time_back(conn: AsyncConnection) -> None:
    await own(conn)
    await settle(conn)
    keep = Keep(observations=timedelta(days=50))
    await put(conn, days_old(1, 100), days_old(2, 101))
    await roll_up(conn)
    assert [one.held for one in await retention.retain(conn, keep, now=NOW)] == [Held.NOT_JUDGED]
    assert await kept(conn) == [1, 2]
    await judge(conn)
    await conn.execute("UPDATE telemetry.observation SET v0 = v0 + 1 WHERE record_no = 2")
    assert [one.held for one in await retention.retain(conn, keep, now=NOW)] == [Held.NOT_ROLLED_UP]
    assert await kept(conn) == [1, 2]
    await roll_up(conn)
    assert [one.held for one in await retention.retain(conn, keep, now=NOW)] == [None]
    assert await kept(conn) == []


async def test_a_reading_for_a_time_let_go_changes_no_rollup(conn: AsyncConnection) -> None:
    await own(conn)
    await put(conn, days_old(1, 100), days_old(2, 100, values=(180.0, 90.0, 120.0, 70.0)))
    await settle(conn)
    await retention.retain(conn, Keep(observations=timedelta(days=50)), now=NOW)
    await put(conn, days_old(3, 100), days_old(4, 40))
    assert await settle(conn) == 1
    assert await rolled(conn) == [2, 1]
    await retention.retain(conn, Keep(observations=timedelta(days=50)), now=NOW)
    assert await kept(conn) == [4]


async def test_each_kind_may_have_a_time_of_its_own(conn: AsyncConnection) -> None:
    warm = {"kind": BODY_TEMPERATURE, "unit": "Cel", "values": (36.6,)}
    await own(conn)
    await put(conn, *(days_old(number, days) for number, days in ((1, 20), (2, 60), (3, 400))))
    await put(conn, *(days_old(number, days, **warm) for number, days in ((11, 20), (12, 60), (13, 400))))
    await settle(conn)
    keep = Keep(observations=timedelta(days=300), kinds={BODY_TEMPERATURE: timedelta(days=30)})
    said = await retention.retain(conn, keep, now=NOW, dry_run=True)
    assert [one.rows for one in said if one.kinds == (BODY_TEMPERATURE,)] == [2]
    assert await kept(conn) == [1, 2, 3, 11, 12, 13]
    await retention.retain(conn, keep, now=NOW)
    assert await kept(conn) == [1, 2, 11]
    # a late thermometer reading is beyond its own time, a cuff's of that hour is not
    await put(conn, days_old(14, 60.01, **warm), days_old(4, 60.01))
    assert await settle(conn) == 1


async def test_a_kind_kept_for_ever_keeps_its_chunks(conn: AsyncConnection) -> None:
    await put(conn, days_old(1, 400), days_old(2, 400, kind=BODY_TEMPERATURE, unit="Cel", values=(36.6,)))
    await settle(conn)
    await retention.retain(conn, Keep(kinds={BODY_TEMPERATURE: timedelta(days=30)}), now=NOW)
    assert await kept(conn) == [1]


async def test_days_stay_right_after_their_hours_went(conn: AsyncConnection) -> None:
    await own(conn)
    await put(conn, days_old(1, 100), days_old(2, 100.1), days_old(3, 1))
    await settle(conn)
    (done,) = await retention.retain(conn, Keep(hours=timedelta(days=50)), now=NOW)
    assert (done.what, done.rows) == (What.HOURS, 8)
    assert await rolled(conn, "rollup_hour") == [1]
    # weeks late, of a day whose hours are gone and whose readings are not
    await put(conn, days_old(4, 100.05))
    assert await settle(conn) == 0
    assert await rolled(conn) == [3, 1]
    await retention.retain(conn, Keep(hours=timedelta(days=50)), now=NOW)
    assert await rolled(conn, "rollup_hour") == [1]
    assert await rolled(conn) == [3, 1]


async def test_a_day_without_hours_and_readings_stays_as_it_was_made(conn: AsyncConnection) -> None:
    await own(conn)
    await put(conn, days_old(1, 100), days_old(2, 100.1))
    await settle(conn)
    keep = Keep(observations=timedelta(days=60), hours=timedelta(days=50))
    await retention.retain(conn, keep, now=NOW)
    await put(conn, days_old(3, 100.05), days_old(4, 55))
    assert await settle(conn) == 1
    assert await rolled(conn) == [2, 1]
    await retention.retain(conn, keep, now=NOW)
    assert await rolled(conn) == [2, 1]


async def test_settled_batches_resolved_quarantine_and_old_days_go(conn: AsyncConnection) -> None:
    await own(conn)
    await put(conn, days_old(1, 900), days_old(2, 900.5))
    await settle(conn)
    await put(conn, days_old(3, 1))
    for number in (5, 6):
        item = pressure(number, measured_at=NOW + CENTURY, device_at=None)
        await commit.store_with_retry(conn, Directory(), [taken(message(item), limits=ANY_AGE)], now=NOW)
    await conn.execute("UPDATE telemetry.quarantine SET resolved_at = %s WHERE quarantine_id = 1", (NOW,))
    later = NOW + timedelta(days=40)
    month = timedelta(days=30)
    keep = Keep(days=timedelta(days=800), quarantine=month, batches=month)
    said = await retention.retain(conn, keep, now=later, dry_run=True)
    done = await retention.retain(conn, keep, now=later)
    assert [(one.what, one.rows) for one in said] == [(one.what, one.rows) for one in done]
    assert {one.what: one.rows for one in done} == {What.DAYS: 4, What.BATCHES: 1, What.CHANGES: 1, What.QUARANTINE: 1}
    for table, left in (("batch", 1), ("touch", 1), ("assignment_change", 0), ("quarantine", 1)):
        assert await (await conn.execute(f"SELECT count(*) FROM telemetry.{table}")).fetchone() == (left,)


def test_the_command_says_first_and_does_afterwards(
    migrated_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUIFANG_INGEST_DATABASE_URL", migrated_database_url)
    monkeypatch.setenv("SUIFANG_INGEST_KEEP_CONCEPT_DAYS", '{"blood_pressure": 30}')

    def run(*arguments: str) -> list[dict[str, Any]]:
        outcome = CliRunner().invoke(cli.app, arguments)
        assert outcome.exit_code == 0, outcome.output
        return [json.loads(line) for line in outcome.stdout.splitlines()]

    (nothing,) = run("retain", "--dry-run")
    assert (nothing["held"], nothing["rows"]) == ("not-rolled-up", 0)
    assert run("rollup")[0]["batches_left"] == 0
    (empty,) = run("retain")
    assert (empty["what"], empty["held"], empty["rows"], empty["dry_run"]) == ("observations", None, 0, False)
    assert ask(migrated_database_url, "SELECT what, kind FROM telemetry.let_go") == [("observation", 150020)]
    again = run("rollup", "--anew")
    assert (again[0]["spans_left"], again[0]["batches"]) == (0, 0)


async def test_a_clock_that_jumped_ahead_lets_go_of_nothing(conn: AsyncConnection) -> None:
    await put(conn, days_old(1, 10))
    await settle(conn)
    everything = Keep(*(timedelta(days=50),), hours=timedelta(days=1), quarantine=timedelta(days=1))
    done = await retention.retain(conn, everything, now=datetime.now(UTC) + timedelta(days=3000))
    assert {one.held for one in done} == {Held.CLOCK_AHEAD}
    assert [one.what for one in done] == [What.OBSERVATIONS, What.HOURS, What.QUARANTINE]
    assert await kept(conn) == [1]


async def test_a_reading_of_an_odd_clock_that_comes_while_its_time_goes_is_still_known_afterwards(
    conn: AsyncConnection, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = days_old(2, 100, device_at=NOW - CENTURY)
    await put(conn, days_old(1, 100))
    await settle(conn)
    going = retention._Run._by_devices

    async def while_it_comes(run: retention._Run, *about: Any) -> int:
        other = await database.connect(url)
        await put(other, late)
        await other.close()
        return await going(run, *about)

    monkeypatch.setattr(retention._Run, "_by_devices", while_it_comes)
    one_kind = Keep(kinds={late.kind: timedelta(days=50)})
    await retention.retain(conn, one_kind, now=NOW)
    assert await kept(conn) == [2]
    moved = msgspec.structs.replace(late, measured_at=late.measured_at + timedelta(days=3))
    again = await commit.store_with_retry(conn, Directory(), [taken(message(moved), limits=ANY_AGE)], now=NOW)
    assert (again.stored, again.duplicate) == (0, 1)

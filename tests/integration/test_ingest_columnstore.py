"""Old chunks in columns: asked for by ability, exact with late and repeated readings. The Community edition is not
among Debian's packages; its tests run where `DATABASE_URL` names such a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import uuid4

import pytest
from psycopg import AsyncConnection, errors
from typer.testing import CliRunner

from devices.observation import Observation
from ingest import assignments, cli, columnstore, commit, database, retention, rollup, timescale
from ingest.columnstore import Ability, Change
from ingest.directory import Directory
from ingest.intake import Limits
from ingest.retention import Keep
from ingest.rollup import Turn
from ingest.timescale import Edition
from tests.fix_ingest import message, pressure, taken

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
MONTH: Final = timedelta(days=30)
ANY_AGE: Final = Limits(ancient=timedelta(days=36_525))
ABILITIES: Final = {
    Edition.PLAIN: Ability.NO_EXTENSION,
    Edition.APACHE: Ability.OTHER_LICENCE,
    Edition.COMMUNITY: Ability.READY,
}


@pytest.fixture
async def community(migrated_database_url: str) -> AsyncIterator[AsyncConnection]:
    """A connection to a database of the Community edition, its columnstore enabled before the connection began."""
    first = await database.connect(migrated_database_url)
    found = await columnstore.enable(first)
    await first.close()
    if found is not Ability.READY:
        pytest.skip(f"no columnstore here ({found.value}); to run this test set DATABASE_URL to a Community server")
    conn = await database.connect(migrated_database_url)
    yield conn
    await conn.close()


def days_old(number: int, days: float) -> Observation:
    at = NOW - timedelta(days=days)
    return pressure(number, measured_at=at, device_at=at)


async def put(conn: AsyncConnection, *sent: Observation) -> tuple[int, int, int]:
    one = taken(message(*sent), limits=ANY_AGE)
    stored = await commit.store_with_retry(conn, Directory(), [one], now=NOW)
    return stored.stored, stored.duplicate, stored.refused


async def test_the_server_is_asked_whether_it_can(telemetry: AsyncConnection) -> None:
    expected = ABILITIES[await timescale.edition(telemetry)]
    assert await columnstore.ability(telemetry) is expected
    assert await columnstore.enable(telemetry) is expected


async def test_where_it_cannot_nothing_is_tried(telemetry: AsyncConnection, migrated_database_url: str) -> None:
    if await columnstore.ability(telemetry) is Ability.READY:
        pytest.skip("this server has a columnstore; to run this test unset DATABASE_URL")
    assert await put(telemetry, days_old(1, 100)) == (1, 0, 0)
    assert await columnstore.compress_old(telemetry, older_than=MONTH, now=NOW) == []
    environment = {"SUIFANG_INGEST_DATABASE_URL": migrated_database_url}
    command = partial(CliRunner().invoke, cli.app, ["columnstore", "--days", "30"], env=environment)
    outcome = await asyncio.to_thread(command)
    assert outcome.exit_code == 1
    assert "has no columnstore" in outcome.output


async def test_the_apache_edition_refuses_what_is_not_asked_of_it(telemetry: AsyncConnection) -> None:
    if await timescale.edition(telemetry) is not Edition.APACHE:
        pytest.skip("not the Apache edition; to run this test unset DATABASE_URL")
    with pytest.raises(errors.FeatureNotSupported):
        await telemetry.execute("ALTER TABLE telemetry.observation SET (timescaledb.compress)")


async def test_the_octets_of_chunks_are_known_where_there_are_chunks(telemetry: AsyncConnection) -> None:
    if await timescale.hypertable_schema(telemetry) is None:
        pytest.skip("no hypertable; to run this test unset DATABASE_URL")
    assert await columnstore.octets(telemetry) == 0
    await put(telemetry, days_old(1, 100), days_old(2, 1))
    assert await columnstore.octets(telemetry) > 8192


async def test_late_and_repeated_readings_stay_exact_in_columns(community: AsyncConnection) -> None:
    old = [days_old(number, 100 + number / 1440) for number in range(500)]
    assert await put(community, *old) == (500, 0, 0)
    (chunk, *_) = await columnstore.compress_old(community, older_than=MONTH, now=NOW)
    assert chunk.change is Change.COMPRESSED
    assert await put(community, *old) == (0, 500, 0)
    late = [days_old(1000 + number, 100 + (number + 0.5) / 1440) for number in range(50)]
    assert await put(community, *old[:50], *late) == (50, 50, 0)
    other = pressure(7, measured_at=old[7].measured_at, device_at=old[7].device_at, values=(99.0, 66.0, 77.0, 55.0))
    assert await put(community, other) == (0, 0, 1)
    again = await columnstore.compress_old(community, older_than=MONTH, now=NOW)
    assert {one.change for one in again} == {Change.COMPRESSED_AGAIN}
    assert await columnstore.compress_old(community, older_than=MONTH, now=NOW) == []
    assert await put(community, *late) == (0, 50, 0)
    count = await community.execute("SELECT count(*), count(DISTINCT record_no) FROM telemetry.observation")
    assert await count.fetchone() == (550, 550)


async def test_rollups_corrections_and_retention_work_on_columns(community: AsyncConnection) -> None:
    await assignments.register_device(community, "ble:cuff-1", concept=None, label=None, now=NOW)
    await assignments.assign_device(
        community, "ble:cuff-1", uuid4(), since=NOW - timedelta(days=900), by="test", now=NOW
    )
    await put(community, *(days_old(number, 100 + number / 1440) for number in range(60)))
    await columnstore.compress_old(community, older_than=MONTH, now=NOW)
    await put(community, days_old(900, 100.5))

    async def rolled() -> int:
        while (await rollup.roll_up(community, zone="Asia/Shanghai", now=NOW)).turn is Turn.ROLLED_UP:
            continue
        row = await (await community.execute("SELECT sum(number) FROM telemetry.rollup_day WHERE slot = 0")).fetchone()
        assert row is not None
        return int(row[0])

    assert await rolled() == 61
    await community.execute("UPDATE telemetry.observation SET facts = facts | 1 WHERE record_no = 3")
    assert await rolled() == 60
    for table in ("batch", "assignment_change"):
        await community.execute(f"UPDATE telemetry.{table} SET judged_at = %s", (NOW,))
    (done,) = await retention.retain(community, Keep(observations=timedelta(days=50)), now=NOW)
    assert done.chunks
    assert await rolled() == 60

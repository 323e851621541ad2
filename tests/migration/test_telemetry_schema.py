"""Migrations and `schema.sql` say the same, on a hypertable and on a plain table; kinds follow the nomenclature."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import psycopg
import pytest

from devices.nomenclature import KINDS
from devices.units import BY_UCUM
from ingest import commit, database, timescale
from ingest.directory import Directory
from ingest.errors import DatabaseUnavailable, NotMigrated
from simulators.embedded.database import Server, create_database, drop_database
from tests.fix_ingest import ask, message, pressure, taken

CATALOGUE = {
    "columns": """
        SELECT c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               a.attidentity::text, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'telemetry'::regnamespace AND c.relkind IN ('r', 'v', 'S') ORDER BY 1, a.attnum""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'telemetry'::regnamespace AND conrelid <> 0 ORDER BY 1, 2""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'telemetry' ORDER BY 1, 2""",
    "views": """SELECT viewname, definition FROM pg_views WHERE schemaname = 'telemetry' ORDER BY 1""",
}
OF_YOYO = {"migration", "_yoyo_log", "_yoyo_version", "yoyo_lock"}


def catalogue(url: str) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: [row for row in ask(url, query) if row[0].removeprefix("telemetry.") not in OF_YOYO]
        for name, query in CATALOGUE.items()
    }


@pytest.fixture
def bare_database_urls(postgres_cluster: Server) -> Iterator[tuple[str, str]]:
    """Two databases without any extension."""
    names = [f"test_bare_{secrets.token_hex(4)}" for _ in range(2)]
    first, second = (create_database(postgres_cluster.url, name, template="template0") for name in names)
    yield first, second
    for name in names:
        drop_database(postgres_cluster.url, name)


def test_the_migrations_leave_what_schema_sql_says(bare_database_urls: tuple[str, str]) -> None:
    migrated, written = bare_database_urls
    database.migrate(migrated, with_timescale=False)
    with psycopg.connect(written, autocommit=True) as conn:
        conn.execute(files("ingest").joinpath("sql/schema.sql").read_bytes())
    expected = catalogue(written)
    assert catalogue(migrated) == expected
    assert len(expected["columns"]) > 80
    assert ask(migrated, "SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'") == [(0,)]


def test_every_constraint_is_named_by_us(bare_database_urls: tuple[str, str]) -> None:
    url, _ = bare_database_urls
    database.migrate(url, with_timescale=False)
    text = files("ingest").joinpath("sql/schema.sql").read_text(encoding="utf-8")
    # PostgreSQL 18 names NOT NULL as well; those stay its own
    names = [row[1] for row in catalogue(url)["constraints"] if not row[2].startswith("NOT NULL")]
    assert names
    assert [name for name in names if f"CONSTRAINT {name} " not in text] == []


async def test_a_plain_table_takes_and_collapses_observations(bare_database_urls: tuple[str, str]) -> None:
    url, _ = bare_database_urls
    database.migrate(url, with_timescale=False)
    conn = await database.connect(url)
    assert await timescale.edition(conn) is timescale.Edition.PLAIN
    for expected in ((1, 0), (0, 1)):
        stored = await commit.store_with_retry(conn, Directory(), [taken(message(pressure(1)))], now=datetime.now(UTC))
        assert (stored.stored, stored.duplicate) == expected
    await conn.close()


async def test_migrations_run_on_plain_postgresql(plain_postgres_url: str) -> None:
    database.migrate(plain_postgres_url)
    conn = await database.connect(plain_postgres_url)
    await database.require_migrated(conn)
    assert await timescale.edition(conn) is timescale.Edition.PLAIN
    stored = await commit.store_with_retry(conn, Directory(), [taken(message(pressure(1)))], now=datetime.now(UTC))
    assert stored.stored == 1
    await conn.close()


async def test_a_database_that_gets_the_extension_later_becomes_a_hypertable_with_its_rows(
    bare_database_urls: tuple[str, str],
) -> None:
    url, _ = bare_database_urls
    database.migrate(url, with_timescale=False)
    conn = await database.connect(url)
    await commit.store_with_retry(conn, Directory(), [taken(message(pressure(1)))], now=datetime.now(UTC))
    await conn.close()
    database.migrate(url)
    conn = await database.connect(url)
    if await timescale.edition(conn) is timescale.Edition.PLAIN:
        pytest.skip("this server has no TimescaleDB; to run this test use the private one (unset DATABASE_URL)")
    hypertables = await conn.execute("SELECT hypertable_name, num_dimensions FROM timescaledb_information.hypertables")
    assert await hypertables.fetchall() == [("observation", 1)]
    width = await conn.execute("SELECT time_interval FROM timescaledb_information.dimensions")
    assert await width.fetchall() == [(timedelta(days=7),)]
    again = await commit.store_with_retry(conn, Directory(), [taken(message(pressure(1)))], now=datetime.now(UTC))
    assert again.duplicate == 1
    # the key stays the only index, on the chunks too
    indexes = "SELECT count(*) FROM pg_indexes WHERE tablename LIKE '\\_hyper\\_%%' OR tablename = 'observation'"
    assert ask(url, indexes) == [(2,)]
    await conn.close()


def test_two_processes_may_migrate_at_once_and_again(database_url: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(database.migrate, [database_url] * 3))
    assert ask(database_url, "SELECT count(*) FROM telemetry.migration") == [
        (sum(1 for entry in files("ingest").joinpath("migrations").iterdir() if entry.name.endswith(".sql")),)
    ]


def test_the_kinds_in_the_database_are_those_of_the_nomenclature(migrated_database_url: str) -> None:
    assert ask(migrated_database_url, "SELECT kind, ref, concept FROM telemetry.kind ORDER BY kind") == sorted(
        (kind.code, kind.ref, kind.concept) for kind in KINDS
    )
    expected = {
        (kind.code, BY_UCUM[first].term, index, slot.code, slot.ref, unit, BY_UCUM[unit].canonical)
        for kind in KINDS
        for first, units in kind.units.items()
        for index, (slot, unit) in enumerate(zip(kind.slots, units, strict=True))
    }
    query = "SELECT kind, unit, slot, code, ref, reported, canonical FROM telemetry.kind_value"
    assert set(ask(migrated_database_url, query)) == expected


async def test_a_database_without_the_schema_is_named_as_such(database_url: str) -> None:
    conn = await database.connect(database_url)
    with pytest.raises(NotMigrated):
        await database.require_migrated(conn)
    await conn.close()


async def test_a_server_that_is_not_there_is_reported_after_the_attempts(free_port: int) -> None:
    with pytest.raises(DatabaseUnavailable):
        await database.wait_for_database(f"postgresql://127.0.0.1:{free_port}/x", attempts=2)

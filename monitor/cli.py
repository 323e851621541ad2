"""`suifang-monitor`: run, web, migrate, user, audit, identity, key; judge and check-pack come from `monitor.judge_cli`.

Settings come from the environment (`monitor.settings`). Exit 1: it was tried and failed; exit 2: it cannot be tried.
"""

from __future__ import annotations

import asyncio
import base64
import getpass
import secrets
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from ingest.errors import IngestError
from ingest.log_lines import configure_logging
from monitor import access, audit, judge_cli, patients
from monitor import app as service
from monitor.access import Role
from monitor.database import connect
from monitor.database import migrate as migrate_schema
from monitor.errors import BadKey, MonitorError
from monitor.identity import Keys
from monitor.programme import NoSuchEdition, PackRefused
from monitor.settings import DatabaseSettings, Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Rules, alerts, follow-ups and the nurse's desk.")
user_app = typer.Typer(no_args_is_help=True, help="Accounts of the staff.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit trail.")
identity_app = typer.Typer(no_args_is_help=True, help="How residents' identities are sealed.")
app.add_typer(user_app, name="user")
app.add_typer(audit_app, name="audit")
app.add_typer(identity_app, name="identity")
judge_cli.register(app)

_S = TypeVar("_S", bound=BaseSettings)
_T = TypeVar("_T")
Conn = AsyncConnection[TupleRow]


@app.command()
def run() -> None:
    """Judge what ingest stores and open what the calendar asks for, until SIGINT or SIGTERM."""
    configure_logging()
    settings = _settings(Settings)
    _end_with(lambda: service.run(settings))


@app.command()
def web() -> None:
    """Serve the nurse's desk until SIGINT or SIGTERM."""
    configure_logging()
    settings = _settings(Settings)
    _end_with(lambda: service.serve(settings))


@app.command()
def migrate() -> None:
    """Bring the schema `monitor` to this program's version."""
    url = _settings(DatabaseSettings).database_url.get_secret_value()
    _end_with(lambda: asyncio.to_thread(migrate_schema, url))


@app.command()
def key() -> None:
    """Print a fresh key for SUIFANG_MONITOR_IDENTITY_KEY or SUIFANG_MONITOR_BLIND_INDEX_KEY."""
    typer.echo(base64.b64encode(secrets.token_bytes(32)).decode())


@user_app.command("add")
def user_add(
    login: Annotated[str, typer.Argument(help="lower-case letters, digits, . _ -")],
    name: Annotated[str, typer.Option(help="as colleagues see it")],
    role: Annotated[Role, typer.Option()] = Role.NURSE,
    site: Annotated[list[str] | None, typer.Option(help="whose residents; repeat it; default: every site")] = None,
) -> None:
    """Add an account. The password is asked for, or read from standard input where that is no terminal."""
    password = _password()

    async def work(conn: Conn, now: datetime) -> int:
        return await access.add_user(
            conn,
            login=login,
            name=name,
            role=role,
            sites=site or [access.EVERY_SITE],
            password=password,
            by=f"os:{getpass.getuser()}",
            now=now,
        )

    typer.echo(f"user {_in_transaction(work)}")


@audit_app.command("verify")
def audit_verify() -> None:
    """Recompute the chain; exit 1 names the first row that cannot be trusted."""

    async def work(conn: Conn, _: datetime) -> audit.Broken | None:
        return await audit.verify(conn)

    broken = _in_transaction(work)
    if broken is not None:
        _die(f"audit row {broken.seq}: {broken.fault}", code=1)
    typer.echo("whole")


@identity_app.command("rotate")
def identity_rotate() -> None:
    """Seal with the current key whatever a retired key sealed. The blind index keeps its key."""
    try:
        keys = Keys.from_settings(_settings(Settings))
    except BadKey as error:
        _die(error.detail)

    async def work(conn: Conn, now: datetime) -> int:
        return await patients.rotate(conn, keys=keys, now=now)

    total = 0
    while count := _in_transaction(work):
        total += count
    typer.echo(f"{total} sealed anew")


def main() -> None:
    """The console script."""
    app()


def _settings(kind: type[_S]) -> _S:
    try:
        return kind()
    except ValidationError as error:
        # what was given is not repeated: it may be a secret
        for problem in error.errors(include_input=False, include_url=False):
            where = ".".join(str(step) for step in problem["loc"])
            typer.echo(f"SUIFANG_MONITOR_{where.upper()}: {problem['msg']}" if where else problem["msg"], err=True)
        raise typer.Exit(2) from None


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        _die("the two passwords differ")
    return first


def _in_transaction(work: Callable[[Conn, datetime], Awaitable[_T]]) -> _T:
    url = _settings(DatabaseSettings).database_url.get_secret_value()

    async def connected() -> _T:
        async with await connect(url) as conn, conn.transaction():
            return await work(conn, service.utc_now())

    return _end_with(connected)


def _end_with(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run it; errors that this program knows become one line."""
    try:
        return asyncio.run(work())
    except (IngestError, MonitorError) as error:
        _die(error.detail, code=1)
    except (PackRefused, NoSuchEdition) as error:
        _die(str(error), code=1)


def _die(text: str, *, code: int = 2) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(code)

"""`suifang-ingest`: run, migrate, quarantine, replay, reconcile, kinds."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer
from psycopg import AsyncConnection
from pydantic import ValidationError

from devices.nomenclature import KINDS
from ingest import app as service
from ingest import database, quarantine, reconcile, replay
from ingest.directory import Directory
from ingest.errors import IngestError
from ingest.intake import Limits
from ingest.log_lines import configure_logging
from ingest.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Readings from the broker into the database.")
quarantine_app = typer.Typer(no_args_is_help=True, help="What was refused, with the reason.")
app.add_typer(quarantine_app, name="quarantine")

_T = TypeVar("_T")


@app.command()
def run() -> None:
    """Consume until SIGINT or SIGTERM; then finish what is in hand and stop."""
    settings = _settings()
    configure_logging(logging.getLevelNamesMapping()[settings.log_level.upper()])
    _end_with(lambda: asyncio.run(_serve(settings)))


@app.command()
def migrate() -> None:
    """Bring the schema `telemetry` to this program's version."""
    url = _settings().database_url.get_secret_value()
    _end_with(lambda: database.migrate(url))


@quarantine_app.command("list")
def quarantine_list(
    reason: Annotated[str | None, typer.Option(help="only this reason")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 100,
) -> None:
    """One JSON line a row, newest first; without the content."""

    async def work(conn: AsyncConnection) -> None:
        for kept in await quarantine.listing(conn, reason=reason, limit=limit):
            _print_line({**_described(kept), "content_bytes": len(kept.content)})

    _with_connection(work)


@quarantine_app.command("show")
def quarantine_show(quarantine_id: int) -> None:
    """One row with its content."""

    async def work(conn: AsyncConnection) -> None:
        kept = await quarantine.find(conn, quarantine_id)
        if kept is None:
            raise IngestError(f"no row {quarantine_id} in quarantine")
        _print_line({**_described(kept), "content": kept.content.decode("utf-8", "backslashreplace")})

    _with_connection(work)


@app.command("replay")
def replay_command(
    quarantine_id: Annotated[int | None, typer.Argument(help="one row; without it, every open row")] = None,
    reason: Annotated[str | None, typer.Option(help="only this reason")] = None,
    future_seconds: Annotated[float | None, typer.Option(help="let in times so far ahead of their reception")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 1000,
) -> None:
    """Try quarantined observations again; one JSON line each."""
    settings = _settings()
    limits = settings.limits()
    if future_seconds is not None:
        limits = Limits(timedelta(seconds=future_seconds), limits.ancient)

    async def work(conn: AsyncConnection) -> None:
        if quarantine_id is None:
            rows = await quarantine.listing(conn, reason=reason, limit=limit)
        else:
            found = await quarantine.find(conn, quarantine_id)
            rows = [found] if found is not None and found.resolved_at is None else []
        directory = Directory()
        for kept in reversed(rows):
            outcome = await replay.replay(
                conn,
                directory,
                kept,
                limits=limits,
                now=datetime.now(UTC),
                unknown_devices=settings.unknown_devices,
            )
            _print_line({"quarantine_id": kept.quarantine_id, "reason": kept.reason, "outcome": outcome.value})

    _with_connection(work)


@app.command("reconcile")
def reconcile_command(
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC day of reception")] = None,
) -> None:
    """One JSON line a source and day: sent, stored, duplicate, refused, judged. Exit code 1: it does not add up."""

    async def work(conn: AsyncConnection) -> bool:
        lines = await reconcile.reconcile(conn, since=None if since is None else since.date())
        for line in lines:
            _print_line({**line._asdict(), "day": line.day.isoformat(), "balanced": line.balanced})
        return all(line.balanced for line in lines)

    if not _with_connection(work):
        raise typer.Exit(1)


@app.command()
def kinds() -> None:
    """The kinds of observation this program takes, one JSON line each."""
    for kind in KINDS:
        slots = [{"code": slot.code, "ref": slot.ref} for slot in kind.slots]
        _print_line({"kind": kind.code, "ref": kind.ref, "concept": kind.concept, "slots": slots, "units": kind.units})


def main() -> None:
    """The console script."""
    app()


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await service.run(settings, stop)


def _with_connection(work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
    url = _settings().database_url.get_secret_value()

    async def connected() -> _T:
        conn = await database.connect(url)
        try:
            await database.require_migrated(conn)
            return await work(conn)
        finally:
            await conn.close()

    return _end_with(lambda: asyncio.run(connected()))


def _end_with(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except IngestError as error:
        typer.echo(f"suifang-ingest: {error.detail}", err=True)
        raise typer.Exit(1) from None


def _settings() -> Settings:
    prefix = "SUIFANG_INGEST_"
    known = {prefix + name.upper() for name in Settings.model_fields}
    if unknown := sorted(name for name in os.environ if name.startswith(prefix) and name not in known):
        typer.echo(f"suifang-ingest: {unknown[0]}: there is no such setting", err=True)
        raise typer.Exit(2)
    try:
        return Settings.model_validate({})
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            typer.echo(f"suifang-ingest: SUIFANG_INGEST_{name}: {problem['msg']}", err=True)
        raise typer.Exit(2) from None


def _described(kept: quarantine.Kept) -> dict[str, Any]:
    described = kept._asdict()
    described.pop("content")
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in described.items()}


def _print_line(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")

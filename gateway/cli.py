"""`suifang-gateway`: the edge on the command line. Settings come from the environment (`gateway.settings`)."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer

from gateway import app as gateway_app
from gateway import phd as gateway_phd
from gateway.errors import GatewayError, leaves
from gateway.outbox_file import connect, translated
from gateway.roster import sheets
from gateway.sensors import listed
from gateway.settings import Settings, from_environment

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The edge: devices to disk, disk to broker.")
OutboxPath = Annotated[Path | None, typer.Option("--outbox", help="The outbox file; default: the setting OUTBOX.")]


@app.command()
def run() -> None:
    """Listen to devices and send what they say, until SIGINT or SIGTERM. 11073-20601 agents too, with PHD_LISTEN."""
    gateway_app.configure_logging()
    settings = _settings()
    try:
        asyncio.run(gateway_app.run(settings))
    except* GatewayError as group:
        _die("; ".join(str(error) for error in leaves(group)))


@app.command()
def phd(
    *,
    listen: Annotated[str, typer.Option(help="HOST:PORT for 11073-20601 agents; port 0: a free one.")] = (
        gateway_phd.DEFAULT
    ),
    printed: Annotated[bool, typer.Option("--print", help="Print readings as JSON lines; keep and send none.")] = False,
    zone: Annotated[str, typer.Option(help="With --print: where device clocks are read.")] = "Asia/Shanghai",
) -> None:
    """Accept 11073-20601 agents over TCP, until SIGINT or SIGTERM."""
    gateway_app.configure_logging()
    try:
        if printed:
            asyncio.run(gateway_phd.run_printed(listen, zone=zone))
        else:
            asyncio.run(gateway_app.run_for_agents(_settings(), listen))
    except* GatewayError as group:
        _die("; ".join(str(error) for error in leaves(group)))


@app.command()
def devices(outbox: OutboxPath = None) -> None:
    """Every device that was ever heard, the last heard first: one JSON object a line."""
    try:
        found = sheets(_path(outbox))
    except GatewayError as error:
        _die(error.detail)
    for sheet in found:
        typer.echo(msgspec.json.encode(sheet).decode())


@app.command()
def status(outbox: OutboxPath = None) -> None:
    """What waits in the outbox, what the receiver refused, and how long sensors run, as one JSON object. Works beside a
    running gateway."""
    try:
        with translated():
            database = connect(_path(outbox), read_only=True)
            try:
                typer.echo(msgspec.json.encode(_kept(database)).decode())
            finally:
                database.close()
    except GatewayError as error:
        _die(error.detail)


def _kept(database: sqlite3.Connection) -> dict[str, object]:
    backlog, oldest_at = database.execute("SELECT count(*), min(put_at) FROM observation").fetchone()
    refusals = database.execute(
        "SELECT refused_at, message_id, position, field, reason, detail FROM refusal ORDER BY id DESC LIMIT 20"
    )
    names = [column[0] for column in refusals.description]
    return {
        "backlog": backlog,
        "oldest_at": oldest_at,
        "messages": database.execute("SELECT count(*) FROM message").fetchone()[0],
        "oddities": database.execute("SELECT count(*) FROM oddity").fetchone()[0],
        "refused": database.execute("SELECT count(*) FROM refusal").fetchone()[0],
        "last_refusals": [dict(zip(names, row, strict=True)) for row in refusals.fetchall()],
        "sensors": listed(database),
    }


def _path(given: Path | None) -> Path:
    return given if given is not None else _settings().outbox


def _settings() -> Settings:
    try:
        return from_environment()
    except GatewayError as error:
        _die(error.detail)


def _die(why: str) -> NoReturn:
    sys.stderr.write(f"suifang-gateway: {why}\n")
    raise typer.Exit(1)


def main() -> None:
    """The console script."""
    app()

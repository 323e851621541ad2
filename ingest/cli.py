"""`suifang-ingest`: run, migrate, quarantine, replay, device, assign, correct, reconcile, rollup, retain, status …"""

from __future__ import annotations

import asyncio
import base64
import logging
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer
from psycopg import AsyncConnection

from devices.message import Reason
from devices.nomenclature import KINDS
from ingest import app as service
from ingest import assign_cli, correct_cli, database, quarantine, reconcile, replay, technical, upkeep_cli
from ingest.directory import Directory
from ingest.errors import IngestError, UnknownName
from ingest.log_lines import configure_logging
from ingest.quarantine import Kept
from ingest.replay import Replayed
from ingest.settings import Settings
from ingest.terminal import end_with, print_line, settings_of_environment, with_connection

_MOST_DAYS: Final = 100 * 366
_LONGEST: Final = 1000

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Readings from the broker into the database.")
quarantine_app = typer.Typer(no_args_is_help=True, help="What was refused, with the reason.")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(correct_cli.app, name="correct")
app.add_typer(assign_cli.devices_app, name="device")
app.add_typer(assign_cli.app, name="assign")
app.command("unassigned")(assign_cli.unassigned_command)
app.command("rollup")(upkeep_cli.rollup_command)
app.command("retain")(upkeep_cli.retain_command)
app.command("columnstore")(upkeep_cli.columnstore_command)
app.command("reorder")(upkeep_cli.reorder_command)


@app.command()
def run() -> None:
    """Consume until SIGINT or SIGTERM; then finish what is in hand and stop."""
    settings = settings_of_environment()
    configure_logging(logging.getLevelNamesMapping()[settings.log_level.upper()])
    end_with(lambda: asyncio.run(_serve(settings)))


@app.command()
def migrate() -> None:
    """Bring the schema `telemetry` to this program's version."""
    url = settings_of_environment().database_url.get_secret_value()
    end_with(lambda: database.migrate(url))


@quarantine_app.command("list")
def quarantine_list(
    reason: Annotated[Reason | None, typer.Option(help="only this reason")] = None,
    limit: Annotated[int, typer.Option(min=1, help="at most so many rows")] = 100,
) -> None:
    """What waits, one JSON line a row, newest first; without the content."""

    async def work(conn: AsyncConnection) -> None:
        for outline in await quarantine.outlines(conn, reason=reason, limit=limit):
            print_line(_in_iso(outline._asdict()))

    with_connection(work)


@quarantine_app.command("show")
def quarantine_show(
    quarantine_id: int,
    raw: Annotated[bool, typer.Option("--raw", help="nothing but the content, octet by octet: for a file")] = False,
) -> None:
    """One row with its content, resolved or not. Where that is no UTF-8, `content` is readable and `content_base64`
    exact. May hold health data."""
    kept = with_connection(lambda conn: _row(conn, quarantine_id))
    if raw:
        sys.stdout.buffer.write(kept.content)
        return
    described = kept._asdict()
    content: bytes = described.pop("content")
    try:
        told = {"content": content.decode()}
    except UnicodeDecodeError:
        readable = content.decode("utf-8", "backslashreplace")
        told = {"content": readable, "content_base64": base64.b64encode(content).decode()}
    print_line(_in_iso(described) | told)


@quarantine_app.command("close")
def quarantine_close(
    quarantine_id: int,
    by: Annotated[str, typer.Option("--by", help="who says so: a login or a duty, no resident's name")],
    reason: Annotated[str, typer.Option("--reason", help="why; kept with the row, no resident's name")],
) -> None:
    """Nothing can be made of a row: it waits no longer, is kept as refused, and goes after KEEP_QUARANTINE_DAYS."""

    async def work(conn: AsyncConnection) -> None:
        if not by.strip() or not reason.strip():
            raise IngestError("--by, --reason: who closes the row and why must be said")
        if not await quarantine.resolve(
            conn, quarantine_id, resolution=f"closed: {by}: {reason}"[:_LONGEST], now=datetime.now(UTC)
        ):
            raise _settled(await _row(conn, quarantine_id))
        print_line({"quarantine_id": quarantine_id, "outcome": "closed"})

    with_connection(work)


@quarantine_app.command("replay")
@app.command("replay")
def replay_command(
    quarantine_id: Annotated[int | None, typer.Argument(help="one row; without it, every open row")] = None,
    reason: Annotated[Reason | None, typer.Option(help="only rows refused for this reason")] = None,
    future_seconds: Annotated[
        int | None, typer.Option(min=0, max=_MOST_DAYS * 86400, help="let in times so far ahead of their reception")
    ] = None,
    ancient_days: Annotated[
        int | None, typer.Option(min=1, max=_MOST_DAYS, help="let in times so long before their reception")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many rows; without it, all of them")] = None,
) -> None:
    """Try what is in quarantine again, oldest first; one JSON line a row when it is done. Each row is a transaction of
    its own: broken off or repeated, it counts nothing twice. Exit code 1: the row asked for is still refused."""
    settings = settings_of_environment()
    limits = settings.limits()
    if future_seconds is not None:
        limits = replace(limits, future=timedelta(seconds=future_seconds))
    if ancient_days is not None:
        limits = replace(limits, ancient=timedelta(days=ancient_days))

    async def again(conn: AsyncConnection, directory: Directory, kept: Kept) -> bool:
        now, unknown = datetime.now(UTC), settings.unknown_devices
        outcome = await replay.replay(conn, directory, kept, limits=limits, now=now, unknown_devices=unknown)
        numbers = {"stored": outcome.stored, "duplicate": outcome.duplicate}
        refused = [
            {"index": r.index, "field": r.field, "reason": r.reason, "detail": r.detail} for r in outcome.refused
        ]
        about = {"quarantine_id": kept.quarantine_id, "reason": kept.reason, "outcome": outcome.replayed.value}
        print_line(about | numbers | {"refused": refused})
        return outcome.replayed not in {Replayed.STILL_REFUSED, Replayed.NOT_AN_OBSERVATION}

    async def work(conn: AsyncConnection) -> bool:
        directory = Directory()
        if quarantine_id is not None:
            kept = await _row(conn, quarantine_id)
            if kept.resolved_at is not None:
                raise _settled(kept)
            return await again(conn, directory, kept)
        for number in await quarantine.numbers(conn, reason=reason, limit=limit):
            found = await quarantine.find(conn, number)
            if found is not None and found.resolved_at is None:
                await again(conn, directory, found)
        return True

    if not with_connection(work):
        raise typer.Exit(1)


@app.command("reconcile")
def reconcile_command(
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC day of reception")] = None,
    judged_within: Annotated[
        float, typer.Option(min=0, max=_MOST_DAYS * 1440, help="minutes after which what is not judged is a difference")
    ] = reconcile.JUDGED_WITHIN.total_seconds() / 60,
) -> None:
    """One JSON line a source and day: sent, stored, duplicate, refused, judged; then one a difference, named.

    The books are held against the rows, the batches and the quarantine. Exit code 1: something does not add up.
    """
    day = None if since is None else since.date()
    within = timedelta(minutes=judged_within)
    keep = settings_of_environment().keep()
    kept = reconcile.Kept(keep.batches, keep.quarantine)

    async def work(conn: AsyncConnection) -> bool:
        for line in await reconcile.reconcile(conn, since=day):
            print_line({**line._asdict(), "day": line.day.isoformat(), "balanced": line.balanced})
        found = await reconcile.differences(conn, now=datetime.now(UTC), since=day, judged_within=within, kept=kept)
        for one in found:
            content = {**one._asdict(), "day": None if one.day is None else one.day.isoformat()}
            print_line({"difference": content.pop("what"), **content})
        return not found

    if not with_connection(work):
        raise typer.Exit(1)


@app.command()
def status() -> None:
    """How ingest stands, in JSON lines: what waits, what is refused, open technical alerts, when sources were heard.

    Deadlocks are the server's count for this database; each was retried, and is in the service's log and totals.
    """

    async def work(conn: AsyncConnection) -> None:
        print_line({"about": "ingest", **_in_iso((await technical.standing(conn))._asdict())})
        for refused in await technical.quarantined(conn):
            print_line({"about": "quarantine", **_in_iso(refused._asdict())})
        for alert in await technical.open_alerts(conn):
            print_line({"about": "alert", **_in_iso(alert._asdict())})
        for heard in await technical.sources_heard(conn):
            print_line({"about": "source", **_in_iso(heard._asdict())})

    with_connection(work)


@app.command()
def kinds() -> None:
    """The kinds of observation this program takes, one JSON line each."""
    for kind in KINDS:
        slots = [{"code": slot.code, "ref": slot.ref} for slot in kind.slots]
        print_line({"kind": kind.code, "ref": kind.ref, "concept": kind.concept, "slots": slots, "units": kind.units})


def main() -> None:
    """The console script."""
    app()


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await service.run(settings, stop)


async def _row(conn: AsyncConnection, quarantine_id: int) -> Kept:
    if (kept := await quarantine.find(conn, quarantine_id)) is None:
        raise UnknownName(f"no row {quarantine_id} in quarantine")
    return kept


def _settled(kept: Kept) -> IngestError:
    return IngestError(f"row {kept.quarantine_id} is resolved already: {kept.resolution}")


def _in_iso(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in content.items()}

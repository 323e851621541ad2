"""`suifang-ingest rollup · retain · columnstore · reorder`: by hand what the service does by itself."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from psycopg import AsyncConnection

from ingest import columnstore, reorder, retention, rollup, upkeep
from ingest.columnstore import Ability
from ingest.terminal import print_line, settings_of_environment, with_connection

_SAY_EVERY: Final = 5.0
_MOST_DAYS: Final = 100 * 366


class _Progress:
    """Says every few seconds how much has been made."""

    def __init__(self, of_what: str) -> None:
        self._of_what, self._number, self._said_at = of_what, 0, time.monotonic()

    def add(self, rolled: rollup.Rolled) -> None:
        self._number += rolled.hours
        if time.monotonic() - self._said_at > _SAY_EVERY:
            self._said_at = time.monotonic()
            typer.echo(f"suifang-ingest: {self._number} {self._of_what}", err=True)


def rollup_command(
    watch: Annotated[bool, typer.Option(help="go on, every ROLLUP_SECONDS, until interrupted")] = False,
    anew: Annotated[bool, typer.Option(help="make all of them again from the readings")] = False,
) -> None:
    """Bring the roll-ups up to date; one JSON line a run with what was due, and how far it is on standard error."""
    settings = settings_of_environment()
    progress = _Progress("hours of a device made")

    async def work(conn: AsyncConnection) -> None:
        if anew:
            await rollup.make_everything_due(conn)
        while True:
            done = await upkeep.roll_up_everything(conn, zone=settings.site_zone, clock=_now, tell=progress.add)
            names = ("batches", "changes", "spans", "hours", "frozen")
            sums = {name: sum(getattr(one, name) for one in done) for name in names}
            left = await rollup.waiting(conn)
            print_line(sums | {"batches_left": left.batches, "changes_left": left.changes, "spans_left": left.spans})
            if not watch and (left.batches or left.changes or left.spans):
                typer.echo("suifang-ingest: some is left: new, or another process is at it", err=True)
            if not watch:
                return
            await asyncio.sleep(settings.rollup_seconds or 60.0)

    with_connection(work)


def retain_command(
    dry_run: Annotated[bool, typer.Option(help="only say what would go (counts the rows: slow)")] = False,
) -> None:
    """Let go of what is older than the KEEP_… settings say; one JSON line a sort. Without such a setting: nothing."""
    keep = settings_of_environment().keep()
    if keep.everything:
        typer.echo("suifang-ingest: no SUIFANG_INGEST_KEEP_… setting is given: everything is kept", err=True)

    async def work(conn: AsyncConnection) -> None:
        for one in await retention.retain(conn, keep, now=_now(), dry_run=dry_run):
            print_line(upkeep.described(one) | {"dry_run": dry_run})

    with_connection(work)


def columnstore_command(
    days: Annotated[int | None, typer.Option(min=1, max=_MOST_DAYS, help="instead of COLUMNSTORE_DAYS")] = None,
    dry_run: Annotated[bool, typer.Option(help="only say which chunks")] = False,
) -> None:
    """Put chunks into columns that are older than COLUMNSTORE_DAYS; one JSON line each. Exit code 1: cannot be had."""
    older_than = days or settings_of_environment().columnstore_days

    async def work(conn: AsyncConnection) -> Ability:
        found = await columnstore.ability(conn)
        if found is Ability.READY and older_than is not None:
            for chunk in await columnstore.compress_old(
                conn, older_than=timedelta(days=older_than), now=_now(), dry_run=dry_run
            ):
                print_line(chunk._asdict())
        return found

    found = with_connection(work)
    if found is not Ability.READY:
        typer.echo(f"suifang-ingest: this server has no columnstore: {found.value}", err=True)
    if older_than is None:
        typer.echo("suifang-ingest: neither --days nor SUIFANG_INGEST_COLUMNSTORE_DAYS is given", err=True)
    if found is not Ability.READY or older_than is None:
        raise typer.Exit(1)


def reorder_command(
    days: Annotated[int | None, typer.Option(min=1, max=_MOST_DAYS, help="instead of REORDER_DAYS")] = None,
    dry_run: Annotated[bool, typer.Option(help="only say which chunks")] = False,
    now: Annotated[bool, typer.Option("--now", help="also outside the quiet hours")] = False,
) -> None:
    """Put chunks in the order of their key that ended REORDER_DAYS ago; one JSON line each. While one is written anew,
    writers and readers of its week wait. Exit code 1: cannot be had, not now, or some were in use."""
    settings = settings_of_environment()
    older_than, quiet = days or settings.reorder_days, settings.quiet_hours()

    async def work(conn: AsyncConnection) -> str | None:
        found = await reorder.ability(conn)
        if found is not reorder.Ability.READY:
            return f"not done here: the observations are one plain table: {found.value}"
        if not older_than:
            return "neither --days nor SUIFANG_INGEST_REORDER_DAYS is given"
        if not (dry_run or now or quiet.are_now(_now())):
            return "not in the quiet hours; --now does it all the same"
        left = 0
        async for chunk in reorder.reorder_closed(
            conn,
            older_than=timedelta(days=older_than),
            now=_now(),
            dry_run=dry_run,
            go_on=lambda: dry_run or now or quiet.are_now(_now()),
        ):
            print_line(chunk._asdict())
            left += chunk.change in reorder.LEFT
        return f"{left} chunks are in use; try again later" if left else None

    if (problem := with_connection(work)) is not None:
        typer.echo(f"suifang-ingest: {problem}", err=True)
        raise typer.Exit(1)


def _now() -> datetime:
    return datetime.now(UTC)

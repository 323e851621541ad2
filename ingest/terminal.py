"""What the commands of ingest share: settings from the environment, a connection, errors in a line, JSON lines."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import psycopg
import typer
from psycopg import AsyncConnection
from pydantic import ValidationError

from ingest import database
from ingest.errors import IngestError
from ingest.settings import Settings

_T = TypeVar("_T")
_LONGEST_FIRST: Final = sorted(Settings.model_fields, key=len, reverse=True)
"""Of what is wrong with several settings at once, or with the form of one, only the words name it."""


def with_connection(work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
    """The answer of `work` on a connection to the migrated database; an `IngestError` ends with status 1."""
    url = settings_of_environment().database_url.get_secret_value()

    async def connected() -> _T:
        conn = await database.connect(url)
        try:
            await database.require_migrated(conn)
            return await work(conn)
        finally:
            await conn.close()

    return end_with(lambda: asyncio.run(connected()))


def end_with(work: Callable[[], _T]) -> _T:
    """The answer of `work`; an `IngestError`, and what the database does not do, is told in a line: status 1."""
    try:
        return work()
    except IngestError as error:
        said = error.detail
    except psycopg.Error as error:
        # its first line: what follows may quote a row
        said = "the database does not do it: " + (error.diag.message_primary or (str(error).splitlines() or ["?"])[0])
    except BrokenPipeError:  # whoever reads has read enough
        raise
    except OSError as error:  # a certificate that is none, for instance
        said = str(error)
    typer.echo(f"suifang-ingest: {said}", err=True)
    raise typer.Exit(1)


def settings_of_environment() -> Settings:
    """The settings; an unknown or wrong one is told in a line and ends with status 2."""
    prefix = "SUIFANG_INGEST_"
    known = {prefix + name.upper() for name in Settings.model_fields}
    if unknown := sorted(name for name in os.environ if name.startswith(prefix) and name not in known):
        typer.echo(f"suifang-ingest: {unknown[0]}: there is no such setting", err=True)
        raise typer.Exit(2)
    try:
        return Settings.model_validate({})
    except ValidationError as error:
        for problem in error.errors():
            said = problem["msg"].removeprefix("Value error, ")
            name = "_".join(str(part) for part in problem["loc"]) or next(filter(said.__contains__, _LONGEST_FIRST), "")
            typer.echo(f"suifang-ingest: {prefix}{name.upper()}: {said}", err=True)
        raise typer.Exit(2) from None


def print_line(content: dict[str, Any]) -> None:
    """One JSON line, at once: whoever waits for a long work sees how far it is."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")
    sys.stdout.flush()

"""`suifang-ingest correct`: find a stored reading, amend it, mark it as entered in error, undo that, its history."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer
from psycopg import AsyncConnection

from devices.nomenclature import BY_CODE
from devices.observation import fact_names
from ingest import corrections
from ingest.corrections import Corrected, Correction, Key, State
from ingest.errors import CannotCorrect
from ingest.observations import StoredObservation
from ingest.terminal import print_line, with_connection

app = typer.Typer(no_args_is_help=True, help="Stored readings that were wrong; what they were is kept.")
_DAYS: Final = 30
By = Annotated[str, typer.Option("--by", help="who says so: a login or a duty, no resident's name")]
Why = Annotated[str, typer.Option("--reason", help="why; kept with the reading, no resident's name")]


@app.command("readings")
def readings(
    device: Annotated[str, typer.Argument(help="its identity, as in the messages: ble:…")],
    days: Annotated[int, typer.Option(min=1, help="how far back")] = _DAYS,
    limit: Annotated[int, typer.Option(min=1)] = 100,
) -> None:
    """A device's readings, newest first, each with the key that the other commands take. Holds health data."""
    since = datetime.now(UTC) - timedelta(days=days)

    async def work(conn: AsyncConnection) -> None:
        for reading in await corrections.readings_of_device(conn, device, since=since, limit=limit):
            print_line(_reading(reading))

    with_connection(work)


@app.command("amend")
def amend(
    key: str,
    value: Annotated[list[str], typer.Option(help="slot=number in the unit reported, or slot=none; once a slot")],
    by: By,
    reason: Why,
) -> None:
    """Put other values into a reading; slots that are not named stay."""

    def values() -> dict[int, float | None]:
        try:
            pairs = [text.split("=") for text in value]
            return {int(slot): None if number == "none" else float(number) for slot, number in pairs}
        except ValueError:
            raise CannotCorrect("a value is given as slot=number or slot=none") from None

    _end(
        key,
        lambda conn, found: corrections.amend(conn, found, values(), by=by, reason=reason, now=datetime.now(UTC)),
    )


@app.command("error")
def error(key: str, by: By, reason: Why) -> None:
    """Mark a reading as entered in error: out of rules, charts and roll-ups."""
    _end(key, lambda conn, found: corrections.enter_in_error(conn, found, by=by, reason=reason, now=datetime.now(UTC)))


@app.command("reinstate")
def reinstate(key: str, by: By, reason: Why) -> None:
    """It was no error after all."""
    _end(key, lambda conn, found: corrections.reinstate(conn, found, by=by, reason=reason, now=datetime.now(UTC)))


@app.command("accept")
def accept(quarantine_id: int, by: By, reason: Why) -> None:
    """Take what a source sent later under a stored reading's key (`record-reused`) as its correction."""

    async def work(conn: AsyncConnection) -> None:
        corrected = await corrections.accept(conn, quarantine_id, by=by, reason=reason, now=datetime.now(UTC))
        print_line({"quarantine_id": quarantine_id, "outcome": corrected.value})

    with_connection(work)


@app.command("history")
def history(key: str) -> None:
    """What a reading was, who changed it, when and why; one JSON line a correction, oldest first."""

    async def work(conn: AsyncConnection) -> None:
        for correction in await corrections.history(conn, Key.parse(key)):
            print_line(_correction(correction))

    with_connection(work)


def _end(key: str, what: Callable[[AsyncConnection, Key], Awaitable[Corrected]]) -> None:
    async def work(conn: AsyncConnection) -> None:
        found = Key.parse(key)
        corrected = await what(conn, found)
        print_line({"key": str(found), "outcome": corrected.value})

    with_connection(work)


def _reading(reading: StoredObservation) -> dict[str, Any]:
    kind = BY_CODE.get(reading.kind)
    return {
        "key": str(Key.of(reading)),
        "measured_at": reading.measured_at.isoformat(),
        "concept": reading.concept,
        "slots": [slot.ref for slot in kind.slots[: len(reading.values)]] if kind else [],
        "values": reading.values,
        "unit": reading.unit,
        "facts": fact_names(reading.facts),
    }


def _correction(correction: Correction) -> dict[str, Any]:
    return {
        "key": str(correction.key),
        "status": correction.status.value,
        "at": correction.at.isoformat(),
        "by": correction.by,
        "reason": correction.reason,
        "was": _state(correction.was),
        "now": _state(correction.now),
    }


def _state(state: State) -> dict[str, Any]:
    return {"values": state.values, "facts": fact_names(state.facts)}

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
from ingest.errors import CannotCorrect, UnknownName
from ingest.observations import StoredObservation
from ingest.terminal import print_line, with_connection

app = typer.Typer(no_args_is_help=True, help="Stored readings that were wrong; what they were is kept.")
_DAYS: Final = 30
_MOST_DAYS: Final = 100 * 366
_Key = Annotated[str, typer.Argument(help="of a reading, as `correct readings` prints it")]
By = Annotated[str, typer.Option("--by", help="who says so: a login or a duty, no resident's name")]
Why = Annotated[str, typer.Option("--reason", help="why; kept with the reading, no resident's name")]


@app.command("readings")
def readings(
    device: Annotated[str, typer.Argument(help="its identity, as in the messages: ble:…")],
    days: Annotated[int, typer.Option(min=1, max=_MOST_DAYS, help="how far back")] = _DAYS,
    limit: Annotated[int, typer.Option(min=1, help="at most so many readings")] = 100,
) -> None:
    """A device's readings, newest first, each with the key that the other commands take. Holds health data."""
    since = datetime.now(UTC) - timedelta(days=days)

    async def work(conn: AsyncConnection) -> None:
        if not await corrections.is_device(conn, device):
            raise UnknownName(f"no device {device}")
        for reading in await corrections.readings_of_device(conn, device, since=since, limit=limit):
            print_line(_reading(reading))

    with_connection(work)


@app.command("amend")
def amend(
    key: _Key,
    value: Annotated[list[str], typer.Option(help="slot=number in the unit reported, or slot=none; once a slot")],
    by: By,
    reason: Why,
) -> None:
    """Put other values into a reading; slots that are not named stay."""

    def values() -> dict[int, float | None]:
        try:
            pairs = [text.split("=") for text in value]
            given = [(int(slot), None if number == "none" else float(number)) for slot, number in pairs]
        except ValueError:
            raise CannotCorrect("--value: given as slot=number or slot=none") from None
        if len(dict(given)) < len(given):
            raise CannotCorrect("--value: one slot is given twice")
        return dict(given)

    _end(
        key,
        lambda conn, found: corrections.amend(conn, found, values(), by=by, reason=reason, now=datetime.now(UTC)),
    )


@app.command("error")
def error(key: _Key, by: By, reason: Why) -> None:
    """Mark a reading as entered in error: out of rules, charts and roll-ups."""
    _end(key, lambda conn, found: corrections.enter_in_error(conn, found, by=by, reason=reason, now=datetime.now(UTC)))


@app.command("reinstate")
def reinstate(key: _Key, by: By, reason: Why) -> None:
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
def history(key: _Key) -> None:
    """What a reading was, who changed it, when and why; one JSON line a correction, oldest first."""

    async def work(conn: AsyncConnection) -> None:
        about = Key.parse(key)
        found = await corrections.history(conn, about)
        if not found and await corrections.find(conn, about) is None:
            raise UnknownName(f"no reading {about}")
        for correction in found:
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

"""`suifang-ingest device · assign · unassigned`: what is registered, and which subject a device's user or a session is.

Subjects are pseudonymous here: the desk knows whose number it is. What was measured is touched by none of this.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import typer
from psycopg import AsyncConnection

from devices.nomenclature import KINDS
from ingest import assignments, observations
from ingest.corrections import Key
from ingest.errors import CannotAssign
from ingest.terminal import print_line, with_connection

devices_app = typer.Typer(no_args_is_help=True, help="Devices: which were heard, which are registered.")
app = typer.Typer(no_args_is_help=True, help="Whose readings are whose: a device, one of its users, or a session.")

_DEVICE: Final = re.compile(r"[a-z0-9]+:[A-Za-z0-9_.:\-]{1,62}")
_SESSION: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_CONCEPTS: Final = frozenset(kind.concept for kind in KINDS)
_MOST_DAYS: Final = 100 * 366

_Device = Annotated[str, typer.Argument(help="its identity, as in the messages: ble:…")]
_Subject = Annotated[UUID, typer.Argument(help="the subject's number, as the desk knows it")]
_By = Annotated[str, typer.Option("--by", help="who says so: a login or a duty, no resident's name")]
_Since = Annotated[str, typer.Option("--since", help="from when, with the zone: 2026-03-01T08:00+08:00")]
_Until = Annotated[str | None, typer.Option("--until", help="until when, not included; without it, until it is ended")]


@devices_app.command("list")
def devices(
    unregistered: Annotated[bool, typer.Option("--unregistered", help="only those that nobody registered")] = False,
    limit: Annotated[int, typer.Option(min=1, help="at most so many devices")] = 1000,
) -> None:
    """One JSON line a device, the last heard first."""

    async def work(conn: AsyncConnection) -> None:
        for device in await assignments.devices(conn, only_unregistered=unregistered, limit=limit):
            print_line(_in_iso(device._asdict()))

    with_connection(work)


@devices_app.command("register")
def register(
    device: _Device,
    *,
    concept: Annotated[str | None, typer.Option(help="what it measures, as `suifang-ingest kinds` says")] = None,
    label: Annotated[str | None, typer.Option(help="what people call it; no resident's name")] = None,
    manufacturer: Annotated[str | None, typer.Option()] = None,
    model: Annotated[str | None, typer.Option()] = None,
    serial: Annotated[str | None, typer.Option()] = None,
) -> None:
    """Make a device known, heard of or not; again: change what is given."""

    async def work(conn: AsyncConnection) -> None:
        _check(_DEVICE, device, "DEVICE")
        if concept is not None and concept not in _CONCEPTS:
            raise CannotAssign(f"--concept: {concept!r} is none of {', '.join(sorted(_CONCEPTS))}")
        about = {"manufacturer": manufacturer, "model": model, "serial": serial}
        await assignments.register_device(conn, device, concept=concept, label=label, now=_now(), **about)
        print_line({"device": device, "outcome": "registered"})

    with_connection(work)


@app.command("device")
def assign_device(
    device: _Device,
    subject: _Subject,
    *,
    since: _Since,
    by: _By,
    until: _Until = None,
    user_slot: Annotated[
        int | None, typer.Option(min=0, max=255, help="one user of the device; without it, all of them")
    ] = None,
) -> None:
    """A device's readings of a period are this subject's, also those that are stored already."""

    async def work(conn: AsyncConnection) -> None:
        begin, end = _time(since, "--since"), None if until is None else _time(until, "--until")
        number = await assignments.assign_device(
            conn, device, subject, user_slot=user_slot, since=begin, until=end, by=_said(by), now=_now()
        )
        print_line({"assignment_id": number, "outcome": "assigned"})

    with_connection(work)


@app.command("session")
def assign_session(
    session: Annotated[str, typer.Argument(help="a kiosk session's name, as in the messages")],
    subject: _Subject,
    since: _Since,
    by: _By,
    until: _Until = None,
) -> None:
    """The readings of a kiosk session are this subject's; they need not have come yet."""

    async def work(conn: AsyncConnection) -> None:
        _check(_SESSION, session, "SESSION")
        begin, end = _time(since, "--since"), None if until is None else _time(until, "--until")
        number = await assignments.assign_session(
            conn, session, subject, since=begin, until=end, by=_said(by), now=_now()
        )
        print_line({"assignment_id": number, "outcome": "assigned"})

    with_connection(work)


@app.command("end")
def end(
    assignment_id: int, until: Annotated[str, typer.Option("--until", help="not included; with the zone")], by: _By
) -> None:
    """What was measured from then on is nobody's."""
    _end(
        lambda conn: assignments.end_assignment(
            conn, assignment_id, until=_time(until, "--until"), by=_said(by), now=_now()
        ),
        {"assignment_id": assignment_id, "outcome": "ended"},
    )


@app.command("revoke")
def revoke(assignment_id: int) -> None:
    """It was a mistake from its first minute: none of its readings are the subject's."""
    _end(
        lambda conn: assignments.revoke_assignment(conn, assignment_id, now=_now()),
        {"assignment_id": assignment_id, "outcome": "revoked"},
    )


@app.command("list")
def listing(subject: _Subject) -> None:
    """A subject's assignments, one JSON line each, in the order they were made."""

    async def work(conn: AsyncConnection) -> None:
        for assignment in await assignments.assignments_of(conn, subject):
            print_line(_in_iso(assignment._asdict()) | {"subject_id": str(subject)})

    with_connection(work)


def unassigned_command(
    days: Annotated[int, typer.Option(min=1, max=_MOST_DAYS, help="how far back")] = 30,
    limit: Annotated[int, typer.Option(min=1, help="at most so many readings")] = 100,
) -> None:
    """Readings that are nobody's, newest first, one JSON line each with what an assignment needs; without values."""

    async def work(conn: AsyncConnection) -> None:
        for reading in await observations.unassigned(conn, since=_now() - timedelta(days=days), limit=limit):
            print_line(
                {
                    "key": str(Key.of(reading)),
                    "device": reading.device_uid,
                    "user_slot": reading.user_slot,
                    "session": reading.session_uid,
                    "measured_at": reading.measured_at.isoformat(),
                    "concept": reading.concept,
                }
            )

    with_connection(work)


def _end(what: Callable[[AsyncConnection], Awaitable[None]], line: dict[str, Any]) -> None:
    async def work(conn: AsyncConnection) -> None:
        async with conn.transaction():
            await what(conn)
        print_line(line)

    with_connection(work)


def _check(form: re.Pattern[str], text: str, name: str) -> None:
    if not form.fullmatch(text):
        raise CannotAssign(f"{name}: {text[:80]!r} is no such name")


def _said(by: str) -> str:
    if not by.strip():
        raise CannotAssign("--by: who says so must be said")
    return by


def _time(text: str, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CannotAssign(f"{name}: {text[:40]!r} is no time like 2026-03-01T08:00+08:00") from None
    if moment.tzinfo is None:
        raise CannotAssign(f"{name}: {text!r} has no zone; 2026-03-01T08:00+08:00 has one")
    return moment


def _in_iso(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in content.items()}


def _now() -> datetime:
    return datetime.now(UTC)

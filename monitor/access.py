"""Who may use the desk: accounts, log-in with lockout, sessions that end when idle.

Passwords are kept as argon2id; a session's token is shown once and kept as SHA-256. Five wrong passwords running lock
the account for fifteen minutes; an unknown login costs the same time as a wrong password.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Final

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow, tuple_row

from ingest.named_sql import load
from monitor import audit
from monitor.errors import LoginTaken, NotAllowed, WeakPassword

_SQL: Final = load("monitor", "sql/access.sql")
FAILURES_ALLOWED: Final = 5
LOCKED_FOR: Final = timedelta(minutes=15)
SESSION_AT_MOST: Final = timedelta(hours=12)
PASSWORD_AT_LEAST: Final = 10
EVERY_SITE: Final = "*"


class Role(enum.StrEnum):
    """What somebody is at the centre (domain: who)."""

    NURSE = "nurse"
    DOCTOR = "doctor"
    HEALTH_MANAGER = "health_manager"
    ASSISTANT = "assistant"
    MANAGER = "manager"
    ADMINISTRATOR = "administrator"
    AUDITOR = "auditor"

    @property
    def clinical(self) -> bool:
        """Whether the role sees clinical detail and works the queue (a convention of this project)."""
        return self in {Role.NURSE, Role.DOCTOR, Role.HEALTH_MANAGER}


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody logged in. `sites`: whose residents they see, `*` for all."""

    user_id: int
    login: str
    name: str
    role: Role
    sites: tuple[str, ...]


class LogInReason(enum.StrEnum):
    """Why a log-in went as it did."""

    WELCOME = "welcome"
    WRONG = "wrong"  # login or password, not told apart
    LOCKED = "locked"


class LogIn(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a log-in. `token` belongs in the cookie; it is not kept anywhere in clear."""

    reason: LogInReason
    user: User | None = None
    token: str | None = None
    locked_until: datetime | None = None


def require_clinical(user: User) -> None:
    """Raises NotAllowed for a role that does not see clinical detail."""
    if not user.role.clinical:
        raise NotAllowed


async def add_user(
    conn: AsyncConnection[TupleRow],
    *,
    login: str,
    name: str,
    role: Role,
    sites: Sequence[str],
    password: str,
    by: str,
    now: datetime,
) -> int:
    """A new account; its user id. Raises WeakPassword, LoginTaken (then the transaction is still usable)."""
    if len(password) < PASSWORD_AT_LEAST:
        raise WeakPassword
    hashed = await asyncio.to_thread(_hasher().hash, password)
    try:
        async with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(
                _SQL["add_user"],
                {
                    "login": login,
                    "name": name,
                    "role": role.value,
                    "sites": list(sites),
                    "password_hash": hashed,
                    "now": now,
                },
            )
            row = await cursor.fetchone()
    except errors.UniqueViolation as error:
        raise LoginTaken(f"the login {login} is in use") from error
    assert row is not None
    await audit.record(conn, actor=by, action="add_user", detail={"login": login, "role": role.value}, now=now)
    return int(row[0])


async def log_in(conn: AsyncConnection[TupleRow], login: str, password: str, *, now: datetime) -> LogIn:
    """Open a session. Commit whatever the answer: a failure is counted in this transaction."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["user_for_log_in"], {"login": login})
        row = await cursor.fetchone()
        if row is None:
            await _matches(_nobody(), password)
            return LogIn(reason=LogInReason.WRONG)
        user_id, name, role, sites, hashed, failures, locked_until = row
        if locked_until is not None and locked_until > now:
            return LogIn(reason=LogInReason.LOCKED, locked_until=locked_until)
        if not await _matches(hashed, password):
            locks = failures + 1 >= FAILURES_ALLOWED
            until = now + LOCKED_FOR if locks else None
            await cursor.execute(
                _SQL["count_failure"],
                {"user_id": user_id, "failures": 0 if locks else failures + 1, "locked_until": until},
            )
            action = "log_in_locked" if locks else "log_in_failed"
            await audit.record(conn, actor=login, action=action, now=now)
            return LogIn(reason=LogInReason.LOCKED if locks else LogInReason.WRONG, locked_until=until)
        token = secrets.token_urlsafe(32)
        await cursor.execute(_SQL["forget_failures"], {"user_id": user_id})
        await cursor.execute(
            _SQL["open_session"],
            {"token": _digest(token), "user_id": user_id, "now": now, "ends_at": now + SESSION_AT_MOST},
        )
    await audit.record(conn, actor=login, action="log_in", now=now)
    user = User(user_id=user_id, login=login, name=name, role=Role(role), sites=tuple(sites))
    return LogIn(reason=LogInReason.WELCOME, user=user, token=token)


async def session(
    conn: AsyncConnection[TupleRow], token: str, *, idle_minutes: int, now: datetime, touch: bool = True
) -> User | None:
    """Whose session a token is; None once idle too long, ended or disabled. `touch`: this request counts as use."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            _SQL["touch_session" if touch else "session"],
            {"token": _digest(token), "now": now, "idle_since": now - timedelta(minutes=idle_minutes)},
        )
        row = await cursor.fetchone()
    if row is None:
        return None
    return User(user_id=row[0], login=row[1], name=row[2], role=Role(row[3]), sites=tuple(row[4]))


async def log_out(conn: AsyncConnection[TupleRow], token: str, *, now: datetime) -> None:
    """End a session; nothing happens when there is none."""
    async with conn.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(_SQL["close_session"], {"token": _digest(token)})
        row = await cursor.fetchone()
    if row is not None:
        await audit.record(conn, actor=row[0], action="log_out", now=now)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_hex(16))


async def _matches(hashed: str, password: str) -> bool:
    try:
        return await asyncio.to_thread(_hasher().verify, hashed, password)
    except (VerifyMismatchError, InvalidHashError):
        return False

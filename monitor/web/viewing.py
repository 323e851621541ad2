"""One request of the desk: who looks, in which language and theme, inside which transaction.

A request is one transaction: `Looking` commits before the answer is sent. What an open page asks for by itself carries
`X-Background` and does not count as use of the session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from monitor import access
from monitor.access import User
from monitor.desk import Desk
from monitor.errors import NotAllowed
from monitor.settings import Settings
from monitor.web.failures import ForeignForm, SignInNeeded, WrongRole
from monitor.web.texts import LANGUAGES, Texts, texts

THEMES: Final = ("auto", "light", "dark")
Conn = AsyncConnection[TupleRow]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all requests of one process share. `desk`: the identity keys and the site's days."""

    settings: Settings
    pool: AsyncConnectionPool[Conn]
    pages: Environment
    clock: Callable[[], datetime]
    version: str
    desk: Desk

    @property
    def session_cookie(self) -> str:
        """`__Host-` binds the cookie to this host wherever TLS is."""
        return "__Host-suifang" if self.settings.secure_cookies else "suifang"

    @property
    def form_cookie(self) -> str:
        """Ties the log-in form to this browser before anybody is signed in."""
        return "__Host-suifang-form" if self.settings.secure_cookies else "suifang-form"


@dataclass(frozen=True, slots=True)
class Viewing:
    """The request as the pages see it. `user` is None before log-in; `key` ties forms to the session.

    fetched: HTMX asks for a part of a page; target: id of the element the answer goes to; alone: that element stands on
    an item's own page; at: the address of the page that asks.
    """

    t: Texts
    theme: str
    path: str
    now: datetime
    zone: ZoneInfo
    key: str
    user: User | None = None
    fetched: bool = False
    target: str = ""
    alone: bool = False
    at: str = ""

    @property
    def csrf(self) -> str:
        """The token every form of this session carries; it cannot be computed without the session's cookie."""
        return hmac.new(self.key.encode(), b"suifang form", hashlib.sha256).hexdigest()

    def accept(self, token: object) -> None:
        """ForeignForm: the token is not this session's."""
        if not (self.key and isinstance(token, str) and hmac.compare_digest(token, self.csrf)):
            raise ForeignForm


@dataclass(frozen=True, slots=True)
class Looking:
    """A signed-in request with its transaction."""

    shared: Shared
    viewing: Viewing
    conn: Conn
    user: User

    @property
    def settings(self) -> Settings:
        """The process's settings."""
        return self.shared.settings


def shared_of(request: Request) -> Shared:
    """The process's `Shared`."""
    shared = request.app.state.shared
    assert isinstance(shared, Shared)
    return shared


def anonymous(request: Request) -> Viewing:
    """The request before anybody is known: language, theme and the form key."""
    shared = shared_of(request)
    query = f"?{request.url.query}" if request.url.query else ""
    return Viewing(
        t=texts(request.cookies.get("language", LANGUAGES[0])),
        theme=request.cookies.get("theme", THEMES[0]),
        path=request.url.path + query,
        now=shared.clock(),
        zone=shared.desk.zone,
        key=request.cookies.get(shared.form_cookie, ""),
        fetched="hx-request" in request.headers,
        target=request.headers.get("hx-target", ""),
        alone="x-alone" in request.headers,
        at=_here(request.headers.get("hx-current-url", "")),
    )


async def transaction(request: Request) -> AsyncIterator[Conn]:
    """A connection whose transaction commits before the answer is sent, or rolls back with the error."""
    async with shared_of(request).pool.connection() as conn:
        yield conn


Transaction = Annotated[Conn, Depends(transaction, scope="function")]


async def looking(request: Request, conn: Transaction) -> Looking:
    """Who asks. SignInNeeded: nobody; WrongRole: no clinical detail for this role; ForeignForm: a forged post."""
    shared, viewing = shared_of(request), anonymous(request)
    token = request.cookies.get(shared.session_cookie, "")
    touch = not request.headers.get("x-background")
    user = await access.session(
        conn, token, idle_minutes=shared.settings.session_idle_minutes, now=viewing.now, touch=touch
    )
    if user is None:
        raise SignInNeeded
    viewing = replace(viewing, user=user, key=token)
    if request.method == "POST":
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise ForeignForm
        viewing.accept((await request.form()).get("csrf"))
    try:
        access.require_clinical(user)
    except NotAllowed as refused:
        raise WrongRole from refused
    return Looking(shared, viewing, conn, user)


SignedIn = Annotated[Looking, Depends(looking, scope="function")]


_NOTHING: Final[dict[str, Any]] = {
    "unclaimed": 0,
    "unassigned": 0,
    "technical": (),
    "here": "",
    "oob": "",
    "changed": False,
    "known": None,
}


def render(shared: Shared, viewing: Viewing, page: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A template as an answer."""
    return HTMLResponse(markup(shared, viewing, page, **values), status_code=status)


def markup(shared: Shared, viewing: Viewing, page: str, **values: Any) -> str:
    """A template as text."""
    return shared.pages.get_template(page).render(
        viewing=viewing,
        t=viewing.t,
        version=shared.version,
        simulated_banner=shared.settings.simulated_banner,
        **(
            {"unclaimed": 0, "unassigned": 0, "technical": (), "here": "", "oob": "", "changed": False, "known": None}
            | values
        ),
    )


def here_again(back: str) -> str:
    """A path of this desk to return to; anything else becomes the queue (no open redirect)."""
    plain = back.startswith("/") and not back.startswith(("//", "/\\")) and "\n" not in back and "\r" not in back
    return back if plain else "/queue"


def see_other(path: str) -> Response:
    """Answer a form: go and look there."""
    return RedirectResponse(path, status_code=303)


def _here(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def fresh_key() -> str:
    """A new form key for a browser that has none."""
    return secrets.token_urlsafe(24)

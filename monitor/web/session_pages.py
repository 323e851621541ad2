"""Log in, log out, choose language and theme."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from monitor import access
from monitor.access import LogInReason
from monitor.web import wording
from monitor.web.failures import Unseen
from monitor.web.texts import LANGUAGES
from monitor.web.viewing import (
    THEMES,
    SignedIn,
    Transaction,
    anonymous,
    fresh_key,
    here_again,
    render,
    see_other,
    shared_of,
)

router = APIRouter()
_YEAR: Final = int(timedelta(days=365).total_seconds())


@router.get("/login")
async def log_in_form(request: Request, back: str = "/queue") -> Response:
    """The log-in form; a browser without a form key gets one."""
    shared, viewing = shared_of(request), anonymous(request)
    if not viewing.key:
        viewing = replace(viewing, key=fresh_key())
    page = render(shared, viewing, "login.html", back=here_again(back), login="", problem="")
    page.set_cookie(
        shared.form_cookie, viewing.key, httponly=True, samesite="strict", secure=shared.settings.secure_cookies
    )
    return page


@router.post("/login")
async def log_in(
    request: Request,
    conn: Transaction,
    login: Annotated[str, Form(max_length=64)] = "",
    password: Annotated[str, Form(max_length=1024)] = "",
    back: Annotated[str, Form(max_length=512)] = "/queue",
) -> Response:
    """Open a session; a failure is counted and said without telling login from password."""
    shared, viewing = shared_of(request), anonymous(request)
    viewing.accept((await request.form()).get("csrf"))
    answer = await access.log_in(conn, login.strip().lower(), password, now=viewing.now)
    if answer.reason is LogInReason.WELCOME and answer.token:
        response = see_other(here_again(back))
        response.set_cookie(
            shared.session_cookie, answer.token, httponly=True, samesite="lax", secure=shared.settings.secure_cookies
        )
        return response
    problem = viewing.t("login.wrong")
    if answer.reason is LogInReason.LOCKED and answer.locked_until:
        until = wording.moment(answer.locked_until, viewing.now, viewing.zone, viewing.t)
        problem = viewing.t("login.locked", until=until)
    return render(shared, viewing, "login.html", 403, back=here_again(back), login=login, problem=problem)


@router.post("/logout")
async def log_out(request: Request, looking: SignedIn) -> Response:
    """End the session here and in the database."""
    shared = looking.shared
    await access.log_out(looking.conn, request.cookies[shared.session_cookie], now=looking.viewing.now)
    response = see_other("/login")
    response.delete_cookie(shared.session_cookie, secure=shared.settings.secure_cookies, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@router.get("/language/{language}")
async def choose_language(request: Request, language: str, back: str = "/queue") -> Response:
    """Remember the language in this browser."""
    return _remember(request, "language", language, LANGUAGES, back)


@router.get("/theme/{theme}")
async def choose_theme(request: Request, theme: str, back: str = "/queue") -> Response:
    """Remember the theme in this browser."""
    return _remember(request, "theme", theme, THEMES, back)


def _remember(request: Request, name: str, value: str, known: tuple[str, ...], back: str) -> Response:
    if value not in known:
        raise Unseen
    response = see_other(here_again(back))
    secure = shared_of(request).settings.secure_cookies
    response.set_cookie(name, value, max_age=_YEAR, httponly=True, samesite="lax", secure=secure)
    return response

"""The desk as an ASGI application, and how it is served.

Strict by default: everything comes from this host, nothing inline runs or paints, pages with data are never stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import signal
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from psycopg_pool import AsyncConnectionPool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.desk import Desk
from monitor.settings import Settings
from monitor.web import item_pages, live, queue_pages, resident_pages, session_pages, unassigned_pages
from monitor.web.failures import Failure, SignInNeeded, Unseen
from monitor.web.viewing import Conn, Shared, anonymous, render, shared_of

_HERE: Final = Path(str(files("monitor.web")))
POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_log = structlog.get_logger()


def create_app(
    settings: Settings, pool: AsyncConnectionPool[Conn], *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> FastAPI:
    """The application. `pool` is open and stays the caller's; the live feed runs as long as the application does."""
    feed = live.Feed(settings.database_url.get_secret_value())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.run())
        yield
        feed.close()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app = FastAPI(title="Suifang", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.feed = feed
    app.state.shared = Shared(settings, pool, _pages(), clock, _version(), Desk.from_settings(settings))
    for part in (session_pages, queue_pages, item_pages, resident_pages, unassigned_pages, live):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=_HERE / "static"))
    app.add_api_route("/healthz", _healthz)
    app.add_exception_handler(Failure, _failed)
    app.add_exception_handler(HTTPException, _http_failed)
    app.add_exception_handler(RequestValidationError, _misformed)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(_Strict)
    return app


class Server(uvicorn.Server):
    """Uvicorn that ends the live streams first, so that stopping does not wait for open pages.

    Uvicorn ends a drained server by raising the signal again; this one has done its work and its process exits with 0.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM drain, where they can be listened for: in the main thread."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self.handle_exit, signum, None)
        try:
            yield
        finally:
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(signum)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the feed of the application given to `uvicorn.Config`, then as usual."""
        if isinstance(self.config.app, FastAPI):
            self.config.app.state.feed.close()
        await super().shutdown(sockets)


class _Strict:
    """The same headers on every answer; only static files may be stored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        static = scope["path"].startswith("/static/")

        async def send_strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                versioned = static and scope.get("query_string")
                headers["Cache-Control"] = (
                    "public, max-age=31536000, immutable" if versioned else "no-cache" if static else "no-store"
                )
            await send(message)

        await self._app(scope, receive, send_strict)


def _pages() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _version() -> str:
    digest = hashlib.sha256()
    for path in sorted((_HERE / "static").iterdir()):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


async def _healthz(request: Request) -> JSONResponse:
    """200 when the database answers and changes are heard; 503 with which of the two is not."""
    shared, feed = shared_of(request), request.app.state.feed
    try:
        async with asyncio.timeout(3), shared.pool.connection(timeout=3) as conn:
            await conn.execute("SELECT 1")
        database = True
    except Exception:  # noqa: BLE001 - whatever is wrong with the database, the answer is the same
        database = False
    state = {"database": database, "live": feed.listening.is_set()}
    return JSONResponse(state, status_code=200 if all(state.values()) else 503)


def _answer(request: Request, status: int, key: str, reference: str = "") -> Response:
    viewing = anonymous(request)
    t = viewing.t
    heading, said = t(f"failure.{key}.heading"), t(f"failure.{key}.said")
    if viewing.fetched:
        # what stands on the page stays; only the toast is said
        toast = render(shared_of(request), viewing, "_toast.html", status, said=f"{heading}{said}", reference=reference)
        toast.headers["HX-Reswap"] = "none"
        return toast
    return render(shared_of(request), viewing, "failure.html", status, heading=heading, said=said, reference=reference)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)
    viewing = anonymous(request)
    if isinstance(error, SignInNeeded) and viewing.fetched:
        return Response(status_code=error.status, headers={"HX-Redirect": f"/login?back={quote(viewing.at, safe='')}"})
    if isinstance(error, SignInNeeded) and request.method == "GET":
        return RedirectResponse(f"/login?back={quote(viewing.path, safe='')}", status_code=303)
    return _answer(request, error.status, error.key)


async def _http_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == Unseen.status:
        return _answer(request, error.status_code, Unseen.key)
    return _answer(request, error.status_code, "misformed" if error.status_code < 500 else "broken")


async def _misformed(request: Request, _: Exception) -> Response:
    # an address with an impossible id is the same as one that leads nowhere
    return _answer(
        request, 404 if request.method == "GET" else 422, Unseen.key if request.method == "GET" else "misformed"
    )


async def _broken(request: Request, error: Exception) -> Response:
    reference = secrets.token_hex(2).upper()
    # frames without the message: a database error quotes the values of a row
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("page_broken", reference=reference, error=type(error).__name__, frames=frames[-8:])
    answer = _answer(request, 500, "broken", reference)
    # this handler stands outside the middleware that adds them
    answer.headers.update({**_HEADERS, "Cache-Control": "no-store"})
    return answer

"""Live changes: one LISTEN connection a process, fanned out to every open page by server-sent events.

An event says that an item changed, never what about: `{id, event, severity}`. It is told twice, as `item-<id>` to what
shows this item and as `queue` to what shows all of them. The page fetches what it may see, so permission and audit stay
in one place. A technical alert is told as `queue` alone. While the LISTEN connection is down no beat is sent, and pages
notice.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from psycopg import AsyncConnection, OperationalError

from ingest.technical import TECHNICAL_CHANNEL
from monitor import access
from monitor.web.failures import SignInNeeded
from monitor.web.viewing import shared_of

CHANNEL: Final = "suifang_queue"
BEAT_SECONDS: Final = 5.0
RETRY_MILLISECONDS: Final = 3000
SESSION_CHECK_BEATS: Final = 12
_KEPT: Final = 256
_BACKLOG: Final = 256
_RECONNECT_SECONDS: Final = 2.0
_log = structlog.get_logger()
router = APIRouter()


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the stream; `name` is item-<id>, queue, gap, beat, deaf or signed-out."""

    name: str
    data: str = "{}"
    ident: str = ""

    def encode(self) -> str:
        """As the stream carries it (HTML standard, server-sent events)."""
        ident = f"id: {self.ident}\n" if self.ident else ""
        return f"{ident}event: {self.name}\ndata: {self.data}\n\n"


class Feed:
    """The process's ear on the database and its list of listeners. Run `run` in a task; `close` ends all streams."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._boot = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._listeners: set[asyncio.Queue[Event | None]] = set()
        self._closed = False
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is opened again, and every page told of the gap."""
        while True:
            try:
                async with await AsyncConnection.connect(self._url, autocommit=True) as conn:
                    for channel in (CHANNEL, TECHNICAL_CHANNEL):
                        await conn.execute(f"LISTEN {channel}".encode())
                    self.publish(self._next("gap"))
                    self.listening.set()
                    async for notice in conn.notifies():
                        if notice.channel == CHANNEL:
                            self.publish(Event(f"item-{_id_of(notice.payload)}", notice.payload))
                        self.publish(self._next("queue", notice.payload or "{}"))
            except OperationalError as error:
                _log.warning("live_feed_lost", error=type(error).__name__)
            finally:
                self.listening.clear()
            await asyncio.sleep(_RECONNECT_SECONDS)

    def publish(self, event: Event) -> None:
        """Hand an event to every listener; one that does not keep up loses its backlog and gets a gap instead."""
        self._kept.append(event)
        for listener in self._listeners:
            late = listener.qsize() >= _BACKLOG
            while late and not listener.empty():
                listener.get_nowait()
            listener.put_nowait(Event("gap", ident=event.ident) if late else event)

    def close(self) -> None:
        """End every stream: the process is going down."""
        self._closed = True
        for listener in self._listeners:
            listener.put_nowait(None)

    async def stream(self, last: str, still_signed_in: Callable[[], Awaitable[bool]]) -> AsyncIterator[str]:
        """The stream of one page, resumed after event `last`; it ends when the session does."""
        listener: asyncio.Queue[Event | None] = asyncio.Queue()
        self._listeners.add(listener)
        try:
            yield f"retry: {RETRY_MILLISECONDS}\n\n"
            for missed in self._since(last):
                yield missed.encode()
            beats = 0
            while not self._closed:
                try:
                    event = await asyncio.wait_for(listener.get(), BEAT_SECONDS)
                except TimeoutError:
                    beats += 1
                    if beats % SESSION_CHECK_BEATS == 0 and not await still_signed_in():
                        yield Event("signed-out").encode()
                        return
                    event = Event("beat") if self.listening.is_set() else Event("deaf")
                if event is None:
                    return
                yield event.encode()
        finally:
            self._listeners.discard(listener)

    def _next(self, name: str, data: str = "{}") -> Event:
        self._number += 1
        return Event(name, data, f"{self._boot}-{self._number}")

    def _since(self, last: str) -> list[Event]:
        """What came after `last`; a gap when that is not known any more. A first visit misses nothing."""
        now = Event("beat" if self.listening.is_set() else "deaf", ident=f"{self._boot}-{self._number}")
        if not last:
            return [now]
        idents = [event.ident for event in self._kept]
        if last in idents:
            return [*list(self._kept)[idents.index(last) + 1 :], now]
        return [now] if last == now.ident else [Event("gap", ident=now.ident), now]


def _id_of(payload: str) -> int:
    """The item of a notice; 0 for a notice that is not one of ours."""
    try:
        return int(json.loads(payload)["id"])
    except (ValueError, KeyError, TypeError):
        return 0


@router.get("/events")
async def events(request: Request) -> StreamingResponse:
    """The live stream of this browser. The session is only looked at, never kept alive by an open page."""
    shared = shared_of(request)
    token = request.cookies.get(shared.session_cookie, "")
    feed = request.app.state.feed
    assert isinstance(feed, Feed)

    async def still_signed_in() -> bool:
        async with shared.pool.connection() as conn:
            idle = shared.settings.session_idle_minutes
            return await access.session(conn, token, idle_minutes=idle, now=shared.clock(), touch=False) is not None

    if not await still_signed_in():
        raise SignInNeeded
    stream = feed.stream(request.headers.get("last-event-id", ""), still_signed_in)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

"""Live updates: an event reaches an open page when work changes, says nothing about anybody, and nothing is missed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from monitor.web import live
from tests.fix_desk import RunningDesk, cuff, token_in

PATIENCE = 30.0


class Stream:
    """An open `/events`."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()

    async def event(self, name: str) -> tuple[str, dict[str, object]]:
        """The next event of that name: its id and data."""
        async with asyncio.timeout(PATIENCE):
            while True:
                fields: dict[str, str] = {}
                async for line in self._lines:
                    if not line:
                        break
                    key, _, value = line.partition(": ")
                    fields[key] = value
                if fields.get("event") == name:
                    return fields.get("id", ""), json.loads(fields["data"])
                assert fields, f"the stream ended before {name}"


@contextlib.asynccontextmanager
async def listening(client: httpx.AsyncClient, last: str = "") -> AsyncIterator[Stream]:
    headers = {"Last-Event-ID": last} if last else {}
    async with client.stream("GET", "/events", headers=headers, timeout=PATIENCE) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = Stream(answer)
        yield stream


async def an_emergency(desk: RunningDesk) -> None:
    uid = f"ble:cuff-{datetime.now(UTC).timestamp():.0f}"
    await desk.station.resident("陈秀兰", devices=[uid])
    await desk.station.receive(cuff(datetime.now(UTC) - timedelta(minutes=1), 186, 112, device=uid))


async def test_an_emergency_reaches_an_open_page_without_names_or_values(desk: RunningDesk) -> None:
    async with desk.signed_in("wang") as client, listening(client) as stream:
        await stream.event("beat")
        await an_emergency(desk)
        ident, data = await stream.event("queue")
        assert ident
        assert set(data) == {"id", "event", "severity"}
        assert (data["event"], data["severity"]) == ("opened", "emergency")


async def test_a_page_that_comes_back_is_told_what_it_missed(desk: RunningDesk) -> None:
    async with desk.signed_in("wang") as client:
        async with listening(client) as stream:
            last, _ = await stream.event("beat")
        await an_emergency(desk)
        async with listening(client, last) as stream:
            _, data = await stream.event("queue")
            assert data["event"] == "opened"


async def test_a_page_from_before_a_restart_is_told_of_a_gap(desk: RunningDesk) -> None:
    async with desk.signed_in("wang") as client, listening(client, "0000-17") as stream:
        await stream.event("gap")


async def test_a_lost_listening_connection_is_said_and_mended(desk: RunningDesk) -> None:
    url = desk.station.settings.database_url.get_secret_value()
    async with desk.signed_in("wang") as client, listening(client) as stream:
        await stream.event("beat")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            await conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
            )
        await stream.event("gap")
        await an_emergency(desk)
        await stream.event("queue")


async def test_an_ended_session_ends_its_stream(desk: RunningDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(live, "SESSION_CHECK_BEATS", 1)
    async with desk.signed_in("wang") as client, listening(client) as stream:
        token = token_in((await client.get("/queue")).text)
        assert (await client.post("/logout", data={"csrf": token})).status_code == 303
        await stream.event("signed-out")


async def test_a_listener_that_does_not_read_gets_a_gap_and_not_a_growing_queue(desk: RunningDesk) -> None:
    async def always() -> bool:
        return True

    stream = desk.feed.stream("", always)
    await anext(stream)
    await anext(stream)
    for number in range(600):
        desk.feed.publish(live.Event("queue", "{}", f"x-{number}"))
    received = [await anext(stream) for _ in range(60)]
    await stream.aclose()
    assert any("event: gap" in part for part in received)


async def test_open_pages_do_not_hold_up_the_end_of_the_service(desk: RunningDesk) -> None:
    async with desk.signed_in("wang") as client, listening(client) as stream:
        await stream.event("beat")
        desk.feed.close()
        with contextlib.suppress(AssertionError):
            await stream.event("never")
        assert not desk.feed._listeners


async def test_an_event_is_told_to_the_item_and_to_the_list(desk: RunningDesk) -> None:
    async with desk.signed_in("wang") as client, listening(client) as stream:
        await stream.event("beat")
        await an_emergency(desk)
        _, alone = await stream.event("item-1")
        _, among = await stream.event("queue")
        assert alone == among
        assert alone["id"] == 1

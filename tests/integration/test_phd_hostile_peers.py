"""Peers that stall, vanish, never read, or come by the thousand: each costs itself its place, and nobody else's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from devices.ieee11073.terms import Terms
from gateway.outbox import Outbox, utc_now
from gateway.phd_listener import MOST_CONNECTIONS, PhdListener
from gateway.phd_patience import Patience
from tests.fix_bluetooth import kept_in
from tests.foreign_20601 import SAMPLES, Line, aarq, hex_, stamp

CUFF = SAMPLES["cuff"]
QUICK = Patience(unfinished=0.4, unread=0.4, goodbye=0.4)


class Nothing:
    def put(self, observations: object) -> None: ...

    def odd(self, device: str, characteristic: str, frame: bytes, field: str, reason: str) -> None: ...


@asynccontextmanager
async def open_to_all(patience: Patience, kept: Outbox | None = None) -> AsyncIterator[tuple[PhdListener, int]]:
    terms = Terms(bytes.fromhex("0200000000000001"), interviews=False)
    listener = PhdListener(terms, Nothing() if kept is None else kept, utc_now, patience=patience)
    _, port = await listener.open("127.0.0.1", 0)
    try:
        yield listener, port
    finally:
        await listener.close()


async def associated(port: int) -> Line:
    line = await Line.to(port)
    await line.say(aarq(CUFF.config))
    assert (await line.hear())[:16] == "e300002c00005079"
    return line


def report(number: int = 0) -> bytes:
    wall = datetime.now(ZoneInfo("Asia/Shanghai"))
    return hex_(CUFF.report.format(id=f"{number & 0xFFFF:04x}", at=stamp(wall)))


def transport_of(connection: Any) -> asyncio.Transport:
    found = connection._transport
    assert isinstance(found, asyncio.Transport)
    return found


async def none_left(listener: PhdListener) -> None:
    async with asyncio.timeout(20):
        await asyncio.gather(*(connection.ended.wait() for connection in listener.connections))


@pytest.mark.parametrize("start", ["", "e2", "e200 ffff 8000", "e700 0100"])
async def test_a_connection_that_never_says_a_whole_word_loses_its_place(start: str) -> None:
    async with open_to_all(QUICK._replace(silence=0.4)) as (listener, port):
        line = await Line.to(port)
        if start:
            await line.say(start)
        assert await line.hear() == ""
        await none_left(listener)
        await line.close()


async def test_an_apdu_that_comes_octet_by_octet_for_ever_is_given_up() -> None:
    async with open_to_all(QUICK) as (listener, port):
        line = await associated(port)
        line.writer.write(b"\xe7\x00\xff\xff")
        async with asyncio.timeout(20):
            while listener.connections:
                line.writer.write(b"\0")
                await asyncio.sleep(0.02)
        line.writer.transport.abort()


async def test_an_agent_whose_reads_always_end_in_the_middle_of_the_next_report_is_heard(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        # longer than the time between two reports by far, and shorter than all of them take
        async with open_to_all(Patience(unfinished=2.0), outbox) as (_, port):
            line = await associated(port)
            stream = b"".join(report(number) for number in range(13))
            size = len(report())
            for at in range(0, len(stream) - size, size):
                line.writer.write(stream[at + (at > 0) * 10 : at + size + 10])
                assert (await line.hear())[16:20] == "0201"
                await asyncio.sleep(0.2)
            await line.close()
        assert len(kept_in(outbox)) == 12


async def deaf(listener: PhdListener, port: int) -> Line:
    """An agent that reports and reads nothing, until what it is told has no room any more."""
    line = await associated(port)
    (connection,) = listener.connections
    line.writer.transport.pause_reading()
    for transport, option in ((line.writer.transport, socket.SO_RCVBUF), (transport_of(connection), socket.SO_SNDBUF)):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 4096)
    many = report() * 1000
    async with asyncio.timeout(20):
        while listener.connections and not transport_of(connection).get_write_buffer_size():
            line.writer.write(many)
            await asyncio.sleep(0.01)
    return line


async def test_an_agent_that_never_reads_its_confirmations_loses_its_place() -> None:
    async with open_to_all(QUICK) as (listener, port):
        line = await deaf(listener, port)
        line.writer.write(report() * 10_000)
        await none_left(listener)
        line.writer.transport.abort()


async def test_closing_does_not_wait_for_ever_for_those_who_do_not_read() -> None:
    async with open_to_all(Patience(goodbye=0.4)) as (listener, port):
        line = await deaf(listener, port)
        async with asyncio.timeout(20):
            await listener.close()
        assert not listener.connections
        line.writer.transport.abort()


async def test_a_peer_that_vanishes_is_asked_for_a_sign_of_life() -> None:
    async with open_to_all(QUICK) as (listener, port):
        line = await associated(port)
        (connection,) = listener.connections
        found = transport_of(connection).get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        await line.close()


async def refused(port: int) -> bool:
    line = await Line.to(port)
    try:
        await line.say(aarq(CUFF.config))
        return await line.hear() == ""
    except ConnectionError:
        return True
    finally:
        await line.close()


async def test_where_no_place_is_left_the_quietest_is_released_if_it_has_been_quiet_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.phd_listener.MOST_CONNECTIONS", 2)
    async with open_to_all(QUICK._replace(idle=0.3)) as (listener, port):
        quiet, busy = await associated(port), await associated(port)
        assert await refused(port)
        assert len(listener.connections) == 2
        await asyncio.sleep(0.4)
        busy.writer.write(report())
        assert (await busy.hear())[16:20] == "0201"
        assert await refused(port)
        assert (await quiet.hear())[:4] == "e400"
        await quiet.say("e500 0002 0000")
        async with asyncio.timeout(20):  # the place is free at once, not after another silence
            assert await quiet.hear() == ""
        newcomer = await associated(port)
        for line in (quiet, busy, newcomer):
            await line.close()


async def test_of_a_thousand_connections_most_are_refused_and_an_agent_is_heard_afterwards(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with open_to_all(Patience(), outbox) as (listener, port):
            first = await associated(port)
            lines = [await Line.to(port) for _ in range(MOST_CONNECTIONS - 1)]
            for _ in range(10):
                # a hundred at a time: this process may not have files for a thousand
                others = [await Line.to(port) for _ in range(100)]
                assert {await line.hear() for line in others} == {""}
                for line in others:
                    await line.close()
            assert len(listener.connections) == MOST_CONNECTIONS
            first.writer.write(report())
            assert (await first.hear())[16:20] == "0201"
            for line in lines:
                await line.close()
            await first.close()
            await none_left(listener)
            last = await associated(port)
            last.writer.write(report(1))
            assert (await last.hear())[16:20] == "0201"
            await last.close()
        assert len(kept_in(outbox)) == 2

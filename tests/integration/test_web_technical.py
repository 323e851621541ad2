"""A quarantine that grows stands on the desk, live, names a gateway and nobody else, and goes when it grows no more."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from devices.message import Reason
from ingest import commit, database, intake, technical
from ingest.corrections import Key, amend, enter_in_error, readings_of_device
from ingest.directory import Directory
from ingest.technical import Cause, Limit, Seen
from monitor.web.texts import LANGUAGES, texts
from tests.fix_desk import RunningDesk, cuff
from tests.fix_ingest import message, pressure
from tests.integration.test_web_live import listening

LIMIT = Limit(most=3, minutes=60)
LINE = re.compile(r'id="technical"[^>]*>(.*?)</div></div>', re.DOTALL)


async def look(desk: RunningDesk, *, topic: str = "suifang/v1/north/gw-7/observations", minutes: float = 0) -> Seen:
    """Five refusals from a topic, then what the watch of ingest does."""
    conn = await database.connect(desk.station.settings.database_url.get_secret_value())
    now = datetime.now(UTC)
    try:
        bad = message(*(pressure(number, kind=77) for number in range(5)))
        if not minutes:
            taken = intake.take(topic, bad, now, intake.Limits())
            await commit.store_with_retry(conn, Directory(), [taken], now=now)
            if taken.topic is None:  # one message that nobody can take apart: make them many
                more = [intake.take(topic, bad + b" " * n, now, intake.Limits()) for n in range(1, 5)]
                await commit.store_with_retry(conn, Directory(), more, now=now)
        return await technical.look_at_quarantine(conn, LIMIT, now + timedelta(minutes=minutes))
    finally:
        await conn.close()


@pytest.mark.parametrize("page", ["/queue", "/residents", "/unassigned"])
async def test_every_page_shows_which_source_is_not_heard_and_why(desk: RunningDesk, page: str) -> None:
    async with desk.signed_in("wang") as client:
        assert LINE.search((await client.get(page)).text) is None
        assert await look(desk) is Seen.RAISED
        found = LINE.search((await client.get(page)).text)
        assert found
        assert "north/gw-7 的读数没有收下：60 分钟内有 5 条被拒，多因项目未知" in found[1]


async def test_open_pages_learn_of_it_at_once_and_of_its_end(desk: RunningDesk) -> None:
    async with desk.signed_in("wang") as client, listening(client) as stream:
        await stream.event("beat")
        await look(desk)
        await stream.event("queue")
        changes = (await client.get("/queue/changes")).text
        assert 'hx-swap-oob="true"><div class="linebar"' in changes
        strip = (await client.get("/strip", params={"shown": "-0-0-0-0"})).text
        assert "north/gw-7" in strip
        assert await look(desk, minutes=61) is Seen.RESOLVED
        await stream.event("queue")
        assert "north/gw-7" not in (await client.get("/queue/changes")).text


async def test_what_a_stranger_wrote_as_a_topic_is_not_shown(desk: RunningDesk) -> None:
    await look(desk, topic="陈秀兰/13800000000")
    async with desk.signed_in("wang") as client:
        found = LINE.search((await client.get("/queue")).text)
    assert found
    assert "未知来源" in found[1]
    assert "陈秀兰" not in found[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_cause_and_every_reason_of_a_refusal_has_words(language: str) -> None:
    t = texts(language)
    noticed = {Reason.IMPLAUSIBLE_VALUE, Reason.UNREGISTERED_DEVICE}
    keys = [f"technical.{cause.value}" for cause in Cause]
    keys += [f"refused.{reason.value}" for reason in Reason if reason not in noticed]
    assert [key for key in keys if not t.has(key)] == []


async def test_a_corrected_reading_is_shown_as_what_it_is_and_one_in_error_is_struck(desk: RunningDesk) -> None:
    now = datetime.now(UTC)
    subject = await desk.station.resident("陈秀兰", devices=["ble:cuff-4F21"])
    await desk.station.receive(cuff(now - timedelta(hours=2), 136, 82), cuff(now - timedelta(hours=1), 186, 112))
    async with desk.station.transaction() as conn:
        last, first = [
            Key.of(o) for o in await readings_of_device(conn, "ble:cuff-4F21", since=now - timedelta(days=1))
        ]
        await amend(conn, first, {0: 138.0}, by="wang", reason="read wrong", now=now)
        await enter_in_error(conn, last, by="wang", reason="another arm", now=now)
    await desk.station.judge()
    async with desk.signed_in("wang") as client:
        page = (await client.get(f"/residents/{subject}")).text
        queue = (await client.get("/queue")).text
    assert "138/82" in page
    assert "已更正" in page
    assert "误录，已作废" in page
    assert "186/112" not in queue

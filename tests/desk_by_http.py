"""What a test does at the desk over HTTP: residents with an emergency, a press of a button, what an answer says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from monitor import audit
from tests.fix_desk import RunningDesk, cuff, token_in

SCRIPT = {"HX-Request": "true", "HX-Target": "pane"}
PLAIN_NAME, MASKED, PHONE = "陈秀兰", "陈*兰", "13800000000"


def now() -> datetime:
    return datetime.now(UTC)


async def an_emergency(desk: RunningDesk, name: str = PLAIN_NAME, **changes: Any) -> UUID:
    """A resident whose cuff has just said 186/112."""
    uid = f"ble:cuff-{uuid4().hex[:4]}"
    subject = await desk.station.resident(name, devices=[uid], **changes)
    await desk.station.receive(cuff(now() - timedelta(minutes=2), 186, 112, device=uid))
    return subject


async def first_item(client: httpx.AsyncClient) -> int:
    found = re.search(r'data-id="(\d+)"', (await client.get("/queue")).text)
    assert found
    return int(found[1])


async def act(client: httpx.AsyncClient, item: int, what: str, **fields: str) -> httpx.Response:
    """What the page's script does with a button."""
    token = token_in((await client.get("/queue")).text)
    return await client.post(f"/items/{item}/{what}", data={"csrf": token, **fields}, headers=SCRIPT)


def row_in(answer: str) -> str:
    """The row that stands beside the pane, to be swapped into the list."""
    found = re.search(r'<template><tr class="row[^>]+hx-swap-oob="true">.*?</tr></template>', answer, re.DOTALL)
    assert found, answer
    return found[0]


def toast_in(answer: str) -> str:
    """What the toast of an answer says."""
    found = re.search(r'<div id="toast"[^>]*><div class="toast"><span>([^<]*)</span>', answer)
    assert found, answer
    return found[1]


async def audited(desk: RunningDesk, action: str) -> list[audit.Entry]:
    async with desk.station.transaction() as conn:
        return [entry for entry in await audit.entries(conn) if entry.action == action]

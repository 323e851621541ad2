"""Who gets into the desk over HTTP, what a session may see, and how strict every answer is."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from monitor.access import Role
from tests.desk_by_http import (
    MASKED,
    SCRIPT,
    act,
    an_emergency,
    first_item,
)
from tests.fix_desk import PASSWORD, RunningDesk, token_in


async def test_nobody_sees_a_page_without_signing_in(desk: RunningDesk) -> None:
    subject = await an_emergency(desk)
    async with desk.client() as client:
        for path in ("/queue", "/items/1", f"/residents/{subject}", "/residents"):
            answer = await client.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login?back=")
        assert (await client.get("/events")).status_code == 303
        assert (await client.get("/queue/items", headers=SCRIPT)).status_code == 401


async def test_a_wrong_password_is_said_without_telling_what_was_wrong(desk: RunningDesk) -> None:
    async with desk.client() as client:
        for login in ("wang", "nobody"):
            token = token_in((await client.get("/login")).text)
            answer = await client.post("/login", data={"csrf": token, "login": login, "password": "not the password"})
            assert answer.status_code == 403
            assert "用户名或密码不对。" in answer.text


async def test_five_wrong_passwords_lock_the_account_and_say_until_when(desk: RunningDesk) -> None:
    async with desk.client() as client:
        token = token_in((await client.get("/login")).text)
        for _ in range(5):
            answer = await client.post("/login", data={"csrf": token, "login": "wang", "password": "guess"})
        assert "这个账号锁到" in answer.text
        answer = await client.post("/login", data={"csrf": token, "login": "wang", "password": PASSWORD})
        assert answer.status_code == 403


async def test_the_session_cookie_is_for_this_site_and_not_for_scripts(desk: RunningDesk) -> None:
    async with desk.client() as client:
        token = token_in((await client.get("/login")).text)
        answer = await client.post("/login", data={"csrf": token, "login": "wang", "password": PASSWORD})
        cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith("suifang="))
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie


async def test_logging_out_ends_the_session_on_the_server(desk: RunningDesk) -> None:
    async with desk.signed_in("wang") as client:
        cookie = client.cookies["suifang"]
        token = token_in((await client.get("/queue")).text)
        assert (await client.post("/logout", data={"csrf": token})).headers["location"] == "/login"
    async with desk.client() as thief:
        thief.cookies["suifang"] = cookie
        assert (await thief.get("/queue")).status_code == 303


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example"])
async def test_signing_in_never_leads_to_another_site(desk: RunningDesk, back: str) -> None:
    async with desk.client() as client:
        token = token_in((await client.get("/login")).text)
        fields = {"csrf": token, "login": "wang", "password": PASSWORD, "back": back}
        assert (await client.post("/login", data=fields)).headers["location"] == "/queue"
        assert (await client.get("/language/en", params={"back": back})).headers["location"] == "/queue"


async def test_a_form_without_the_sessions_token_changes_nothing(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client, desk.signed_in("zhang") as other:
        item = await first_item(client)
        foreign = token_in((await other.get("/queue")).text)
        for fields in ({}, {"csrf": "0" * 64}, {"csrf": foreign}):
            assert (await client.post(f"/items/{item}/claim", data=fields)).status_code == 403
        token = token_in((await client.get("/queue")).text)
        crossed = await client.post(
            f"/items/{item}/claim", data={"csrf": token}, headers={"Sec-Fetch-Site": "cross-site"}
        )
        assert crossed.status_code == 403
        assert MASKED in (await client.get("/queue")).text


async def test_every_answer_is_strict_and_pages_are_never_stored(desk: RunningDesk) -> None:
    subject = await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        for path in ("/login", "/queue", f"/items/{item}", f"/residents/{subject}", "/residents", "/no-such-page"):
            answer = await client.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_no_page_carries_inline_script_or_style(desk: RunningDesk) -> None:
    subject = await an_emergency(desk)
    await desk.station.resident("刘桂芬")
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        for path in ("/login", "/queue", f"/items/{item}", f"/residents/{subject}", "/residents"):
            page = (await client.get(path)).text
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|<script(?![^>]*\ssrc=\"/static/)|javascript:", page)
            assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)


async def test_static_files_may_be_stored_only_under_their_version(desk: RunningDesk) -> None:
    async with desk.client() as client:
        assert (await client.get("/static/desk.css")).headers["cache-control"] == "no-cache"
        assert "immutable" in (await client.get("/static/desk.css?abc")).headers["cache-control"]


async def test_an_ended_session_leads_back_to_where_it_was_after_the_log_in(desk: RunningDesk) -> None:
    async with desk.client() as client:
        headers = SCRIPT | {"HX-Current-URL": f"{desk.base}/queue?kind=due"}
        answer = await client.get("/queue/changes", headers=headers)
        assert answer.headers["hx-redirect"] == "/login?back=%2Fqueue%3Fkind%3Ddue"


async def test_health_is_asked_without_signing_in(desk: RunningDesk) -> None:
    async with desk.client() as client:
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"database": True, "live": True})


async def test_a_nurse_of_another_site_meets_the_same_words_as_for_nothing_at_all(desk: RunningDesk) -> None:
    subject = await an_emergency(desk, site="东苑站")
    await desk.station.nurse("li", "李护士", sites=("南桥站",))
    async with desk.signed_in("wang") as own, desk.signed_in("li") as client:
        item = await first_item(own)
        assert f'data-id="{item}"' not in (await client.get("/queue")).text
        assert MASKED not in (await client.get("/residents")).text
        hidden = [await client.get(path) for path in (f"/items/{item}", f"/residents/{subject}", f"/items/{item}/row")]
        absent = [await client.get(path) for path in ("/items/999999", f"/residents/{uuid4()}", "/items/nonsense")]
        assert {answer.status_code for answer in hidden + absent} == {404}
        assert len({re.sub(r"\s+", " ", answer.text) for answer in hidden + absent}) == 1
        assert (await act(client, item, "claim")).status_code == 404


async def test_a_role_without_clinical_detail_is_told_so(desk: RunningDesk) -> None:
    await desk.station.nurse("root", "管理员", role=Role.ADMINISTRATOR)
    async with desk.signed_in("root") as client:
        answer = await client.get("/queue")
        assert answer.status_code == 403
        assert "你的角色不看临床内容" in answer.text

"""The desk over HTTP, on the real database: who gets in, what is masked, who wins a claim, how an item is closed."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from devices.observation import Meal
from monitor import audit
from monitor.access import Role
from monitor.patients import Registered
from tests.fix_desk import PASSWORD, RunningDesk, cuff, scale, sugar, token_in

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


async def test_a_name_is_masked_until_the_item_is_claimed(desk: RunningDesk) -> None:
    subject = await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        for path in ("/queue", f"/items/{item}", f"/residents/{subject}", "/residents"):
            page = (await client.get(path)).text
            assert MASKED in page
            assert PLAIN_NAME not in page
            assert PHONE not in page
        assert (await act(client, item, "claim")).status_code == 200
        for path in (f"/items/{item}", f"/residents/{subject}"):
            page = (await client.get(path)).text
            assert PLAIN_NAME in page
            assert PHONE in page
    async with desk.signed_in("zhang") as other:
        for path in ("/queue", f"/items/{item}", f"/residents/{subject}"):
            page = (await other.get(path)).text
            assert PLAIN_NAME not in page
            assert PHONE not in page


async def test_the_red_ground_means_that_nobody_has_claimed_it(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        assert 'class="row is-emg changed"' in (await client.get(f"/items/{item}/row")).text
        assert "(1) 危急 · 待办 - 随访" in (await client.get("/queue")).text
        answer = await act(client, item, "claim")
        assert 'class="row is-emg is-held"' in answer.text
        assert "<title>待办 - 随访</title>" in (await client.get("/queue")).text


async def test_of_two_nurses_who_claim_at_once_one_wins_and_the_other_is_told_who(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as wang, desk.signed_in("zhang") as zhang:
        item = await first_item(wang)
        answers = await asyncio.gather(act(wang, item, "claim"), act(zhang, item, "claim"))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        lost = next(answer for answer in answers if answer.status_code == 409)
        winner = "王护士" if lost is answers[1] else "张敏"
        said = lost.text
        assert toast_in(said).startswith(winner)
        assert MASKED in toast_in(said)
        assert PLAIN_NAME not in said
        assert winner in row_in(said)


async def test_confirming_receipt_is_no_claim(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        answer = await act(client, item, "acknowledge")
        assert answer.status_code == 200
        assert "已有人确认收到" in row_in(answer.text)
        assert "王护士" in answer.text
        assert PLAIN_NAME not in answer.text


async def test_an_item_is_closed_with_an_outcome_and_leaves_the_queue(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        assert (await act(client, item, "close", outcome="reached_came_in")).status_code == 409
        await act(client, item, "claim")
        missing = await act(client, item, "close", outcome="")
        assert missing.status_code == 422
        assert "请先选一个结果。" in missing.text
        unexplained = await act(client, item, "close", outcome="false_alarm", note="  ")
        assert "请写备注：这个结果需要说明。" in unexplained.text
        assert unexplained.headers["hx-retarget"] == "#close"
        closed = await act(client, item, "close", outcome="reached_came_in", note="到站复测 142/86")
        assert toast_in(closed.text) == "已关闭：已到站复测"
        assert "is-ghost" in row_in(closed.text)
        assert f'data-id="{item}"' not in (await client.get("/queue")).text
        page = (await client.get(f"/items/{item}")).text
        assert "王护士 已到站复测" in page
        assert "到站复测 142/86" in page


async def test_a_call_nobody_took_puts_the_item_back(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        await act(client, item, "claim")
        answer = await act(client, item, "close", outcome="not_reached")
        assert toast_in(answer.text) == "未接通，待办回到队列"
        assert 'class="row is-emg changed"' in (await client.get(f"/items/{item}/row")).text


async def test_everything_works_with_plain_forms(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        token = token_in((await client.get(f"/items/{item}")).text)
        claimed = await client.post(f"/items/{item}/claim", data={"csrf": token})
        assert (claimed.status_code, claimed.headers["location"]) == (303, f"/items/{item}")
        refused = await client.post(f"/items/{item}/close", data={"csrf": token, "outcome": "false_alarm", "note": ""})
        assert refused.status_code == 422
        assert "请写备注" in refused.text
        assert 'value="false_alarm" required data-digit="0" checked' in refused.text.replace("\n", " ")
        closed = await client.post(f"/items/{item}/close", data={"csrf": token, "outcome": "reached_advised"})
        assert (closed.status_code, closed.headers["location"]) == (303, "/queue")


async def test_a_reveal_shows_the_person_once_and_is_logged_with_its_purpose(desk: RunningDesk) -> None:
    subject = await desk.station.resident(PLAIN_NAME, devices=[])
    async with desk.signed_in("wang") as client:
        path = f"/residents/{subject}"
        token = token_in((await client.get(path)).text)
        without = await client.post(f"{path}/reveal", data={"csrf": token, "purpose": "curiosity"})
        assert PLAIN_NAME not in without.text
        shown = await client.post(f"{path}/reveal", data={"csrf": token, "purpose": "identity"})
        assert PLAIN_NAME in shown.text
        assert PHONE in shown.text
        assert PLAIN_NAME not in (await client.get(path)).text
    entries = await audited(desk, "reveal")
    assert [(entry.actor, entry.purpose, entry.subject_id) for entry in entries] == [("wang", "identity", subject)]


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


async def test_english_is_one_click_away_and_stays(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        answer = await client.get("/language/en", params={"back": "/queue?kind=emergency"})
        assert answer.headers["location"] == "/queue?kind=emergency"
        page = (await client.get("/queue")).text
        assert '<html lang="en">' in page
        assert "at the emergency line" in page
        assert "到了危急线" not in page
        assert (await client.get("/language/xx")).status_code == 404
        await client.get("/language/zh")
        assert '<html lang="zh-CN">' in (await client.get("/queue")).text


async def test_filters_live_in_the_address_and_count_everything(desk: RunningDesk) -> None:
    await an_emergency(desk)
    uid = "ble:cuff-L1"
    await desk.station.resident("刘桂芬", devices=[uid])
    await desk.station.receive(cuff(now() - timedelta(hours=1), 150, 92, device=uid))
    async with desk.signed_in("wang") as client:
        page = (await client.get("/queue")).text
        chips = dict(re.findall(r'id="chip-(\w+)"[^>]*>.*?<b>(\d+)</b>', page, re.DOTALL))
        assert chips == {"all": "2", "emergency": "1", "worsening": "0", "due": "1", "regular": "0", "mine": "0"}
        due = (await client.get("/queue?kind=due")).text
        assert "刘*芬" in due
        assert MASKED not in due
        assert "这个筛选下没有待办" in (await client.get("/queue?mine=1")).text


async def test_the_residents_page_draws_what_was_measured(desk: RunningDesk) -> None:
    subject = await desk.station.resident(
        PLAIN_NAME,
        devices=["ble:cuff-4F21", "ble:meter-A9C0", "ble:scale-7710"],
        allergies="青霉素",
        registers=(
            Registered(programme="hypertension", since=date(2019, 5, 1)),
            Registered(programme="diabetes", since=date(2021, 5, 1)),
        ),
    )
    await desk.station.visit(subject, now() - timedelta(days=30), 138, 84, 1)
    await desk.station.receive(
        *(cuff(now() - timedelta(days=day), 130 + day, 82) for day in (3, 5, 8)),
        cuff(now() - timedelta(days=2), 118, 117, facts=("implausible", "cuff-too-loose")),
        sugar(now() - timedelta(days=2), 6.4),
        sugar(now() - timedelta(days=1), 9.0, Meal.POSTPRANDIAL),
        scale(now() - timedelta(days=2), 66.5),
    )
    async with desk.signed_in("wang") as client:
        page = (await client.get(f"/residents/{subject}")).text
        assert "青霉素过敏" in page
        assert "家用血压计 …4F21" in page
        assert re.search(r'<tr class="out">.*?118/117.*?未采用', page, re.DOTALL)
        assert "66.5" in page
        assert "门诊随访 138/84，控制满意" in page
        assert page.count('role="img"') == 5
        assert "&lt; 140/90" in page
        short = (await client.get(f"/residents/{subject}?span=2w")).text
        assert "近 7 日均值，2 组" in short


async def test_a_resident_without_readings_is_told_what_to_do(desk: RunningDesk) -> None:
    subject = await desk.station.resident(PLAIN_NAME)
    async with desk.signed_in("wang") as client:
        page = (await client.get(f"/residents/{subject}")).text
        assert "还没有读数。" in page
        assert '<svg class="chart' not in page


async def test_a_resident_is_found_by_a_complete_number_only(desk: RunningDesk) -> None:
    await desk.station.resident(PLAIN_NAME, phone="13900001111")
    await desk.station.resident("刘桂芬", phone="13900002222")
    async with desk.signed_in("wang") as client:
        found = (await client.get("/residents", params={"find": "13900001111"})).text
        assert MASKED in found
        assert "刘*芬" not in found
        assert "没有找到" in (await client.get("/residents", params={"find": "1390000"})).text


async def test_the_strip_on_other_pages_names_the_oldest_unclaimed_emergency(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        page = (await client.get("/residents")).text
        assert "新危急：陈*兰" in page
        assert 'class="strip' not in (await client.get("/queue")).text
        await act(client, await first_item(client), "claim")
        assert (await client.get("/strip")).text.count('class="strip') == 0


async def test_readings_of_nobody_say_where_they_come_from_and_why_they_wait(desk: RunningDesk) -> None:
    await desk.station.receive(
        cuff(now() - timedelta(minutes=9), 142, 86, device="ble:cuff-9F9F"),
        cuff(now() - timedelta(minutes=5), 98, 61, device="ble:cuff-9F9F"),
    )
    await desk.station.nurse("root", "管理员", role=Role.ADMINISTRATOR)
    async with desk.signed_in("wang") as client, desk.signed_in("root") as administrator:
        page = (await client.get("/unassigned")).text
        assert "142/86" in page
        assert "设备没有登记" in page
        assert 'id="unassigned">2</span>' in page
        assert 'id="unassigned">2</span>' in (await client.get("/queue")).text
        assert (await administrator.get("/unassigned")).status_code == 403
    assert [(entry.actor, entry.detail) for entry in await audited(desk, "view_unassigned")] == [
        ("wang", {"readings": 2})
    ]


async def test_what_an_open_page_shows_already_is_not_sent_again(desk: RunningDesk) -> None:
    await an_emergency(desk)
    async with desk.signed_in("wang") as client:
        item = await first_item(client)
        row = (await client.get(f"/items/{item}/row", headers=SCRIPT)).text
        shown = re.search(r'name="shown" value="([^"]+)"', row)
        assert shown
        for path in (f"/items/{item}/row", f"/items/{item}"):
            same = await client.get(path, params={"shown": shown[1]}, headers=SCRIPT)
            assert same.status_code == 204
        assert "<tr class=" not in (await client.get("/queue/changes", params={"shown": shown[1]})).text
        looks = await audited(desk, "view_followup")
        await act(client, item, "claim")
        changes = (await client.get("/queue/changes", params={"shown": shown[1]})).text
        assert 'class="row is-emg is-held changed"' in changes
        assert (await client.get(f"/items/{item}", params={"shown": shown[1]}, headers=SCRIPT)).status_code == 200
    # the two 204 looked at nothing: one page before them, then none
    assert len(looks) == 1


async def test_an_ended_session_leads_back_to_where_it_was_after_the_log_in(desk: RunningDesk) -> None:
    async with desk.client() as client:
        headers = SCRIPT | {"HX-Current-URL": f"{desk.base}/queue?kind=due"}
        answer = await client.get("/queue/changes", headers=headers)
        assert answer.headers["hx-redirect"] == "/login?back=%2Fqueue%3Fkind%3Ddue"


async def test_health_is_asked_without_signing_in(desk: RunningDesk) -> None:
    async with desk.client() as client:
        answer = await client.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"database": True, "live": True})


async def test_a_long_section_says_how_many_more_there_are(desk: RunningDesk) -> None:
    observations = []
    for number in range(33):
        uid = f"ble:cuff-M{number}"
        await desk.station.resident(f"徐桂{number}", devices=[uid])
        observations.append(cuff(now() - timedelta(hours=1), 150, 92, device=uid))
    await desk.station.receive(*observations)
    async with desk.signed_in("wang") as client:
        page = (await client.get("/queue")).text
        assert page.count('class="row ') == 30
        assert '<a href="/queue?kind=two_weeks">还有 3 条</a>' in page
        assert (await client.get("/queue?kind=two_weeks")).text.count('class="row ') == 33

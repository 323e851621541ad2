"""The queue over HTTP, on the real database: what is masked, who wins a claim, how an item is closed."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

from tests.desk_by_http import (
    MASKED,
    PHONE,
    PLAIN_NAME,
    SCRIPT,
    act,
    an_emergency,
    audited,
    first_item,
    now,
    row_in,
    toast_in,
)
from tests.fix_desk import RunningDesk, cuff, token_in


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

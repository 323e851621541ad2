"""The desk under a nurse's hands, in a real browser: what moves, what waits, who won, and what is said aloud."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from playwright.async_api import Browser, Page, Route, expect

from monitor import audit
from tests.fix_desk import PASSWORD, RunningDesk, cuff, desk_settings, serving, token_in

PATIENCE_MS = 30_000


async def sign_in(page: Page, desk: RunningDesk, login: str = "wang") -> None:
    expect.set_options(timeout=PATIENCE_MS)
    await page.goto(f"{desk.base}/login")
    await page.fill("#login", login)
    await page.fill("#password", PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("待办")
    await ready(page)


async def ready(page: Page) -> None:
    """The page's script listens for keys."""
    await expect(page.locator("body[data-ready]")).to_be_attached()


async def measured(desk: RunningDesk, name: str, systolic: float, diastolic: float) -> None:
    """Somebody new whose cuff says this now."""
    uid = f"ble:cuff-{uuid4().hex[:6]}"
    await desk.station.resident(name, devices=[uid])
    await desk.station.receive(cuff(datetime.now(UTC) - timedelta(seconds=30), systolic, diastolic, device=uid))


async def test_what_is_not_an_emergency_waits_until_it_is_asked_for(page: Page, desk: RunningDesk) -> None:
    await measured(desk, "刘桂芬", 150, 92)
    await sign_in(page, desk)
    await expect(page.locator("tr.row")).to_have_count(1)
    await measured(desk, "何玉英", 152, 94)
    await expect(page.locator("#newer")).to_have_text("1 条新待办R")
    await expect(page.locator("tr.row")).to_have_count(1)
    await page.keyboard.press("r")
    await expect(page.locator("tr.row")).to_have_count(2)
    await expect(page.locator("#newer")).to_be_hidden()
    await expect(page.locator(".fresh")).to_have_count(1)


async def test_an_emergency_inserts_itself_and_leaves_the_focus_where_it_was(page: Page, desk: RunningDesk) -> None:
    await measured(desk, "刘桂芬", 150, 92)
    await sign_in(page, desk)
    await page.keyboard.press("j")
    focused = await page.evaluate("document.activeElement.id")
    assert focused.startswith("item-")
    await measured(desk, "陈秀兰", 186, 112)
    await expect(page.locator("tbody.g-emg tr.row")).to_have_count(1)
    await expect(page.locator("#alarm")).to_contain_text("新危急：")
    assert await page.evaluate("document.activeElement.id") == focused
    await expect(page).to_have_title("(1) 危急 · 待办 - 随访")


async def test_who_lost_the_race_is_told_who_won_and_sees_no_name(page: Page, desk: RunningDesk) -> None:
    await measured(desk, "陈秀兰", 186, 112)
    await sign_in(page, desk)
    # this page hears nothing meanwhile: it still offers the claim
    await page.route(re.compile(r"/queue/changes|/items/\d+(/row)?\?shown="), lambda route: route.abort())
    async with desk.signed_in("zhang") as zhang:
        item = await page.locator("tr.row").get_attribute("data-id")
        csrf = token_in((await zhang.get("/queue")).text)
        await zhang.post(f"/items/{item}/claim", data={"csrf": csrf})
    await page.keyboard.press("c")
    await expect(page.locator("#toast")).to_contain_text("张敏")
    await expect(page.locator("#toast")).to_contain_text("已认领陈*兰")
    await expect(page.locator("tr.row.is-held")).to_contain_text("张敏")
    await expect(page.locator("body")).not_to_contain_text("陈秀兰")


async def test_single_keys_do_nothing_while_words_are_typed(page: Page, desk: RunningDesk) -> None:
    await measured(desk, "陈秀兰", 186, 112)
    await sign_in(page, desk)
    await page.keyboard.press("c")
    await expect(page.locator("tr.row.is-held")).to_have_count(1)
    await expect(page.locator("[aria-busy=true], .htmx-request")).to_have_count(0)
    note = page.locator("#note")
    await note.focus()
    await expect(note).to_be_focused()
    await page.keyboard.type("nceatr1/")
    await expect(note).to_have_value("nceatr1/")
    # an input method reports Enter with keyCode 229 while composing: the form must not go
    await note.evaluate(
        "e => e.dispatchEvent(new KeyboardEvent('keydown',"
        " {code: 'Enter', ctrlKey: true, keyCode: 229, isComposing: true, bubbles: true}))"
    )
    await expect(page.locator("tr.row.is-held")).to_have_count(1)


async def test_giving_back_puts_the_red_ground_back(page: Page, desk: RunningDesk) -> None:
    await measured(desk, "陈秀兰", 186, 112)
    await sign_in(page, desk)
    await page.keyboard.press("c")
    await expect(page.locator("tr.row.is-held")).to_have_count(1)
    await page.keyboard.press("c")
    await expect(page.locator("tr.row.is-emg:not(.is-held)")).to_have_count(1)
    await expect(page.locator("#pane")).not_to_contain_text("陈秀兰")


async def test_keys_lead_to_places_and_back(page: Page, desk: RunningDesk) -> None:
    await measured(desk, "陈秀兰", 186, 112)
    await sign_in(page, desk)
    await page.keyboard.press("Enter")
    await expect(page.locator("main.one")).to_be_visible()
    await ready(page)
    await page.keyboard.press("Escape")
    await expect(page.locator("#grid")).to_be_visible()
    await ready(page)
    await page.keyboard.press("g")
    await page.keyboard.press("r")
    await expect(page.locator("h1")).to_have_text("居民")
    await ready(page)
    await page.keyboard.press("/")
    await expect(page.locator("#find")).to_be_focused()
    await page.keyboard.press("Escape")
    await page.locator("h1").click()
    await page.keyboard.press("Shift+Slash")
    await expect(page.locator("#keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("F2")
    await expect(page.locator("#pane")).to_contain_text("陈秀兰")


async def test_a_server_that_is_gone_is_said_and_the_list_stays(
    page: Page, migrated_database_url: str, browser: Browser
) -> None:
    async with serving(desk_settings(migrated_database_url)) as desk:
        await desk.station.nurse("wang", "王护士")
        await measured(desk, "陈秀兰", 186, 112)
        await page.clock.install()
        await sign_in(page, desk)
        await expect(page.locator("#live")).to_have_text("实时")
    await page.clock.run_for(14_000)
    await expect(page.locator("#live")).to_have_text("连接中断")
    await page.clock.run_for(20_000)
    await expect(page.locator("#lost")).to_contain_text("实时更新已中断")
    await expect(page.locator("tr.row")).to_have_count(1)
    await page.clock.run_for(180_000)
    await expect(page.locator("#lost")).to_contain_text("请按纸质流程值守")
    assert (await page.title()).startswith("! 连接中断")


async def test_a_phone_shows_cards_without_sideways_scrolling(browser: Browser, desk: RunningDesk) -> None:
    await measured(desk, "陈秀兰", 186, 112)
    for width in (390, 320):
        context = await browser.new_context(viewport={"width": width, "height": 844}, locale="zh-CN")
        page = await context.new_page()
        await sign_in(page, desk)
        for path in ("/queue", "/residents"):
            await page.goto(desk.base + path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.goto(f"{desk.base}/queue")
        assert (await page.locator("tr.row button").bounding_box() or {})["height"] >= 44
        await page.locator("tr.row .why").click()
        await expect(page.locator("main.one")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await context.close()


async def test_an_open_item_page_changes_with_its_item_and_looks_at_it_only_then(page: Page, desk: RunningDesk) -> None:
    await measured(desk, "陈秀兰", 186, 112)
    await sign_in(page, desk)
    item = await page.locator("tr.row").get_attribute("data-id")
    await page.goto(f"{desk.base}/items/{item}")
    await expect(page.locator("#live")).to_have_text("实时")
    await measured(desk, "何玉英", 190, 114)
    await expect(page.locator(".strip")).to_contain_text("何*英")
    async with desk.station.transaction() as conn:
        looks = [entry for entry in await audit.entries(conn) if entry.action == "view_followup"]
    assert [entry.detail["followup"] for entry in looks] == [int(item or 0)] * 2
    async with desk.signed_in("zhang") as zhang:
        csrf = token_in((await zhang.get("/queue")).text)
        await zhang.post(f"/items/{item}/claim", data={"csrf": csrf})
    await expect(page.locator("#pane")).to_contain_text("张敏")


async def test_a_form_somebody_types_in_is_not_replaced_by_what_arrives(page: Page, desk: RunningDesk) -> None:
    await measured(desk, "陈秀兰", 186, 112)
    await sign_in(page, desk)
    await page.keyboard.press("c")
    await page.locator("#note").fill("in the middle of a")
    item = await page.locator("tr.row").get_attribute("data-id")
    # another reading of the same episode changes the item under the nurse's hands
    async with desk.station.transaction() as conn:
        await conn.execute("UPDATE monitor.followup SET repeats = repeats + 1 WHERE followup_id = %s", (item,))
        payload = f'{{"id": {item}, "event": "changed", "severity": "emergency"}}'
        await conn.execute("SELECT pg_notify('suifang_queue', %s)", (payload,))
    await expect(page.locator("tr.row")).to_contain_text("又 1 次")
    await expect(page.locator("#note")).to_have_value("in the middle of a")


async def test_a_form_is_not_replaced_by_an_answer_that_was_asked_for_before_it_came(
    page: Page, desk: RunningDesk
) -> None:
    await measured(desk, "陈秀兰", 186, 112)
    await sign_in(page, desk)
    await expect(page.locator("#live")).to_have_text("实时")
    item = await page.locator("tr.row").get_attribute("data-id")
    asked, typed = asyncio.Event(), asyncio.Event()

    async def claim(route: Route) -> None:
        await page.evaluate("htmx.trigger(document.body, 'check')")  # as when the stream opens just now
        await asked.wait()
        await route.continue_()

    async def look(route: Route) -> None:
        asked.set()
        await typed.wait()
        await route.fulfill(response=await route.fetch(url=re.sub("shown=[^&]*", "shown=before", route.request.url)))

    await page.evaluate(
        """item => { window.answered = new Promise(done => document.body.addEventListener("htmx:beforeSwap", event => {
            if (event.detail.pathInfo.finalRequestPath.startsWith(`/items/${item}?`)) setTimeout(done);
        })); }""",
        item,
    )
    await page.route(f"**/items/{item}/claim", claim)
    await page.route(f"**/items/{item}?shown=*", look)
    await page.keyboard.press("c")
    await page.locator("#note").fill("in the middle of a")
    typed.set()
    await page.evaluate("window.answered")
    await expect(page.locator("#note")).to_have_value("in the middle of a")


async def test_a_late_pane_does_not_cover_the_one_chosen_since(page: Page, desk: RunningDesk) -> None:
    for name in ("刘桂芬", "何玉英"):
        await measured(desk, name, 150, 92)
    await sign_in(page, desk)
    first, second = [await row.get_attribute("data-id") for row in await page.locator("tr.row").all()]
    held = asyncio.Event()

    async def later(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route(f"**/items/{second}", later)
    await page.keyboard.press("j")
    await expect(page.locator("#pane")).to_have_attribute("aria-busy", "true")
    await page.keyboard.press("k")
    held.set()
    await expect(page.locator("#pane [name=item]")).to_have_value(first or "")
    await expect(page.locator(f"#item-{first}")).to_have_attribute("aria-selected", "true")


async def test_a_key_for_the_pane_waits_until_it_shows_the_selected_item(page: Page, desk: RunningDesk) -> None:
    for name in ("刘桂芬", "何玉英"):
        await measured(desk, name, 150, 92)
    await sign_in(page, desk)
    second = await page.locator("tr.row").nth(1).get_attribute("data-id")
    await page.keyboard.press("j")
    await page.keyboard.press("t")
    await expect(page.locator("tr.row.is-held")).to_have_attribute("data-id", second or "")
    await expect(page.locator("tr.row.is-held")).to_have_count(1)

"""The whole way once, with nothing left out: a virtual cuff measures, and a nurse closes the follow-up by keyboard.

Cuff (Bluetooth, simulated radio) → gateway process → broker → ingest process → database → monitor process → web
process → a real browser.
"""

from __future__ import annotations

from datetime import UTC, datetime

from playwright.async_api import Page, expect

from devices.nomenclature import BLOOD_PRESSURE
from monitor import audit
from simulators.chain import Chain, chain
from simulators.cohort import cohort
from simulators.peripheral import Measurement

PATIENCE_MS = 60_000


async def record_of(running: Chain) -> list[tuple[str, str, str, str]]:
    """kind, state, outcome and who closed it, of every item."""
    async with running.connection() as conn:
        cursor = await conn.execute(
            "SELECT f.kind, f.state, f.outcome, u.login FROM monitor.followup f "
            "LEFT JOIN monitor.app_user u ON u.user_id = f.closed_by ORDER BY f.followup_id"
        )
        return await cursor.fetchall()


async def test_a_nurse_sees_an_emergency_arrive_and_closes_it_by_keyboard(page: Page) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    [chen, *_] = cohort(1, datetime.now(UTC).date())
    async with chain(people=(chen,)) as running:
        await page.goto(f"{running.web_url}/login")
        await expect(page.locator("#login")).to_be_focused()
        await page.keyboard.type(running.login)
        await page.keyboard.press("Tab")
        await page.keyboard.type(running.password)
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text("待办")
        await expect(page.locator("#grid tr.is-emg")).to_have_count(0)

        cuff = running.peripherals[chen.device("blood_pressure").uid]
        now = datetime.now(UTC)
        await cuff.measure(
            Measurement(kind=BLOOD_PRESSURE, values=(186.0, 112.0, 137.0, 88.0), unit="mm[Hg]", taken_at=now)
        )

        # it arrives on the open page, which nobody reloaded
        row = page.locator("tr.row.is-emg")
        await expect(row).to_have_count(1)
        await expect(row).to_contain_text("186/112")
        await expect(page.locator("#alarm")).to_contain_text("新危急")
        await expect(page).to_have_title("(1) 危急 · 待办 - 随访")
        await expect(row).not_to_contain_text(chen.name)

        # why: the next unclaimed item explains itself in the pane
        await page.keyboard.press("n")
        await expect(row).to_have_attribute("aria-selected", "true")
        pane = page.locator("#pane")
        await expect(pane).to_contain_text("到了危急线")
        await expect(pane).to_contain_text("二（二）(1)")
        await expect(pane.locator("svg.chart .oct")).to_have_count(1)
        await expect(pane).not_to_contain_text(chen.phone)

        # claim: the server decides, the name and the phone appear, the red ground goes
        await page.keyboard.press("c")
        held = page.locator("tr.row.is-emg.is-held")
        await expect(held).to_contain_text("我")
        await expect(pane).to_contain_text(chen.name)
        await expect(pane.locator("a[data-call]")).to_have_attribute("href", f"tel:{chen.phone}")
        await expect(page).to_have_title("待办 - 随访")

        # close: outcome by its digit, a note, Ctrl+Enter
        await page.keyboard.press("e")
        await page.keyboard.press("1")
        await expect(pane.get_by_label("已到站复测")).to_be_checked()
        await page.keyboard.press("Tab")
        await page.keyboard.type("cc 10:30 to the station, 142/86")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#toast")).to_contain_text("已关闭：已到站复测")
        await expect(page.locator("tr.row.is-ghost")).to_have_count(1)

        emergencies = [row for row in await record_of(running) if row[0] == "emergency"]
        assert emergencies == [("emergency", "closed", "reached_came_in", running.login)]
        async with running.connection() as conn:
            actions = [entry.action for entry in await audit.entries(conn)]
            assert await audit.verify(conn) is None
        assert {"view_followup", "followup_claimed", "followup_reached_came_in"} <= set(actions)

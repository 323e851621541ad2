"""Every page through axe-core, light and dark: nothing serious, nothing critical."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, expect

from devices.observation import Meal
from monitor.patients import Registered
from tests.fix_desk import PASSWORD, RunningDesk, cuff, scale, sugar

AXE = files("axe_playwright_python").joinpath("axe.min.js")


# a part that is being replaced is dimmed for that moment: looked at only when nothing on the page waits for an answer
LOOK = """async () => {
  const waiting = () => document.querySelector('[aria-busy="true"]');
  for (;;) {
    while (waiting()) await new Promise((then) => setTimeout(then, 20));
    let moved = false;
    const watch = new MutationObserver(() => { moved = true; });
    watch.observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-busy"] });
    const found = await axe.run({ resultTypes: ["violations"] });
    watch.disconnect();
    if (!moved || !found.violations.length) return found;
  }
}"""


async def violations(page: Page) -> list[str]:
    """What axe finds serious or critical on the page as it stands."""
    # the page's policy forbids foreign scripts, so the tool is brought in past it
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = await page.evaluate(LOOK)
    return [
        f"{each['id']}: {[node['html'][:120] for node in each['nodes']][:3]}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_no_page_has_a_serious_barrier(
    browser: Browser, desk: RunningDesk, theme: Literal["light", "dark"]
) -> None:
    now = datetime.now(UTC)
    subject = await desk.station.resident(
        "陈秀兰",
        devices=["ble:cuff-4F21", "ble:meter-A9C0", "ble:scale-7710"],
        allergies="青霉素",
        registers=(
            Registered(programme="hypertension", since=date(2019, 5, 1)),
            Registered(programme="diabetes", since=date(2021, 5, 1)),
        ),
    )
    await desk.station.resident("刘桂芬", devices=["ble:cuff-L1"])
    await desk.station.visit(subject, now - timedelta(days=30), 138, 84, 1)
    await desk.station.receive(
        *(cuff(now - timedelta(days=day), 138 + day, 82) for day in (2, 4, 6)),
        sugar(now - timedelta(days=2), 6.4),
        sugar(now - timedelta(days=1), 9.0, Meal.POSTPRANDIAL),
        scale(now - timedelta(days=2), 66.5),
        cuff(now - timedelta(minutes=2), 186, 112),
    )
    await desk.station.receive(cuff(now - timedelta(hours=1), 150, 92, device="ble:cuff-L1"))
    context = await browser.new_context(
        viewport={"width": 1366, "height": 768}, color_scheme=theme, locale="zh-CN", reduced_motion="reduce"
    )
    page = await context.new_page()
    await page.goto(f"{desk.base}/login")
    barriers = {"/login": await violations(page)}
    await page.fill("#login", "wang")
    await page.fill("#password", PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#pane .say")).to_be_visible()
    barriers["/queue"] = await violations(page)
    item = await page.locator("tr.row").first.get_attribute("data-id")
    for path in (f"/items/{item}", f"/residents/{subject}", "/residents", "/nothing"):
        await page.goto(desk.base + path)
        barriers[path] = await violations(page)
    await page.goto(f"{desk.base}/queue?item={item}")
    await expect(page.locator("body[data-ready]")).to_be_attached()
    await page.keyboard.press("c")
    await expect(page.locator("#close")).to_be_visible()
    barriers["claimed"] = await violations(page)
    await page.keyboard.press("Shift+Slash")
    barriers["keys"] = await violations(page)
    await context.close()
    assert {path: found for path, found in barriers.items() if found} == {}

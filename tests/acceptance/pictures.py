"""Pictures of the desk for the documents, taken of the real chain: `make pictures`.

The everyday scenario plays until an emergency stands unclaimed, then a Chromium looks at the queue in both languages
and at the resident whom the emergency is about. `--all FOLDER` takes every page as well, by PC, phone, dark and print.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, Page, async_playwright

from simulators import witness
from simulators.chain import Chain, chain
from simulators.cohort import cohort
from simulators.embedded import browser as chromium
from simulators.scenario import DEFAULT, load
from simulators.stage import ZONE, Stage
from simulators.truth import Ledger
from tests.acceptance import png

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
_PLAIN: Final = ("--disable-lcd-text", "--font-render-hinting=none")
"""Letters in shades of one colour: smaller, and the same on every machine."""
PLAYED_SECONDS: Final = 16
SETTLES_WITHIN_S: Final = 60
MOST_BYTES: Final = 200_000
PC: Final = {"width": 1366, "height": 768}
PHONE: Final = {"width": 390, "height": 844}


@contextlib.asynccontextmanager
async def everyday(seed: int = 1) -> AsyncIterator[Chain]:
    """A chain on which an ordinary morning has begun: a history, dues, and emergencies that nobody has claimed."""
    people = cohort(seed, datetime.now(ZONE).date())
    scenario = load(DEFAULT, people)
    async with chain(people=people, seed=seed, ble=False, history_days=scenario.history_days) as running:
        ledger = Ledger(running.folder / "truth.jsonl")
        async with Stage(running, scenario, seed=seed, ledger=ledger) as stage:
            await stage.import_history(datetime.now(UTC))
            if not await stage.history_stored(SETTLES_WITHIN_S):
                raise TimeoutError("the history is not stored")
            async with asyncio.timeout(SETTLES_WITHIN_S):
                await _judged(running)
            await stage.play(PLAYED_SECONDS)
            if not await stage.settle(SETTLES_WITHIN_S):
                raise TimeoutError("not everything sent is stored and judged")
            yield running
        ledger.close()


async def _judged(running: Chain) -> None:
    waiting = 1
    while waiting:
        await asyncio.sleep(0.2)
        async with running.connection() as conn:
            waiting = await witness.unjudged(conn)


@contextlib.asynccontextmanager
async def signed_in(browser: Browser, running: Chain, **how: Any) -> AsyncIterator[Page]:
    """A page of a fresh profile with the queue open; `how` as of Playwright's `new_context`."""
    options = {"viewport": PC, "locale": "zh-CN", "timezone_id": "Asia/Shanghai", "reduced_motion": "reduce"}
    context = await browser.new_context(**{**options, **how})
    page = await context.new_page()
    await page.goto(f"{running.web_url}/login")
    await page.fill("#login", running.login)
    await page.fill("#password", running.password)
    await page.keyboard.press("Enter")
    await page.locator("tr.row").first.wait_for()
    yield page
    await context.close()


async def take(running: Chain, folder: Path, browser: Browser) -> list[Path]:
    """The three pictures of the documents."""
    zh, en, resident = (folder / name for name in ("desk-zh.png", "desk-en.png", "resident-zh.png"))
    async with signed_in(browser, running) as page:
        await _picture(page, zh)
        await page.goto(f"{running.web_url}/language/en?back=/queue")
        await _picture(page, en)
        await page.goto(f"{running.web_url}/language/zh?back=/queue")
        await page.goto(await _about(page))
        await _picture(page, resident)
    return [zh, en, resident]


async def take_all(running: Chain, folder: Path, browser: Browser) -> None:
    """Every page by PC, phone and in the dark, and the queue and the resident on paper."""
    for name, how in {
        "pc": {},
        "dark": {"color_scheme": "dark"},
        "phone": {"viewport": PHONE, "has_touch": True, "is_mobile": True},
    }.items():
        async with signed_in(browser, running, **how) as page:
            if name == "phone":
                await page.goto(
                    f"{running.web_url}/items/{await page.locator('tr.row').first.get_attribute('data-id')}"
                )
            about = await _about(page)
            item = page.url if name == "phone" else f"{running.web_url}/items/{await _first(page)}"
            for what, address in {
                "queue": f"{running.web_url}/queue",
                "item": item,
                "resident": about,
                "residents": f"{running.web_url}/residents",
                "unassigned": f"{running.web_url}/unassigned",
                "keys": f"{running.web_url}/queue",
                "resident-en": f"{running.web_url}/language/en?back={about.removeprefix(running.web_url)}",
            }.items():
                await page.goto(address)
                if what == "keys":
                    await page.keyboard.press("Shift+Slash")
                await _picture(page, folder / f"{name}-{what}.png", whole=name == "phone")
            await page.goto(f"{running.web_url}/language/zh")
            if name == "pc":
                await page.goto(about)
                await page.pdf(path=folder / "resident.pdf", prefer_css_page_size=True)
                await page.goto(f"{running.web_url}/queue")
                await page.pdf(path=folder / "queue.pdf", prefer_css_page_size=True)
                await _work(page, folder)


async def _work(page: Page, folder: Path) -> None:
    """What claiming and closing look like."""
    await page.locator("body[data-ready]").wait_for()
    await page.keyboard.press("c")
    await page.locator("#close").wait_for()
    await _picture(page, folder / "pc-claimed.png")
    await page.goto(await _about(page))
    await _picture(page, folder / "pc-claimed-resident.png")
    await page.go_back()
    await page.locator("#close").wait_for()
    await page.locator("body[data-ready]").wait_for()
    await page.keyboard.press("e")
    await page.keyboard.press("1")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Control+Enter")
    await page.locator("tr.is-ghost").wait_for()
    await _picture(page, folder / "pc-closed.png")
    await page.locator("tr.is-ghost .why").click()
    await page.locator("#pane[aria-busy]").wait_for(state="detached")
    await asyncio.sleep(1)
    await _picture(page, folder / "pc-closed-pane.png")


async def _first(page: Page) -> str:
    return await page.locator("tr.row").first.get_attribute("data-id") or ""


async def _about(page: Page) -> str:
    link = page.locator('#pane a[href^="/residents/"]').first
    return await link.evaluate("link => link.href")


async def _picture(page: Page, path: Path, *, whole: bool = False) -> None:
    await page.evaluate("document.fonts.ready")
    picture = await page.screenshot(animations="disabled", full_page=whole)
    await asyncio.to_thread(path.write_bytes, png.smaller(picture))


async def run(folder: Path, *, everything: bool) -> None:
    """Start the chain, look, stop it."""
    async with everyday() as running, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=[*chromium.FLAGS, *_PLAIN])
        if everything:
            await take_all(running, folder, browser)
        else:
            for path in await take(running, folder, browser):
                size = path.stat().st_size
                sys.stdout.write(f"{path} {size} bytes\n")
                if size > MOST_BYTES:
                    raise ValueError(f"{path.name} has {size} bytes, more than {MOST_BYTES}")
        await browser.close()


def main() -> None:
    """`--all FOLDER`: every page to look at, else the pictures of the documents."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every page, into this folder")
    chosen = parser.parse_args()
    folder = chosen.all or IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(run(folder, everything=chosen.all is not None))


if __name__ == "__main__":
    main()

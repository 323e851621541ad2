"""The browser of the acceptance tests shows what a nurse's browser would: scripts run, Chinese is legible."""

from __future__ import annotations

import pytest
from playwright.async_api import Page

from monitor.web import assets
from simulators.embedded import browser as chromium
from simulators.embedded.errors import NoBrowser


async def test_chinese_characters_are_drawn_and_not_boxed(page: Page) -> None:
    await page.set_content('<html lang="zh-CN"><body><b>随</b><b>访</b><b>囗</b></body></html>')
    # without a Chinese font every unknown character is the same box, and nothing complains
    pictures = {await page.locator("b").nth(index).screenshot() for index in range(3)}
    assert len(pictures) == 3


async def test_the_vendored_scripts_run(page: Page) -> None:
    await page.set_content("<html><body></body></html>")
    for path in assets.ensure():
        await page.add_script_tag(content=path.read_text(encoding="utf-8"))
    assert await page.evaluate("htmx.version") == "2.0.10"


def test_a_missing_browser_is_said_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUIFANG_BROWSER", "/no/such/chromium")
    with pytest.raises(NoBrowser, match=r"apt-get install .*chromium-headless-shell"):
        chromium.find()

"""A browser to look at pages with: a real Chromium without a window, driven by Playwright.

As root `make test` installs it, so that its absence is an error; an ordinary user cannot, and such tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from simulators.embedded import browser as chromium
from simulators.embedded.errors import NoBrowser


@pytest.fixture(scope="session")
def chromium_program() -> Path:
    """Where Chromium is."""
    try:
        return chromium.find()
    except NoBrowser as missing:
        if os.geteuid() == 0:
            raise
        pytest.skip(f"{missing}; then this test runs")


@pytest.fixture
async def browser(chromium_program: Path) -> AsyncIterator[Browser]:
    """A Chromium of this test's own (about a second): Playwright's objects belong to one event loop."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=chromium_program, args=list(chromium.FLAGS))
        yield running
        await running.close()


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page of a fresh profile, 1440 by 900, Chinese. An uncaught error in the page's scripts fails the test."""
    context = await browser.new_context(
        viewport={"width": 1440, "height": 900}, locale="zh-CN", timezone_id="Asia/Shanghai"
    )
    opened = await context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    await context.close()
    assert complaints == []

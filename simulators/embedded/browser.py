"""Chromium, found on this machine: to look at pages as a nurse does.

Debian's chromium-headless-shell is enough; Playwright drives it by its path and needs no browser of its own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from simulators.embedded.errors import NoBrowser

INSTALL: Final = "apt-get install --no-install-recommends chromium-headless-shell fonts-wqy-microhei libatomic1"
FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # Chromium's own sandbox does not start as root, nor where the kernel keeps user namespaces shut
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES: Final = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find() -> Path:
    """The Chromium of this machine, `SUIFANG_BROWSER` first. NoBrowser: with the line that installs one."""
    chosen = os.environ.get("SUIFANG_BROWSER")
    for name in (chosen,) if chosen else _NAMES:
        if path := shutil.which(name):
            return Path(path)
    raise NoBrowser(f"no Chromium {f'at {chosen}' if chosen else 'on this machine'}; as root: {INSTALL}")

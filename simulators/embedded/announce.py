"""One line of progress at a time, on standard error, with the seconds since the work began."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Announce = Callable[[str], None]


def to_stderr(prefix: str = "embedded") -> Announce:
    """An `Announce` that writes `prefix [ 1.2 s] text` lines; its clock starts now."""
    began = time.monotonic()

    def announce(text: str) -> None:
        sys.stderr.write(f"{prefix} [{time.monotonic() - began:5.1f} s] {text}\n")
        sys.stderr.flush()

    return announce


def silent(text: str) -> None:
    """An `Announce` for callers that report for themselves."""
    del text

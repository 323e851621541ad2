"""The suite's fixtures, one subject a file: every server in them is real."""

from __future__ import annotations

pytest_plugins = [
    "tests.fix_bluetooth",
    "tests.fix_broker",
    "tests.fix_browser",
    "tests.fix_desk",
    "tests.fix_ingest",
    "tests.fix_monitor",
    "tests.fix_nats",
    "tests.fix_postgres",
]

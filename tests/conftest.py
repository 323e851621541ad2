"""The suite's fixtures, one subject a file: every server in them is real."""

from __future__ import annotations

import hypothesis

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

# a busy machine is no defect: how long an example takes is not what these tests are about
hypothesis.settings.register_profile("suifang", deadline=None)
hypothesis.settings.load_profile("suifang")

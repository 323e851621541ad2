"""`suifang-demo` as its users run it: every part real, the database compared with the ground truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_thirty_seconds_of_demo_lose_double_miss_and_invent_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "simulators.demo", "--seconds", "30", "--headless", "--json", "--seed", "11"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["lost"], found["duplicates"], found["misplaced"], found["altered"]) == (0, 0, 0, 0)
    assert (found["alerts"]["missed"], found["alerts"]["false"]) == (0, 0)
    assert found["alerts"]["raised"] == found["alerts"]["expected"] == 6
    assert found["quarantined"] == found["quarantine_expected"] == 3
    assert found["sent"] > 1500
    assert found["stored"] == found["sent"] - found["quarantined"]
    # the scenario delivers one record of a cuff and one reading of a hub three times
    assert found["redelivered"] >= 3
    assert found["radio"] == "Bumble"
    # each stage was measured; how long it took is for the benchmarks
    for stage in ("sent_to_stored_ble", "sent_to_stored_kiosk", "stored_to_alert", "sent_to_alert", "push_to_receipt"):
        assert 0 < found["latency_ms"][stage]["p50"] <= found["latency_ms"][stage]["p99"]
    assert "http://127.0.0.1:" in done.stderr
    assert "log in as nurse" in done.stderr

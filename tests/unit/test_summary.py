"""What is said at the end of a run: one object with the promised keys, and a line for each thing that went wrong."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

from rich.console import Console

from devices.nomenclature import BLOOD_PRESSURE, BODY_MASS, GLUCOSE_INTERSTITIAL, PULSE_OXIMETRY
from simulators.stage import ZONE
from simulators.summary import Account, DeviceLine, Snapshot, drawn, plain, spoken
from simulators.truth import Verdict
from simulators.witness import Counts

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
METER = 160184


def _verdict(**changes: object) -> Verdict:
    fields: dict[str, object] = {
        "sent": 10,
        "stored": 9,
        "duplicates": 0,
        "lost": 0,
        "altered": 0,
        "misplaced": 0,
        "quarantined": 1,
        "quarantine_expected": 1,
        "quarantine_missing": (),
        "quarantine_unexpected": (),
        "alerts_expected": 1,
        "alerts_raised": 1,
        "missed": (),
        "false": (),
        "lost_keys": (),
        "surplus_keys": (),
    }
    return Verdict(**{**fields, **changes})  # type: ignore[arg-type]


def _account(verdict: Verdict, *, settled: bool = True) -> Account:
    return Account(
        verdict=verdict,
        redelivered=4,
        republished=0,
        latency_ms={"sent_to_stored": {"p50": 20.0, "p99": 90.0}},
        seconds=31.26,
        seed=1,
        scenario="everyday",
        database="PostgreSQL 17.12, TimescaleDB 2.19.3 (apache)",
        broker="Mosquitto 2.0.21",
        radio="Bumble",
        settled=settled,
    )


def test_the_last_line_has_the_promised_keys() -> None:
    found = json.loads(json.dumps(_account(_verdict()).as_json()))
    promised = {"sent", "stored", "duplicates", "lost", "quarantined", "redelivered", "alerts", "latency_ms", "seconds"}
    assert promised <= found.keys()
    assert found["alerts"] == {"expected": 1, "raised": 1, "missed": 0, "false": 0}
    assert (found["ok"], found["seconds"]) == (True, 31.3)


def test_a_run_that_went_wrong_is_not_ok_and_says_why() -> None:
    account = _account(_verdict(lost=1, lost_keys=("eui64:1 #4",), missed=("R01 blood_pressure emergency",)))
    assert account.as_json()["ok"] is False
    assert account.complaints() == ["lost: eui64:1 #4", "alert missed: R01 blood_pressure emergency"]


def test_a_run_that_did_not_settle_is_not_ok() -> None:
    assert not _account(_verdict(), settled=False).right
    assert _account(_verdict(), settled=False).complaints()


def test_the_live_table_and_the_plain_line_show_the_same_numbers() -> None:
    line = DeviceLine(person="R01", label="模拟血压计 00EF", route="蓝牙", at=NOW, shown="186/112 ♥94")
    snapshot = Snapshot(
        at=NOW,
        seconds=12.3,
        sent=1776,
        waiting=1,
        expected_alerts=5,
        counts=Counts(1773, 4, 3, 3, 0, 5, {"emergency": (3, 1)}),
        devices=[line],
        happened=[(NOW, "R01 186/112")],
    )
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(drawn(snapshot, head="head", zone=ZONE))
    text = console.export_text()
    for shown in ("1776", "1773", "5/5", "危急 3", "186/112 ♥94", "09:00:00"):
        assert shown in text
    assert "sent 1776, stored 1773" in plain(snapshot)


def test_values_are_spoken_as_people_say_them() -> None:
    assert spoken(BLOOD_PRESSURE, (128.0, 79.0, 95.0, 66.0)) == "128/79 ♥66"
    assert spoken(METER, (3.1,)) == "3.1 mmol/L"
    assert spoken(METER, (6.0,)) == "6.0 mmol/L"
    assert spoken(METER, (None,), ("result-too-high",)) == "HI"
    assert spoken(METER, (18.9,), ("control-solution",)) == "18.9 mmol/L (质控液)"
    assert spoken(BLOOD_PRESSURE, (None, None, None, None)) == "–/– ♥–"
    assert spoken(PULSE_OXIMETRY, (95.0, 80.0, None)) == "95 % ♥80"
    assert spoken(BODY_MASS, (54.2, None, None)) == "54.2 kg"
    assert spoken(GLUCOSE_INTERSTITIAL, (104.0,)) == "104 mg/dL"

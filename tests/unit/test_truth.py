"""The comparison with the ground truth can fail: each planted fault is found, and named."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from devices.message import Reason
from devices.observation import Observation
from simulators.scenario import Alarm
from simulators.truth import (
    Fate,
    Ledger,
    Made,
    RaisedAlert,
    RefusedRow,
    StoredRow,
    Verdict,
    compare,
    made,
    milliseconds,
)

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
CUFF = "eui64:025346fffe0100ef"
EMERGENCY = Alarm("blood_pressure", "emergency")


def _entry(n: int, **changes: object) -> Made:
    observation = Observation(
        device=CUFF,
        kind=150020,
        values=(128.0, 78.0, 95.0, 70.0 + n),
        unit="mm[Hg]",
        measured_at=NOW + timedelta(minutes=n),
        device_at=datetime(2026, 3, 2, 9, n, 0),
        record_no=n,
    )
    entry = made(observation, at=NOW, person="R01", route="push")
    return Made(**{**{f: getattr(entry, f) for f in entry.__struct_fields__}, **changes})


ENTRIES = [_entry(n) for n in range(5)]


def _rows(entries: list[Made]) -> list[StoredRow]:
    return [StoredRow(entry.key, entry.values, entry.person, NOW) for entry in entries]


def _compare(
    rows: list[StoredRow],
    *,
    entries: list[Made] = ENTRIES,
    refused: tuple[RefusedRow, ...] = (),
    expected: dict[str, list[Alarm]] | None = None,
    raised: tuple[RaisedAlert, ...] = (),
) -> Verdict:
    return compare(entries, rows, refused, expected or {}, raised)


def test_a_chain_that_did_everything_right_is_right() -> None:
    verdict = _compare(
        _rows(ENTRIES), expected={"R01": [EMERGENCY]}, raised=(RaisedAlert("R01", EMERGENCY, NOW, None),)
    )
    assert verdict.right
    assert (verdict.sent, verdict.stored) == (5, 5)


def test_a_lost_reading_is_found() -> None:
    verdict = _compare(_rows(ENTRIES)[:-1])
    assert (verdict.lost, verdict.right) == (1, False)
    assert "#4" in verdict.lost_keys[0]


def test_a_reading_stored_twice_is_found() -> None:
    verdict = _compare([*_rows(ENTRIES), *_rows(ENTRIES[:1])])
    assert (verdict.duplicates, verdict.lost, verdict.right) == (1, 0, False)


def test_a_row_under_another_stamp_is_surplus_and_its_true_one_is_lost() -> None:
    rows = _rows(ENTRIES)
    moved = rows[0].key._replace(stamp=rows[0].key.stamp + timedelta(seconds=1))
    verdict = _compare([rows[0]._replace(key=moved), *rows[1:]])
    assert (verdict.duplicates, verdict.lost) == (1, 1)


def test_a_changed_value_is_found_and_the_precision_of_an_sfloat_is_not_a_change() -> None:
    rows = _rows(ENTRIES)
    assert _compare([rows[0]._replace(values=(128.001, 78.0, 95.0, 70.0)), *rows[1:]]).right
    assert _compare([rows[0]._replace(values=(128.0, 78.0, 95.0, None)), *rows[1:]]).altered == 1
    assert _compare([rows[0]._replace(values=(129.0, 78.0, 95.0, 70.0)), *rows[1:]]).altered == 1


def test_the_wrong_person_is_found() -> None:
    rows = _rows(ENTRIES)
    assert _compare([rows[0]._replace(person="R02"), *rows[1:]]).misplaced == 1
    assert _compare([rows[0]._replace(person=None), *rows[1:]]).misplaced == 1


def test_a_missed_and_a_false_alert_are_found_and_named() -> None:
    verdict = _compare(
        _rows(ENTRIES), expected={"R01": [EMERGENCY]}, raised=(RaisedAlert("R02", EMERGENCY, NOW, None),)
    )
    assert verdict.missed == ("R01 blood_pressure emergency",)
    assert verdict.false == ("R02 blood_pressure emergency",)
    assert not verdict.right


def test_the_same_alert_raised_twice_is_once_false() -> None:
    twice = (RaisedAlert("R01", EMERGENCY, NOW, None),) * 2
    verdict = _compare(_rows(ENTRIES), expected={"R01": [EMERGENCY]}, raised=twice)
    assert (verdict.alerts_raised, verdict.false) == (2, ("R01 blood_pressure emergency",))


def test_a_refused_reading_must_lie_in_quarantine_for_the_expected_reason() -> None:
    bad = _entry(9, fate=Fate.REFUSED, reason=Reason.FUTURE_TIME.value)
    entries, rows = [*ENTRIES, bad], _rows(ENTRIES)
    right = RefusedRow(Reason.FUTURE_TIME.value, CUFF, 9, "x")
    assert _compare(rows, entries=entries, refused=(right,)).right
    assert _compare(rows, entries=entries).quarantine_missing == (f"future-time {CUFF}#9",)
    wrong = _compare(rows, entries=entries, refused=(right._replace(reason="malformed"),))
    assert wrong.quarantine_unexpected == (f"malformed {CUFF}#9",)
    assert wrong.quarantine_missing == (f"future-time {CUFF}#9",)


def test_a_torn_message_is_known_by_its_digest() -> None:
    torn = _entry(9, fate=Fate.REFUSED, reason=Reason.MALFORMED.value, payload_sha256="ab12")
    row = RefusedRow(Reason.MALFORMED.value, "", 0, "ab12")
    assert _compare(_rows(ENTRIES), entries=[*ENTRIES, torn], refused=(row,)).right


def test_a_refused_reading_that_was_stored_all_the_same_is_surplus() -> None:
    bad = _entry(9, fate=Fate.REFUSED, reason=Reason.FUTURE_TIME.value)
    assert _compare([*_rows(ENTRIES), *_rows([bad])], entries=[*ENTRIES, bad]).duplicates == 1


def test_stamps_with_and_without_an_offset_name_the_same_moment() -> None:
    naive, aware = _entry(1), _entry(1, device_at=datetime(2026, 3, 2, 1, 1, tzinfo=UTC))
    assert naive.key == aware.key


def test_the_ledger_survives_in_its_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "truth.jsonl")
    for entry in ENTRIES:
        ledger.write(entry)
    ledger.close()
    assert Ledger.read(tmp_path / "truth.jsonl") == ENTRIES
    assert ledger.last[CUFF, "R01"] == ENTRIES[-1]


def test_percentiles_are_milliseconds_of_real_measurements() -> None:
    assert milliseconds([]) == {"p50": None, "p99": None}
    assert milliseconds([0.2, 0.1, 0.3]) == {"p50": 200.0, "p99": 300.0}


def test_the_truth_never_asks_the_rules_under_test() -> None:
    program = (
        "import sys, simulators.truth, simulators.scenario, simulators.timeline\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in {'monitor', 'ingest', 'gateway'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

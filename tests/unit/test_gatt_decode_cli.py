"""`suifang-decode` answers each line, whatever is in it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.decode_cli import answer, main

NOW = datetime(2026, 11, 22, tzinfo=UTC)
CUFF = '{"uuid": "2A35", "hex": "167c0056006100e807060f11111b33000800", "id": "a"}'


def answers(*lines: str, arguments: tuple[str, ...] = ()) -> tuple[int, list[dict[str, Any]]]:
    sink = io.BytesIO()
    status = main(list(arguments), io.BytesIO("\n".join(lines).encode()), sink)
    return status, [json.loads(line) for line in sink.getvalue().splitlines()]


def test_a_frame_becomes_its_values_with_code_name_and_unit() -> None:
    _, (found,) = answers(CUFF)
    first = found["observations"][0]
    assert (found["id"], found["ok"]) == ("a", True)
    assert {name: first[name] for name in ("code", "ref", "value", "unit", "absent")} == {
        "code": 150021,
        "ref": "MDC_PRESS_BLD_NONINV_SYS",
        "value": 124.0,
        "unit": "mm[Hg]",
        "absent": None,
    }
    assert first["facts"] == ["pulse-above-range"]
    assert found["fields"]["time_stamp"] == "2024-06-15T17:17:27"


def test_what_is_not_a_number_is_null_with_its_reason() -> None:
    _, (found,) = answers('{"uuid":"2A35","hex":"16ff07ff07ff07e80706170e230aff070000"}')
    assert {item["value"] for item in found["observations"]} == {None}
    assert {item["absent"] for item in found["observations"]} == {"not-a-number"}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nonsense", "MalformedMessage"),
        ("[]", "MalformedMessage"),
        ("{}", "MalformedMessage"),
        ('{"uuid":"2A35","hex":5}', "MalformedMessage"),
        ("[" * 5000, "MalformedMessage"),
        ('{"id":' + "[" * 5000, "MalformedMessage"),
        ('{"uuid":"2A35","hex":"0"}', "BadValue"),
        ('{"uuid":"2A35","hex":""}', "Truncated"),
        ('{"uuid":"2A35","hex":"167c00"}', "Truncated"),
        ('{"uuid":"FFF1","hex":"00"}', "UnknownCharacteristic"),
        ('{"uuid":"2A35","hex":"00","product":"none"}', "BadValue"),
        ('{"uuid":"SFLOAT","hex":"00"}', "Truncated"),
    ],
)
def test_a_bad_line_is_answered_and_the_next_one_too(line: str, error: str) -> None:
    status, found = answers(line, "", CUFF)
    assert (status, len(found)) == (0, 2)
    assert (found[0]["ok"], found[0]["error"]) == (False, error)
    assert found[1]["ok"]


def test_strict_says_so_in_the_exit_status() -> None:
    assert answers(CUFF, arguments=("--strict",))[0] == 0
    assert answers(CUFF, "nonsense", arguments=("--strict",))[0] == 1


def test_a_product_can_be_named() -> None:
    line = '{"uuid":"2A35","hex":"56770046000000ea07080b1439000057010040","product":"beurer-bm85"}'
    _, (found,) = answers(line)
    assert (found["fields"]["pulse_rate"], found["fields"]["flags"]) == (87.0, 0x56)


def test_files_are_read_in_order_and_a_missing_one_is_reported(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(CUFF, encoding="utf-8")
    status, found = answers(arguments=(str(tmp_path / "one"), str(tmp_path / "none")))
    assert (status, len(found)) == (2, 1)


@given(st.binary(max_size=60))
def test_any_line_has_an_answer(line: bytes) -> None:
    assert answer(line, NOW)["ok"] is False


@given(st.sampled_from(["2A35", "2A18", "2A52", "2A5F", "2AA7", "2A9D", "FLOAT"]), st.binary(max_size=30))
def test_any_frame_has_an_answer_that_is_json(uuid: str, data: bytes) -> None:
    _, (found,) = answers(json.dumps({"uuid": uuid, "hex": data.hex()}))
    assert found["ok"] is ("error" not in found)


def test_the_command_runs_as_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devices.decode_cli"], input=CUFF.encode(), capture_output=True, check=True, timeout=60
    )
    assert json.loads(done.stdout)["ok"]
    assert done.stderr == b""

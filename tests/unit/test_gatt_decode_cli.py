"""`suifang-decode` answers each line, whatever is in it."""

from __future__ import annotations

import io
import json
import signal
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


def test_an_interrupt_ends_it_without_a_trace() -> None:
    # whoever runs the tests in the background may have told all their processes to ignore an interrupt
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{heed}; from devices import decode_cli; raise SystemExit(decode_cli.main())"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdin.write(CUFF.encode() + b"\n")
        running.stdin.flush()
        assert json.loads(running.stdout.readline())["ok"]
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130
        assert running.stderr.read() == b""


def test_a_file_may_begin_as_windows_writes_it(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(CUFF, encoding="utf-8-sig")
    assert answers(arguments=(str(tmp_path / "one"),))[1][0]["ok"]


@pytest.mark.parametrize(
    ("uuid", "octets", "exact"),
    [
        ("2A1C", "00740e00fe", {"temperature": "37.00"}),
        ("2A1C", "0025000000", {"temperature": "37"}),
        ("2A35", "00780050f05df0", {"systolic": "120", "diastolic": "8.0", "mean_arterial_pressure": "9.3"}),
        ("SFLOAT", "0c10", {"value": "1.2E+2"}),
        ("SFLOAT", "ff07", None),
    ],
)
def test_the_precision_that_was_sent_is_shown(uuid: str, octets: str, exact: dict[str, str] | None) -> None:
    assert fields(uuid, octets).get("exact") == exact


def fields(uuid: str, octets: str) -> dict[str, Any]:
    _, (found,) = answers(json.dumps({"uuid": uuid, "hex": octets}))
    assert found["ok"], found
    taken: dict[str, Any] = found["fields"]
    return taken


@pytest.mark.parametrize(
    "octets", ["0x64", "0X64", "(0x) 64", " 64 ", "64"], ids=["0x", "0X", "as phones log it", "blanks", "plain"]
)
def test_octets_are_read_however_a_log_writes_them(octets: str) -> None:
    assert fields("2A19", octets) == {"level": 100}


@pytest.mark.parametrize("octets", ["e4-07-08-12-0b-2f-16", "E4:07:08:12:0B:2F:16", "e407 0812 0b2f 16"])
def test_octets_may_be_held_apart(octets: str) -> None:
    assert fields("2A08", octets) == {"date_time": "2020-08-18T11:47:22"}


@pytest.mark.parametrize("octets", ["0x", "6", "6g", "64-", "-64", "6-4", "64--64", "0x0x64"])
def test_what_is_no_octet_is_refused(octets: str) -> None:
    _, (found,) = answers(json.dumps({"uuid": "2A19", "hex": octets}))
    assert (found["ok"], found["field"]) == (False, "level" if octets == "0x" else "hex")


@pytest.mark.parametrize(
    ("uuid", "octets", "warned"),
    [
        ("2A19", "64", []),
        ("2A19", "6400", [("trailing", "1 octets after the last field: 00")]),
        ("2A35", "c0780050005d00", [("flags", "reserved bits 0xc0 are set")]),
        (
            "2A35",
            "80780050005d00aabb",
            [("flags", "reserved bits 0x80 are set"), ("trailing", "2 octets after the last field: aabb")],
        ),
        ("2A9C", "00e0c800", [("flags", "reserved bits 0xe000 are set")]),
        ("2A60", "fc00", []),
        ("2A60", "0081", [("flags", "reserved bits 0x8100 are set")]),
        ("2A52", "0101ff", [("trailing", "1 octets after the last field: ff")]),
        ("2AA7", "06000c10050007080c100600ff", [
            ("records[1].flags", "reserved bits 0x08 are set"),
            ("records[1].trailing", "1 octets after the last field: ff"),
        ]),
    ],
)  # fmt: skip
def test_what_a_frame_has_too_much_of_is_warned_of(uuid: str, octets: str, warned: list[tuple[str, str]]) -> None:
    _, (found,) = answers(json.dumps({"uuid": uuid, "hex": octets}))
    assert found["ok"]
    assert [(one["field"], one["detail"]) for one in found.get("warnings", [])] == warned


def test_the_help_shows_a_line_in_and_a_line_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert '{"uuid": "2A35", "hex": ' in shown
    assert '"odd"' in shown


def test_what_it_can_read_is_listed() -> None:
    status, found = answers(arguments=("--list",))
    names = {one["uuid"]: one["name"] for one in found}
    assert (status, names["2A35"], names["2A5F"]) == (0, "Blood Pressure Measurement", "Plx Continuous Measurement")
    assert {"2A52", "2B8B", "ADV:181D", "SFLOAT"} <= names.keys()


def test_an_unknown_characteristic_says_where_the_known_ones_are() -> None:
    _, (found,) = answers('{"uuid":"2AFF","hex":"00"}')
    assert found["error"] == "UnknownCharacteristic"
    assert "--list" in found["detail"]


def test_a_calibration_is_shown_by_its_names() -> None:
    assert fields("2AAC", "0601200a00321400010004")["calibration"] == {
        "concentration": 100.0,
        "time": 10,
        "type": 2,
        "sample_location": 3,
        "next_time": 20,
        "record_number": 1,
        "status": 4,
        "exact": {"concentration": "1E+2"},
    }


def test_a_recorded_pressure_is_shown_inside_its_record() -> None:
    found = fields("2B36", "030100352a00780050005d00")
    assert (found["recorded"]["systolic"], found["recorded"]["unit"]) == (120.0, "mm[Hg]")


def test_a_health_observation_is_shown_inside_its_segment() -> None:
    found = fields("2B8B", "03 01 1500 0300 5c4b0200 2220a0bf351900 0120 a017 6e0100ff")
    observation = found["observation"]
    assert observation["type"] == 150364
    assert observation["content"] == {"unit": 6048, "value": 36.6, "exact": {"value": "36.6"}}
    assert observation["time"] == {"flags": 0x22, "elapsed": 0x1935BFA020, "source": 1, "offset": 32}


@pytest.mark.parametrize(
    ("uuid", "octets", "field"),
    [("2B36", "030100352a007800", "diastolic"), ("2B8B", "03010300", "class"), ("2B8B", "030118000b00", "type")],
)
def test_a_whole_value_in_one_segment_that_cannot_be_read_is_refused(uuid: str, octets: str, field: str) -> None:
    _, (found,) = answers(json.dumps({"uuid": uuid, "hex": octets}))
    assert (found["ok"], found["field"]) == (False, field)


def test_a_segment_of_several_is_no_error() -> None:
    assert fields("2B36", "010100352a007800")["segment"] == "007800"


@pytest.mark.parametrize("octets", ["", "fe"])
def test_a_frame_without_flags_does_not_speak_of_flags(octets: str) -> None:
    _, (found,) = answers(json.dumps({"uuid": "2A21", "hex": octets}))
    assert found["detail"] == f"interval: the frame has {len(octets) // 2} octets, its fields take 2"

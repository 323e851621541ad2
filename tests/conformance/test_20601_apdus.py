"""Public APDUs decode to what an independent reader made of them, and encode back to the same octets.

`apdus_20601.jsonl` is our own copy. A set of the same shape is read from `../shared/vectors`, a folder beside the
repository, where there is one.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devices.decode_cli import answer
from devices.ieee11073 import apdu

HERE = Path(__file__).parent
BESIDE = HERE.parents[1].parent / "shared" / "vectors" / "ieee11073-20601.jsonl"
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


ROWS = rows(HERE / "apdus_20601.jsonl")
HEX = {row["id"]: row["hex"] for row in ROWS}


def named(found: list[dict[str, Any]], key: str = "id") -> list[Any]:
    return [pytest.param(row, id=row[key]) for row in found]


def asked(octets: str, config: str | None = None) -> dict[str, Any]:
    line = {"apdu": octets} if config is None else {"apdu": octets, "config": config}
    return msgspec.json.decode(msgspec.json.encode(answer(msgspec.json.encode(line), NOW)))


def check(found: Any, expected: Any, where: str = "") -> None:
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert name in found, f"{where}.{name}"
            check(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, (one, wanted) in enumerate(zip(found, expected, strict=True)):
            check(one, wanted, f"{where}[{index}]")
    else:
        assert found == expected, where


@pytest.mark.parametrize("row", named([row for row in ROWS if "fields" in row]))
def test_a_public_apdu_decodes_to_what_an_independent_reader_says(row: dict[str, Any]) -> None:
    found = asked(row["hex"])
    assert found["ok"], found
    check(found["fields"], row["fields"])


@pytest.mark.parametrize("row", named([row for row in ROWS if "fields" in row]))
def test_a_public_apdu_encodes_back_to_its_octets(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["hex"])
    assert apdu.encode(apdu.decode(data)) == data


@pytest.mark.parametrize("row", named([row for row in ROWS if "error" in row]))
def test_a_data_apdu_without_its_frame_is_no_apdu(row: dict[str, Any]) -> None:
    found = asked(row["hex"])
    assert (found["ok"], found["error"]) == (False, row["error"])


@pytest.mark.parametrize("row", named([row for row in ROWS if "values" in row]))
def test_a_public_report_holds_its_values_under_its_configuration(row: dict[str, Any]) -> None:
    found = asked(row["hex"], HEX[row["config"]])
    values = {str(item["code"]): item["value"] for item in found["observations"]}
    assert values == row["values"]


def test_a_report_under_a_standard_configuration_keeps_what_that_does_not_have_as_octets() -> None:
    found = asked(HEX["H241"], "05DC")
    assert [(item["code"], item["value"], item["unit"]) for item in found["observations"]] == [(188736, 62.4, "kg")]
    known, unknown = found["fields"]["event-info"]["obs"]
    assert known["attrs"] == {"NU_VAL_OBS_SIMP": 62.4, "TIME_STAMP_ABS": "2007-02-01T12:10:00.00"}
    assert unknown["raw"] == "ff0001002007020112100000"


def test_without_a_configuration_a_report_has_octets_and_no_observation() -> None:
    found = asked(HEX["H241"])
    assert found["observations"] == []
    assert found["fields"]["event-info"]["count"] == 2


@pytest.mark.parametrize(
    ("config", "error"),
    [("0ABC", "UnknownConfiguration"), ("zz", "BadValue"), ("02", "Truncated"), (HEX["H232"], "BadValue")],
)
def test_a_configuration_that_is_none_is_refused(config: str, error: str) -> None:
    found = asked(HEX["H241"], config)
    assert (found["ok"], found["error"]) == (False, error)


def test_a_report_shorter_than_its_map_names_the_attribute() -> None:
    short = "e7000020001e0001010100180000ffffffff0d1d000ef00000000001000600010002ff00"
    found = asked(short, "05DC")
    assert (found["error"], found["field"]) == ("Truncated", "nu-val-obs-simp")


@pytest.mark.skipif(not BESIDE.is_file(), reason="put ieee11073-20601.jsonl into ../shared/vectors to run this")
@pytest.mark.parametrize("row", named(rows(BESIDE), "name"))
def test_a_vector_of_the_shared_set_agrees(row: dict[str, Any]) -> None:
    config = "05DC" if row["name"] == "H241" else None
    found = asked(row["hex"], config)
    assert found["ok"] is row["outer_length_ok"], found
    if found["ok"]:
        assert apdu.encode(apdu.decode(bytes.fromhex(row["hex"]))).hex() == row["hex"]
        check_loosely(found["fields"], row["annot"])


def check_loosely(found: Any, expected: Any, where: str = "") -> None:
    """The other reader leaves as octets what we read; only that may differ."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            check_loosely(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for one, wanted in zip(found, expected, strict=True):
            check_loosely(one, wanted, where)
    elif isinstance(expected, str) and isinstance(found, str):
        assert found == expected.rstrip("\0") or set(expected) <= set("0123456789abcdef"), where
    else:
        assert found == expected or isinstance(expected, str), where

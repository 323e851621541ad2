"""The 2011 edition's decisions, case by case: our own cases always, the shared vectors where they are at hand."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.judge_cli import judge
from monitor.programme import load_packs

CASES = yaml.safe_load((Path(__file__).parent / "rule_cases_2011.yaml").read_text(encoding="utf-8"))
SHARED = Path(os.environ.get("SUIFANG_VECTORS", Path(__file__).parents[3] / "shared" / "vectors"))
VECTORS = SHARED / "rule-cases-2011.jsonl"
PACKS = load_packs("2011")
PROGRAMMES = {"hypertension", "hypertension_screening", "diabetes", "diabetes_screening"}


def entry(programme: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the case file leaves out, from its templates."""
    if "kind" in given:
        return CASES["readings"][given["kind"]] | given
    if given.get("type", "visit") != "visit":
        return given
    return CASES["visits"][given.get("programme", programme)] | given


def written_out() -> Iterator[Any]:
    for case in CASES["cases"]:
        programme = case["programme"]
        people = case.get("people") or [case.get("patient") or CASES["people"][programme]]
        histories = case.get("histories") or [case.get("history", [])]
        inputs = case.get("variants") or [case.get("input", {})]
        number = 0
        for patient in people:
            for history in histories:
                for given in inputs:
                    number += 1
                    line = {
                        "id": f"{case['id']} {number}",
                        "programme": programme,
                        "patient": patient,
                        "history": [entry(programme, past) for past in history],
                        "input": entry(programme, given),
                        "expect": case["expect"],
                        "clause": case["clause"],
                    }
                    yield pytest.param(line, id=line["id"])


def answer_to(line: str) -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    code = judge([line], out, "2011", PACKS)
    return code, json.loads(out.getvalue())


@pytest.mark.parametrize("case", list(written_out()))
def test_the_pack_decides_as_the_edition_says(case: dict[str, Any]) -> None:
    code, answer = answer_to(json.dumps(case, ensure_ascii=False, default=str))
    assert answer.get("ok") is True, answer.get("differs", answer)
    assert code == 0


def shared_cases() -> Iterator[Any]:
    if not VECTORS.exists():
        yield pytest.param(
            "",
            id="vectors",
            marks=pytest.mark.skip(reason="set SUIFANG_VECTORS to the folder of rule-cases-2011.jsonl"),
        )
        return
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        if case.get("programme") in PROGRAMMES:
            yield pytest.param(line, id=case["id"])


@pytest.mark.parametrize("line", list(shared_cases()))
def test_the_shared_case_is_decided_as_expected_or_declared_open(line: str) -> None:
    case = json.loads(line)
    code, answer = answer_to(line)
    assert answer["ok"] is (None if case["ambiguity"] == "open" else True), answer
    assert code == 0


def test_a_wrong_expectation_is_reported_and_sets_the_exit_code() -> None:
    case = next(written_out()).values[0] | {"expect": {"finding": "ht.satisfactory"}}
    code, answer = answer_to(json.dumps(case, ensure_ascii=False, default=str))
    assert (code, answer["ok"]) == (1, False)
    assert answer["differs"] == {"finding": {"expected": "ht.satisfactory", "got": "ht.unsatisfactory"}}


def test_a_convention_of_others_is_neither_right_nor_wrong() -> None:
    case = next(written_out()).values[0] | {"expect": {"visit_class": 4}, "ambiguity": "convention"}
    code, answer = answer_to(json.dumps(case, ensure_ascii=False, default=str))
    assert (code, answer["ok"]) == (0, None)

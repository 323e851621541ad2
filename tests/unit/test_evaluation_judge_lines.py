"""`judge` goes on after a bad line and says where it was bad; its keys are always the same."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from monitor.judge_cli import judge, register
from monitor.programme import load_packs

PACKS = load_packs("2011")
KEYS = {"id", "programme", "finding", "action", "visit_class", "due", "due_kind", "rule", "clause", "findings"}
GOOD = {
    "id": "a",
    "programme": "hypertension",
    "patient": {"age": 60, "registers": ["hypertension"]},
    "history": [],
    "input": {"type": "visit", "date": "2026-03-02", "mode": 1, "sbp": 150, "dbp": 80},
}


def answers(*lines: object) -> tuple[int, list[dict[str, object]]]:
    out = io.StringIO()
    code = judge([line if isinstance(line, str) else json.dumps(line) for line in lines], out, "2011", PACKS)
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_header_and_empty_lines_are_no_cases() -> None:
    code, found = answers({"id": "HEADER", "kind": "header"}, "", GOOD)
    assert code == 0
    assert [answer["id"] for answer in found] == ["a"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"input": {"type": "visit", "mode": 1}}, "input.date"),
        ({"input": {"type": "visit", "date": "2026-02-30"}}, "input.date"),
        ({"input": {"type": "visit", "date": "2026-03-02", "sbp": "150"}}, "input.sbp"),
        ({"input": {"type": "visit", "date": "2026-03-02", "sbp": True}}, "input.sbp"),
        ({"input": {"type": "visit", "date": "2026-03-02", "sbp": 150, "unit": "psi"}}, "input.unit"),
        ({"input": {"type": "visit", "date": "2026-03-02", "mode": 4}}, "input.mode"),
        ({"input": {"type": "visit", "date": "2026-03-02", "complication": "some"}}, "input.complication"),
        ({"input": {"type": "visit", "date": "2026-03-02", "adverse_reaction": 3}}, "input.adverse_reaction"),
        ({"input": {"type": "visit", "date": "2026-03-02", "emergency_signs": "coma"}}, "input.emergency_signs"),
        ({"input": {"type": "reading", "date": "2026-03-02"}}, "input.kind"),
        ({"input": {"type": "reading", "date": "2026-03-02", "kind": "glucose", "value": 110}}, "input.unit"),
        ({"input": {"type": "dance", "date": "2026-03-02"}}, "input.type"),
        ({"input": {"type": "year_review", "year": "2026"}}, "input.year"),
        ({"input": []}, "input.type"),
        ({"history": {}}, "input"),
        ({"history": [{"type": "visit", "date": "soon"}]}, "history[0].date"),
        ({"patient": {"age": -1}}, "patient.age"),
        ({"patient": {"birth_date": 1966}}, "patient.birth_date"),
        ({"patient": {"registers": "hypertension"}}, "patient.registers"),
        ({"programme": None}, "programme"),
    ],
)
def test_a_bad_line_is_answered_with_its_field_and_the_next_is_judged(change: dict[str, object], field: str) -> None:
    if change == {"history": {}}:
        change, field = {"history": {"a": 1}}, "history"
    code, (bad, good) = answers(GOOD | change, GOOD)
    assert (bad["line"], bad["field"]) == (1, field)
    assert bad["error"]
    assert good["finding"] == "ht.unsatisfactory"
    assert code == 2


def test_what_is_not_json_is_answered_too() -> None:
    code, (bad, _) = answers("{", GOOD)
    assert bad["line"] == 1
    assert "not JSON" in str(bad["error"])
    assert code == 2


def test_a_programme_without_a_pack_is_said_and_is_no_failure() -> None:
    code, (answer,) = answers(GOOD | {"programme": "child", "expect": {"managed": True}})
    assert answer == {"id": "a", "programme": "child", "error": "no pack", "ok": None, "why": "no pack"}
    assert code == 0


def test_every_answer_has_the_same_flat_keys() -> None:
    year = GOOD | {"input": {"type": "year_review", "year": 2026}}
    nothing = GOOD | {"input": {"type": "visit", "date": "2026-03-02"}}
    for answer in answers(GOOD, year, nothing)[1]:
        assert answer.keys() >= KEYS


def test_a_key_left_out_of_a_visit_is_named_as_assumed() -> None:
    (answer,) = answers(GOOD)[1]
    assert answer["assumed"] == ["adverse_reaction", "complication"]


def test_not_a_number_in_json_is_an_absent_value() -> None:
    line = json.dumps(GOOD).replace("150", "NaN")
    (answer,) = answers(line)[1]
    assert (answer["finding"], answer["missing"]) == ("none", ["sbp"])


def test_each_finding_explains_itself() -> None:
    (answer,) = answers(GOOD)[1]
    (finding,) = answer["findings"]
    assert finding["rule"] == "ht.unsatisfactory.first"
    assert finding["clause"].startswith("高血压患者健康管理服务规范 二（三）(2)")
    assert finding["thresholds"][0] | {"clause": ""} == {
        "fact": "sbp",
        "op": ">=",
        "limit": 140,
        "unit": "mm[Hg]",
        "clause": "",
    }
    assert finding["sentence"]["zh"].endswith("第一次不满意，2026-03-16 前随访。")


def test_the_command_reads_a_file_or_standard_input(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    file = tmp_path / "cases.jsonl"
    file.write_text(json.dumps(GOOD | {"expect": {"visit_class": 1}}) + "\n", encoding="utf-8")
    from_file = CliRunner().invoke(app, ["judge", str(file)])
    assert from_file.exit_code == 1
    from_input = CliRunner().invoke(app, ["judge"], input=json.dumps(GOOD))
    assert json.loads(from_input.output)["visit_class"] == 2
    assert CliRunner().invoke(app, ["judge", str(file), "--edition", "1999"]).exit_code == 2


@pytest.mark.parametrize(
    ("patient", "history"),
    [
        ({"birth_date": "1974-01-15", "age": 52, "registers": []}, []),
        ({"age": 52, "registers": []}, [{"type": "attendance", "date": "2026-02-20"}]),
    ],
)
def test_a_diagnosis_without_a_date_is_of_the_latest_day_known(
    patient: dict[str, object], history: list[object]
) -> None:
    case = {
        "id": "b",
        "programme": "hypertension_screening",
        "patient": patient,
        "history": history,
        "input": {"type": "confirmation", "result": "confirmed_primary"},
        "expect": {"action": "enrol_hypertension"},
    }
    assert answers(case)[1][0]["ok"] is True


def test_a_young_person_is_not_enrolled() -> None:
    case = {
        "id": "c",
        "programme": "hypertension_screening",
        "patient": {"age": 30, "registers": []},
        "input": {"type": "confirmation", "date": "2026-03-02", "result": "confirmed_primary"},
    }
    assert answers(case)[1][0]["action"] == "none"

"""The words at a boundary are true: at the limit, one step under and one step over."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evaluation import evaluate
from monitor.evaluation_record import Measured, Record, RecordKind, Resident
from monitor.programme import load_packs
from monitor.sentences import number_text

PACKS = {pack.programme: pack for pack in load_packs("2011")}
DAY = date(2026, 3, 2)
TRUE_WORDS = {
    ">=": ("不低于", "at or above"),
    ">": ("超过", "above"),
    "<=": ("不高于", "at or below"),
    "<": ("低于", "below"),
}


def visit(programme: str, **quantities: str) -> Record:
    units = {"sbp": "mm[Hg]", "dbp": "mm[Hg]", "glucose": "mmol/L", "body_temperature": "Cel", "heart_rate": "/min"}
    return Record(
        kind=RecordKind.VISIT,
        on=DAY,
        programme=programme,
        quantities={name: Measured(Decimal(value), units[name]) for name, value in quantities.items()},
        choices={"glucose_context": "fasting", "complication": "none"},
        flags={"sustained_tachycardia": True},
    )


@pytest.mark.parametrize(
    ("programme", "values", "rule", "zh", "en"),
    [
        (
            "hypertension",
            {"sbp": "179", "dbp": "80"},
            "ht.unsatisfactory.first",
            "收缩压不低于 140 mmHg",
            "systolic at or above 140 mmHg",
        ),
        (
            "hypertension",
            {"sbp": "180", "dbp": "80"},
            "ht.emergency",
            "收缩压不低于 180 mmHg",
            "systolic at or above 180 mmHg",
        ),
        (
            "hypertension",
            {"sbp": "181", "dbp": "80"},
            "ht.emergency",
            "收缩压不低于 180 mmHg",
            "systolic at or above 180 mmHg",
        ),
        (
            "hypertension",
            {"sbp": "139", "dbp": "89"},
            "ht.satisfactory",
            "舒张压低于 90 mmHg",
            "diastolic below 90 mmHg",
        ),
        (
            "hypertension",
            {"sbp": "139", "dbp": "90"},
            "ht.unsatisfactory.first",
            "舒张压不低于 90 mmHg",
            "diastolic at or above 90 mmHg",
        ),
        ("diabetes", {"glucose": "3.8"}, "dm.emergency", "血糖不高于 3.9 mmol/L", "glucose at or below 3.9 mmol/L"),
        ("diabetes", {"glucose": "3.9"}, "dm.emergency", "血糖不高于 3.9 mmol/L", "glucose at or below 3.9 mmol/L"),
        ("diabetes", {"glucose": "4.0"}, "dm.satisfactory", "血糖低于 7.0 mmol/L", "glucose below 7.0 mmol/L"),
        (
            "diabetes",
            {"glucose": "7.0"},
            "dm.unsatisfactory.first",
            "血糖不低于 7.0 mmol/L",
            "glucose at or above 7.0 mmol/L",
        ),
        ("diabetes", {"glucose": "16.7"}, "dm.emergency", "血糖不低于 16.7 mmol/L", "glucose at or above 16.7 mmol/L"),
        (
            "diabetes",
            {"glucose": "6.0", "body_temperature": "39.1"},
            "dm.emergency",
            "体温 39.1 ℃，超过 39.0 ℃",
            "temperature 39.1 °C, above 39.0 °C",
        ),
        (
            "diabetes",
            {"glucose": "6.0", "heart_rate": "101"},
            "dm.emergency",
            "心率 101 次/分，超过 100 次/分",
            "heart rate 101 /min, above 100 /min",
        ),
    ],
)
def test_the_sentence_names_the_line_that_was_met(
    programme: str, values: dict[str, str], rule: str, zh: str, en: str
) -> None:
    (finding,) = evaluate(PACKS[programme], Resident(age=60), (), visit(programme, **values)).findings
    assert finding.rule == rule
    assert zh in finding.sentence_zh
    assert en in finding.sentence_en


@pytest.mark.parametrize("values", [{"body_temperature": "39.0"}, {"body_temperature": "38.9"}, {"heart_rate": "100"}])
def test_at_a_line_that_must_be_passed_there_is_no_emergency(values: dict[str, str]) -> None:
    judged = evaluate(PACKS["diabetes"], Resident(age=60), (), visit("diabetes", glucose="6.0", **values))
    assert judged.finding == "dm.satisfactory"


@given(
    st.decimals(min_value=60, max_value=260, places=3), st.sampled_from([Decimal(90), Decimal(140), Decimal("18.665")])
)
def test_a_rounded_number_never_crosses_the_line_it_is_compared_with(value: Decimal, limit: Decimal) -> None:
    shown = Decimal(number_text(value, "mm[Hg]", against=limit))
    assert shown.compare(limit) == value.compare(limit)
    assert abs(shown - value) < Decimal("0.01")


@given(st.integers(100, 220), st.integers(50, 95))
def test_each_threshold_of_a_finding_is_truly_met_and_said_in_both_languages(sbp: int, dbp: int) -> None:
    judged = evaluate(PACKS["hypertension"], Resident(age=60), (), visit("hypertension", sbp=str(sbp), dbp=str(dbp)))
    for finding in judged.findings:
        for threshold in finding.thresholds:
            value = {"sbp": sbp, "dbp": dbp}[threshold.fact]
            met = {">=": value >= threshold.limit, "<": value < threshold.limit}
            assert met[threshold.op] is threshold.met
            if not threshold.met:
                continue
            zh, en = TRUE_WORDS[threshold.op]
            assert f"{zh} {threshold.limit} mmHg" in finding.sentence_zh
            assert f"{en} {threshold.limit} mmHg" in finding.sentence_en

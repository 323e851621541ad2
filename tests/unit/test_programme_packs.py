"""Packs are data that is refused, with file, line and column, rather than judged with when something is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from monitor.judge_cli import register
from monitor.programme import FOLDER, NoSuchEdition, PackRefused, load_packs, parse_pack

HYPERTENSION = (FOLDER / "hypertension-2011.yaml").read_text(encoding="utf-8")


def line_of(text: str, needle: str) -> int:
    return text[: text.index(needle)].count("\n") + 1


def refusals(text: str) -> list[str]:
    with pytest.raises(PackRefused) as refused:
        parse_pack(text, "pack.yaml")
    return [str(problem) for problem in refused.value.problems]


def test_the_2011_edition_has_hypertension_and_diabetes() -> None:
    assert [pack.id for pack in load_packs("2011")] == ["diabetes-2011", "hypertension-2011"]


def test_an_edition_nobody_installed_is_not_replaced_by_another() -> None:
    with pytest.raises(NoSuchEdition, match=r"2017.*editions there: 2011"):
        load_packs("2017")


@pytest.mark.parametrize("pack", load_packs("2011"), ids=lambda pack: pack.id)
def test_every_number_has_its_clause_and_every_convention_its_reason(pack: object) -> None:
    for limit in (*pack.limits.values(), *pack.days.values()):
        assert limit.cite in pack.clauses
        assert bool(limit.reason) is limit.convention
    for rule in pack.rules:
        assert rule.cite
        assert bool(rule.reason) is rule.convention


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("    alone: true\n", "    alone: true\n    page: yes\n", "rules.0.page: Extra inputs are not permitted"),
        ("    cite: [emergency]\n    alone", "    alone", "rules.0.cite: Field required"),
        ("cite: [referral, classes]", "cite: [hearsay]", "cites hearsay, which is not among the clauses"),
        ("cite: unsatisfactory}\n  dbp_high", "}\n  dbp_high", "limits.sbp_high.cite: Field required"),
        (
            'sbp_emergency: {value: 180, unit: "mm[Hg]"',
            "sbp_emergency: {value: 180, unit: mmol/L",
            "sbp_emergency is in mmol/L, sbp is compared in mm[Hg]",
        ),
        (
            'sbp_emergency: {value: 180, unit: "mm[Hg]", cite: emergency}',
            'sbp_emergency: {value: 180, unit: "mm[Hg]", cite: emergency, convention: true}',
            "a convention needs its reason in words",
        ),
        ('op: ">=", limit: sbp_emergency', 'op: ">>", limit: sbp_emergency', "Input should be '>=', '>', '<=' or '<'"),
        ("limit: sbp_emergency}", "limit: sbp_terrible}", "sbp_terrible is not among the limits"),
        ("{fact: sbp, op", "{fact: mood, op", "mood is not declared under facts"),
        ("{flag: adverse_reaction}", "{flag: complication}", "complication is not a yes-or-no fact"),
        ("in: [new, existing_worse]", "in: [new, rumoured]", "rumoured is not a value of complication"),
        ("{when}{place}测得", "{when}{hospital}测得", "unknown placeholder hospital"),
        ("action: advise_referral", "action: advise", "advise is not among the pack's actions"),
        ("due: two_weeks,", "due: soon,", "soon is not among the pack's days"),
        ("effective: {from: 2011-05-01}", "effective: {from: 2011-05-01, to: 2011-05-01}", "ends after it begins"),
        ("value: 14, unit: d", "value: 14, unit: wk", "wk is not days (d)"),
        ("value: 35, unit: a", "value: thirty-five, unit: a", "limits.minimum_age.value"),
        ('edition: "2011"', 'edition: "2017"', "is of another edition than 2017"),
        ("programme: hypertension\n", "programme: hypertension\nprogramme: hypertension\n", "programme stands twice"),
        ("aliases: [vomit]", "aliases: [nausea]", "nausea names two signs"),
        ("id: ht.reaction\n", "id: ht.reaction.hard\n", "a second rule is called ht.reaction.hard"),
        (
            "due_kind: referral_check}\n    cite: [emergency]",
            "}\n    cite: [emergency]",
            "due and due_kind go together",
        ),
    ],
)
def test_a_broken_pack_is_refused_with_the_place_and_the_reason(old: str, new: str, reason: str) -> None:
    assert old in HYPERTENSION
    found = refusals(HYPERTENSION.replace(old, new, 1))
    assert any(reason in problem for problem in found), found
    assert all(problem.startswith("pack.yaml:") for problem in found)


def test_the_place_is_the_line_and_the_column_of_the_culprit() -> None:
    text = HYPERTENSION.replace("limit: sbp_emergency}", "limit: sbp_terrible}", 1)
    line = line_of(text, "sbp_terrible")
    column = text.splitlines()[line - 1].index("limit:") + 1
    assert refusals(text) == [f"pack.yaml:{line}:{column}: sbp_terrible is not among the limits"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ("x: [", "not YAML"),
        ("a: &a [*a]", "an alias to itself"),
        ("a: .nan", "'.nan' cannot be read"),
        ("- 1", "Input should be a valid dictionary"),
    ],
)
def test_what_is_no_pack_at_all_is_refused_too(text: str, reason: str) -> None:
    assert any(reason in problem for problem in refusals(text))


def test_check_pack_says_what_is_fit_and_what_is_not(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    good, bad = FOLDER / "diabetes-2011.yaml", tmp_path / "bad-2011.yaml"
    bad.write_text(HYPERTENSION.replace("limit: sbp_emergency}", "limit: nothing}", 1), encoding="utf-8")
    result = CliRunner().invoke(app, ["check-pack", str(good), str(bad), str(tmp_path / "none.yaml")])
    assert result.exit_code == 1
    assert "diabetes-2011, 9 rules" in result.output
    assert f"{bad}:" in result.output
    assert "No such file" in result.output


def test_judging_needs_no_file_no_database_and_no_web() -> None:
    program = "import sys, monitor.judging, monitor.evaluation_year; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"yaml", "psycopg", "fastapi", "sqlite3", "monitor.programme"} & set(loaded)

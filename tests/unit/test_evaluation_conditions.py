"""What is absent, not a number or impossible meets no limit; limits are exact and in the unit reported."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evaluation_condition import decide, limit_in
from monitor.evaluation_record import Measured, OutOfRange, Resident, exact
from monitor.programme import load_packs
from monitor.programme_condition import AllOf, AnyOf, Compare, Flag, NotThat

DIABETES, HYPERTENSION = load_packs("2011")
HIGH = Compare(fact="glucose", op=">=", limit="glucose_emergency_high")
LOW = Compare(fact="glucose", op="<=", limit="glucose_emergency_low")
REACTION = Flag(flag="adverse_reaction")
SBP = Compare(fact="sbp", op=">=", limit="sbp_emergency")


def glucose(value: object, unit: str = "mmol/L") -> dict[str, Measured]:
    return {"glucose": Measured(exact(value), unit)}  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, Decimal("NaN"), "NaN", "abc"])
@pytest.mark.parametrize("condition", [HIGH, LOW])
def test_no_number_meets_no_limit_and_misses_none_either(value: object, condition: Compare) -> None:
    verdict = decide(condition, glucose(value), DIABETES)
    assert verdict.truth is None
    assert verdict.missing == {"glucose"}
    assert decide(NotThat.model_validate({"not": condition}), glucose(value), DIABETES).truth is None


def test_a_fact_that_is_not_there_is_unknown() -> None:
    assert decide(HIGH, {}, DIABETES).truth is None
    assert decide(REACTION, {"adverse_reaction": None}, DIABETES).truth is None


def test_any_is_true_whatever_is_unknown_and_all_is_false_whatever_is_unknown() -> None:
    facts = {"adverse_reaction": True}
    assert decide(AnyOf(any=(HIGH, REACTION)), facts, DIABETES).truth is True
    assert decide(AllOf(all=(HIGH, REACTION)), facts, DIABETES).truth is None
    assert decide(AllOf(all=(HIGH, REACTION)), {"adverse_reaction": False}, DIABETES).truth is False


@pytest.mark.parametrize(
    ("value", "unit", "high", "low"),
    [
        (16.6, "mmol/L", False, False),
        (16.7, "mmol/L", True, False),
        (3.9, "mmol/L", False, True),
        (4.0, "mmol/L", False, False),
        (300.0, "mg/dL", False, False),
        (301.0, "mg/dL", True, False),
        (70.0, "mg/dL", False, True),
        (71.0, "mg/dL", False, False),
    ],
)
def test_glucose_lines_are_exact_in_both_units(value: float, unit: str, high: bool, low: bool) -> None:
    assert decide(HIGH, glucose(value, unit), DIABETES).truth is high
    assert decide(LOW, glucose(value, unit), DIABETES).truth is low


@pytest.mark.parametrize(("kpa", "met"), [(23.9, False), (24.0, True)])
def test_kilopascals_are_compared_with_the_limit_in_kilopascals(kpa: float, met: bool) -> None:
    assert decide(SBP, {"sbp": Measured(exact(kpa), "kPa")}, HYPERTENSION).truth is met


def test_a_unit_without_a_conversion_meets_no_limit() -> None:
    assert limit_in(Decimal(180), "mm[Hg]", "kg") is None
    assert decide(SBP, {"sbp": Measured(Decimal(500), "kg")}, HYPERTENSION).truth is None


def test_hi_is_beyond_every_upper_line_and_lo_beyond_every_lower_one() -> None:
    for beyond, high in ((OutOfRange.HI, True), (OutOfRange.LO, False)):
        facts = {"glucose": Measured(None, "mmol/L", beyond)}
        assert decide(HIGH, facts, DIABETES).truth is high
        assert decide(LOW, facts, DIABETES).truth is not high


@given(st.decimals(min_value=1, max_value=30, places=1))
def test_a_binary_fraction_never_moves_a_boundary(value: Decimal) -> None:
    assert decide(HIGH, glucose(float(value)), DIABETES).truth is (value >= Decimal("16.7"))


@pytest.mark.parametrize(
    ("birth", "day", "age"),
    [
        (date(1991, 3, 2), date(2026, 3, 2), 35),
        (date(1991, 3, 3), date(2026, 3, 2), 34),
        (date(1988, 2, 29), date(2026, 2, 28), 37),
        (date(1988, 2, 29), date(2026, 3, 1), 38),
    ],
)
def test_age_is_in_completed_years_on_the_day(birth: date, day: date, age: int) -> None:
    assert Resident(birth_date=birth).age_on(day) == age

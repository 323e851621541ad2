"""What cannot be measured in a living person is a data error, by the same table in both forms of the question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.nomenclature import BLOOD_PRESSURE, BY_CODE, KINDS
from devices.plausibility import PLAUSIBLE, implausible_slots

CASES = [(kind, unit) for kind in KINDS for unit in kind.units]


@st.composite
def readings(draw: st.DrawFn) -> tuple[int, str, tuple[float | None, ...]]:
    kind, unit = draw(st.sampled_from(CASES))
    near = [bound + step for slot in kind.slots for bound in (slot.low, slot.high) for step in (-0.01, 0, 0.01)]
    number = st.one_of(st.none(), st.sampled_from(near), st.floats(-1e4, 1e5))
    return kind.code, unit, tuple(draw(st.lists(number, min_size=1, max_size=len(kind.slots))))


@given(readings())
def test_the_quick_question_and_the_list_of_slots_agree(reading: tuple[int, str, tuple[float | None, ...]]) -> None:
    kind, unit, values = reading
    assert PLAUSIBLE[kind, unit](*values) is (implausible_slots(BY_CODE[kind], values, unit) == ())


@pytest.mark.parametrize(
    ("values", "unit", "slots"),
    [
        ((120.0, 80.0, 93.0, 64.0), "mm[Hg]", ()),
        ((30.0, 15.0, 0.0, 300.0), "mm[Hg]", ()),
        ((29.9, 15.0, 20.0, 60.0), "mm[Hg]", (0,)),
        ((120.0, 120.0), "mm[Hg]", (1,)),
        ((None, 80.0, None, 301.0), "mm[Hg]", (3,)),
        ((16.0, 10.7), "kPa", ()),
        ((120.0, 80.0), "kPa", (0, 1)),
    ],
)
def test_each_impossible_pressure_is_named(values: tuple[float | None, ...], unit: str, slots: tuple[int, ...]) -> None:
    assert implausible_slots(BY_CODE[BLOOD_PRESSURE], values, unit) == slots
    assert PLAUSIBLE[BLOOD_PRESSURE, unit](*values) is (slots == ())

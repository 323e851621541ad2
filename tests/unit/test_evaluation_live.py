"""Live readings: sessions, doubtful and late readings, people outside the register, any order of arrival."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.observation import NEVER_JUDGED, QUESTIONABLE_FACTS, Fact
from monitor.evaluation_finding import NotJudged
from monitor.evaluation_record import Resident
from monitor.judging import REPEAT_ACTION, judge_reading, unjudged_reason
from monitor.judging_reading import DeviceReading
from monitor.programme import load_packs
from monitor.programme_pack import Effective, Pack
from monitor.severity import ItemKind, Severity

PACKS = load_packs("2011")
NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)
PATIENT = Resident(birth_date=date(1966, 1, 15), registers=frozenset({"hypertension", "diabetes"}))
NEIGHBOUR = Resident(birth_date=date(1966, 1, 15))
DOUBTFUL = [fact for fact in Fact if fact & QUESTIONABLE_FACTS]
NEVER = [fact for fact in Fact if fact & NEVER_JUDGED]


def pressure(
    sbp: float | None, dbp: float | None, minutes_ago: float = 0, facts: int = 0, unit: str = "mm[Hg]"
) -> DeviceReading:
    return DeviceReading(
        concept="blood_pressure",
        values=(sbp, dbp, None, 72.0),
        unit=unit,
        measured_at=NOW - timedelta(minutes=minutes_ago),
        facts=int(facts),
    )


def sugar(value: float | None, **more: object) -> DeviceReading:
    given_ = {"concept": "glucose", "values": (value,), "unit": "mmol/L", "measured_at": NOW} | more
    return DeviceReading(**given_)  # type: ignore[arg-type]


def rules(found: list) -> list[str]:
    return [finding.rule for finding in found]


def test_an_emergency_value_is_judged_at_once_whatever_its_session() -> None:
    calm = [pressure(120, 75, 3), pressure(118, 76, 6)]
    (finding,) = judge_reading(PACKS, PATIENT, calm, pressure(186, 112), NOW)
    assert (finding.rule, finding.severity, finding.queue) == (
        "ht.emergency",
        Severity.EMERGENCY,
        ItemKind.EMERGENCY,
    )
    assert finding.due == date(2026, 3, 16)
    assert {(t.fact, str(t.limit), t.unit) for t in finding.thresholds} == {
        ("sbp", "180", "mm[Hg]"),
        ("dbp", "110", "mm[Hg]"),
    }


def test_less_than_an_emergency_is_judged_by_the_mean_of_the_session() -> None:
    assert judge_reading(PACKS, PATIENT, [pressure(120, 75, 9)], pressure(150, 80), NOW) == []
    (finding,) = judge_reading(PACKS, PATIENT, [pressure(120, 75, 11)], pressure(150, 80), NOW)
    assert finding.finding == "ht.unsatisfactory"
    assert finding.visit_class is None


def test_an_emergency_outside_the_register_is_found_and_says_that_it_is_a_convention() -> None:
    (finding,) = judge_reading(PACKS, NEIGHBOUR, [], pressure(186, 112), NOW)
    assert finding.severity is Severity.EMERGENCY
    assert any("outside the register" in reason for reason in finding.conventions)


def test_the_register_the_person_is_on_speaks_for_a_pressure_both_programmes_list() -> None:
    diabetic = Resident(birth_date=date(1966, 1, 15), registers=frozenset({"diabetes"}))
    assert rules(judge_reading(PACKS, PATIENT, [], pressure(186, 80), NOW)) == ["ht.emergency"]
    assert rules(judge_reading(PACKS, diabetic, [], pressure(186, 80), NOW)) == ["dm.emergency"]


def test_three_high_days_make_a_preliminary_diagnosis_and_two_a_recheck() -> None:
    day = 24 * 60
    two = [pressure(150, 92, day), pressure(151, 93, day + 60)]
    (recheck,) = judge_reading(PACKS, NEIGHBOUR, two, pressure(146, 88), NOW)
    assert (recheck.finding, recheck.queue) == ("ht.screen.elevated", ItemKind.SCREENING)
    (diagnosis,) = judge_reading(PACKS, NEIGHBOUR, [*two, pressure(144, 86, 9 * day)], pressure(146, 88), NOW)
    assert diagnosis.finding == "ht.screen.preliminary_diagnosis"
    assert "2026-02-21、2026-03-01、2026-03-02" in diagnosis.sentence_zh


def test_days_are_local_days() -> None:
    before_midnight = datetime(2026, 3, 1, 15, 59, tzinfo=UTC)
    minutes = (NOW - before_midnight).total_seconds() / 60
    (first,) = judge_reading(PACKS, NEIGHBOUR, [pressure(150, 92, minutes - 2)], pressure(150, 92, minutes - 20), NOW)
    assert "第 1 个" in first.sentence_zh
    (second,) = judge_reading(PACKS, NEIGHBOUR, [pressure(150, 92, minutes)], pressure(150, 92, minutes - 20), NOW)
    assert "第 2 个" in second.sentence_zh


@pytest.mark.parametrize("facts", DOUBTFUL, ids=lambda fact: fact.name)
@pytest.mark.parametrize("resident", [PATIENT, NEIGHBOUR], ids=["registered", "not registered"])
def test_a_doubtful_reading_alone_asks_for_a_repeat(facts: Fact, resident: Resident) -> None:
    for reading in (pressure(190, 115, facts=facts), pressure(150, 95, facts=facts)):
        for finding in judge_reading(PACKS, resident, [], reading, NOW):
            assert finding.severity is not Severity.EMERGENCY
            assert finding.action == REPEAT_ACTION
            assert finding.due is None
            assert "重新测量" in finding.sentence_zh
    assert judge_reading(PACKS, resident, [], pressure(190, 115, facts=facts), NOW)


@pytest.mark.parametrize("facts", NEVER, ids=lambda fact: fact.name)
def test_what_is_never_judged_is_not_judged_and_says_why(facts: Fact) -> None:
    reading = pressure(190, 115, facts=facts)
    assert judge_reading(PACKS, PATIENT, [], reading, NOW) == []
    assert unjudged_reason(PACKS, reading, NOW) is NotJudged.NEVER_JUDGED_FACT


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (pressure(None, None), NotJudged.IMPLAUSIBLE),
        (pressure(2047, 80), NotJudged.IMPLAUSIBLE),
        (pressure(190, 115, unit="mmol/L"), NotJudged.UNKNOWN_UNIT),
        (pressure(190, 115, minutes_ago=-11), NotJudged.FUTURE_TIME),
        (sugar(None), NotJudged.NO_VALUE),
        (sugar(0), NotJudged.IMPLAUSIBLE),
        (sugar(16.8, concept="glucose_control"), NotJudged.NO_RULE),
        (sugar(81.0, concept="body_weight", unit="kg"), NotJudged.NO_RULE),
    ],
)
def test_the_reason_of_a_reading_left_alone(reading: DeviceReading, reason: NotJudged) -> None:
    if reading.values[0] is None and reading.concept == "blood_pressure":
        reason = None  # the pulse beside the pressure is still a heart rate that diabetes looks at
    assert unjudged_reason(PACKS, reading, NOW) is reason
    assert judge_reading(PACKS, PATIENT, [], reading, NOW) == []


def in_effect(start: date, end: date | None) -> list[Pack]:
    effective = Effective.model_validate({"from": start, "to": end})
    return [pack.model_copy(update={"effective": effective}) for pack in PACKS]


@pytest.mark.parametrize(
    ("start", "end", "judged"),
    [
        (date(2026, 3, 2), None, True),
        (date(2026, 3, 3), None, False),
        (date(2011, 5, 1), date(2026, 3, 3), True),
        (date(2011, 5, 1), date(2026, 3, 2), False),
    ],
)
def test_an_edition_judges_what_was_measured_while_it_was_in_effect(
    start: date, end: date | None, *, judged: bool
) -> None:
    packs = in_effect(start, end)
    assert bool(judge_reading(packs, PATIENT, [], pressure(190, 115), NOW)) is judged
    assert unjudged_reason(packs, pressure(190, 115), NOW) is (None if judged else NotJudged.NOT_IN_EFFECT)


def test_a_late_emergency_is_found_and_pages_nobody() -> None:
    (finding,) = judge_reading(PACKS, PATIENT, [], pressure(190, 115, 24 * 60 + 1), NOW)
    assert finding.late
    assert finding.severity is Severity.WORSENING
    assert "不为过去呼叫" in finding.sentence_zh
    (fresh,) = judge_reading(PACKS, PATIENT, [], pressure(190, 115, 24 * 60), NOW)
    assert not fresh.late
    assert fresh.severity is Severity.EMERGENCY


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"facts": int(Fact.RESULT_TOO_HIGH)}, "HI"),
        ({"facts": int(Fact.RESULT_TOO_LOW)}, "LO"),
        ({"absent": {0: "positive-infinity"}}, "HI"),
        ({"absent": {0: 4}}, "LO"),
    ],
)
def test_hi_and_lo_of_a_meter_are_emergencies(more: dict[str, object], word: str) -> None:
    (finding,) = judge_reading(PACKS, PATIENT, [], sugar(None, **more), NOW)
    assert finding.severity is Severity.EMERGENCY
    assert f"“{word}”" in finding.sentence_zh
    assert finding.evidence[0].value == word


def test_the_meal_decides_whether_a_value_is_a_fasting_one() -> None:
    assert judge_reading(PACKS, PATIENT, [], sugar(9.0), NOW) == []
    assert judge_reading(PACKS, PATIENT, [], sugar(9.0, meal="postprandial"), NOW) == []
    assert rules(judge_reading(PACKS, PATIENT, [], sugar(9.0, meal="fasting"), NOW)) == ["dm.unsatisfactory.reading"]


readings = st.builds(
    pressure,
    st.integers(90, 210).map(float),
    st.integers(50, 85).map(float),
    st.integers(0, 60 * 24 * 5),
    st.sampled_from([0, 0, 0, int(Fact.BODY_MOVEMENT), int(Fact.INVALID)]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(readings, min_size=1, max_size=8, unique_by=lambda r: r.measured_at), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(history: list[DeviceReading], chance: object) -> None:
    shuffled = list(history)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for resident in (PATIENT, NEIGHBOUR):
        for reading in history:
            first = judge_reading(PACKS, resident, history, reading, NOW)
            assert judge_reading(PACKS, resident, shuffled, reading, NOW) == first


@settings(deadline=None, max_examples=60)
@given(st.lists(readings, max_size=6), st.sampled_from(DOUBTFUL), st.integers(180, 260), st.integers(0, 3000))
def test_doubtful_readings_together_never_make_an_emergency(
    history: list[DeviceReading], fact: Fact, sbp: int, minutes: int
) -> None:
    for finding in judge_reading(PACKS, PATIENT, history, pressure(sbp, 80, minutes, facts=fact), NOW):
        assert finding.severity is not Severity.EMERGENCY


def test_an_impossible_pulse_does_not_take_the_pressure_out_of_the_session() -> None:
    odd = DeviceReading(
        concept="blood_pressure", values=(120.0, 75.0, None, 0.0), unit="mm[Hg]", measured_at=NOW - timedelta(minutes=3)
    )
    assert judge_reading(PACKS, PATIENT, [odd], pressure(150, 80), NOW) == []


def test_a_fever_and_a_pressure_are_different_conditions() -> None:
    fever = DeviceReading(concept="body_temperature", values=(39.4,), unit="Cel", measured_at=NOW)
    (finding,) = judge_reading(PACKS, PATIENT, [], fever, NOW)
    assert (finding.rule, finding.condition) == ("dm.emergency", "body_temperature")
    fahrenheit = DeviceReading(concept="body_temperature", values=(102.2,), unit="[degF]", measured_at=NOW)
    assert judge_reading(PACKS, PATIENT, [], fahrenheit, NOW) == []

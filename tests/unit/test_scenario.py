"""Scenarios: loaded strictly, and laid out in time the same way for the same seed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, takewhile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from devices.nomenclature import GLUCOSE_INTERSTITIAL
from simulators.cohort import cohort
from simulators.scenario import Alarm, ScenarioFault, load, shipped_names
from simulators.timeline import history, live

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
PEOPLE = cohort(1, date(2026, 11, 22))
SMALL = """
scenario: small
says: one thing
injections:
  - {id: one-high, person: R01, measures: blood_pressure, says: high, readings: [{values: [186, 112, 137, 94]}],
     alerts: [{condition: blood_pressure, grade: emergency}]}
"""


@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_scenario_loads_for_the_cohort(name: str) -> None:
    assert load(name, PEOPLE).scenario == name


def test_the_first_emergency_comes_within_fifteen_seconds() -> None:
    scenario = load("everyday", PEOPLE)
    emergencies = [i for i in scenario.injections if Alarm("blood_pressure", "emergency") in i.alerts]
    assert emergencies[0].at_s < 15
    assert scenario.live_s < 20


def test_alerts_are_expected_only_of_what_has_happened_yet() -> None:
    scenario = load("everyday", PEOPLE)
    assert scenario.expected(()) == {}
    assert scenario.expected({"emergency-pressure"}) == {"R01": [Alarm("blood_pressure", "emergency")]}
    assert "R09" not in scenario.expected()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("says: one thing", "says: one thing\nextra: 1"), "extra"),
        (("R01", "R77"), "nobody is called R77"),
        (("grade: emergency", "grade: terrible"), "grade"),
        (("values: [186, 112, 137, 94]", "values: [186], facts: [wobbly]"), "wobbly"),
        (("scenario: small", "scenario: ["), "small.yaml"),
    ],
)
def test_a_wrong_scenario_is_refused_with_the_place(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.replace(*change), encoding="utf-8")
    with pytest.raises(ScenarioFault, match=complaint):
        load(str(path), PEOPLE)


def test_an_unknown_scenario_names_those_that_there_are() -> None:
    with pytest.raises(ScenarioFault, match="everyday"):
        load("nonsense")


def test_the_live_part_is_the_same_for_the_same_seed_and_in_order() -> None:
    scenario = load("everyday", PEOPLE)
    one, other = (list(takewhile(lambda act: act.at_s < 60, live(scenario, PEOPLE, 4))) for _ in range(2))
    assert one == other
    assert [act.at_s for act in one] == sorted(act.at_s for act in one)
    assert one != list(takewhile(lambda act: act.at_s < 60, live(scenario, PEOPLE, 5)))


def test_no_instrument_measures_twice_within_a_second_or_two() -> None:
    scenario = load("everyday", PEOPLE)
    last: dict[tuple[str, str], float] = {}
    for act in takewhile(lambda act: act.at_s < 120, live(scenario, PEOPLE, 4)):
        if act.device.route == "ble":
            assert act.at_s - last.get((act.person.key, act.device.uid), -9) > 2
            last[act.person.key, act.device.uid] = act.at_s


def test_whoever_waits_for_the_call_measures_nothing_ordinary() -> None:
    scenario = load("everyday", PEOPLE)
    acts = list(takewhile(lambda act: act.at_s < 120, live(scenario, PEOPLE, 4)))
    assert [act.injection.id for act in acts if act.person.key == "R01" and act.injection] == ["emergency-pressure"] * 2
    assert not [act for act in acts if act.person.key == "R01" and not act.injection]


def test_history_is_the_same_for_the_same_seed_and_lies_in_the_past() -> None:
    scenario = load("everyday", PEOPLE)
    one = history(scenario, PEOPLE, 4, NOW, ZONE)
    assert one == history(scenario, PEOPLE, 4, NOW, ZONE)
    assert len(one) > 1000
    assert max(past.observation.measured_at for past in one) <= NOW - timedelta(minutes=30)
    keys = [(p.observation.device, p.observation.device_at, p.observation.record_no) for p in one]
    assert len(set(keys)) == len(keys)


def test_the_screened_resident_was_high_on_two_other_days_at_the_kiosk() -> None:
    past = history(load("everyday", PEOPLE), PEOPLE, 4, NOW, ZONE)
    high = [p.observation for p in past if p.person.key == "R07"]
    assert len({o.measured_at.astimezone(ZONE).date() for o in high}) == 2
    assert all(o.session for o in high)


def test_a_sensor_has_measured_each_half_hour_of_a_fortnight() -> None:
    past = history(load("everyday", PEOPLE), PEOPLE, 4, NOW, ZONE)
    sensed = [each for each in past if each.observation.kind == GLUCOSE_INTERSTITIAL]
    assert {each.person.key for each in sensed} == {"R03"}
    moments = [each.observation.measured_at for each in sensed]
    assert {later - earlier for earlier, later in pairwise(moments)} == {timedelta(minutes=30)}
    assert timedelta(days=14) < NOW - moments[0] < timedelta(days=15)
    assert {each.observation.unit for each in sensed} == {"mg/dL"}
    assert len({each.observation.values for each in sensed}) > 20


def test_wrong_clocks_are_wrong_in_the_stamp_and_not_in_the_time_of_measurement() -> None:
    past = history(load("everyday", PEOPLE), PEOPLE, 4, NOW, ZONE)
    cuff = PEOPLE[11].device("blood_pressure")
    one = next(p.observation for p in past if p.observation.device == cuff.uid)
    assert one.device_at is not None
    ahead = one.device_at.replace(tzinfo=ZONE) - one.measured_at
    assert abs(ahead.total_seconds() - 2 * 86400) <= 1

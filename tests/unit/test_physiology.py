"""Simulated bodies: the same seed gives the same readings, and nobody alarms by themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

from devices.observation import Meal
from simulators.physiology import Body, Profile, meal_at

MORNING = datetime(2026, 3, 2, 7, 10)


def _week(body: Body) -> list[tuple[float, ...]]:
    return [tuple(body.blood_pressure(MORNING + timedelta(hours=7 * n), n)) for n in range(24)]


def test_the_same_seed_gives_the_same_readings() -> None:
    assert _week(Body(5, "R01", Profile())) == _week(Body(5, "R01", Profile()))


def test_another_seed_or_person_gives_others() -> None:
    assert _week(Body(5, "R01", Profile())) != _week(Body(6, "R01", Profile()))
    assert _week(Body(5, "R01", Profile())) != _week(Body(5, "R02", Profile()))


def test_the_order_of_drawing_changes_nothing() -> None:
    forwards, backwards = Body(5, "R01", Profile()), Body(5, "R01", Profile())
    first = [forwards.glucose(MORNING, n) for n in range(10)]
    second = [backwards.glucose(MORNING, n) for n in reversed(range(10))]
    assert first == second[::-1]


def test_a_resident_stays_below_the_ceiling_by_themselves() -> None:
    body = Body(1, "R01", Profile(systolic=132, diastolic=84, circadian=8))
    drawn = [body.blood_pressure(MORNING + timedelta(hours=n), n) for n in range(2000)]
    assert max(r.systolic for r in drawn) <= 136
    assert max(r.diastolic for r in drawn) <= 86
    assert all(r.diastolic < r.mean < r.systolic for r in drawn)


def test_systolic_and_diastolic_move_together() -> None:
    body = Body(2, "R01", Profile())
    drawn = [body.blood_pressure(MORNING, n) for n in range(500)]
    mean_s, mean_d = sum(r.systolic for r in drawn) / 500, sum(r.diastolic for r in drawn) / 500
    together = sum((r.systolic - mean_s) * (r.diastolic - mean_d) for r in drawn)
    spread_s = sum((r.systolic - mean_s) ** 2 for r in drawn)
    spread_d = sum((r.diastolic - mean_d) ** 2 for r in drawn)
    assert together / (spread_s * spread_d) ** 0.5 > 0.4


def test_a_morning_drug_lowers_the_pressure_of_the_late_morning() -> None:
    eleven = MORNING.replace(hour=11)
    without = Body(3, "R01", Profile()).blood_pressure(eleven, 1)
    treated = Body(3, "R01", Profile(medicine=10)).blood_pressure(eleven, 1)
    assert treated.systolic < without.systolic - 6


def test_glucose_rises_after_a_meal_and_is_fasting_before_breakfast() -> None:
    body = Body(4, "R03", Profile(fasting=6.0, meal_rise=2.4))
    fasting = [body.glucose(MORNING, n) for n in range(200)]
    after = [body.glucose(MORNING.replace(hour=14), n) for n in range(200)]
    assert {r.meal for r in fasting} == {Meal.FASTING}
    assert {r.meal for r in after} == {Meal.POSTPRANDIAL}
    assert max(r.value for r in fasting) < 7.0
    assert sum(r.value for r in after) / 200 > sum(r.value for r in fasting) / 200 + 1


def test_meals_follow_the_clock() -> None:
    assert [meal_at(hour) for hour in (6, 9, 11.9, 14, 19, 23, 2)] == [
        Meal.FASTING,
        Meal.POSTPRANDIAL,
        Meal.CASUAL,
        Meal.POSTPRANDIAL,
        Meal.POSTPRANDIAL,
        Meal.BEDTIME,
        Meal.CASUAL,
    ]


def test_saturation_and_weight_stay_where_the_profile_puts_them() -> None:
    body = Body(9, "R05", Profile(oxygen=95.6, weight=54.3))
    saturations = [body.oximetry(MORNING, n).saturation for n in range(300)]
    weights = [body.weight(MORNING, n) for n in range(300)]
    assert 94 <= min(saturations) <= max(saturations) <= 98
    assert all(53.5 < kilograms < 55.1 for kilograms in weights)
    assert all(abs(kilograms / 0.05 - round(kilograms / 0.05)) < 1e-6 for kilograms in weights)


def test_what_a_sensor_under_the_skin_shows_rises_after_meals_and_never_jumps() -> None:
    body = Body(4, "R09", Profile(fasting=5.4, meal_rise=2.4))
    moments = [MORNING.replace(hour=0) + timedelta(minutes=n) for n in range(24 * 60 - 15)]
    day = [body.interstitial(moment) for moment in moments]
    assert day == [Body(4, "R09", body.profile).interstitial(moment) for moment in moments]
    assert max(abs(after - before) for before, after in pairwise(day)) <= 3
    assert max(day[12 * 60 : 16 * 60]) > max(day[4 * 60 : 7 * 60]) + 20
    assert all(79 <= value <= 199 for value in day)

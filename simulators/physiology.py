"""What a simulated body would show on an instrument: blood pressure, glucose, oxygen, weight; from a seed.

A reading is a function of (seed, person, kind, moment, ordinal) and of nothing else, so the order in which readings are
drawn changes none of them. By themselves the bodies stay inside what their programmes call satisfactory: everything
that must alarm is injected by a scenario, which therefore knows the truth without asking the rules under test.
"""

from __future__ import annotations

import math
import random
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from devices.observation import Meal

MG_PER_MMOL: Final = 18.016
"""mg/dL of glucose in a mmol/L."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One resident's settings. Pressures mmHg, glucose mmol/L, oxygen %, weight kg, pulse 1/min.

    circadian: half the swing of the day; medicine: the drop at a morning drug's peak; ceiling: what the systolic and
    diastolic never exceed by themselves.
    """

    systolic: float = 118
    diastolic: float = 74
    pulse: float = 72
    circadian: float = 4
    medicine: float = 0
    ceiling: tuple[float, float] = (136, 86)
    fasting: float = 5.2
    meal_rise: float = 1.6
    oxygen: float = 97.4
    weight: float = 64
    weight_drift: float = 0.0


class BloodPressure(NamedTuple):
    """mmHg, mmHg, mmHg, 1/min; whole numbers, as cuffs print them."""

    systolic: float
    diastolic: float
    mean: float
    pulse: float


class Glucose(NamedTuple):
    """mmol/L with one decimal, and the meal it belongs to."""

    value: float
    meal: Meal


class Oximetry(NamedTuple):
    """%, 1/min, perfusion index %."""

    saturation: float
    pulse: float
    perfusion: float


class Body:
    """One resident's body. `local`: a moment in the resident's own wall clock; `ordinal`: which measurement it is."""

    def __init__(self, seed: int, person: str, profile: Profile) -> None:
        self._root = f"{seed}:{person}"
        self.profile = profile

    def blood_pressure(self, local: datetime, ordinal: int) -> BloodPressure:
        """Circadian swing, a morning drug, a mood of the day, and correlated noise (0.6 systolic to diastolic)."""
        profile, noise = self.profile, self.noise("blood_pressure", ordinal)
        hour = local.hour + local.minute / 60
        # pressure peaks in the late afternoon and dips before dawn
        swing = profile.circadian * math.cos((hour - 17) / 24 * math.tau)
        since_drug = (hour - 7) % 24
        drug = profile.medicine * since_drug / 4 * math.exp(1 - since_drug / 4)
        mood = self._day("blood_pressure", local) * 3
        shared, own = noise.gauss(0, 1), noise.gauss(0, 1)
        systolic = profile.systolic + swing - drug + mood + 3.5 * shared
        diastolic = profile.diastolic + 0.6 * (swing - drug + mood) + 2.4 * (0.6 * shared + 0.8 * own)
        systolic = _within(systolic, 92, profile.ceiling[0])
        diastolic = _within(diastolic, 52, min(profile.ceiling[1], systolic - 25))
        pulse = _within(self._pulse(noise) + 0.15 * mood, 52, 96)
        low, high = round(diastolic), round(systolic)
        return BloodPressure(float(high), float(low), float(round(low + (high - low) / 3)), float(round(pulse)))

    def glucose(self, local: datetime, ordinal: int) -> Glucose:
        """Fasting before eight; after a meal a rise that fades within four hours."""
        profile, noise = self.profile, self.noise("glucose", ordinal)
        hour = local.hour + local.minute / 60
        meal = meal_at(hour)
        level = profile.fasting + 0.2 * self._day("glucose", local)
        if meal is Meal.POSTPRANDIAL:
            since = hour - max(start for start in (7.5, 12.0, 18.0) if start <= hour)
            level += profile.meal_rise * math.sin(min(since / 4, 1) * math.pi)
        level += noise.gauss(0, 0.18)
        top = 6.7 if meal is Meal.FASTING else 11.0
        return Glucose(round(_within(level, 4.4, top), 1), meal)

    def interstitial(self, local: datetime) -> float:
        """mg/dL under the skin, whole numbers: follows the meals ten minutes late, and swings smoothly between them."""
        profile, late = self.profile, local - timedelta(minutes=10)
        hour = late.hour + late.minute / 60
        level = profile.fasting + 0.2 * self._day("glucose", late)
        for start in (7.5, 12.0, 18.0):
            if start <= hour < start + 4:
                level += profile.meal_rise * math.sin((hour - start) / 4 * math.pi)
        phase = random.Random(f"{self._root}:interstitial").uniform(0, math.tau)
        level += 0.25 * math.sin((late.toordinal() * 24 + hour) * math.tau / 1.7 + phase)
        return float(round(_within(level, 4.4, 11.0) * MG_PER_MMOL))

    def oximetry(self, local: datetime, ordinal: int) -> Oximetry:
        """Saturation with a little noise; nobody falls below 94 % by themselves."""
        noise = self.noise("oxygen_saturation", ordinal)
        saturation = self.profile.oxygen + 0.3 * self._day("oxygen_saturation", local) + noise.gauss(0, 0.5)
        pulse = _within(self._pulse(noise), 54, 96)
        return Oximetry(
            float(round(_within(saturation, 94, 99))),
            float(round(pulse)),
            round(_within(noise.gauss(4.5, 1.2), 1.2, 12), 1),
        )

    def weight(self, local: datetime, ordinal: int) -> float:
        """kg to the 0.05 kg of a Bluetooth scale (WSS); drifts by `weight_drift` a day, breathes by half a kilogram."""
        noise = self.noise("body_weight", ordinal)
        days = local.toordinal() % 365
        kilograms = self.profile.weight + self.profile.weight_drift * days + 0.2 * self._day("body_weight", local)
        return round(round((kilograms + noise.gauss(0, 0.1)) * 20) / 20, 2)

    def noise(self, kind: str, ordinal: int) -> random.Random:
        """What this measurement of this kind leaves to chance."""
        return random.Random(f"{self._root}:{kind}:{ordinal}")

    def _day(self, kind: str, local: datetime) -> float:
        """-1 to 1, the same all day long."""
        return random.Random(f"{self._root}:{kind}:{local:%Y-%m-%d}").uniform(-1, 1)

    def _pulse(self, noise: random.Random) -> float:
        return self.profile.pulse + noise.gauss(0, 4)


def meal_at(hour: float) -> Meal:
    """Which meal a glucose reading at this hour of the day belongs to, in this cohort's rhythm."""
    if 4 <= hour < 7.5:
        return Meal.FASTING
    if any(start + 0.5 <= hour < start + 4 for start in (7.5, 12.0, 18.0)):
        return Meal.POSTPRANDIAL
    return Meal.BEDTIME if hour >= 22 else Meal.CASUAL


def _within(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))

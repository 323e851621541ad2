"""From residents and a scenario to measurements in time: ninety days that lie behind, and what happens live.

Both are functions of the seed (and of `now` for the days that lie behind); nothing is sent from here.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, NamedTuple

from devices import nomenclature
from devices.clock import IDENTITY_ZONE
from devices.observation import Context, Observation
from simulators.cohort import OwnedDevice, Person, kiosk_cuff
from simulators.physiology import Body
from simulators.scenario import Flaw, Injected, Injection, Scenario, moment

KINDS: Final[Mapping[str, tuple[int, str]]] = {
    "blood_pressure": (nomenclature.BLOOD_PRESSURE, "mm[Hg]"),
    "glucose": (160184, "mmol/L"),  # MDC_CONC_GLU_CAPILLARY_WHOLEBLOOD, what a finger-prick meter reports
    "oxygen_saturation": (nomenclature.PULSE_OXIMETRY, "%"),
    "body_weight": (nomenclature.BODY_MASS, "kg"),
    "glucose_interstitial": (nomenclature.GLUCOSE_INTERSTITIAL, "mg/dL"),
}
_HABITS: Final[Mapping[str, tuple[tuple[float, float], ...]]] = {
    # hour of the day, how likely on a given day
    "blood_pressure": ((7.2, 0.9), (19.5, 0.75)),
    "glucose": ((6.7, 0.85), (14.0, 0.5)),
    "oxygen_saturation": ((8.0, 0.9),),
    "body_weight": ((7.0, 0.6),),
    "glucose_interstitial": tuple((minutes / 60, 1.0) for minutes in range(5, 24 * 60, 30)),
}
_WORN_DAYS: Final = {"glucose_interstitial": 14}
"""Days that an instrument has been worn: a sensor is stuck on for about two weeks."""

_APART_S: Final = 2.5
"""No instrument measures twice within a second or two: its stamps, and with them identities, would be equal."""


class Reading(NamedTuple):
    """What one measurement shows. values: in slot order of the concept's kind; meal is in `context`."""

    concept: str
    values: tuple[float | None, ...]
    facts: tuple[str, ...] = ()
    absent: Mapping[int, str] = {}
    context: Context | None = None


class Act(NamedTuple):
    """One live measurement: `at_s` seconds after the start `person` measures with `device`, for the `ordinal`-th time.

    injection, injected: both None for an ordinary reading.
    """

    at_s: float
    person: Person
    device: OwnedDevice
    ordinal: int
    injection: Injection | None = None
    injected: Injected | None = None


class Past(NamedTuple):
    """One measurement of the days behind. session: whether it was taken in a kiosk session of this person."""

    person: Person
    observation: Observation
    injection: str


def ordinary(body: Body, concept: str, local: datetime, ordinal: int) -> Reading:
    """What the body shows at this moment. KeyError: a concept that nobody here owns a device for."""
    match concept:
        case "blood_pressure":
            return Reading(concept, tuple(body.blood_pressure(local, ordinal)))
        case "glucose":
            value, meal = body.glucose(local, ordinal)
            return Reading(concept, (value,), context=Context(meal=meal))
        case "oxygen_saturation":
            return Reading(concept, tuple(body.oximetry(local, ordinal)))
        case "body_weight":
            return Reading(concept, (body.weight(local, ordinal),))
        case "glucose_interstitial":
            return Reading(concept, (body.interstitial(local),))
    raise KeyError(concept)


def injected(injection: Injection, reading: Injected) -> Reading:
    """What an injection says."""
    context = Context(meal=reading.meal) if reading.meal else None
    return Reading(injection.measures, reading.values, reading.facts, reading.absent, context)


def shown(act: Act, body: Body, local: datetime) -> Reading:
    """What the instrument of an act shows: the injection's reading, else the body's at this wall-clock moment."""
    if act.injection is not None and act.injected is not None:
        return injected(act.injection, act.injected)
    return ordinary(body, act.device.concept, local, act.ordinal)


def observe(
    reading: Reading, device: OwnedDevice, at: datetime, *, record_no: int, session: str | None = None
) -> Observation:
    """The observation of a reading as a source reports it; the device's clock is as wrong as the device has it."""
    kind, unit = KINDS[reading.concept]
    stamp = at + timedelta(seconds=device.clock_offset_s)
    if device.route == "ble":
        # the Date Time of Bluetooth's health services: whole seconds of local time, no zone
        stamp = stamp.astimezone(IDENTITY_ZONE).replace(microsecond=0, tzinfo=None)
    return Observation(
        device=device.uid,
        kind=kind,
        values=reading.values,
        unit=unit,
        measured_at=at,
        device_at=stamp,
        record_no=record_no,
        session=session,
        absent=dict(reading.absent),
        facts=tuple(sorted({*reading.facts, "simulated"})),
        context=reading.context,
    )


def device_for(injection: Injection, person: Person, seed: int) -> OwnedDevice:
    """What an injection is measured with: the kiosk's cuff, somebody's unknown one, or the person's own device."""
    if injection.kiosk is None:
        return person.device(injection.measures)
    cuff = kiosk_cuff(seed, injection.kiosk)
    if injection.flaw is Flaw.UNKNOWN_DEVICE:
        octets = bytearray(cuff.system_id)
        octets[5] = 0xEE
        return OwnedDevice(
            uid=f"eui64:{octets.hex()}",
            concept=cuff.concept,
            label="",
            model="",
            serial="",
            route="kiosk",
        )
    return cuff


def session_uid(person: Person, at: datetime) -> str:
    """A kiosk session's name: which card-in it was, nothing about the person but the resident's number."""
    return f"{person.key.lower()}-{at.astimezone(UTC):%Y%m%dT%H%M%S%f}"


def history(scenario: Scenario, people: tuple[Person, ...], seed: int, now: datetime, zone: tzinfo) -> list[Past]:
    """All measurements of the scenario's days behind, oldest first; none of the last half hour."""
    today = now.astimezone(zone).date()
    past: list[tuple[datetime, Person, OwnedDevice, Reading, str]] = []
    for person in people:
        body = Body(seed, person.key, person.profile)
        for device in person.devices:
            if device.route != "kiosk":
                moments = _habit(device, seed, scenario.history_days, today, zone)
                past += [
                    (at, person, device, ordinary(body, device.concept, at, -n), "")
                    for n, at in enumerate(moments, 1)
                    if at < now - timedelta(minutes=30)
                ]
    by_key = {person.key: person for person in people}
    for injection in scenario.injections:
        for reading in injection.readings:
            if reading.days_ago is not None:
                person = by_key[injection.person]
                at = moment(reading, now.astimezone(zone), injection, today)
                device = device_for(injection, person, seed)
                past.append((at, person, device, injected(injection, reading), injection.id))
    past.sort(key=lambda entry: entry[0])
    numbers: dict[str, int] = {}
    found = []
    for at, person, device, shown, injection_id in past:
        numbers[device.uid] = number = numbers.get(device.uid, 0) + 1
        session = session_uid(person, at) if device.route == "kiosk" else None
        found.append(Past(person, observe(shown, device, at, record_no=number, session=session), injection_id))
    return found


def live(scenario: Scenario, people: tuple[Person, ...], seed: int) -> Iterator[Act]:
    """The live part in order of time, without end: ordinary readings at the scenario's pace, and the injections."""
    by_key = {person.key: person for person in people}
    silent = _silences(scenario)
    draws: dict[tuple[str, str], random.Random] = {}
    # the second member breaks ties, so that nothing below it is ever compared
    due: list[tuple[float, int, Person, OwnedDevice, Injection | None, Injected | None]] = []
    count = 0
    for person in people:
        for device in person.devices:
            draws[person.key, device.uid] = draw = random.Random(f"{seed}:live:{person.key}:{device.uid}")
            heapq.heappush(due, (draw.uniform(0.5, scenario.pace_s), count, person, device, None, None))
            count += 1
    for injection in scenario.injections:
        for reading in injection.readings:
            if reading.days_ago is None:
                person = by_key[injection.person]
                device = device_for(injection, person, seed)
                at_s = injection.at_s + reading.after_s
                heapq.heappush(due, (at_s, count, person, device, injection, reading))
                count += 1
    ordinals: dict[tuple[str, str], int] = {}
    while due:
        at_s, _, person, device, cause, shown = heapq.heappop(due)
        key = person.key, device.uid
        if cause is None:
            count += 1
            pause_s = scenario.pace_s * draws[key].uniform(0.7, 1.3) * (2 if device.route == "kiosk" else 1)
            heapq.heappush(due, (at_s + pause_s, count, person, device, None, None))
            if any(begin <= at_s <= end for begin, end in silent.get((person.key, device.concept), ())):
                continue
        ordinals[key] = ordinal = ordinals.get(key, 0) + 1
        yield Act(at_s, person, device, ordinal, cause, shown)


def _silences(scenario: Scenario) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """When whose instrument makes no ordinary reading: the quiet lies on both sides of the injection."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for injection in scenario.injections:
        for reading in injection.readings:
            if reading.days_ago is not None:
                continue
            at_s, quiet_s = injection.at_s + reading.after_s, max(injection.silent_s, _APART_S)
            span = at_s - quiet_s, at_s + quiet_s
            found.setdefault((injection.person, injection.measures), []).append(span)
    return found


def _habit(device: OwnedDevice, seed: int, days: int, today: date, zone: tzinfo) -> Iterator[datetime]:
    worn = min(days, _WORN_DAYS.get(device.concept, days))
    # what is worn measures by its own clock, not when somebody thinks of it
    spread = 0 if device.concept in _WORN_DAYS else 9
    for day_ago in range(worn, -1, -1):
        day = today - timedelta(days=day_ago)
        draw = random.Random(f"{seed}:habit:{device.uid}:{day}")
        for hour, likely in _HABITS[device.concept]:
            minutes = hour * 60 + draw.gauss(0, spread)
            if draw.random() < likely:
                midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
                yield midnight + timedelta(seconds=round(minutes * 60))

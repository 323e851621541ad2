"""A scenario: what happens to whom, when, and what must (and must not) come of it. Scenarios are YAML beside this file.

The scenario is the only source of the truth about alerts: an injection lists the alerts that it must cause, an empty
list says that none may come. Nothing here asks the rules under test.
"""

from __future__ import annotations

import enum
from collections.abc import Container
from datetime import date, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import msgspec
import yaml
from msgspec import Meta

from devices.message import Reason
from devices.observation import ABSENT_NAMES, FACT_NAMES, Meal
from simulators.cohort import Person

DEFAULT: Final = "everyday"


class ScenarioFault(ValueError):
    """The scenario cannot be used."""


class Flaw(enum.StrEnum):
    """What is wrong with how a reading is sent, on purpose."""

    FUTURE = "future"
    NAN_LITERAL = "nan-literal"
    UNREADABLE = "unreadable"
    UNKNOWN_DEVICE = "unknown-device"


REFUSAL: Final[dict[Flaw, Reason]] = {
    Flaw.FUTURE: Reason.FUTURE_TIME,
    Flaw.NAN_LITERAL: Reason.NOT_A_NUMBER,
    Flaw.UNREADABLE: Reason.MALFORMED,
}
"""What ingest must answer. A reading of an unknown device is stored, and waits without a person."""


class Alarm(msgspec.Struct, frozen=True, forbid_unknown_fields=True, order=True):
    """An alert that must exist: about what (a concept of `devices.nomenclature`), in which section of the queue."""

    condition: str
    grade: Annotated[str, Meta(pattern="^(emergency|worsening|recheck|two_weeks|screening|regular)$")]


class Injected(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One reading of an injection. values: in slot order, null where the device shows none.

    after_s: seconds after the injection begins; days_ago: instead a reading of the past, imported with the history;
    deliveries: how often it is sent (a cuff that forgets what it has sent).
    """

    values: tuple[float | None, ...]
    after_s: Annotated[float, Meta(ge=0)] = 0
    days_ago: Annotated[int, Meta(ge=1, le=365)] | None = None
    facts: tuple[str, ...] = ()
    absent: dict[int, str] = {}
    meal: Meal | None = None
    deliveries: Annotated[int, Meta(ge=1, le=5)] = 1


class Injection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that happens on purpose. id: names it in the ground truth; at_s: seconds after the live part begins.

    silent_s: how long before and after it the same instrument makes no ordinary reading of this person.
    session: measured at a kiosk, in a session of this person.
    """

    id: Annotated[str, Meta(pattern="^[a-z0-9-]{3,40}$")]
    person: Annotated[str, Meta(pattern="^R[0-9]{2}$")]
    measures: str
    says: str
    readings: Annotated[tuple[Injected, ...], Meta(min_length=1)]
    at_s: Annotated[float, Meta(ge=0)] = 0
    silent_s: Annotated[float, Meta(ge=0)] = 0
    flaw: Flaw | None = None
    kiosk: str | None = None
    alerts: tuple[Alarm, ...] = ()


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """pace_s: each device measures about this often while live."""

    scenario: str
    says: str
    injections: tuple[Injection, ...]
    pace_s: Annotated[float, Meta(ge=3)] = 6
    history_days: Annotated[int, Meta(ge=0, le=365)] = 90

    @property
    def live_s(self) -> float:
        """Seconds until the last injected reading."""
        times = [i.at_s + r.after_s for i in self.injections for r in i.readings if r.days_ago is None]
        return max(times, default=0.0)

    def expected(self, happened: Container[str] | None = None) -> dict[str, list[Alarm]]:
        """Person to the alerts that must exist once these injections (ids; None: all) have happened or begun."""
        found: dict[str, list[Alarm]] = {}
        for injection in self.injections:
            if injection.alerts and (happened is None or injection.id in happened):
                found.setdefault(injection.person, []).extend(injection.alerts)
        return found


def load(name_or_path: str, people: tuple[Person, ...] = ()) -> Scenario:
    """A scenario shipped here by name, or a file by path. Errors: `ScenarioFault`, saying where."""
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"}:
        text = path.read_text(encoding="utf-8")
    else:
        shipped = resources.files("simulators") / "scenarios" / f"{name_or_path}.yaml"
        if not shipped.is_file():
            raise ScenarioFault(f"no scenario {name_or_path!r}; shipped: {', '.join(shipped_names())}")
        text = shipped.read_text(encoding="utf-8")
    try:
        scenario = msgspec.convert(yaml.safe_load(text), Scenario)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ScenarioFault(f"{name_or_path}: {error}") from None
    _check(scenario, people)
    return scenario


def shipped_names() -> list[str]:
    """The scenarios that come with this package."""
    folder = resources.files("simulators") / "scenarios"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def moment(reading: Injected, started_at: datetime, injection: Injection, zone_day: date) -> datetime:
    """When an injected reading is taken: live ones count from the start, past ones lie at 09:30 of their day."""
    if reading.days_ago is None:
        return started_at + timedelta(seconds=injection.at_s + reading.after_s)
    day = zone_day - timedelta(days=reading.days_ago)
    return datetime(day.year, day.month, day.day, 9, 30, tzinfo=started_at.tzinfo) + timedelta(seconds=reading.after_s)


def _check(scenario: Scenario, people: tuple[Person, ...]) -> None:
    keys = {person.key for person in people}
    seen: set[str] = set()
    for injection in scenario.injections:
        where = f"{scenario.scenario}: injection {injection.id}"
        if injection.id in seen:
            raise ScenarioFault(f"{where}: there are two of this id")
        seen.add(injection.id)
        if people and injection.person not in keys:
            raise ScenarioFault(f"{where}: nobody is called {injection.person}")
        for reading in injection.readings:
            unknown = set(reading.facts) - FACT_NAMES.keys() | set(reading.absent.values()) - ABSENT_NAMES.keys()
            if unknown:
                raise ScenarioFault(f"{where}: unknown words {', '.join(sorted(unknown))}")

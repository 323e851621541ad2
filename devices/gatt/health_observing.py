"""From health observations to ours: what has a slot in a kind becomes one, the rest has a reason. Provisional.

Numbers that one body (or the members of one bundle, for one person at one time) says are one observation a kind, as
everywhere else. All bear `Fact.PROVISIONAL` until a captured frame of a real device confirms the layout.
Source: as `health_observation`; the status bits: STM32 ghs.h and Realtek ghss_gatt_svc, which agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from devices.clock import Moment
from devices.errors import DeviceError
from devices.gatt.elapsed_time import ElapsedTime, place
from devices.gatt.health_observation import HealthObservation, Numeric, ObservationClass
from devices.gatt.record import UNKNOWN_USER, DeviceFacts, facts_of
from devices.gatt.record import observe as record_of
from devices.ieee11073.enumerations import CONTROL_SOLUTION, MEALS, SITES
from devices.ieee11073.measures import PLACES, Place, converted, default_row, row_of
from devices.medfloat import Medfloat
from devices.nomenclature import BY_CODE, GLUCOSE_CONTROL, GLUCOSE_KINDS
from devices.observation import Context, Fact, Observation
from devices.plausibility import Value

_STATUS: Final = (
    (0x0001, Fact.INVALID),
    (0x0002, Fact.QUESTIONABLE),
    (0x0004, Fact.NOT_AVAILABLE),
    (0x0008, Fact.CALIBRATION_ONGOING),
    (0x0010, Fact.TEST_DATA),
    (0x0020, Fact.EARLY_ESTIMATE),
    (0x0040, Fact.MANUALLY_ENTERED),
)
_SETTING: Final = 0x0080
_CONTEXT: Final = 128 << 16
_MODAL: Final = frozenset({2 << 16 | 19508, 2 << 16 | 19512})
"""Fast and slow responding oximetry: never in the place of the reading itself."""


class NoKind(DeviceError):
    """What was observed has no place among the kinds that are known here."""


class _Number(NamedTuple):
    there: Place
    value: Medfloat
    unit: int
    body: HealthObservation

    @property
    def modal(self) -> bool:
        return not _MODAL.isdisjoint(self.body.supplemental)


def observe(body: HealthObservation, source: DeviceFacts, moment: Moment) -> tuple[Observation, ...]:
    """The observations in a body; `why_none` says why there are fewer than it holds. Nothing that it says raises."""
    groups: dict[tuple[ElapsedTime | None, int | None], list[_Number]] = {}
    for found in _numbers_in(body):
        if isinstance(found, _Number):
            groups.setdefault((found.body.time, found.body.patient), []).append(found)
    return tuple(
        observation
        for (time, patient), numbers in groups.items()
        for observation in _of_group(numbers, time, patient, source, moment)
    )


def why_none(body: HealthObservation) -> DeviceError | None:
    """Why the body, or a part of it, gives no observation. None: all of it does."""
    return next((found for found in _numbers_in(body) if isinstance(found, DeviceError)), None)


def _numbers_in(body: HealthObservation) -> Iterator[_Number | DeviceError]:
    """The numbers with a place, and the reason for whatever has none."""
    try:
        content = body.content
    except DeviceError as error:
        yield error
        return
    if body.kind == ObservationClass.BUNDLE:
        for member in content:
            yield from _numbers_in(_inherited(member, body))
    elif (body.status or 0) & _SETTING:
        yield NoKind("a setting of the sensor is nobody's reading", field="status")
    elif body.kind == ObservationClass.NUMERIC:
        yield _number(body.type, content, body)
    elif body.kind == ObservationClass.COMPOUND:
        for component in content:
            if component.kind == ObservationClass.NUMERIC:
                yield _number(component.type, component.value, body)
            else:
                yield NoKind(f"{component.type} is no number", field="class")
    else:
        yield NoKind(f"a value of class {body.kind} is no number", field="class")


def _inherited(member: HealthObservation, bundle: HealthObservation) -> HealthObservation:
    """What the bundle says once holds for each of its members."""
    names = ("type", "time", "status", "patient")
    missing = {name: getattr(bundle, name) for name in names if getattr(member, name) is None}
    supplemental = member.supplemental or bundle.supplemental
    return msgspec.structs.replace(member, supplemental=supplemental, **missing)


def _number(code: int | None, numeric: Numeric, body: HealthObservation) -> _Number | DeviceError:
    there = PLACES.get(code or 0)
    if there is None:
        return NoKind(f"{code} has no slot in any kind", field="type")
    row = row_of(there.kind, numeric.unit) if there.slot == 0 else default_row(there.kind)
    rows = BY_CODE[there.kind].units
    if row is None or not any(
        converted(numeric.value, numeric.unit, units[there.slot]) is not None for units in rows.values()
    ):
        return NoKind(f"{BY_CODE[there.kind].ref} is not said in unit {numeric.unit}", field="unit")
    return _Number(there, numeric.value, numeric.unit, body)


def _of_group(
    numbers: list[_Number], time: ElapsedTime | None, patient: int | None, source: DeviceFacts, moment: Moment
) -> Iterator[Observation]:
    drafts: dict[int, list[dict[int, _Number]]] = {}
    for number in sorted(numbers, key=lambda one: one.modal):
        filled = drafts.setdefault(number.there.kind, [])
        if number.modal and any(number.there.slot in draft for draft in filled):
            continue
        free = next((draft for draft in filled if number.there.slot not in draft), None)
        if free is None:
            filled.append({number.there.slot: number})
        else:
            free[number.there.slot] = number
    placed = place(time, moment)
    for group, filled in drafts.items():
        for index, draft in enumerate(filled):
            kind = GLUCOSE_CONTROL if _is_control(group, draft) else group
            leading = draft.get(0)
            row = default_row(kind) if leading is None else row_of(kind, leading.unit)
            assert row is not None  # seen to in `_number`
            facts = Fact.PROVISIONAL.value
            if kind == GLUCOSE_CONTROL:
                facts |= Fact.CONTROL_SOLUTION.value
            for number in draft.values():
                facts |= facts_of(number.body.status, _STATUS)
            values: list[Value] = [
                None if slot not in draft else converted(draft[slot].value, draft[slot].unit, unit)
                for slot, unit in enumerate(BY_CODE[kind].units[row])
            ]
            yield record_of(
                kind,
                values,
                row,
                source=source,
                time=placed,
                facts=facts,
                record_no=index,
                slot=None if patient is None or patient == UNKNOWN_USER else patient,
                context=_context(draft),
            )


def _is_control(kind: int, draft: dict[int, _Number]) -> bool:
    """By its own code, or by the place of the sample."""
    if kind not in GLUCOSE_KINDS:
        return kind == GLUCOSE_CONTROL
    return any(_CONTEXT | CONTROL_SOLUTION in number.body.supplemental for number in draft.values())


def _context(draft: dict[int, _Number]) -> Context | None:
    codes = [code for number in draft.values() for code in number.body.supplemental]
    meal = next((MEALS[code - _CONTEXT] for code in codes if code - _CONTEXT in MEALS), None)
    site = next((SITES[code - _CONTEXT] for code in codes if code - _CONTEXT in SITES), None)
    site = site or next((number.there.site for number in draft.values() if number.there.site), None)
    return None if meal is None and site is None else Context(meal=meal, site=site)

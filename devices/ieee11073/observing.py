"""From reports to observations: the same class, kinds and slots as from Bluetooth.

What one person's devices said with one stamp is one observation a kind. Which attribute of which object fills which
slot are tables; the judgements about zeros, HI and LO are those of docs/decisions/0024, shared through `gatt.record`.
Sources: ISO/IEEE 11073-10404, -10407, -10408, -10415, -10417, -10420 (objects), 11073-20601 annex A.3 (status).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from devices.clock import CorrectedTime
from devices.gatt.record import DeviceFacts, facts_of, nonzero
from devices.gatt.record import observe as record_of
from devices.ieee11073.attribute_values import NuObsValue
from devices.ieee11073.codes import Attr, ObjectClass
from devices.ieee11073.enumerations import NONE, Circumstances, circumstances
from devices.ieee11073.measures import MODALITIES, PLACES, Place, converted, default_row, row_of
from devices.ieee11073.objects import Measured, Reported
from devices.ieee11073.shapes import Shapes
from devices.ieee11073.stamping import Heard, Stamp, place, stamp_in
from devices.medfloat import Medfloat
from devices.nomenclature import BLOOD_PRESSURE, BODY_COMPOSITION, BODY_MASS, BY_CODE, GLUCOSE_CONTROL, GLUCOSE_KINDS
from devices.observation import Context, Fact, Observation, Site
from devices.plausibility import Value

MOST_SLOT: Final = 254
"""A larger person id does not fit a slot; it names a session, so that it can never be taken for another person."""
STATUS: Final = (
    (0x8000, Fact.INVALID),
    (0x4000, Fact.QUESTIONABLE),
    (0x2000, Fact.NOT_AVAILABLE),
    (0x1000, Fact.CALIBRATION_ONGOING),
    (0x0800, Fact.TEST_DATA),
    (0x0400, Fact.DEMO_DATA),
    (0x0080, Fact.VALIDATED),
    (0x0040, Fact.EARLY_ESTIMATE),
)
"""MeasurementStatus (annex A.3); 0x0020, measurement ongoing, says nothing about the value."""
_MANUAL: Final = 0x0008
"""Metric-Spec-Small: somebody typed it in."""
_UNCOMPUTED_ZERO: Final = {
    BLOOD_PRESSURE: frozenset({2}),
    BODY_MASS: frozenset({1, 2}),
    BODY_COMPOSITION: frozenset(range(1, 10)),
}
_NO_SLOTS: Final[frozenset[int]] = frozenset()
_ENUMERATION: Final = ObjectClass.METRIC_ENUM.value
# plain integers: the hash of a member of an enumeration costs more than the look-up
_SINGLE: Final = frozenset({Attr.NU_VAL_OBS_BASIC.value, Attr.NU_VAL_OBS_SIMP.value})
_COMPOUND: Final = frozenset({Attr.NU_CMPD_VAL_OBS_BASIC.value, Attr.NU_CMPD_VAL_OBS_SIMP.value})
_OWN: Final = frozenset({Attr.NU_VAL_OBS.value, Attr.NU_CMPD_VAL_OBS.value})
_NUMBERS: Final = _SINGLE | _COMPOUND | _OWN
_PARTITION: Final = Attr.METRIC_ID_PART.value
_UNIT: Final = Attr.UNIT_CODE.value
_STATE: Final = Attr.MSMT_STAT.value
_MANUALLY_ENTERED: Final = Fact.MANUALLY_ENTERED.value
_SHAPES: Final = Shapes(_SINGLE, _COMPOUND, _OWN | {_PARTITION, _UNIT, _STATE}, _UNCOMPUTED_ZERO)


class Number(msgspec.Struct, frozen=True, gc=False):
    """One value of a measurement. code: 32-bit MDC code.  unit: its term.  state, spec: status bits."""

    code: int
    value: Medfloat
    unit: int | None
    state: int = 0
    spec: int = 0


def numbers_of(measured: Measured) -> list[Number]:
    """The numbers that were said about one object, each with its own code."""
    metric, values = measured.metric, measured.values
    ids, spec = metric.ids, metric.spec
    partition = values.get(_PARTITION, metric.type.partition) << 16
    unit = values.get(_UNIT, metric.unit)
    state = values.get(_STATE, 0)
    found: list[Number] = []
    for attribute, said in values.items():
        if attribute in _SINGLE:
            found.append(Number(partition | (ids[0] if ids else metric.type.code), said, unit, state, spec))
        elif attribute in _COMPOUND:
            for code, one in zip(ids, said, strict=False):
                found.append(Number(partition | code, one, unit, state, spec))
        elif attribute in _OWN:
            for own in (said,) if isinstance(said, NuObsValue) else said:
                found.append(Number(partition | own.metric_id, own.value, own.unit, own.state | state, spec))  # noqa: PERF401
    return found


def has_numbers(reported: Iterable[Reported]) -> bool:
    """Something was measured."""
    return any(not _NUMBERS.isdisjoint(measured.values) for one in reported for measured in one.measured)


class _Draft:
    """An observation that is being filled. modal: slots that hold a fast or slow responding value."""

    __slots__ = ("modal", "number", "site", "slots", "trailing")

    def __init__(self, number: int) -> None:
        self.number = number
        self.slots: dict[int, Number] = {}
        self.modal: set[int] = set()
        self.site: Site | None = None
        self.trailing = b""


class _Drafts:
    """Those of one kind. first_free: by slot and whether a fast or slow value seeks it, before which draft nothing is
    free; what is filled stays so, and a report may have thousands."""

    __slots__ = ("all", "first_free")

    def __init__(self) -> None:
        self.all: list[_Draft] = []
        self.first_free: dict[tuple[int, bool], int] = {}


def observe(reported: Iterable[Reported], source: DeviceFacts, heard: Heard) -> tuple[Observation, ...]:
    """The observations in a report, person by person. What has no kind here gives none."""
    found: list[Observation] = []
    for one in reported:
        slot, mine = _person(one.person, source)
        for stamp, group in _by_stamp(one.measured):
            time = place(stamp, heard)
            quick = _of_shape(group, mine, time, slot, one.form if group is one.measured else None)
            found.extend(_of_record(group, mine, time, slot) if quick is None else quick)
    return tuple(found)


def _of_shape(
    group: Sequence[Measured], source: DeviceFacts, time: CorrectedTime, slot: int | None, form: object
) -> list[Observation] | None:
    """What `_of_record` makes of a group that has nothing beside its numbers. None: it has to be worked out."""
    shape = _SHAPES.of(group, form)
    if shape is None:
        return None
    found: list[Observation] = []
    for kind, row, values_in, spec, site, objects in shape:
        try:
            values = values_in(group)
        except IndexError:
            return None
        trailing = b""
        if form is None:
            # octets after those that the map names are of no form
            for at in objects:
                trailing = trailing or group[at].trailing
        facts = _MANUALLY_ENTERED if spec & _MANUAL else 0
        context = None if site is None else Context(site=site)
        found.append(record_of(kind, values, row, source, time, facts, trailing, slot, context))
    return found


def _person(person: int | None, source: DeviceFacts) -> tuple[int | None, DeviceFacts]:
    if person is None or person <= MOST_SLOT:
        return person, source
    return None, source._replace(session=f"person-{person}")


def _by_stamp(measured: tuple[Measured, ...]) -> Iterable[tuple[Stamp | None, Sequence[Measured]]]:
    if not measured:
        return ()
    first = stamp_in(measured[0].values)
    for one in measured[1:]:
        if stamp_in(one.values) != first:
            break
    else:
        return ((first, measured),)
    stamps = [stamp_in(one.values) for one in measured]
    groups: dict[Stamp | None, list[Measured]] = {}
    for stamp, one in zip(stamps, measured, strict=True):
        groups.setdefault(stamp, []).append(one)
    return groups.items()


def _of_record(
    group: Sequence[Measured], source: DeviceFacts, time: CorrectedTime, slot: int | None
) -> list[Observation]:
    drafts: dict[int, _Drafts] = {}
    enumerations: list[Measured] = []
    for measured in group:
        metric = measured.metric
        if metric.object_class == _ENUMERATION:
            enumerations.append(measured)
            continue
        modal = bool(metric.supplemental) and not MODALITIES.isdisjoint(metric.supplemental)
        for number in numbers_of(measured):
            place_there = PLACES.get(number.code)
            if place_there is not None:
                filled = drafts.get(place_there.kind)
                if filled is None:
                    filled = drafts[place_there.kind] = _Drafts()
                _fill(filled, place_there, number, modal, measured.trailing)
    if not drafts:
        return []
    beside = circumstances(enumerations) if enumerations else NONE
    return [
        observation
        for kind, filled in drafts.items()
        for draft in filled.all
        if (observation := _observation(kind, draft, source, time, slot, beside)) is not None
    ]


def _fill(drafts: _Drafts, there: Place, number: Number, modal: bool, trailing: bytes) -> None:
    """Into the first draft that has the slot free; a plain value takes the place of a fast or slow one."""
    key, found = (there.slot, modal), drafts.all
    at = drafts.first_free.get(key, 0)
    while at < len(found) and there.slot in found[at].slots and (modal or there.slot not in found[at].modal):
        at += 1
    drafts.first_free[key] = at
    if at == len(found):
        if modal and found:
            return
        found.append(_Draft(at))
    draft = found[at]
    draft.slots[there.slot] = number
    if modal:
        draft.modal.add(there.slot)
    else:
        draft.modal.discard(there.slot)
    draft.site = there.site or draft.site
    draft.trailing = draft.trailing or trailing


def _observation(  # noqa: PLR0917  one call, and keywords are dear here
    kind: int,
    draft: _Draft,
    source: DeviceFacts,
    time: CorrectedTime,
    slot: int | None,
    beside: Circumstances,
) -> Observation | None:
    """None: no value is in a unit that its kind knows."""
    leading = draft.slots.get(0)
    row = default_row(kind) if leading is None else row_of(kind, leading.unit)
    if row is None:
        return None
    known = BY_CODE[kind]
    zeros = _UNCOMPUTED_ZERO.get(kind, _NO_SLOTS)
    values: list[Value] = []
    state = sent = 0
    facts = beside.facts
    if leading is not None and leading.spec & _MANUAL:
        facts |= Fact.MANUALLY_ENTERED
    for index, unit in enumerate(known.units[row]):
        number = draft.slots.get(index)
        value = None if number is None else converted(number.value, number.unit, unit)
        if number is None or value is None:
            values.append(None)
            continue
        values.append(nonzero(value) if index in zeros else value)
        state |= number.state
        sent += 1
    if not sent:
        return None
    if state:
        facts |= facts_of(state, STATUS)
    if (beside.control and kind in GLUCOSE_KINDS) or kind == GLUCOSE_CONTROL:
        kind = GLUCOSE_CONTROL
        facts |= Fact.CONTROL_SOLUTION
    site = draft.site or beside.site
    return record_of(
        kind,
        values,
        row,
        source=source,
        time=time,
        facts=facts,
        trailing=draft.trailing,
        record_no=draft.number,
        slot=slot,
        context=Context(meal=beside.meal, site=site) if beside.meal or site else None,
    )

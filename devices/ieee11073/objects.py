"""The objects an agent consists of, and what its reports say about them.

A `Configuration` is made from the objects of a configuration report, or from the table of a standard configuration; it
turns observations, which carry no ids, into attributes with values. Values only, no I/O.
Source: ISO/IEEE 11073-20601, clause 6.3 (domain information model: metrics, PM-store, scanners).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from devices.errors import BadValue, Truncated
from devices.ieee11073.attribute import Attribute, Mapped
from devices.ieee11073.attribute_values import Type, value_of, values_of
from devices.ieee11073.codes import PERSON_UNKNOWN, Attr, ObjectClass
from devices.ieee11073.events import ConfigObject, ConfigReport
from devices.ieee11073.scan_report import FixedObs, Obs, Person, ScanReport, VarObs
from devices.ieee11073.stamping import stamp_in
from devices.ieee11073.value_maps import NO_PLAN, Plan, plan_of, read_mapped
from devices.ieee11073.wide_values import as_sent

METRICS: Final = frozenset(
    {ObjectClass.METRIC, ObjectClass.METRIC_ENUM, ObjectClass.METRIC_NU, ObjectClass.METRIC_SA_RT}
)
SCANNERS: Final = frozenset({ObjectClass.SCAN_CFG_EPI, ObjectClass.SCAN_CFG_PERI})
_CHANGEABLE: Final = frozenset(
    {Attr.ATTRIBUTE_VAL_MAP, Attr.UNIT_CODE, Attr.ID_PHYSIO, Attr.ID_PHYSIO_LIST, Attr.ID_TYPE}
)
_NEEDED: Final = _CHANGEABLE | {Attr.METRIC_SPEC_SMALL, Attr.SUPPLEMENTAL_TYPES}


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A numeric, an enumeration or a real-time sample array.

    type: what is measured.  ids: of the components of a compound, or the one id that stands for the type's code.
    unit: term of the unit.  value_map: what an observation of fixed format holds.  plan: how that is read.
    supplemental: modality and others.
    """

    object_class: int
    handle: int
    type: Type
    ids: tuple[int, ...] = ()
    unit: int | None = None
    value_map: tuple[Mapped, ...] = ()
    plan: Plan = NO_PLAN
    spec: int = 0
    supplemental: tuple[Type, ...] = ()
    attributes: tuple[Attribute, ...] = ()

    @property
    def is_number(self) -> bool:
        """Not an enumeration, whose values are terms, bits or texts."""
        return self.object_class != ObjectClass.METRIC_ENUM


class Scanner(msgspec.Struct, frozen=True, kw_only=True):
    """An episodic or periodic scanner. layout: what one grouped observation holds, object by object."""

    object_class: int
    handle: int
    layout: tuple[tuple[int, tuple[Mapped, ...]], ...] = ()
    handles: tuple[int, ...] = ()
    confirmed: bool = True
    enabled: bool = False
    attributes: tuple[Attribute, ...] = ()


class PmStore(msgspec.Struct, frozen=True, kw_only=True):
    """A store of segments. capabilities: bits of Pm-Store-Capab.  clear_timeout: relative time that it may take to
    clear what it is told to (Clear-Timeout); 0 where it does not say."""

    handle: int
    capabilities: int = 0
    clear_timeout: int = 0
    attributes: tuple[Attribute, ...] = ()
    object_class: int = ObjectClass.VMO_PMSTORE


Device = Metric | Scanner | PmStore


class Measured(msgspec.Struct, frozen=True, gc=False):
    """What was said about one object. values: attribute id to value.  trailing: octets after those its map names."""

    metric: Metric
    values: dict[int, Any]
    trailing: bytes = b""


class Reported(msgspec.Struct, frozen=True, gc=False):
    """What was said about one person. person: None where the report does not say who.  unknown: observations of
    handles that the configuration does not have.  form: the same for all that say the same things of the same objects
    (`fixed_reports`); None: not known."""

    person: int | None
    measured: tuple[Measured, ...]
    unknown: tuple[Obs, ...] = ()
    form: object = None


class Configuration(msgspec.Struct, frozen=True):
    """All objects by their handle. id: 0001-3FFF standard, 4000-7FFF extended."""

    id: int
    objects: dict[int, Device]

    @classmethod
    def of(cls, report: ConfigReport) -> Configuration:
        """BadValue: a handle is 0 or taken twice, or an object is of no known class. Truncated."""
        objects: dict[int, Device] = {}
        for one in report.objects:
            if not one.handle or one.handle in objects:
                raise BadValue(f"handle {one.handle} is taken", field="obj-handle")
            objects[one.handle] = _object(one)
        return cls(report.id, objects)

    @property
    def report(self) -> ConfigReport:
        """As an agent sends it."""
        rows = (ConfigObject(one.object_class, one.handle, one.attributes) for one in self.objects.values())
        return ConfigReport(self.id, tuple(rows))

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """In the order of the configuration."""
        return tuple(one for one in self.objects.values() if isinstance(one, Metric))

    @property
    def scanners(self) -> tuple[Scanner, ...]:
        """In the order of the configuration."""
        return tuple(one for one in self.objects.values() if isinstance(one, Scanner))

    @property
    def stores(self) -> tuple[PmStore, ...]:
        """In the order of the configuration."""
        return tuple(one for one in self.objects.values() if isinstance(one, PmStore))

    def changed(self, handle: int, attributes: Iterable[Attribute]) -> Configuration:
        """With the attributes that a report of variable format has changed: map, unit, type and ids of a metric."""
        known = self.objects.get(handle)
        new = {one.id: one for one in attributes if one.id in _CHANGEABLE}
        if not isinstance(known, Metric) or not new:
            return self
        kept = tuple(one for one in known.attributes if one.id not in new)
        altered = _object(ConfigObject(known.object_class, handle, (*kept, *new.values())))
        return Configuration(self.id, {**self.objects, handle: altered})

    def read(self, report: ScanReport, scanner: int = 0) -> tuple[Reported, ...]:
        """The observations of a scan report, person by person. scanner: handle of the scanner that sent it, 0: the MDS.

        Truncated: an observation is shorter than its map. BadValue.
        """
        found = tuple(self._of_person(person, scanner) for person in report.persons)
        return _padded(found, report.padding) if report.padding else found

    def _of_person(self, person: Person, scanner: int) -> Reported:
        found: list[Measured] = []
        unknown: list[Obs] = []
        first: dict[int, bytes] = {}
        said: set[tuple[int, bytes]] = set()
        objects = self.objects
        for obs in person.observations:
            if type(obs) is FixedObs:
                metric = objects.get(obs.handle)
                if type(metric) is Metric:
                    handle, data = obs.handle, obs.data
                    one = read_fixed_values(metric, data)
                    before = first.setdefault(handle, data)
                    if before is not data and not scanner and _is_of_a_moment(one):
                        if before == data or (handle, data) in said:
                            continue
                        said.add((handle, data))
                    found.append(one)
                else:
                    unknown.append(obs)
            elif isinstance(obs, VarObs):
                metric = objects.get(obs.handle)
                if isinstance(metric, Metric):
                    found.append(self._var(metric, obs))
                else:
                    unknown.append(obs)
            elif isinstance(obs, bytes):
                found.extend(self._grouped(obs, scanner))
        identity = None if person.id == PERSON_UNKNOWN else person.id
        return Reported(identity, tuple(found), tuple(unknown))

    def _var(self, metric: Metric, obs: VarObs) -> Measured:
        altered = self.changed(obs.handle, obs.attributes).objects[obs.handle]
        assert isinstance(altered, Metric)
        return Measured(altered, values_of(obs.attributes))

    def _grouped(self, data: bytes, handle: int) -> list[Measured]:
        scanner = self.objects.get(handle)
        if not isinstance(scanner, Scanner) or not scanner.layout:
            raise BadValue(f"object {handle} is no scanner with a layout", field="obs-scan-grouped")
        found, at = [], 0
        for one, rows in scanner.layout:
            values, at = read_mapped(rows, data, at)
            metric = self.objects.get(one)
            if isinstance(metric, Metric):
                found.append(Measured(metric, values))
        if at != len(data):
            raise BadValue(f"{len(data) - at} octets after the last value", field="obs-scan-grouped")
        return _of_one_moment(found)


def _of_one_moment(found: list[Measured]) -> list[Measured]:
    """A group is of one moment: the stamp that stands with one of its objects is that of those without."""
    stamps = {stamp for one in found if (stamp := stamp_in(one.values)) is not None}
    if len(stamps) != 1:
        return found
    ((attribute, value),) = stamps
    return [
        one if attribute in one.values else msgspec.structs.replace(one, values={**one.values, attribute: value})
        for one in found
    ]


_STAMPS: Final = frozenset({Attr.TIME_STAMP_ABS.value, Attr.TIME_STAMP_BO.value})


def _is_of_a_moment(one: Measured) -> bool:
    """Some agents say the same of the same object, of the same moment, twice in a report: then it is said once. (A
    scanner's buffer holds several values of one moment, which may well be equal.)"""
    return one.metric.object_class == ObjectClass.METRIC_NU and not _STAMPS.isdisjoint(one.values)


def _padded(found: tuple[Reported, ...], padding: int) -> tuple[Reported, ...]:
    """Octets at the end of the report are octets after its last observation."""
    *others, last = found
    if not last.measured:
        return found
    *before, measured = last.measured
    marked = msgspec.structs.replace(measured, trailing=measured.trailing or bytes(padding))
    return (*others, msgspec.structs.replace(last, measured=(*before, marked)))


def read_fixed_values(metric: Metric, data: bytes) -> Measured:
    """An observation of fixed format. Truncated, BadValue: name the attribute."""
    rows = metric.value_map
    plan = metric.plan
    if len(data) < plan.size:
        read_mapped(rows, data, 0)
    if len(data) > plan.size:
        rows = as_sent(rows, data)
        plan = plan_of(rows)
    try:
        values = {attribute: read(data[at:end]) for attribute, at, end, read in plan.rows}
    except (Truncated, BadValue):
        # again, and slowly, for the name of the attribute
        values, _ = read_mapped(rows, data, 0)
    return Measured(metric, values, data[plan.size :])


def _values(one: ConfigObject) -> dict[int, Any]:
    """What an object says of itself. What cannot be read is as if it were not said, unless a reading depends on it."""
    found: dict[int, Any] = {}
    for attribute in one.attributes:
        try:
            found[attribute.id] = value_of(attribute.id, attribute.value)
        except (Truncated, BadValue):
            if attribute.id in _NEEDED and one.object_class in METRICS:
                raise
    return found


def _object(one: ConfigObject) -> Device:
    values = _values(one)
    if one.object_class in METRICS:
        kind = values.get(Attr.ID_TYPE)
        value_map = values.get(Attr.ATTRIBUTE_VAL_MAP, ())
        if kind is None:
            raise BadValue(f"object {one.handle} has no type", field="type")
        ids = values.get(Attr.ID_PHYSIO_LIST) or ((values[Attr.ID_PHYSIO],) if Attr.ID_PHYSIO in values else ())
        return Metric(
            object_class=one.object_class,
            handle=one.handle,
            type=kind,
            ids=ids,
            unit=values.get(Attr.UNIT_CODE),
            value_map=value_map,
            plan=plan_of(value_map),
            spec=values.get(Attr.METRIC_SPEC_SMALL, 0),
            supplemental=values.get(Attr.SUPPLEMENTAL_TYPES, ()),
            attributes=one.attributes,
        )
    if one.object_class in SCANNERS:
        return Scanner(
            object_class=one.object_class,
            handle=one.handle,
            layout=values.get(Attr.SCAN_HANDLE_ATTR_VAL_MAP, ()),
            handles=values.get(Attr.SCAN_HANDLE_LIST, ()),
            confirmed=values.get(Attr.CONFIRM_MODE, 1) == 1,
            enabled=values.get(Attr.OP_STAT, 0) == 1,
            attributes=one.attributes,
        )
    if one.object_class == ObjectClass.VMO_PMSTORE:
        return PmStore(
            handle=one.handle,
            capabilities=values.get(Attr.PM_STORE_CAPAB, 0),
            clear_timeout=values.get(Attr.CLEAR_TIMEOUT, 0),
            attributes=one.attributes,
        )
    raise BadValue(f"{one.object_class} is no class of an object in a configuration", field="obj-class")

"""What the same objects say in the same way each time: where the slots of their observations are found.

A device sends reports of one shape for as long as it is associated. What `observing` works out for one of them (which
attribute of which object fills which slot, in which unit) holds for all, as long as nothing is said beside the numbers:
no status, no enumeration, no unit of its own. Only such shapes are kept here; all others are worked out each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from devices.gatt.record import nonzero
from devices.ieee11073.measures import PLACES, default_row, places_between, row_of
from devices.ieee11073.objects import Measured, Metric
from devices.nomenclature import BY_CODE, GLUCOSE_CONTROL
from devices.observation import Site
from devices.plausibility import Value

MOST: Final = 512
"""Shapes kept; a ward's devices have a few dozen."""


class Source(NamedTuple):
    """Where the value of a slot is. at: which object of the group.  component: of a compound, -1: there is one value.
    places: to move the point."""

    at: int
    attribute: int
    component: int
    places: int
    zero_is_none: bool

    def __str__(self) -> str:
        """As source: `group[0].values[2636][1]`."""
        found = f"group[{self.at}].values[{self.attribute}]"
        if self.component >= 0:
            found += f"[{self.component}]"
        if self.places:
            found += f".shifted({self.places})"
        return f"nonzero({found})" if self.zero_is_none else found


class Filled(NamedTuple):
    """One observation of the shape. values: in slot order, as a group says them; IndexError: a compound has fewer
    components than it has ids.  objects: those of the group that fill it."""

    kind: int
    row: str
    values: Callable[[Sequence[Measured]], tuple[Value, ...]]
    spec: int
    site: Site | None
    objects: tuple[int, ...]


def _compiled(sources: Sequence[Source | None]) -> Callable[[Sequence[Measured]], tuple[Value, ...]]:
    """`lambda group: (group[0].values[2636][0], …)`: a loop over the sources takes three times as long."""
    found: Callable[[Sequence[Measured]], tuple[Value, ...]] = eval(  # noqa: S307  of constants
        f"lambda group: ({', '.join(str(one) for one in sources)},)", {"nonzero": nonzero}
    )
    return found


class _Kept(NamedTuple):
    """metrics: held, so that their identities stay theirs."""

    metrics: tuple[Metric, ...]
    filled: tuple[Filled, ...] | None


class Shapes:
    """The shapes seen before. single, compound: attributes with one value and with several.  never: attributes whose
    presence makes a report one of its own.  zeros: slots of a kind in which zero is no value."""

    def __init__(
        self,
        single: frozenset[int],
        compound: frozenset[int],
        never: frozenset[int],
        zeros: dict[int, frozenset[int]],
    ) -> None:
        self._single = single
        self._compound = compound
        self._never = never
        self._zeros = zeros
        self._kept: dict[object, _Kept] = {}

    def of(self, group: Sequence[Measured], form: object = None) -> tuple[Filled, ...] | None:
        """Of this group; None: it has to be worked out. form: the same for all groups of this shape, or not known."""
        key = form or tuple([(id(one.metric), *one.values) for one in group])
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= MOST:
                self._kept.clear()
            kept = self._kept[key] = _Kept(tuple(one.metric for one in group), self._made(group))
        return kept.filled

    def _made(self, group: Sequence[Measured]) -> tuple[Filled, ...] | None:
        slots: dict[int, dict[int, tuple[int, int, int, Metric, Site | None]]] = {}
        for index, one in enumerate(group):
            metric = one.metric
            if metric.supplemental or not metric.is_number or not self._never.isdisjoint(one.values):
                return None
            for attribute in one.values:
                for component, term in self._terms(metric, attribute):
                    there = PLACES.get(metric.type.partition << 16 | term)
                    if there is None:
                        continue
                    taken = slots.setdefault(there.kind, {})
                    if there.slot in taken or there.kind == GLUCOSE_CONTROL:
                        return None
                    taken[there.slot] = (index, attribute, component, metric, there.site)
        found = [self._filled(kind, taken) for kind, taken in slots.items()]
        return None if None in found else tuple(one for one in found if one is not None)

    def _terms(self, metric: Metric, attribute: int) -> list[tuple[int, int]]:
        if attribute in self._single:
            return [(-1, metric.ids[0] if metric.ids else metric.type.code)]
        return list(enumerate(metric.ids)) if attribute in self._compound else []

    def _filled(self, kind: int, taken: dict[int, tuple[int, int, int, Metric, Site | None]]) -> Filled | None:
        leading = taken.get(0)
        row = default_row(kind) if leading is None else row_of(kind, leading[3].unit)
        if row is None:
            return None
        zeros = self._zeros.get(kind, frozenset())
        sources: list[Source | None] = []
        for slot, ucum in enumerate(BY_CODE[kind].units[row]):
            if slot not in taken:
                sources.append(None)
                continue
            index, attribute, component, metric, _ = taken[slot]
            places = places_between(metric.unit, ucum)
            if places is None:
                return None
            sources.append(Source(index, attribute, component, places, slot in zeros))
        objects = tuple(sorted({one[0] for one in taken.values()}))
        site = next((one[4] for one in reversed(taken.values()) if one[4]), None)
        return Filled(kind, row, _compiled(sources), 0 if leading is None else leading[3].spec, site, objects)

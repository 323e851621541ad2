"""Reports of fixed format, read in one go where one of the same layout came before.

The scan reports of fixed format that one device sends differ in their numbers and stamps alone: the same objects in the
same order, with the same sizes. What stands where is worked out for the first of them and compiled, as a characteristic
is (docs/decisions/0086); every other report, and every one that is not quite like it, is read octet by octet.
Source: ISO/IEEE 11073-20601, annex A.11 (ScanReportInfoFixed), clause 6.3.3.3 (Attribute-Value-Map).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from devices.errors import DeviceError
from devices.ieee11073.codes import Attr
from devices.ieee11073.mder import u16
from devices.ieee11073.objects import Configuration, Measured, Metric, Reported
from devices.ieee11073.scan_report import FixedObs, ScanReport, read_fixed
from devices.medfloat import decode_float, decode_sfloat

MOST_LAYOUTS: Final = 16
"""Layouts that are remembered of one configuration; a device has one or two."""
MOST_OBJECTS: Final = 16
"""Objects in a layout that is worth to be compiled."""
_WORDS: Final[dict[int, tuple[str, Callable[[Any], Any] | None]]] = {
    Attr.NU_VAL_OBS_BASIC: ("H", decode_sfloat),
    Attr.NU_VAL_OBS_SIMP: ("I", decode_float),
    Attr.MSMT_STAT: ("H", None),
}
"""Attributes that are one number for `struct`: its letter, and what the number becomes."""
_COMPOUND: Final = Attr.NU_CMPD_VAL_OBS_BASIC.value


class Form:
    """Stands for all reports of one layout: what follows from the layout alone needs to be worked out once."""

    __slots__ = ()


class _Layout(NamedTuple):
    """unpack: of the whole report.  make: from its parts and what they are of to what was said; None where the fixed
    octets are others."""

    unpack: Callable[[bytes], tuple[Any, ...]]
    make: Callable[..., tuple[Reported, ...] | None]


class FixedReports:
    """The reports of fixed format of one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._known: dict[int, _Layout] = {}

    def read(self, info: bytes) -> tuple[Reported, ...]:
        """What one report says. Truncated, BadValue."""
        known = self._known.get(len(info))
        if known is not None:
            unpack, make = known
            try:
                found = make(*unpack(info))
            except DeviceError:
                found = None  # again, and slowly, for the name of the attribute
            if found is not None:
                return found
        report = read_fixed(info)
        reported = self._configuration.read(report)
        if known is None and not report.padding and len(self._known) < MOST_LAYOUTS:
            self._learn(len(info), report)
        return reported

    def _learn(self, size: int, report: ScanReport) -> None:
        metrics: list[Metric] = []
        for obs in report.persons[0].observations:
            metric = self._configuration.objects.get(obs.handle) if isinstance(obs, FixedObs) else None
            if not isinstance(metric, Metric) or not isinstance(obs, FixedObs) or len(obs.data) != metric.plan.size:
                return
            if metric in metrics:
                return  # what is said of one object twice may be the same, which is said once
            metrics.append(metric)
        if 0 < len(metrics) <= MOST_OBJECTS:
            self._known[size] = _layout(metrics)


def _layout(metrics: list[Metric]) -> _Layout:
    """Of a report about these objects, each with the octets that its map names."""
    parts = _Parts()
    size = sum(4 + metric.plan.size for metric in metrics)
    parts.constant(u16(len(metrics)) + u16(size))
    said = []
    for metric in metrics:
        parts.constant(u16(metric.handle) + u16(metric.plan.size))
        values = ", ".join(
            f"{attribute}: {parts.value(attribute, end - at, read)}" for attribute, at, end, read in metric.plan.rows
        )
        said.append(f"Measured({parts.of(metric)}, {{{values}}})")
    source = f"(Reported(None, ({', '.join(said)},), (), {parts.of(Form())}),)"
    return parts.compiled(source)


class _Parts:
    """The letters of `struct`, the fixed octets between the values, and what the source refers to."""

    def __init__(self) -> None:
        # request and number of the report say nothing about the readings
        self._letters = ">4x"
        self._fixed = b""
        self._names: list[str] = []
        self._checks: list[str] = []
        self._scope: dict[str, Any] = {"Measured": Measured, "Reported": Reported}

    def constant(self, octets: bytes) -> None:
        self._fixed += octets

    def of(self, thing: object) -> str:
        """The name of a thing."""
        name = f"c{len(self._scope)}"
        self._scope[name] = thing
        return name

    def _part(self, letter: str) -> str:
        self._end_of_fixed()
        return self._named(letter)

    def _named(self, letter: str) -> str:
        name = f"v{len(self._names)}"
        self._names.append(name)
        self._letters += letter
        return name

    def _end_of_fixed(self) -> None:
        if self._fixed:
            fixed, self._fixed = self._fixed, b""
            self._checks.append(f"{self._named(f'{len(fixed)}s')} == {fixed!r}")

    def value(self, attribute: int, size: int, read: Callable[[bytes], Any]) -> str:
        """The source of the value of one attribute."""
        letter, number = _WORDS.get(attribute, ("", None))
        if letter and struct.calcsize(">" + letter) == size:
            part = self._part(letter)
            return part if number is None else f"{self.of(number)}({part})"
        if attribute == _COMPOUND and size > 4 and not size % 2:
            # a count and a size, which are as the map says or the report is of another layout
            self.constant(u16((size - 4) // 2) + u16(size - 4))
            sfloat = self.of(decode_sfloat)
            words = [f"{sfloat}({self._part('H')})" for _ in range((size - 4) // 2)]
            return f"({', '.join(words)},)"
        part = self._part(f"{size}s")
        return f"{self.of(read)}({part})"

    def compiled(self, source: str) -> _Layout:
        self._end_of_fixed()
        arguments, checks = ", ".join(self._names), " and ".join(self._checks)
        make = eval(f"lambda {arguments}: {source} if {checks} else None", self._scope)  # noqa: S307  of constants
        return _Layout(struct.Struct(self._letters).unpack, make)

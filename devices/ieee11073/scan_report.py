"""Scan reports: the observations in an event report, in six arrangements, without their meaning.

Source: ISO/IEEE 11073-20601, annex A.11 (ScanReportInfo…), clauses 7.4.4.3 (MDS), 7.4.9 (scanners).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import msgspec

from devices.errors import BadValue, Truncated
from devices.ieee11073.attribute import Attribute, read_attributes, write_attributes
from devices.ieee11073.codes import AGENT_INITIATED, Noti
from devices.ieee11073.mder import Reader, octets, pack, sequence, u16

_REPORT: Final = struct.Struct(">HHHH")
_PAIR: Final = struct.Struct(">HH")


class Shape(NamedTuple):
    """How a scan report is built. content: fixed, var or grouped.  persons: its observations stand by person.
    buffered: of a periodic scanner; several observations of one object may follow each other."""

    content: str
    persons: bool = False
    buffered: bool = False


FIXED: Final = Shape("fixed")
"""The report that nearly all agents send."""
SHAPES: Final[dict[int, Shape]] = {
    Noti.SCAN_REPORT_FIXED: FIXED,
    Noti.SCAN_REPORT_VAR: Shape("var"),
    Noti.SCAN_REPORT_MP_FIXED: Shape("fixed", persons=True),
    Noti.SCAN_REPORT_MP_VAR: Shape("var", persons=True),
    Noti.UNBUF_SCAN_REPORT_VAR: Shape("var"),
    Noti.UNBUF_SCAN_REPORT_FIXED: FIXED,
    Noti.UNBUF_SCAN_REPORT_GROUPED: Shape("grouped"),
    Noti.UNBUF_SCAN_REPORT_MP_VAR: Shape("var", persons=True),
    Noti.UNBUF_SCAN_REPORT_MP_FIXED: Shape("fixed", persons=True),
    Noti.UNBUF_SCAN_REPORT_MP_GROUPED: Shape("grouped", persons=True),
    Noti.BUF_SCAN_REPORT_VAR: Shape("var", buffered=True),
    Noti.BUF_SCAN_REPORT_FIXED: Shape("fixed", buffered=True),
    Noti.BUF_SCAN_REPORT_GROUPED: Shape("grouped", buffered=True),
    Noti.BUF_SCAN_REPORT_MP_VAR: Shape("var", persons=True, buffered=True),
    Noti.BUF_SCAN_REPORT_MP_FIXED: Shape("fixed", persons=True, buffered=True),
    Noti.BUF_SCAN_REPORT_MP_GROUPED: Shape("grouped", persons=True, buffered=True),
}
"""All scan reports."""


class FixedObs(msgspec.Struct, frozen=True, gc=False):
    """The values of an object that its Attribute-Value-Map names, in that order, without ids."""

    handle: int
    data: bytes


class VarObs(NamedTuple):
    """Attributes of an object, each with its id."""

    handle: int
    attributes: tuple[Attribute, ...]


Obs = FixedObs | VarObs | bytes
"""A grouped observation is octets; the scanner's Scan-Handle-Attr-Val-Map says what they are."""


class Person(msgspec.Struct, frozen=True, gc=False):
    """The observations of one person. id: None where the report does not tell persons apart."""

    id: int | None
    observations: tuple[Obs, ...]


class ScanReport(msgspec.Struct, frozen=True, gc=False):
    """One scan report. request: `AGENT_INITIATED`, or the id of the manager's data request.  padding: zeros at the end
    of the list, too few for another observation."""

    request: int
    number: int
    persons: tuple[Person, ...]
    padding: int = 0


def read_fixed(info: bytes) -> ScanReport:
    """ScanReportInfoFixed, the report that nearly all agents send. Truncated, BadValue.

    A published agent announces two octets more than its observation has, and fills them with zeros: where what is left
    is zero and cannot be an observation, it is padding.
    """
    size = len(info)
    if size < 8:
        raise Truncated(f"{size} of 8 octets", field="scan-report-info")
    request, number, count, length = _REPORT.unpack_from(info)
    if length != size - 8:
        _wrong_length(length, size - 8)
    at = 8
    found: list[Obs] = []
    for _ in range(count):
        if size - at < 4:
            raise Truncated(f"{count} observations are announced, {len(found)} are there", field="obs-scan-fixed")
        handle, length = _PAIR.unpack_from(info, at)
        end = at + 4 + length
        if end > size:
            raise Truncated(f"{length} octets are announced, {size - at - 4} are left", field="obs-val-data")
        found.append(FixedObs(handle, info[at + 4 : end]))
        at = end
    padding = size - at
    if padding and (padding >= _PAIR.size or any(info[at:])):
        raise BadValue(f"{padding} octets after the last observation", field="obs-scan-fixed")
    return ScanReport(request, number, (Person(None, tuple(found)),), padding)


def _wrong_length(announced: int, there: int) -> None:
    if announced > there:
        raise Truncated(f"{announced} octets are announced, {there} are there", field="obs-scan-list")
    raise BadValue(f"{there - announced} octets after the list", field="obs-scan-list")


def _read_obs(content: str, reader: Reader) -> Obs:
    if content == "fixed":
        return FixedObs(reader.u16("obj-handle"), reader.octets("obs-val-data"))
    if content == "var":
        return VarObs(reader.u16("obj-handle"), read_attributes(reader, "attributes"))
    return reader.octets("obs-scan-grouped")


_SMALLEST: Final = {"fixed": 4, "var": 6, "grouped": 2}


def _read_list(content: str, reader: Reader) -> tuple[Obs, ...]:
    count, inner = reader.sequence(_SMALLEST[content], "obs-scan-list")
    found = tuple(_read_obs(content, inner) for _ in range(count))
    inner.finish("obs-scan-list")
    return found


def read_scan(shape: Shape, info: bytes) -> ScanReport:
    """A scan report of any shape. Truncated, BadValue."""
    if shape.content == "fixed" and not shape.persons:
        return read_fixed(info)
    reader = Reader.over(info)
    request, number = reader.fields(_PAIR, "scan-report-info")
    if not shape.persons:
        persons: tuple[Person, ...] = (Person(None, _read_list(shape.content, reader)),)
    elif shape.content == "grouped":
        count, inner = reader.sequence(4, "scan-per-person")
        persons = tuple(Person(inner.u16("person-id"), (inner.octets("obs-scan-grouped"),)) for _ in range(count))
        inner.finish("scan-per-person")
    else:
        count, inner = reader.sequence(6, "scan-per-person")
        persons = tuple(Person(inner.u16("person-id"), _read_list(shape.content, inner)) for _ in range(count))
        inner.finish("scan-per-person")
    reader.finish("scan-report-info")
    return ScanReport(request, number, persons)


def _write_obs(obs: Obs) -> bytes:
    match obs:
        case FixedObs():
            return u16(obs.handle) + octets(obs.data)
        case VarObs():
            return u16(obs.handle) + write_attributes(obs.attributes)
        case _:
            return octets(obs)


def write_scan(shape: Shape, report: ScanReport) -> bytes:
    """`read_scan`'s exact inverse. BadValue: a person's id, or several persons, where the shape has none."""
    head = pack(_PAIR, "scan-report-info", report.request, report.number)
    if not shape.persons:
        if len(report.persons) != 1 or report.persons[0].id is not None:
            raise BadValue("this report does not tell persons apart", field="scan-per-person")
        written = sequence(map(_write_obs, report.persons[0].observations), "obs-scan-list")
        if not report.padding:
            return head + written
        length = u16(len(written) - 4 + report.padding, "obs-scan-list")
        return head + written[:2] + length + written[4:] + bytes(report.padding)
    rows: list[bytes] = []
    for person in report.persons:
        items = [_write_obs(obs) for obs in person.observations]
        if shape.content == "grouped":
            rows.extend(u16(person.id or 0) + item for item in items)
        else:
            rows.append(u16(person.id or 0) + sequence(items, "obs-scan-list"))
    return head + sequence(rows, "scan-per-person")


def agent_report(number: int, *observations: Obs) -> ScanReport:
    """A report on the agent's own initiative, of no particular person."""
    return ScanReport(AGENT_INITIATED, number, (Person(None, observations),))

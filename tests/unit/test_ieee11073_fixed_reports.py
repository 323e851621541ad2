"""A report read in one go says what reading it octet by octet says; whatever is not like the first is read slowly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import BadValue, DeviceError, Truncated
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import observing
from devices.ieee11073.attribute import Mapped
from devices.ieee11073.codes import Attr, Noti
from devices.ieee11073.fixed_reports import MOST_LAYOUTS, MOST_OBJECTS, FixedReports
from devices.ieee11073.objects import Configuration, Reported
from devices.ieee11073.observing import observe
from devices.ieee11073.scan_report import SHAPES, FixedObs, agent_report, read_fixed, write_scan
from devices.ieee11073.specializations import Row, configured, standard
from devices.ieee11073.stamping import Heard, place
from devices.ieee11073.times import write_absolute
from devices.observation import Observation

SOURCE = DeviceFacts("eui64:0102030405060708")
HEARD = Heard.at(datetime(2026, 11, 22, 8, 0, tzinfo=UTC))
STAMP = write_absolute(datetime(2026, 11, 22, 16, 0))
CUFF = bytes.fromhex("0003000600780050005d") + STAMP
PULSE = bytes.fromhex("003d") + STAMP
OF_EACH_SORT = configured(
    0x4000,
    (
        Row(1, 18948, 0, 3872, (Mapped(Attr.NU_CMPD_VAL_OBS_BASIC, 10), Mapped(Attr.MSMT_STAT, 2)), (1, 2, 3)),
        Row(2, 57664, 0, 1731, (Mapped(Attr.NU_VAL_OBS_SIMP, 4), Mapped(Attr.TIME_STAMP_ABS, 8))),
        Row(3, 19384, 0, 544, (Mapped(Attr.NU_VAL_OBS_BASIC, 2), Mapped(Attr.TIME_STAMP_REL, 4), Mapped(0xF001, 3))),
    ),
)


def report(*obs: FixedObs) -> bytes:
    return write_scan(SHAPES[Noti.SCAN_REPORT_FIXED], agent_report(7, *obs))


def slowly(configuration: Configuration, info: bytes) -> tuple[Reported, ...]:
    return configuration.read(read_fixed(info))


def seen(reported: tuple[Reported, ...]) -> list[tuple[object, ...]]:
    return [(one.person, one.measured, one.unknown) for one in reported]


def outcome(read: Callable[[bytes], tuple[Reported, ...]], info: bytes) -> object:
    try:
        return seen(read(info))
    except DeviceError as error:
        return type(error), str(error), error.field


def is_learned(reported: tuple[Reported, ...]) -> bool:
    return all(one.form is not None for one in reported)


def test_the_second_report_of_a_layout_is_read_in_one_go_and_says_the_same() -> None:
    reports = FixedReports(standard(0x02BC))
    info = report(FixedObs(1, CUFF), FixedObs(2, PULSE))
    first, second, third = (reports.read(info) for _ in range(3))
    assert (is_learned(first), is_learned(second), is_learned(third)) == (False, True, True)
    assert seen(first) == seen(second)
    assert second[0].form is third[0].form
    assert observe(first, SOURCE, HEARD) == observe(second, SOURCE, HEARD) == observe(third, SOURCE, HEARD) != ()


def test_numbers_and_stamps_are_those_of_each_report() -> None:
    reports, info = FixedReports(standard(0x0320)), report(FixedObs(1, bytes.fromhex("f16e") + STAMP))
    reports.read(info)
    other = report(FixedObs(1, bytes.fromhex("f178") + write_absolute(datetime(2026, 11, 22, 15, 0))))
    (found,) = observe(reports.read(other), SOURCE, HEARD)
    assert (found.values, found.device_at) == ((37.6,), datetime(2026, 11, 22, 15, 0))


@given(
    st.binary(min_size=6, max_size=6), st.integers(0, 0xFFFF), st.binary(min_size=4, max_size=4),
    st.binary(min_size=8, max_size=8), st.binary(min_size=2, max_size=2), st.binary(min_size=7, max_size=7),
)  # fmt: skip
def test_each_sort_of_attribute_is_read_as_it_is_slowly(
    words: bytes, status: int, simple: bytes, stamp: bytes, basic: bytes, more: bytes
) -> None:
    reports = FixedReports(OF_EACH_SORT)
    pressures = FixedObs(1, b"\0\3\0\6" + words + status.to_bytes(2))
    info = report(pressures, FixedObs(2, simple + stamp), FixedObs(3, basic + more))
    reports.read(report(FixedObs(1, b"\0\3\0\6" + bytes(8)), FixedObs(2, bytes(12)), FixedObs(3, bytes(9))))
    found = reports.read(info)
    assert is_learned(found)
    assert seen(found) == seen(slowly(OF_EACH_SORT, info))


@given(st.integers(0, 65), st.integers(1, 255))
def test_an_octet_that_is_another_changes_nothing_but_what_it_says(at: int, by: int) -> None:
    configuration = standard(0x02BC)
    reports, good = FixedReports(configuration), report(FixedObs(1, CUFF), FixedObs(2, PULSE))
    reports.read(good)
    spoilt = bytearray(good)
    spoilt[at % len(good)] ^= by
    info = bytes(spoilt)
    assert outcome(reports.read, info) == outcome(partial(slowly, configuration), info)
    assert seen(reports.read(good)) == seen(slowly(configuration, good))


def test_octets_after_the_map_and_unknown_objects_are_never_learned() -> None:
    reports = FixedReports(standard(0x02BC))
    for info in (report(FixedObs(1, CUFF + b"\1")), report(FixedObs(9, CUFF)), report()):
        first, second = reports.read(info), reports.read(info)
        assert (is_learned(first), is_learned(second)) == (False, False)
        assert seen(first) == seen(second)


def test_only_so_many_layouts_and_objects_are_learned() -> None:
    rows = (Mapped(Attr.NU_VAL_OBS_BASIC, 2), Mapped(Attr.TIME_STAMP_ABS, 8))
    many = tuple(Row(handle, 18474, 0, 2720, rows) for handle in range(1, MOST_OBJECTS + 2))
    reports = FixedReports(configured(0x4000, many))
    obs = [FixedObs(row.handle, PULSE) for row in many]
    layouts = [report(*obs[:count]) for count in range(1, MOST_OBJECTS + 2)]
    for info in layouts:
        reports.read(info)
    learned = [is_learned(reports.read(info)) for info in layouts]
    assert learned == [True] * min(MOST_LAYOUTS, MOST_OBJECTS) + [False]


def test_a_report_that_is_cut_short_is_refused_by_the_name_of_what_is_missing() -> None:
    reports, info = FixedReports(standard(0x02BC)), report(FixedObs(1, CUFF), FixedObs(2, PULSE))
    reports.read(info)
    with pytest.raises(Truncated, match="octets are announced"):
        reports.read(info[:-1])
    with pytest.raises(BadValue, match="after the list"):
        reports.read(info + b"\0")


TERMS = st.sampled_from(
    [18948, 18949, 18950, 18474, 19384, 18458, 57664, 57668, 57680, 57676, 19292, 57356, 16770, 29112, 29136, 61458]
)
UNITS = st.sampled_from([3872, 3843, 544, 2720, 1731, 1760, 1728, 1280, 1297, 1376, 1952, 6048, 4416, 2130, 4722, 512])
WORDS = st.one_of(
    st.binary(min_size=2, max_size=2),
    st.sampled_from([one.to_bytes(2) for one in (120, 80, 93, 0, 0x07FF, 0x07FE, 0x0802, 0x0800, 0xF16E)]),
)
LONG = st.one_of(
    st.binary(min_size=4, max_size=4),
    st.sampled_from([one.to_bytes(4) for one in (0xFF000170, 0xFE000E4C, 0, 0x007FFFFF, 0x80000001, 0x7F000001)]),
)
CLOCKS = st.sampled_from([STAMP, STAMP, write_absolute(datetime(2026, 11, 22, 15, 0)), bytes(8)])


@st.composite
def objects(draw: st.DrawFn, handle: int) -> tuple[Row, st.SearchStrategy[bytes]]:
    """An object, and what it says each time."""
    ids: tuple[int, ...] = ()
    count = draw(st.integers(0, 3))
    if count:
        first = Mapped(Attr.NU_CMPD_VAL_OBS_BASIC, 4 + 2 * count)
        said: st.SearchStrategy[bytes] = st.tuples(*[WORDS] * count).map(
            lambda words: count.to_bytes(2) + (2 * count).to_bytes(2) + b"".join(words)
        )
        ids = draw(st.lists(TERMS, min_size=1, max_size=3).map(tuple))
    elif draw(st.booleans()):
        first, said = Mapped(Attr.NU_VAL_OBS_BASIC, 2), WORDS
    else:
        first, said = Mapped(Attr.NU_VAL_OBS_SIMP, 4), LONG
    rows, parts = [first], [said]
    if draw(st.booleans()):
        rows.append(Mapped(Attr.TIME_STAMP_ABS, 8))
        parts.append(CLOCKS)
    if draw(st.integers(0, 5)) == 0:
        rows.append(Mapped(Attr.MSMT_STAT, 2))
        parts.append(st.binary(min_size=2, max_size=2))
    row = Row(handle, draw(TERMS), draw(st.sampled_from([0, 8, 0xF040])), draw(UNITS), tuple(rows), ids)
    return row, st.tuples(*parts).map(b"".join)


def worked_out(reported: tuple[Reported, ...]) -> list[Observation]:
    """Without a shape that was seen before."""
    return [
        observation
        for one in reported
        for stamp, group in observing._by_stamp(one.measured)
        for observation in observing._of_record(group, SOURCE, place(stamp, HEARD), one.person)
    ]


@given(st.data())
def test_reports_of_any_configuration_are_observed_as_if_each_were_the_first(data: st.DataObject) -> None:
    known = [data.draw(objects(handle)) for handle in range(1, data.draw(st.integers(2, 5)))]
    configuration = configured(0x4000, tuple(row for row, _ in known))
    reports = FixedReports(configuration)
    handles = data.draw(st.lists(st.integers(1, len(known)), min_size=1, max_size=4))
    for _ in range(3):
        info = report(*(FixedObs(handle, data.draw(known[handle - 1][1])) for handle in handles))
        found, slow = reports.read(info), slowly(configuration, info)
        assert seen(found) == seen(slow)
        assert list(observe(found, SOURCE, HEARD)) == worked_out(slow)

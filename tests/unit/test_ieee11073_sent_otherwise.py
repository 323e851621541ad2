"""Reports as published agents send them, not quite as their configurations say. The octets are typed in by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from devices.errors import BadValue, DeviceError
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import apdu, objects, observing
from devices.ieee11073.association import Aarq, Information
from devices.ieee11073.attribute import Mapped
from devices.ieee11073.codes import Attr, Noti
from devices.ieee11073.data_apdu import EventReport
from devices.ieee11073.events import write_config
from devices.ieee11073.fixed_reports import FixedReports
from devices.ieee11073.manager import Manager
from devices.ieee11073.objects import Configuration, Measured, Metric
from devices.ieee11073.observing import observe
from devices.ieee11073.outputs import NO_KIND, Keep, Odd
from devices.ieee11073.reports import MOST_OF_NO_KIND
from devices.ieee11073.scan_report import FIXED, FixedObs, agent_report, read_scan, write_scan
from devices.ieee11073.specializations import Row, configured, standard
from devices.ieee11073.stamping import Heard
from devices.ieee11073.terms import Terms
from devices.observation import Observation

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WALL = datetime(2026, 11, 22, 16, 0)
STAMP = "2026112216000000"


def heard(configuration: Configuration, info: str) -> list[tuple[Observation, ...]]:
    """What is observed in it the first time, and when it comes again."""
    reports, octets = FixedReports(configuration), bytes.fromhex(info)
    source, time = DeviceFacts("eui64:0102030405060708"), Heard.at(NOW)
    return [observe(reports.read(octets), source, time) for _ in range(2)]


def once(configuration: Configuration, info: str) -> Observation:
    first, second = heard(configuration, info)
    assert first == second
    (found,) = first
    return found


def test_a_meter_that_announces_two_octets_too_many_and_fills_them_with_zeros_is_read() -> None:
    found = once(standard(0x06A4), f"f000 0000 0001 0010 0001 000a f066 {STAMP} 0000")
    assert (found.values, found.device_at, found.facts) == ((10.2,), WALL, ("trailing-bytes",))


@pytest.mark.parametrize("padding", ["00", "0000", "000000"])
def test_padding_is_written_back_as_it_was(padding: str) -> None:
    length = 14 + len(padding) // 2
    octets = bytes.fromhex(f"f000 0000 0001 {length:04x} 0001 000a f066 {STAMP} {padding}")
    assert write_scan(FIXED, read_scan(FIXED, octets)) == octets


@pytest.mark.parametrize(("length", "padding"), [(16, "0001"), (18, "00000000"), (14, "0000"), (17, "0000")])
def test_what_is_no_padding_is_refused(length: int, padding: str) -> None:
    with pytest.raises(DeviceError):
        heard(standard(0x06A4), f"f000 0000 0001 {length:04x} 0001 000a f066 {STAMP} {padding}")


def test_padding_behind_nothing_is_no_reading() -> None:
    assert heard(standard(0x06A4), "f000 0000 0000 0002 0000") == [(), ()]


@pytest.mark.parametrize(
    ("identity", "word", "value"),
    [(0x06A4, "ff000066", 10.2), (0x06A4, "00000065", 101.0), (0x0320, "ff00016e", 36.6), (0x0191, "ff0003c5", 96.5)],
)
def test_a_value_of_four_octets_under_a_map_of_two_is_that_value(identity: int, word: str, value: float) -> None:
    found = once(standard(identity), f"f000 0000 0001 0010 0001 000c {word} {STAMP}")
    assert (found.values[0], found.device_at, found.facts) == (value, WALL, ())


def test_a_compound_of_wide_values_is_read() -> None:
    wide = "0003 000c 00000078 00000050 0000005d"
    found = once(standard(0x02BC), f"f000 0000 0001 001c 0001 0018 {wide} {STAMP}")
    assert (found.values[:3], found.device_at, found.facts) == ((120.0, 80.0, 93.0), WALL, ())


def test_a_wide_value_of_a_device_whose_clock_was_never_set_is_read() -> None:
    found = once(standard(0x0320), "f000 0000 0001 0010 0001 000c ff00016e 0000000000000000")
    assert (found.values, found.device_at) == ((36.6,), None)


@pytest.mark.parametrize("stamp", [STAMP, "0000000000000000"])
def test_two_octets_behind_a_right_observation_do_not_make_it_wide(stamp: str) -> None:
    found = once(standard(0x0320), f"f000 0000 0001 0010 0001 000c f16e {stamp} 0000")
    assert (found.values, "trailing-bytes" in found.facts) == ((36.6,), True)


def test_without_a_stamp_nothing_tells_that_a_value_is_wide() -> None:
    bare = configured(0x4000, (Row(1, 19292, 0xF040, 6048, (Mapped(Attr.NU_VAL_OBS_BASIC, 2),)),))
    found = once(bare, "f000 0000 0001 0008 0001 0004 f16e 0000")
    assert (found.values, found.facts) == ((36.6,), ("no-device-clock", "trailing-bytes"))


def test_a_scale_that_says_everything_twice_weighs_once() -> None:
    weight, index = f"0001 000c ff0002be {STAMP}", f"0003 000c ff0000cb {STAMP}"
    found = once(standard(0x05DC), f"f000 0000 0004 0040 {weight} {index} {weight} {index}")
    assert (found.values, found.record_no, found.device_at) == ((70.2, None, None), 0, WALL)


@pytest.mark.parametrize(("second", "records"), [(f"ff0002bf {STAMP}", [0, 1]), ("ff0002be 2026112216000100", [0, 0])])
def test_another_value_or_another_moment_is_another_reading(second: str, records: list[int]) -> None:
    for found in heard(standard(0x05DC), f"f000 0000 0002 0020 0001 000c ff0002be {STAMP} 0001 000c {second}"):
        assert [one.record_no for one in found] == records


def test_without_a_stamp_the_same_twice_is_two_values() -> None:
    for found in heard(standard(0x0190), "f000 0000 0002 000c 0001 0002 0061 0001 0002 0061"):
        assert [one.record_no for one in found] == [0, 1]


class Compared:
    """A value that counts how often it is held against another."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return self is other

    __hash__ = None  # type: ignore[assignment]


def test_a_long_report_is_not_held_against_itself_value_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many comparisons as pairs of observations would be seconds for the 64 KiB of one APDU."""
    monkeypatch.setattr(Compared, "times", 0)

    def read(metric: Metric, _data: bytes) -> Measured:
        return Measured(metric, {Attr.NU_VAL_OBS_SIMP: Compared(), Attr.TIME_STAMP_ABS: STAMP})

    monkeypatch.setattr(objects, "read_fixed_values", read)
    report = agent_report(0, *(FixedObs(1, number.to_bytes(4)) for number in range(500)))
    (found,) = standard(0x05DC).read(report)
    assert len(found.measured) == 500
    assert Compared.times <= 500


class Looked(dict[int, object]):
    """The slots of an observation; counts how often one is looked for."""

    times = 0

    def __contains__(self, key: object) -> bool:
        Looked.times += 1
        return super().__contains__(key)


def test_values_of_one_moment_are_not_each_offered_to_all_observations(monkeypatch: pytest.MonkeyPatch) -> None:
    class Draft(observing._Draft):
        def __init__(self, number: int) -> None:
            super().__init__(number)
            self.slots = Looked()  # type: ignore[assignment]

    monkeypatch.setattr(Looked, "times", 0)
    monkeypatch.setattr(observing, "_Draft", Draft)
    values = (FixedObs(1, bytes.fromhex(f"ff00{number:04x} {STAMP}")) for number in range(500))
    reported = standard(0x05DC).read(agent_report(0, *values))
    found = observe(reported, DeviceFacts("eui64:0102030405060708"), Heard.at(NOW))
    assert [one.record_no for one in found] == list(range(500))
    assert Looked.times <= 1000


def test_a_list_that_goes_on_behind_its_end_is_refused() -> None:
    with pytest.raises(BadValue):
        heard(standard(0x06A4), f"f000 0000 0001 000e 0001 000a f066 {STAMP} 0000")


def manager(row: Row) -> Manager:
    """In an association with an agent of one object."""
    found = Manager(Terms(b"MANAGER!", interviews=False))
    found.connected(0.0)
    found.receive(apdu.encode(Aarq.of(Information.of_agent(b"AGENT---", 0x4000))), 0.0, NOW)
    told = EventReport(0, 0, Noti.CONFIG, write_config(configured(0x4000, (row,)).report))
    found.receive(apdu.encode(told), 0.0, NOW)
    return found


BARE = (Mapped(Attr.NU_VAL_OBS_BASIC, 2),)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(Row(1, 21764, 0xF040, 3872, BARE), id="the pressure of the air, which is no kind here"),
        pytest.param(Row(1, 19384, 0x4040, 2720, BARE), id="a saturation in beats"),
    ],
)
def test_a_number_that_is_no_reading_here_is_confirmed_and_kept_as_it_was_sent(row: Row) -> None:
    frame = bytes.fromhex("e700 0020 001e 0007 0101 0018 0000 ffffffff 0d1d 000e f000 0000 0001 0006 0001 0002 0200")
    odd, kept = manager(row).receive(frame, 1.0, NOW)
    assert odd == Odd(frame, "type", NO_KIND)
    assert isinstance(kept, Keep)
    assert (kept.observations, kept.octets[:8].hex()) == ((), "e700001200100007")


def test_a_number_of_an_object_that_nobody_told_of_is_kept_as_it_was_sent_beside_the_reading() -> None:
    """A published scale says its body mass index under handle 3, which its configuration does not have."""
    one = manager(Row(1, 57664, 0xF040, 1731, (Mapped(Attr.NU_VAL_OBS_SIMP, 4),)))
    frame = bytes.fromhex(
        "e700 002a 0028 0007 0101 0022 0000 ffffffff 0d1d 0018 f000 0000 0002 0010"
        " 0001 0004 ff0002dc 0003 0004 ff000107"
    )
    odd, kept = one.receive(frame, 1.0, NOW)
    assert odd == Odd(frame, "obj-handle", NO_KIND)
    assert isinstance(kept, Keep)
    assert [one.values[0] for one in kept.observations] == [73.2]
    assert kept.octets[:8].hex() == "e700001200100007"


def test_only_so_many_of_them_are_kept_in_an_association() -> None:
    one = manager(Row(1, 21764, 0xF040, 3872, BARE))
    frame = bytes.fromhex("e700 0020 001e 0007 0101 0018 0000 ffffffff 0d1d 000e f000 0000 0001 0006 0001 0002 0200")
    outputs = one.receive(frame * (MOST_OF_NO_KIND + 5), 1.0, NOW)
    assert [type(found) for found in outputs].count(Odd) == MOST_OF_NO_KIND
    assert [type(found) for found in outputs].count(Keep) == MOST_OF_NO_KIND + 5

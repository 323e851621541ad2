"""What the reports of 20601 agents mean: kinds, slots, units, status, persons, circumstances and stamps."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devices.clock import IDENTITY_ZONE, Moment
from devices.errors import BadValue
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import observing
from devices.ieee11073.attribute import Attribute, Mapped
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import PERSON_UNKNOWN, Attr, ObjectClass
from devices.ieee11073.events import ConfigObject, ConfigReport
from devices.ieee11073.mder import sequence, u16, u32
from devices.ieee11073.objects import Configuration, Metric
from devices.ieee11073.observing import observe
from devices.ieee11073.remembered import Remembered
from devices.ieee11073.scan_report import FixedObs, Person, ScanReport, VarObs, agent_report
from devices.ieee11073.specializations import (
    BY_CONFIGURATION,
    STANDARD_CONFIGURATIONS,
    Row,
    configured,
    standard,
)
from devices.ieee11073.stamping import Clocks, Heard, place, stamp_in
from devices.ieee11073.times import absolute, base_offset, write_absolute, write_base_offset
from devices.medfloat import Medfloat, encode_float, encode_sfloat, medfloat32, sfloat
from devices.observation import Context, Meal, Observation, Site

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
WALL = datetime(2026, 11, 22, 16, 0)
SOURCE = DeviceFacts("eui64:0102030405060708")
LIVE = Heard.at(NOW)


def basic(value: float | Medfloat) -> bytes:
    return u16(encode_sfloat(value if isinstance(value, Medfloat) else sfloat(value)))


def simple(value: float) -> bytes:
    return u32(encode_float(medfloat32(value)))


def pressures(*values: float) -> bytes:
    return sequence(basic(value) for value in values)


def stamped(at: datetime = WALL) -> bytes:
    return write_absolute(at)


def said(configuration: Configuration, *obs: FixedObs | VarObs, heard: Heard = LIVE) -> tuple[Observation, ...]:
    return observe(configuration.read(agent_report(0, *obs)), SOURCE, heard)


def only(found: tuple[Observation, ...]) -> Observation:
    assert len(found) == 1
    return found[0]


def metric(handle: int, kind: Type, *more: Attribute, object_class: int = ObjectClass.METRIC_NU) -> ConfigObject:
    own = Attribute(Attr.ID_TYPE, u16(kind.partition) + u16(kind.code))
    return ConfigObject(object_class, handle, (own, *more))


def test_a_cuff_is_one_observation_with_its_pulse() -> None:
    found = only(
        said(
            standard(0x02BC),
            FixedObs(1, pressures(120, 80, 93) + stamped()),
            FixedObs(2, basic(61) + stamped()),
        )
    )
    assert (found.kind, found.values, found.unit) == (150020, (120.0, 80.0, 93.0, 61.0), "mm[Hg]")
    assert (found.measured_at, found.device_at, found.facts) == (NOW, WALL, ())


def test_values_with_different_stamps_are_different_observations() -> None:
    early = stamped(WALL - timedelta(minutes=5))
    found = said(standard(0x02BC), FixedObs(1, pressures(120, 80, 93) + stamped()), FixedObs(2, basic(61) + early))
    assert [one.values for one in found] == [(120.0, 80.0, 93.0, None), (None, None, None, 61.0)]
    assert found[1].absent == {0: "not-sent", 1: "not-sent", 2: "not-sent"}


@pytest.mark.parametrize(
    ("identity", "obs", "kind", "values", "unit"),
    [
        (0x0190, (FixedObs(1, basic(97)), FixedObs(10, basic(61))), 150456, (97.0, 61.0, None), "%"),
        (0x0191, (FixedObs(1, basic(96.5) + stamped()),), 150456, (96.5, None, None), "%"),
        (0x05DC, (FixedObs(1, simple(73.2) + stamped()),), 188736, (73.2, None, None), "kg"),
        (0x06A4, (FixedObs(1, basic(101) + stamped()),), 160184, (101.0,), "mg/dL"),
        (0x0320, (FixedObs(1, basic(36.6) + stamped()),), 150364, (36.6,), "Cel"),
    ],
)
def test_each_standard_configuration_gives_its_kind(
    identity: int, obs: tuple[FixedObs, ...], kind: int, values: tuple[Any, ...], unit: str
) -> None:
    found = only(said(standard(identity), *obs))
    assert (found.kind, found.values, found.unit) == (kind, values, unit)


def test_each_standard_configuration_belongs_to_a_specialization_and_goes_there_and_back() -> None:
    for identity in STANDARD_CONFIGURATIONS:
        assert BY_CONFIGURATION[identity].configurations
        assert Configuration.of(standard(identity).report) == standard(identity)


def test_without_a_stamp_the_time_is_that_of_reception() -> None:
    found = only(said(standard(0x0190), FixedObs(1, basic(97))))
    assert (found.measured_at, found.device_at, found.facts) == (NOW, None, ("no-device-clock",))


def test_octets_after_the_map_are_a_fact_and_change_nothing() -> None:
    found = only(said(standard(0x0190), FixedObs(1, basic(97) + stamped())))
    assert (found.values[0], found.facts) == (97.0, ("no-device-clock", "trailing-bytes"))


def test_a_handle_that_the_configuration_does_not_have_is_left_aside() -> None:
    report = agent_report(0, FixedObs(1, simple(73.2) + stamped()), FixedObs(3, simple(1) + stamped()))
    (read,) = standard(0x05DC).read(report)
    assert [obs.handle for obs in read.unknown if isinstance(obs, FixedObs)] == [3]
    assert len(observe((read,), SOURCE, LIVE)) == 1


@pytest.mark.parametrize(
    ("word", "reason", "facts"),
    [
        (0x07FF, "not-a-number", ()),
        (0x0800, "not-at-this-resolution", ()),
        (0x07FE, "positive-infinity", ("result-too-high",)),
        (0x0802, "negative-infinity", ("result-too-low",)),
        (0x0801, "reserved", ()),
    ],
)
def test_what_is_not_a_number_is_absent_with_its_reason(word: int, reason: str, facts: tuple[str, ...]) -> None:
    found = only(said(standard(0x06A4), FixedObs(1, u16(word) + stamped())))
    assert (found.values, found.absent, found.facts) == ((None,), {0: reason}, facts)


@pytest.mark.parametrize(
    ("bit", "fact"),
    [
        (0x8000, "invalid"),
        (0x4000, "questionable"),
        (0x2000, "not-available"),
        (0x1000, "calibration-ongoing"),
        (0x0800, "test-data"),
        (0x0400, "demo-data"),
        (0x0080, "validated"),
        (0x0040, "early-estimate"),
    ],
)
def test_each_status_bit_is_a_fact(bit: int, fact: str) -> None:
    obs = VarObs(1, (Attribute(Attr.NU_VAL_OBS_SIMP, simple(70)), Attribute(Attr.MSMT_STAT, u16(bit))))
    assert fact in only(said(standard(0x05DC), obs)).facts


def test_a_value_with_its_own_id_and_unit_is_read_by_them() -> None:
    own = struct.pack(">HHHI", 57664, 0x4000, 1760, encode_float(medfloat32(161.4)))
    found = only(said(standard(0x05DC), VarObs(1, (Attribute(Attr.NU_VAL_OBS, own),))))
    assert (found.values[0], found.unit) == (161.4, "[lb_av]")
    assert "questionable" in found.facts


def test_a_height_in_centimetres_stands_in_metres_beside_kilograms() -> None:
    rows = (
        Row(1, 57664, 0, 1731, (Mapped(Attr.NU_VAL_OBS_SIMP, 4),)),
        Row(2, 57668, 0x0008, 1297, (Mapped(Attr.NU_VAL_OBS_SIMP, 4),)),
    )
    found = only(said(configured(0x4000, rows), FixedObs(1, simple(73.2)), FixedObs(2, simple(171))))
    assert found.values == (73.2, None, 1.71)
    assert "manually-entered" not in found.facts


def test_a_weight_that_was_typed_in_is_a_fact() -> None:
    typed = configured(0x4000, (Row(1, 57664, 0x0008, 1731, (Mapped(Attr.NU_VAL_OBS_SIMP, 4),)),))
    assert "manually-entered" in only(said(typed, FixedObs(1, simple(73.2)))).facts


def test_a_unit_that_a_kind_does_not_know_gives_no_observation() -> None:
    odd = configured(0x4000, (Row(1, 57664, 0, 6048, (Mapped(Attr.NU_VAL_OBS_SIMP, 4),)),))
    assert said(odd, FixedObs(1, simple(73.2))) == ()


def test_a_mean_of_zero_was_not_computed() -> None:
    found = only(said(standard(0x02BC), FixedObs(1, pressures(120, 80, 0) + stamped())))
    assert (found.values[2], found.absent[2]) == (None, "not-sent")


def test_fast_responding_oximetry_never_takes_the_place_of_the_reading() -> None:
    basic_map = (Mapped(Attr.NU_VAL_OBS_BASIC, 2),)
    rows = (
        Row(1, 19384, 0, 544, basic_map, supplemental=(Type(2, 19508),)),
        Row(2, 19384, 0, 544, basic_map),
        Row(3, 19384, 0, 544, basic_map, supplemental=(Type(2, 19512),)),
    )
    configuration = configured(0x4000, rows)
    obs = [FixedObs(1, basic(91)), FixedObs(2, basic(97)), FixedObs(3, basic(98))]
    assert only(said(configuration, *obs)).values[0] == 97.0
    assert only(said(configuration, *obs[:1])).values[0] == 91.0


@pytest.mark.parametrize(
    ("person", "slot", "session"),
    [(0, 0, None), (7, 7, None), (PERSON_UNKNOWN, None, None), (254, 254, None), (300, None, "person-300")],
)
def test_a_person_is_a_slot_and_never_another_person(person: int, slot: int | None, session: str | None) -> None:
    report = ScanReport(0xF000, 0, (Person(person, (FixedObs(1, simple(70) + stamped()),)),))
    found = only(observe(standard(0x05DC).read(report), SOURCE, LIVE))
    assert (found.slot, found.session) == (slot, session)


@pytest.mark.parametrize(
    ("code", "meal"),
    [(29260, Meal.PREPRANDIAL), (29264, Meal.POSTPRANDIAL), (29268, Meal.FASTING), (29272, Meal.CASUAL),
     (29300, Meal.BEDTIME)],
)  # fmt: skip
def test_the_meal_beside_a_glucose_is_its_context(code: int, meal: Meal) -> None:
    found = only(said(meter(), FixedObs(1, basic(101)), oid(2, code), oid(3, 29240)))
    assert found.context == Context(meal=meal, site=Site.FINGER)


def meter() -> Configuration:
    glucose = standard(0x06A4).report.objects[0]
    no_stamp = tuple(one for one in glucose.attributes if one.id != Attr.ATTRIBUTE_VAL_MAP)
    value_map = Attribute(Attr.ATTRIBUTE_VAL_MAP, bytes.fromhex("000100040a4c0002"))
    return Configuration.of(
        ConfigReport(
            0x4000,
            (
                ConfigObject(glucose.object_class, 1, (*no_stamp, value_map)),
                metric(2, Type(128, 29256), object_class=ObjectClass.METRIC_ENUM),
                metric(3, Type(128, 29236), object_class=ObjectClass.METRIC_ENUM),
                metric(4, Type(128, 29144), object_class=ObjectClass.METRIC_ENUM),
            ),
        )
    )


def oid(handle: int, code: int) -> VarObs:
    return VarObs(handle, (Attribute(Attr.ENUM_OBS_VAL_SIMP_OID, u16(code)),))


def test_control_solution_is_never_a_glucose() -> None:
    found = only(said(meter(), FixedObs(1, basic(101)), oid(3, 29252)))
    assert (found.kind, found.facts) == (160208, ("control-solution", "no-device-clock"))


def test_the_status_word_of_a_meter_gives_facts() -> None:
    status = VarObs(4, (Attribute(Attr.ENUM_OBS_VAL_BASIC_BIT_STR, u16(0x8000 | 0x0400)),))
    assert {"battery-low", "result-too-high"} <= set(only(said(meter(), FixedObs(1, basic(101)), status)).facts)


def test_the_term_of_a_thermometer_names_the_site() -> None:
    ear = configured(0x4000, (Row(1, 57356, 0, 6048, (Mapped(Attr.NU_VAL_OBS_BASIC, 2),)),))
    assert only(said(ear, FixedObs(1, basic(36.9)))).context == Context(site=Site.EAR)


def test_several_values_of_one_object_are_numbered_records() -> None:
    found = said(standard(0x0190), *(FixedObs(1, basic(value)) for value in (97, 96, 95)))
    assert [(one.record_no, one.values[0]) for one in found] == [(0, 97.0), (1, 96.0), (2, 95.0)]


# -- stamps: the rows of the coincident time stamp table


def seen_at(heard: Heard, attribute: Attr, raw: bytes) -> Observation:
    obs = VarObs(1, (Attribute(Attr.NU_VAL_OBS_SIMP, simple(70)), Attribute(attribute, raw)))
    return only(said(standard(0x05DC), obs, heard=heard))


def with_clocks(**clocks: Any) -> Heard:
    return Heard.at(NOW, clocks=Clocks(read_at=NOW, **clocks))


def test_local_clock_that_agrees_is_kept() -> None:
    found = seen_at(with_clocks(absolute=WALL), Attr.TIME_STAMP_ABS, stamped(WALL - timedelta(hours=1)))
    assert (found.measured_at, found.facts) == (NOW - timedelta(hours=1), ())


def test_local_clock_that_is_off_is_corrected_and_its_own_stamp_identifies() -> None:
    off = WALL - timedelta(days=3)
    found = seen_at(with_clocks(absolute=off), Attr.TIME_STAMP_ABS, stamped(off - timedelta(minutes=2)))
    assert (found.measured_at, found.facts) == (NOW - timedelta(minutes=2), ("clock-corrected",))
    assert found.device_at == off - timedelta(minutes=2)


def test_local_clock_that_is_kept_right_is_believed_over_ours() -> None:
    off = WALL - timedelta(minutes=20)
    found = seen_at(with_clocks(absolute=off, synced=True), Attr.TIME_STAMP_ABS, stamped(off))
    assert (found.measured_at, found.facts) == (NOW - timedelta(minutes=20), ())


def test_stamp_ahead_of_its_clock_is_on_a_lost_timeline() -> None:
    found = seen_at(with_clocks(absolute=WALL), Attr.TIME_STAMP_ABS, stamped(WALL + timedelta(days=1)))
    assert found.facts == ("lost-timeline",)


def test_clock_that_was_put_right_since_shifts_its_stamps_by_what_it_says() -> None:
    heard = with_clocks(absolute=WALL)._replace(adjust=360_000)
    found = seen_at(heard, Attr.TIME_STAMP_ABS, stamped(WALL - timedelta(hours=2)))
    assert found.measured_at == NOW - timedelta(hours=1)
    assert found.device_at == WALL - timedelta(hours=2)


@pytest.mark.parametrize(("raw", "fact"), [(bytes(8), "clock-not-set"), (b"\x20\x26\x13\x40" + bytes(4), "time-fault")])
def test_a_stamp_that_is_no_date_is_a_fact_and_a_live_reading_is_of_now(raw: bytes, fact: str) -> None:
    found = seen_at(LIVE, Attr.TIME_STAMP_ABS, raw)
    assert (found.measured_at, found.device_at, found.facts) == (NOW, None, (fact,))


def test_base_offset_time_carries_its_own_offset() -> None:
    at = (NOW - timedelta(minutes=3)).astimezone(IDENTITY_ZONE)
    found = seen_at(with_clocks(base_offset=NOW), Attr.TIME_STAMP_BO, write_base_offset(at))
    assert (found.measured_at, found.device_at, found.facts) == (at, at, ())
    off = with_clocks(base_offset=NOW - timedelta(hours=2))
    moved = seen_at(off, Attr.TIME_STAMP_BO, write_base_offset(at - timedelta(hours=2)))
    assert (moved.measured_at, moved.facts) == (at, ("clock-corrected",))


def test_relative_time_is_counted_back_from_the_report() -> None:
    heard = LIVE._replace(relative=80_000)
    found = seen_at(heard, Attr.TIME_STAMP_REL, u32(0))
    assert (found.measured_at, found.facts) == (NOW - timedelta(seconds=10), ("clock-corrected",))


def test_relative_time_is_counted_back_over_its_wrap() -> None:
    heard = LIVE._replace(relative=40_000)
    found = seen_at(heard, Attr.TIME_STAMP_REL, u32(2**32 - 40_000))
    assert found.measured_at == NOW - timedelta(seconds=10)


def test_relative_time_without_a_clock_to_compare_is_lost() -> None:
    assert seen_at(LIVE, Attr.TIME_STAMP_REL, u32(5)).facts == ("lost-timeline",)


def test_high_resolution_time_is_counted_back_from_the_clock_that_was_read() -> None:
    heard = with_clocks(high_resolution=90_000_000)
    found = seen_at(heard, Attr.TIME_STAMP_REL_HI_RES, (30_000_000).to_bytes(8))
    assert found.measured_at == NOW - timedelta(minutes=1)
    assert seen_at(LIVE, Attr.TIME_STAMP_REL_HI_RES, bytes(8)).facts == ("lost-timeline",)


def test_from_memory_an_unset_clock_is_lost() -> None:
    heard = Heard(Moment(NOW, live=False))
    assert set(seen_at(heard, Attr.TIME_STAMP_ABS, bytes(8)).facts) == {"clock-not-set", "lost-timeline"}


def test_times_go_there_and_back() -> None:
    at = datetime(2026, 11, 22, 0, 43, 23, 500_000)
    assert write_absolute(at).hex() == "2026112200432350"
    assert absolute(write_absolute(at)).at == at
    aware = datetime(2026, 11, 22, 0, 43, 23, 500_000, tzinfo=IDENTITY_ZONE)
    assert base_offset(write_base_offset(aware)) == aware


# -- configurations


def test_a_report_of_variable_format_changes_map_and_unit_for_what_follows() -> None:
    before = standard(0x05DC)
    after = before.changed(1, (Attribute(Attr.UNIT_CODE, u16(1760)),))
    found = only(said(after, FixedObs(1, simple(161.4) + stamped())))
    assert (found.values[0], found.unit) == (161.4, "[lb_av]")
    assert before.changed(9, ()) is before


def test_two_objects_with_one_handle_are_refused() -> None:
    row = standard(0x05DC).report.objects[0]
    with pytest.raises(BadValue):
        Configuration.of(ConfigReport(0x4000, (row, row)))


def test_an_object_without_a_type_is_refused() -> None:
    with pytest.raises(BadValue):
        Configuration.of(ConfigReport(0x4000, (ConfigObject(ObjectClass.METRIC_NU, 1, ()),)))


def test_a_device_that_comes_again_is_known_and_the_oldest_is_forgotten_first() -> None:
    kept = Remembered(most=2)
    mine = Configuration(0x4000, dict(standard(0x05DC).objects))
    for device in (b"a", b"b"):
        kept.keep(device, mine)
    assert kept.find(b"a", 0x4000) == mine
    kept.keep(b"c", mine)
    assert (kept.find(b"b", 0x4000), len(kept)) == (None, 2)
    assert {device for device, _ in kept.each()} == {b"a", b"c"}
    kept.forget(b"a", 0x4000)
    assert kept.find(b"a", 0x4000) is None


def test_a_standard_configuration_is_known_of_every_device_and_another_number_of_none() -> None:
    kept = Remembered()
    assert kept.find(b"x", 0x02BC) == standard(0x02BC)
    assert (kept.find(b"x", 0x0ABC), kept.find(b"x", 0x4000)) == (None, None)


def test_all_metrics_of_a_configuration_are_listed_in_its_order() -> None:
    metrics = standard(0x02BC).metrics
    assert [(one.handle, one.ids) for one in metrics] == [(1, (18949, 18950, 18951)), (2, ())]
    assert all(isinstance(one, Metric) for one in metrics)


def test_a_shape_seen_before_says_what_working_it_out_says() -> None:
    wide = (Mapped(Attr.NU_VAL_OBS_SIMP, 4), Mapped(Attr.TIME_STAMP_ABS, 8))
    rows = (
        Row(1, 18948, 0, 3872, (Mapped(Attr.NU_CMPD_VAL_OBS_BASIC, 10), wide[1]), ids=(18949, 18950, 18951)),
        Row(2, 18474, 0, 2720, (Mapped(Attr.NU_VAL_OBS_BASIC, 2), wide[1])),
        Row(3, 57664, 0x0008, 1731, wide),
        Row(4, 57668, 0, 1297, wide),
        Row(5, 57356, 0, 6048, wide),
        Row(6, 61458, 0, 512, wide),
        Row(7, 57680, 0, 1952, wide),
        Row(8, 57668, 0, 1376, wide),
    )
    configuration = configured(0x4000, rows)
    parts = {
        1: pressures(120, 80, 0) + stamped(),
        2: u16(0x07FF) + stamped(),
        **{handle: simple(handle * 1.5) + stamped() + b"\0" * (handle == 3) for handle in range(3, 9)},
    }
    for chosen in range(1, 256):
        obs = [FixedObs(handle, parts[handle]) for handle in parts if chosen >> (handle - 1) & 1]
        (read,) = configuration.read(agent_report(0, *obs))
        quick = observe((read,), SOURCE, LIVE)
        slow = observing._of_record(read.measured, SOURCE, place(stamp_in(read.measured[0].values), LIVE), None)
        assert list(quick) == slow


def test_a_compound_with_fewer_components_than_ids_is_worked_out_each_time() -> None:
    short = configured(
        0x4000, (Row(1, 18948, 0, 3872, (Mapped(Attr.NU_CMPD_VAL_OBS_BASIC, 8),), ids=(18949, 18950, 18951)),)
    )
    found = only(said(short, FixedObs(1, pressures(120, 80))))
    assert (found.values, found.absent[2]) == ((120.0, 80.0, None, None), "not-sent")
    none = configured(0x4000, (Row(1, 18948, 0, 3872, (Mapped(Attr.NU_CMPD_VAL_OBS_BASIC, 4),), ids=(18949,)),))
    assert said(none, FixedObs(1, bytes(4))) == ()

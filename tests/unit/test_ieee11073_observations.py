"""What the reports of 20601 agents mean: kinds, slots, units, status, persons and circumstances."""

from __future__ import annotations

import struct
from datetime import timedelta
from typing import Any

import pytest

from devices.ieee11073 import observing
from devices.ieee11073.attribute import Attribute, Mapped
from devices.ieee11073.attribute_values import Type
from devices.ieee11073.codes import PERSON_UNKNOWN, Attr, ObjectClass
from devices.ieee11073.events import ConfigObject, ConfigReport
from devices.ieee11073.mder import u16
from devices.ieee11073.objects import Configuration
from devices.ieee11073.observing import observe
from devices.ieee11073.scan_report import FixedObs, Person, ScanReport, VarObs, agent_report
from devices.ieee11073.specializations import (
    BY_CONFIGURATION,
    STANDARD_CONFIGURATIONS,
    Row,
    configured,
    standard,
)
from devices.ieee11073.stamping import place, stamp_in
from devices.medfloat import encode_float, medfloat32
from devices.observation import Context, Meal, Site
from tests.readings_20601 import LIVE, NOW, SOURCE, WALL, basic, metric, only, pressures, said, simple, stamped


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


@pytest.mark.parametrize(
    ("code", "meal"),
    [(29260, Meal.PREPRANDIAL), (29264, Meal.POSTPRANDIAL), (29268, Meal.FASTING), (29272, Meal.CASUAL),
     (29300, Meal.BEDTIME)],
)  # fmt: skip
def test_the_meal_beside_a_glucose_is_its_context(code: int, meal: Meal) -> None:
    found = only(said(meter(), FixedObs(1, basic(101)), oid(2, code), oid(3, 29240)))
    assert found.context == Context(meal=meal, site=Site.FINGER)


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

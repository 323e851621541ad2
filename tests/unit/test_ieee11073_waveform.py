"""Sample arrays become waveforms by the scale of their object, or an error that says why not."""

from __future__ import annotations

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.decode_cli import answer
from devices.errors import BadValue, DeviceError
from devices.fhir.base_observation import Sender
from devices.fhir.waveform import waveform_resources, waveforms_in
from devices.ieee11073 import apdu
from devices.ieee11073.association import Aarq, Information
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.codes import Attr, Noti, ObjectClass
from devices.ieee11073.data_apdu import EventReport
from devices.ieee11073.events import write_config
from devices.ieee11073.manager import Manager
from devices.ieee11073.mder import u16, u32
from devices.ieee11073.objects import Configuration, Metric
from devices.ieee11073.outputs import Keep, Odd, Output
from devices.ieee11073.scan_report import Person, ScanReport, agent_report
from devices.ieee11073.stamping import Heard
from devices.ieee11073.terms import Terms
from devices.ieee11073.waveform import SIGNED, samples, sampling_of, waveforms_of
from tests.waves_20601 import NOW, OXIMETER, PLETH, SATURATION, SOURCE, WALL, WAVE, report, scale, specification, with_


def pleth(*attributes: Attribute) -> Metric:
    return Metric(object_class=ObjectClass.METRIC_SA_RT, handle=5, type=PLETH, attributes=attributes)


def test_samples_are_scaled_between_the_two_ends() -> None:
    found = sampling_of(pleth(specification(3, 16, 12), scale(-1, 1, 0, 4000)))
    assert samples(found, struct.pack(">HHH", 0, 2000, 0xF000 | 4000)) == (0, 2000, 4000)
    assert (found.origin, found.factor, found.low, found.high) == (-1.0, 0.0005, 0, 4000)


def test_samples_of_255_significant_bits_are_signed() -> None:
    found = sampling_of(pleth(specification(3, 16, SIGNED), scale(-1, 1, -1000, 1000)))
    assert samples(found, struct.pack(">hhh", -1000, 0, 1000)) == (-1000, 0, 1000)
    assert (found.origin, found.factor) == pytest.approx((0.0, 0.001))


def test_an_array_of_another_size_is_refused() -> None:
    found = sampling_of(pleth(specification(3, 16, 16), scale(0, 1, 0, 100)))
    with pytest.raises(BadValue, match="3 samples of 2 octets in 5"):
        samples(found, bytes(5))


@pytest.mark.parametrize(
    "attributes",
    [
        (),
        (specification(3, 16, 16),),
        (specification(3, 12, 12), scale(0, 1, 0, 100)),
        (specification(3, 16, 17), scale(0, 1, 0, 100)),
        (specification(3, 16, 0), scale(0, 1, 0, 100)),
        (specification(3, 16, 16), scale(0, 1, 100, 100)),
        (specification(3, 16, 16), Attribute(Attr.SCALE_SPECN_I16, b"\x00\x7f\xff\xff" * 2 + bytes(4))),
    ],
)
def test_a_specification_of_no_sense_is_refused(attributes: tuple[Attribute, ...]) -> None:
    with pytest.raises(BadValue):
        sampling_of(pleth(*attributes))


@given(st.binary(max_size=8), st.binary(max_size=16), st.binary(max_size=20))
def test_any_octets_are_samples_or_an_error(specified: bytes, scaled: bytes, data: bytes) -> None:
    metric = pleth(Attribute(Attr.SA_SPECN, specified), Attribute(Attr.SCALE_SPECN_I8, scaled))
    try:
        found = samples(sampling_of(metric), data)
    except DeviceError:
        return
    assert len(found) <= len(data)


# -- from reports


def test_the_array_in_a_report_is_a_waveform_with_its_pace_its_unit_and_its_stamp() -> None:
    (found,) = waveforms_of(OXIMETER.read(agent_report(0, WAVE)), SOURCE, Heard.at(NOW))
    assert (found.kind, found.unit, found.period) == (2 << 16 | 19380, "1", 13.375)
    assert found.values == pytest.approx((-1.0, 0.0, 1.0))
    assert (found.low, found.high) == (0, 4000)
    assert (found.measured_at, found.device_at, found.facts) == (NOW, WALL, ())


def test_an_ecg_is_sampled_in_millivolts() -> None:
    ecg = with_(Attribute(Attr.UNIT_CODE, u16(4274)))
    (found,) = waveforms_of(ecg.read(agent_report(0, WAVE)), SOURCE, Heard.at(NOW))
    assert found.unit == "mV"


def test_arrays_with_one_stamp_are_numbered_records() -> None:
    found = waveforms_of(OXIMETER.read(agent_report(0, WAVE, WAVE)), SOURCE, Heard.at(NOW))
    assert [one.record_no for one in found] == [0, 1]


@pytest.mark.parametrize(("person", "slot", "session"), [(7, 7, None), (300, None, "person-300")])
def test_a_persons_waveform_is_never_anothers(person: int, slot: int | None, session: str | None) -> None:
    scan = ScanReport(0xF000, 0, (Person(person, (WAVE,)),))
    (found,) = waveforms_of(OXIMETER.read(scan), SOURCE, Heard.at(NOW))
    assert (found.slot, found.session) == (slot, session)


@pytest.mark.parametrize(
    ("attribute", "field"),
    [
        (Attribute(Attr.UNIT_CODE, u16(9999)), "unit-code"),
        (Attribute(Attr.TIME_PD_SAMP, u32(0)), "time-pd-samp"),
        (specification(4, 16, 12), "simp-sa-obs-val"),
    ],
)
def test_an_array_of_no_sense_names_the_attribute(attribute: Attribute, field: str) -> None:
    with pytest.raises(BadValue) as caught:
        waveforms_of(with_(attribute).read(agent_report(0, WAVE)), SOURCE, Heard.at(NOW))
    assert caught.value.field == field


def manager_of(configuration: Configuration) -> Manager:
    manager = Manager(Terms(bytes.fromhex("0200000000000001"), interviews=False))
    manager.connected(0.0)
    about = Information.of_agent(bytes.fromhex("1122334455667788"), 0x4000)
    told = EventReport(7, 0, Noti.CONFIG, write_config(configuration.report), confirmed=True)
    manager.receive(apdu.encode(Aarq.of(about)) + apdu.encode(told), 0.0, NOW)
    return manager


def test_a_manager_hands_over_the_waveform_beside_the_reading() -> None:
    outputs = manager_of(OXIMETER).receive(apdu.encode(report(SATURATION, WAVE)), 0.0, NOW)
    (kept,) = outputs
    assert isinstance(kept, Keep)
    assert [one.values[0] for one in kept.observations] == [97.0]
    assert [one.samples for one in kept.waveforms] == [(0, 2000, 4000)]
    assert kept.octets


def test_an_array_of_no_sense_is_odd_and_the_reading_beside_it_is_kept_and_confirmed() -> None:
    manager = manager_of(with_(specification(4, 16, 12)))
    frame = apdu.encode(report(SATURATION, WAVE))
    outputs: list[Output] = manager.receive(frame, 0.0, NOW)
    odd, kept = outputs
    assert isinstance(odd, Odd)
    assert (odd.field, odd.reason) == ("simp-sa-obs-val", "BadValue")
    assert isinstance(kept, Keep)
    assert ([one.values[0] for one in kept.observations], kept.waveforms) == ([97.0], ())
    assert kept.octets


def test_a_waveform_of_an_agent_goes_out_as_fhir_and_comes_back() -> None:
    (found,) = waveforms_of(OXIMETER.read(agent_report(0, WAVE)), SOURCE, Heard.at(NOW))
    resources = waveform_resources(found, Sender("Device/gateway", "Patient/42", "42"))
    assert waveforms_in(msgspec.json.decode(msgspec.json.encode(resources))) == (found,)


def test_decode_shows_the_samples_the_scale_and_the_values() -> None:
    told = apdu.encode(EventReport(7, 0, Noti.CONFIG, write_config(OXIMETER.report), confirmed=True))
    line = {"apdu": apdu.encode(report(SATURATION, WAVE)).hex(), "config": told.hex()}
    found = answer(msgspec.json.encode(line), NOW)
    assert [item["value"] for item in found["observations"]] == [97.0]
    (wave,) = found["waveforms"]
    assert (wave["kind"], wave["unit"], wave["samples"]) == (150452, "1", (0, 2000, 4000))
    assert wave["values"] == pytest.approx((-1.0, 0.0, 1.0))

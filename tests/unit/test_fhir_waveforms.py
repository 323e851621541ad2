"""Waveforms as PhdRtsaObservation: valid SampledData, the guide's scale and range, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.observation import Observation as FhirObservation
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import BadValue
from devices.fhir.base_observation import Sender
from devices.fhir.coding import MDC
from devices.fhir.reading import observations_in
from devices.fhir.waveform import waveform_resources, waveforms_in
from devices.observation import FACT_NAMES
from devices.waveform import Waveform

SENDER = Sender("Device/gateway", "Patient/42", "42-urn:oid:1.2.3")
PLETH = Waveform(
    device="eui64:00601900010e9234",
    kind=150452,
    unit="1",
    measured_at=datetime(2026, 3, 5, 2, 0, tzinfo=UTC),
    device_at=datetime(2026, 3, 5, 10, 0),
    period=13.375,
    samples=(0, 2000, 4000),
    origin=-1.0,
    factor=0.0005,
    low=0.0,
    high=4000.0,
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def sent(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What arrives, after the R4B models have seen it."""
    for resource in resources:
        FhirObservation.model_validate_json(msgspec.json.encode(resource))
    return msgspec.json.decode(msgspec.json.encode(resources))  # type: ignore[no-any-return]


@st.composite
def anything(draw: st.DrawFn) -> Waveform:
    sample = st.one_of(st.integers(-(2**31), 2**32 - 1), NUMBERS, st.none())
    samples = tuple(draw(st.lists(sample, min_size=1, max_size=12)))
    reasons = st.sampled_from(["unsuccessful", "positive-infinity", "negative-infinity"])
    names = draw(st.sets(st.sampled_from(sorted(set(FACT_NAMES) - {"lost-timeline", "invalid", "not-available"}))))
    stamps = st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1))
    quarters = st.integers(-48, 56).map(lambda quarter: timezone(timedelta(minutes=15 * quarter)))
    return Waveform(
        device=draw(st.sampled_from(["eui64:0102030405060708", "ble:f0:00:00:00:00:01", "vendor:A_1.2-3"])),
        kind=draw(st.integers(1, 2**31 - 1)),
        unit=draw(st.sampled_from(["mV", "1", "%"])),
        measured_at=draw(st.datetimes(datetime(2011, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))),
        device_at=draw(st.one_of(st.none(), stamps, st.builds(lambda at, tz: at.replace(tzinfo=tz), stamps, quarters))),
        period=draw(st.integers(1, 2**32 - 1)) / 8,
        samples=samples,
        origin=draw(NUMBERS),
        factor=draw(NUMBERS),
        low=draw(st.one_of(st.none(), NUMBERS)),
        high=draw(st.one_of(st.none(), NUMBERS)),
        absent={index: draw(reasons) for index, value in enumerate(samples) if value is None},
        record_no=draw(st.integers(0, 2**31 - 1)),
        slot=draw(st.one_of(st.none(), st.integers(0, 255))),
        session=draw(st.one_of(st.none(), st.just("kiosk-7.1"))),
        facts=tuple(name for name in FACT_NAMES if name in names),
    )


@given(anything())
def test_any_waveform_is_valid_r4_and_comes_back(waveform: Waveform) -> None:
    assert waveforms_in(sent(waveform_resources(waveform, SENDER))) == (waveform,)


def test_samples_are_written_as_sent_with_the_scale_that_makes_values_of_them() -> None:
    rtsa, clock = waveform_resources(PLETH, SENDER)
    assert rtsa["meta"]["profile"] == ["http://hl7.org/fhir/uv/phd/StructureDefinition/PhdRtsaObservation"]
    assert rtsa["code"]["coding"] == [{"system": MDC, "code": "150452", "display": "MDC_PULS_OXIM_PLETH"}]
    assert rtsa["category"][0]["coding"][0]["code"] == "phd"
    sampled = rtsa["valueSampledData"]
    assert (sampled["data"], sampled["dimensions"], sampled["period"]) == ("0 2000 4000", 1, 13.375)
    assert (sampled["origin"]["value"], sampled["origin"]["code"], sampled["factor"]) == (-1.0, "1", 0.0005)
    assert (sampled["lowerLimit"], sampled["upperLimit"]) == (0.0, 4000.0)
    assert "referenceRange" not in rtsa
    assert PLETH.values == (-1.0, 0.0, 1.0)
    assert clock["meta"]["profile"][0].endswith("PhdCoincidentTimeStampObservation")
    assert rtsa["identifier"][0]["value"] == "00601900010E9234-42-urn:oid:1.2.3-150452-826020000"


def test_a_sample_without_a_number_is_one_of_three_words() -> None:
    absent = {0: "unsuccessful", 1: "positive-infinity", 2: "negative-infinity"}
    words = msgspec.structs.replace(PLETH, samples=(None, None, None, 7), absent=absent)
    assert waveform_resources(words, SENDER)[0]["valueSampledData"]["data"] == "E U L 7"


@pytest.mark.parametrize(
    ("fact", "status", "reason"),
    [("invalid", "entered-in-error", "error"), ("not-available", "final", "not-performed")],
)
def test_an_invalid_waveform_is_not_given_away(fact: str, status: str, reason: str) -> None:
    (found, *_) = resources = waveform_resources(msgspec.structs.replace(PLETH, facts=(fact,)), SENDER)
    assert "valueSampledData" not in found
    assert (found["status"], found["dataAbsentReason"]["coding"][0]["code"]) == (status, reason)
    (again,) = waveforms_in(sent(resources))
    assert (again.samples, again.facts, again.unit) == ((), (fact,), "1")


def test_a_waveform_without_samples_says_so() -> None:
    (found, _) = sent(waveform_resources(msgspec.structs.replace(PLETH, samples=()), SENDER))
    assert found["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert waveforms_in([found])[0].samples == ()


def test_a_waveform_without_a_timeline_is_withheld() -> None:
    assert waveform_resources(msgspec.structs.replace(PLETH, facts=("lost-timeline",)), SENDER) == []


def test_a_waveform_is_no_observation_and_the_other_way_round() -> None:
    assert observations_in(waveform_resources(PLETH, SENDER)) == ()
    assert waveforms_in([{"resourceType": "Observation", "code": {"coding": []}}, {"resourceType": "Device"}]) == ()


def test_the_guides_own_example_is_read() -> None:
    example = {
        "resourceType": "Observation",
        "meta": {"profile": ["http://hl7.org/fhir/uv/phd/StructureDefinition/PhdRtsaObservation"]},
        "status": "final",
        "code": {"coding": [{"system": MDC, "code": "131329", "display": "MDC_ECG_ELEC_POTL_I"}]},
        "subject": {"reference": "Patient/patientExample-1"},
        "effectiveDateTime": "2018-08-02T02:25:24-04:00",
        "valueSampledData": {
            "origin": {"value": -3300, "system": "http://unitsofmeasure.org", "code": "mV", "unit": "mV"},
            "period": 10,
            "factor": 1.612,
            "lowerLimit": -500,
            "upperLimit": 500,
            "dimensions": 1,
            "data": "2041 2043 2037",
        },
        "device": {"reference": "Device/ecg"},
    }
    (found,) = waveforms_in(sent([example]), {"Device/ecg": "eui64:00601900010e9234"})
    assert (found.kind, found.unit, found.period, found.samples) == (131329, "mV", 10.0, (2041, 2043, 2037))
    assert found.values[0] == pytest.approx(-3300 + 2041 * 1.612)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"dimensions": 3}, "valueSampledData.dimensions"),
        ({"data": "1 x 3"}, "valueSampledData.data"),
        ({"data": "1  3"}, "valueSampledData.data"),
        ({"data": "1 NaN 3"}, "valueSampledData.data"),
        ({"factor": "1"}, "valueSampledData.factor"),
        ({"period": None}, "valueSampledData.period"),
        ({"period": 0}, "Observation"),
        ({"origin": {"value": 0}}, "valueSampledData.origin"),
        ({"lowerLimit": True}, "valueSampledData.lowerLimit"),
    ],
)
def test_what_cannot_be_read_names_its_element(change: dict[str, Any], field: str) -> None:
    rtsa = waveform_resources(PLETH, SENDER)[0]
    rtsa["valueSampledData"] |= change
    with pytest.raises(BadValue) as caught:
        waveforms_in([rtsa])
    assert caught.value.field == field


def test_a_waveform_of_an_unknown_device_is_refused() -> None:
    rtsa = waveform_resources(PLETH, SENDER)[0]
    with pytest.raises(BadValue) as caught:
        waveforms_in([rtsa | {"identifier": [], "device": {"reference": "Device/x"}}])
    assert caught.value.field == "device"

"""An observation as FHIR: valid R4 resources, what the guide says of codes, status and time, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.observation import Observation as FhirObservation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.errors import BadValue
from devices.fhir.base_observation import Sender
from devices.fhir.coding import LOINC, MDC
from devices.fhir.device import Nameplate, phd_device, phg_device
from devices.fhir.identifier import stamp_part
from devices.fhir.observation import resources_of
from devices.fhir.reading import observations_in, phd_devices
from devices.fhir.status import Withheld, why_withheld
from devices.fhir.transaction import transaction
from devices.nomenclature import BLOOD_PRESSURE, BY_CODE, GLUCOSE_CONTROL, KINDS
from devices.observation import ABSENT_NAMES, FACT_NAMES, Context, Fact, Meal, Observation, Posture, Site

SENDER = Sender("Device/gateway", "Patient/42", "42-urn:oid:1.2.3")
CUFF = Observation(
    device="eui64:00601900010e9234",
    kind=BLOOD_PRESSURE,
    values=(120.0, 80.0, 93.0, 64.0),
    unit="mm[Hg]",
    measured_at=datetime(2026, 3, 5, 2, 0, tzinfo=UTC),
    device_at=datetime(2026, 3, 5, 10, 0),
    record_no=7,
    slot=1,
    facts=("irregular-pulse", "body-movement"),
)
GLUCOSE = Observation(
    device="eui64:00601900010e9234",
    kind=160184,
    values=(7.8,),
    unit="mmol/L",
    measured_at=datetime(2026, 3, 5, 2, 0, tzinfo=UTC),
    device_at=datetime(2026, 3, 5, 10, 0),
    context=Context(meal=Meal.POSTPRANDIAL, site=Site.FINGER),
)


def with_facts(observation: Observation, *facts: Fact) -> Observation:
    bits = sum(fact.value for fact in facts)
    names = tuple(name for name, fact in FACT_NAMES.items() if bits & fact)
    return msgspec.structs.replace(observation, facts=names)


def first(observation: Observation) -> dict[str, Any]:
    return resources_of(observation, SENDER)[0]


def codes(concept: dict[str, Any], system: str) -> list[str]:
    return [coding["code"] for coding in concept["coding"] if coding["system"] == system]


def profiles(resource: dict[str, Any]) -> list[str]:
    return [url.rpartition("/")[2] for url in resource["meta"]["profile"]]


def valid(resource: dict[str, Any]) -> None:
    """By the R4B models, from the JSON that would be sent."""
    FhirObservation.model_validate_json(msgspec.json.encode(resource))


def normal(observation: Observation) -> Observation:
    """What the guide can carry: all slots, a reason for each one without a number, nothing beside a withheld value."""
    slots = len(BY_CODE[observation.kind].slots)
    values = observation.values + (None,) * (slots - len(observation.values))
    absent = {index: observation.absent.get(index, "not-sent") for index in range(slots) if values[index] is None}
    facts, context = observation.fact_bits(), observation.context
    if facts & (Fact.INVALID | Fact.NOT_AVAILABLE):
        sent = [index for index in range(slots) if absent.get(index) != "not-sent" or index == 0]
        sent += [1] if observation.kind == BLOOD_PRESSURE and 1 not in sent else []
        values = (None,) * slots
        absent = {index: "unsuccessful" if index in sent else "not-sent" for index in range(slots)}
        context = msgspec.structs.replace(context, meal=None) if context is not None else None
    elif absent.get(0) in {"positive-infinity", "negative-infinity"}:
        facts |= Fact.RESULT_TOO_HIGH if absent[0] == "positive-infinity" else Fact.RESULT_TOO_LOW
    return msgspec.structs.replace(
        observation,
        values=values,
        absent=absent,
        facts=tuple(name for name, fact in FACT_NAMES.items() if facts & fact),
        context=None if context == Context() else context,
    )


DIGITS = st.builds(lambda mantissa, places: mantissa / 10**places, st.integers(-(2**23), 2**23), st.integers(0, 4))
NUMBERS = st.one_of(st.none(), DIGITS)
REASONS = st.sampled_from(sorted(ABSENT_NAMES))
STAMPS = st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1))
QUARTERS = st.integers(-48, 56).map(lambda quarter: timezone(timedelta(minutes=15 * quarter)))
DEVICE_TIMES = st.one_of(st.none(), STAMPS, st.builds(lambda at, tz: at.replace(tzinfo=tz), STAMPS, QUARTERS))
TIMES = st.datetimes(datetime(2011, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
NAMES = st.sets(st.sampled_from(sorted(set(FACT_NAMES) - {"lost-timeline"})), max_size=4)
CONTEXTS = st.one_of(
    st.none(),
    st.builds(
        Context,
        meal=st.one_of(st.none(), st.sampled_from(Meal)),
        site=st.one_of(st.none(), st.sampled_from(Site)),
        posture=st.one_of(st.none(), st.sampled_from(Posture)),
    ),
)


@st.composite
def anything(draw: st.DrawFn) -> Observation:
    kind = draw(st.sampled_from(KINDS))
    count = draw(st.integers(1, len(kind.slots)))
    values = tuple(draw(NUMBERS) for _ in range(count))
    names = draw(NAMES)
    return Observation(
        device=draw(st.sampled_from(["eui64:0102030405060708", "ble:f0:00:00:00:00:01", "vendor:A_1.2-3"])),
        kind=kind.code,
        values=values,
        unit=draw(st.sampled_from(sorted(kind.units))),
        measured_at=draw(TIMES),
        device_at=draw(DEVICE_TIMES),
        record_no=draw(st.integers(0, 2**31 - 1)),
        slot=draw(st.one_of(st.none(), st.integers(0, 255))),
        session=draw(st.one_of(st.none(), st.just("kiosk-7.1"))),
        absent={index: draw(REASONS) for index, value in enumerate(values) if value is None and draw(st.booleans())},
        facts=tuple(name for name in FACT_NAMES if name in names),
        context=draw(CONTEXTS),
    )


@given(anything())
def test_any_observation_comes_back_from_its_resources(observation: Observation) -> None:
    resources = msgspec.json.decode(msgspec.json.encode(resources_of(observation, SENDER)))
    (again,) = observations_in(resources)
    assert again == normal(observation)


@settings(max_examples=40)
@given(anything())
def test_any_observation_is_valid_r4(observation: Observation) -> None:
    for resource in resources_of(observation, SENDER):
        valid(resource)


# on a busy machine a list of whole observations takes long to draw, which says nothing about what is tested
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(anything(), min_size=2, max_size=4, unique_by=lambda one: (one.record_no, one.measured_at)))
def test_records_in_one_bundle_stay_apart(observations: list[Observation]) -> None:
    resources = [resource for one in observations for resource in resources_of(one, SENDER)]
    assert list(observations_in(resources)) == [normal(one) for one in observations]


GUIDE = "http://hl7.org/fhir/uv/phd"
VALUES = {
    "PhdNumericObservation": {"valueQuantity", "dataAbsentReason"},
    "PhdCompoundNumericObservation": {"component", "dataAbsentReason"},
    "PhdBitsEnumerationObservation": {"component"},
    "PhdCodedEnumerationObservation": {"valueCodeableConcept"},
}
"""The elements that may hold a value, by profile."""


@settings(max_examples=40)
@given(anything())
def test_every_resource_has_what_the_guide_demands_of_its_profile(observation: Observation) -> None:
    for resource in resources_of(observation, SENDER):
        profile = resource.get("meta", {}).get("profile", [""])[0]
        if profile.endswith("/PhdCoincidentTimeStampObservation"):
            assert resource["status"] == "final"
            assert resource["device"] == {"reference": SENDER.gateway}
            assert not {"identifier", "derivedFrom", "hasMember", "performer"} & set(resource)
            continue
        categories = [codes(one, f"{GUIDE}/CodeSystem/PhdObservationCategories") for one in resource["category"]]
        assert categories.count(["phd"]) == 1
        gateways = [one for one in resource["extension"] if one["url"].endswith("/observation-gatewayDevice")]
        assert [one["valueReference"]["reference"] for one in gateways] == [SENDER.gateway]
        assert resource["subject"]["reference"]
        assert resource["device"]["reference"]
        assert resource["effectiveDateTime"] == observation.measured_at.isoformat()
        assert all(not {"system", "type"} & set(one) for one in resource["identifier"][:-1])
        held = {"valueQuantity", "valueCodeableConcept", "component", "dataAbsentReason"} & set(resource)
        if profile:
            assert len(codes(resource["code"], MDC)) == 1
            assert held
            assert held <= VALUES[profile.rpartition("/")[2]]


def test_a_cuff_reading_is_a_compound_a_pulse_its_bits_and_its_clock() -> None:
    found = resources_of(CUFF, SENDER)
    assert [profiles(one)[0] for one in found] == [
        "PhdCompoundNumericObservation",
        "PhdNumericObservation",
        "PhdBitsEnumerationObservation",
        "PhdCoincidentTimeStampObservation",
    ]
    compound = found[0]
    assert profiles(compound)[-1] == "bp"
    assert (codes(compound["code"], MDC), codes(compound["code"], LOINC)) == (["150020"], ["85354-9"])
    assert [
        (codes(part["code"], MDC)[0], codes(part["code"], LOINC)[0], part["valueQuantity"]["value"])
        for part in compound["component"]
    ] == [("150021", "8480-6", 120.0), ("150022", "8462-4", 80.0), ("150023", "8478-0", 93.0)]


def test_the_bits_of_a_cuff_are_numbered_as_the_guide_numbers_them() -> None:
    bits = resources_of(CUFF, SENDER)[2]
    assert [part["code"]["coding"][0]["code"] for part in bits["component"]] == ["8410608.0", "8410608.2"]
    assert [part["valueBoolean"] for part in bits["component"]] == [True, True]


def test_a_pressure_in_kpa_claims_no_vital_sign() -> None:
    found = first(msgspec.structs.replace(CUFF, values=(16.0, 10.7, 12.4, 64.0), unit="kPa"))
    assert "bp" not in profiles(found)
    assert not codes(found["code"], LOINC)
    assert not any(codes(part["code"], LOINC) for part in found["component"])
    assert {part["valueQuantity"]["code"] for part in found["component"]} == {"kPa"}


def test_height_is_written_in_cm_without_rounding() -> None:
    scale = msgspec.structs.replace(CUFF, kind=188736, values=(70.0, 23.1, 1.741), unit="kg", facts=())
    height = resources_of(scale, SENDER)[2]
    assert (height["valueQuantity"]["value"], height["valueQuantity"]["code"]) == (174.1, "cm")
    assert profiles(height) == ["PhdNumericObservation", "bodyheight"]


@pytest.mark.parametrize(("unit", "loinc"), [("mmol/L", "14743-9"), ("mg/dL", "41653-7")])
def test_glucose_has_the_code_of_its_unit(unit: str, loinc: str) -> None:
    assert codes(first(msgspec.structs.replace(GLUCOSE, unit=unit))["code"], LOINC) == [loinc]


def test_a_meal_is_a_coded_enumeration_derived_from_its_glucose() -> None:
    found = resources_of(GLUCOSE, SENDER)
    meal = next(one for one in found if "PhdCodedEnumerationObservation" in profiles(one))
    assert codes(meal["code"], MDC) == ["8417864"]
    assert codes(meal["valueCodeableConcept"], MDC) == ["8417872"]
    assert meal["derivedFrom"]


def test_a_control_solution_is_never_a_patients() -> None:
    found = first(msgspec.structs.replace(GLUCOSE, kind=GLUCOSE_CONTROL, facts=("control-solution",)))
    assert found["subject"] != {"reference": SENDER.subject}
    assert found["subject"]["reference"] == found["device"]["reference"]


@pytest.mark.parametrize(
    ("fact", "status", "interpretation"),
    [
        (Fact.QUESTIONABLE, "final", "questionable"),
        (Fact.IMPLAUSIBLE, "final", "questionable"),
        (Fact.CALIBRATION_ONGOING, "final", "calibration-ongoing"),
        (Fact.EARLY_ESTIMATE, "preliminary", "early-indication"),
        (Fact.BATTERY_LOW, "final", None),
        (Fact.AMENDED, "amended", None),
        (Fact.ENTERED_IN_ERROR, "entered-in-error", None),
    ],
)
def test_a_status_is_said_as_the_guide_says_it(fact: Fact, status: str, interpretation: str | None) -> None:
    found = first(with_facts(GLUCOSE, fact))
    said = [one["coding"][0]["code"] for one in found.get("interpretation", ())]
    assert (found["status"], said) == (status, [interpretation] if interpretation else [])


@pytest.mark.parametrize(
    ("fact", "status", "reason"),
    [(Fact.INVALID, "entered-in-error", "error"), (Fact.NOT_AVAILABLE, "final", "not-performed")],
)
def test_an_invalid_number_is_not_given_away(fact: Fact, status: str, reason: str) -> None:
    found = first(with_facts(GLUCOSE, fact))
    assert "valueQuantity" not in found
    assert (found["status"], found["dataAbsentReason"]["coding"][0]["code"]) == (status, reason)


@pytest.mark.parametrize("fact", [Fact.TEST_DATA, Fact.DEMO_DATA, Fact.SIMULATED])
def test_what_is_no_patients_is_labelled_as_test_on_each_resource(fact: Fact) -> None:
    found = [one for one in resources_of(with_facts(GLUCOSE, fact), SENDER) if "category" in one]
    assert {one["meta"]["security"][0]["code"] for one in found} == {"HTEST"}
    assert "security" not in first(GLUCOSE)["meta"]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("not-a-number", "not-a-number"),
        ("positive-infinity", "positive-infinity"),
        ("negative-infinity", "negative-infinity"),
        ("not-at-this-resolution", "error"),
        ("reserved", "error"),
        ("unsuccessful", "error"),
    ],
)
def test_not_a_number_is_never_a_number(reason: str, code: str) -> None:
    found = first(msgspec.structs.replace(GLUCOSE, values=(None,), absent={0: reason}))
    assert "valueQuantity" not in found
    assert found["dataAbsentReason"]["coding"][0]["code"] == code


def test_a_reading_without_a_timeline_is_withheld_and_says_why() -> None:
    lost = with_facts(GLUCOSE, Fact.LOST_TIMELINE)
    assert resources_of(lost, SENDER) == []
    assert why_withheld(lost) is Withheld.LOST_TIMELINE
    assert why_withheld(GLUCOSE) is None


@pytest.mark.parametrize(
    ("stamp", "part"),
    [
        (datetime(2021, 11, 22, 11, 56, 30), "690897390"),
        (datetime(2021, 11, 22, 11, 56, 30, 567000), "690897390.567"),
        (datetime(2021, 11, 22, 12, 56, 30, tzinfo=timezone(timedelta(hours=1))), "690897390+4"),
        (datetime(2021, 11, 22, 11, 56, 30, tzinfo=UTC), "690897390+0"),
    ],
)
def test_the_stamp_of_an_identifier_counts_from_2000_by_the_devices_clock(stamp: datetime, part: str) -> None:
    assert stamp_part(stamp) == part


def test_the_identifier_is_the_devices_and_not_the_corrected_time() -> None:
    other = msgspec.structs.replace(CUFF, measured_at=datetime(2026, 3, 5, 2, 1, tzinfo=UTC))
    value = first(CUFF)["identifier"][0]["value"]
    assert value == "00601900010E9234-42-urn:oid:1.2.3-150020-826020000"
    assert first(other)["identifier"][0]["value"] == value


def test_without_a_stamp_there_is_no_conditional_create() -> None:
    found = first(msgspec.structs.replace(CUFF, device_at=None))
    assert all("system" in one for one in found["identifier"])


def test_what_others_sent_is_read_by_its_codes() -> None:
    foreign: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": MDC, "code": "149530"}]},
        "effectiveDateTime": "2018-11-13T17:59:02-05:00",
        "valueQuantity": {"value": 48, "system": "http://unitsofmeasure.org", "code": "/min"},
        "device": {"reference": "Device/oximeter"},
        "interpretation": [
            {
                "coding": [
                    {"system": "http://hl7.org/fhir/uv/pocd/CodeSystem/measurement-status", "code": "questionable"}
                ]
            }
        ],
    }
    plate = phd_device(Nameplate(device="eui64:74e8fffeff051c00", manufacturer="Nonin", model="3230"))
    devices = phd_devices([plate | {"id": "oximeter"}])
    (found,) = observations_in([foreign], devices)
    assert observations_in([foreign | {"status": "corrected"}], devices)[0].facts == ("questionable", "amended")
    assert (found.device, found.kind, found.values) == ("eui64:74e8fffeff051c00", 150456, (None, 48.0, None))
    assert found.facts == ("questionable",)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": {"coding": [{"system": MDC, "code": "1"}]}}, "code"),
        ({"effectiveDateTime": "2018"}, "effectiveDateTime"),
        ({"device": {}}, "device"),
        ({"identifier": [{"system": "urn:suifang:record", "value": "x"}]}, "identifier"),
        ({"valueQuantity": {"value": 1, "system": "http://unitsofmeasure.org", "code": "kg"}}, "valueQuantity.code"),
    ],
)
def test_what_cannot_be_read_names_its_element(change: dict[str, Any], field: str) -> None:
    resource = first(GLUCOSE)
    if "identifier" not in change:
        resource["identifier"] = []
    with pytest.raises(BadValue) as caught:
        observations_in([resource | change])
    assert caught.value.field == field


def test_a_transaction_creates_each_resource_once_and_refers_to_what_it_holds() -> None:
    plate = Nameplate(device=CUFF.device, manufacturer="A&D", model="UA-651BLE", kinds=(BLOOD_PRESSURE,))
    bundle = transaction(
        [CUFF, CUFF, GLUCOSE], [plate], phg_device("ecde3d4e58532d31", "0.1.0"), subject="Patient/42", patient="42"
    )
    Bundle.model_validate_json(msgspec.json.encode(bundle))
    urls = [entry["fullUrl"] for entry in bundle["entry"]]
    assert len(urls) == len(set(urls))
    text = msgspec.json.encode(bundle).decode()
    for url in {part.partition('"')[0] for part in text.split('"reference":"')[1:]} - {"Patient/42"}:
        assert url in urls
    asked = {entry["request"].get("ifNoneExist") for entry in bundle["entry"]}
    assert "identifier=00601900010E9234-42-150020-826020000" in asked

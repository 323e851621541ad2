"""Readings that other gateways and servers sent: what FHIR and the guide allow them is read, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.errors import BadValue
from devices.fhir.coding import ABSENT_SYSTEM, MDC, UCUM
from devices.fhir.coincident import Coincident, coincidents_in
from devices.fhir.reading import observations_apart, observations_in, phd_devices
from devices.fhir.waveform import waveforms_in
from devices.observation import NEVER_JUDGED, Context, Fact, Meal, Observation

BITS = "http://terminology.hl7.org/CodeSystem/ASN1ToHL7"
METER = {"identifier": {"system": "urn:suifang:device", "value": "vendor:7"}}


def quantity(value: Any, code: str = "mmol/L", **more: Any) -> dict[str, Any]:
    return {"value": value, "system": UCUM, "code": code, **more}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": MDC, "code": code}]}


def foreign(code: str = "160184", **more: Any) -> dict[str, Any]:
    """An Observation of another gateway, by the nomenclature and without anything of ours but the device's name."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(code),
        "effectiveDateTime": "2026-03-05T02:00:00Z",
        "device": METER,
        **more,
    }


def one(resource: dict[str, Any]) -> Observation:
    (found,) = observations_in([resource])
    return found


@pytest.mark.parametrize(
    ("comparator", "reason", "fact"),
    [
        (">", "positive-infinity", "result-too-high"),
        (">=", "positive-infinity", "result-too-high"),
        ("<", "negative-infinity", "result-too-low"),
        ("<=", "negative-infinity", "result-too-low"),
    ],
)
@pytest.mark.parametrize("unit", ["mmol/L", "mg/dL"])
def test_a_bound_is_no_number_and_keeps_its_unit(comparator: str, reason: str, fact: str, unit: str) -> None:
    found = one(foreign(valueQuantity=quantity(33.3, unit, comparator=comparator)))
    assert (found.values, found.absent, found.facts, found.unit) == ((None,), {0: reason}, (fact,), unit)


def test_a_comparator_that_fhir_does_not_have_gives_no_number() -> None:
    found = one(foreign(valueQuantity=quantity(33.3, comparator="~")))
    assert (found.values, found.absent) == ((None,), {0: "unsuccessful"})


@pytest.mark.parametrize(
    ("status", "facts"),
    [
        ("final", ()),
        ("amended", ("amended",)),
        ("corrected", ("amended",)),
        ("preliminary", ("early-estimate",)),
        ("registered", ("not-available",)),
        ("cancelled", ("not-available",)),
        ("unknown", ("questionable",)),
        ("entered-in-error", ("invalid",)),
    ],
)
def test_each_status_of_fhir_is_a_fact(status: str, facts: tuple[str, ...]) -> None:
    assert one(foreign(status=status, valueQuantity=quantity(5.0))).facts == facts


def test_what_has_no_result_is_never_judged() -> None:
    for status in ("registered", "cancelled", "preliminary", "entered-in-error"):
        assert one(foreign(status=status, valueQuantity=quantity(5.0))).fact_bits() & NEVER_JUDGED


@pytest.mark.parametrize(
    ("read", "code", "value"),
    [
        (observations_in, "160184", {"valueQuantity": quantity(5.0)}),
        (waveforms_in, "150452", {"valueSampledData": {}}),
        (coincidents_in, "67983", {"subject": METER, "valueQuantity": quantity(5, "us")}),
    ],
)
def test_an_unknown_modifier_is_refused_because_it_may_say_the_opposite(
    read: Callable[[list[dict[str, Any]]], object], code: str, value: dict[str, Any]
) -> None:
    denied = foreign(code, modifierExtension=[{"url": "urn:not", "valueBoolean": True}], **value)
    with pytest.raises(BadValue) as caught:
        read([denied])
    assert caught.value.field == "modifierExtension"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), 10**400])
def test_a_number_that_no_json_has_is_refused(number: float) -> None:
    with pytest.raises(BadValue):
        observations_in([foreign(valueQuantity=quantity(number))])


@pytest.mark.parametrize(
    ("code", "said", "unit"),
    [("160184", "mmol/l", "mmol/L"), ("160184", "mg/dl", "mg/dL"), ("147842", "{beat}/min", "/min"),
     ("147842", "{beats}/min", "/min"), ("147842", "1/min", "/min")],
)  # fmt: skip
def test_a_unit_written_otherwise_is_the_same_unit(code: str, said: str, unit: str) -> None:
    found = one(foreign(code, valueQuantity=quantity(70, said)))
    assert (found.values, found.unit) == ((70.0,), unit)


def test_validated_is_read_from_its_interpretation() -> None:
    said = {"system": "http://hl7.org/fhir/uv/pocd/CodeSystem/measurement-status", "code": "validated-data"}
    assert one(foreign(valueQuantity=quantity(5.0), interpretation=[{"coding": [said]}])).facts == ("validated",)


def test_the_status_bits_and_the_meal_of_a_reading_join_it() -> None:
    reading = foreign(id="reading", valueQuantity=quantity(5.0))
    derived = {"derivedFrom": [{"reference": "Observation/reading"}]}
    strip = {"code": {"coding": [{"system": BITS, "code": "8417752.3"}]}, "valueBoolean": True}
    bits = foreign("8417752", id="bits", component=[strip], **derived)
    meal = foreign("8417864", id="meal", valueCodeableConcept=coded("8417876"), **derived)
    for order in ([reading, bits, meal], [meal, bits, reading]):
        (found,) = observations_in(order)
        assert (found.values, found.facts, found.context) == ((5.0,), ("strip-error",), Context(meal=Meal.FASTING))


def test_bits_of_a_reading_that_is_not_there_are_refused() -> None:
    with pytest.raises(BadValue) as caught:
        observations_in([foreign("8417752", derivedFrom=[{"reference": "Observation/elsewhere"}])])
    assert caught.value.field == "code"


def test_what_cannot_be_read_does_not_keep_the_rest_from_being_read() -> None:
    stream = [
        foreign("67996", valueQuantity=quantity(100, "%")),  # the charge of a battery
        foreign("150456", valueQuantity=quantity(99.0, "%")),
        foreign("150604", component=[]),
        foreign("149530", valueQuantity=quantity(53.0, "/min"), identifier=3),
        foreign("149530", valueQuantity=quantity(53.0, "/min")),
    ]
    found, refused = observations_apart(stream)
    assert [one.values for one in found] == [(99.0, None, None), (None, 53.0, None)]
    assert sorted(one.field for one in refused) == ["Observation", "code", "code"]


@pytest.mark.parametrize(
    ("bit", "fact"),
    [
        ("150604.1", Fact.DEVICE_MALFUNCTION),
        ("150604.3", Fact.QUESTIONABLE),
        ("150604.4", Fact.SENSOR_DISCONNECTED),
        ("150604.5", Fact.POOR_SIGNAL),
        ("150604.8", Fact.PULSE_QUESTIONABLE),
        ("150604.9", Fact.POOR_SIGNAL),
        ("150604.12", Fact.POOR_SIGNAL),
        ("150604.13", Fact.POOR_SIGNAL),
        ("8417752.1", Fact.DEVICE_MALFUNCTION),
        ("8417752.3", Fact.STRIP_ERROR),
        ("8417752.4", Fact.STRIP_ERROR),
        ("8417752.7", Fact.SENSOR_TEMPERATURE),
        ("8417752.8", Fact.SENSOR_TEMPERATURE),
        ("8418060.2", Fact.DEVICE_MALFUNCTION),
        ("8418060.10", Fact.SENSOR_TEMPERATURE),
        ("8418060.11", Fact.SENSOR_TEMPERATURE),
    ],
)
def test_bits_that_share_a_fact_are_read_as_an_agents_are(bit: str, fact: Fact) -> None:
    kind = {"150604": "150456", "8417752": "160184", "8418060": "160212"}[bit.partition(".")[0]]
    component = {"code": {"coding": [{"system": BITS, "code": bit}]}, "valueBoolean": True}
    unit = "%" if kind == "150456" else "mmol/L"
    reading = foreign(kind, id="1", valueQuantity=quantity(5, unit))
    status = foreign(bit.partition(".")[0], component=[component], derivedFrom=[{"reference": "Observation/1"}])
    (found,) = observations_in([reading, status])
    assert found.fact_bits() == fact


def test_a_compound_of_glucose_and_its_meal_is_one_reading() -> None:
    private = {"coding": [{"system": "urn:acme", "code": "8452097"}]}
    parts = [
        {"code": coded("160184"), "valueQuantity": quantity(6.3)},
        {"code": coded("8417864"), "valueCodeableConcept": coded("8417872")},
        {"code": coded("8417846"), "valueString": "somewhere"},
    ]
    found = one(foreign() | {"code": private, "component": parts})
    assert (found.kind, found.values, found.context) == (160184, (6.3,), Context(meal=Meal.POSTPRANDIAL))


def test_a_compound_that_failed_as_a_whole_says_why() -> None:
    absent = {"coding": [{"system": ABSENT_SYSTEM, "code": "error"}]}
    found = one(foreign("150020", dataAbsentReason=absent))
    assert (found.values, found.absent[0]) == ((None,) * 4, "unsuccessful")


def own(system: str, code: str) -> dict[str, Any]:
    return {"meta": {"tag": [{"system": f"urn:suifang:{system}", "code": code}]}}


@pytest.mark.parametrize(
    "change",
    [
        {"device": {"identifier": {"system": "urn:suifang:device", "value": "no name"}}},
        {"identifier": [{"system": "urn:suifang:record", "value": "vendor:7|160184||-1"}]},
        {"identifier": [{"system": "urn:suifang:record", "value": "vendor:7|160184||2147483648"}]},
        own("user-slot", "256"),
        own("user-slot", "-1"),
        own("session", "a b"),
    ],
)
def test_what_the_message_contract_does_not_allow_is_not_read_either(change: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        observations_in([foreign(valueQuantity=quantity(5.0)) | change])


# -- clocks


def clock(code: str, value: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": coded(code),
        "subject": METER,
        "effectiveDateTime": "2026-03-05T02:00:00Z",
        "valueQuantity": value,
    }


@pytest.mark.parametrize("code", ["67983", "68072"])
@pytest.mark.parametrize(("unit", "seconds"), [("us", 1.5), ("ms", 1500), ("s", 1_500_000)])
def test_both_counters_are_read_in_the_units_of_their_resolution(code: str, unit: str, seconds: float) -> None:
    (found,) = coincidents_in([clock(code, quantity(1_500_000, unit))])
    assert found == Coincident("vendor:7", datetime(2026, 3, 5, 2, tzinfo=UTC), None, timedelta(seconds=seconds))
    assert observations_in([clock(code, quantity(1, unit))]) == ()


@pytest.mark.parametrize(
    "value", [{"system": UCUM, "code": "us"}, quantity(True, "us"), quantity("1", "us"), quantity(1e300, "us"),
              quantity(float("nan"), "us"), quantity(None, "us"), [], "x"]
)  # fmt: skip
def test_a_count_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(BadValue):
        coincidents_in([clock("67983", value)])


def test_a_wall_time_without_an_offset_may_come_as_text() -> None:
    # as drafts after version 2.0.0 write it
    local = clock("67975", None) | {"valueString": "2026-03-05T10:00:00.5"}
    (found,) = coincidents_in([{key: value for key, value in local.items() if value is not None}])
    assert found.device_at == datetime(2026, 3, 5, 10, 0, 0, 500000)


# -- anything


def refused_at(read: Callable[[list[dict[str, Any]]], object], *resources: dict[str, Any]) -> str:
    """The element that a refusal names; `read` where there was none."""
    try:
        read(list(resources))
    except BadValue as refused:
        return refused.field
    return "read"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)
ELEMENTS = [
    "meta", "identifier", "status", "code", "subject", "effectiveDateTime", "effectivePeriod", "device", "component",
    "valueQuantity", "dataAbsentReason", "interpretation", "derivedFrom", "id", "bodySite", "valueCodeableConcept",
    "modifierExtension", "valueDateTime", "valueString",
]  # fmt: skip


@given(st.sampled_from(["160184", "150020", "8417864", "8417752", "67983", "67975"]), st.sampled_from(ELEMENTS), JSON)
def test_an_element_of_any_shape_is_read_or_refused_by_name(code: str, element: str, value: Any) -> None:
    resource = foreign(code, valueQuantity=quantity(5.0)) | {element: value}
    for read in (observations_in, coincidents_in):
        assert refused_at(read, foreign(id="1", valueQuantity=quantity(5.0)), resource)


@given(st.sampled_from(["identifier", "id", "meta"]), JSON)
def test_a_device_of_any_shape_is_read_or_refused_by_name(element: str, value: Any) -> None:
    assert refused_at(phd_devices, {"resourceType": "Device", "id": "1", element: value})

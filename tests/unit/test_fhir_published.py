"""The example Observations of HL7's Personal Health Device guide 2.0.0 are valid R4, and read as what they say.

Source: the examples named in each test, http://hl7.org/fhir/uv/phd/STU2, their values by its repository HL7/phd; where
a copy there is older, categories, systems and references are those that version 2.0.0 has. Narratives are left out, and
all but six numbers of the electrocardiogram.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final

import msgspec
import pytest
from fhir.resources.R4B.observation import Observation as FhirObservation

from devices.fhir.reading import observations_apart, observations_in
from devices.fhir.waveform import waveforms_in
from devices.nomenclature import BLOOD_PRESSURE, PULSE_OXIMETRY
from devices.observation import NEVER_JUDGED, Context, Meal, Observation

GUIDE: Final = "http://hl7.org/fhir/uv/phd"
MDC: Final = "urn:iso:std:iso:11073:10101"
UCUM: Final = "http://unitsofmeasure.org"
BITS: Final = "http://terminology.hl7.org/CodeSystem/ASN1ToHL7"
ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
CUFF: Final = "phd-711000FEFF5F49B0.B0495F001071"
OXIMETER: Final = "phd-74E8FFFEFF051C00.001C05FFE874"
METER: Final = "phd-00601900010E9234.F45EABA80832"
DEVICES: Final = {
    f"Device/{CUFF}": "eui64:711000feff5f49b0",
    f"Device/{OXIMETER}": "eui64:74e8fffeff051c00",
    f"Device/{METER}": "eui64:00601900010e9234",
}
GATEWAY: Final = "phg-ecde3d4e58532d31.000000000000"
EAST: Final = timezone(-timedelta(hours=5))


def coded(code: str, display: str = "", system: str = MDC, **more: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} | ({"display": display} if display else {})], **more}


def both(code: str, display: str, loinc: str) -> dict[str, Any]:
    found = coded(code, display)
    found["coding"].append({"system": "http://loinc.org", "code": loinc})
    return found


def quantity(value: float, code: str, unit: str = "") -> dict[str, Any]:
    return {"value": value, "unit": unit or code, "system": UCUM, "code": code}


def example(name: str, device: str, at: str, profile: str, **more: Any) -> dict[str, Any]:
    """What the guide's Observations have in common."""
    return {
        "resourceType": "Observation",
        "id": name,
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/{profile}"]},
        "language": "en",
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/observation-gatewayDevice",
                "valueReference": {"reference": f"Device/{GATEWAY}"},
            },
            {
                "url": f"{GUIDE}/StructureDefinition/CoincidentTimeStampReference",
                "valueReference": {"reference": "Observation/coin-example-1"},
            },
        ],
        "status": "final",
        "category": [coded("phd", system=f"{GUIDE}/CodeSystem/PhdObservationCategories")],
        "subject": {"reference": "Patient/patientExample-1"},
        "effectiveDateTime": at,
        "device": {"reference": f"Device/{device}"},
        **more,
    }


def bits(name: str, device: str, code: str, *numbers: int, **more: Any) -> dict[str, Any]:
    components = [{"code": coded(f"{code}.{number}", system=BITS), "valueBoolean": True} for number in numbers]
    at = "2018-11-11T19:07:48-05:00"
    return example(name, device, at, "PhdBitsEnumerationObservation", code=coded(code), component=components, **more)


PRESSURE: Final = example(
    "compound-numeric-blood-pressure",
    CUFF,
    "2018-11-11T11:38:15-05:00",
    "PhdCompoundNumericObservation",
    code=both("150020", "MDC_PRESS_BLD_NONINV", "85354-9"),
    performer=[{"reference": "Patient/patientExample-1"}],
    component=[
        {
            "code": both("150021", "MDC_PRESS_BLD_NONINV_SYS", "8480-6"),
            "valueQuantity": quantity(116, "mm[Hg]"),
        },
        {
            "code": both("150022", "MDC_PRESS_BLD_NONINV_DIA", "8462-4"),
            "valueQuantity": quantity(71, "mm[Hg]"),
        },
        {"code": coded("150023", "MDC_PRESS_BLD_NONINV_MEAN"), "valueQuantity": quantity(86, "mm[Hg]")},
    ],
)


def arrived(resource: dict[str, Any]) -> dict[str, Any]:
    """After the models of R4 have seen it."""
    octets = msgspec.json.encode(resource)
    FhirObservation.model_validate_json(octets)
    return msgspec.json.decode(octets)  # type: ignore[no-any-return]


def read(*resources: dict[str, Any]) -> Observation:
    (found,) = observations_in([arrived(one) for one in resources], DEVICES)
    return found


def test_blood_pressure_and_its_status_are_one_reading() -> None:
    derived = {"derivedFrom": [{"reference": "Observation/compound-numeric-blood-pressure"}]}
    found = read(PRESSURE, bits("bpm-status", OXIMETER, "8410608", 0, 5, **derived))
    assert (found.kind, found.values, found.unit) == (BLOOD_PRESSURE, (116.0, 71.0, 86.0, None), "mm[Hg]")
    assert (found.device, found.facts) == ("eui64:711000feff5f49b0", ("body-movement", "improper-position"))
    assert found.measured_at == datetime(2018, 11, 11, 11, 38, 15, tzinfo=EAST)


def test_a_mean_pressure_that_is_no_number_is_absent() -> None:
    # compound-numeric-blood-pressure-no-mean
    missing = {"code": PRESSURE["component"][2]["code"], "dataAbsentReason": coded("not-a-number", system=ABSENT)}
    found = read(PRESSURE | {"component": [*PRESSURE["component"][:2], missing]})
    assert (found.values, found.absent[2]) == ((116.0, 71.0, None, None), "not-a-number")


def test_a_compound_under_a_private_code_is_what_its_components_are() -> None:
    # compound-observation-glucose
    private = f"{GUIDE}/CodeSystem/ACMEIncPrivateMDCCodes"
    parts = [
        {"code": coded("160184"), "valueQuantity": quantity(6.3, "mmol/L", "mmol/l")},
        {"code": coded("8417864"), "valueCodeableConcept": coded("8417872")},
        {"code": coded("8417846"), "valueString": "Somewhere on the body."},
    ]
    code = coded("8452097", system=private)
    at = "2018-11-11T11:38:15-05:00"
    found = read(example("compound", CUFF, at, "PhdCompoundObservation", code=code, component=parts))
    assert (found.kind, found.values, found.unit) == (160184, (6.3,), "mmol/L")
    assert found.context == Context(meal=Meal.POSTPRANDIAL)


@pytest.mark.parametrize(
    ("name", "code", "value", "kind", "values", "unit"),
    [
        ("glucose-observation", "160368", quantity(99, "mg/dL"), 160368, (99.0,), "mg/dL"),
        ("temperature-observation", "150364", quantity(36.5, "Cel", "C"), 150364, (36.5,), "Cel"),
    ],
)
def test_a_number_is_read_with_its_unit(
    name: str, code: str, value: dict[str, Any], kind: int, values: tuple[float, ...], unit: str
) -> None:
    at = "2025-01-08T19:07:48-05:00"
    found = read(example(name, OXIMETER, at, "PhdNumericObservation", code=coded(code), valueQuantity=value))
    assert (found.kind, found.values, found.unit, found.facts) == (kind, values, unit, ())


def test_a_spot_pulse_rate_is_read_by_its_code_not_by_how_its_unit_is_shown() -> None:
    # numeric-spotnumeric: an accuracy as an extension, the modality as a component
    spot = {"code": coded("68193", "MDC_ATTR_SUPPLEMENTAL_TYPES"), "valueCodeableConcept": coded("150588")}
    accuracy = {"url": f"{GUIDE}/StructureDefinition/Accuracy", "valueQuantity": quantity(0.1, "/min")}
    resource = example(
        "numeric-spotnumeric",
        OXIMETER,
        "2018-11-13T17:59:02-05:00",
        "PhdNumericObservation",
        code=both("149530", "MDC_PULS_OXIM_PULS_RATE", "8867-4"),
        valueQuantity=quantity(48.0, "/min", "{beat}/min}"),
        component=[spot],
    )
    resource["extension"].append(accuracy)
    found = read(resource)
    assert (found.kind, found.values, found.unit) == (PULSE_OXIMETRY, (None, 48.0, None), "%")


def test_an_oximeters_own_alarm_withholds_nothing_from_our_rules() -> None:
    # numeric-spo2-alarm: the limits of the device are in an extension, which is not read
    alarm = coded("in-alarm", system="http://hl7.org/fhir/uv/pocd/CodeSystem/measurement-status")
    found = read(
        example(
            "numeric-spo2-alarm",
            OXIMETER,
            "2018-11-13T17:59:02-05:00",
            "PhdNumericObservation",
            code=both("150456", "MDC_PULS_OXIM_SAT_O2", "2708-6"),
            interpretation=[alarm],
            valueQuantity=quantity(79.0, "%"),
        )
    )
    assert found.values == (79.0, None, None)
    assert not found.fact_bits() & NEVER_JUDGED


def test_what_is_no_reading_of_ours_is_refused_by_its_code() -> None:
    # bits-observation is derived from nothing; string-observation-1 and the quality of a pulse are of no kind
    at = "2018-11-11T19:07:48-05:00"
    text = example(
        "string-observation-1",
        METER,
        at,
        "PhdStringObservation",
        code=coded("8452096", system=f"{GUIDE}/CodeSystem/ACMEIncPrivateMDCCodes"),
        valueString="Test Strip Buckled",
    )
    quality = example(
        "numeric-observation-not-a-number",
        OXIMETER,
        at,
        "PhdNumericObservation",
        code=coded("150320"),
        dataAbsentReason=coded("not-a-number", system=ABSENT),
    )
    alone = bits("bits-observation", OXIMETER, "150604", 2, 7, 10, 11, 12)
    found, refused = observations_apart([arrived(one) for one in (text, quality, alone)], DEVICES)
    assert (found, [one.field for one in refused]) == ((), ["code"] * 3)


# -- samples


def sampled(name: str, code: str, data: dict[str, Any]) -> dict[str, Any]:
    at = "2018-08-02T02:25:24-04:00"
    return example(name, METER, at, "PhdRtsaObservation", code=coded(code), valueSampledData=data)


def test_a_plethysmogram_keeps_the_scale_of_its_device() -> None:
    data = {
        "origin": quantity(-3.4, "1", "{unitless} 1"),
        "period": 2.0,
        "factor": 3.0,
        "dimensions": 1,
        "data": "123 110 97 99 112 118",
    }
    (found,) = waveforms_in([arrived(sampled("rtsa-example", "150452", data))], DEVICES)
    assert (found.kind, found.unit, found.origin, found.factor, found.period) == (150452, "1", -3.4, 3.0, 2.0)
    assert found.samples == (123, 110, 97, 99, 112, 118)
    assert found.device == "eui64:00601900010e9234"


def test_an_electrocardiogram_has_limits() -> None:
    data = {
        "origin": quantity(-3300, "mV"),
        "period": 10,
        "factor": 1.612,
        "lowerLimit": -500,
        "upperLimit": 500,
        "dimensions": 1,
        "data": "2041 2043 2037 2047 2060 2062",
    }
    (found,) = waveforms_in([arrived(sampled("rtsa-example-2", "131329", data))], DEVICES)
    assert (found.unit, found.factor, found.low, found.high) == ("mV", 1.612, -500.0, 500.0)
    assert len(found.samples) == 6

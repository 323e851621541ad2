"""Devices, gateways and their clocks as FHIR: what the guide demands of each, and the way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.observation import Observation as FhirObservation
from hypothesis import given
from hypothesis import strategies as st

from devices.clock import IDENTITY_ZONE
from devices.errors import BadValue
from devices.fhir.base_observation import Sender
from devices.fhir.coding import IDENTIFIER_TYPES, MDC
from devices.fhir.coincident import Coincident, coincidents_in
from devices.fhir.device import NTP, Gateway, Nameplate, gateway_in, nameplate_in, phd_device, phg_device
from devices.fhir.observation import resources_of
from devices.fhir.reading import phd_devices
from devices.nomenclature import BLOOD_PRESSURE, BODY_COMPOSITION, KINDS
from devices.observation import FACT_NAMES, Fact, Observation

SENDER = Sender("Device/gateway", "Patient/42", "42-urn:oid:1.2.3")
CUFF = Observation(
    device="eui64:00601900010e9234",
    kind=BLOOD_PRESSURE,
    values=(120.0, 80.0, 93.0, 64.0),
    unit="mm[Hg]",
    measured_at=datetime(2026, 3, 5, 2, 0, tzinfo=UTC),
    device_at=datetime(2026, 3, 5, 10, 0),
)
CLOCK = "http://hl7.org/fhir/uv/phd/StructureDefinition/PhdCoincidentTimeStampObservation"
PLATE = Nameplate(
    device="ble:f0:00:00:00:00:01",
    manufacturer="A&D",
    model="UA-651BLE",
    serial="1",
    firmware="2.0",
    kinds=(BLOOD_PRESSURE,),
)
WORDS = st.text("ABCabc 019.-", min_size=1, max_size=12).filter(lambda text: text != "unknown")


def codes(concept: dict[str, Any], system: str) -> list[str]:
    return [coding["code"] for coding in concept["coding"] if coding["system"] == system]


def sent(resource: dict[str, Any]) -> dict[str, Any]:
    """What arrives, after the R4B models have seen it."""
    octets = msgspec.json.encode(resource)
    model: Any = {"Device": Device, "Observation": FhirObservation}[resource["resourceType"]]
    model.model_validate_json(octets)
    return msgspec.json.decode(octets)  # type: ignore[no-any-return]


def with_facts(observation: Observation, *facts: Fact) -> Observation:
    names = tuple(name for name, fact in FACT_NAMES.items() if fact in facts)
    return msgspec.structs.replace(observation, facts=names)


# -- PhdDevice, PhgDevice


def test_a_device_says_what_the_guide_demands() -> None:
    found = phd_device(PLATE)
    assert found["meta"]["profile"] == ["http://hl7.org/fhir/uv/phd/StructureDefinition/PhdDevice"]
    assert [one["value"] for one in found["identifier"]] == ["F0-00-00-00-00-01", "ble:f0:00:00:00:00:01"]
    assert codes(found["identifier"][0]["type"], IDENTIFIER_TYPES) == ["BTMAC"]
    assert codes(found["type"], MDC) == ["65573"]
    assert codes(found["specialization"][0]["systemType"], MDC) == ["528391"]
    assert [codes(one["type"], MDC) for one in found["version"]] == [["531976"]]


def test_a_device_that_tells_nothing_still_has_maker_model_and_version() -> None:
    found = phd_device(Nameplate(device="vendor:7", manufacturer="", model=""))
    assert (found["manufacturer"], found["modelNumber"], found["version"][0]["value"]) == ("unknown",) * 3
    assert codes(found["specialization"][0]["systemType"], MDC) == ["528457"]
    assert nameplate_in(sent(found)) == Nameplate(device="vendor:7", manufacturer="", model="")


def test_a_device_with_an_eui64_bears_it_as_ieee_writes_it() -> None:
    for plate in (
        Nameplate(device="eui64:00601900010e9234", manufacturer="x", model="y"),
        Nameplate(device="vendor:7", manufacturer="x", model="y", system_id="00601900010e9234"),
    ):
        first = phd_device(plate)["identifier"][0]
        assert (codes(first["type"], IDENTIFIER_TYPES), first["value"]) == (["SYSID"], "00-60-19-00-01-0E-92-34")


def test_zeros_are_no_eui64() -> None:
    zeros = {"system": "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680", "value": "00-00-00-00-00-00-00-00"}
    resource = phd_device(PLATE)
    found = nameplate_in(resource | {"identifier": [zeros, *resource["identifier"]]})
    assert (found.device, found.system_id) == (PLATE.device, "")


def test_a_body_composition_analyser_is_no_mere_scale() -> None:
    found = phd_device(Nameplate(device="vendor:7", manufacturer="x", model="y", kinds=(BODY_COMPOSITION,)))
    assert codes(found["specialization"][0]["systemType"], MDC) == ["528404"]


@given(
    st.builds(
        Nameplate,
        device=st.sampled_from(["eui64:0102030405060708", "ble:f0:00:00:00:00:01", "vendor:A_1.2-3"]),
        manufacturer=WORDS,
        model=WORDS,
        serial=st.one_of(st.just(""), WORDS),
        hardware=st.one_of(st.just(""), WORDS),
        software=st.one_of(st.just(""), WORDS),
        firmware=st.one_of(st.just(""), WORDS),
        kinds=st.lists(st.sampled_from([kind.code for kind in KINDS]), unique=True, max_size=3).map(tuple),
        system_id=st.sampled_from(["", "00601900010e9234"]),
    )
)
def test_any_device_is_valid_and_comes_back(plate: Nameplate) -> None:
    assert nameplate_in(sent(phd_device(plate))) == plate


def test_a_device_of_another_maker_is_read_by_its_codes() -> None:
    foreign = {
        "resourceType": "Device",
        "id": "glucose",
        "identifier": [{"system": "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680", "value": "00-60-19-00-01-0E-92-34"}],
        "manufacturer": "Diabetes Care",
        "modelNumber": "Gluc-23",
        "serialNumber": "20130200002A",
        "type": {"coding": [{"system": MDC, "code": "65573"}]},
        "version": [{"type": {"coding": [{"system": MDC, "code": "531976"}]}, "value": "GLU.7AJ-02"}],
    }
    found = nameplate_in(sent(foreign))
    assert (found.device, found.model, found.firmware) == ("eui64:00601900010e9234", "Gluc-23", "GLU.7AJ-02")
    assert phd_devices([foreign]) == {"Device/glucose": found.device}


@given(
    system_id=st.binary(min_size=8, max_size=8).filter(any).map(bytes.hex),
    software=WORDS,
    manufacturer=WORDS,
    model=WORDS,
    sync=st.sampled_from([NTP, "532224", "532234"]),
    regulated=st.booleans(),
)
def test_any_gateway_is_valid_and_comes_back(
    system_id: str, software: str, manufacturer: str, model: str, sync: str, regulated: bool
) -> None:
    resource = phg_device(system_id, software, manufacturer=manufacturer, model=model, sync=sync, regulated=regulated)
    assert codes(resource["type"], MDC) == ["531981"]
    assert gateway_in(sent(resource)) == Gateway(
        system_id=system_id,
        software=software,
        manufacturer=manufacturer,
        model=model,
        sync=sync,
        regulated=regulated,
    )


@pytest.mark.parametrize(
    ("read", "resource", "field"),
    [
        (nameplate_in, phg_device("ecde3d4e58532d31", "0.1.0"), "type"),
        (gateway_in, phd_device(PLATE), "type"),
        (nameplate_in, phd_device(PLATE) | {"identifier": []}, "identifier"),
        (gateway_in, phg_device("ecde3d4e58532d31", "0.1.0") | {"identifier": []}, "identifier"),
        (nameplate_in, phd_device(PLATE) | {"version": "2"}, "Device"),
        (gateway_in, phg_device("ecde3d4e58532d31", "0.1.0") | {"property": [1]}, "Device"),
    ],
)
def test_what_is_no_such_device_names_its_element(read: Any, resource: dict[str, Any], field: str) -> None:
    with pytest.raises(BadValue) as caught:
        read(resource)
    assert caught.value.field == field


# -- PhdCoincidentTimeStampObservation


def test_a_corrected_clock_shows_both_times_and_has_no_identifier() -> None:
    moved = with_facts(msgspec.structs.replace(CUFF, device_at=datetime(2020, 1, 1)), Fact.CLOCK_CORRECTED)
    found = resources_of(moved, SENDER)
    clock = found[-1]
    assert codes(clock["code"], MDC) == ["67975"]
    assert clock["valueDateTime"] == "2020-01-01T00:00:00+08:00"
    assert clock["effectiveDateTime"] == "2026-03-05T02:00:00+00:00"
    assert "identifier" not in clock
    assert any(one["url"].endswith("CoincidentTimeStampReference") for one in found[0]["extension"])


def test_a_time_fault_has_no_device_time() -> None:
    clock = resources_of(with_facts(msgspec.structs.replace(CUFF, device_at=None), Fact.TIME_FAULT), SENDER)[-1]
    assert "valueDateTime" not in clock
    assert clock["dataAbsentReason"]["coding"][0]["code"] == "unknown"


def test_utc_with_an_offset_that_nobody_touched_needs_no_coincident_stamp() -> None:
    kept = msgspec.structs.replace(CUFF, device_at=CUFF.measured_at, facts=())
    assert not any(CLOCK in one["meta"]["profile"] for one in resources_of(kept, SENDER))


@pytest.mark.parametrize(
    ("device_at", "facts"),
    [
        (datetime(2026, 3, 5, 10, 0), ()),
        (datetime(2020, 1, 1), (Fact.CLOCK_CORRECTED,)),
        (datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2))), (Fact.CLOCK_CORRECTED,)),
        (None, (Fact.TIME_FAULT,)),
        (None, (Fact.CLOCK_NOT_SET,)),
    ],
)
def test_a_coincident_stamp_is_valid_and_comes_back(device_at: datetime | None, facts: tuple[Fact, ...]) -> None:
    said = with_facts(msgspec.structs.replace(CUFF, device_at=device_at), *facts)
    found = resources_of(said, SENDER)
    (again,) = coincidents_in([sent(one) for one in found])
    assert (again.device, again.gateway_at) == (CUFF.device, CUFF.measured_at)
    # a wall time has no zone: it was written with the one that identifies, and comes back at that time of day
    shown = again.device_at
    assert shown == device_at
    assert (shown is None) == (device_at is None)
    assert shown is None or device_at is None or (shown.tzinfo is None) == (device_at.tzinfo is None)


def clock(code: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": MDC, "code": code}]},
        "subject": {"reference": "Device/oximeter"},
        **more,
    }


def test_a_counter_of_another_gateway_is_read_in_microseconds() -> None:
    value = {"value": 1500000, "system": "http://unitsofmeasure.org", "code": "us"}
    counter = clock("67983", effectiveDateTime="2018-08-02T02:25:24-04:00", valueQuantity=value)
    (found,) = coincidents_in([sent(counter)], {"Device/oximeter": "vendor:7"})
    at = datetime(2018, 8, 2, 6, 25, 24, tzinfo=UTC)
    assert found == Coincident("vendor:7", at, None, timedelta(seconds=1.5))


def test_a_clock_kept_better_than_the_gateways_has_no_time_of_the_gateway() -> None:
    (found,) = coincidents_in(
        [sent(clock("68225", valueDateTime="2018-08-02T02:25:24+08:00"))], {"Device/oximeter": "vendor:7"}
    )
    assert (found.gateway_at, found.device_at) == (None, datetime(2018, 8, 2, 2, 25, 24, tzinfo=IDENTITY_ZONE))


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        (clock("67975"), "subject"),
        (clock("67975", subject=[]), "Observation"),
        (clock("67975", subject={"reference": "Device/a"}, effectiveDateTime="now"), "effectiveDateTime"),
        (clock("67983", subject={"reference": "Device/a"}, valueQuantity={"value": 1, "code": "s"}),
         "valueQuantity.code"),
    ],
)  # fmt: skip
def test_a_clock_that_cannot_be_read_names_its_element(resource: dict[str, Any], field: str) -> None:
    with pytest.raises(BadValue) as caught:
        coincidents_in([resource], {"Device/a": "vendor:7"})
    assert caught.value.field == field


def test_other_resources_are_no_clocks() -> None:
    assert coincidents_in([phd_device(PLATE), resources_of(CUFF, SENDER)[0]]) == ()

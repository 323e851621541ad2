"""The example devices and clocks of HL7's Personal Health Device guide 2.0.0 are valid R4, and read as what they say.

Source: the examples named in each test, http://hl7.org/fhir/uv/phd/STU2, their values by its repository HL7/phd; where
a copy there is older, systems and references are those that version 2.0.0 has. Narratives are left out.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from fhir.resources.R4B.device import Device
from fhir.resources.R4B.observation import Observation as FhirObservation

from devices.errors import BadValue
from devices.fhir.coincident import Coincident, coincidents_in
from devices.fhir.device import Gateway, Nameplate, gateway_in, nameplate_in
from devices.fhir.reading import phd_devices

GUIDE: Final = "http://hl7.org/fhir/uv/phd"
MDC: Final = "urn:iso:std:iso:11073:10101"
BITS: Final = "http://terminology.hl7.org/CodeSystem/ASN1ToHL7"
TYPES: Final = "http://terminology.hl7.org/CodeSystem/ContinuaDeviceIdentifiers"
ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
CUFF: Final = "phd-711000FEFF5F49B0.B0495F001071"
OXIMETER: Final = "phd-74E8FFFEFF051C00.001C05FFE874"
METER: Final = "phd-00601900010E9234.F45EABA80832"
GATEWAY: Final = "phg-ecde3d4e58532d31.000000000000"


def coded(code: str, display: str = "", system: str = MDC, **more: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} | ({"display": display} if display else {})], **more}


def known_as(kind: str, system: str, value: str) -> dict[str, Any]:
    return {"type": coded(kind, system=TYPES), "system": system, "value": value}


def clock(name: str, device: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/PhdCoincidentTimeStampObservation"]},
        "language": "en",
        "status": "final",
        "code": coded("67975", "MDC_ATTR_TIME_ABS", text="Absolute time"),
        "subject": {"reference": f"Device/{device}"},
        "device": {"reference": f"Device/{GATEWAY}"},
        **more,
    }


def device(name: str, maker: dict[str, str], specialization: str, versions: dict[str, str]) -> dict[str, Any]:
    eui64, _, address = name.removeprefix("phd-").partition(".")
    dashed = ["-".join(digits[at : at + 2] for at in range(0, len(digits), 2)) for digits in (eui64, address)]
    return {
        "resourceType": "Device",
        "id": name,
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/PhdDevice"]},
        "identifier": [
            known_as("SYSID", "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680", dashed[0]),
            known_as("BTMAC", "http://hl7.org/fhir/sid/eui-48/bluetooth", dashed[1]),
        ],
        **maker,
        "type": coded("65573", "MDC_MOC_VMS_MDS_SIMP", text="Simple PHD"),
        "specialization": [{"systemType": coded(specialization), "version": "1"}],
        "version": [{"type": coded(code), "value": value} for code, value in versions.items()],
        "property": [{"type": coded("68220", "MDC_TIME_SYNC_PROTOCOL"), "valueCode": [coded("532224")]}],
    }


DEVICES: Final = [
    device(
        CUFF,
        {"manufacturer": "OMRONHEALTHCARE", "serialNumber": "20150200002A", "modelNumber": "HEM-9200T"},
        "528391",
        {"531976": "C.00.7AJ-02", "531975": "0000000000000101", "531974": "0000000000000100"},
    ),
    device(
        OXIMETER,
        {"manufacturer": "Nonin_Medical_Inc.", "serialNumber": "501900083", "modelNumber": "Model 3230"},
        "528388",
        {"531976": "r2.1", "531975": "r1.5 9.7", "531974": "r1.0", "532352": "6.0"},
    ),
    device(
        METER,
        {"manufacturer": "Diabetes Care", "serialNumber": "20130200002A", "modelNumber": "Gluc-23"},
        "528401",
        {"531976": "GLU.7AJ-02", "531975": "3.55.6", "531974": "5.4.2"},
    ),
]


def arrived(resource: dict[str, Any]) -> dict[str, Any]:
    """After the models of R4 have seen it."""
    octets = msgspec.json.encode(resource)
    model: Any = {"Device": Device, "Observation": FhirObservation}[resource["resourceType"]]
    model.model_validate_json(octets)
    return msgspec.json.decode(octets)  # type: ignore[no-any-return]


# -- clocks


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


SYNC: Final = {"code": coded("68220"), "valueCodeableConcept": coded("532234", "MDC_TIME_SYNC_EBWW")}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (
            clock("coin-example-1", METER, effectiveDateTime="2017-06-02T18:02:35-04:00",
                  valueDateTime="2017-06-02T18:02:30-04:00"),
            Coincident("eui64:00601900010e9234", at("2017-06-02T22:02:35Z"), datetime(2017, 6, 2, 18, 2, 30)),
        ),
        (
            clock("coin-20181119174911", CUFF, effectiveDateTime="2018-11-11T11:38:10-05:00",
                  valueDateTime="2018-11-11T11:38:10-05:00", component=[SYNC]),
            Coincident("eui64:711000feff5f49b0", at("2018-11-11T16:38:10Z"), datetime(2018, 11, 11, 11, 38, 10)),
        ),
        (
            clock("coin-example-timefault", CUFF, effectiveDateTime="2018-11-20T04:50:47-05:00",
                  dataAbsentReason=coded("unknown", system=ABSENT, text="Sensor Time Fault")),
            Coincident("eui64:711000feff5f49b0", at("2018-11-20T09:50:47Z")),
        ),
        (
            # of a draft of the guide's version 3
            clock("coin-relative-example", OXIMETER, effectiveDateTime="2018-11-11T11:38:10.123456-05:00",
                  valueQuantity={"value": 3723456000, "system": "http://unitsofmeasure.org", "code": "us"},
                  code=coded("67983", "MDC_ATTR_TIME_REL")),
            Coincident("eui64:74e8fffeff051c00", at("2018-11-11T16:38:10.123456Z"), None,
                       timedelta(hours=1, minutes=2, seconds=3, milliseconds=456)),
        ),
    ],
    ids=lambda value: value["id"] if isinstance(value, dict) else "",
)  # fmt: skip
def test_a_clock_is_read_beside_the_gateways(resource: dict[str, Any], expected: Coincident) -> None:
    (found,) = coincidents_in([arrived(resource)], phd_devices(DEVICES))
    assert found == expected


# -- devices


def test_each_device_says_its_maker_its_number_and_its_versions() -> None:
    plates = [nameplate_in(arrived(one)) for one in DEVICES]
    assert plates[0] == Nameplate(
        device="eui64:711000feff5f49b0",
        manufacturer="OMRONHEALTHCARE",
        model="HEM-9200T",
        serial="20150200002A",
        hardware="0000000000000100",
        software="0000000000000101",
        firmware="C.00.7AJ-02",
    )
    assert [one.device for one in plates[1:]] == ["eui64:74e8fffeff051c00", "eui64:00601900010e9234"]


def test_a_gateway_without_maker_and_model_is_read() -> None:
    # phg-ecde3d4e58532d31.000000000000: certified interfaces are passed by, its only version is the guidelines'
    gateway = {
        "resourceType": "Device",
        "id": GATEWAY,
        "meta": {"profile": [f"{GUIDE}/StructureDefinition/PhgDevice"]},
        "identifier": [
            known_as("SYSID", "urn:oid:1.2.840.10004.1.1.1.0.0.1.0.0.1.2680", "ec-de-3d-4e-58-53-2d-31"),
            known_as("ETHMAC", "http://hl7.org/fhir/sid/eui-48/ethernet", "3d-4e-58-53-2d-35"),
        ],
        "type": coded("531981", "MDC_MOC_VMS_MDS_AHD"),
        "specialization": [{"systemType": coded("528457", "MDC_DEV_SPEC_PROFILE_GENERIC"), "version": "2"}],
        "version": [{"type": coded("532352", "MDC_REG_CERT_DATA_CONTINUA_VERSION"), "value": "5.0"}],
        "property": [
            {"type": coded("68220", "MDC_TIME_SYNC_PROTOCOL"), "valueCode": [coded("532226", "MDC_TIME_SYNC_NTPV4")]},
            {
                "type": coded("532355", "MDC_REG_CERT_DATA_CONTINUA_AHD_CERT_LIST"),
                "valueCode": [coded("0", system=f"{GUIDE}/CodeSystem/ContinuaHFS")],
            },
            {
                "type": coded("532354.0", system=BITS),
                "valueCode": [coded("Y", system="http://terminology.hl7.org/CodeSystem/v2-0136")],
            },
        ],
    }
    assert gateway_in(arrived(gateway)) == Gateway(
        system_id="ecde3d4e58532d31", software="", manufacturer="", model="", sync="532226", regulated=False
    )
    with pytest.raises(BadValue):
        nameplate_in(gateway)

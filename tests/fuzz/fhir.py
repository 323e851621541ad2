"""Any JSON into each reader of FHIR, and what is read goes out again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from devices.fhir.base_observation import Sender
from devices.fhir.coincident import coincidents_in
from devices.fhir.device import Nameplate, gateway_in, nameplate_in, phd_device, phg_device
from devices.fhir.observation import resources_of
from devices.fhir.reading import observations_in, phd_devices
from devices.fhir.waveform import waveform_resources, waveforms_in
from devices.meaning import meaning_error
from devices.observation import Observation
from devices.waveform import Waveform

SENDER = Sender("Device/gateway", "Patient/42", "42")
PLATE = Nameplate(
    device="ble:f0:00:00:00:00:01", manufacturer="A&D", model="UA-651BLE", firmware="2.0", kinds=(150020,)
)
WAVE = Waveform(
    device="eui64:0102030405060708",
    kind=150452,
    unit="1",
    measured_at=datetime(2026, 11, 22, tzinfo=UTC),
    period=13.375,
    samples=(0, None, 4000),
    absent={1: "positive-infinity"},
    factor=0.0005,
    origin=-1.0,
    low=0.0,
    high=4000.0,
    device_at=datetime(2026, 11, 22, 8, 0),
)


def _observations(resources: list[Any]) -> None:
    for one in observations_in(resources):
        if meaning_error(0, one) is None:
            resources_of(one, SENDER)
    phd_devices(resources)


def _waveforms(resources: list[Any]) -> None:
    for one in waveforms_in(resources, {"Device/x": "vendor:7"}):
        waveform_resources(one, SENDER)


def _devices(resources: list[Any]) -> None:
    for one in resources:
        phd_device(nameplate_in(one))


def _gateways(resources: list[Any]) -> None:
    for one in resources:
        gateway_in(one)


def _json(read: Callable[[list[Any]], Any]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        try:
            document = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        resources = document if isinstance(document, list) else [document]
        # what is no object is no resource: whoever reads a Bundle sees to that
        read([one for one in resources if isinstance(one, dict)])

    return run


def codecs(seen: Observation) -> dict[str, tuple[Callable[[bytes], Any], list[bytes]]]:
    """By name: what takes octets, and octets that it is known to take."""
    readings = [msgspec.json.encode([one]) for one in resources_of(seen, SENDER)]
    waves = [msgspec.json.encode([one]) for one in waveform_resources(WAVE, SENDER)]
    return {
        "fhir": (_json(_observations), readings),
        "fhir-waveform": (_json(_waveforms), waves),
        "fhir-clock": (_json(coincidents_in), [readings[-1], waves[-1]]),
        "fhir-device": (_json(_devices), [msgspec.json.encode(phd_device(PLATE))]),
        "fhir-gateway": (_json(_gateways), [msgspec.json.encode(phg_device("ecde3d4e58532d31", "0.1.0"))]),
    }

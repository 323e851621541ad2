"""The ends of numbers, of the calendar and of the clock: every kind and special value goes out valid and comes back."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from fhir.resources.R4B.observation import Observation as FhirObservation
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.fhir.base_observation import Sender
from devices.fhir.coding import LOINC
from devices.fhir.coincident import coincidents_in
from devices.fhir.device import Nameplate, phd_device, phg_device
from devices.fhir.observation import resources_of
from devices.fhir.reading import observations_in
from devices.fhir.transaction import transaction
from devices.nomenclature import KINDS, Kind
from devices.observation import ABSENT_NAMES, Observation

SENDER = Sender("Device/gateway", "Patient/42", "42-urn:oid:1.2.3")
AT = datetime(2026, 3, 5, 2, 0, tzinfo=UTC)
ROWS = [(kind, unit) for kind in KINDS for unit in kind.units]


def record(kind: Kind, unit: str, **more: Any) -> Observation:
    return Observation(**{
        "device": "eui64:00601900010e9234", "kind": kind.code, "values": (1.0,), "unit": unit, "measured_at": AT, **more
    })  # fmt: skip


def sent(observation: Observation) -> list[dict[str, Any]]:
    """What arrives: each resource was valid R4, and nothing in it is null."""
    octets = msgspec.json.encode(resources_of(observation, SENDER))
    assert b":null" not in octets
    found: list[dict[str, Any]] = msgspec.json.decode(octets)
    for resource in found:
        FhirObservation.model_validate_json(msgspec.json.encode(resource))
    return found


def again(observation: Observation) -> Observation:
    (found,) = observations_in(sent(observation))
    return found


def nearly(found: float | None, said: float) -> bool:
    """A length goes through cm: 15 digits of it come back, the 17th may not."""
    return found is not None and math.isclose(found, said, rel_tol=1e-15, abs_tol=5e-324)


EDGES = [0.0, -0.0, 5e-324, sys.float_info.min, 1e-9, 0.1 + 0.2, 2.0**53 + 2, 123456789.123456789, 1e22, 1e300]


@pytest.mark.parametrize(("kind", "unit"), ROWS)
def test_every_slot_carries_any_number_in_every_unit(kind: Kind, unit: str) -> None:
    for index in range(len(kind.slots)):
        for edge in EDGES:
            for number in (edge, -edge):
                values = tuple(number if at == index else 1.0 for at in range(len(kind.slots)))
                found = again(record(kind, unit, values=values)).values
                assert found == values or (kind.units[unit][index] == "m" and nearly(found[index], number))


@pytest.mark.parametrize(("kind", "unit"), ROWS)
@pytest.mark.parametrize("reason", sorted(ABSENT_NAMES))
def test_every_slot_carries_every_special_value(kind: Kind, unit: str, reason: str) -> None:
    for index in range(len(kind.slots)):
        values = tuple(None if at == index else 1.0 for at in range(len(kind.slots)))
        found = again(record(kind, unit, values=values, absent={index: reason}))
        assert (found.values, found.absent) == (values, {index: reason})


@settings(max_examples=60)
@given(st.sampled_from(ROWS), st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=10))
def test_any_finite_number_is_valid_and_the_largest_are_not_falsified(
    row: tuple[Kind, str], numbers: list[float]
) -> None:
    kind, unit = row
    values = tuple(numbers[: len(kind.slots)])
    rows = zip(values, again(record(kind, unit, values=values)).values, kind.units[unit], strict=False)
    for said, found, ucum in rows:
        # a length beyond what its unit in FHIR can hold is said to be absent, never another number
        length = ucum == "m" and (nearly(found, said) or (found is None and abs(said) > 1e306))
        assert found == said or length


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_number_for_is_absent(number: float) -> None:
    assert again(record(KINDS[0], "mm[Hg]", values=(number, 80.0))).values[:2] == (None, 80.0)


OFFSETS = st.integers(-(24 * 3600 - 1), 24 * 3600 - 1).map(lambda seconds: timezone(timedelta(seconds=seconds)))
ANY_TIME = st.builds(
    lambda at, zone: at.replace(tzinfo=zone), st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), OFFSETS
)


@given(ANY_TIME, st.one_of(st.none(), ANY_TIME, st.datetimes()), st.sampled_from([(), ("clock-corrected",)]))
def test_a_time_at_any_offset_is_a_time_of_fhir(
    measured_at: datetime, device_at: datetime | None, facts: tuple[str, ...]
) -> None:
    said = record(KINDS[0], "mm[Hg]", measured_at=measured_at, device_at=device_at, facts=facts)
    resources = sent(said)
    (found,) = observations_in(resources)
    assert (found.measured_at, found.device_at) == (measured_at, device_at)
    for clock in coincidents_in(resources):
        assert (clock.gateway_at, clock.device_at) == (measured_at, device_at)


@pytest.mark.parametrize("seconds", [14 * 3600 + 900, -15 * 3600, 8 * 3600 + 343])
def test_an_offset_that_fhir_cannot_write_becomes_utc(seconds: int) -> None:
    at = AT.astimezone(timezone(timedelta(seconds=seconds)))
    assert resources_of(record(KINDS[0], "mm[Hg]", measured_at=at), SENDER)[0]["effectiveDateTime"] == AT.isoformat()


def test_an_offset_that_fhir_can_write_stays() -> None:
    for hours in (-12, 8, 14):
        at = AT.astimezone(timezone(timedelta(hours=hours)))
        found = resources_of(record(KINDS[0], "mm[Hg]", measured_at=at), SENDER)[0]
        assert found["effectiveDateTime"] == at.isoformat()


ZONES = st.sampled_from([UTC, timezone(timedelta(hours=-11)), ZoneInfo("Asia/Shanghai"), ZoneInfo("Asia/Kathmandu")])


@given(ZONES, st.datetimes(datetime(2011, 1, 1), datetime(2090, 1, 1)), st.datetimes(datetime(1582, 1, 2)))
def test_times_are_written_where_the_gateway_stands_and_come_back(
    zone: tzinfo, measured: datetime, device_at: datetime
) -> None:
    said = record(KINDS[0], "mm[Hg]", measured_at=measured.replace(tzinfo=UTC), device_at=device_at)
    resources = resources_of(said, SENDER._replace(zone=zone))
    for resource in resources:
        FhirObservation.model_validate_json(msgspec.json.encode(resource))
        shown = datetime.fromisoformat(resource["effectiveDateTime"])
        assert shown.utcoffset() == measured.replace(tzinfo=UTC).astimezone(zone).utcoffset()
    (found,) = observations_in(resources)
    (clock,) = coincidents_in(resources)
    assert (found.measured_at, found.device_at) == (said.measured_at, device_at)
    assert (clock.gateway_at, clock.device_at) == (said.measured_at, device_at)


def test_a_right_clock_without_a_zone_shows_the_gateways_time() -> None:
    zone = ZoneInfo("Asia/Urumqi")  # two hours from the offset that identifies
    said = record(KINDS[0], "mm[Hg]", device_at=AT.astimezone(zone).replace(tzinfo=None))
    clock = resources_of(said, SENDER._replace(zone=zone))[-1]
    assert clock["valueDateTime"] == clock["effectiveDateTime"] == AT.astimezone(zone).isoformat()


# -- whose it is, and what it is called


def test_a_control_solution_told_by_its_fact_is_no_patients_either() -> None:
    glucose = next(kind for kind in KINDS if kind.code == 160184)
    for resource in resources_of(record(glucose, "mmol/L", facts=("control-solution",)), SENDER):
        assert resource["subject"]["reference"] != SENDER.subject


def test_the_clock_of_what_is_a_test_is_labelled_too() -> None:
    said = record(KINDS[0], "mm[Hg]", device_at=datetime(2026, 3, 5, 10), facts=("simulated",))
    labels = [one.get("meta", {}).get("security", []) for one in resources_of(said, SENDER)]
    assert len(labels) == 2
    assert all([label["code"] for label in found] == ["HTEST"] for found in labels)


def test_validated_is_said_as_the_guide_says_it() -> None:
    found = resources_of(record(KINDS[0], "mm[Hg]", facts=("validated",)), SENDER)[0]
    assert [one["coding"][0]["code"] for one in found["interpretation"]] == ["validated-data"]


@pytest.mark.parametrize(("unit", "loinc"), [("mmol/L", "105272-9"), ("mg/dL", "99504-3")])
def test_interstitial_glucose_has_the_code_of_its_unit(unit: str, loinc: str) -> None:
    sensor = next(kind for kind in KINDS if kind.code == 160212)
    coding = resources_of(record(sensor, unit), SENDER)[0]["code"]["coding"]
    assert [one["code"] for one in coding if one["system"] == LOINC] == [loinc]


@pytest.mark.parametrize(("kind", "specialization"), [(160212, "528409"), (147842, "528525"), (160184, "528401")])
def test_a_device_has_the_specialization_of_what_it_measures(kind: int, specialization: str) -> None:
    found = phd_device(Nameplate(device="vendor:7", manufacturer="x", model="y", kinds=(kind,)))
    assert [one["systemType"]["coding"][0]["code"] for one in found["specialization"]] == [specialization]


def test_a_gateway_tells_its_model() -> None:
    assert phg_device("ecde3d4e58532d31", "0.1.0")["modelNumber"]


def test_what_separates_in_a_search_is_escaped_in_a_value() -> None:
    said = record(KINDS[0], "mm[Hg]", device_at=datetime(2026, 3, 5, 10))
    gateway = phg_device("ecde3d4e58532d31", "0.1.0")
    bundle = transaction([said], [], gateway, subject="Patient/42", patient="a,b|c$d\\e")
    asked = bundle["entry"][1]["request"]["ifNoneExist"]
    assert asked == "identifier=00601900010E9234-a%5C%2Cb%5C%7Cc%5C%24d%5C%5Ce-150020-826020000"

"""A bundle of readings for a server: what it holds already is not doubled, and what was corrected is put right."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from fhir.resources.R4B.bundle import Bundle

from devices.fhir.device import phg_device
from devices.fhir.transaction import transaction
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation

CUFF = Observation(
    device="eui64:00601900010e9234",
    kind=BLOOD_PRESSURE,
    values=(120.0, 80.0, 93.0, 64.0),
    unit="mm[Hg]",
    measured_at=datetime(2026, 3, 5, 2, 0, tzinfo=UTC),
    device_at=datetime(2026, 3, 5, 10, 0),
)


@pytest.mark.parametrize(
    ("facts", "method"),
    [(("amended",), "PUT"), (("entered-in-error",), "PUT"), (("invalid",), "POST"), ((), "POST")],
)
def test_a_correction_takes_the_place_of_what_a_server_holds(facts: tuple[str, ...], method: str) -> None:
    right = msgspec.structs.replace(CUFF, values=(121.0, 80.0, 93.0, 64.0), facts=facts)
    bundle = transaction([CUFF, right], [], phg_device("ecde3d4e58532d31", "0.1.0"), subject="Patient/42", patient="42")
    Bundle.model_validate_json(msgspec.json.encode(bundle))
    asked = [entry["request"] for entry in bundle["entry"] if "identifier" in entry["resource"]][1:]
    assert {request["method"] for request in asked[:2]} == {method}
    where = "identifier=00601900010E9234-42-150020-826020000"
    wanted = {"url": f"Observation?{where}"} if method == "PUT" else {"url": "Observation", "ifNoneExist": where}
    assert asked[0] == {"method": method, **wanted}


def test_a_correction_that_nothing_identifies_to_a_server_is_created() -> None:
    loose = msgspec.structs.replace(CUFF, device_at=None, facts=("no-device-clock", "amended"))
    bundle = transaction([loose], [], phg_device("ecde3d4e58532d31", "0.1.0"), subject="Patient/42", patient="42")
    assert {entry["request"]["method"] for entry in bundle["entry"]} == {"POST"}

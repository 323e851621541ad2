"""Frames written by hand from the standards' tables: each flag, unit, special value and cut, through `suifang-decode`.

`-k` and the name of a frame in `gatt_hand_frames.yaml` runs what holds for it.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from devices.catalogue import BY_UUID, decode, layout_of
from devices.decode_cli import answer
from devices.gatt.device_information import InformationString

HEARD = datetime(2026, 11, 22, tzinfo=UTC)
FRAMES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "gatt_hand_frames.yaml").read_text(encoding="utf-8")
)


def having(*names: str) -> list[Any]:
    return [pytest.param(frame, id=frame["id"]) for frame in FRAMES if any(name in frame for name in names)]


def asked(frame: dict[str, Any]) -> dict[str, Any]:
    line = msgspec.json.encode({"uuid": frame["uuid"], "hex": frame["hex"]})
    found: dict[str, Any] = json.loads(msgspec.json.encode(answer(line, HEARD)))
    return found


def shown(found: dict[str, Any], name: str) -> Any:
    """As a frame writes it: a value, or the reason why there is none."""
    reason = found.get("absent", {}).get(name)
    return found.get(name) if reason is None else {"absent": reason}


@pytest.mark.parametrize("frame", having("fields", "lacks"))
def test_its_fields_are_those_of_the_table(frame: dict[str, Any]) -> None:
    result = asked(frame)
    assert result["ok"], result
    found, expected = result["fields"], dict(frame.get("fields", {}))
    records = expected.pop("records", [])
    assert {name: shown(found, name) for name in expected} == expected
    for one, wanted in zip(found.get("records", []), records, strict=True):
        assert {name: shown(one, name) for name in wanted} == wanted
    assert not set(frame.get("lacks", ())) & found.keys()


@pytest.mark.parametrize("frame", having("values", "facts", "none"))
def test_its_observation_is_what_the_standard_means(frame: dict[str, Any]) -> None:
    result = asked(frame)
    found = {
        one["code"]: one["value"] if one["absent"] is None else {"absent": one["absent"]}
        for one in result["observations"]
    }
    assert {code: found.get(code) for code in frame.get("values", {})} == frame.get("values", {})
    if "facts" in frame:
        assert result["observations"][0]["facts"] == frame["facts"]
    assert bool(found) is not frame.get("none", False)


@pytest.mark.parametrize("frame", having("error"))
def test_its_refusal_names_the_field(frame: dict[str, Any]) -> None:
    result = asked(frame)
    assert (result["ok"], result.get("error"), result.get("field")) == (False, frame["error"], frame["field"])


@pytest.mark.parametrize("frame", having("fields", "values", "facts", "warned"))
def test_its_warnings_are_of_what_it_has_too_much_of(frame: dict[str, Any]) -> None:
    assert [one["field"] for one in asked(frame).get("warnings", [])] == frame.get("warned", [])


@pytest.mark.parametrize(
    "frame", [one for one in having("fields", "values", "facts", "warned") if one.values[0]["uuid"] in BY_UUID]
)
def test_it_goes_back_to_its_octets(frame: dict[str, Any]) -> None:
    data = bytes.fromhex(frame["hex"])
    value = decode(frame["uuid"], data)
    again = value.encode(layout_of(frame["uuid"], data))
    if isinstance(value, InformationString):
        assert decode(frame["uuid"], again) == value  # without its padding
    else:
        assert again == data


@pytest.mark.parametrize("octets", [bytearray, memoryview])
@pytest.mark.parametrize("frame", [one for one in having("fields") if one.values[0]["uuid"] in BY_UUID])
def test_what_the_radio_hands_over_need_not_be_bytes(frame: dict[str, Any], octets: type) -> None:
    data = bytes.fromhex(frame["hex"])
    assert decode(frame["uuid"], octets(data)) == decode(frame["uuid"], data)


def test_every_characteristic_has_a_frame() -> None:
    assert not BY_UUID.keys() - {frame["uuid"] for frame in FRAMES}

"""Public frames of each characteristic decode to what their sources say, and encode back to the same octets.

`gatt_frames.yaml` is our own copy. A larger set of the same shape is read from `../shared/vectors/gatt.json`, a folder
beside the repository, where there is one. The name of each test ends in the vector and its characteristic, so
`-k v123` runs what holds for one vector.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from devices.catalogue import decode, layout_of
from devices.decode_cli import answer

HERE = Path(__file__).parent
BESIDE = HERE.parents[1].parent / "shared" / "vectors" / "gatt.json"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
FRAMES: list[dict[str, Any]] = yaml.safe_load((HERE / "gatt_frames.yaml").read_text(encoding="utf-8"))
NAMES = yaml.safe_load((HERE / "gatt_names.yaml").read_text(encoding="utf-8"))
PARTS = ("SFLOAT", "FLOAT", "CRC16")


def named(frames: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(frame, id=f"{frame['id']}-{frame['uuid']}") for frame in frames]


def asked(frame: dict[str, Any]) -> dict[str, Any]:
    line = msgspec.json.encode({"uuid": frame["uuid"], "hex": frame["hex"], "id": frame["id"]})
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer(line, NOW)))
    return found


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        if isinstance(value, dict):
            assert found[name] is None, name
            assert found["absent"][name] == value["absent"]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            assert len(found[name]) == len(value)
            for one, wanted in zip(found[name], value, strict=True):
                check(one, wanted)
        else:
            assert found.get(name) == value, name


def ours(uuid: str, expected: dict[str, Any]) -> dict[str, Any]:
    names = NAMES["fields"].get(uuid, {})
    found: dict[str, Any] = {}
    for theirs, value in expected.items():
        name = names.get(theirs, theirs)
        if name is None:
            continue
        if isinstance(value, list) and value and isinstance(value[0], dict):
            found[name] = [ours(uuid, item) for item in value]
        else:
            found[name] = NAMES["words"].get(value, value) if isinstance(value, str) else value
    return found


@pytest.mark.parametrize("frame", named([frame for frame in FRAMES if "fields" in frame]))
def test_a_public_frame_decodes_to_what_its_source_says(frame: dict[str, Any]) -> None:
    result = asked(frame)
    assert result["ok"], result
    check(result["fields"], frame["fields"])


@pytest.mark.parametrize("frame", named([frame for frame in FRAMES if "values" in frame]))
def test_the_observation_of_a_public_frame_holds_its_values(frame: dict[str, Any]) -> None:
    found = {item["code"]: item for item in asked(frame)["observations"]}
    for code, value in frame["values"].items():
        if isinstance(value, dict):
            assert (found[code]["value"], found[code]["absent"]) == (None, value["absent"])
        else:
            assert (found[code]["value"], found[code]["absent"]) == (value, None)


@pytest.mark.parametrize("frame", named([frame for frame in FRAMES if frame.get("refused")]))
def test_a_broken_public_frame_is_refused(frame: dict[str, Any]) -> None:
    result = asked(frame)
    assert not result["ok"]
    assert result["error"] in {"Truncated", "BadValue"}


@pytest.mark.parametrize(
    "frame", named([frame for frame in FRAMES if "fields" in frame and frame["uuid"] not in PARTS])
)
def test_a_public_frame_encodes_back_to_its_octets(frame: dict[str, Any]) -> None:
    data = bytes.fromhex(frame["hex"])
    assert decode(frame["uuid"], data).encode(layout_of(frame["uuid"], data)) == data


def beside() -> list[dict[str, Any]]:
    if not BESIDE.is_file():
        return []
    vectors: list[dict[str, Any]] = json.loads(BESIDE.read_text(encoding="utf-8"))["vectors"]
    return vectors


@pytest.mark.skipif(
    not BESIDE.is_file(), reason="put gatt.json into ../shared/vectors beside the repository to run this"
)
@pytest.mark.parametrize("vector", named(beside()))
def test_a_vector_of_the_shared_set_agrees(vector: dict[str, Any]) -> None:
    result = asked(vector)
    assert result["ok"] is not vector.get("expect_error", False), result
    if result["ok"]:
        check(result["fields"], ours(vector["uuid"], vector["expected"]))

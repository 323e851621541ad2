"""Codecs: microseconds a frame, to fields, to the characteristic's struct and to an observation; and a message.

The limit is bare `struct`: the same octets of the same frame unpacked to numbers with one format, in the same run.
Each figure is the best of many short rounds of processor time, and the rounds of limit and codec take turns, so that
a busy machine slows both or neither.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from devices import message
from devices.catalogue import BY_UUID, decode, observe
from devices.clock import Moment
from devices.gatt.characteristic import Characteristic
from devices.gatt.record import DeviceFacts

NAME = "codecs"
FRAMES = Path(__file__).parents[1] / "conformance" / "gatt_frames.yaml"
ALL_OF_A_CUFF = "1e7c0056006100e807060f11111b3300010800"
"""2A35 with each optional field: stamp, pulse, user, status."""
GOALS_US = {"2A35": {"fields": 2.0, "observation": 5.0}}
CALLS = 500
PER_MESSAGE = 50
MOMENT = Moment(datetime(2026, 11, 22, tzinfo=UTC))
SOURCE = DeviceFacts("eui64:0102030405060708")


def frames() -> dict[str, bytes]:
    """The longest public frame of each characteristic."""
    found: dict[str, bytes] = {}
    for frame in yaml.safe_load(FRAMES.read_text(encoding="utf-8")):
        data = bytes.fromhex(frame["hex"])
        if "fields" in frame and frame["uuid"] in BY_UUID and len(data) > len(found.get(frame["uuid"], b"")):
            found[frame["uuid"]] = data
    return dict(sorted(found.items())) | {"2A35": bytes.fromhex(ALL_OF_A_CUFF)}


def bare(known: type[Characteristic], data: bytes) -> struct.Struct:
    """One format for the whole frame: the fields that its flags announce, octets where there is no table of fields."""
    head = struct.calcsize("<" + known.layout.flags)
    letters = known.layout.flags
    flags = int.from_bytes(data[:head], "little")
    for field in known.layout.fields:
        if flags & field.when == field.when and not flags & field.unless:
            # a date is six numbers, and three octets are three
            letters += {"7s": "HBBBBB", "3s": "BBB"}.get(field.codec.letter, field.codec.letter)
    size = struct.calcsize("<" + letters)
    return struct.Struct(f"<{letters}{max(0, len(data) - size)}B" if size <= len(data) else f"<{len(data)}B")


def best(calls: dict[str, Callable[[], object]], rounds: int, number: int = CALLS) -> dict[str, float]:
    """Microseconds a call of each, the best of `rounds` in which they take turns."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.process_time_ns()
            for _ in range(number):
                call()
            found[name] = min(found[name], (time.process_time_ns() - began) / number / 1000)
    return {name: round(us, 3) for name, us in found.items()}


def of_frame(uuid: str, data: bytes, rounds: int) -> dict[str, Any]:
    """The figures of one characteristic; `observation` only where it is a measurement."""
    known = BY_UUID[uuid]
    unpack = bare(known, data).unpack
    calls: dict[str, Callable[[], object]] = {"limit": lambda: unpack(data)}
    if known.layout.fields:
        calls["fields"] = lambda: known.layout.unpack(data)
    calls["struct"] = lambda: decode(uuid, data)
    if observe(decode(uuid, data), SOURCE, MOMENT):
        calls["observation"] = lambda: observe(decode(uuid, data), SOURCE, MOMENT)
    return {"octets": len(data), **best(calls, rounds)}


def of_message(cuff: bytes, rounds: int) -> dict[str, Any]:
    """Microseconds an observation, of a message of cuff readings. The limit is msgspec with the same types."""
    observations = list(observe(decode("2A35", cuff), SOURCE, MOMENT)) * PER_MESSAGE
    sent = message.Message(message_id="bench", sent_at=MOMENT.received_at, observations=observations)
    payload = message.encode(sent)
    figures = best(
        {
            "limit": lambda: message._message.decode(payload),
            "decode": lambda: message.decode(payload),
            "encode": lambda: message.encode(sent),
        },
        rounds,
        number=10,
    )
    return {"octets": len(payload) // PER_MESSAGE} | {name: round(us / PER_MESSAGE, 3) for name, us in figures.items()}


def run(rounds: int = 150) -> dict[str, Any]:
    """One JSON object; microseconds."""
    known = frames()
    measured = {uuid: of_frame(uuid, data, rounds) for uuid, data in known.items()}
    cuff = measured["2A35"]
    return {
        "benchmark": NAME,
        "shape": f"one frame a characteristic, best of {rounds} rounds of {CALLS} calls, processor time",
        "limit": "bare struct of the same octets; for the message msgspec with the same types; in the same run",
        "us_a_frame": measured,
        "us_an_observation_of_a_message": of_message(known["2A35"], rounds),
        "goals_us": GOALS_US,
        "goals_met": {goal: cuff[goal] <= most for goal, most in GOALS_US["2A35"].items()},
        "ratio_to_limit": {goal: round(cuff[goal] / cuff["limit"], 1) for goal in ("fields", "struct", "observation")},
    }

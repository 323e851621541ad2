"""Codecs: microseconds a frame, to fields, to the characteristic's struct and to an observation; and a message.

The limit is bare `struct`: the same octets of the same frame unpacked to numbers with one format, in the same run.
Every characteristic that there is a codec for has its figures: of its longest public frame, or of one made here. Each
figure is the best of many short rounds of processor time, and the rounds of all calls take turns, so that a busy
machine slows all or none of them, and none has only the bad moments.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml

from devices import decoding, message
from devices.catalogue import BY_UUID, decode, observe
from devices.clock import Moment
from devices.gatt.characteristic import Characteristic
from devices.gatt.record import DeviceFacts

K = TypeVar("K")
NAME = "codecs"
FRAMES = Path(__file__).parents[1] / "conformance" / "gatt_frames.yaml"
ALL_OF_A_CUFF = "1e7c0056006100e807060f11111b3300010800"
"""2A35 with each optional field: stamp, pulse, user, status."""
MADE = {
    "2A23": "0102030000a0b0c0",
    **dict.fromkeys(("2A24", "2A25", "2A26", "2A27", "2A28", "2A29"), b"SUIFANG-1 0.1".hex()),
    "2A5E": "0f61004800e807060f11111b40012103000cf0",
    "2A2A": "0001000c020100080105000100028007",
    "2AAC": "0d4600",
    "2B34": "7e7c00560061001d81d22e480001010080f1d22e",
    "2B8B": "030114001f000448020002011d81d22e0006200001000600" + "a217c0f0000f",
    "2BF3": "010204480200524a020001041001",
    "ADV:181B": "0226e807060f11111bf401d039",
    "ADV:181D": "22d039e807060f11111b",
}
"""Frames of what there is no public one of, in hexadecimal; what is missing here is composed of its table of fields."""
GOALS_US = {"2A35": {"fields": 2.0, "observation": 5.0}}
CALLS = 200
PER_MESSAGE = 50
MOMENT = Moment(datetime(2026, 11, 22, tzinfo=UTC))
SOURCE = DeviceFacts("eui64:0102030405060708")


def public() -> dict[str, bytes]:
    """The longest public frame of each characteristic."""
    found: dict[str, bytes] = {}
    for frame in yaml.safe_load(FRAMES.read_text(encoding="utf-8")):
        data = bytes.fromhex(frame["hex"])
        if "fields" in frame and frame["uuid"] in BY_UUID and len(data) > len(found.get(frame["uuid"], b"")):
            found[frame["uuid"]] = data
    return found | {"2A35": bytes.fromhex(ALL_OF_A_CUFF)}


def composed(known: type[Characteristic]) -> bytes:
    """A frame with each field that can stand beside the others, of ones."""
    layout = known.layout
    chosen = sum(choice.mask for choice in layout.choices)
    flags = 0
    for field in layout.fields:
        if not field.unless and not field.when & chosen:
            flags |= field.when
    head = struct.pack("<" + layout.flags, flags) if layout.flags else b""
    there = [field for field in layout.fields if field.when & flags == field.when and not field.unless & flags]
    return head + b"\1" * struct.calcsize("<" + "".join(field.codec.letter for field in there))


def frames() -> dict[str, bytes]:
    """One frame of each characteristic that there is a codec for."""
    known = public()
    for uuid, one in BY_UUID.items():
        if uuid not in known:
            known[uuid] = bytes.fromhex(MADE[uuid]) if uuid in MADE else composed(one)
    return dict(sorted(known.items()))


def bare(known: type[Characteristic], data: bytes) -> struct.Struct:
    """One format for the whole frame: the fields that its flags announce, octets where there is no table of fields."""
    if not hasattr(known, "layout"):
        return struct.Struct(f"<{len(data)}B")
    head = struct.calcsize("<" + known.layout.flags)
    letters = known.layout.flags
    flags = int.from_bytes(data[:head], "little")
    for field in known.layout.fields:
        if flags & field.when == field.when and not flags & field.unless:
            # a date is six numbers, and three octets are three
            letters += {"7s": "HBBBBB", "3s": "BBB"}.get(field.codec.letter, field.codec.letter)
    size = struct.calcsize("<" + letters)
    return struct.Struct(f"<{letters}{max(0, len(data) - size)}B" if size <= len(data) else f"<{len(data)}B")


def best(calls: dict[K, Callable[[], object]], rounds: int, number: int = CALLS) -> dict[K, float]:
    """Microseconds a call of each, the best of `rounds` in which they take turns."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.process_time_ns()
            for _ in range(number):
                call()
            found[name] = min(found[name], (time.process_time_ns() - began) / number / 1000)
    return {name: round(us, 3) for name, us in found.items()}


def calls_of(uuid: str, data: bytes) -> dict[str, Callable[[], object]]:
    """What is measured of one characteristic; `observation` only where it is a measurement."""
    known = BY_UUID[uuid]
    unpack = bare(known, data).unpack
    calls: dict[str, Callable[[], object]] = {"limit": lambda: unpack(data)}
    if hasattr(known, "layout") and known.layout.fields:
        calls["fields"] = lambda: known.layout.unpack(data)
    calls["struct"] = lambda: decode(uuid, data)
    if observe(decode(uuid, data), SOURCE, MOMENT):
        calls["observation"] = lambda: observe(decode(uuid, data), SOURCE, MOMENT)
    return calls


def of_frames(known: dict[str, bytes], rounds: int) -> dict[str, dict[str, Any]]:
    """The figures of each characteristic."""
    calls = {(uuid, name): call for uuid, data in known.items() for name, call in calls_of(uuid, data).items()}
    given = public()
    figures: dict[str, dict[str, Any]] = {
        uuid: {"octets": len(data), "public": uuid in given} for uuid, data in known.items()
    }
    for (uuid, name), us in best(calls, rounds).items():
        figures[uuid][name] = us
    return figures


def of_message(cuff: bytes, rounds: int) -> dict[str, Any]:
    """Microseconds an observation, of a message of cuff readings. The limit is msgspec with the same types."""
    observations = list(observe(decode("2A35", cuff), SOURCE, MOMENT)) * PER_MESSAGE
    sent = message.Message(message_id="bench", sent_at=MOMENT.received_at, observations=observations)
    payload = message.encode(sent)
    figures = best(
        {
            "limit": lambda: decoding._message.decode(payload),
            "decode": lambda: decoding.decode(payload),
            "encode": lambda: message.encode(sent),
        },
        rounds,
        number=10,
    )
    return {"octets": len(payload) // PER_MESSAGE} | {name: round(us / PER_MESSAGE, 3) for name, us in figures.items()}


def run(rounds: int = 150) -> dict[str, Any]:
    """One JSON object; microseconds."""
    known = frames()
    measured = of_frames(known, rounds)
    cuff = measured["2A35"]
    return {
        "benchmark": NAME,
        "shape": f"one frame a characteristic, best of {rounds} rounds of {CALLS} calls, processor time",
        "limit": "bare struct of the same octets; for the message msgspec with the same types; in the same run",
        "characteristics": len(measured),
        "us_a_frame": measured,
        "us_an_observation_of_a_message": of_message(known["2A35"], rounds),
        "goals_us": GOALS_US,
        "goals_met": {goal: cuff[goal] <= most for goal, most in GOALS_US["2A35"].items()},
        "ratio_to_limit": {goal: round(cuff[goal] / cuff["limit"], 1) for goal in ("fields", "struct", "observation")},
    }

"""`python -m tests.fuzz`: arbitrary input into every codec, for as many cases or as long as asked; one JSON line.

Nothing but a `DeviceError` may come out of a codec, and memory may not grow. Half of the cases are octets at random,
half are known frames with a few octets changed, cut or appended. A seed makes the same cases again; a case that fails
is printed with its codec and octets. Exit status: 1 where one failed or memory grew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from devices import decoding, message
from devices.catalogue import CHARACTERISTICS, decode, layout_of, observe, why_odd
from devices.clock import Moment
from devices.decode_cli import answer
from devices.errors import DeviceError
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import apdu
from devices.medfloat import decode_sfloat
from tests.fuzz import fhir, health
from tests.fuzz.associations import Associated
from tests.waves_20601 import OXIMETER, SATURATION, WAVE, report

CONFORMANCE = Path(__file__).parents[1] / "conformance"
MOMENT = Moment(datetime(2026, 11, 22, tzinfo=UTC))
SOURCE = DeviceFacts("eui64:0102030405060708")
BATCH = 200
"""Cases of one codec in a row."""
MOST_GROWTH = 16 * 1024 * 1024
"""Octets of resident memory, from when every cache has been filled to the end."""
SHOWN = 5

Codec = tuple[Callable[[bytes], Any], list[bytes]]


def characteristic(uuid: str) -> Callable[[bytes], Any]:
    """Decode, encode and observe one characteristic."""

    def run(data: bytes) -> None:
        value = decode(uuid, data)
        value.encode(layout_of(uuid, data))
        observe(value, SOURCE, MOMENT)
        why_odd(value)

    return run


def cuff() -> bytes:
    """A whole 2A35."""
    return bytes.fromhex("1e7c0056006100e807060f11111b3300010800")


def codecs() -> dict[str, Codec]:
    """By name: what takes octets, and octets that it is known to take."""
    frames: dict[str, list[bytes]] = {}
    for frame in yaml.safe_load((CONFORMANCE / "gatt_frames.yaml").read_text(encoding="utf-8")):
        frames.setdefault(frame["uuid"], []).append(bytes.fromhex(frame["hex"]))
    frames |= health.frames()
    found: dict[str, Codec] = {
        known.uuid: (characteristic(known.uuid), frames.get(known.uuid, [])) for known in CHARACTERISTICS
    }
    seen = observe(decode("2A35", cuff()), SOURCE, MOMENT)
    sent = message.encode(message.Message(message_id="fuzz", sent_at=MOMENT.received_at, observations=list(seen)))
    line = msgspec.json.encode({"uuid": "2A35", "hex": cuff().hex()})
    lines = (CONFORMANCE / "apdus_20601.jsonl").read_text(encoding="utf-8").splitlines()
    apdus = [bytes.fromhex(json.loads(row)["hex"]) for row in lines]
    found["message"] = (decoding.decode, [sent])
    found["receipt"] = (message.decode_receipt, [])
    found["observation"] = (decoding.decode_observation, [message.encode_observation(seen[0])])
    found["topic"] = (lambda data: message.parse_topic(data.decode("latin-1")), [b"suifang/v1/a/b/receipts"])
    found["decode-cli"] = (lambda data: answer(data, MOMENT.received_at), [line])
    found["11073-apdu"] = (apdu.decode, apdus)
    found["20601-manager"] = (Associated().manager_takes, apdus)
    found["20601-waves"] = (Associated(OXIMETER).manager_takes, [apdu.encode(report(SATURATION, WAVE)), *apdus])
    found["20601-agent"] = (Associated().agent_takes, apdus)
    return found | fhir.codecs(seen[0]) | health.codecs()


def arbitrary(rng: random.Random, known: Sequence[bytes]) -> bytes:
    """Octets at random, or a known frame with a few of them changed."""
    if not known or rng.random() < 0.5:
        return rng.randbytes(rng.randrange(33))
    data = bytearray(rng.choice(known))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0 if at < len(data):
                data[at] = rng.randrange(256)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = rng.randbytes(rng.randrange(1, 4))
            case _ if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def resident() -> int:
    """Octets of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def run(cases: int, seconds: float, seed: int) -> dict[str, Any]:
    """One JSON object."""
    for word in range(1 << 16):
        decode_sfloat(word)
    rng = random.Random(seed)
    known = codecs()
    counts = dict.fromkeys(known, 0)
    refused = failed = done = 0
    failures: list[dict[str, str]] = []
    began = time.monotonic()
    baseline: int | None = None
    while done < cases and time.monotonic() - began < seconds:
        for name, (take, frames) in known.items():
            for _ in range(BATCH):
                data = arbitrary(rng, frames)
                try:
                    take(data)
                except DeviceError:
                    refused += 1
                except Exception as error:  # noqa: BLE001  whatever it is, it is what is looked for
                    failed += 1
                    if len(failures) < SHOWN:
                        failures.append({"codec": name, "hex": data.hex(), "error": f"{type(error).__name__}: {error}"})
            counts[name] += BATCH
            done += BATCH
        # the caches of plans and facts are full by then
        if baseline is None and (time.monotonic() - began > seconds / 3 or done > cases / 3):
            baseline = resident()
    growth = resident() - (baseline or resident())
    return {
        "fuzz": "codecs",
        "seed": seed,
        "cases": done,
        "seconds": round(time.monotonic() - began, 1),
        "codecs": len(known),
        "cases_a_codec": min(counts.values()),
        "refused": refused,
        "failed": failed,
        "failures": failures,
        "resident_growth_bytes": growth,
        "ok": failed == 0 and growth <= MOST_GROWTH,
    }


def main() -> int:
    """Exit status: 0, or 1 where a codec failed or memory grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--cases", type=int, default=10_000_000, help="stop after so many (default 10 million)")
    parser.add_argument("--seconds", type=float, default=600, help="stop after so long (default 600)")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    outcome = run(asked.cases, asked.seconds, asked.seed)
    sys.stdout.write(json.dumps(outcome) + "\n")
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

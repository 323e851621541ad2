"""A 20601 stack that is not ours, as plain octets over plain sockets: what a published C stack puts on the wire.

Typed in by hand from its source, and corrected by sessions that were recorded with its own agents and manager, built
outside of this repository (docs/decisions/0028). Of devices that it has no agents for, the reports are after its older
editions. None of the product's own modules is used.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import NamedTuple

SYSTEM = "1133557799bbddff"
_MANAGER = "1122334455667788"
RLRQ, RLRE = "e400 0002 0000", "e500 0002 0000"


def hex_(text: str) -> bytes:
    return bytes.fromhex(text)


def aarq(config: str, system: str = SYSTEM) -> str:
    about = f"80000000 8000 80000000 00000000 00800000 0008 {system} {config} 0001 01 00 0000 0000"
    return f"e200 0032 80000000 0001 002a 5079 0026 {about}"


def aare(result: int) -> str:
    about = f"80000000 8000 80000000 00000000 80000000 0008 {_MANAGER} 0000 0000 00 00 0000 0000"
    return f"e300 002c {result:04x} 5079 0026 {about}"


def stamp(at: datetime) -> str:
    """As its samples do: half a second on."""
    return f"{at:%Y%m%d%H%M%S}50"


def presented(invoke_id: str, operation: str, body: str) -> str:
    size = len(hex_(body))
    return f"e700 {size + 8:04x} {size + 6:04x} {invoke_id} {operation} {size:04x} {body}"


def attributes(invoke_id: str, config: str) -> str:
    """Its agent's answer to a GET: seventeen attributes, nearly all of them empty or zero."""
    rows = (
        "0986 0004 00000000", "0928 0004 0000 0000", f"0984 000a 0008 {SYSTEM}", f"0a44 0002 {config}",
        "0a55 0004 0000 0000", "092d 0004 0000 0000", f"0a45 0010 {'00' * 16}", f"0987 0008 {'00' * 8}",
        "098f 0004 00000000", f"09e8 0008 {'00' * 8}", f"0a62 0006 {'00' * 6}", "0955 0002 0000", "099c 0002 0000",
        f"0988 0006 {'00' * 6}", "0a4b 0004 0000 0000", "0a5a 0004 0000 0000", "0914 0004 00000000",
    )  # fmt: skip
    listed = "".join(rows)
    return presented(invoke_id, "0203", f"0000 {len(rows):04x} {len(hex_(listed)):04x} {listed}")


class Sample(NamedTuple):
    """One of its sample agents. report: with `{id}` for the invoke id and `{at}` for the stamp.  confirmed: it waits
    for an answer.  kind, values: what the octets say.  beside: its report has something that is no reading."""

    config: str
    report: str
    kind: int
    values: tuple[float | None, ...]
    confirmed: bool = True
    facts: tuple[str, ...] = ()
    stamped: bool = True
    beside: bool = False


SAMPLES = {
    # the map has no stamp, its reports have one all the same; never confirmed, and always with this invoke id
    "oximeter": Sample(
        "0190",
        "e700 0036 0034 1111 0100 002e 0000 ffffffff 0d1d 0024 f000 0000 0002 001c"
        " 0001 000a f3c5 {at} 000a 000a f285 {at}",
        150456, (96.5, 64.5, None), confirmed=False, facts=("no-device-clock", "trailing-bytes"), stamped=False,
    ),
    "cuff": Sample(
        "02bc",
        "e700 003e 003c {id} 0101 0036 0000 ffffffff 0d1d 002c f000 0000 0002 0024"
        " 0001 0012 0003 0006 007b 004e 005d {at} 0002 000a 003d {at}",
        150020, (123.0, 78.0, 93.0, 61.0),
    ),
    # a body mass index that its configuration does not have, and everything twice
    "scale": Sample(
        "05dc",
        "e700 005a 0058 {id} 0101 0052 0000 ffffffff 0d1d 0048 f000 0000 0004 0040"
        " 0001 000c ff0002be {at} 0003 000c ff0000cb {at} 0001 000c ff0002be {at} 0003 000c ff0000cb {at}",
        188736, (70.2, None, None), beside=True,
    ),
    # two octets more are announced than there are, and filled with zeros
    "meter": Sample(
        "06a4",
        "e700 002a 0028 {id} 0101 0022 0000 ffffffff 0d1d 0018 f000 0000 0001 0010 0001 000a f066 {at} 0000",
        160184, (10.2,), facts=("trailing-bytes",),
    ),
    # an older edition: a FLOAT where the map says SFLOAT
    "older meter": Sample(
        "06a4",
        "e700 002a 0028 {id} 0101 0022 0000 ffffffff 0d1d 0018 f000 0000 0001 0010 0001 000c ff0000b6 {at}",
        160184, (18.2,),
    ),
    "thermometer": Sample(
        "0320",
        "e700 002a 0028 {id} 0101 0022 0000 ffffffff 0d1d 0018 f000 0000 0001 0010 0001 000c ff000172 {at}",
        150364, (37.0,),
    ),
}  # fmt: skip


# what its agents tell where the manager does not know their configuration (as an event report of the device); under
# 0191 it tells what 0190 has
TOLD = {
    "0190": "0000 ffffffff 0d1c 0056 0190 0002 0050"
    " 0006 0001 0004 0020 092f 0004 0002 4bb8 0a46 0002 4040 0996 0002 0220 0a55 0008 0001 0004 0a4c 0002"
    " 0006 000a 0004 0020 092f 0004 0002 481a 0a46 0002 4040 0996 0002 0aa0 0a55 0008 0001 0004 0a4c 0002",
    "02bc": "0000 ffffffff 0d1c 0072 02bc 0002 006c"
    " 0006 0001 0006 0038 092f 0004 0002 4a04 0a46 0002 f040 0a73 0002 0303 0a76 000a 0003 0006 4a05 4a06 4a07"
    " 0996 0002 0f20 0a55 000c 0002 0008 0a75 000a 0990 0008"
    " 0006 0002 0004 0024 092f 0004 0002 482a 0a46 0002 f040 0996 0002 0aa0 0a55 000c 0002 0008 0a4c 0002 0990 0008",
    "05dc": "0000 ffffffff 0d1c 0032 05dc 0001 002c"
    " 0006 0001 0004 0024 092f 0004 0002 e140 0a46 0002 f040 0996 0002 06c3 0a55 000c 0002 0008 0a56 0004 0990 0008",
    "06a4": "0000 ffffffff 0d1c 0032 06a4 0001 002c"
    " 0006 0001 0004 0024 092f 0004 0002 71b8 0a46 0002 f040 0996 0002 0852 0a55 000c 0002 0008 0a4c 0002 0990 0008",
}


class Line:
    """One end of a connection. chunk: octets that are written at a time; 0: all."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, chunk: int = 0) -> None:
        self.reader = reader
        self.writer = writer
        self.chunk = chunk

    @classmethod
    async def to(cls, port: int, chunk: int = 0) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", port), chunk)

    async def say(self, *apdus: str) -> None:
        octets = b"".join(map(hex_, apdus))
        step = self.chunk or len(octets)
        for at in range(0, len(octets), step):
            self.writer.write(octets[at : at + step])
            await self.writer.drain()
            if self.chunk:
                await asyncio.sleep(0)

    async def hear(self) -> str:
        """The next APDU. Empty: the other side has gone."""
        try:
            head = await self.reader.readexactly(4)
            return (head + await self.reader.readexactly(int.from_bytes(head[2:]))).hex()
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""

    async def close(self) -> None:
        self.writer.close()
        # the other side may have been quicker
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def same(octets: str, expected: str) -> bool:
    return octets == expected.replace(" ", "")

"""11073-20601: scan reports decoded a second, and a manager over TCP on the loopback.

The report is a cuff's, of the standard configuration 02BC: compound pressure, pulse and two stamps in 66 octets.
The limit of decoding is bare `struct` of the same octets with one format; that of the manager is a bare asyncio
protocol that cuts the same stream by its lengths and answers as many octets. Rounds of limit and codec take turns.
Over TCP the agent is a thread that writes reports without waiting and reads the confirmations; what is kept is counted.
The rate over TCP is given by the clock, and by the processor time of both sides, which others on the machine do not
take from; the goal is judged by the latter, as the goals of the codecs are.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from devices.gatt.record import DeviceFacts
from devices.ieee11073 import apdu
from devices.ieee11073.association import Aarq, Information
from devices.ieee11073.codes import Noti
from devices.ieee11073.data_apdu import EventReport
from devices.ieee11073.fixed_reports import FixedReports
from devices.ieee11073.manager import Manager
from devices.ieee11073.observing import observe
from devices.ieee11073.scan_report import SHAPES, FixedObs, agent_report, read_fixed, write_scan
from devices.ieee11073.specializations import standard
from devices.ieee11073.stamping import Heard
from devices.ieee11073.terms import Terms
from devices.ieee11073.times import write_absolute
from devices.observation import Observation
from gateway.app import configure_logging
from gateway.outbox import utc_now
from gateway.phd_listener import PhdListener
from tests.benchmarks.bench_codecs import best

NAME = "20601"
SYSTEM = bytes.fromhex("0200000000000001")
GOALS = {"decoded_a_second": 150_000, "managed_a_second": 50_000}
TCP_ROUNDS = 12
CONFIRMATION = 22
"""Octets of an answer to a report."""
_HEADER = struct.Struct(">HH")
# header to report number, count and length; handle, length, pressures, stamp; handle, length, pulse, stamp
_BARE = struct.Struct(">HHHHHHHIHHHHHH" + "HHHHHHH8B" + "HHH8B")


def a_report(at: datetime) -> bytes:
    """The APDU of one cuff reading."""
    stamp = write_absolute(at)
    obs = (
        FixedObs(1, bytes.fromhex("0003000600780050005d") + stamp),
        FixedObs(2, bytes.fromhex("003d") + stamp),
    )
    info = write_scan(SHAPES[Noti.SCAN_REPORT_FIXED], agent_report(0, *obs))
    return apdu.encode(EventReport(1, 0, Noti.SCAN_REPORT_FIXED, info))


def decoding(rounds: int) -> dict[str, float]:
    """Microseconds an APDU: to values as the first of its layout, to values as one of many, to an observation, and
    through a manager from the stream to its confirmation."""
    data = a_report(datetime(2026, 11, 22, 16, 0, tzinfo=UTC))
    assert _BARE.size == len(data)
    configuration, source = standard(0x02BC), DeviceFacts("eui64:0200000000000001")
    heard = Heard.at(datetime(2026, 11, 22, 8, 0, tzinfo=UTC))

    reports = FixedReports(configuration)

    def first() -> object:
        return configuration.read(read_fixed(apdu.decode(data).info))  # type: ignore[union-attr]

    def values() -> object:
        return reports.read(apdu.decode(data).info)  # type: ignore[union-attr]

    manager = Manager(Terms(SYSTEM, interviews=False))
    manager.connected(0.0)
    manager.receive(apdu.encode(Aarq.of(Information.of_agent(SYSTEM, 0x02BC))), 0.0, heard.moment.received_at)

    calls: dict[str, Callable[[], object]] = {
        "limit": lambda: _BARE.unpack(data),
        "apdu": lambda: apdu.decode(data),
        "first": first,
        "values": values,
        "observation": lambda: observe(values(), source, heard),  # type: ignore[arg-type]
        "manager": lambda: manager.receive(data, 1.0, heard.moment.received_at),
    }
    return best(calls, rounds, number=200)


class Counted:
    """Where readings go here: nowhere."""

    def __init__(self) -> None:
        self.readings = 0

    def put(self, observations: Sequence[Observation]) -> None:
        """Count them."""
        self.readings += len(observations)

    def odd(self, device: str, characteristic: str, frame: bytes, field: str, reason: str) -> None:
        """There is none."""
        raise AssertionError(reason)


class _Bare(asyncio.Protocol):
    """The limit: frames by their lengths, an answer of the same size for each."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._kept = b""

    def data_received(self, data: bytes) -> None:
        data = self._kept + data
        at = count = 0
        while len(data) - at >= 4:
            end = at + 4 + _HEADER.unpack_from(data, at)[1]
            if end > len(data):
                break
            _BARE.unpack_from(data, at)
            at, count = end, count + 1
        self._kept = data[at:]
        assert isinstance(self._transport, asyncio.WriteTransport)
        self._transport.write(bytes(CONFIRMATION) * count)


def _talk(port: int, opening: bytes, stream: bytes, answers: int, result: list[float]) -> None:
    """The agent: open, write all reports, read all confirmations; seconds for the latter two."""
    with socket.create_connection(("127.0.0.1", port)) as wire:
        if opening:
            wire.sendall(opening)
            wire.recv(4096)
        began = time.perf_counter()
        writing = threading.Thread(target=wire.sendall, args=(stream,))
        writing.start()
        left = answers
        while left > 0:
            left -= len(wire.recv(1 << 20))
        result.append(time.perf_counter() - began)
        writing.join()


class Took(NamedTuple):
    """Seconds of the clock, and of the processor for both sides."""

    clock: float
    processor: float

    def least(self, other: Took) -> Took:
        """The better of each."""
        return Took(min(self.clock, other.clock), min(self.processor, other.processor))


async def _timed(port: int, opening: bytes, stream: bytes, count: int) -> Took:
    result: list[float] = []
    began = time.process_time()
    await asyncio.to_thread(_talk, port, opening, stream, count * CONFIRMATION, result)
    return Took(result[0], time.process_time() - began)


async def over_tcp(count: int, rounds: int) -> dict[str, float]:
    """APDUs a second: the best round of each."""
    began = datetime.now(UTC).astimezone() - timedelta(seconds=count // 100)
    # each report has a stamp of its own, as those of a device have
    stream = b"".join(a_report(began + timedelta(milliseconds=10 * number)) for number in range(count))
    opening = apdu.encode(Aarq.of(Information.of_agent(SYSTEM, 0x02BC)))
    kept = Counted()
    listener = PhdListener(Terms(SYSTEM, interviews=False), kept, utc_now)
    _, port = await listener.open("127.0.0.1", 0)
    bare = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", 0)
    limit = managed = Took(float("inf"), float("inf"))
    for _ in range(rounds):
        limit = limit.least(await _timed(bare.sockets[0].getsockname()[1], b"", stream, count))
        managed = managed.least(await _timed(port, opening, stream, count))
    bare.close()
    await listener.close()
    assert kept.readings == count * rounds, f"{kept.readings} kept"
    return {
        "limit": round(count / limit.clock),
        "limit_of_processor": round(count / limit.processor),
        "managed": round(count / managed.clock),
        "managed_of_processor": round(count / managed.processor),
    }


def run(rounds: int = 100, count: int = 20_000) -> dict[str, Any]:
    """One JSON object."""
    configure_logging(logging.WARNING)
    us = decoding(rounds)
    rates = asyncio.run(over_tcp(count, TCP_ROUNDS))
    decoded = round(1_000_000 / us["values"])
    return {
        "benchmark": NAME,
        "shape": f"a cuff's fixed scan report, {_BARE.size} octets; over TCP {count} with their own stamps; "
        f"best of {rounds} and {TCP_ROUNDS}",
        "limit": "bare struct of the same octets; over TCP a bare protocol cutting and answering the same stream",
        "us_an_apdu": us,
        "decoded_a_second": decoded,
        "managed_a_second": rates["managed_of_processor"],
        "managed_a_second_by_the_clock": rates["managed"],
        "tcp_limit_a_second": rates["limit_of_processor"],
        "tcp_limit_a_second_by_the_clock": rates["limit"],
        "goals": GOALS,
        "goals_met": {
            "decoded_a_second": decoded >= GOALS["decoded_a_second"],
            "managed_a_second": rates["managed_of_processor"] >= GOALS["managed_a_second"],
        },
        "ratio_to_limit": {
            "values": round(us["values"] / us["limit"], 1),
            "observation": round(us["observation"] / us["limit"], 1),
            "managed": round(rates["limit_of_processor"] / rates["managed_of_processor"], 1),
        },
    }

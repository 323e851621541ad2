"""Agents over real TCP: kept in a real outbox before they are confirmed, printed by a real process, never trusted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devices.ieee11073 import apdu
from devices.ieee11073.association import Aarq, Abrt, Information
from devices.ieee11073.states import Timeouts
from devices.ieee11073.terms import Terms
from devices.observation import Observation
from gateway.errors import OutboxBroken
from gateway.outbox import Outbox, utc_now
from gateway.phd_listener import PhdListener
from simulators import agent as agents
from simulators.embedded.broker import Broker
from simulators.truth import Ledger, as_stamp
from tests.fix_bluetooth import OpenReceiver, kept_in

SYSTEM = bytes.fromhex("0200000000000001")
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def listening(outbox: Any, **terms: Any) -> AsyncIterator[tuple[PhdListener, int]]:
    listener = PhdListener(Terms(SYSTEM, **terms), outbox, utc_now)
    _, port = await listener.open("127.0.0.1", 0)
    try:
        yield listener, port
    finally:
        await listener.close()


async def report(port: int, *names: str, count: int = 2, **more: Any) -> tuple[bool, dict[str, Any], Ledger]:
    ledger = Ledger()
    right, found = await agents.run(
        names or list(agents.KINDS), host="127.0.0.1", port=port, seed=1, count=count, every_s=1.1 if count > 1 else 0,
        ledger=ledger, **more,
    )  # fmt: skip
    return right, found, ledger


def keys(found: list[Observation]) -> set[tuple[Any, ...]]:
    return {(one.device, one.kind, as_stamp(one.device_at), one.values) for one in found if one.device_at}


async def test_what_agents_of_every_kind_measure_is_kept_as_they_measured_it(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (_, port):
            right, found, ledger = await report(port)
        assert right, found
        truth = {(one.uid, one.kind, as_stamp(one.device_at), one.values) for one in ledger.entries if one.device_at}
        assert keys(kept_in(outbox)) == truth
        # the analyser of body composition weighs besides
        assert len(truth) == 2 * (len(agents.KINDS) + 1)


async def test_a_reading_is_in_the_outbox_before_its_agent_is_told(tmp_path: Path) -> None:
    """Each confirmation that arrives finds the reading committed: seen through a second connection to the file."""
    path = tmp_path / "outbox.sqlite"
    with Outbox(path) as outbox:
        seen: list[int] = []

        class Watched(agents.Device):
            def _do(self, outputs: Any) -> None:
                before = self.confirmed
                super()._do(outputs)
                if self.confirmed > before:
                    seen.append(kept_by_others(path))

        async with listening(outbox) as (_, port):
            device = Watched("blood-pressure", 1, Ledger(), clock=agents.true_time)
            await device.run("127.0.0.1", port, 3, 0)
        assert seen == [1, 2, 3]


def kept_by_others(path: Path) -> int:
    query = "SELECT count(*) FROM observation"
    command = f"import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('{query}').fetchone()[0])"
    return int(subprocess.run([sys.executable, "-c", command, path], capture_output=True, check=True).stdout)


async def test_what_does_not_fit_the_outbox_is_not_confirmed_and_comes_again(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    with Outbox(path, most_octets=1) as full:
        async with listening(full) as (_, port):
            device = agents.Device("weight", 1, Ledger(), clock=agents.true_time)
            await device.run("127.0.0.1", port, 1, 0)
        assert (device.confirmed, device.agent.unconfirmed) == (0, 1)
    with Outbox(path) as roomy:
        async with listening(roomy) as (_, port):
            device.closed.clear()
            await device.run("127.0.0.1", port, 0, 0)
        assert (device.confirmed, device.agent.unconfirmed) == (1, 0)
        assert len(kept_in(roomy)) == 1


async def test_a_broken_disk_ends_the_listener_and_confirms_nothing() -> None:
    class Broken:
        def put(self, observations: object) -> None:
            raise OutboxBroken("disk I/O error")

        odd = put

    async with listening(Broken()) as (listener, port):
        right, found, _ = await report(port, "weight", count=1)
        assert not right
        assert found["confirmed"] == 0
        assert listener.failed.is_set()


async def test_an_agent_whose_clock_is_a_day_late_is_put_on_our_timeline(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (_, port):
            right, _, ledger = await report(port, "glucose", count=1, offset=timedelta(days=-1))
        assert right
        (kept,) = kept_in(outbox)
        assert "clock-corrected" in kept.facts
        assert abs(kept.measured_at - ledger.entries[0].made_at) < timedelta(seconds=3)
        assert kept.device_at == ledger.entries[0].device_at


async def test_an_extended_configuration_is_told_once_and_remembered(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (listener, port):
            for _ in range(2):
                right, _, _ = await report(port, "weight", count=1, extended=True)
                assert right
            assert len(listener.remembered) == 1


@pytest.mark.parametrize(
    "nonsense",
    [b"GET / HTTP/1.1\r\n\r\n", bytes.fromhex("e2000000"), bytes.fromhex("e7000002ffff"), b"\xff" * 70000],
    ids=["http", "empty-aarq", "short-prst", "noise"],
)
async def test_nonsense_ends_its_own_connection_and_nobody_elses(nonsense: bytes, tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(nonsense)
            async with asyncio.timeout(5):
                answer = await reader.readexactly(6)
            assert apdu.decode(answer[:6]) == Abrt(0) or answer[:2] == b"\xe3\x00"
            right, _, _ = await report(port, "weight", count=1)
            assert right
            writer.close()


async def test_an_agent_that_never_tells_its_configuration_is_aborted_for_that(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox, timeouts=Timeouts(configuration=0.2)) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(apdu.encode(Aarq.of(Information.of_agent(SYSTEM, 0x4001))))
            async with asyncio.timeout(5):
                await reader.readexactly(48)
                assert apdu.decode(await reader.readexactly(6)) == Abrt(3)
            writer.close()


async def test_closing_releases_every_association_in_good_order(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        listener = PhdListener(Terms(SYSTEM), outbox, utc_now)
        _, port = await listener.open("127.0.0.1", 0)
        device = agents.Device("oximeter", 1, Ledger(), clock=agents.true_time)
        running = asyncio.create_task(device.run("127.0.0.1", port, 1000, 0.01))
        async with asyncio.timeout(20):
            await device.until(lambda: device.confirmed >= 2)
            await listener.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert device.closed.is_set()
        assert len(kept_in(outbox)) >= device.confirmed


# -- as processes


@contextmanager
def gateway(
    tmp_path: Path, *arguments: str, closed: bool = False, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], int, Callable[[], list[str]]]]:
    output = (tmp_path / "printed").open("w+")
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "phd", "--listen", "127.0.0.1:0", *arguments],
        stdout=writing if closed else output, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | environment,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if '"listening"' in line)
        yield process, json.loads(line)["port"], lambda: (tmp_path / "printed").read_text().splitlines()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        output.close()
        os.close(writing)


def simulate(port: int, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", "from simulators.cli import main; main()", "agent", "--connect", f"127.0.0.1:{port}",
         "--count", "1", *arguments],
        capture_output=True, text=True, check=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_command_prints_each_reading_as_a_json_line(tmp_path: Path) -> None:
    with gateway(tmp_path, "--print") as (process, port, printed):
        found = simulate(port)
        assert found["confirmed"] == len(agents.KINDS)
        lines = [json.loads(line) for line in printed()]
        assert {line["kind"] for line in lines} == {
            150020, 188736, 160184, 150456, 150364, 147842, 188748, 152584, 160212,
        }  # fmt: skip
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_without_a_broker_readings_wait_in_the_outbox_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    settings = {
        "SUIFANG_GATEWAY_SITE": "s", "SUIFANG_GATEWAY_SOURCE": "g", "SUIFANG_GATEWAY_OUTBOX": str(path),
        "SUIFANG_GATEWAY_BROKER_PORT": "1", "SUIFANG_GATEWAY_DRAIN_S": "0.1", "SUIFANG_GATEWAY_SIMULATED": "true",
    }  # fmt: skip
    with gateway(tmp_path, **settings) as (process, port, printed):
        assert simulate(port, "--device", "weight")["confirmed"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert printed() == []
    with Outbox(path) as outbox:
        (kept,) = kept_in(outbox)
    assert kept.facts == ("simulated",)
    assert abs(kept.measured_at - datetime.now(UTC)) < timedelta(minutes=2)


async def test_a_reading_goes_from_an_agent_to_the_far_end_and_is_then_forgotten(
    broker: Broker, receiver: OpenReceiver, tmp_path: Path
) -> None:
    sign_in = broker.credentials("gw-1")
    path = tmp_path / "outbox.sqlite"
    settings = {
        "SITE": "dongyuan", "SOURCE": "gw-1", "OUTBOX": str(path), "BROKER_HOST": sign_in.host,
        "BROKER_PORT": str(sign_in.port), "BROKER_PASSWORD": sign_in.password or "",
    }  # fmt: skip
    async with receiver(broker) as far_end:
        with gateway(tmp_path, **{f"SUIFANG_GATEWAY_{name}": value for name, value in settings.items()}) as running:
            process, port, _ = running
            right, _, ledger = await report(port, "blood-pressure", "thermometer")
            assert right
            await far_end.until(lambda end: len(end.stored) == 4)
            process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(process.wait, 20) == 0
        assert {one.values for one in far_end.stored.values()} == {one.values for one in ledger.entries}
    with Outbox(path) as outbox:
        assert outbox.figures().backlog == 0


def test_printing_to_nobody_ends_the_command_and_confirms_nothing(tmp_path: Path) -> None:
    with gateway(tmp_path, "--print", closed=True) as (process, port, _):
        done = subprocess.run(
            [sys.executable, "-c", "from simulators.cli import main; main()", "agent", "--connect",
             f"127.0.0.1:{port}", "--count", "1", "--device", "weight"],
            capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
        )  # fmt: skip
        assert json.loads(done.stdout)["confirmed"] == 0
        assert process.wait(10) == 1


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_said_and_nothing_starts(listen: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "phd", "--print", "--listen", listen],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1
    assert listen in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--connect", "127.0.0.1:1"], "127.0.0.1:1"), (["--connect", "nowhere"], "HOST:PORT"),
     (["--device", "toaster"], "toaster")],
)  # fmt: skip
def test_simulated_agents_without_a_manager_say_so(arguments: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from simulators.cli import main; main()", "agent", "--count", "1", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr

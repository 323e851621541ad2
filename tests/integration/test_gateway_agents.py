"""One gateway for Bluetooth devices and 20601 agents: real processes, sockets, radio, broker, and restarts."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devices.ieee11073 import apdu
from devices.ieee11073.association import Aare, Aarq, Information
from devices.ieee11073.codes import AssociateResult, Noti
from devices.ieee11073.data_apdu import EventReport
from devices.ieee11073.events import write_config
from devices.nomenclature import BLOOD_PRESSURE
from gateway.outbox_file import connect
from simulators import agent as agents
from simulators.embedded.broker import Broker
from simulators.peripheral import Measurement
from simulators.peripheral_indicating import BloodPressureCuff
from simulators.radio import Air
from simulators.truth import Ledger
from tests.fix_bluetooth import GatewayProcess, OpenReceiver, Receiver, StartGateway, until_logged
from tests.waves_20601 import OXIMETER, SATURATION, WAVE
from tests.waves_20601 import report as pleth_report

NOW = datetime.now(UTC).replace(microsecond=0)
ANYWHERE = "127.0.0.1:0"
EXTENDED = 0x4000


async def port_of(process: GatewayProcess, turn: int = 1) -> int:
    """Where it accepts agents, told for the nth time."""

    def told() -> list[Any]:
        return [line["port"] for line in process.log if line["event"] == "listening"]

    async with asyncio.timeout(30):
        while len(told()) < turn:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.05)
    return int(told()[turn - 1])


def virtual(name: str = "weight", **more: Any) -> agents.Device:
    return agents.Device(name, 1, Ledger(), clock=agents.true_time, **more)


async def report(device: agents.Device, port: int, count: int = 1) -> None:
    device.closed.clear()
    async with asyncio.timeout(30):
        await device.run("127.0.0.1", port, count, 1.1)
    assert device.agent.unconfirmed == 0


async def answer_to(device: agents.Device, port: int) -> int:
    """What the manager says to this device's extended configuration: known or not?"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(10):
        writer.write(apdu.encode(Aarq.of(Information.of_agent(device.system_id, EXTENDED))))
        answer = apdu.decode(await reader.readexactly(48))
    writer.close()
    assert isinstance(answer, Aare)
    return answer.result


async def roster(outbox: Path) -> list[dict[str, Any]]:
    arguments = [sys.executable, "-m", "gateway", "devices", "--outbox", str(outbox)]
    done = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, check=True)
    return [msgspec.json.decode(line) for line in done.stdout.splitlines()]


def last(field: str, wanted: Callable[[Any], bool]) -> Callable[[Receiver], bool]:
    return lambda end: bool(end.status) and wanted(end.status[-1].get(field))


async def test_a_cuff_and_an_agent_reach_the_far_end_through_one_gateway(
    air: Air, broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    cuff = BloodPressureCuff(air, address="F0:00:00:00:00:01", serial="BP-1")
    pressure = Measurement(kind=BLOOD_PRESSURE, values=(128.0, 79.0, 95.0, 66.0), unit="mm[Hg]", taken_at=NOW)
    async with receiver(broker) as far_end, cuff:
        with gateway(broker, air, phd_listen=ANYWHERE) as process:
            port = await port_of(process)
            scale = virtual()
            async with asyncio.timeout(30):
                await asyncio.gather(cuff.measure(pressure), report(scale, port, 2))
            await far_end.until(lambda end: len(end.stored) == 3)
            assert {one.device for one in far_end.stored.values()} == {cuff.device, scale.uid}
            await far_end.until(last("radio", lambda radio: radio is True))
            assert await process.interrupt() == 0


async def test_without_a_radio_agents_are_served_and_the_status_names_them(
    broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    async with receiver(broker) as far_end:
        with gateway(broker, phd_listen=ANYWHERE) as process:
            port = await port_of(process)
            meter = virtual("glucose")
            running = asyncio.create_task(meter.run("127.0.0.1", port, 1000, 0.2))
            await far_end.until(last("agents", lambda present: present == [meter.uid]))
            assert far_end.status[-1]["listening"] == f"127.0.0.1:{port}"
            assert far_end.status[-1]["radio"] is False
            await far_end.until(lambda end: len(end.stored) >= 2)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await far_end.until(last("agents", lambda present: not present))
            assert await process.interrupt() == 0


async def test_a_waveform_is_not_kept_and_that_is_said_in_log_and_status(
    broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    about = Information.of_agent(bytes.fromhex("1122334455667788"), EXTENDED)
    told = EventReport(7, 0, Noti.CONFIG, write_config(OXIMETER.report), confirmed=True)
    async with receiver(broker) as far_end:
        with gateway(broker, phd_listen=ANYWHERE) as process:
            _, writer = await asyncio.open_connection("127.0.0.1", await port_of(process))
            for sent in (Aarq.of(about), told, pleth_report(SATURATION, WAVE), pleth_report(WAVE)):
                writer.write(apdu.encode(sent))
            await until_logged(process, "waveforms are not kept")
            writer.close()
            await until_logged(process, "waveforms were not kept")
            await far_end.until(last("waveforms", lambda count: count == 2))
            await far_end.until(lambda end: len(end.stored) == 1)
            (count,) = (line["count"] for line in process.log if line["event"] == "waveforms were not kept")
            assert count == 2
            assert [one.values[0] for one in far_end.stored.values()] == [97.0]


async def test_the_roster_names_agents_beside_bluetooth_devices(
    air: Air, broker: Broker, gateway: StartGateway
) -> None:
    cuff = BloodPressureCuff(air, address="F0:00:00:00:00:01", serial="BP-1")
    pressure = Measurement(kind=BLOOD_PRESSURE, values=(128.0, 79.0, 95.0, 66.0), unit="mm[Hg]", taken_at=NOW)
    async with cuff:
        with gateway(broker, air, phd_listen=ANYWHERE, drain_s=0.1) as process:
            scale = virtual()
            port = await port_of(process)
            await asyncio.gather(cuff.measure(pressure), report(scale, port, 2))
            assert await process.interrupt() == 0
            found = {sheet["device"]: sheet for sheet in await roster(process.outbox)}
    assert set(found) == {cuff.device, scale.uid}
    sheet = found[scale.uid]
    assert (sheet["manufacturer"], sheet["model"]) == ("Suifang", "virtual weight")
    assert (sheet["address"], sheet["services"], sheet["outcome"]) == ("tcp:127.0.0.1", ["11073-10415"], "released")
    assert abs(datetime.fromisoformat(sheet["seen_at"]) - datetime.now(UTC)) < timedelta(minutes=2)


async def test_a_gateway_killed_and_started_again_takes_a_known_configuration_without_asking(
    broker: Broker, gateway: StartGateway
) -> None:
    scale = virtual(extended=True)
    with gateway(broker, phd_listen=ANYWHERE) as process:
        port = await port_of(process)
        assert await answer_to(scale, port) == AssociateResult.ACCEPTED_UNKNOWN_CONFIG
        await report(scale, port)
        process.kill()
    with gateway(broker, phd_listen=ANYWHERE, drain_s=0.1) as process:
        port = await port_of(process, turn=2)
        assert await answer_to(scale, port) == AssociateResult.ACCEPTED
        assert await answer_to(virtual("glucose"), port) == AssociateResult.ACCEPTED_UNKNOWN_CONFIG
        before = scale.confirmed
        await report(scale, port)
        assert scale.confirmed == before + 1
        assert await process.interrupt() == 0


async def test_a_damaged_configuration_is_forgotten_and_the_agent_is_asked_again(
    broker: Broker, gateway: StartGateway
) -> None:
    scale = virtual(extended=True)
    with gateway(broker, phd_listen=ANYWHERE) as process:
        await report(scale, await port_of(process))
        process.kill()
    database = sqlite3.connect(process.outbox)
    database.execute("UPDATE configuration SET report = CAST(substr(report, 1, length(report) - 1) || x'2a' AS BLOB)")
    database.commit()
    database.close()
    with gateway(broker, phd_listen=ANYWHERE, drain_s=0.1) as process:
        port = await port_of(process, turn=2)
        assert await answer_to(scale, port) == AssociateResult.ACCEPTED_UNKNOWN_CONFIG
        await report(scale, port)
        assert await answer_to(scale, port) == AssociateResult.ACCEPTED
        assert await process.interrupt() == 0


async def test_an_agent_whose_frame_made_no_sense_is_asked_for_its_configuration_again(
    broker: Broker, gateway: StartGateway
) -> None:
    class Confused(agents.Device):
        def measure(self) -> None:
            self._do(self.agent.report(Noti.SCAN_REPORT_FIXED, b"\x00", self._now()))

    confused = Confused("weight", 1, Ledger(), extended=True, clock=agents.true_time)
    with gateway(broker, phd_listen=ANYWHERE, drain_s=0.1) as process:
        port = await port_of(process)
        await report(virtual(extended=True), port)
        assert await answer_to(confused, port) == AssociateResult.ACCEPTED
        await report(confused, port)
        assert confused.refused == 1
        assert await answer_to(confused, port) == AssociateResult.ACCEPTED_UNKNOWN_CONFIG
        assert await process.interrupt() == 0


async def test_a_killed_gateways_agents_are_shown_as_lost(broker: Broker, gateway: StartGateway) -> None:
    scale = virtual()
    with gateway(broker, phd_listen=ANYWHERE) as process:
        running = asyncio.create_task(scale.run("127.0.0.1", await port_of(process), 1000, 0.1))
        async with asyncio.timeout(30):
            await scale.until(lambda: scale.confirmed >= 1)
        assert [sheet["outcome"] for sheet in await roster(process.outbox)] == ["associated"]
        process.kill()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    with gateway(broker, phd_listen=ANYWHERE, drain_s=0.1) as process:
        await port_of(process, turn=2)
        assert [sheet["outcome"] for sheet in await roster(process.outbox)] == ["link-lost"]
        assert await process.interrupt() == 0


async def test_a_radio_that_cannot_be_set_up_does_not_end_the_agents(broker: Broker, gateway: StartGateway) -> None:
    with gateway(broker, phd_listen=ANYWHERE, bleak_backend="nowhere:nothing", drain_s=0.1) as process:
        port = await port_of(process)
        await until_logged(process, "a part failed")
        await report(virtual(), port)
        assert {line["part"] for line in process.log if line["event"] == "a part failed"} == {"radio"}
        assert await process.interrupt() == 0


async def test_a_radio_that_goes_away_takes_no_agent_along(broker: Broker, gateway: StartGateway) -> None:
    async with Air() as passing:
        with gateway(broker, passing, phd_listen=ANYWHERE, drain_s=0.1, scan_s=1) as process:
            port = await port_of(process)
            scale = virtual()
            running = asyncio.create_task(scale.run("127.0.0.1", port, 1000, 1.1))
            async with asyncio.timeout(80):
                await scale.until(lambda: scale.confirmed >= 1)
                await passing.__aexit__(None, None, None)
                await until_logged(process, "no radio")
                before = scale.confirmed
                await scale.until(lambda: scale.confirmed > before + 6)
            assert not scale.closed.is_set()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert await process.interrupt() == 0
            # tried again every five seconds, and said once
            assert len({line["why"] for line in process.log if line["event"] == "no radio"}) == sum(
                line["event"] == "no radio" for line in process.log
            )


async def test_a_port_that_is_taken_does_not_end_the_radio_and_is_tried_again(
    air: Air, broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    cuff = BloodPressureCuff(air, address="F0:00:00:00:00:01", serial="BP-1")
    pressure = Measurement(kind=BLOOD_PRESSURE, values=(128.0, 79.0, 95.0, 66.0), unit="mm[Hg]", taken_at=NOW)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with receiver(broker) as far_end, cuff:
            with gateway(broker, air, phd_listen=f"127.0.0.1:{port}") as process:
                await until_logged(process, "a part failed")
                async with asyncio.timeout(30):
                    await cuff.measure(pressure)
                await far_end.until(lambda end: len(end.stored) == 1)
                taken.close()
                assert await port_of(process) == port
                await report(virtual(), port)
                await far_end.until(lambda end: len(end.stored) == 2)
                assert await process.interrupt() == 0


async def test_a_broken_disk_ends_both_parts_and_confirms_nothing(
    air: Air, broker: Broker, gateway: StartGateway
) -> None:
    with gateway(broker, air, phd_listen=ANYWHERE) as process:
        port = await port_of(process)
        database = connect(process.outbox)
        database.execute("DROP TABLE observation")
        database.close()
        scale = virtual()
        async with asyncio.timeout(30):
            await scale.run("127.0.0.1", port, 1, 0)
        assert scale.confirmed == 0
        assert await asyncio.to_thread(process.process.wait, 20) == 1


async def test_alone_a_port_that_is_taken_ends_the_command_and_is_said(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUIFANG_GATEWAY_SITE", "dongyuan")
    monkeypatch.setenv("SUIFANG_GATEWAY_SOURCE", "gw-1")
    monkeypatch.setenv("SUIFANG_GATEWAY_OUTBOX", str(tmp_path / "outbox.sqlite"))
    monkeypatch.setenv("SUIFANG_GATEWAY_BROKER_PORT", str(broker.credentials("gw-1").port))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = [sys.executable, "-m", "gateway", "phd", "--listen", address]
        done = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"cannot listen on {address}" in done.stderr
    assert "Traceback" not in done.stderr

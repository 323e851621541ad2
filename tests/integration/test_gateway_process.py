"""The gateway as a process: simulated devices over HCI on TCP, a real broker, a far end that answers with receipts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from gateway.outbox import Outbox
from simulators.embedded.broker import Broker
from simulators.peripheral import Measurement
from simulators.peripheral_indicating import BloodPressureCuff
from simulators.radio import Air
from tests.fix_bluetooth import OpenReceiver, Receiver, StartGateway, kept_in

NOW = datetime.now(UTC).replace(microsecond=0)


def pressures(count: int) -> list[Measurement]:
    return [
        Measurement(
            kind=BLOOD_PRESSURE,
            values=(110.0 + n, 75.0, 90.0, 64.0),
            unit="mm[Hg]",
            taken_at=NOW - timedelta(minutes=count - n),
        )
        for n in range(count)
    ]


def reading(number: int) -> Observation:
    return Observation(
        device="eui64:00091f0000000001",
        kind=BLOOD_PRESSURE,
        values=(120.0, 80.0, 93.0, 60.0),
        unit="mm[Hg]",
        measured_at=NOW - timedelta(minutes=number),
        device_at=(NOW - timedelta(minutes=number)).replace(tzinfo=None),
    )


def filled(path: Path, count: int) -> None:
    with Outbox(path) as outbox:
        outbox.put([reading(n) for n in range(count)])


def is_drained(path: Path) -> bool:
    with Outbox(path) as outbox:
        return outbox.figures().backlog == 0


async def said(command: str, outbox: Path) -> dict[str, Any]:
    """What `suifang-gateway status` or `devices` prints."""
    arguments = [sys.executable, "-m", "gateway", command, "--outbox", str(outbox)]
    done = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, check=True)
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


def cuff_on(air: Air) -> BloodPressureCuff:
    return BloodPressureCuff(air, address="F0:00:00:00:00:01", serial="BP-1")


async def test_a_reading_goes_from_the_cuff_to_the_far_end_and_is_then_forgotten(
    air: Air, broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    async with receiver(broker) as far_end, cuff_on(air) as cuff:
        with gateway(broker, air, simulated=True) as process:
            async with asyncio.timeout(30):
                await cuff.measure(*pressures(3))
            await far_end.until(lambda end: len(end.stored) == 3)
            assert await process.interrupt() == 0
            assert is_drained(process.outbox)
            assert {one.facts for one in far_end.stored.values()} == {("simulated",)}
            assert {one.device for one in far_end.stored.values()} == {cuff.device}


async def test_a_gateway_killed_with_a_full_outbox_loses_nothing_and_repeats_nothing(
    air: Air, broker: Broker, receiver: OpenReceiver, gateway: StartGateway, tmp_path: Path
) -> None:
    filled(tmp_path / "gateway.sqlite", 700)
    async with receiver(broker) as far_end, cuff_on(air) as cuff:
        far_end.answers = False
        cuff.keep(*pressures(4))
        offer = asyncio.create_task(cuff.offer())
        with gateway(broker, air, in_flight=3) as process:
            await far_end.until(lambda end: len(end.messages) >= 3)
            async with asyncio.timeout(30):
                await offer
            process.kill()
        far_end.answers = True
        with gateway(broker, air) as process:
            await far_end.until(lambda end: len(end.stored) == 704)
            assert await process.interrupt() == 0
            assert is_drained(process.outbox)
        assert all(len(octets) == 1 for octets in far_end.payloads.values())
        assert sorted(one.values[0] or 0 for one in far_end.stored.values() if one.device == cuff.device) == [
            110.0,
            111.0,
            112.0,
            113.0,
        ]


async def test_a_gateway_killed_in_the_middle_of_a_device_takes_it_up_again(
    air: Air, broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    async with receiver(broker) as far_end, cuff_on(air) as cuff:
        cuff.keep(*pressures(30))
        offer = asyncio.create_task(cuff.offer())
        with gateway(broker, air) as process:
            async with asyncio.timeout(30):
                await cuff.until_delivered(5)
            process.kill()
        with gateway(broker, air):
            async with asyncio.timeout(30):
                await offer
            await far_end.until(lambda end: len(end.stored) == 30)
        assert sorted(one.values[0] or 0 for one in far_end.stored.values()) == [110.0 + n for n in range(30)]


async def test_while_the_broker_is_away_readings_wait_on_disk_and_leave_when_it_is_back(
    air: Air, broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    broker.credentials("gw-1")
    broker.kill()
    async with cuff_on(air) as cuff:
        with gateway(broker, air) as process:
            async with asyncio.timeout(30):
                await cuff.measure(*pressures(5))
            broker.start()
            async with receiver(broker) as far_end:
                await far_end.until(lambda end: len(end.stored) == 5)
                assert await process.interrupt() == 0
            assert is_drained(process.outbox)
            assert any(line["event"] == "no broker" for line in process.log)


async def test_lost_receipts_lead_to_the_same_message_again_until_one_arrives(
    broker: Broker, receiver: OpenReceiver, gateway: StartGateway, tmp_path: Path
) -> None:
    filled(tmp_path / "gateway.sqlite", 5)
    async with receiver(broker) as far_end:
        far_end.answers = False
        with gateway(broker, resend_s=0.3) as process:
            await far_end.until(lambda end: len(end.messages) >= 3)
            far_end.answers = True
            await far_end.until(lambda end: len(end.messages) >= 4)
            assert await process.interrupt() == 0
            assert is_drained(process.outbox)
    assert len(far_end.payloads) == 1
    assert [len(octets) for octets in far_end.payloads.values()] == [1]
    assert len(far_end.stored) == 5


async def test_a_refused_reading_is_shown_to_the_operator_and_not_sent_for_ever(
    broker: Broker, receiver: OpenReceiver, gateway: StartGateway, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.sqlite"
    filled(path, 3)
    async with receiver(broker) as far_end:
        far_end.refuses = lambda one: one.measured_at == reading(1).measured_at
        with gateway(broker) as process:
            await far_end.until(lambda end: len(end.stored) == 2)
            assert await process.interrupt() == 0
    status = await said("status", path)
    assert (status["backlog"], status["refused"]) == (0, 1)
    assert [(one["position"], one["field"], one["reason"]) for one in status["last_refusals"]] == [
        (1, "measured_at", "future-time")
    ]


async def test_the_status_topic_tells_the_backlog_and_a_killed_gateway_is_offline(
    broker: Broker, receiver: OpenReceiver, gateway: StartGateway, tmp_path: Path
) -> None:
    filled(tmp_path / "gateway.sqlite", 120)

    def last(end: Receiver) -> dict[str, object]:
        return end.status[-1] if end.status else {}

    async with receiver(broker) as far_end:
        far_end.answers = False
        with gateway(broker, status_s=0.2) as process:
            await far_end.until(lambda end: last(end).get("in_flight") == 2)
            online = last(far_end)
            assert (online["state"], online["backlog"], online["radio"]) == ("online", 120, False)
            process.kill()
            await far_end.until(lambda end: last(end).get("state") == "offline")


async def test_roster_and_status_name_each_device_with_its_battery(
    air: Air, broker: Broker, receiver: OpenReceiver, gateway: StartGateway
) -> None:
    cuff = BloodPressureCuff(
        air, address="F0:00:00:00:00:01", serial="BP-1", battery=41, clock_offset=timedelta(minutes=-90)
    )
    async with receiver(broker) as far_end, cuff:
        with gateway(broker, air) as process:
            async with asyncio.timeout(30):
                await cuff.measure(*pressures(1))
            told = [{"device": cuff.device, "battery": 41}]
            await far_end.until(lambda end: bool(end.status) and end.status[-1].get("devices") == told)
            assert await process.interrupt() == 0
            outbox = process.outbox
    sheet = await said("devices", outbox)
    assert (sheet["device"], sheet["serial"], sheet["battery"]) == (cuff.device, "BP-1", 41)
    assert abs(sheet["clock_offset_s"] + 5400) < 3
    assert sheet["outcome"] == "collected"


async def test_sigint_while_a_device_talks_keeps_what_was_said(air: Air, broker: Broker, gateway: StartGateway) -> None:
    broker.credentials("gw-1")
    broker.kill()
    async with cuff_on(air) as cuff:
        cuff.keep(*pressures(20))
        offer = asyncio.create_task(cuff.offer())
        with gateway(broker, air) as process:
            async with asyncio.timeout(30):
                await cuff.until_delivered(1)
            assert await process.interrupt() == 0
        offer.cancel()
        with Outbox(process.outbox) as outbox:
            assert len(kept_in(outbox)) >= len(cuff.delivered) > 0


def test_a_misspelt_setting_is_named_and_nothing_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "run"],
        env={"SUIFANG_GATEWAY_SITE": "s", "SUIFANG_GATEWAY_SOURCE": "g", "SUIFANG_GATEWAY_OUTBOKS": "x", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "SUIFANG_GATEWAY_OUTBOKS" in done.stderr

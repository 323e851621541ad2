"""Our manager and our agents against the octets of a stack that is not ours, over real TCP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.outbox import Outbox
from simulators import agent as agents
from simulators.agent_kinds import KINDS
from simulators.truth import Ledger
from tests.fix_bluetooth import kept_in
from tests.foreign_20601 import RLRE, RLRQ, SAMPLES, Line, Sample, aare, aarq, attributes, hex_, presented, same, stamp
from tests.integration.test_phd_listener import listening

ZONE = ZoneInfo("Asia/Shanghai")
GET_ALL = "e700 000e 000c 0000 0103 0006 0000 0000 0000"


def confirmation(report: str) -> str:
    octets = hex_(report).hex()
    return presented(octets[12:16], "0201", f"{octets[24:40]} 0000")


async def measure(line: Line, sample: Sample, wall: datetime, times: int) -> None:
    """As the sample agent does: associate, be asked, report, release."""
    await line.say(aarq(sample.config))
    accepted = await line.hear()
    assert accepted[:16] == "e300002c00005079"
    asked = await line.hear()
    assert asked[16:] == hex_(GET_ALL).hex()[16:]
    await line.say(attributes(asked[12:16], sample.config))
    for number in range(times):
        at = stamp(wall + timedelta(seconds=number))
        report = sample.report.format(id=f"{number:04x}", at=at)
        await line.say(report)
        if sample.confirmed:
            assert same(await line.hear(), confirmation(report))
    await line.say(RLRQ)
    assert same(await line.hear(), RLRE)


@pytest.mark.parametrize("chunk", [0, 1, 50])
@pytest.mark.parametrize("name", SAMPLES)
async def test_a_foreign_agent_is_understood_and_confirmed(name: str, chunk: int, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    wall = datetime.now(ZONE).replace(tzinfo=None, microsecond=0)
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (_, port):
            line = await Line.to(port, chunk)
            await measure(line, sample, wall, 2)
            await line.close()
        found = kept_in(outbox)
        assert outbox.figures().oddities == (2 if sample.beside else 0)
    assert [(one.kind, one.values, one.facts) for one in found] == [(sample.kind, sample.values, sample.facts)] * 2
    if sample.stamped:
        half = timedelta(milliseconds=500)
        assert [one.device_at for one in found] == [wall + half, wall + half + timedelta(seconds=1)]
        assert found[0].measured_at == (wall + half).replace(tzinfo=ZONE).astimezone(UTC)


async def test_everything_in_one_segment_is_as_good_as_one_by_one(tmp_path: Path) -> None:
    sample, wall = SAMPLES["cuff"], datetime.now(ZONE).replace(tzinfo=None, microsecond=0)
    reports = [sample.report.format(id=f"{n:04x}", at=stamp(wall + timedelta(seconds=n))) for n in range(3)]
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (_, port):
            line = await Line.to(port)
            await line.say(aarq(sample.config), *reports, RLRQ)
            heard = [await line.hear() for _ in range(5)]
            await line.close()
        assert heard[0][:4] == "e300"
        assert heard[1:4] == [hex_(confirmation(one)).hex() for one in reports]
        assert same(heard[4], RLRE)
        assert len(kept_in(outbox)) == 3


async def test_an_agent_comes_again_over_the_same_connection(tmp_path: Path) -> None:
    sample, wall = SAMPLES["scale"], datetime.now(ZONE).replace(tzinfo=None, microsecond=0)
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (_, port):
            line = await Line.to(port)
            for hour in range(2):
                await measure(line, sample, wall - timedelta(hours=hour), 1)
            await line.close()
        assert len(kept_in(outbox)) == 2


async def test_an_agent_that_asks_again_within_an_association_is_aborted_and_then_heard(tmp_path: Path) -> None:
    sample, wall = SAMPLES["cuff"], datetime.now(ZONE).replace(tzinfo=None, microsecond=0)
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (_, port):
            line = await Line.to(port)
            await line.say(aarq(sample.config), aarq(sample.config), aarq(sample.config))
            assert [(await line.hear())[:4] for _ in range(3)] == ["e300", "e600", "e300"]
            report = sample.report.format(id="0000", at=stamp(wall))
            await line.say(report)
            assert same(await line.hear(), confirmation(report))
            await line.close()
        assert len(kept_in(outbox)) == 1


# -- our agents against its manager


class Foreign:
    """Its manager: asks for all attributes as soon as it knows the configuration, so that, of a configuration that is
    told, the question comes before the answer."""

    def __init__(self, known: bool) -> None:
        self.known = known
        self.told: list[str] = []
        self.reports: list[str] = []
        self.about: list[str] = []
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        while octets := await line.hear():
            tag, operation, invoke_id = octets[:4], octets[16:20], octets[12:16]
            if tag == "e200":
                await line.say(aare(0 if self.known else 3))
                if self.known:
                    await line.say(GET_ALL)
            elif tag == "e700" and operation == "0101" and octets[36:40] == "0d1c":
                self.told.append(octets)
                await line.say(GET_ALL)
                await line.say(presented(invoke_id, "0201", f"{octets[24:40]} 0004 {octets[44:48]} 0000"))
            elif tag == "e700" and operation == "0101":
                self.reports.append(octets)
                await line.say(presented(invoke_id, "0201", f"{octets[24:40]} 0000"))
            elif tag == "e700":
                self.about.append(octets)
            elif tag == "e400":
                await line.say(RLRE)
        await line.close()
        self.ended.set()


@pytest.mark.parametrize("known", [True, False], ids=["known", "told"])
@pytest.mark.parametrize("name", sorted(KINDS))
async def test_a_foreign_manager_understands_our_agents(name: str, known: bool) -> None:
    foreign = Foreign(known)
    server = await asyncio.start_server(foreign.serve, "127.0.0.1", 0)
    async with server:
        right, found = await agents.run(
            [name], host="127.0.0.1", port=server.sockets[0].getsockname()[1], seed=1, count=2, every_s=0,
            ledger=Ledger(), extended=not known,
        )  # fmt: skip
        await foreign.ended.wait()
    assert right, found
    assert len(foreign.told) == (0 if known else 1)
    (about,) = foreign.about
    # an answer to its question, of the device itself, with its configuration
    assert (about[12:20], about[24:28]) == ("00000203", "0000")
    config = "4000" if not known else f"{KINDS[name].configuration.id:04x}"
    assert f"0a440002{config}" in about
    # numbered from 0 in this association, on the agent's own initiative
    assert [one[44:52] for one in foreign.reports] == ["f0000000", "f0000001"]
    for one in foreign.reports:
        octets = bytes.fromhex(one)
        sizes = (len(octets) - 4, len(octets) - 6, len(octets) - 12, len(octets) - 22)
        assert tuple(int.from_bytes(octets[at : at + 2]) for at in (2, 4, 10, 20)) == sizes


async def test_a_foreign_manager_that_releases_first_is_answered() -> None:
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        assert (await line.hear())[:4] == "e200"
        await line.say(aare(0), RLRQ)
        heard.extend([await line.hear(), await line.hear()])
        await line.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        right, _ = await agents.run(
            ["weight"], host="127.0.0.1", port=server.sockets[0].getsockname()[1], seed=1, count=1, every_s=0,
            ledger=Ledger(),
        )  # fmt: skip
    assert not right
    assert heard[0][16:20] == "0101"
    assert same(heard[1], RLRE)


# -- public sessions: request, configuration and report of three devices, as they were recorded


def recorded(*names: str) -> list[str]:
    path = Path(__file__).parents[1] / "conformance" / "apdus_20601.jsonl"
    rows = {row["id"]: row["hex"] for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    return [rows[name] for name in names]


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        pytest.param(
            ("H211", "H221", "H241"),
            [(188736, (62.4, None, None), None), (188748, (25.6, *[None] * 9), None)],
            id="a scale with body fat",
        ),
        pytest.param(
            ("blood_pressure/aarq", "blood_pressure/roiv_mdc_noti_config",
             "blood_pressure/roiv_mds_note_scan_report_mp_fixed"),
            [(150020, (113.0, 71.0, 85.0, 71.0), 0x42)],
            id="a cuff of several persons",
        ),
        pytest.param(
            ("weighing_scale/association_request", "weighing_scale/roiv_mdc_noti_config",
             "weighing_scale/data_report"),
            [(188736, (79.6, 27.2, 1.71), 0x34)],
            id="a scale of several persons",
        ),
    ],
)  # fmt: skip
async def test_a_recorded_device_is_asked_for_its_configuration_once(
    session: tuple[str, str, str], expected: list[tuple[int, tuple[float | None, ...], int | None]], tmp_path: Path
) -> None:
    request, told, report = recorded(*session)
    with Outbox(tmp_path / "outbox.sqlite") as outbox:
        async with listening(outbox) as (_, port):
            for result in ("0003", "0000"):
                line = await Line.to(port)
                await line.say(request)
                assert (await line.hear())[8:12] == result
                if result == "0003":
                    await line.say(told)
                    accepted = await line.hear()
                    assert accepted.endswith(f"0d1c0004{told[44:48]}0000")
                asked = await line.hear()
                assert asked[16:28] == hex_(GET_ALL).hex()[16:28]
                # a device whose clock cannot be read
                await line.say(presented(asked[12:16], "0203", "0000 0000 0000"))
                await line.say(report)
                assert same(await line.hear(), confirmation(report))
                await line.close()
        found = [(one.kind, one.values, one.slot) for one in kept_in(outbox)]
    assert found[: len(expected)] == expected
    assert found == found[: len(found) // 2] * 2

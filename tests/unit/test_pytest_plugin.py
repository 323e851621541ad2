"""The plugin for developers' own tests: light to load, and its devices really speak."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOMEBODYS_TEST = """
import asyncio

from bleak import BleakClient, BleakScanner

from simulators.bumble_backend import backends

CUFF = "00002a35-0000-1000-8000-00805f9b34fb"


async def test_my_gateway_hears_the_cuff(suifang_air, suifang_cuff):
    heard = []
    async with backends(suifang_air.url, identity="mine") as (scanner, client):
        measuring = asyncio.create_task(suifang_cuff.measure(systolic=186, diastolic=112, pulse=94))
        found = await BleakScanner.find_device_by_address(suifang_cuff.address, timeout=10, backend=scanner)
        async with BleakClient(found, backend=client) as central:
            await central.start_notify(CUFF, lambda _, data: heard.append(bytes(data)))
            kept = await asyncio.wait_for(measuring, 10)
    assert (heard[0][1], heard[0][3]) == (186, 112)  # SFLOAT: the mantissa's low octet, exponent 0
    assert suifang_cuff.peripheral.delivered == [kept]


async def test_a_meter_an_oximeter_and_a_scale_are_there(suifang_meter, suifang_oximeter, suifang_scale):
    assert len({d.device for d in (suifang_meter, suifang_oximeter, suifang_scale)}) == 3
    assert not suifang_meter.peripheral.kept


async def test_a_scale_that_advertises_is_heard_and_a_sensor_is_found(
    suifang_air, suifang_sensor, suifang_advertising_scale
):
    async with backends(suifang_air.url, identity="mine") as (scanner, _):
        weighing = asyncio.create_task(suifang_advertising_scale.weigh(71.35))
        sensing = asyncio.create_task(suifang_sensor.measure(104, 98))
        heard = {}
        async with BleakScanner(backend=scanner) as scan:
            async for device, data in scan.advertisement_data():
                heard[device.address] = data
                if {suifang_sensor.address, suifang_advertising_scale.address} <= set(heard):
                    break
        sensing.cancel()
        shown = heard[suifang_advertising_scale.address].service_data
        assert shown["0000181d-0000-1000-8000-00805f9b34fb"] in (await weighing).frames
        assert [one.record_no for one in suifang_sensor.peripheral.kept] == [5, 10]
"""


def _python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=cwd)


def test_loading_the_plugin_loads_nothing_heavy() -> None:
    program = (
        "import sys, simulators.pytest_plugin\n"
        "heavy = {'bumble', 'bleak', 'psycopg', 'aiomqtt', 'paho', 'fastapi', 'rich', 'typer', 'msgspec'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = _python("-c", program, cwd=ROOT)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


def test_somebody_elses_test_reads_a_virtual_cuff(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(SOMEBODYS_TEST, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nasyncio_mode = auto\npythonpath = {ROOT}\n", encoding="utf-8")
    # by name in place of the entry point: the same whether this checkout is installed or only on the path
    run = ("import sys", f"sys.path.insert(0, {str(ROOT)!r})", "import pytest", "sys.exit(pytest.main(sys.argv[1:]))")
    plugin = ("-p", "no:suifang", "-p", "simulators.pytest_plugin", "-p", "no:cacheprovider")
    done = _python("-c", "; ".join(run), *plugin, "-q", "test_mine.py", cwd=tmp_path)
    assert "3 passed" in done.stdout, done.stdout + done.stderr

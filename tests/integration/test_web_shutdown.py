"""The desk as a process with a page open: a signal ends the stream, and the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from tests.fix_desk import PASSWORD, Station, desk_settings, token_in


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_an_open_stream_ends_with_the_desk_and_not_the_other_way_round(
    migrated_database_url: str, tmp_path: Path, signum: signal.Signals
) -> None:
    settings = desk_settings(migrated_database_url)
    await Station(settings).nurse("wang", "王护士")
    port = free_port()
    secrets = {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "IDENTITY_KEY": settings.identity_key.get_secret_value(),
        "BLIND_INDEX_KEY": settings.blind_index_key.get_secret_value(),
        "EDITION": "2011",
        "SECURE_COOKIES": "false",
        "PORT": str(port),
    }
    environment = os.environ | {f"SUIFANG_MONITOR_{name}": value for name, value in secrets.items()}
    log = tmp_path / "web.log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "monitor", "web", env=environment, stderr=errors
        )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            form = None
            while form is None:
                assert process.returncode is None, log.read_text()
                try:
                    form = await client.get("/login")
                except httpx.ConnectError:
                    await asyncio.sleep(0.1)
            fields = {"login": "wang", "password": PASSWORD, "csrf": token_in(form.text)}
            assert (await client.post("/login", data=fields)).status_code == 303
            async with client.stream("GET", "/events") as stream:
                parts = stream.aiter_text()
                assert await anext(parts)
                process.send_signal(signum)
                # the stream's own end, not a connection cut by a time limit of the server
                rest = "".join([part async for part in parts])
        assert "event: beat" in rest or rest == ""
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert "timeout" not in log.read_text().lower(), log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

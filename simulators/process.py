"""One service as a process of its own: started, watched, stopped in good order, killed and started again.

Only what was started here is ever stopped here. Output goes to a file of the run's folder. A process dies with the
simulator even when that is killed outright (Linux: PR_SET_PDEATHSIG), so that no run leaves services behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

# 1 is PR_SET_PDEATHSIG (prctl(2)); it survives exec
_LEASH: Final = """\
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
except (OSError, AttributeError):
    pass
os.execv(sys.argv[1], sys.argv[1:])
"""

Ready = Callable[[int], Awaitable[bool]]


class NotReady(RuntimeError):
    """A service ended, or did not become ready in time; the message holds the end of its log."""


class Process:
    """A service. args: after the interpreter, as in `-m ingest run`; environment: added to this process's own.

    ready: called until it says True, with the length of the log before this start; it may raise OSError while the
    service is not there yet.
    """

    def __init__(
        self,
        name: str,
        args: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        ready: Ready | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self._args = tuple(args)
        self._environment = dict(environment)
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """NotReady: it is not running."""
        if self._process is None or self._process.returncode is not None:
            raise NotReady(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Started and not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs or was never started."""
        return None if self._process is None else self._process.returncode

    async def start(self, *, timeout_s: float = 40) -> None:
        """Start and wait until it is ready. Errors: `NotReady`."""
        if self.running:
            return
        self.starts += 1
        since = self.log.stat().st_size if self.log.exists() else 0
        # started in a session of its own: Ctrl-C reaches the simulator, which stops its services in order
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _LEASH,
                sys.executable,
                *self._args,
                env={**os.environ, **self._environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._ready is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._until_ready(self._ready, since)
            except TimeoutError:
                await self.kill()
                raise NotReady(f"{self.name} is not ready after {timeout_s:.0f} s: {self.tail()}") from None

    async def stop(self, *, timeout_s: float = 10) -> None:
        """SIGINT, which drains; SIGKILL after the time is up."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(timeout_s):
                await process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL: as a power cut would."""
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def restart(self) -> None:
        """Start again after a kill, or stop in good order first."""
        await self.stop()
        await self.start()

    def tail(self, lines: int = 12) -> str:
        """The end of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return " | ".join(text.strip().splitlines()[-lines:])

    async def _until_ready(self, ready: Ready, since: int) -> None:
        while True:
            if not self.running:
                raise NotReady(f"{self.name} ended with {self.returncode}: {self.tail()}")
            with contextlib.suppress(OSError):
                if await ready(since):
                    return
            await asyncio.sleep(0.05)


def said(log: Path, words: str) -> Ready:
    """Ready once `words` stand in what this start has logged."""

    def written(since: int) -> bytes:
        return log.read_bytes()[since:] if log.exists() else b""

    async def ready(since: int) -> bool:
        return words.encode() in await asyncio.to_thread(written, since)

    return ready


def answers(host: str, port: int, path: str) -> Ready:
    """Ready once an HTTP GET is answered with 200."""

    async def ready(_since: int) -> bool:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return b" 200 " in await reader.readline()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    return ready

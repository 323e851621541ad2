"""One run's folder: made, owned, and swept up later if the run was killed.

A folder's name carries its owner's process namespace, process id and start time (ids are reused). A server's process id
stands in `server.pid`; whoever comes next ends servers and removes folders whose owner is gone. Owners in another
namespace (a container that shares the cache) cannot be seen from here: their folders go when they are a week old.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from simulators.embedded.errors import NotStarted
from simulators.embedded.unprivileged import give, require_reachable

_PID_FILE = "server.pid"
_FOREIGN_FOR_S = 7 * 86400


def make(kind: str, cache: Path) -> Path:
    """A new folder below `cache/run` that the server's user owns; abandoned ones go first. kind: without hyphens."""
    runs = cache / "run"
    runs.mkdir(exist_ok=True)
    runs.chmod(0o755)
    _sweep(runs)
    owner = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}-{_namespace()}-{owner}-{_started(owner)}-", dir=runs))
    give(folder)
    require_reachable(folder)
    return folder


def remember(folder: Path, pid: int) -> None:
    """Note the server process that lives in `folder`, so that a later run can end it if this one is killed."""
    (folder / _PID_FILE).write_text(f"{pid} {_started(pid)}", encoding="ascii")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now.

    Below the range that outgoing connections take theirs from: a client that keeps trying a stopped server's port could
    otherwise be given that very port, connect to itself, and keep the server from coming back.
    """
    for port in random.sample(range(20000, 32768), 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise NotStarted("no TCP port between 20000 and 32767 is free")


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`, from /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if int(_stat(int(entry.name))[1]) == pid:
                    found.append(int(entry.name))
    return found


def wait_gone(pids: list[int], timeout_s: float = 10.0) -> bool:
    """Wait until none of `pids` runs (a dead one not yet reaped counts as gone); whether that came true."""
    deadline = time.monotonic() + timeout_s
    while any(_started(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _sweep(runs: Path) -> None:
    for folder in runs.iterdir():
        parts = folder.name.split("-")
        if len(parts) < 5 or not parts[2].isdigit():
            continue
        if parts[1] != _namespace():
            with suppress(OSError):
                if folder.stat().st_mtime < time.time() - _FOREIGN_FOR_S:
                    shutil.rmtree(folder, ignore_errors=True)
            continue
        if _started(int(parts[2])) == parts[3]:
            continue
        with suppress(OSError, ValueError):
            pid, began = (folder / _PID_FILE).read_text(encoding="ascii").split()
            if _started(int(pid)) == began:
                lost = [int(pid), *children(int(pid))]
                for each in lost:
                    with suppress(ProcessLookupError):
                        os.kill(each, signal.SIGKILL)
                wait_gone(lost)
        shutil.rmtree(folder, ignore_errors=True)


def _namespace() -> str:
    """The process namespace: within it a process id means one process."""
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name: state, parent, … OSError: no such process."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()


def _started(pid: int) -> str:
    """When the process began, in clock ticks since boot; empty if it does not run."""
    try:
        fields = _stat(pid)
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]

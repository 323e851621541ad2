"""One run's folder: made, owned, and swept up later if the run was killed.

A folder's name carries its owner's process namespace, process id and start time (ids are reused). A server's command
line is noted there before it is started, and names the folder, whose name nobody else ever has: whoever comes next ends
the process that runs that very command, and nothing else, and removes the folder, if the owner is gone. Owners in
another namespace (a container that shares the cache) cannot be seen from here: their folders go when they are a week
old.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from simulators.embedded.errors import NotStarted
from simulators.embedded.unprivileged import give, require_reachable

_COMMAND_FILE = "server.command"
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


def remember(folder: Path, command: Sequence[str | Path]) -> None:
    """Note the server that is about to live in `folder`, so that a later run can end it if this one is killed.

    command: as it is given to the system; it must name a path inside `folder`, or nothing is ever ended for it.
    """
    (folder / _COMMAND_FILE).write_bytes(_as_in_proc(command))


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
    return [each for each in _processes() if _parent(each) == pid]


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
        if _end_server(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _end_server(folder: Path) -> bool:
    """End what runs the command that `folder` remembers; whether nothing of it is left."""
    try:
        command = (folder / _COMMAND_FILE).read_bytes()
    except OSError:
        return True  # no server was started there
    if f"/{folder.name}/".encode() not in command:
        return True  # it could be anybody's
    for pid in _running(command):
        _end_family(pid, command)
    return not _running(command)


def _running(command: bytes) -> list[int]:
    """The processes that run exactly this command."""
    return [pid for pid in _processes() if _runs(pid, command)]


def _runs(pid: int, command: bytes) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == command
    except OSError:
        return False


def _end_family(pid: int, command: bytes) -> None:
    """SIGKILL to `pid`, if it still runs `command`, and to its children, and wait until they are gone.

    Each is held by a descriptor before it is looked at, so that no later process of the same id is hit.
    """
    with ExitStack() as held:
        family = {}
        for each in (pid, *children(pid)):
            with suppress(OSError):  # it ended meanwhile
                family[each] = os.pidfd_open(each)
                held.callback(os.close, family[each])
        if not _runs(pid, command):
            return
        lost = [each for each in family if each == pid or _parent(each) == pid]
        for each in lost:
            with suppress(OSError):  # it ended meanwhile, or belongs to another user
                signal.pidfd_send_signal(family[each], signal.SIGKILL)
        wait_gone(lost)


def _as_in_proc(command: Sequence[str | Path]) -> bytes:
    return b"".join(os.fsencode(part) + b"\0" for part in command)


def _namespace() -> str:
    """The process namespace: within it a process id means one process."""
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name: state, parent, … OSError: no such process."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        return int(_stat(pid)[1])
    except OSError:
        return None


def _started(pid: int) -> str:
    """When the process began, in clock ticks since boot; empty if it does not run."""
    try:
        fields = _stat(pid)
    except OSError:
        return ""
    return "" if fields[0] in {"Z", "X"} else fields[19]

"""Servers never run as root: who they run as then, and which folders such a user can reach."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from simulators.embedded.errors import FolderClosed

Command = Sequence[str | Path]


class Account(NamedTuple):
    """Whom the servers run as: `uid`, `gid`, and whether that differs from the caller."""

    uid: int
    gid: int
    changes: bool


def account() -> Account:
    """As root `postgres` if this machine has it, else `nobody`; otherwise the caller."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), changes=False)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, changes=True)
    return Account(65534, 65534, changes=True)


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    # a locale that every machine has; HOME because programs look for settings there
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/", "LC_ALL": "C", **(extra or {})}


def run(command: Command, *, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end as `account()`, from `/`; never raises for its exit status."""
    who = account()
    return subprocess.run(
        command,
        cwd="/",
        env=_environment(None),
        check=False,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        timeout=timeout_s,
        user=who.uid if who.changes else None,
        group=who.gid if who.changes else None,
        extra_groups=[] if who.changes else None,
    )


def start(command: Command, *, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `command` as `account()` in a session of its own, so that Ctrl-C reaches the caller alone."""
    who = account()
    return subprocess.Popen(
        command,
        cwd="/",
        env=_environment(None),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        user=who.uid if who.changes else None,
        group=who.gid if who.changes else None,
        extra_groups=[] if who.changes else None,
    )


def give(path: Path, mode: int = 0o700) -> None:
    """Make `path` the property of `account()` with `mode`."""
    who = account()
    if who.changes:
        os.chown(path, who.uid, who.gid)
    path.chmod(mode)


def require_reachable(path: Path) -> None:
    """FolderClosed: `account()` may not pass one of the folders above `path` (a checkout under /root, say)."""
    who = account()
    if not who.changes:
        return
    for folder in (*reversed(path.resolve().parents), path.resolve()):
        facts = folder.stat()
        bit = 0o100 if facts.st_uid == who.uid else 0o010 if facts.st_gid == who.gid else 0o001
        if not facts.st_mode & bit:
            name = pwd.getpwuid(who.uid).pw_name
            raise FolderClosed(
                f"{folder} is closed to {name}, whom the server runs as: name an open folder in SUIFANG_CACHE"
            )

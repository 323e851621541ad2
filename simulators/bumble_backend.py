"""bleak on Bumble: the same gateway code, with a Bluetooth stack inside the process instead of BlueZ.

    async with backends("tcp-client:127.0.0.1:40123", identity="gateway-1") as (scanner, client):
        BleakScanner(backend=scanner); BleakClient(device, backend=client)

Loaded by the gateway through its setting BLEAK_BACKEND="simulators.bumble_backend:backends"; the gateway does not know
Bumble. Pairing is LE Secure Connections, just works, on demand (a refused access pairs and tries again, as BlueZ
does); bonds live in the file `bonds`. An indication is confirmed after the subscriber has returned; one that raises
leaves it unconfirmed, so that the device keeps its record.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bleak.uuids import normalize_uuid_str
from bumble import att, core, hci
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration, Peer
from bumble.keys import JsonKeyStore
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport import open_transport

_log = logging.getLogger(__name__)

_NEEDS_PAIRING: Final = {
    att.ATT_INSUFFICIENT_AUTHENTICATION_ERROR,
    att.ATT_INSUFFICIENT_ENCRYPTION_ERROR,
}
_CCCD: Final = core.UUID.from_16_bits(0x2902)


class Backends(NamedTuple):
    """What `BleakScanner(backend=)` and `BleakClient(backend=)` take."""

    scanner: type[BaseBleakScanner]
    client: type[BaseBleakClient]


@asynccontextmanager
async def backends(url: str, identity: str, bonds: Path | None = None) -> AsyncIterator[Backends]:
    """Power a stack on the HCI transport `url` (Bumble's notation). BleakError: nobody answers there.

    identity: from it follows the adapter's address, so that bonds outlive a restart.  bonds: None keeps them in memory.
    """
    with _translated():
        transport = await open_transport(url)
    async with transport:
        octets = hashlib.sha256(identity.encode()).digest()[:6]
        # Core Vol 6, Part B, 1.3.2.1: the two most significant bits of a random static address are 1
        address = hci.Address(bytes(octets[:5]) + bytes([octets[5] | 0xC0]), hci.Address.RANDOM_DEVICE_ADDRESS)
        config = DeviceConfiguration(name=identity[:20], address=address, irk=octets + bytes(10))
        device = Device.from_config_with_hci(config, transport.source, transport.sink)
        device.pairing_config_factory = lambda _connection: PairingConfig(
            sc=True, mitm=False, bonding=True, delegate=PairingDelegate(PairingDelegate.NO_OUTPUT_NO_INPUT)
        )
        with _translated():
            async with asyncio.timeout(10):
                await device.power_on()
        if bonds is not None:
            device.keystore = JsonKeyStore(str(address), str(bonds))
        bound = {"device": device, "gone": transport.source.terminated}
        try:
            yield Backends(
                type("BumbleScanner", (_Scanner,), bound),
                type("BumbleClient", (_Client,), bound),
            )
        finally:
            with suppress(BleakError):
                for connection in list(device.connections.values()):
                    await _within(2, connection.disconnect())
                await _within(2, device.power_off())


@contextmanager
def _translated() -> Iterator[None]:
    """Bumble's errors as bleak's. A dropped link cancels the pending request: that is not our own cancellation."""
    try:
        yield
    except att.ATT_Error as error:
        raise BleakGATTProtocolError(int(error.error_code)) from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BleakError("the link was lost") from None
    except (core.BaseBumbleError, hci.HCI_Error, TimeoutError, OSError) as error:
        raise BleakError(f"{type(error).__name__}: {error}") from error


async def _within(seconds: float, work: Coroutine[Any, Any, Any]) -> Any:
    with _translated():
        async with asyncio.timeout(seconds):
            return await work


def _uuid(uuid: core.UUID) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-" if len(uuid.uuid_bytes) == 16 else ""))


class _Scanner(BaseBleakScanner):
    device: ClassVar[Device]
    gone: ClassVar[asyncio.Future[None]]

    def __init__(self, detection_callback: Any, service_uuids: list[str] | None, *_: Any, **__: Any) -> None:
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        if self.gone.done():
            raise BleakError("the Bluetooth controller is gone")
        self.seen_devices = {}
        self.device.on(Device.EVENT_ADVERTISEMENT, self._on_advertisement)
        await _within(5, self.device.start_scanning(active=True))

    async def stop(self) -> None:
        self.device.remove_listener(Device.EVENT_ADVERTISEMENT, self._on_advertisement)
        if not self.gone.done():
            await _within(5, self.device.stop_scanning())

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        data = advertisement.data
        kinds = core.AdvertisingData
        uuids: list[str] = []
        for kind in (
            kinds.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
            kinds.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS,
            kinds.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
            kinds.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
        ):
            uuids += [_uuid(uuid) for uuid in data.get(kind) or ()]
        maker = data.get(kinds.MANUFACTURER_SPECIFIC_DATA)
        name = data.get(kinds.COMPLETE_LOCAL_NAME) or data.get(kinds.SHORTENED_LOCAL_NAME)
        found = AdvertisementData(
            local_name=name,
            manufacturer_data={maker[0]: maker[1]} if maker else {},
            service_data={_uuid(uuid): bytes(octets) for uuid, octets in data.get_all(kinds.SERVICE_DATA_16_BIT_UUID)},
            service_uuids=uuids,
            tx_power=None,
            rssi=advertisement.rssi,
            platform_data=(),
        )
        if not self.is_allowed_uuid(uuids):
            return
        address = advertisement.address.to_string(with_type_qualifier=False)
        self.call_detection_callbacks(
            self.create_or_update_device(address, address, name, advertisement.address, found), found
        )


class _Client(BaseBleakClient):
    device: ClassVar[Device]
    gone: ClassVar[asyncio.Future[None]]

    def __init__(self, address_or_ble_device: BLEDevice | str, **settings: Any) -> None:
        super().__init__(address_or_ble_device, **settings)
        self._target = address_or_ble_device
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._withheld = False

    @property
    def name(self) -> str:
        return getattr(self._target, "name", None) or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        return self._peer.gatt_client.mtu if self._peer else att.ATT_DEFAULT_MTU

    @property
    def is_connected(self) -> bool:
        # by identity: a handle is given to the next connection as soon as it is free
        connection = self._connection
        return connection is not None and self.device.connections.get(connection.handle) is connection

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        del kwargs
        if self.gone.done():
            raise BleakDeviceNotFoundError(self.address, "the Bluetooth controller is gone")
        if isinstance(self._target, BLEDevice) and isinstance(self._target.details, hci.Address):
            address = self._target.details
        else:
            address = hci.Address(self.address, hci.Address.RANDOM_DEVICE_ADDRESS)
        try:
            with _translated():
                connection = await self.device.connect_le(address, timeout=self._timeout)
        except asyncio.CancelledError:
            # else the controller would refuse every later connection: one may be pending
            with suppress(BleakError):
                await _within(2, self.device.cancel_connection())  # type: ignore[no-untyped-call]
            raise
        self._connection = connection
        connection.on(Connection.EVENT_DISCONNECTION, self._on_disconnection)
        self._peer = Peer(connection)
        self._withhold_on_request(self._peer)
        try:
            if pair or await self._bonded():
                await self.pair()
            with _translated():
                await self._peer.request_mtu(247)
                await self._discover(self._peer)
        except BaseException:
            await self.disconnect()
            raise

    def _withhold_on_request(self, peer: Peer) -> None:
        confirm: Callable[[att.ATT_Handle_Value_Confirmation], None] = peer.gatt_client.send_confirmation

        def confirm_unless_withheld(confirmation: att.ATT_Handle_Value_Confirmation) -> None:
            if not self._withheld:
                confirm(confirmation)

        peer.gatt_client.send_confirmation = confirm_unless_withheld  # type: ignore[method-assign]

    async def _discover(self, peer: Peer) -> None:
        services = BleakGATTServiceCollection()
        await peer.discover_services()
        await peer.discover_characteristics()
        for found in peer.services:
            service = BleakGATTService(found, found.handle, _uuid(found.uuid))
            services.add_service(service)
            for item in found.characteristics:
                characteristic = BleakGATTCharacteristic(
                    item,
                    item.handle,
                    _uuid(item.uuid),
                    list(gatt_char_props_to_strs(int(item.properties))),
                    lambda: self.mtu_size - 3,
                    service,
                )
                services.add_characteristic(characteristic)
                await peer.discover_descriptors(item)
                for descriptor in item.descriptors:
                    services.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, _uuid(descriptor.type), characteristic)
                    )
        self.services = services

    def _on_disconnection(self, *_: Any) -> None:
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        if self._connection is not None and self.is_connected:
            with suppress(BleakError):  # already on its way down
                await _within(5, self._connection.disconnect())

    async def _bonded(self) -> bool:
        connection, store = self._connection, self.device.keystore
        return bool(connection and store and await store.get(str(connection.peer_address)))

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs
        if self._connection is None:
            raise BleakError("not connected")
        with _translated():
            if await self._bonded():
                await self._connection.encrypt()
            else:
                await self._connection.pair()

    async def unpair(self) -> None:
        if self._connection is not None and self.device.keystore is not None:
            await self.device.keystore.delete(str(self._connection.peer_address))

    async def _paired_if_needed(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        try:
            with _translated():
                return await work()
        except BleakGATTProtocolError as error:
            if int(error.code) not in _NEEDS_PAIRING:
                raise
        await self.pair()
        with _translated():
            return await work()

    @property
    def _gatt(self) -> Peer:
        if self._peer is None or not self.is_connected:
            raise BleakError("not connected")
        return self._peer

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        del use_cached, kwargs
        peer = self._gatt
        return bytearray(await self._paired_if_needed(lambda: peer.read_value(characteristic.obj)))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **kwargs: Any
    ) -> bytearray:
        del use_cached, kwargs
        peer = self._gatt
        return bytearray(await self._paired_if_needed(lambda: peer.read_value(descriptor.obj)))

    async def write_gatt_char(self, characteristic: BleakGATTCharacteristic, data: Any, response: bool) -> None:
        peer = self._gatt
        await self._paired_if_needed(lambda: peer.write_value(characteristic.obj, bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: Any) -> None:
        peer = self._gatt
        await self._paired_if_needed(lambda: peer.write_value(descriptor.obj, bytes(data), with_response=True))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        del kwargs
        peer, item = self._gatt, characteristic.obj
        if item.get_descriptor(_CCCD) is None:
            raise BleakError(f"{characteristic.uuid} has no client characteristic configuration")

        def subscriber(value: bytes) -> None:
            if self._withheld:
                return
            try:
                callback(bytearray(value))
            except Exception:  # noqa: BLE001 - however a subscriber fails, the device must not hear "received"
                self._withheld = True
                _log.exception("the subscriber of %s failed: nothing more is confirmed", characteristic.uuid)

        await self._paired_if_needed(lambda: peer.subscribe(item, subscriber))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        peer = self._gatt
        await self._paired_if_needed(lambda: peer.unsubscribe(characteristic.obj))

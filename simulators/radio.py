"""The air between simulated devices and gateways: one Bumble link, a controller for each, and a door over TCP.

    async with Air() as air:                        # TCP on a free port of 127.0.0.1
        cuff = BloodPressureCuff(air, ...)          # simulators.peripheral*: a device in this process
        air.url                                     # "tcp-client:127.0.0.1:40123": what a gateway is told

Each TCP client gets a Bluetooth controller of its own, speaking HCI (Core 5.4, Vol 4, Part A, H4 framing), for as long
as it is connected. A gateway is then a process like any other: when it is killed its connections end for the devices,
as they would by supervision time-out. docs/decisions/0041-hci-over-tcp.md says why.

What this air does not have: loss, range, interference, connection events. It shows faults of meaning, not of timing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from types import TracebackType
from typing import Any, Final, Self

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.device import Device
from bumble.link import LocalLink
from bumble.transport.common import PacketParser

_log = logging.getLogger(__name__)

_ABSENT: Final = hci.LeFeatureMask.LL_PRIVACY | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
"""Left out: with them Bumble's controller takes paths that neither BlueZ nor its own legacy advertiser matches."""


class _Link(LocalLink):
    """Delivers each advertisement to those who listen, not to all: with n devices n events, not n squared."""

    controllers: set[Controller]

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        loop = asyncio.get_running_loop()
        for controller in self.controllers:
            if controller is not sender_controller and (
                controller.le_scan_enable or controller.pending_le_connection is not None
            ):
                loop.call_soon(controller.on_ll_advertising_pdu, packet)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        if self.find_le_controller(receiver_address) is None:
            _log.debug("%s has left the air", receiver_address)
            return
        super().send_ll_control_pdu(sender_address, receiver_address, packet)

    def advertiser(self, address: hci.Address) -> Controller | None:
        """The controller that advertises connectably under `address` at this moment."""
        for controller in self.controllers:
            advertising = controller.le_legacy_advertiser
            if advertising.enabled and advertising.address == address:
                return controller
        return None


class _Controller(Controller):
    """Bumble's controller with the parts of LE connection set-up that a long-running gateway meets."""

    le_features = Controller.le_features & ~_ABSENT
    link: _Link

    def create_le_connection(self, peer_address: hci.Address) -> None:
        # An advertisement may be older than the end of advertising: then there is nobody to connect to, keep waiting.
        advertiser = self.link.advertiser(peer_address)
        if advertiser is None or peer_address in self.le_connections:
            return
        pending = self.pending_le_connection
        super().create_le_connection(peer_address)
        assert isinstance(pending, hci.HCI_LE_Create_Connection_Command)
        advertiser.on_le_connect_ind(
            ll.ConnectInd(
                initiator_address=self.le_connections[peer_address].self_address,
                advertiser_address=peer_address,
                interval=pending.connection_interval_min,
                latency=pending.max_latency,
                timeout=pending.supervision_timeout,
            )
        )

    def send_advertising_pdu(self, packet: ll.AdvertisingPdu) -> None:
        # ConnectInd goes straight to the advertiser, above; on the air it would reach only listeners.
        if not isinstance(packet, ll.ConnectInd):
            super().send_advertising_pdu(packet)

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Core Vol 4, Part E, 7.8.13: the pending connection ends with Unknown Connection Identifier."""
        pending = self.pending_le_connection
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.pending_le_connection = None
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=pending.peer_address.address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def leave(self) -> None:
        """Off the air: peers see their connections time out, nobody hears from here again."""
        if self not in self.link.controllers:
            return
        self.host = None
        self.le_scan_enable = False
        self.pending_le_connection = None
        self.le_legacy_advertiser.stop()
        for connection in list[Connection](self.le_connections.values()):
            connection.send_ll_control_pdu(ll.TerminateInd(hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR))
        self.le_connections.clear()
        self.link.remove_controller(self)


class _Adapter(asyncio.Protocol):
    """One TCP client: HCI packets to a controller of its own and back."""

    def __init__(self, air: Air) -> None:
        self._air = air

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._controller = self._air.plug("gateway")
        self._controller.host = self
        self._parser = PacketParser(self._controller)
        self._air.adapters.add(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_packet(self, packet: bytes) -> None:
        """The controller's answer (Bumble's name for a packet sink)."""
        self._transport.write(packet)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._air.adapters.discard(self)
        self._controller.leave()

    def close(self) -> None:
        self._transport.abort()


class Air:
    """The link with all who are on it. `port` 0: a free one."""

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._link = _Link()  # type: ignore[no-untyped-call]
        self._server: asyncio.Server | None = None
        self.adapters: set[_Adapter] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Adapter(self), "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            for adapter in list(self.adapters):
                adapter.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._server.wait_closed()
        for controller in list(self._link.controllers):
            if isinstance(controller, _Controller):
                controller.leave()

    @property
    def url(self) -> str:
        """For the gateway's setting RADIO_URL."""
        return f"tcp-client:127.0.0.1:{self._port}"

    def plug(self, name: str) -> _Controller:
        """A new controller on this air."""
        return _Controller(name, link=self._link)

    async def device(self, name: str, address: str, **settings: Any) -> Device:
        """A powered Bumble device under a random static address of its own; `settings` become its attributes."""
        controller = self.plug(name)
        device = Device.with_hci(name, hci.Address(address), controller, controller)
        for key, value in settings.items():
            setattr(device, key, value)
        await device.power_on()
        return device

    def unplug(self, device: Device) -> None:
        """The device leaves the air, as with its battery taken out."""
        for controller in list(self._link.controllers):
            if isinstance(controller, _Controller) and controller.random_address == device.random_address:
                controller.leave()

"""Bonding on BlueZ: the agent that BlueZ asks when a device wants to pair.

Without an agent `org.bluez.Device1.Pair` fails, and switching on a characteristic that needs encryption waits for ever.
Source: BlueZ, doc/org.bluez.Agent.rst and org.bluez.AgentManager.rst. The agent is made the default one, because the
pairing that an encrypted characteristic triggers belongs to bluetoothd, not to the caller.
It answers for a device only while the gateway itself is connecting or connected to it. A device with a passkey on its
display or label needs that passkey in the settings; a device without pairs by "just works". Nobody stands beside an
edge to compare two numbers, so that is refused.
"""

# no deferred annotations: dbus-fast reads the signatures of methods from them
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import structlog
from dbus_fast import BusType, DBusError, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusObjectPath, DBusStr, DBusUInt16, DBusUInt32
from dbus_fast.errors import DBusFastError
from dbus_fast.service import ServiceInterface, dbus_method

_log = structlog.get_logger()
PATH: Final = "/suifang/gateway/agent"
_DEVICE: Final = re.compile(r"/dev_((?:[0-9A-F]{2}_){5}[0-9A-F]{2})$")


class BondingAgent(ServiceInterface):
    """`org.bluez.Agent1`. admits: may the device with this address (upper case) pair now?  passkeys: by address."""

    def __init__(self, admits: Callable[[str], bool], passkeys: Mapping[str, str]) -> None:
        super().__init__("org.bluez.Agent1")
        self._admits = admits
        self._passkeys = {address.upper(): passkey for address, passkey in passkeys.items()}

    @property
    def capability(self) -> str:
        """What the gateway can do: type a passkey that it knows, or nothing."""
        return "KeyboardOnly" if self._passkeys else "NoInputNoOutput"

    def _admitted(self, path: str) -> str:
        found = _DEVICE.search(path)
        address = found[1].replace("_", ":") if found else ""
        if not self._admits(address):
            self._refuse(address, "not a device of this gateway")
        return address

    def _passkey(self, path: str) -> str:
        address = self._admitted(path)
        passkey = self._passkeys.get(address)
        if passkey is None:
            self._refuse(address, "its passkey is not in the settings")
        return passkey

    def _refuse(self, address: str, why: str) -> NoReturn:
        _log.warning("pairing refused", address=address, why=why)
        raise DBusError("org.bluez.Error.Rejected", why)

    @dbus_method(name="Release")
    def release(self) -> None:
        """bluetoothd is done with the agent."""

    @dbus_method(name="Cancel")
    def cancel(self) -> None:
        """A question is withdrawn; none is ever left open here."""

    @dbus_method(name="RequestPinCode")
    def request_pin_code(self, device: DBusObjectPath) -> DBusStr:
        """The passkey, as text."""
        return self._passkey(device)

    @dbus_method(name="RequestPasskey")
    def request_passkey(self, device: DBusObjectPath) -> DBusUInt32:
        """The passkey, 0 to 999999."""
        return int(self._passkey(device))

    @dbus_method(name="DisplayPinCode")
    def display_pin_code(self, device: DBusObjectPath, _pin_code: DBusStr) -> None:
        """There is no display."""
        self._refuse(self._admitted(device), "no display")

    @dbus_method(name="DisplayPasskey")
    def display_passkey(self, device: DBusObjectPath, _passkey: DBusUInt32, _entered: DBusUInt16) -> None:
        """There is no display."""
        self._refuse(self._admitted(device), "no display")

    @dbus_method(name="RequestConfirmation")
    def request_confirmation(self, device: DBusObjectPath, _passkey: DBusUInt32) -> None:
        """Nobody is there to compare numbers."""
        self._refuse(self._admitted(device), "nobody to compare numbers")

    @dbus_method(name="RequestAuthorization")
    def request_authorization(self, device: DBusObjectPath) -> None:
        """Just works."""
        _log.info("pairing, just works", address=self._admitted(device))

    @dbus_method(name="AuthorizeService")
    def authorize_service(self, device: DBusObjectPath, _uuid: DBusStr) -> None:
        """The gateway offers no service."""
        self._refuse(self._admitted(device), "no service is offered here")


@asynccontextmanager
async def bonding(
    admits: Callable[[str], bool], passkeys: Mapping[str, str], bus_address: str | None = None
) -> AsyncIterator[bool]:
    """The agent, registered while the context lasts; yields whether it is. bus_address: None is the system's bus.

    Without a bus, without bluetoothd or without the right to register, devices that need no bond are still served.
    """
    agent = BondingAgent(admits, passkeys)
    bus: MessageBus | None = None
    try:
        bus = await MessageBus(bus_address, BusType.SYSTEM).connect()
        bus.export(PATH, agent)
        await _ask(bus, "RegisterAgent", "os", PATH, agent.capability)
        await _ask(bus, "RequestDefaultAgent", "o", PATH)
        registered = True
    except (DBusFastError, DBusError, OSError, EOFError, ValueError) as error:
        _log.warning("no bonding agent: devices that need a bond will not be collected", why=str(error))
        registered = False
    try:
        yield registered
    finally:
        if bus is not None and bus.connected:
            bus.disconnect()  # bluetoothd forgets the agent of a client that leaves


async def _ask(bus: MessageBus, member: str, signature: str, *body: str) -> None:
    reply = await bus.call(
        Message(
            destination="org.bluez",
            path="/org/bluez",
            interface="org.bluez.AgentManager1",
            member=member,
            signature=signature,
            body=list(body),
        )
    )
    if reply.message_type is MessageType.ERROR:
        raise DBusError(reply.error_name or "org.bluez.Error.Failed", " ".join(map(str, reply.body)))

"""The bonding agent on a real D-Bus. bluetoothd needs a kernel with Bluetooth: its side of the talk is played."""

# no deferred annotations: dbus-fast reads the signatures of methods from them
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusObjectPath, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method

from gateway.bonds import bonding

METER = "AA:BB:CC:00:00:01"
CUFF = "AA:BB:CC:00:00:02"
CONFIGURATION = """<busconfig><type>custom</type><listen>unix:dir={folder}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>"""


@pytest.fixture
def bus_address(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("needs dbus-daemon: apt-get install dbus-daemon")
    configuration = tmp_path / "bus.conf"
    configuration.write_text(CONFIGURATION.format(folder=tmp_path))
    arguments = [program, f"--config-file={configuration}", "--nofork", "--print-address=1"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        yield daemon.stdout.readline().strip()
        daemon.terminate()


class AgentManager(ServiceInterface):
    """bluetoothd's side."""

    def __init__(self) -> None:
        super().__init__("org.bluez.AgentManager1")
        self.registered: list[tuple[str, str]] = []
        self.default: list[str] = []

    @dbus_method(name="RegisterAgent")
    def register_agent(self, agent: DBusObjectPath, capability: DBusStr) -> None:
        self.registered.append((agent, capability))

    @dbus_method(name="RequestDefaultAgent")
    def request_default_agent(self, agent: DBusObjectPath) -> None:
        self.default.append(agent)


class Bluetoothd:
    """Asks the agent as bluetoothd does."""

    def __init__(self, bus: MessageBus, manager: AgentManager, agent_at: str) -> None:
        self._bus = bus
        self.manager = manager
        self._agent_at = agent_at

    async def asks(self, member: str, address: str, signature: str = "", *rest: Any) -> Any:
        """The agent's answer, or the name of its error."""
        reply = await self._bus.call(
            Message(
                destination=self._agent_at,
                path=self.manager.registered[0][0],
                interface="org.bluez.Agent1",
                member=member,
                signature=f"o{signature}",
                body=[f"/org/bluez/hci0/dev_{address.replace(':', '_')}", *rest],
            )
        )
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            return reply.error_name
        return reply.body[0] if reply.body else None


@pytest.fixture
async def manager(bus_address: str) -> AsyncIterator[tuple[MessageBus, AgentManager]]:
    bus = await MessageBus(bus_address).connect()
    found = AgentManager()
    bus.export("/org/bluez", found)
    await bus.request_name("org.bluez")
    yield bus, found
    bus.disconnect()


async def agent_on(bus: MessageBus) -> str:
    """The bus name of the only other client."""
    call = Message(destination="org.freedesktop.DBus", path="/", interface="org.freedesktop.DBus", member="ListNames")
    reply = await bus.call(call)
    assert reply is not None
    (name,) = [name for name in reply.body[0] if name.startswith(":") and name != bus.unique_name]
    return str(name)


async def test_the_agent_registers_as_the_default_and_says_what_it_can_do(
    bus_address: str, manager: tuple[MessageBus, AgentManager]
) -> None:
    _, found = manager
    async with bonding(lambda _: True, {METER: "123456"}, bus_address) as registered:
        assert registered
    async with bonding(lambda _: True, {}, bus_address) as registered:
        assert registered
    assert [capability for _, capability in found.registered] == ["KeyboardOnly", "NoInputNoOutput"]
    assert found.default == [path for path, _ in found.registered]


async def test_a_device_of_the_gateway_pairs_and_gets_the_passkey_of_its_label(
    bus_address: str, manager: tuple[MessageBus, AgentManager]
) -> None:
    bus, found = manager
    async with bonding({METER, CUFF}.__contains__, {METER: "012345"}, bus_address):
        bluetoothd = Bluetoothd(bus, found, await agent_on(bus))
        assert await bluetoothd.asks("RequestPasskey", METER) == 12345
        assert await bluetoothd.asks("RequestPinCode", METER) == "012345"
        assert await bluetoothd.asks("RequestAuthorization", CUFF) is None


async def test_strangers_unknown_passkeys_and_number_comparisons_are_refused(
    bus_address: str, manager: tuple[MessageBus, AgentManager]
) -> None:
    bus, found = manager
    async with bonding({METER, CUFF}.__contains__, {METER: "123456"}, bus_address):
        bluetoothd = Bluetoothd(bus, found, await agent_on(bus))
        rejected = "org.bluez.Error.Rejected"
        assert await bluetoothd.asks("RequestAuthorization", "AA:BB:CC:00:00:99") == rejected
        assert await bluetoothd.asks("RequestPasskey", CUFF) == rejected
        assert await bluetoothd.asks("RequestConfirmation", CUFF, "u", 4711) == rejected
        assert await bluetoothd.asks("AuthorizeService", CUFF, "s", "1812") == rejected


async def test_without_bluetoothd_the_gateway_goes_on_without_an_agent(bus_address: str) -> None:
    async with bonding(lambda _: True, {}, bus_address) as registered:
        assert not registered


async def test_without_a_bus_the_gateway_goes_on_without_an_agent(tmp_path: Path) -> None:
    async with bonding(lambda _: True, {}, f"unix:path={tmp_path}/none") as registered:
        assert not registered

"""What virtual devices of all sorts share: an identity from a small number, and a switch.

For `simulators.virtual` and `simulators.virtual_sensor`; a test takes its devices from there.
"""

from __future__ import annotations

from types import TracebackType
from typing import Generic, Self, TypeVar

from simulators.peripheral import Peripheral

_P = TypeVar("_P", bound=Peripheral)


def uid_of(number: int) -> str:
    """`eui64:` + 16 hex digits; the number (1 to 255) tells devices of one test apart."""
    return f"eui64:{bytes([0x02, 0x53, 0x46, 0xFF, 0xFE, 0xDE, 0x00, number]).hex()}"


def serial_of(number: int) -> str:
    """Nine characters, as the device tells it."""
    return f"SIMDEV{number:03d}"


class VirtualDevice(Generic[_P]):
    """A device that is switched on inside `async with`; `peripheral` is all that it can do on the air."""

    def __init__(self, device: _P) -> None:
        self.peripheral = device

    @property
    def device(self) -> str:
        """`eui64:` + 16 hex digits."""
        return self.peripheral.device

    @property
    def address(self) -> str:
        """Random static."""
        return self.peripheral.address

    async def __aenter__(self) -> Self:
        await self.peripheral.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.peripheral.stop()

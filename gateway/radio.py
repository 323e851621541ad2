"""The port to a Bluetooth LE radio: what the gateway asks of one, whoever provides it (`gateway.bluez`).

Services and characteristics are named by their 16-bit UUID as `2A35`; others by the full UUID in lower case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from devices.catalogue import short_uuid
from devices.errors import UnknownCharacteristic

INDICATED: Final = (
    ("1810", "2A35"),
    ("1810", "2B34"),
    ("1822", "2A5E"),
    ("181D", "2A9D"),
    ("181B", "2A9C"),
    ("1809", "2A1C"),
    ("1840", "2B8B"),
)
"""Measurements a device sends by itself once they are switched on: service and characteristic."""

STORED: Final = (("1810", "2B36"), ("1840", "2BDD"))
"""Records in segments, sent when the service's record access control point asks for them."""

HEALTH_SERVICES: Final = tuple(dict.fromkeys(("1808", "181F", *(service for service, _ in INDICATED))))
"""Services whose devices are connected to."""


_NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})


class Discovery(NamedTuple):
    """A device that advertises. address: in upper case.  handle: the radio's own name for it.  rssi: dBm.
    name: empty where it advertises none.  service_data: what it says without being connected to, by service."""

    address: str
    name: str
    services: frozenset[str]
    rssi: int
    handle: Any
    service_data: Mapping[str, bytes] = _NOTHING


class Link(Protocol):
    """A connection to one device. Each call has its own time limit.

    Errors of all calls: `LinkLost`, `NoAnswer`, `AccessRefused` with the ATT code.
    """

    services: Mapping[str, frozenset[str]]
    """The characteristics of each service."""

    closed: asyncio.Event
    """Set when the connection is over, whoever ended it."""

    async def read(self, service: str, characteristic: str) -> bytes:
        """The value."""

    async def write(self, service: str, characteristic: str, value: bytes) -> None:
        """Write with response."""

    async def subscribe(self, service: str, characteristic: str, heard: Callable[[bytes], None]) -> None:
        """Switch notifications or indications on. `heard` runs at once for each; where the stack lets us (not BlueZ),
        an indication is confirmed only after `heard` has returned, and not at all if it raises."""


class Radio(Protocol):
    """One adapter. Scanning and connecting exclude each other: first the one, then the other."""

    async def discover(self, wanted: Callable[[Discovery], bool], within_s: float) -> Discovery | None:
        """Scan until a wanted device is heard; the scan is over when this returns. None: nobody. RadioGone.

        `wanted` is asked at each advertisement; a GatewayError that it raises ends the scan and is raised here.
        """

    def connect(self, discovery: Discovery) -> AbstractAsyncContextManager[Link]:
        """Connect and discover services; disconnects at the end. LinkLost, NoAnswer, RadioGone."""


def name_of(uuid: str) -> str:
    """`2A35` for a UUID of the Bluetooth base, else the UUID in lower case."""
    try:
        return short_uuid(uuid)
    except UnknownCharacteristic:
        return uuid.lower()

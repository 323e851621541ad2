"""Configurations that were heard before: an agent that comes again need not tell them again. Values, no I/O.

An extended configuration belongs to one device: the same id means something else elsewhere;
a standard one to all. What is remembered is bounded: the device that was not heard for longest is forgotten first.
Source: ISO/IEEE 11073-20601, clauses 8.7.3 and 8.8 (configuration procedure).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from devices.ieee11073.errors import UnknownConfiguration
from devices.ieee11073.events import write_config
from devices.ieee11073.objects import Configuration
from devices.ieee11073.specializations import standard

STANDARD: Final = range(0x0001, 0x4000)
EXTENDED: Final = range(0x4000, 0x8000)
MOST_OCTETS: Final = 1 << 20
"""Of all configurations together, as they were sent; a device's has a few hundred."""


Altered: TypeAlias = Callable[[bytes, int, Configuration | None], None]
"""System id, configuration id, and what is remembered under them from now on. None: nothing."""


class Remembered:
    """Configurations by system id and configuration id. altered: called at each change, for whoever keeps them on a
    disk; it must not raise."""

    def __init__(self, most: int = 1000, altered: Altered | None = None) -> None:
        self._most = most
        self._altered = altered
        self._kept: OrderedDict[tuple[bytes, int], Configuration] = OrderedDict()
        self._sizes: dict[tuple[bytes, int], int] = {}
        self._octets = 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, system_id: bytes, identity: int) -> Configuration | None:
        """A standard configuration, or what this device said under this id. None: not known."""
        kept = self._kept.get((system_id, identity))
        if kept is not None:
            self._kept.move_to_end((system_id, identity))
            return kept
        if identity in STANDARD:
            try:
                return standard(identity)
            except UnknownConfiguration:
                return None
        return None

    def keep(self, system_id: bytes, configuration: Configuration) -> None:
        """From now on `find` knows it; the one not used for longest goes where there are too many."""
        key = (system_id, configuration.id)
        before = self._drop(key)
        self._kept[key] = configuration
        self._sizes[key] = len(write_config(configuration.report))
        self._octets += self._sizes[key]
        if before != configuration:
            self._tell(*key, configuration)
        while len(self._kept) > self._most or self._octets > MOST_OCTETS:
            oldest = next(iter(self._kept))
            self._drop(oldest)
            self._tell(*oldest, None)

    def forget(self, system_id: bytes, identity: int) -> None:
        """It proved wrong; the next association asks for it."""
        if self._drop((system_id, identity)) is not None:
            self._tell(system_id, identity, None)

    def _drop(self, key: tuple[bytes, int]) -> Configuration | None:
        self._octets -= self._sizes.pop(key, 0)
        return self._kept.pop(key, None)

    def _tell(self, system_id: bytes, identity: int, configuration: Configuration | None) -> None:
        if self._altered is not None:
            self._altered(system_id, identity, configuration)

    def each(self) -> Iterator[tuple[bytes, Configuration]]:
        """All that is remembered, for whoever keeps it on a disk."""
        for (system_id, _), configuration in self._kept.items():
            yield system_id, configuration

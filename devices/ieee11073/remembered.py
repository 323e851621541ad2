"""Configurations that were heard before: an agent that comes again need not tell them again. Values, no I/O.

An extended configuration belongs to one device: the same id means something else elsewhere;
a standard one to all. What is remembered is bounded: the device that was not heard for longest is forgotten first.
Source: ISO/IEEE 11073-20601, clauses 8.7.3 and 8.8 (configuration procedure).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from devices.ieee11073.errors import UnknownConfiguration
from devices.ieee11073.objects import Configuration
from devices.ieee11073.specializations import standard

STANDARD: Final = range(0x0001, 0x4000)
EXTENDED: Final = range(0x4000, 0x8000)


class Remembered:
    """Configurations by system id and configuration id."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[bytes, int], Configuration] = OrderedDict()

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
        self._kept[system_id, configuration.id] = configuration
        self._kept.move_to_end((system_id, configuration.id))
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, system_id: bytes, identity: int) -> None:
        """It proved wrong; the next association asks for it."""
        self._kept.pop((system_id, identity), None)

    def each(self) -> Iterator[tuple[bytes, Configuration]]:
        """All that is remembered, for whoever keeps it on a disk."""
        for (system_id, _), configuration in self._kept.items():
            yield system_id, configuration

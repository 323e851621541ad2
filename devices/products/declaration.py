"""What a product declares: how it is recognised, and where it differs from the standard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from devices.octets import Layout


class Signature(NamedTuple):
    """A frame that only this product sends: characteristic, flags octet and length together.

    Declare one only where the flags announce another length than the frame has, so that no standard frame can match.
    """

    uuid: str
    flags: int
    length: int


class VendorClock(NamedTuple):
    """A clock that is set by writing, with response, to a characteristic of the vendor's own, once that notifies and
    before records are asked for.

    service, characteristic: four hex digits in capitals, or a UUID of the vendor's own in small letters.
    octets: what to write for an aware time in the gateway's zone.
    """

    service: str
    characteristic: str
    octets: Callable[[datetime], bytes]

    @property
    def is_unmistakable(self) -> bool:
        """No other maker's characteristic can have this UUID."""
        return len(self.characteristic) == 36


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One deviating product.

    manufacturer, models: Device Information strings (0x2A29, 0x2A24), compared without case; a model matches by its
    beginning, because makers append regions and colours.  layouts: the altered layout by characteristic.
    foreign_meals: meal codes (0x2A34) that mark records which are not glucose.  advertised: services whose data in the
    advertisement is a measurement (`ADV:` and the number, for `devices.catalogue.decode`).  memory: records of its
    memory that can be decoded, by the vendor's name and the record's.  clocks: of which a device has one.
    """

    name: str
    manufacturer: str
    models: tuple[str, ...]
    layouts: Mapping[str, Layout] = {}
    signatures: tuple[Signature, ...] = ()
    foreign_meals: frozenset[int] = frozenset()
    advertised: tuple[str, ...] = ()
    memory: tuple[str, ...] = ()
    clocks: tuple[VendorClock, ...] = ()

    def layout_for(self, uuid: str, data: bytes) -> Layout | None:
        """The altered layout for this frame. None: the standard's.

        Where signatures are declared for the characteristic, only frames that bear one are read differently: a later
        firmware of the same product that follows the standard is read by the standard.
        """
        layout = self.layouts.get(uuid)
        if layout is None:
            return None
        signatures = [signature for signature in self.signatures if signature.uuid == uuid]
        if signatures and (not data or Signature(uuid, data[0], len(data)) not in signatures):
            return None
        return layout

    def is_named(self, manufacturer: str, model: str) -> bool:
        """Do the device's own strings name this product?"""
        maker, kind = manufacturer.casefold(), model.casefold()
        return maker.startswith(self.manufacturer.casefold()) and any(
            kind.startswith(known.casefold()) for known in self.models
        )

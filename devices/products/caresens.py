"""CareSens (i-SENS) and ReliOn meters: the reserved meal code 6 marks a ketone record, which is not glucose.

The clock is a characteristic of the vendor's own: C0 03 01 00, then the local Date Time; newer meters have it by
another number.
Source: behaviour described in the Tidepool uploader's CareSens driver (tidepool-org/uploader at 3651507); the octets of
the clock, and both numbers, as in the maker's sample application (setCustomTimeSync), which several projects hold.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from devices.clock import DateTime
from devices.products.declaration import Product, VendorClock


def _octets(now: datetime) -> bytes:
    return b"\xc0\x03\x01\x00" + DateTime.of(now).encode()


CARESENS: Final = Product(
    name="caresens",
    manufacturer="i-SENS",
    models=("CareSens", "ReliOn"),
    foreign_meals=frozenset({6}),
    clocks=(
        VendorClock("c4dea010-5a9d-11e9-8647-d663bd873d93", "c4dea3bc-5a9d-11e9-8647-d663bd873d93", _octets),
        VendorClock("FFF0", "FFF1", _octets),
    ),
)

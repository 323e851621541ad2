"""Ascensia Contour meters: no Current Time service; the clock is a characteristic of the vendor's own.

Source: the sample application of weliem/blessed-android (writeContourClock). An octet 01, the Date Time of UTC, and
the offset of the local time in minutes. The meter stamps its records with the former and offsets them by the latter.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from devices.clock import DateTime
from devices.products.declaration import Product, VendorClock


def _octets(now: datetime) -> bytes:
    minutes = (now.utcoffset() or timedelta(0)) // timedelta(minutes=1)
    return b"\x01" + DateTime.of(now.astimezone(UTC)).encode() + minutes.to_bytes(2, "little", signed=True)


ASCENSIA_CONTOUR: Final = Product(
    name="ascensia-contour",
    manufacturer="Ascensia",
    models=("Contour", "NEXT ONE"),
    clocks=(VendorClock("00000000-0002-11e2-9e96-0800200c9a66", "00001026-0002-11e2-9e96-0800200c9a66", _octets),),
)

"""The products with a declaration, and how one is found."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from devices.products.ascensia_contour import ASCENSIA_CONTOUR
from devices.products.beurer_bm85 import BEURER_BM85
from devices.products.caresens import CARESENS
from devices.products.declaration import Product, VendorClock
from devices.products.omron_record import OMRON_CUFF
from devices.products.xiaomi_scale import XIAOMI_SCALE

PRODUCTS: Final[tuple[Product, ...]] = (ASCENSIA_CONTOUR, BEURER_BM85, CARESENS, OMRON_CUFF, XIAOMI_SCALE)
BY_NAME: Final = {product.name: product for product in PRODUCTS}
_BY_SIGNATURE: Final[dict[tuple[str, int, int], Product]] = {
    signature: product for product in PRODUCTS for signature in product.signatures
}
SIGNED: Final = frozenset(length for _, _, length in _BY_SIGNATURE)
"""The lengths of frames that `recognise` can know."""


def find(manufacturer: str, model: str) -> Product | None:
    """The declaration for what Device Information says. None: no deviation is known."""
    return next((product for product in PRODUCTS if product.is_named(manufacturer, model)), None)


def recognise(uuid: str, data: bytes) -> Product | None:
    """The product whose signature the frame bears. `uuid`: four hex digits in upper case."""
    return _BY_SIGNATURE.get((uuid, data[0], len(data))) if data else None


def clock_of(services: Mapping[str, Container[str]], product: Product | None = None) -> VendorClock | None:
    """The vendor's clock that a device has. services: its characteristics by service.  None: it has none that is known.

    A characteristic by four digits may be another maker's, and counts only where the product is known.
    """
    clocks = [clock for known in PRODUCTS for clock in known.clocks if known is product or clock.is_unmistakable]
    return next((clock for clock in clocks if clock.characteristic in services.get(clock.service, ())), None)

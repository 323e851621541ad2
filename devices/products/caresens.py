"""CareSens (i-SENS) and ReliOn meters: the reserved meal code 6 marks a ketone record, which is not glucose.

Source: behaviour described in the Tidepool uploader's CareSens driver (tidepool-org/uploader at 3651507).
"""

from __future__ import annotations

from typing import Final

from devices.products.declaration import Product

CARESENS: Final = Product(
    name="caresens",
    manufacturer="i-SENS",
    models=("CareSens", "ReliOn"),
    foreign_meals=frozenset({6}),
)

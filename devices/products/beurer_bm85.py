"""Beurer BM85: user number without its flag, pulse and status in big endian, a mean of 0.

Source: frames captured in derdilla/blood-pressure-monitor-fl, app/test/…/ble_measurement_data_test.dart at 17aba3d.
The flags octet is 0x56: time stamp, pulse, status, and the reserved bit 6. By the standard that frame has 18 octets;
the product sends 19, the user number being there unannounced. So 0x56 with 19 octets is a frame nobody else can mean.
"""

from __future__ import annotations

from typing import Final

from devices.gatt.blood_pressure import BloodPressureMeasurement
from devices.octets import SFLOAT, U16
from devices.products.declaration import Product, Signature

BEURER_BM85: Final = Product(
    name="beurer-bm85",
    manufacturer="Beurer",
    models=("BM85", "BM 85"),
    layouts={
        "2A35": BloodPressureMeasurement.layout.altered(
            pulse_rate={"codec": SFLOAT.swapped()},
            user_id={"when": 0},
            measurement_status={"codec": U16.swapped()},
        )
    },
    signatures=(Signature("2A35", 0x56, 19),),
)

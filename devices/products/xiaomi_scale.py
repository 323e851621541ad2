"""Xiaomi scales: no connection; each advertisement holds a measurement in the service data of 0x181D or 0x181B.

Source: declarations and test frames of theengs/decoder (XMTZC04HM, XMTZC05HM), bits of the flags as pohy/mi-scale-2 and
openScale have them. Neither is the layout of the service that owns the number. A reading in jin counts hundredths of
half a kilogram, which is what a kilogram counts in two hundredths: the same number.
"""

from __future__ import annotations

from typing import ClassVar, Final

from devices.clock import DATE_TIME, DateTime, Moment, place
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.nomenclature import BODY_MASS
from devices.observation import Fact, Observation
from devices.octets import U16, Choice, Field, Layout, scaled
from devices.products.declaration import Product

_KILOGRAMS: Final = scaled(1, 200)
_POUNDS: Final = scaled(1, 100)
_WEIGHT: Final = (Field("weight", _KILOGRAMS, unless=0x01), Field("weight", _POUNDS, when=0x01))


class AdvertisedWeight(Characteristic, frozen=True, kw_only=True):
    """Service data of 0x181D, 10 octets. weight in `unit`.  stabilized: no longer changing.  removed: stepped off
    again.  not_person: the scale was told to weigh things."""

    uuid: ClassVar[str] = "ADV:181D"
    layout: ClassVar[Layout] = Layout(
        (*_WEIGHT, Field("time_stamp", DATE_TIME)),
        choices=(
            Choice("unit", 0x01, "kg", "[lb_av]"),
            Choice("stabilized", 0x20, False, True),
            Choice("not_person", 0x40, False, True),
            Choice("removed", 0x80, False, True),
        ),
    )

    weight: float
    time_stamp: DateTime
    unit: str = "kg"
    stabilized: bool = True
    not_person: bool = False
    removed: bool = False


class AdvertisedComposition(Characteristic, frozen=True, kw_only=True):
    """Service data of 0x181B, 13 octets. impedance in Ohm, a number only where `impedance_measured`."""

    uuid: ClassVar[str] = "ADV:181B"
    layout: ClassVar[Layout] = Layout(
        (Field("time_stamp", DATE_TIME), Field("impedance", U16), *_WEIGHT),
        flags="H",
        choices=(
            Choice("unit", 0x0001, "kg", "[lb_av]"),
            Choice("not_person", 0x0004, False, True),
            Choice("impedance_measured", 0x0200, False, True),
            Choice("stabilized", 0x2000, False, True),
            Choice("removed", 0x8000, False, True),
        ),
    )

    weight: float
    time_stamp: DateTime
    impedance: int = 0
    unit: str = "kg"
    not_person: bool = False
    impedance_measured: bool = False
    stabilized: bool = True
    removed: bool = False


def observe(
    measurement: AdvertisedWeight | AdvertisedComposition, source: record.DeviceFacts, moment: Moment
) -> tuple[Observation, ...]:
    """One weighing, once it is stable; none while it changes, or after the person has stepped off. What is not a person
    is invalid as a body's weight."""
    if not measurement.stabilized or measurement.removed:
        return ()
    return (
        record.observe(
            BODY_MASS,
            (measurement.weight, None, None),
            measurement.unit,
            source,
            place(measurement.time_stamp, moment),
            Fact.INVALID.value if measurement.not_person else 0,
            measurement.trailing,
        ),
    )


XIAOMI_SCALE: Final = Product(
    name="xiaomi-scale",
    manufacturer="Xiaomi",
    models=("MI SCALE", "MI_SCALE", "Mi Smart Scale", "MIBCS", "MIBFS", "Mi Body Composition Scale"),
    advertised=("181D", "181B"),
)

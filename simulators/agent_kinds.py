"""What virtual 11073-20601 devices are and report: nine kinds, five of them under a standard configuration.

The other four standards (10406, 10420, 10421, 10425) have no standard configuration, so these devices tell their own
(docs/decisions/0028). Numbers come from the simulated body; what it does not know is drawn within what a healthy adult
shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from devices.ieee11073.attribute import Mapped
from devices.ieee11073.codes import Attr
from devices.ieee11073.mder import sequence, u16, u32
from devices.ieee11073.objects import Configuration
from devices.ieee11073.scan_report import FixedObs, Obs
from devices.ieee11073.specializations import BY_CONFIGURATION, BY_STANDARD, Row, configured, standard
from devices.medfloat import encode_float, encode_sfloat, medfloat32, sfloat
from devices.nomenclature import (
    BLOOD_PRESSURE,
    BODY_COMPOSITION,
    BODY_MASS,
    BODY_TEMPERATURE,
    GLUCOSE_INTERSTITIAL,
    HEART_RATE,
    PEAK_FLOW,
    PULSE_OXIMETRY,
)
from simulators.physiology import Body

TOLD: Final = 0x4000
"""The first id of the range in which a device tells its own configuration (11073-20601, clause 8.7.3)."""
_GLUCOSE_IN_BLOOD: Final = 160184
_PER_MINUTE, _PERCENT, _KILOGRAM, _MG_PER_DL = 2720, 544, 1731, 2130
_L_PER_MINUTE, _LITRE = 3072, 1600
_INTERMITTENT: Final = 0xF040
_STAMPED: Final = (Mapped(Attr.NU_VAL_OBS_BASIC, 2), Mapped(Attr.TIME_STAMP_ABS, 8))


class Reading(NamedTuple):
    """What an agent reports at once. shown: kind and values of each observation that must come of it."""

    shown: Mapping[int, tuple[float | None, ...]]
    obs: tuple[Obs, ...]


class Kind(NamedTuple):
    """A kind of device: the term of its profile, its configuration, and what it reports."""

    profile: int
    configuration: Configuration
    read: Callable[[Body, datetime, int, bytes], Reading]


def _basic(value: float) -> bytes:
    return u16(encode_sfloat(sfloat(value)))


def _simple(value: float) -> bytes:
    return u32(encode_float(medfloat32(value)))


def _stamped(stamp: bytes, *values: float) -> tuple[Obs, ...]:
    """Handles count from 1, as in `_telling`."""
    return tuple(FixedObs(handle, _basic(value) + stamp) for handle, value in enumerate(values, 1))


def _cuff(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    shown = body.blood_pressure(local, ordinal)
    pressures = sequence(_basic(value) for value in shown[:3])
    obs = (FixedObs(1, pressures + stamp), FixedObs(2, _basic(shown.pulse) + stamp))
    return Reading({BLOOD_PRESSURE: tuple(shown)}, obs)


def _scale(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    kilograms = body.weight(local, ordinal)
    return Reading({BODY_MASS: (kilograms, None, None)}, (FixedObs(1, _simple(kilograms) + stamp),))


def _meter(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    # the standard configuration is in mg/dL
    level = float(round(body.glucose(local, ordinal).value * 18))
    return Reading({_GLUCOSE_IN_BLOOD: (level,)}, _stamped(stamp, level))


def _oximeter(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    shown = body.oximetry(local, ordinal)
    obs = (FixedObs(1, _basic(shown.saturation) + stamp), FixedObs(10, _basic(shown.pulse) + stamp))
    return Reading({PULSE_OXIMETRY: (shown.saturation, shown.pulse, None)}, obs)


def _thermometer(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    # warmer in the evening by half a degree; nobody here has a fever
    degrees = round(36.5 + 0.02 * local.hour + body.noise("body_temperature", ordinal).gauss(0, 0.1), 1)
    return Reading({BODY_TEMPERATURE: (degrees,)}, _stamped(stamp, degrees))


def _electrocardiograph(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    rate = body.oximetry(local, ordinal).pulse
    return Reading({HEART_RATE: (rate,)}, _stamped(stamp, rate))


def _analyser(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    kilograms = round(body.weight(local, ordinal), 1)
    fat = round(body.noise("body_composition", ordinal).gauss(24, 0.3), 1)
    free = round(kilograms * (1 - fat / 100), 1)
    # a weight is an observation of its own, so that it counts like any other
    shown = {BODY_COMPOSITION: (fat, None, None, free, *(None,) * 6), BODY_MASS: (kilograms, None, None)}
    return Reading(shown, _stamped(stamp, fat, kilograms, free))


def _peak_flow_meter(body: Body, local: datetime, ordinal: int, stamp: bytes) -> Reading:
    best, noise = 520.0, body.noise("peak_flow", ordinal).gauss(0, 6)
    # airways are narrowest at four in the morning
    flow = float(round(best - 30 + 1.5 * abs((local.hour + 8) % 24 - 12) + noise, -1))
    first, six = round(0.0075 * flow, 2), round(0.0095 * flow, 2)
    return Reading({PEAK_FLOW: (flow, best, first, six)}, _stamped(stamp, flow, best, first, six))


def _glucose_sensor(body: Body, local: datetime, _: int, stamp: bytes) -> Reading:
    level = body.interstitial(local)
    return Reading({GLUCOSE_INTERSTITIAL: (level,)}, _stamped(stamp, level))


def _standard(identity: int, read: Callable[[Body, datetime, int, bytes], Reading]) -> Kind:
    return Kind(BY_CONFIGURATION[identity].profile, standard(identity), read)


def _telling(document: str, read: Callable[[Body, datetime, int, bytes], Reading], *numerics: tuple[int, int]) -> Kind:
    """numerics: the term and the unit of each."""
    rows = (Row(handle, term, _INTERMITTENT, unit, _STAMPED) for handle, (term, unit) in enumerate(numerics, 1))
    return Kind(BY_STANDARD[document].profile, configured(TOLD, tuple(rows)), read)


KINDS: Final[dict[str, Kind]] = {
    "blood-pressure": _standard(0x02BC, _cuff),
    "weight": _standard(0x05DC, _scale),
    "glucose": _standard(0x06A4, _meter),
    "oximeter": _standard(0x0191, _oximeter),
    "thermometer": _standard(0x0320, _thermometer),
    "heart-rate": _telling("11073-10406", _electrocardiograph, (16770, _PER_MINUTE)),
    "body-composition": _telling("11073-10420", _analyser, (57676, _PERCENT), (57664, _KILOGRAM), (57684, _KILOGRAM)),
    "peak-flow": _telling(
        "11073-10421",
        _peak_flow_meter,
        (21512, _L_PER_MINUTE),
        (21513, _L_PER_MINUTE),
        (21514, _LITRE),
        (21515, _LITRE),
    ),
    "glucose-sensor": _telling("11073-10425", _glucose_sensor, (29140, _MG_PER_DL)),
}

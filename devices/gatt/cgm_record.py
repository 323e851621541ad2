"""What a CGM record means: control solution or not and the site as the feature says, status facts, and the moment.

Source: Bluetooth CGM Service 1.0.2, clauses 3.1 (measurement), 3.2 (feature: type and sample location) and 3.4 (session
start); ISO/IEEE 11073-10101 for the kinds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from devices.clock import DateTime, Moment, place
from devices.gatt import record
from devices.gatt.cgm import SUBCUTANEOUS_TISSUE, CgmFeature, CgmMeasurement, CgmSessionStartTime
from devices.gatt.glucose import SampleLocation, SampleType
from devices.gatt.glucose_record import SITES
from devices.nomenclature import GLUCOSE_CONTROL, GLUCOSE_INTERSTITIAL
from devices.observation import Context, Fact, Observation, Site

_SITES: Final = SITES | {SUBCUTANEOUS_TISSUE: Site.SUBCUTANEOUS}
_UNDER_THE_SKIN: Final = Context(site=Site.SUBCUTANEOUS)
_STATUS: Final = ((0x02, Fact.BATTERY_LOW), (0x04 | 0x08 | 0x20, Fact.DEVICE_MALFUNCTION))
_CALIBRATION_TEMPERATURE: Final = ((0x10 | 0x20, Fact.SENSOR_TEMPERATURE), (0x40, Fact.CALIBRATION_ONGOING))
_WARNING: Final = ((0x40, Fact.RESULT_TOO_LOW), (0x80, Fact.RESULT_TOO_HIGH))


@record.remembered
def _measured_as(sample: int, location: int) -> tuple[int, Context | None]:
    """Control solution, by type or by place; else interstitial fluid: sensors of published kits say "venous blood"."""
    site = _SITES.get(location)
    control = sample == SampleType.CONTROL_SOLUTION or location == SampleLocation.CONTROL_SOLUTION
    return GLUCOSE_CONTROL if control else GLUCOSE_INTERSTITIAL, None if site is None else Context(site=site)


def _measured(feature: CgmFeature | None) -> tuple[int, Context | None]:
    if feature is None:
        return GLUCOSE_INTERSTITIAL, _UNDER_THE_SKIN
    return _measured_as(feature.type, feature.sample_location)


@record.remembered
def status_facts(status: int | None, calibration_temperature: int | None, warning: int | None) -> int:
    """The facts of the three status octets, as bits. The sensor's own hypo and hyper levels are not facts: the packs
    judge."""
    return (
        record.facts_of(status, _STATUS)
        | record.facts_of(calibration_temperature, _CALIBRATION_TEMPERATURE)
        | record.facts_of(warning, _WARNING)
    )


def observe(
    measurement: CgmMeasurement,
    source: record.DeviceFacts,
    moment: Moment,
    start: CgmSessionStartTime | None = None,
    feature: CgmFeature | None = None,
) -> tuple[Observation, ...]:
    """One observation a record, in mg/dL, at the session start plus its offset; record_no is the offset.

    The feature says where, and whether it is control solution; without one it is interstitial fluid under the skin.

    Without the start the records have no stamp, and each is at the time of reception.  A start that does not know its
    zone is in the gateway's; one that is not known in all parts is a clock that was not set, and no date a wrong one.
    """
    began = unknown = None
    if start is not None:
        began = start.session_start_time.naive()
        unknown = start.session_start_time if began is None else None
        moment = moment._replace(zone=start.zone() or moment.zone)
    kind, context = _measured(feature)
    always = Fact.CONTROL_SOLUTION.value if kind == GLUCOSE_CONTROL else 0
    found = []
    for one in measurement.records:
        stamp = unknown
        if began is not None:
            try:
                stamp = DateTime.of(began + timedelta(minutes=one.time_offset))
            except OverflowError:
                stamp = None
        found.append(
            record.observe(
                kind,
                (one.concentration,),
                "mg/dL",
                source,
                place(stamp, moment),
                always | status_facts(one.status, one.calibration_temperature, one.warning),
                one.trailing,
                None,
                context,
                one.time_offset,
            )
        )
    return tuple(found)

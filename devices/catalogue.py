"""The catalogue: which codec reads a characteristic, and which observations its value holds.

`decode` and `observe` are pure tables; a new family is a row in each. Characteristics are named by their 16-bit UUID.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from devices.clock import Moment
from devices.errors import DeviceError, UnknownCharacteristic
from devices.gatt import (
    battery,
    blood_pressure,
    blood_pressure_enhanced,
    blood_pressure_record,
    body_composition,
    cgm,
    cgm_operations,
    cgm_record,
    current_time,
    device_information,
    elapsed_time,
    generic_health_sensor,
    glucose,
    glucose_record,
    health_observing,
    heart_rate,
    pulse_oximeter,
    record_access,
    registered_user,
    regulatory,
    thermometer,
    user_data,
    weight_scale,
)
from devices.gatt.characteristic import Characteristic
from devices.gatt.health_observation import HealthObservation
from devices.gatt.record import DeviceFacts
from devices.observation import Observation
from devices.octets import Layout
from devices.products.declaration import Product
from devices.products.known import SIGNED, recognise
from devices.products.omron_record import OmronRecord
from devices.products.omron_record import observe as observe_slot
from devices.products.xiaomi_scale import AdvertisedComposition, AdvertisedWeight
from devices.products.xiaomi_scale import observe as observe_advertised

CHARACTERISTICS: Final[tuple[type[Characteristic], ...]] = (
    battery.BatteryLevel,
    blood_pressure.BloodPressureFeature,
    blood_pressure.BloodPressureMeasurement,
    blood_pressure.IntermediateCuffPressure,
    blood_pressure_enhanced.EnhancedBloodPressureMeasurement,
    blood_pressure_enhanced.EnhancedIntermediateCuffPressure,
    blood_pressure_record.BloodPressureRecord,
    body_composition.BodyCompositionFeature,
    body_composition.BodyCompositionMeasurement,
    cgm.CgmFeature,
    cgm.CgmMeasurement,
    cgm.CgmSessionRunTime,
    cgm.CgmSessionStartTime,
    cgm.CgmStatus,
    cgm_operations.CgmOperation,
    current_time.CurrentTime,
    current_time.DateTimeValue,
    current_time.LocalTimeInformation,
    device_information.FirmwareRevision,
    device_information.HardwareRevision,
    device_information.ManufacturerName,
    device_information.ModelNumber,
    device_information.PnpId,
    device_information.SerialNumber,
    device_information.SoftwareRevision,
    device_information.SystemId,
    elapsed_time.ElapsedTimeValue,
    generic_health_sensor.HealthSensorControlPoint,
    generic_health_sensor.HealthSensorFeatures,
    generic_health_sensor.LiveHealthObservations,
    generic_health_sensor.ObservationScheduleChanged,
    generic_health_sensor.StoredHealthObservations,
    glucose.GlucoseFeature,
    glucose.GlucoseMeasurement,
    glucose.GlucoseMeasurementContext,
    heart_rate.BodySensorLocation,
    heart_rate.HeartRateControlPoint,
    heart_rate.HeartRateMeasurement,
    pulse_oximeter.PlxContinuousMeasurement,
    pulse_oximeter.PlxFeatures,
    pulse_oximeter.PlxSpotCheckMeasurement,
    record_access.RecordAccess,
    registered_user.RegisteredUser,
    regulatory.RegulatoryCertification,
    thermometer.IntermediateTemperature,
    thermometer.MeasurementInterval,
    thermometer.TemperatureMeasurement,
    thermometer.TemperatureTypeValue,
    user_data.DatabaseChangeIncrement,
    user_data.DateOfBirth,
    user_data.Gender,
    user_data.Height,
    user_data.UserControlPoint,
    user_data.UserIndex,
    weight_scale.WeightMeasurement,
    weight_scale.WeightScaleFeature,
    AdvertisedComposition,
    AdvertisedWeight,
    OmronRecord,
)
BY_UUID: Final[dict[str, type[Characteristic]]] = {known.uuid: known for known in CHARACTERISTICS}

_OBSERVE: Final[dict[type[Characteristic], Callable[[Any, DeviceFacts, Moment], Observation]]] = {
    blood_pressure.BloodPressureMeasurement: blood_pressure.observe,
    blood_pressure_enhanced.EnhancedBloodPressureMeasurement: blood_pressure_enhanced.observe,
    body_composition.BodyCompositionMeasurement: body_composition.observe,
    heart_rate.HeartRateMeasurement: heart_rate.observe,
    pulse_oximeter.PlxContinuousMeasurement: pulse_oximeter.observe,
    pulse_oximeter.PlxSpotCheckMeasurement: pulse_oximeter.observe,
    thermometer.TemperatureMeasurement: thermometer.observe,
    weight_scale.WeightMeasurement: weight_scale.observe,
}

_HealthSegment = generic_health_sensor.LiveHealthObservations | generic_health_sensor.StoredHealthObservations


def _body_of(value: _HealthSegment) -> HealthObservation | DeviceError | None:
    try:
        return value.observation
    except DeviceError as error:
        return error


def _observe_health(value: _HealthSegment, source: DeviceFacts, moment: Moment) -> tuple[Observation, ...]:
    body = _body_of(value)
    if isinstance(value, generic_health_sensor.StoredHealthObservations):
        moment = moment._replace(live=False)
    return health_observing.observe(body, source, moment) if isinstance(body, HealthObservation) else ()


def _why_no_health(value: _HealthSegment) -> DeviceError | None:
    body = _body_of(value)
    return health_observing.why_none(body) if isinstance(body, HealthObservation) else body


_OBSERVE_SEVERAL: Final[dict[type[Characteristic], Callable[[Any, DeviceFacts, Moment], tuple[Observation, ...]]]] = {
    AdvertisedComposition: observe_advertised,
    AdvertisedWeight: observe_advertised,
    OmronRecord: observe_slot,
    blood_pressure_record.BloodPressureRecord: blood_pressure_record.observe,
    generic_health_sensor.LiveHealthObservations: _observe_health,
    generic_health_sensor.StoredHealthObservations: _observe_health,
}
_WHY_ODD: Final[dict[type[Characteristic], Callable[[Any], DeviceError | None]]] = {
    blood_pressure_record.BloodPressureRecord: blood_pressure_record.why_none,
    registered_user.RegisteredUser: registered_user.why_none,
    generic_health_sensor.LiveHealthObservations: _why_no_health,
    generic_health_sensor.StoredHealthObservations: _why_no_health,
}

_UUID: Final = re.compile(
    r"(?:0x)?([0-9a-f]{4})|0000([0-9a-f]{4})-0000-1000-8000-00805f9b34fb|([a-z]{3,16}:[0-9a-z]{4,16})", re.IGNORECASE
)


def short_uuid(uuid: str) -> str:
    """`2A35` for `2a35`, `0x2A35` and the 128-bit form; `ADV:181D` is the service data of an advertisement, and other
    names with a colon are records of a vendor's own (`OMRON:EEPROM14LE`).

    UnknownCharacteristic: neither such a name nor a UUID of the Bluetooth base.
    """
    found = _UUID.fullmatch(uuid)
    if found is None:
        raise UnknownCharacteristic(f"{uuid[:64]!r} is no 16-bit UUID")
    return (found[1] or found[2] or found[3]).upper()


def layout_of(uuid: str, data: bytes, product: Product | None = None) -> Layout | None:
    """The layout by which this frame deviates, for `decode` and `encode`. None: it is the standard's."""
    deviation = product or recognise(uuid, data)
    return deviation.layout_for(uuid, data) if deviation is not None else None


def decode(uuid: str, data: bytes, product: Product | None = None) -> Characteristic:
    """The value of a characteristic. `product`: the declaration found by Device Information; where there is none, a
    frame that bears the signature of a product is read as that product's.

    UnknownCharacteristic, Truncated (names the field), BadValue.
    """
    known = BY_UUID.get(uuid) or BY_UUID.get(short_uuid(uuid))
    if known is None:
        raise UnknownCharacteristic(f"no codec for {short_uuid(uuid)}")
    if product is None:
        if len(data) not in SIGNED:
            return known.decode(data)
        product = recognise(known.uuid, data)
    return known.decode(data, None if product is None else product.layout_for(known.uuid, data))


def observe(  # noqa: PLR0917  keyword-only arguments make the call of every reading dear
    value: Characteristic,
    source: DeviceFacts,
    moment: Moment,
    context: glucose.GlucoseMeasurementContext | None = None,
    start: cgm.CgmSessionStartTime | None = None,
    product: Product | None = None,
    feature: cgm.CgmFeature | None = None,
) -> tuple[Observation, ...]:
    """The observations in a decoded value: none where it is no measurement (features, control points, cuff pressure).

    context: the glucose context with the same sequence number.  start, feature: the session start of
    a CGM sensor, and what it says that it measures.
    """
    observer = _OBSERVE.get(type(value))
    if observer is not None:
        return (observer(value, source, moment),)
    if isinstance(value, glucose.GlucoseMeasurement):
        meals = product.foreign_meals if product is not None else frozenset()
        return (glucose_record.observe(value, source, moment, context, foreign_meals=meals),)
    if isinstance(value, cgm.CgmMeasurement):
        return cgm_record.observe(value, source, moment, start, feature)
    several = _OBSERVE_SEVERAL.get(type(value))
    return () if several is None else several(value, source, moment)


def why_odd(value: Characteristic) -> DeviceError | None:
    """Why a value that holds a measurement gives no observation, or fewer than it holds; for the operator.

    None: it gives all of them, or is no measurement, or a segment of several, which are put together first
    (`devices.gatt.segmentation.Joining`).
    """
    why = _WHY_ODD.get(type(value))
    return None if why is None else why(value)

"""What a decoded record becomes: kinds, units, absent values, facts, contexts, identities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from devices import medfloat
from devices.catalogue import observe
from devices.clock import DateTime, Moment
from devices.errors import BadValue
from devices.gatt import blood_pressure, body_composition, cgm, glucose_record, heart_rate, pulse_oximeter, thermometer
from devices.gatt.blood_pressure import BloodPressureMeasurement
from devices.gatt.glucose import (
    GlucoseMeasurement,
    GlucoseMeasurementContext,
    MealCode,
    SampleLocation,
    SampleType,
    SensorStatus,
)
from devices.gatt.pulse_oximeter import PlxContinuousMeasurement, PlxSpotCheckMeasurement
from devices.gatt.record import DeviceFacts
from devices.gatt.weight_scale import WeightMeasurement
from devices.medfloat import sfloat
from devices.nomenclature import GLUCOSE_CONTROL
from devices.observation import NEVER_JUDGED, Fact, Meal, Observation, Site
from devices.products.caresens import CARESENS

HEARD = datetime(2026, 3, 5, 2, 0, 0, tzinfo=UTC)
MOMENT = Moment(HEARD)
SOURCE = DeviceFacts("eui64:0102030405060708")
STAMP = DateTime(2026, 3, 5, 9, 30, 0)


def facts(observation: Observation) -> Fact:
    return Fact(observation.fact_bits())


def cuff(**fields: Any) -> Observation:
    known: dict[str, Any] = {
        "systolic": sfloat(142),
        "diastolic": sfloat(91),
        "mean_arterial_pressure": sfloat(108),
        "time_stamp": STAMP,
    }
    return blood_pressure.observe(BloodPressureMeasurement(**(known | fields)), SOURCE, MOMENT)


def meter(context: GlucoseMeasurementContext | None = None, **fields: Any) -> Observation:
    known: dict[str, Any] = {
        "sequence_number": 7,
        "base_time": STAMP,
        "concentration": sfloat("0.0078", 4),
        "unit": "mol/L",
        "type": SampleType.CAPILLARY_WHOLE_BLOOD,
        "sample_location": SampleLocation.FINGER,
    }
    return glucose_record.observe(GlucoseMeasurement(**(known | fields)), SOURCE, MOMENT, context)


def test_a_cuff_reading_has_four_values_in_the_reported_unit() -> None:
    seen = cuff(pulse_rate=sfloat(72), user_id=2)
    assert (seen.kind, seen.values, seen.unit) == (150020, (142.0, 91.0, 108.0, 72.0), "mm[Hg]")
    assert (seen.slot, seen.device_at, seen.measured_at) == (
        2,
        datetime(2026, 3, 5, 9, 30),
        HEARD - timedelta(minutes=30),
    )


def test_what_the_cuff_did_not_send_is_not_sent() -> None:
    assert cuff().absent == {3: "not-sent"}


def test_a_mean_of_zero_was_not_computed() -> None:
    seen = cuff(mean_arterial_pressure=sfloat(0), pulse_rate=sfloat(72))
    assert (seen.values[2], seen.absent) == (None, {2: "not-sent"})
    assert not facts(seen) & Fact.IMPLAUSIBLE


def test_a_failed_cuff_reading_has_no_numbers() -> None:
    nan = medfloat.NAN
    seen = cuff(systolic=nan, diastolic=nan, mean_arterial_pressure=nan, pulse_rate=nan)
    assert seen.values == (None, None, None, None)
    assert set(seen.absent.values()) == {"not-a-number"}


def test_the_unknown_user_is_no_user() -> None:
    assert cuff(user_id=0xFF).slot is None
    assert cuff(user_id=0).slot == 0


def test_a_diastolic_above_its_systolic_is_implausible() -> None:
    assert facts(cuff(diastolic=sfloat(150))) & Fact.IMPLAUSIBLE
    assert not facts(cuff()) & Fact.IMPLAUSIBLE


def test_a_pressure_in_kilopascal_stays_in_kilopascal() -> None:
    seen = cuff(systolic=sfloat(18.9), diastolic=sfloat(11), mean_arterial_pressure=sfloat(15.9), unit="kPa")
    assert (seen.values[:3], seen.unit) == ((18.9, 11.0, 15.9), "kPa")
    assert not facts(seen) & Fact.IMPLAUSIBLE


@pytest.mark.parametrize(
    ("status", "fact"),
    [
        (0x01, Fact.BODY_MOVEMENT),
        (0x02, Fact.CUFF_TOO_LOOSE),
        (0x04, Fact.IRREGULAR_PULSE),
        (0x08, Fact.PULSE_ABOVE_RANGE),
        (0x10, Fact.PULSE_BELOW_RANGE),
        (0x18, Fact(0)),
        (0x20, Fact.IMPROPER_POSITION),
        (0x40, Fact(0)),
    ],
)
def test_a_status_bit_of_a_cuff_is_its_fact(status: int, fact: Fact) -> None:
    assert facts(cuff(measurement_status=status)) == fact


def test_left_over_octets_are_a_fact() -> None:
    assert facts(cuff(trailing=b"\x00")) == Fact.TRAILING_BYTES


def test_the_device_and_the_session_go_along() -> None:
    source = DeviceFacts("ble:AA-BB", "kiosk-7", Fact.SIMULATED)
    measurement = BloodPressureMeasurement(
        systolic=sfloat(120), diastolic=sfloat(80), mean_arterial_pressure=sfloat(93), time_stamp=STAMP
    )
    seen = blood_pressure.observe(measurement, source, MOMENT)
    assert (seen.device, seen.session, seen.facts) == ("ble:AA-BB", "kiosk-7", ("simulated",))


def test_a_concentration_is_shifted_exactly() -> None:
    assert (meter().values, meter().unit) == ((7.8,), "mmol/L")
    mass = meter(concentration=sfloat("0.00141", 5), unit="kg/L")
    assert (mass.values, mass.unit) == ((141.0,), "mg/dL")


@pytest.mark.parametrize(
    ("type_", "kind"),
    [(1, 160184), (2, 160188), (3, 160192), (4, 160196), (5, 160200), (6, 160204), (7, 160364), (8, 160368),
     (9, 160212), (10, GLUCOSE_CONTROL), (0, 160364), (15, 160364)],
)  # fmt: skip
def test_the_sample_type_is_the_kind(type_: int, kind: int) -> None:
    assert meter(type=type_).kind == kind


def test_control_solution_is_never_a_reading_of_a_person() -> None:
    by_type = meter(type=SampleType.CONTROL_SOLUTION)
    by_location = meter(sample_location=SampleLocation.CONTROL_SOLUTION)
    for seen in (by_type, by_location):
        assert seen.kind == GLUCOSE_CONTROL
        assert facts(seen) & Fact.CONTROL_SOLUTION
        assert facts(seen) & NEVER_JUDGED


def test_a_control_solution_is_none_of_interstitial_fluid() -> None:
    control = meter(type=SampleType.INTERSTITIAL_FLUID, sample_location=SampleLocation.CONTROL_SOLUTION)
    assert control.kind == GLUCOSE_CONTROL
    assert meter(type=SampleType.INTERSTITIAL_FLUID, sample_location=5).kind == 160212


@pytest.mark.parametrize(
    ("fields", "fact", "absent"),
    [
        ({"concentration": medfloat.POSITIVE_INFINITY}, Fact.RESULT_TOO_HIGH, "positive-infinity"),
        ({"concentration": medfloat.NEGATIVE_INFINITY}, Fact.RESULT_TOO_LOW, "negative-infinity"),
        (
            {
                "concentration": None,
                "type": None,
                "sample_location": None,
                "sensor_status_annunciation": SensorStatus.RESULT_TOO_HIGH.value,
            },
            Fact.RESULT_TOO_HIGH,
            "not-sent",
        ),
    ],
)
def test_hi_and_lo_are_facts_and_no_numbers(fields: dict[str, Any], fact: Fact, absent: str) -> None:
    seen = meter(**fields)
    assert (facts(seen), seen.values, seen.absent) == (fact, (None,), {0: absent})


@pytest.mark.parametrize(
    ("bit", "fact"),
    list(
        enumerate(
            [
                Fact.BATTERY_LOW,
                Fact.DEVICE_MALFUNCTION,
                Fact.SAMPLE_INSUFFICIENT,
                Fact.STRIP_ERROR,
                Fact.STRIP_ERROR,
                Fact.RESULT_TOO_HIGH,
                Fact.RESULT_TOO_LOW,
                Fact.SENSOR_TEMPERATURE,
                Fact.SENSOR_TEMPERATURE,
                Fact.READ_INTERRUPTED,
                Fact.DEVICE_MALFUNCTION,
                Fact.TIME_FAULT,
                Fact(0),
            ]
        )
    ),
)
def test_a_status_bit_of_a_meter_is_its_fact(bit: int, fact: Fact) -> None:
    assert facts(meter(sensor_status_annunciation=1 << bit)) == fact


def test_the_record_number_and_the_user_facing_time_identify() -> None:
    seen = meter(time_offset=-60)
    assert (seen.record_no, seen.device_at) == (7, datetime(2026, 3, 5, 8, 30))


@pytest.mark.parametrize(("code", "meal"), list(zip(MealCode, Meal, strict=True)))
def test_the_context_says_the_meal(code: MealCode, meal: Meal) -> None:
    seen = meter(GlucoseMeasurementContext(sequence_number=7, meal=code))
    assert seen.context is not None
    assert (seen.context.meal, seen.context.site) == (meal, Site.FINGER)


def test_a_reserved_meal_is_no_meal() -> None:
    assert meter(GlucoseMeasurementContext(sequence_number=7, meal=6), sample_location=15).context is None


def test_contexts_join_their_measurements_by_number() -> None:
    records = [GlucoseMeasurement(sequence_number=number, base_time=STAMP) for number in (5, 6, 7)]
    contexts = [GlucoseMeasurementContext(sequence_number=number) for number in (7, 5)]
    joined = glucose_record.join(records, contexts)
    assert [context and context.sequence_number for _, context in joined] == [5, None, 7]


def test_a_ketone_record_of_caresens_is_invalid_as_glucose() -> None:
    record = GlucoseMeasurement(sequence_number=7, base_time=STAMP, concentration=sfloat("0.0012", 4), unit="mol/L",
                                type=1, sample_location=1)  # fmt: skip
    context = GlucoseMeasurementContext(sequence_number=7, meal=6)
    (marked,) = observe(record, SOURCE, MOMENT, context=context, product=CARESENS)
    (plain,) = observe(record, SOURCE, MOMENT, context=context)
    assert facts(marked) & Fact.INVALID
    assert not facts(plain) & Fact.INVALID


@pytest.mark.parametrize(
    ("status", "fact"),
    [
        (0x0020, Fact(0)),
        (0x0040, Fact.EARLY_ESTIMATE),
        (0x0080, Fact.VALIDATED),
        (0x0100, Fact(0)),
        (0x0200, Fact.FROM_STORAGE),
        (0x0400, Fact.DEMO_DATA),
        (0x0800, Fact.TEST_DATA),
        (0x1000, Fact.CALIBRATION_ONGOING),
        (0x2000, Fact.NOT_AVAILABLE),
        (0x4000, Fact.QUESTIONABLE),
        (0x8000, Fact.INVALID),
    ],
)
def test_a_measurement_status_bit_of_an_oximeter_is_its_fact(status: int, fact: Fact) -> None:
    assert pulse_oximeter.status_facts(status, 0) == fact


@pytest.mark.parametrize(
    ("bit", "fact"),
    list(
        enumerate(
            [
                Fact(0),
                Fact.DEVICE_MALFUNCTION,
                Fact.POOR_SIGNAL,
                Fact.POOR_SIGNAL,
                Fact.POOR_SIGNAL,
                Fact.LOW_PERFUSION,
                Fact.POOR_SIGNAL,
                Fact.PULSE_QUESTIONABLE,
                Fact.PULSE_QUESTIONABLE,
                Fact(0),
                Fact.POOR_SIGNAL,
                Fact.SENSOR_DISCONNECTED,
                Fact.QUESTIONABLE,
                Fact.SENSOR_DISPLACED,
                Fact.DEVICE_MALFUNCTION,
                Fact.SENSOR_DISCONNECTED,
            ]
        )
    ),
)
def test_a_sensor_status_bit_of_an_oximeter_is_its_fact(bit: int, fact: Fact) -> None:
    assert pulse_oximeter.status_facts(0, 1 << bit) == fact


def test_a_spot_check_has_saturation_pulse_and_amplitude() -> None:
    spot = PlxSpotCheckMeasurement(spo2=sfloat(97), pr=sfloat(64), time_stamp=STAMP, pulse_amplitude_index=sfloat(5.1))
    seen = pulse_oximeter.observe(spot, SOURCE, MOMENT)
    assert (seen.kind, seen.values, seen.unit, seen.facts) == (150456, (97.0, 64.0, 5.1), "%", ())


def test_a_continuous_measurement_has_no_clock() -> None:
    seen = pulse_oximeter.observe(PlxContinuousMeasurement(spo2=sfloat(97), pr=sfloat(64)), SOURCE, MOMENT)
    assert (seen.device_at, facts(seen)) == (None, Fact.NO_DEVICE_CLOCK)


def test_an_oximeter_whose_clock_was_not_set_counts_only_live() -> None:
    spot = PlxSpotCheckMeasurement(spo2=sfloat(97), pr=sfloat(64), time_stamp=STAMP, device_clock_not_set=True)
    stored = msgspec.structs.replace(spot, measurement_status=0x0200)
    assert facts(pulse_oximeter.observe(spot, SOURCE, MOMENT)) == Fact.CLOCK_NOT_SET
    lost = Fact.CLOCK_NOT_SET | Fact.LOST_TIMELINE | Fact.FROM_STORAGE
    assert facts(pulse_oximeter.observe(stored, SOURCE, MOMENT)) == lost


def test_a_saturation_above_a_hundred_is_implausible() -> None:
    seen = pulse_oximeter.observe(PlxContinuousMeasurement(spo2=sfloat(127), pr=sfloat(64)), SOURCE, MOMENT)
    assert facts(seen) & Fact.IMPLAUSIBLE


def test_a_weighing_keeps_its_unit_and_leaves_out_what_the_scale_did_not_know() -> None:
    (seen,) = observe(WeightMeasurement(weight=182.5, unit="[lb_av]", bmi=0.0, height=0.0), SOURCE, MOMENT)
    assert (seen.values, seen.unit) == ((182.5, None, None), "[lb_av]")
    assert seen.absent == {1: "not-sent", 2: "not-sent"}


def test_a_weighing_that_failed_has_no_number() -> None:
    (seen,) = observe(WeightMeasurement(weight=None), SOURCE, MOMENT)
    assert (seen.values[0], seen.absent[0]) == (None, "unsuccessful")


def test_the_resolution_of_a_scale_does_not_change_its_unit() -> None:
    assert WeightMeasurement.decode(bytes.fromhex("00205c")).weight == 117.92
    assert WeightMeasurement.decode(bytes.fromhex("01205c")).weight == 235.84


def test_a_composition_in_pounds_becomes_kilograms() -> None:
    measured = body_composition.BodyCompositionMeasurement(
        body_fat_percentage=24.3, unit="[lb_av]", weight=200.0, height=70.0
    )
    (seen,) = observe(measured, SOURCE, MOMENT)
    assert (seen.values[:3], seen.unit) == ((24.3, 90.718474, 1.778), "%")


def test_two_packets_of_a_composition_are_one() -> None:
    first = body_composition.BodyCompositionMeasurement(body_fat_percentage=24.3, user_id=1, multiple_packet=True)
    second = body_composition.BodyCompositionMeasurement(
        body_fat_percentage=24.3, user_id=1, weight=80.0, multiple_packet=True
    )
    assert body_composition.merge(first, second).weight == 80.0


@pytest.mark.parametrize(
    ("field", "second"),
    [
        ("unit", {"unit": "[lb_av]"}),
        ("user_id", {"user_id": 0}),
        ("time_stamp", {"time_stamp": DateTime(2026, 11, 22, 8, 1, 0)}),
        ("weight", {"weight": 80.1}),
    ],
)
def test_packets_that_contradict_each_other_are_of_two_compositions(field: str, second: dict[str, Any]) -> None:
    first = body_composition.BodyCompositionMeasurement(
        body_fat_percentage=24.3, user_id=1, time_stamp=DateTime(2026, 11, 22, 8, 0, 0), weight=80.0
    )
    other = body_composition.BodyCompositionMeasurement(body_fat_percentage=None, **second)
    with pytest.raises(BadValue) as raised:
        body_composition.merge(first, other)
    assert raised.value.field == field


def test_what_a_packet_did_not_compute_is_taken_from_the_other() -> None:
    first = body_composition.BodyCompositionMeasurement(body_fat_percentage=24.3, height=0.0, user_id=1)
    second = body_composition.BodyCompositionMeasurement(body_fat_percentage=0.0, height=1.7, trailing=b"\x01")
    found = body_composition.merge(first, second)
    assert (found.body_fat_percentage, found.height, found.user_id, found.trailing) == (24.3, 1.7, 1, b"\x01")


def test_a_temperature_carries_its_site() -> None:
    measured = thermometer.TemperatureMeasurement(temperature=medfloat.medfloat32(36.6), temperature_type=3)
    (seen,) = observe(measured, SOURCE, MOMENT)
    assert (seen.values, seen.unit) == ((36.6,), "Cel")
    assert seen.context is not None
    assert seen.context.site is Site.EAR


def test_a_heart_rate_without_skin_contact_is_not_available() -> None:
    measured = heart_rate.HeartRateMeasurement(heart_rate=80, contact_supported=True)
    (seen,) = observe(measured, SOURCE, MOMENT)
    assert facts(seen) & NEVER_JUDGED


def test_a_cgm_record_is_at_the_session_start_plus_its_offset() -> None:
    measured = cgm.CgmMeasurement(records=(cgm.CgmRecord(concentration=sfloat(104), time_offset=15),))
    start = cgm.CgmSessionStartTime(session_start_time=STAMP)
    (seen,) = observe(measured, SOURCE, MOMENT, start=start)
    assert (seen.values, seen.unit, seen.record_no) == ((104.0,), "mg/dL", 15)
    assert seen.device_at == datetime(2026, 3, 5, 9, 45)

"""Generic health sensor: what of a body becomes an observation, provisionally, and what says why it does not."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.catalogue import decode, observe, why_odd
from devices.clock import Counter, Moment
from devices.decode_cli import answer
from devices.errors import DeviceError, Truncated
from devices.gatt import health_observing
from devices.gatt.elapsed_time import ElapsedTime, place
from devices.gatt.generic_health_sensor import (
    StoredHealthObservations,
    stored_record,
)
from devices.gatt.health_observation import (
    HealthObservation,
    observation_in,
)
from devices.gatt.record import DeviceFacts
from devices.observation import QUESTIONABLE_FACTS, Context, Fact, Meal, Observation
from tests.health_bodies import COUNTER, CURRENT, MANUAL, NTP, OFFSET, TEMPERATURE, UTC_, body, compound, number, stamp

HEARD = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SOURCE = DeviceFacts("eui64:0102030405060708")
MOMENT = Moment(HEARD)


def seen(one: HealthObservation, moment: Moment = MOMENT) -> tuple[Observation, ...]:
    return observe(decode("2B8B", b"\x03" + one.octets), SOURCE, moment)


def reason(one: HealthObservation) -> tuple[str, str] | None:
    found = why_odd(decode("2B8B", b"\x03" + one.octets))
    return None if found is None else (type(found).__name__, found.field)


# -- observations


@given(st.binary(max_size=60), st.integers(0, 255), st.integers(0, 0x3FF))
def test_any_body_comes_back_or_is_an_error(rest: bytes, kind: int, flags: int) -> None:
    octets = struct.pack("<BHH", kind, len(rest) + 2, flags) + rest
    try:
        one = observation_in(octets)
    except DeviceError:
        return
    assert one.octets == octets
    found = health_observing.observe(one, SOURCE, MOMENT)
    assert found or health_observing.why_none(one) is not None or kind in {7, 255}


def test_a_temperature_is_a_provisional_observation_at_its_utc_stamp() -> None:
    one = msgspec.structs.replace(observation_in(TEMPERATURE), type=150364, status=0)
    (found,) = seen(one, Moment(datetime(2022, 1, 25, 13, 0, tzinfo=UTC)))
    assert (found.kind, found.values, found.unit) == (150364, (36.0,), "Cel")
    assert found.device_at == found.measured_at == datetime(2022, 1, 25, 12, 7, 12, tzinfo=UTC)
    assert found.facts == ("provisional",)
    assert QUESTIONABLE_FACTS & Fact.PROVISIONAL


def test_a_compound_is_one_observation_of_its_kind() -> None:
    value = compound(
        (150021, 1, number(120, 3872)), (150022, 1, number(80, 3872)), (150023, 1, number(93, 3872)),
        (149546, 1, number(64, 2720)),
    )  # fmt: skip
    one = body(7, value, type=150020, time=stamp(HEARD), patient=2)
    (found,) = seen(one)
    assert (found.kind, found.values, found.unit, found.slot) == (150020, (120.0, 80.0, 93.0, 64.0), "mm[Hg]", 2)
    assert reason(one) is None


def test_the_members_of_a_bundle_have_what_the_bundle_says_once() -> None:
    members = (body(1, number(97, 544), type=150456), body(1, number(61, 2720), type=149530, status=1 << 4))
    value = bytes([2]) + b"".join(member.octets for member in members)
    bundle = body(255, value, time=stamp(HEARD), patient=255, status=1 << 1)
    (found,) = seen(bundle)
    assert (found.kind, found.values, found.slot) == (150456, (97.0, 61.0, None), None)
    assert found.facts == ("questionable", "test-data", "provisional")


def test_members_at_different_times_are_different_observations() -> None:
    early = stamp(HEARD - timedelta(minutes=5))
    members = (
        body(1, number(97, 544), type=150456, time=stamp(HEARD)),
        body(1, number(96, 544), type=150456, time=early),
    )
    found = seen(body(255, bytes([2]) + b"".join(member.octets for member in members)))
    assert [(one.values[0], one.measured_at) for one in found] == [
        (97.0, HEARD),
        (96.0, HEARD - timedelta(minutes=5)),
    ]


def test_fast_responding_oximetry_never_takes_the_place_of_the_reading() -> None:
    fast = body(1, number(91, 544), type=150456, supplemental=(2 << 16 | 19508,))
    plain = body(1, number(97, 544), type=150456)
    (found,) = seen(body(255, bytes([2]) + fast.octets + plain.octets))
    assert found.values[0] == 97.0
    assert seen(fast)[0].values[0] == 91.0


def test_the_meal_and_the_site_beside_a_glucose_are_its_context() -> None:
    (found,) = seen(body(1, number(7.8, 4722), type=160184, supplemental=(8417864 + 8, 8388608 + 29240)))
    assert found.context is not None
    assert (found.context.meal, found.context.site) == (Meal.POSTPRANDIAL, found.context.site)
    assert found.context != Context(meal=Meal.POSTPRANDIAL)


def test_control_solution_is_never_a_glucose() -> None:
    (found,) = seen(body(1, number(7.8, 4722), type=160208))
    assert found.facts == ("control-solution", "no-device-clock", "provisional")


@pytest.mark.parametrize(
    ("bit", "fact"),
    [
        (0, "invalid"),
        (1, "questionable"),
        (2, "not-available"),
        (3, "calibration-ongoing"),
        (4, "test-data"),
        (5, "early-estimate"),
        (6, "manually-entered"),
    ],
)
def test_each_status_bit_is_a_fact(bit: int, fact: str) -> None:
    (found,) = seen(body(1, number(97, 544), type=150456, status=1 << bit))
    assert fact in found.facts


def test_what_is_not_a_number_is_absent() -> None:
    (found,) = seen(body(1, struct.pack("<HI", 544, 0x007FFFFF), type=150456))
    assert (found.values[0], found.absent[0]) == (None, "not-a-number")


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (body(1, number(97, 544), type=152836), ("NoKind", "type")),
        (body(1, number(97, 544)), ("NoKind", "type")),
        (body(1, number(97, 3872), type=150456), ("NoKind", "unit")),
        (body(3, b"\x02\x00ok", type=150456), ("NoKind", "class")),
        (body(1, number(97, 544), type=150456, status=0x80), ("NoKind", "status")),
        (body(7, compound((150021, 2, bytes(4))), type=150020), ("NoKind", "class")),
        (body(1, b"\0", type=150456), ("Truncated", "value")),
        (body(99, b"", type=150456), ("BadValue", "class")),
    ],
)
def test_what_is_no_observation_says_why(one: HealthObservation, why: tuple[str, str]) -> None:
    assert seen(one) == ()
    assert reason(one) == why


def test_a_bundle_gives_what_it_can_and_says_what_is_left() -> None:
    members = (body(1, number(97, 544), type=150456), body(1, number(1, 544), type=152836))
    bundle = body(255, bytes([2]) + b"".join(member.octets for member in members))
    assert [one.values[0] for one in seen(bundle)] == [97.0]
    assert reason(bundle) == ("NoKind", "type")


def test_decode_shows_the_reason_beside_the_fields() -> None:
    frame = (b"\x03" + body(1, number(97, 544), type=152836).octets).hex()
    found = answer(msgspec.json.encode({"uuid": "2B8B", "hex": frame}), HEARD)
    assert (found["ok"], found["observations"], found["odd"]["field"]) == (True, [], "type")
    assert found["fields"]["observation"]["type"] == 152836


def test_a_stored_observation_has_its_record_number_before_it() -> None:
    one = body(1, number(97, 544), type=150456, time=stamp(HEARD))
    found = decode("2BDD", b"\x03" + struct.pack("<I", 70_000) + one.octets)
    assert isinstance(found, StoredHealthObservations)
    assert (found.record_number, found.observation) == (70_000, one)
    # the same identity as when it was live, so both collapse
    assert observe(found, SOURCE, MOMENT) == seen(one)
    with pytest.raises(Truncated):
        stored_record(b"\1\0")


# -- time: the rows of the guide's table for 10206 stamps


@pytest.mark.parametrize(
    ("flags", "source", "measured", "facts"),
    [
        (CURRENT | UTC_, NTP, True, 0),
        (CURRENT | UTC_, MANUAL, True, 0),
        (UTC_, NTP, True, 0),
        (UTC_, MANUAL, False, Fact.LOST_TIMELINE),
        (0, MANUAL, False, Fact.LOST_TIMELINE),
        (CURRENT | COUNTER, NTP, False, Fact.NO_DEVICE_CLOCK),
        (COUNTER, NTP, False, Fact.LOST_TIMELINE),
    ],
)
def test_a_stamp_is_kept_or_lost_as_the_guide_says(flags: int, source: int, measured: bool, facts: int) -> None:
    at = HEARD - timedelta(minutes=3)
    found = place(stamp(at, flags=flags, source=source), MOMENT)
    assert (found.measured_at == at, found.facts) == (measured, facts)


def test_local_time_with_its_offset_is_an_instant() -> None:
    wall = datetime(2026, 11, 22, 15, 57)
    found = place(stamp(wall, flags=CURRENT | OFFSET, offset=32), MOMENT)
    assert found.measured_at == datetime(2026, 11, 22, 7, 57, tzinfo=UTC)
    assert found.device_at == wall.replace(tzinfo=timezone(timedelta(hours=8)))


def test_local_time_without_an_offset_is_of_the_gateways_zone_and_corrected_by_the_clock_that_was_read() -> None:
    wall = datetime(2026, 11, 22, 15, 57)
    assert place(stamp(wall, flags=CURRENT), MOMENT).measured_at == datetime(2026, 11, 22, 7, 57, tzinfo=UTC)
    off = MOMENT._replace(device_now=datetime(2026, 11, 22, 16, 10), gateway_now=HEARD)
    found = place(stamp(wall, flags=CURRENT, source=MANUAL), off)
    assert (found.measured_at, found.facts) == (HEARD - timedelta(minutes=13), Fact.CLOCK_CORRECTED)


def test_a_counter_from_memory_is_on_no_timeline() -> None:
    found = place(stamp(HEARD, flags=CURRENT | COUNTER), MOMENT._replace(live=False))
    assert found.facts == Fact.LOST_TIMELINE


COUNTED = ElapsedTime(CURRENT | COUNTER, 1000, 0, 0)
SHOWN = Counter(timedelta(seconds=4600), HEARD - timedelta(minutes=1))


@pytest.mark.parametrize("live", [True, False])
def test_a_counter_that_was_read_says_how_long_ago_a_stamp_was(live: bool) -> None:
    found = place(COUNTED, MOMENT._replace(live=live, counter=SHOWN))
    assert (found.measured_at, found.facts) == (HEARD - timedelta(minutes=61), Fact.CLOCK_CORRECTED)
    assert found.device_at is None


@pytest.mark.parametrize(
    ("stamp", "counter"),
    [
        (COUNTED._replace(flags=COUNTER), SHOWN),
        (COUNTED._replace(elapsed=10_000), SHOWN),
        (COUNTED._replace(elapsed=2**48 - 1), SHOWN),
        (COUNTED, SHOWN._replace(shown=timedelta(days=365 * 30))),
        (COUNTED, SHOWN._replace(shown=timedelta.max)),
    ],
    ids=["another timeline", "ahead of the counter", "past the calendar", "too long ago", "before the calendar"],
)
def test_a_counter_that_does_not_fit_its_stamp_is_on_no_timeline(stamp: ElapsedTime, counter: Counter) -> None:
    found = place(stamp, MOMENT._replace(live=False, counter=counter))
    assert (found.measured_at, found.facts) == (HEARD, Fact.LOST_TIMELINE)


@pytest.mark.parametrize(("resolution", "elapsed"), [(0, 1), (1, 10), (2, 1000), (3, 10000)])
def test_a_stamp_counts_in_its_resolution(resolution: int, elapsed: int) -> None:
    found = ElapsedTime(UTC_ | resolution << 2, elapsed, 0, 0)
    assert found.at == datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_a_stamp_beyond_any_calendar_is_none() -> None:
    assert ElapsedTime(UTC_, 2**48 - 1, 0, 0).at is None


@pytest.mark.parametrize(("flags", "offset"), [(OFFSET, -48), (OFFSET | UTC_, 48)])
def test_a_stamp_that_its_offset_leads_past_the_calendar_is_at_no_time(flags: int, offset: int) -> None:
    last = stamp(datetime(9999, 12, 31, 23), flags=CURRENT | flags, offset=offset)
    assert last.at is None
    (found,) = seen(body(1, number(36.6, 6048), type=150364, time=last))
    assert (found.measured_at, found.device_at) == (HEARD, None)
    assert "time-fault" in found.facts


@pytest.mark.parametrize("exponent", [-128, 127])
def test_a_number_at_the_end_of_its_range_is_observed_in_every_unit(exponent: int) -> None:
    word = (exponent & 0xFF) << 24 | 1
    for kind, unit in ((188736, 1728), (188740, 1280), (188740, 1297), (188740, 1298)):
        (found,) = seen(body(1, struct.pack("<HI", unit, word), type=kind))
        assert "implausible" in found.facts


def test_a_stored_counter_was_not_counted_now() -> None:
    one = body(1, number(97, 544), type=150456, time=stamp(HEARD, flags=CURRENT | COUNTER))
    (live,) = seen(one)
    (stored,) = observe(decode("2BDD", b"\x03" + bytes(4) + one.octets), SOURCE, MOMENT)
    assert "lost-timeline" not in live.facts
    assert "lost-timeline" in stored.facts


def test_a_sample_taken_at_control_solution_is_no_glucose() -> None:
    (found,) = seen(body(1, number(7.8, 4722), type=160184, supplemental=(8388608 + 29252,)))
    assert (found.kind, found.facts) == (160208, ("control-solution", "no-device-clock", "provisional"))
    assert ElapsedTime(CURRENT | OFFSET, 1, 0, 127).at is None
    assert place(ElapsedTime(CURRENT, 2**48 - 1, 0, 0), MOMENT).facts == Fact.TIME_FAULT

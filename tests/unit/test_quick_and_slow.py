"""What is compiled for speed says what a plain reading of the same tables says, for any frame and any values."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devices import medfloat
from devices.catalogue import BY_UUID, CHARACTERISTICS
from devices.clock import CorrectedTime, DateTime, How, Moment, correct, place
from devices.errors import Truncated
from devices.gatt import record
from devices.gatt.characteristic import Characteristic
from devices.gatt.record import DeviceFacts
from devices.medfloat import Medfloat, medfloat32
from devices.nomenclature import BY_CODE, KINDS, Slot
from devices.observation import ABSENT_NAMES, Absent, Fact
from devices.octets import Layout
from devices.plausibility import Value, implausible_slots
from devices.products.beurer_bm85 import BEURER_BM85

HEARD = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PLAIN = Characteristic.__dict__["decode"].__func__
LAYOUTS: list[tuple[type[Characteristic], Layout]] = [
    (one, one.layout) for one in CHARACTERISTICS if getattr(one.decode, "__func__", None) is PLAIN
] + [(BY_UUID["2A35"], BEURER_BM85.layouts["2A35"])]


def field_by_field(layout: Layout, data: bytes) -> dict[str, Any] | str:
    """The values by name; the name of the field in which the frame ends."""
    at = struct.calcsize("<" + layout.flags)
    flags = int.from_bytes(data[:at], "little")
    known = 0
    found: dict[str, Any] = {}
    for choice in layout.choices:
        known |= choice.mask
        found[choice.name] = choice.set if flags & choice.mask else choice.clear
    for name, codec, when, unless in layout.fields:
        known |= when | unless
        if flags & when == when and not flags & unless:
            end = at + struct.calcsize("<" + codec.letter)
            if end > len(data):
                return name
            found[name] = codec.read(*struct.unpack("<" + codec.letter, data[at:end]))
            at = end
    more = {"reserved": flags & ~known, "trailing": data[at:]}
    return found | {name: value for name, value in more.items() if value}


@st.composite
def frames(draw: st.DrawFn) -> tuple[type[Characteristic], Layout, bytes]:
    """Of about the length that the flags announce."""
    made, layout = draw(st.sampled_from(LAYOUTS))
    head = draw(st.binary(min_size=(size := struct.calcsize("<" + layout.flags)), max_size=size))
    flags = int.from_bytes(head, "little")
    fields = [one for one in layout.fields if flags & one.when == one.when and not flags & one.unless]
    whole = sum(struct.calcsize("<" + one.codec.letter) for one in fields)
    length = max(0, whole + draw(st.sampled_from([0, 0, 0, -1, 1, 2])))
    return made, layout, head + draw(st.binary(min_size=length, max_size=length))


@given(frames())
def test_a_frame_is_read_as_field_by_field(frame: tuple[type[Characteristic], Layout, bytes]) -> None:
    made, layout, data = frame
    wanted = field_by_field(layout, data)
    if isinstance(wanted, str):
        with pytest.raises(Truncated) as caught:
            layout.read(data, made)
        assert caught.value.field == wanted
    else:
        assert layout.read(data, made) == made(**wanted)


SPECIAL = (medfloat.NAN, medfloat.NRES, medfloat.POSITIVE_INFINITY, medfloat.NEGATIVE_INFINITY, medfloat.RESERVED)


def values_near(slot: Slot) -> st.SearchStrategy[Value]:
    """At and beside the ends of what can be measured, in any unit, and what is no number."""
    factors = st.sampled_from([1.0, 1.0, 1 / 7.50061683, 18.0, 1 / 0.45359237, 1 / 2.54, 0.01, 1.8])
    ends = st.sampled_from([slot.low, slot.high, (slot.low + slot.high) / 2])
    steps = st.sampled_from([0.0, 0.0, 1e-6, -1e-6, 0.01, -0.01, 32.0])
    number = st.builds(lambda end, factor, step: end * factor + step, ends, factors, steps)
    return st.one_of(
        number,
        number.map(lambda one: medfloat32(round(one, 4))),
        st.floats(allow_nan=False, allow_infinity=False, width=32),
        st.sampled_from([None, *SPECIAL, *Absent]),
    )


@st.composite
def readings(draw: st.DrawFn) -> tuple[int, str, list[Value]]:
    kind = draw(st.sampled_from(KINDS))
    count = draw(st.sampled_from([len(kind.slots), draw(st.integers(1, len(kind.slots)))]))
    return kind.code, draw(st.sampled_from(sorted(kind.units))), [draw(values_near(one)) for one in kind.slots[:count]]


def number_of(value: Value) -> tuple[float | None, str | None]:
    """The number, or why there is none."""
    reason = Absent.NOT_SENT
    match value:
        case Medfloat():
            if not value.absent:
                return value.value, None
            reason = value.absent
        case Absent():
            reason = value or reason
        case float():
            return value, None
    return None, next(name for name, one in ABSENT_NAMES.items() if one == reason)


@given(readings())
@example((150020, "mm[Hg]", [300.0, 250.0, 280.0, 300.0]))
@example((150020, "mm[Hg]", [120.0, 120.0, 120.0, 60.0]))
def test_values_are_numbers_absent_and_implausible_as_one_by_one(reading: tuple[int, str, list[Value]]) -> None:
    kind, unit, values = reading
    pairs = [number_of(value) for value in values]
    numbers = tuple(number for number, _ in pairs)
    absent = {index: reason for index, (_, reason) in enumerate(pairs) if reason is not None}
    facts = Fact(0)
    if implausible_slots(BY_CODE[kind], numbers, unit):
        facts |= Fact.IMPLAUSIBLE
    facts |= {"positive-infinity": Fact.RESULT_TOO_HIGH, "negative-infinity": Fact.RESULT_TOO_LOW}.get(
        absent.get(0, ""), Fact(0)
    )
    found = record.observe(kind, values, unit, DeviceFacts("vendor:a"), CorrectedTime(HEARD, 0, How.AS_STAMPED), 0)
    assert (found.values, found.absent, found.fact_bits()) == (numbers, absent, facts)


def placed(stamp: DateTime | None, moment: Moment, clock_set: bool, live: bool) -> CorrectedTime:
    """By the table of docs/decisions/0022, without a way round it."""
    around = (moment.device_now, moment.gateway_now, moment.received_at, moment.zone)
    shown = None if stamp is None else stamp.naive()
    if stamp is None or shown is not None:
        return correct(shown, *around, clock_set, live)
    found = correct(None, *around, False, live)
    if not stamp.known:
        return found
    return msgspec.structs.replace(found, facts=found.facts & ~Fact.CLOCK_NOT_SET | Fact.TIME_FAULT)


WALLS = st.one_of(
    st.datetimes(),
    st.builds(
        lambda at, seconds: at + timedelta(seconds=seconds),
        st.sampled_from([datetime(2026, 11, 22, 16), datetime(2011, 10, 25, 8), datetime(2026, 3, 29, 2)]),
        st.integers(-90_000, 90_000),
    ),
)
STAMPS = st.one_of(
    st.none(),
    WALLS.map(DateTime.of),
    st.binary(min_size=7, max_size=7).map(DateTime.decode),
    st.builds(
        DateTime,
        st.sampled_from([0, 1, 1581, 1582, 2026, 9999, 65535]),
        *(st.integers(0, most) for most in (13, 32, 24, 60, 60)),
    ),
)
ZONES = st.sampled_from(
    [timezone(timedelta(hours=8)), ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"), timezone(timedelta(hours=-12))]
)


@given(STAMPS, ZONES, st.one_of(st.none(), WALLS), st.booleans(), st.booleans())
def test_a_stamp_is_placed_as_by_the_table(
    stamp: DateTime | None, zone: Any, device_now: datetime | None, clock_set: bool, live: bool
) -> None:
    moment = Moment(HEARD, zone, device_now, HEARD, live)
    assert place(stamp, moment, clock_set) == placed(stamp, moment, clock_set, live)

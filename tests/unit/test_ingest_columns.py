"""Rows packed many at a time are the rows packed one by one, octet by octet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.decoding import decode, decode_observation
from devices.message import Message, Reason, Remark, encode
from devices.nomenclature import KINDS
from devices.observation import FACT_NAMES, Context, Meal, Observation, Posture, Site
from devices.series import Series
from ingest import columns, intake
from ingest.columns import NO_STAMP, Rows
from ingest.placing import place

AT = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
TOPIC = "suifang/v1/s/g/observations"
PAIRS = [(kind, unit) for kind in KINDS for unit in kind.units]


def usual(kind: Any, unit: str) -> list[float]:
    """Numbers that can be measured, in the unit of the kind."""
    found = []
    for slot, (low, high) in enumerate(columns.SHAPES[kind.code, unit].bounds):
        found.append(low + (high - low) * (0.5 - 0.1 * slot if kind.code == 150020 else 0.5))
    return found


def of_one(draw: st.DrawFn, kind: Any, unit: str, width: int) -> Observation:
    values: list[float | None] = list(usual(kind, unit)[:width])
    odd = draw(st.sampled_from(["", "", "", "", "missing", "huge", "far", "strange", "reason"]))
    absent = {}
    if odd == "missing":
        values[0] = None
    if odd == "huge":
        values[-1] = 1e9
    if odd == "reason":
        absent = {width: "not-sent"}
    facts = draw(st.lists(st.sampled_from(sorted(FACT_NAMES)), max_size=2))
    return Observation(
        device=draw(st.sampled_from(["ble:a", "ble:b"])),
        kind=kind.code,
        values=tuple(values),
        unit=unit,
        measured_at=AT - timedelta(days=9000 if odd == "far" else 0, microseconds=draw(st.integers(0, 10**12))),
        device_at=draw(
            st.none() | st.datetimes() | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=8))]))
        ),
        record_no=draw(st.integers(0, 2**31 - 1)),
        slot=draw(st.none() | st.integers(0, 255)),
        session=draw(st.none() | st.just("s-1")),
        absent=absent,
        facts=("no-such-fact",) if odd == "strange" else tuple(facts),
        context=draw(
            st.none()
            | st.builds(
                Context,
                meal=st.none() | st.sampled_from(Meal),
                site=st.none() | st.sampled_from(Site),
                posture=st.none() | st.sampled_from(Posture),
            )
        ),
    )


@st.composite
def messages(draw: st.DrawFn) -> list[Observation]:
    """Some forms, each many times over: with none, some or all members odd."""
    found = []
    for kind, unit in draw(st.lists(st.sampled_from(PAIRS), min_size=1, max_size=2)):
        width = draw(st.integers(1, len(kind.slots)))
        seeds = [of_one(draw, kind, unit, width) for _ in range(draw(st.integers(1, 4)))]
        for number in range(draw(st.integers(0, 40))):
            one = seeds[number % len(seeds)]
            found.append(msgspec.structs.replace(one, record_no=(one.record_no + number) % 2**31))
    return draw(st.permutations(found)) if found else [of_one(draw, *PAIRS[0], 1)]


def one_by_one(observations: list[Observation]) -> intake.Intake:
    """What `take` says of each by itself, put together."""
    whole = intake.take(TOPIC, encode(Message(message_id="m", sent_at=AT, observations=observations[:1])), AT, LIMITS)
    parts: list[Rows] = []
    refused, notices = [], []
    for index, observation in enumerate(observations):
        alone = encode(Message(message_id="m", sent_at=AT, observations=[observation]))
        taken = intake.take(TOPIC, alone, AT, LIMITS)
        if len(taken.rows):
            parts.append(moved(taken.rows, index))
        refused += [msgspec.structs.replace(remark, index=index) for remark in taken.refused]
        notices += [msgspec.structs.replace(remark, index=index) for remark in taken.notices]
    whole.rows, whole.refused, whole.notices = columns.joined(parts), refused, notices
    return whole


def moved(rows: Rows, index: int) -> Rows:
    """The one row, as the message's number `index`."""
    rows.items[0] = index
    return rows


LIMITS = intake.Limits()


def shown(taken: intake.Intake) -> Any:
    rows = taken.rows
    device_ids = np.array([ord(name[-1]) for name in rows.devices], np.int64)
    identities = np.where(rows.stamps == NO_STAMP, rows.measured, rows.stamps)
    placed = place(rows, device_ids, identities, batch_id=7, sessions={"s-1": 3}, unregistered={ord("b")})
    by_item = sorted(zip(rows.items, rows.devices, rows.facts.tolist(), placed.packed, strict=True))
    remarks = [sorted((r.index, r.field, r.reason, r.detail) for r in some) for some in (taken.refused, taken.notices)]
    return by_item, remarks


@given(messages())
def test_many_at_a_time_are_the_octets_and_remarks_of_one_by_one(observations: list[Observation]) -> None:
    together = intake.take(TOPIC, encode(Message(message_id="m", sent_at=AT, observations=observations)), AT, LIMITS)
    assert together.sent == len(observations)
    assert shown(together) == shown(one_by_one(observations))


@pytest.mark.parametrize(("kind", "unit"), PAIRS, ids=[f"{kind.ref}-{unit}" for kind, unit in PAIRS])
def test_every_kind_has_a_plain_form(kind: Any, unit: str) -> None:
    one = Observation(
        device="ble:a", kind=kind.code, values=tuple(usual(kind, unit)), unit=unit, measured_at=AT, device_at=AT
    )
    several = [msgspec.structs.replace(one, record_no=number) for number in range(30)]
    parts, others = columns.plain(several, -(2**62), 2**62)
    assert (len(columns.joined(parts)), others) == (30, [])


def test_the_key_of_the_table_orders_a_batch_and_then_the_order_of_delivery() -> None:
    one = Observation(device="ble:a", kind=150364, values=(36.6,), unit="Cel", measured_at=AT)
    numbers = [3, 1, 2, 1, 3, 1]
    several = [msgspec.structs.replace(one, record_no=number) for number in numbers]
    rows = intake.take(TOPIC, encode(Message(message_id="m", sent_at=AT, observations=several)), AT, LIMITS).rows
    ids = np.full(len(rows), 5)
    placed = place(rows, ids, rows.measured, batch_id=1, sessions={}, unregistered=set())
    assert placed.order.tolist() == [1, 3, 5, 2, 0, 4]
    assert placed.repeated() == {1, 2, 5}


def series_of(one: Observation, count: int) -> tuple[Series, list[Observation]]:
    """Many of `one`, both ways: record numbers and times follow each other."""
    several = [
        msgspec.structs.replace(
            one,
            record_no=number,
            measured_at=one.measured_at + timedelta(milliseconds=number),
            device_at=None if one.device_at is None else one.device_at.replace(tzinfo=None, microsecond=number),
        )
        for number in range(count)
    ]
    local = datetime(1970, 1, 1)
    stamps = [each.device_at - local for each in several if each.device_at is not None]
    return Series(
        device=one.device,
        kind=one.kind,
        unit=one.unit,
        values=[list(column) for column in zip(*(each.values for each in several), strict=True)],
        measured_us=[
            (each.measured_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for each in several
        ],
        device_us=[stamp // timedelta(microseconds=1) for stamp in stamps] if stamps else None,
        record_no=[each.record_no for each in several],
        slot=one.slot,
        session=one.session,
        facts=one.facts,
        context=one.context,
    ), several


@st.composite
def ones(draw: st.DrawFn) -> Observation:
    kind, unit = draw(st.sampled_from(PAIRS))
    return msgspec.structs.replace(of_one(draw, kind, unit, draw(st.integers(1, len(kind.slots)))), absent={})


@given(ones(), st.integers(1, 60), ones())
def test_a_series_is_the_same_rows_and_remarks_as_its_observations(
    one: Observation, count: int, lone: Observation
) -> None:
    series, several = series_of(one, count)
    together = intake.take(
        TOPIC, encode(Message(message_id="m", sent_at=AT, observations=[lone], series=[series])), AT, LIMITS
    )
    assert together.sent == 1 + count
    assert shown(together) == shown(one_by_one([lone, *several]))
    assert (
        decode(together.payload).observations
        == decode(encode(Message(message_id="m", sent_at=AT, observations=[lone, *several]))).observations
    )


def test_a_series_with_a_column_too_short_is_refused_as_one_and_holds_nothing_back() -> None:
    one = Observation(device="ble:a", kind=150364, values=(36.6,), unit="Cel", measured_at=AT)
    good, _ = series_of(one, 30)
    bad = msgspec.structs.replace(good, values=[good.values[0][1:]])
    payload = encode(Message(message_id="m", sent_at=AT, observations=[one], series=[bad, good]))
    taken = intake.take(TOPIC, payload, AT, LIMITS)
    assert (taken.sent, len(taken.rows)) == (32, 31)
    assert [(r.index, r.field, r.reason) for r in taken.refused] == [(1, "values[0]", Reason.MALFORMED)]
    assert taken.rows.items == [*range(2, 32), 0]
    assert [remark.index for remark in decode(payload).refused] == [1]


@pytest.mark.parametrize(
    ("written", "instead", "field", "reason"),
    [
        (b"[36.6", b'["36.6"', "values[0][0]", Reason.MALFORMED),
        (b"[36.6", b"[NaN", "values[0][0]", Reason.NOT_A_NUMBER),
        (b'"record_no":[0', b'"record_no":[-1', "record_no[0]", Reason.MALFORMED),
        (b'"unit"', b'"units"', "series", Reason.MALFORMED),
    ],
)
def test_a_series_that_cannot_be_read_is_refused_alone(
    written: bytes, instead: bytes, field: str, reason: Reason
) -> None:
    one = Observation(device="ble:a", kind=150364, values=(36.6,), unit="Cel", measured_at=AT, device_at=AT)
    series, _ = series_of(one, 3)
    rest = msgspec.structs.replace(series, record_no=[7, 8, 9], values=[[37.1, 37.2, 37.3]])
    payload = encode(Message(message_id="m", sent_at=AT, series=[series, rest])).replace(written, instead, 1)
    taken = intake.take(TOPIC, payload, AT, LIMITS)
    assert [(r.index, r.field, r.reason) for r in taken.refused] == [(0, field, reason)]
    assert (taken.sent, sorted(taken.rows.items)) == (4, [1, 2, 3])
    assert isinstance(decode_observation(taken.contents[0]), Remark)


def test_series_count_towards_the_thousand_of_a_message() -> None:
    one = Observation(device="ble:a", kind=150364, values=(36.6,), unit="Cel", measured_at=AT)
    series, _ = series_of(one, 501)
    taken = intake.take(TOPIC, encode(Message(message_id="m", sent_at=AT, series=[series, series])), AT, LIMITS)
    assert [(r.index, r.field) for r in taken.refused] == [(-1, "observations")]

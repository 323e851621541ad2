"""What nobody writes by mistake: a message is refused where it is wrong, kept, counted, and stops nothing."""

from __future__ import annotations

import gc
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.decoding import decode, decode_observation
from devices.message import Reason, Remark
from devices.observation import Fact
from ingest import intake

GOOD: dict[str, Any] = {
    "device": "ble:cuff-1",
    "kind": 150020,
    "values": [120, 80.5, None, 66],
    "unit": "mm[Hg]",
    "measured_at": "2026-01-01T08:00:00+08:00",
    "absent": {"2": "not-a-number"},
}
SERIES: dict[str, Any] = {
    "device": "ble:cuff-1",
    "kind": 150364,
    "unit": "Cel",
    "values": [[36.6, 36.7]],
    "measured_us": [1_767_225_600_000_000, 1_767_225_601_000_000],
}
AT = datetime(2026, 1, 2, tzinfo=UTC)
TOPIC = "suifang/v1/s/g/observations"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def payload(*observations: Any, series: Any = ()) -> bytes:
    document = {"message_id": "m", "sent_at": "2026-01-01T00:00:00Z"}
    return json.dumps(document | {"observations": list(observations), "series": list(series)}).encode()


@pytest.mark.parametrize("beside", [[], [GOOD | {"values": [float("nan")]}]], ids=["strict", "tolerant"])
@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"unit": "\ud800"}, ["unit", "unit"]),
        ({"facts": ["\udfff"]}, ["facts[0]", "facts[0]"]),
        ({"unit": "\ud800", "values": [[36.6]]}, ["values[0]"]),
        ({"facts": ["\ud800"], "measured_us": [0, 0]}, ["facts[0]", "facts[0]"]),
    ],
    ids=["unit", "facts", "uneven", "ancient"],
)
def test_half_a_surrogate_pair_in_a_series_is_refused_and_kept_and_stops_nothing(
    changes: dict[str, Any], refused: list[str], beside: list[Any]
) -> None:
    taken = intake.take(TOPIC, payload(*beside, GOOD, series=[SERIES | changes, SERIES]), AT, intake.Limits())
    assert [remark.field for remark in taken.refused][len(beside) :] == refused
    assert len(taken.rows) == 3
    assert taken.sent == len(taken.rows) + len(taken.refused)
    assert all(isinstance(decode_observation(refusal.content), Remark) for refusal in taken.refusals())


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from([*SERIES, "device_us", "record_no", "facts", "context", "x"]), json_values),
    st.sampled_from([[], [GOOD], [GOOD | {"values": [float("nan")]}]]),
)
def test_whatever_stands_in_a_series_the_books_balance(changes: dict[str, Any], beside: list[Any]) -> None:
    document = payload(*beside, series=[SERIES | changes, SERIES])
    taken = intake.take(TOPIC, document, AT, intake.Limits())
    assert taken.sent == len(taken.rows) + len(taken.refused)
    assert len(taken.rows) >= 2
    assert {remark.index for remark in taken.refused} == set(taken.contents)
    assert sorted([*taken.rows.items, *(remark.index for remark in taken.refused)]) == list(range(taken.sent))


def test_a_number_of_hundreds_of_digits_makes_no_long_remark() -> None:
    longest = 10**4000
    for changes in ({"kind": longest}, {"absent": {str(longest): "not-sent"}}):
        (remark,) = decode(payload(GOOD | changes)).refused
        assert max(len(remark.field), len(remark.detail)) <= 200


def test_an_item_that_is_no_number_at_all_is_refused_under_a_name() -> None:
    taken = intake.take(TOPIC, payload(GOOD, float("nan"), series=[float("inf"), SERIES]), AT, intake.Limits())
    assert [(r.index, r.field, r.reason) for r in taken.refused] == [
        (1, "observation", Reason.NOT_A_NUMBER),
        (2, "series", Reason.NOT_A_NUMBER),
    ]


@pytest.mark.parametrize("beside", [[GOOD], [GOOD, 7]], ids=["whole", "one-by-one"])
def test_a_series_beyond_the_thousand_refuses_the_message_even_and_uneven(beside: list[Any]) -> None:
    long = SERIES | {"measured_us": [0] * 1001}
    for series in (long, long | {"values": [[36.6] * 1001]}):
        taken = intake.take(TOPIC, payload(*beside, series=[series]), AT, intake.Limits())
        assert [(r.index, r.field) for r in taken.refused] == [(-1, "observations")]


@pytest.mark.parametrize("text", ["\0", TOPIC + "\0", "suifang/v1/\ud800/g/observations", "x" * 60_000])
def test_a_topic_that_no_column_takes_is_kept_as_one_that_can_be_shown(text: str) -> None:
    taken = intake.take(text, payload(GOOD), AT, intake.Limits())
    assert taken.topic is None
    assert taken.topic_text.isprintable()
    assert len(taken.topic_text) <= 200


@pytest.mark.parametrize(
    "document",
    [
        payload(GOOD, GOOD | {"device": "ble:cuff-2", "measured_at": "2026-01-05T08:00:00Z"}),
        payload(GOOD | {"measured_at": "2026-01-05T08:00:00Z"}, GOOD | {"device": "ble:cuff-2"}),
        payload(GOOD | {"device": "ble:cuff-2"}, 7, series=[SERIES]),
        payload(series=[SERIES, SERIES | {"device": "ble:cuff-2"}]),
        payload(7, series=[SERIES]),
        payload(7),
        b"no message",
    ],
    ids=range(7),
)
def test_processes_that_receive_a_message_at_different_times_agree_whose_it_is(document: bytes) -> None:
    taken = [intake.take(TOPIC, document, AT + timedelta(days=days), intake.Limits()) for days in (-9, 0, 9, 2000)]
    assert len({one.affinity for one in taken}) == 1
    if taken[1].rows.devices:
        assert taken[0].affinity.startswith("ble:")


def test_words_that_nobody_knows_are_not_remembered() -> None:
    tracemalloc.start()
    try:
        for number in range(100):
            facts = [f"{number:06}" + "x" * 50_000]
            intake.take(
                TOPIC, payload(GOOD | {"facts": facts}, series=[SERIES | {"facts": facts}]), AT, intake.Limits()
            )
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 1_000_000


ONE = {"device": "ble:a", "kind": 150364, "unit": "Cel"}


def each_way(moments: list[datetime], **members: Any) -> list[bytes]:
    """A reading at each of these times: in a series, as many one by one as make columns, and as few as do not."""
    epoch, microsecond = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
    single = [ONE | members | {"values": [36.6], "measured_at": moment.isoformat()} for moment in moments]
    columns = {"values": [[36.6] * len(moments)], "measured_us": [(at - epoch) // microsecond for at in moments]}
    return [payload(series=[ONE | members | columns]), payload(*single * 10), payload(*single)]


def test_a_time_at_the_limit_is_stored_and_a_microsecond_beyond_is_refused_whatever_the_form() -> None:
    limits = intake.Limits()
    latest, earliest, least = AT + limits.future, AT - limits.ancient, timedelta(microseconds=1)
    for document in each_way([earliest - least, earliest, latest, latest + least]):
        taken = intake.take(TOPIC, document, AT, limits)
        assert {index % 4 for index in taken.rows.items} == {1, 2}
        assert {(r.index % 4, r.field, r.reason) for r in taken.refused} == {
            (0, "measured_at", Reason.ANCIENT_TIME),
            (3, "measured_at", Reason.FUTURE_TIME),
        }
        assert taken.sent == len(taken.rows) + len(taken.refused)


def test_whether_a_device_is_registered_is_not_the_senders_to_say() -> None:
    for document in each_way([AT] * 4, facts=["unregistered-device", "battery-low"]):
        taken = intake.take(TOPIC, document, AT, intake.Limits())
        assert set(taken.rows.facts.tolist()) == {int(Fact.BATTERY_LOW)}

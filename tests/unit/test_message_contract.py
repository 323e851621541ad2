"""The data contract: what is refused, with which field and reason; the schema file and the guide say the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices import message_schema
from devices.clock import identity_at
from devices.decoding import decode, decode_observation
from devices.errors import MalformedMessage
from devices.message import (
    MOST_BYTES,
    Leaf,
    Reason,
    Receipt,
    Remark,
    Topic,
    decode_receipt,
    encode_receipt,
    every,
    parse_topic,
)
from devices.nomenclature import KINDS
from devices.observation import FACT_NAMES, Observation
from devices.plausibility import implausible_slots
from ingest import intake
from ingest.rows import SHAPES, absent_bits, microseconds, row_of, surely_possible

ROOT = Path(__file__).parents[2]

GOOD: dict[str, Any] = {
    "device": "ble:cuff-1",
    "kind": 150020,
    "values": [120, 80.5, None, 66],
    "unit": "mm[Hg]",
    "measured_at": "2026-01-01T08:00:00+08:00",
    "absent": {"2": "not-a-number"},
}


def payload(*observations: Any, **envelope: Any) -> bytes:
    document = {"message_id": "m", "sent_at": "2026-01-01T00:00:00Z", "observations": list(observations)}
    return json.dumps(document | envelope).encode()


def refusal(**changes: Any) -> tuple[str, Reason]:
    """Of one bad observation after a good one, which must not suffer from it."""
    bad = {key: value for key, value in (GOOD | changes).items() if value != "left out"}
    decoded = decode(payload(GOOD, bad))
    assert [index for index, _ in decoded.observations] == [0]
    (remark,) = decoded.refused
    assert remark.index == 1
    assert remark.detail
    assert 1 in decoded.contents
    return remark.field, remark.reason


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"kind": 1}, "kind", Reason.UNKNOWN_KIND),
        ({"kind": 2**70}, "kind", Reason.UNKNOWN_KIND),
        ({"kind": "150020"}, "kind", Reason.MALFORMED),
        ({"unit": "mmol/L"}, "unit", Reason.UNKNOWN_UNIT),
        ({"values": []}, "values", Reason.WRONG_VALUE_COUNT),
        ({"values": [1, 2, 3, 4, 5], "absent": {}}, "values", Reason.WRONG_VALUE_COUNT),
        ({"values": ["120"]}, "values[0]", Reason.MALFORMED),
        ({"values": [float("nan"), 80]}, "values[0]", Reason.NOT_A_NUMBER),
        ({"values": [120, float("-inf")]}, "values[1]", Reason.NOT_A_NUMBER),
        ({"absent": {"2": "because"}}, "absent[2]", Reason.UNKNOWN_ABSENT_REASON),
        ({"absent": {"4": "not-sent"}}, "absent[4]", Reason.UNKNOWN_ABSENT_REASON),
        ({"absent": {"0": "not-a-number"}}, "absent[0]", Reason.MALFORMED),
        ({"facts": ["irregular-pulse", "tired"]}, "facts[1]", Reason.UNKNOWN_FACT),
        ({"measured_at": "2026-01-01T08:00:00"}, "measured_at", Reason.MALFORMED),
        ({"measured_at": "left out"}, "observation", Reason.MALFORMED),
        ({"record_no": -1}, "record_no", Reason.MALFORMED),
        ({"record_no": 2**31}, "record_no", Reason.MALFORMED),
        ({"slot": 256}, "slot", Reason.MALFORMED),
        ({"device": "no colon"}, "device", Reason.MALFORMED),
        ({"device": "ble:a\n"}, "device", Reason.MALFORMED),
        ({"session": "s-1\n"}, "session", Reason.MALFORMED),
        ({"patient": "an unknown member"}, "observation", Reason.MALFORMED),
        ({"context": {"meal": "breakfast"}}, "context.meal", Reason.MALFORMED),
    ],
)
def test_a_bad_observation_is_refused_with_its_field_and_reason(
    changes: dict[str, Any], field: str, reason: Reason
) -> None:
    assert refusal(**changes) == (field, reason)


def test_an_item_that_is_no_object_is_refused_alone() -> None:
    assert [r.reason for r in decode(payload(GOOD, 7, None)).refused] == [Reason.MALFORMED] * 2


def test_a_nan_beside_an_absent_reason_does_not_refuse_the_good_observation() -> None:
    decoded = decode(payload(GOOD, GOOD | {"values": [float("nan")], "absent": {}}))
    assert [(index, observation.absent) for index, observation in decoded.observations] == [(0, {2: "not-a-number"})]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"message_id": "m"}',
        payload(),
        payload(*[GOOD] * 1001),
        payload(GOOD, message_id="two words"),
        payload(GOOD, message_id="m-1\n"),
        payload(GOOD, extra=1),
        payload(GOOD).decode().encode("utf-16"),
        b'{"observations": NaN}',
        b"[" * 100_000,
        b'{"message_id":"m","sent_at":"2026-01-01T00:00:00Z","observations":['
        + b"[" * 100_000
        + b"]" * 100_000
        + b"]}",
    ],
    ids=range(14),
)
def test_what_is_no_message_is_malformed_as_a_whole(broken: bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        decode(broken)
    assert caught.value.field
    assert len(caught.value.detail) <= 200


def test_a_message_too_large_is_named_as_such() -> None:
    taken = intake.take("suifang/v1/s/g/observations", b" " * (MOST_BYTES + 1), datetime.now(UTC), intake.Limits())
    assert [(r.index, r.reason) for r in taken.refused] == [(-1, Reason.TOO_LARGE)]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_octets_do_more_than_be_refused(octets: bytes) -> None:
    taken = intake.take("suifang/v1/s/g/observations", octets, datetime.now(UTC), intake.Limits())
    assert taken.sent == len(taken.refused) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "device_at", "facts", "context", "x"]), json_values, max_size=4))
def test_whatever_stands_in_an_observation_the_books_balance(changes: dict[str, Any]) -> None:
    document = json.dumps(
        {"message_id": "m", "sent_at": "2026-01-01T00:00:00Z", "observations": [GOOD | changes, GOOD]}
    )
    taken = intake.take(
        "suifang/v1/s/g/observations", document.encode(), datetime(2026, 1, 2, tzinfo=UTC), intake.Limits()
    )
    assert taken.sent == 2
    assert len(taken.rows) + len(taken.refused) == 2
    assert {remark.index for remark in taken.refused} == set(taken.contents)
    for remark in taken.refused:
        assert "\0" not in remark.detail + remark.field
        assert decode_receipt(
            encode_receipt(Receipt(message_id="m", payload_sha256="", received_at=datetime.now(UTC), refused=(remark,)))
        ).refused == (remark,)


def test_what_a_stranger_wrote_is_made_printable_and_short() -> None:
    decoded = decode(payload(GOOD | {"facts": ["\x00\ud800" + "x" * 500]}))
    (remark,) = decoded.refused
    assert "\0" not in remark.detail
    assert len(remark.detail.encode()) <= 210


def test_refused_content_can_be_read_again() -> None:
    decoded = decode(payload(GOOD | {"kind": 1}, GOOD | {"values": [float("nan")]}))
    remarks = [decode_observation(decoded.contents[index]) for index in (0, 1)]
    assert [r.reason for r in remarks if isinstance(r, Remark)] == [Reason.UNKNOWN_KIND, Reason.NOT_A_NUMBER]
    assert isinstance(decode_observation(json.dumps(GOOD).encode()), Observation)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("suifang/v1/s/g", "topic"),
        ("other/v1/s/g/observations", "topic"),
        ("suifang/v2/s/g/observations", "topic[1]"),
        ("suifang/v1//g/observations", "topic[2]"),
        ("suifang/v1/s/g g/observations", "topic[3]"),
        ("suifang/v1/s/g/orders", "topic[4]"),
    ],
)
def test_a_topic_that_is_none_names_its_level(text: str, field: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_topic(text)
    assert caught.value.field == field


def test_a_topic_reads_back_as_it_was_written() -> None:
    topic = Topic("north-1", "kiosk_2", Leaf.OBSERVATIONS)
    assert parse_topic(str(topic)) == topic
    assert every(Leaf.RECEIPTS) == "suifang/v1/+/+/receipts"


def test_the_schema_file_is_what_the_classes_say() -> None:
    assert (ROOT / "docs/message.schema.json").read_text(encoding="utf-8") == message_schema.text(), (
        "run: python -m devices.message_schema > docs/message.schema.json"
    )


def test_the_guide_lists_every_kind_fact_and_reason() -> None:
    guide = (ROOT / "docs/message.md").read_text(encoding="utf-8")
    wanted = [f"| {kind.code} | `{kind.ref}` |" for kind in KINDS]
    wanted += [f"`{name}`" for name in FACT_NAMES] + [f"`{reason}`" for reason in Reason]
    assert [text for text in wanted if text not in guide] == []


def test_the_examples_of_the_guide_are_accepted() -> None:
    guide = (ROOT / "docs/message.md").read_text(encoding="utf-8")
    examples = [part.split("```")[0] for part in guide.split("```json\n")[1:]]
    messages = [text for text in examples if '"observations"' in text or '"series"' in text]
    receipts = [text for text in examples if '"payload_sha256"' in text]
    assert (len(messages), len(receipts)) == (3, 2)
    assert [decode(text.encode()).refused for text in messages] == [[], [], []]
    assert all(decode_receipt(text.encode()).message_id for text in receipts)


@given(
    st.sampled_from([(kind, unit) for kind in KINDS for unit in kind.units]),
    st.lists(st.none() | st.floats(-100, 70_000) | st.integers(0, 400).map(float), min_size=1, max_size=10),
)
def test_the_quick_look_never_lets_an_impossible_value_pass(pair: Any, values: list[float | None]) -> None:
    kind, unit = pair
    kept = tuple(values[: len(kind.slots)])
    if surely_possible(SHAPES[kind.code, unit], kept):
        assert implausible_slots(kind, kept, unit) == ()


@given(st.datetimes(), st.sampled_from([None, UTC, timezone(timedelta(hours=-3))]))
def test_a_stamp_is_read_as_the_clock_module_says(stamp: datetime, zone: Any) -> None:
    observation = msgspec.convert(GOOD, Observation, str_keys=True)
    placed = stamp.replace(tzinfo=zone)
    row = row_of(0, msgspec.structs.replace(observation, device_at=placed), SHAPES[150020, "mm[Hg]"], 0)
    assert row.stamp == microseconds(identity_at(placed))


def test_a_value_without_number_and_reason_counts_as_not_sent() -> None:
    observation = msgspec.convert(GOOD | {"values": [None, 80, None]}, Observation, str_keys=True)
    assert absent_bits(observation) == 7 | 1 << 8

"""Any octets are an APDU that goes back to the same octets, or a `DeviceError`; never more memory than was sent."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.decoding import decode_observation
from devices.errors import BadValue, DeviceError, Truncated
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import apdu, events, scan_report, segments
from devices.ieee11073.alone import observations_in
from devices.ieee11073.attribute_values import READ, value_of
from devices.ieee11073.codes import Attr
from devices.ieee11073.errors import UnknownApdu, UnknownOperation
from devices.ieee11073.objects import Configuration
from devices.ieee11073.rendering import rendered
from devices.ieee11073.scan_report import SHAPES
from devices.ieee11073.specializations import STANDARD_CONFIGURATIONS, standard
from devices.message import encode_observation

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SOURCE = DeviceFacts("eui64:0102030405060708")
LINES = Path(__file__).parents[1] / "conformance" / "apdus_20601.jsonl"
PUBLIC = [
    bytes.fromhex(row["hex"]) for row in map(json.loads, LINES.read_text("utf-8").splitlines()) if "fields" in row
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A public APDU with some octets changed, cut short or doubled."""
    data = bytearray(draw(st.sampled_from(PUBLIC)))
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    match draw(st.sampled_from(["as it is", "cut", "doubled"])):
        case "cut":
            del data[draw(st.integers(1, len(data))) :]
        case "doubled":
            return bytes(data) * 2
    return bytes(data)


def check(data: bytes) -> None:
    try:
        found = apdu.decode(data)
    except DeviceError:
        return
    assert apdu.encode(found) == data
    for identity in (0x02BC, 0x05DC, 0x0190):
        try:
            rendered(data, found, standard(identity))
            seen = observations_in(found, standard(identity), SOURCE, NOW)
        except DeviceError:
            continue
        for observation in seen:
            assert decode_observation(encode_observation(observation)) == observation


@given(st.binary(max_size=80))
def test_any_octets_are_an_apdu_that_comes_back_or_an_error(data: bytes) -> None:
    check(data)


@given(st.sampled_from(sorted(apdu.NAMES)), st.binary(max_size=60))
def test_any_body_behind_a_right_header_is_an_apdu_or_an_error(tag: int, body: bytes) -> None:
    check(tag.to_bytes(2) + len(body).to_bytes(2) + body)
    inner = tag.to_bytes(2) + len(body).to_bytes(2) + body
    check(b"\xe7\x00" + (len(inner) + 2).to_bytes(2) + len(inner).to_bytes(2) + inner)


@given(mutated())
def test_a_damaged_public_apdu_is_an_apdu_or_an_error(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize("event", sorted(SHAPES))
@given(info=st.binary(max_size=60))
def test_any_scan_report_comes_back_or_is_an_error(event: int, info: bytes) -> None:
    shape = SHAPES[event]
    try:
        report = scan_report.read_scan(shape, info)
    except DeviceError:
        return
    assert scan_report.write_scan(shape, report) == info
    for identity in STANDARD_CONFIGURATIONS:
        try:
            standard(identity).read(report)
        except DeviceError:
            continue


READERS: list[tuple[Callable[[bytes], Any], Callable[[Any], bytes] | None]] = [
    (events.read_config, events.write_config),
    (events.read_config_reply, events.write_config_reply),
    (events.read_segment_data, events.write_segment_data),
    (events.read_data_request, events.write_data_request),
    (events.read_data_response, events.write_data_response),
    (segments.read_entry_map, segments.write_entry_map),
    (segments.read_segment_list, None),
    (segments.read_selection, None),
    (segments.read_transfer_reply, None),
]


@pytest.mark.parametrize("pair", [pytest.param(pair, id=pair[0].__name__) for pair in READERS])
@given(data=st.binary(max_size=60))
def test_any_contents_of_an_event_or_action_come_back_or_are_an_error(
    pair: tuple[Callable[[bytes], Any], Callable[[Any], bytes] | None], data: bytes
) -> None:
    read, write = pair
    try:
        found = read(data)
    except DeviceError:
        return
    if write is not None:
        assert write(found) == data


@pytest.mark.parametrize("attribute", sorted(READ))
@given(raw=st.binary(max_size=24))
def test_any_octets_of_an_attribute_are_a_value_or_an_error_that_names_it(attribute: int, raw: bytes) -> None:
    fields = set()
    try:
        value_of(attribute, raw)
    except DeviceError as error:
        fields.add(error.field)
    assert fields <= {Attr(attribute).name.lower().replace("_", "-")}


@given(st.binary(max_size=80))
def test_any_configuration_report_is_a_configuration_or_an_error(data: bytes) -> None:
    try:
        Configuration.of(events.read_config(data))
    except DeviceError:
        return


@pytest.mark.parametrize(
    ("octets", "error", "field"),
    [
        ("", Truncated, "apdu"),
        ("e200", Truncated, "apdu"),
        ("4745542f", UnknownApdu, "apdu"),
        ("e2000000", Truncated, "assoc-version"),
        ("e200000880000000ffffffff", Truncated, "data-proto-list"),
        ("e60000020000ff", BadValue, "apdu"),
        ("e2000008800000000001ffff", Truncated, "data-proto-list"),
        ("e600000400000000", BadValue, "ABRT"),
        ("e7000004ffff0000", Truncated, "presentation"),
        ("e70000080006000101010003", Truncated, "message"),
        ("e700000a0008000101ff00020000", UnknownOperation, "message"),
        ("e7000010000e3456010300080000000000020005", BadValue, "attribute-id-list"),
    ],
)
def test_a_broken_apdu_is_refused_by_its_fault_and_its_field(octets: str, error: type[DeviceError], field: str) -> None:
    with pytest.raises(error) as caught:
        apdu.decode(bytes.fromhex(octets))
    assert caught.value.field == field


def test_counts_that_promise_more_than_was_sent_take_no_memory() -> None:
    liar = bytes.fromhex("f0000000ffffffff") + bytes(100)
    tracemalloc.start()
    try:
        for shape in SHAPES.values():
            with pytest.raises(DeviceError):
                scan_report.read_scan(shape, liar)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 65536


@given(st.lists(st.sampled_from(PUBLIC), min_size=1, max_size=6), st.lists(st.integers(1, 60), min_size=1))
def test_apdus_are_found_in_a_stream_however_it_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    stream, found, reader = b"".join(frames), [], apdu.Frames()
    at = turn = 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found.extend(reader.feed(stream[at : at + size]))
        at, turn = at + size, turn + 1
    assert found == frames
    assert reader.partial == 0


def test_a_stream_that_is_no_apdu_is_refused_at_its_second_octet() -> None:
    reader = apdu.Frames()
    with pytest.raises(UnknownApdu):
        list(reader.feed(b"GE"))


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_a_stream_never_keeps_more_than_one_apdu(chunks: list[bytes]) -> None:
    reader = apdu.Frames()
    for chunk in chunks:
        try:
            list(reader.feed(chunk))
        except UnknownApdu:
            return
        assert reader.partial <= 65539

"""A hostile agent: the right abort or reject for each thing it does, never an exception, and bounded memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.ieee11073 import apdu
from devices.ieee11073.association import Aare, Aarq, Abrt
from devices.ieee11073.codes import Noti
from devices.ieee11073.data_apdu import EventReport, EventReportResult, Get, GetResult, Reject, RemoteError
from devices.ieee11073.events import ConfigReport, write_config
from devices.ieee11073.scan_report import FixedObs
from devices.ieee11073.states import State
from tests.talking_20601 import NOW, SCALE, Talk, about, associated, report, weight


def hex_(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def scan(info: str, invoke_id: int = 4) -> EventReport:
    return EventReport(invoke_id, 0, Noti.SCAN_REPORT_FIXED, hex_(info))


GOOD = report(weight(), invoke_id=9)


def still_takes_readings(talk: Talk) -> bool:
    """Whatever happened: an agent that behaves is heard, by itself or in a new association."""
    if talk.manager.state is State.UNASSOCIATED:
        talk.say(Aarq.of(about()))
    talk.kept.clear()
    (answer,) = talk.say(GOOD)
    return isinstance(answer, EventReportResult) and len(talk.kept) == 1


# -- before an association


@pytest.mark.parametrize(
    ("opening", "answer"),
    [
        ("e200 0000", (Abrt, 0)),
        ("e200 0004 80000000", (Abrt, 0)),
        ("e200 0008 80000000 0000 0000", (Aare, 4)),
        ("e200 0008 80000000 ffff 0000", (Abrt, 0)),
        ("e200 000c 80000000 0001 0004 5079 0000", (Aare, 6)),
        ("e200 000c 80000000 0001 0004 5079 ffff", (Abrt, 0)),
        ("e200 000c 80000000 0001 ffff 5079 0000", (Abrt, 0)),
        ("e200 000e 80000000 0001 0006 5079 0002 8000", (Aare, 6)),
    ],
)
def test_an_opening_that_makes_no_sense_is_rejected_or_aborted_and_another_one_is_heard(
    opening: str, answer: tuple[type[Any], int]
) -> None:
    talk = Talk()
    (said,) = talk.say(hex_(opening))
    assert (type(said), said.result if isinstance(said, Aare) else said.reason) == answer
    assert talk.manager.state is State.UNASSOCIATED
    assert still_takes_readings(talk)


def test_an_opening_without_octets_is_aborted() -> None:
    talk = Talk()
    assert talk.say(hex_("e200 0000")) == [Abrt(0)]
    assert (talk.odd[0].field, talk.odd[0].reason) == ("assoc-version", "Truncated")


@pytest.mark.parametrize("early", [GOOD, Get(1, 0), GetResult(1, 0), hex_("e700 0000"), hex_("e700 0002 0000")])
def test_data_before_an_association_are_aborted(early: Any) -> None:
    talk = Talk()
    assert talk.say(early) == [Abrt(0)]
    assert talk.kept == []
    assert still_takes_readings(talk)


@pytest.mark.parametrize("octets", ["ffff 0000", "0000", "47455420 2f", "e201 0000"])
def test_what_is_no_apdu_ends_the_stream_with_its_reason(octets: str) -> None:
    talk = Talk()
    assert talk.say(hex_(octets)) == [Abrt(0)]
    assert talk.odd[0].reason == "UnknownApdu"
    assert (talk.kept, talk.manager.state) == ([], State.UNASSOCIATED)


# -- before the configuration


def test_a_report_before_the_configuration_is_answered_and_not_kept() -> None:
    talk = associated(0x4000)
    assert talk.say(GOOD) == [RemoteError(9, 1)]
    assert (talk.kept, talk.manager.state) == ([], State.WAITING_FOR_CONFIG)
    told = EventReport(10, 0, Noti.CONFIG, write_config(ConfigReport(0x4000, (SCALE,))))
    talk.say(told)
    assert still_takes_readings(talk)


def test_an_unconfirmed_report_before_the_configuration_is_neither_kept_nor_answered_as_kept() -> None:
    talk = associated(0x4000)
    assert talk.say(report(weight(), invoke_id=9, confirmed=False)) == []
    assert (talk.kept, talk.manager.state) == ([], State.WAITING_FOR_CONFIG)


@pytest.mark.parametrize(
    "info",
    [
        "",
        "4000",
        "4000 ffff 0000",
        "4000 0001 0004 0006 0001",
        "4000 0001 0008 0006 0001 0001 ffff",
        "4000 0001 000a 0006 0001 ffff 0000",
        "4000 0000 0004 0000 0000",
    ],
)
def test_a_configuration_of_no_sense_is_rejected_and_a_right_one_may_follow(info: str) -> None:
    talk = associated(0x4000)
    (answer,) = talk.say(EventReport(7, 0, Noti.CONFIG, hex_(info)))
    assert answer == Reject(7, 2)
    talk.say(EventReport(8, 0, Noti.CONFIG, write_config(ConfigReport(0x4000, (SCALE,)))))
    assert talk.manager.state is State.OPERATING
    assert still_takes_readings(talk)


def test_an_agent_that_never_tells_its_configuration_is_aborted_in_time() -> None:
    talk = associated(0x4000)
    assert talk.wait(9.9) == []
    assert talk.wait(0.2) == [Abrt(3)]


# -- counts that overrun, inner lengths that are wrong


@pytest.mark.parametrize(
    "info",
    [
        "f000 0000 ffff 000c 0001 0008 ff0002dc",
        "f000 0000 0002 000c 0001 0008 ff0002dc 00000000",
        "f000 0000 0001 ffff 0001 000c ff0002dc 2026112216000000",
        "f000 0000 0001 0010 0001 ffff ff0002dc 2026112216000000",
        "f000 0000 0001 0010 0001 000b ff0002dc 2026112216000000",
        "f000 0000 0000 0010 0001 000c ff0002dc 2026112216000000",
        "f000 0000 0001 0010 0001 000c ff0002dc 2026112216000000 00",
        "f000 0000 0001 0006 0001 0002 ff00",
        "f000 0000",
        "",
    ],
)
def test_a_report_whose_counts_or_lengths_are_wrong_is_rejected_and_nothing_of_it_is_kept(info: str) -> None:
    talk = associated()
    assert talk.say(scan(info)) == [Reject(4, 2)]
    assert talk.kept == []
    assert talk.odd
    assert still_takes_readings(talk)


@pytest.mark.parametrize(
    ("frame", "answer"),
    [
        ("e700 0008 0006 0004 0101 ffff", Reject(4, 2)),
        ("e700 0008 0006 0004 0101 0001", Reject(4, 2)),
        ("e700 0008 0004 0004 0101 0000", Reject(4, 2)),
        ("e700 0008 ffff 0004 0101 0000", Reject(4, 2)),
        ("e700 000a 0008 0004 0102 0002 0000", Reject(4, 101)),
        ("e700 0004 0002 0004", Reject(4, 2)),
        ("e700 0000", Abrt(0)),
    ],
)
def test_an_inner_length_that_is_wrong_is_rejected_or_aborted(frame: str, answer: Any) -> None:
    talk = associated()
    assert talk.say(hex_(frame)) == [answer]
    assert talk.kept == []
    assert still_takes_readings(talk)


# -- endless


def test_an_apdu_that_never_ends_is_bounded_and_given_up() -> None:
    talk = associated()
    talk.say(hex_("e700 ffff"))
    tracemalloc.start()
    for _ in range(64):
        talk.say(bytes(1024))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 4 * 65_539
    assert talk.kept == []
    talk.wait(3600)
    talk.manager.disconnected(talk.now)
    talk.manager.connected(talk.now)
    assert still_takes_readings(talk)


def test_apdus_without_end_are_each_answered_and_nothing_grows() -> None:
    talk = associated()
    frame = apdu.encode(scan("f000 0000 ffff 000c 0001 0008 ff0002dc"))
    for _ in range(50):
        talk.say(frame * 4)
    talk.odd.clear()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(50):
        assert talk.say(frame * 20) == [Reject(4, 2)] * 20
        talk.odd.clear()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000
    assert still_takes_readings(talk)


def test_associations_without_end_leave_nothing_behind() -> None:
    talk = Talk()
    for _ in range(300):
        talk.say(Aarq.of(about(0x4000)), hex_("e400 0002 0000"))
    assert talk.manager.state is State.UNASSOCIATED
    assert len(talk.manager.remembered) == 0
    assert still_takes_readings(talk)


def test_handles_that_nobody_configured_are_left_aside_however_many() -> None:
    talk = associated()
    (answer,) = talk.say(report(*(FixedObs(handle, b"") for handle in range(2, 2000)), weight(), invoke_id=5))
    assert isinstance(answer, EventReportResult)
    assert len(talk.kept) == 1


@given(st.lists(st.one_of(st.binary(max_size=40), st.just(apdu.encode(GOOD)),
                          st.binary(max_size=24).map(lambda body: b"\xe7\x00" + len(body).to_bytes(2) + body)),
                max_size=8))  # fmt: skip
def test_whatever_is_sent_in_whatever_order_nothing_raises_and_what_is_kept_is_a_reading(parts: list[bytes]) -> None:
    talk = associated()
    for part in parts:
        talk.say(part)
        talk.wait(0.5)
    talk.manager.disconnected(talk.now)
    talk.manager.connected(talk.now)
    assert all(one.measured_at <= NOW.replace(year=2027) for one in talk.kept)
    assert still_takes_readings(talk)

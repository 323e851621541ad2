"""Whatever is advertised: the scan goes on, and what is kept can be sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.meaning import meaning_error
from gateway.advertised import Advertised, speaker
from gateway.collector import wanted_by
from gateway.connected import Terms
from gateway.outbox import Outbox
from gateway.radio import Discovery
from gateway.status import status
from ingest.status import understand
from tests.fix_bluetooth import kept_in

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STABLE = bytes.fromhex("22c836ea0703020f3b00")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite", clock=lambda: NOW) as found:
        yield found


def heard(name: str, service: str, data: bytes, address: str = "F0:00:00:00:00:07") -> Discovery:
    return Discovery(address, name, frozenset({service}), -60, None, {service: data})


def listening(outbox: Outbox) -> Advertised:
    return Advertised(outbox, Terms(), wanted_by(frozenset()).hears, lambda: NOW, lambda: None)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["MI_SCALE", "mibfs", "", "OTHER", "MI"]),
    service=st.sampled_from(["181D", "181B", "1810", "FE95"]),
    data=st.one_of(st.binary(max_size=31), st.binary(min_size=10, max_size=10), st.binary(min_size=13, max_size=13)),
)
def test_arbitrary_service_data_raises_nothing_and_what_is_kept_has_a_meaning(
    outbox: Outbox, name: str, service: str, data: bytes
) -> None:
    before = outbox.figures().backlog
    known = listening(outbox).hear(heard(name, service, data))
    assert known == (speaker(heard(name, service, data)) is not None)
    after = outbox.figures().backlog
    assert after - before in ({0, 1} if known else {0})
    if after > before:
        assert meaning_error(0, kept_in(outbox)[-1]) is None


@pytest.mark.parametrize(
    ("name", "service", "data", "known"),
    [
        ("MI_SCALE", "181D", STABLE, True),
        ("MI SCALE2", "181D", STABLE, True),
        ("MIBFS", "181D", b"", True),
        ("", "181D", STABLE, True),
        ("", "181D", STABLE + b"\0", False),
        ("", "181D", STABLE[:-1], False),
        ("", "1810", STABLE, False),
        ("AND_UC-352", "181D", STABLE, False),
    ],
)
def test_a_scale_is_known_by_its_name_and_without_one_by_the_exact_layout(
    name: str, service: str, data: bytes, known: bool
) -> None:
    assert (speaker(heard(name, service, data)) is not None) is known


def test_what_is_remembered_of_repeats_is_bounded(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.advertised._MOST", 4)
    advertised = listening(outbox)
    for number in range(9):
        assert advertised.hear(heard("MI_SCALE", "181D", STABLE, f"F0:00:00:00:00:{number:02X}"))
    assert (len(advertised._frames._heard), len(advertised._readings._heard)) == (4, 4)
    assert len(kept_in(outbox)) == 9


def test_the_receiver_understands_the_batteries_of_a_status(outbox: Outbox) -> None:
    said = status(outbox.figures(), NOW + timedelta(seconds=1), agents=("eui64:02",), batteries={"ble:f0": 41})
    found = understand("suifang/v1/dongyuan/gw-1/status", msgspec.json.encode(said))
    assert found is not None
    assert found.batteries == {"ble:f0": 41}

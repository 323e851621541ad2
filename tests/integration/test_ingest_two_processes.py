"""Two ingest processes at one broker, against a model: any repeat, any order, at the same time, one row a record.

Either they share the messages of two gateways (`$share`), or each hears every message, so that all is delivered twice
at once. What the model knows: which records there are, and which deliveries of each say another thing than the first
that was stored.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.message import Reason, Receipt
from devices.observation import Observation
from ingest import database, reconcile
from ingest.batch import place_of
from ingest.settings import Settings
from simulators.embedded.broker import Broker
from tests.fix_ingest import AN_HOUR_AGO, IngestProcess, Source, ask, message, pressure

DAY: Final = 86_400
EXAMPLE = itertools.count()
# of the device's clock: right, about a day off (where the ledger begins), years off
SKEWS: Final = (0, 0, DAY - 5, DAY + 5, -26 * 365 * DAY)
WAYS: Final = {"shared": {"shared_group": "storage"}, "each hears all": {}}


@dataclass(frozen=True)
class Delivery:
    """One time a gateway delivers one record. said: which of two contents it has; error: of its corrected time."""

    device: int
    number: int
    gateway: int
    said: int
    error: int
    broken: bool


deliveries = st.lists(
    st.builds(
        Delivery,
        device=st.integers(0, 2),
        number=st.integers(1, 6),
        gateway=st.integers(0, 1),
        said=st.sampled_from([0, 0, 0, 0, 1]),
        error=st.sampled_from([0, 3, -9, 2 * DAY]),
        broken=st.sampled_from([False] * 9 + [True]),
    ),
    min_size=1,
    max_size=40,
)


def observed(one: Delivery, prefix: str, skews: Sequence[int]) -> Observation:
    true_at = AN_HOUR_AGO - timedelta(days=10) + timedelta(minutes=one.number)
    stamp = true_at + timedelta(seconds=skews[one.device], hours=8)
    return pressure(
        one.number,
        device=f"{prefix}-{one.device}",
        kind=77 if one.broken else pressure().kind,
        values=(120.0 + one.said, 80.0, 93.0, 66.0),
        measured_at=true_at + timedelta(seconds=one.error),
        device_at=stamp.replace(tzinfo=None),
    )


@dataclass
class Chain:
    """A broker, a database, two gateways, two processes."""

    url: str
    processes: tuple[IngestProcess, IngestProcess]
    gateways: tuple[Source, Source]
    copies: int
    """How often each message is delivered."""

    def deliver(self, payloads: tuple[list[bytes], list[bytes]]) -> list[Receipt]:
        """Both gateways at once; every receipt there will be."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda pair: pair[0].send_all(pair[1]), zip(self.gateways, payloads, strict=True)))
        return [
            gateway.receipt()
            for gateway, sent in zip(self.gateways, payloads, strict=True)
            for _ in range(len(sent) * self.copies)
        ]


@pytest.fixture(params=WAYS)
def chain(request: pytest.FixtureRequest, broker: Broker, migrated_database_url: str) -> Iterator[Chain]:
    how: dict[str, str] = WAYS[request.param]
    with (
        _two(broker, migrated_database_url, how) as processes,
        Source(broker, "gw-1") as first,
        Source(broker, "gw-2") as second,
    ):
        yield Chain(migrated_database_url, processes, (first, second), 1 if how else 2)


@contextmanager
def _two(broker: Broker, url: str, how: dict[str, str]) -> Iterator[tuple[IngestProcess, IngestProcess]]:
    with (
        IngestProcess(broker, url, client_id="one", **how) as one,
        IngestProcess(broker, url, client_id="two", **how) as two,
    ):
        yield one, two


def in_messages(made: Sequence[Observation], pieces: int, shuffled: random.Random, twice: bool) -> list[bytes]:
    order = list(made)
    shuffled.shuffle(order)
    payloads = [
        message(*order[start : start + pieces], message_id=f"m-{next(EXAMPLE)}")
        for start in range(0, len(order), pieces)
    ]
    return payloads + payloads[:1] if twice else payloads


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    delivered=deliveries,
    skews=st.tuples(*[st.sampled_from(SKEWS)] * 3),
    shuffled=st.randoms(use_true_random=False),
    pieces=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    twice=st.booleans(),
)
def test_two_processes_store_what_the_model_says(
    chain: Chain,
    delivered: list[Delivery],
    skews: tuple[int, ...],
    shuffled: random.Random,
    pieces: tuple[int, int],
    twice: bool,
) -> None:
    prefix = f"ble:example-{next(EXAMPLE)}"
    made = [[observed(one, prefix, skews) for one in delivered if one.gateway == gateway] for gateway in (0, 1)]
    payloads = [in_messages(made[gateway], pieces[gateway], shuffled, twice) for gateway in (0, 1)]
    receipts = chain.deliver((payloads[0], payloads[1]))

    stored = ask(
        chain.url,
        "SELECT device_uid, record_no, v0 FROM telemetry.observation JOIN telemetry.device USING (device_id)"
        " WHERE device_uid LIKE %s",
        f"{prefix}-%",
    )
    rows = {(uid, number): systolic for uid, number, systolic in stored}
    said = Counter[tuple[str, int, float]]()
    broken = 0
    for payload in (payload for of_gateway in payloads for payload in of_gateway):
        for item in json.loads(payload)["observations"]:
            if item["kind"] == 77:
                broken += chain.copies
            else:
                said[item["device"], item["record_no"], item["values"][0]] += chain.copies
    contents: dict[tuple[str, int], set[float]] = {}
    for uid, number, systolic in said:
        contents.setdefault((uid, number), set()).add(systolic)

    assert len(stored) == len(rows)
    assert rows.keys() == contents.keys()
    assert all(systolic in contents[key] for key, systolic in rows.items())
    reused = sum(times for (uid, number, systolic), times in said.items() if rows[uid, number] != systolic)
    assert sum(receipt.stored for receipt in receipts) == len(rows)
    assert sum(receipt.duplicate for receipt in receipts) == sum(said.values()) - len(rows) - reused
    reasons = Counter(remark.reason for receipt in receipts for remark in receipt.refused)
    assert reasons == Counter({Reason.UNKNOWN_KIND: broken, Reason.RECORD_REUSED: reused}) + Counter()
    assert asyncio.run(differences(chain.url)) == []


async def differences(url: str) -> list[reconcile.Difference]:
    conn = await database.connect(url)
    try:
        return await reconcile.differences(conn, now=datetime.now(UTC))
    finally:
        await conn.close()


def test_both_processes_work_and_end_in_order(chain: Chain) -> None:
    """The same records by both gateways at once, in opposite orders: where writers meet, and try again."""
    forward = [message(*(pressure(n, device=f"ble:c-{d}") for n in range(20)), message_id=f"f-{d}") for d in range(30)]
    chain.deliver((forward, forward[::-1]))
    assert [process.stop() for process in chain.processes] == [0, 0]
    done = [process.wait_for_line("stopped") for process in chain.processes]
    assert sum(one["stored"] for one in done) == 600
    assert sum(one["duplicate"] for one in done) == 600 * (2 * chain.copies - 1)
    assert all(one["messages"] > 0 for one in done)
    assert ask(chain.url, "SELECT count(*) FROM telemetry.observation") == [(600,)]


def test_with_parts_a_device_stays_with_one_process_and_what_the_other_hears_is_left_to_it(
    broker: Broker, migrated_database_url: str
) -> None:
    uids = [f"ble:cuff-{number}" for number in range(40)]
    expected = Counter(place_of(uid, 2, 2)[0] for uid in uids)
    assert min(expected.values()) > 0
    with (
        IngestProcess(broker, migrated_database_url, client_id="one", part="0", parts="2") as one,
        IngestProcess(broker, migrated_database_url, client_id="two", part="1", parts="2") as two,
        Source(broker, "gw-1") as first,
        Source(broker, "gw-2") as second,
    ):
        sent = [message(pressure(1, device=uid), pressure(2, device=uid), message_id=uid[4:]) for uid in uids]
        chain = Chain(migrated_database_url, (one, two), (first, second), copies=1)
        receipts = chain.deliver((sent, sent[::-1]))
        assert [process.stop() for process in (one, two)] == [0, 0]
        done = [process.wait_for_line("stopped") for process in (one, two)]
    assert (sum(r.stored for r in receipts), sum(r.duplicate for r in receipts)) == (80, 80)
    assert [line["messages"] for line in done] == [2 * expected[0], 2 * expected[1]]
    assert [line["stored"] for line in done] == [2 * expected[0], 2 * expected[1]]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"part": "2", "parts": "2"}, "counted from 0"),
        ({"parts": "2", "shared_group": "storage"}, "no process hears everything"),
    ],
)
def test_parts_that_would_leave_devices_to_nobody_are_refused(how: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings.model_validate({"database_url": "postgresql:///x", **how})


def test_the_places_of_devices_are_even_over_processes_and_their_writers() -> None:
    places = Counter(place_of(f"ble:{number:012x}", 2, 2) for number in range(4000))
    assert len(places) == 4
    assert min(places.values()) > 800

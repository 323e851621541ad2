"""Whatever forms a message mixes, each of its observations has the fate that a plain reading of the rules gives it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devices.decoding import decode_observation
from devices.message import Message, Reason, Receipt, encode
from devices.observation import Observation
from devices.series import Series
from ingest import commit, database
from ingest.commit import UnknownDevices
from ingest.directory import Directory
from tests.fix_ingest import ask, pressure, taken

NOW = datetime.now(UTC).replace(microsecond=0)
EXAMPLE = itertools.count()
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Sent:
    """Some deliveries of records `first` to `first + count` of one device: as a series or one by one."""

    device: int
    first: int
    count: int
    clock: str
    correction: int
    value: float
    far: bool
    uneven: bool
    in_series: bool
    slot: int | None
    session: str | None


sents = st.builds(
    Sent,
    device=st.integers(1, 2),
    first=st.integers(0, 5),
    count=st.sampled_from([1, 2, 26]),
    clock=st.sampled_from(["none", "right", "right", "decades off"]),
    correction=st.integers(-5, 5),
    value=st.sampled_from([120.0, 120.0, 120.0, 121.0]),
    far=st.sampled_from([False, False, False, True]),
    uneven=st.sampled_from([False, False, False, True]),
    in_series=st.booleans(),
    slot=st.sampled_from([None, None, 1]),
    session=st.sampled_from([None, None, "s-1"]),
)


def observations(sent: Sent, prefix: str) -> list[Observation]:
    """A record without a clock has the time of its one reception; another way to read a clock is another record."""
    found = []
    for number in range(sent.first, sent.first + sent.count):
        at = NOW - timedelta(days=4000 if sent.far else 2, seconds=60 * number)
        stamp = at + timedelta(hours=8, days=-9000 if sent.clock == "decades off" else 0)
        found.append(
            pressure(
                number * 3 + ["none", "right", "decades off"].index(sent.clock),
                device=f"{prefix}-{sent.device}",
                values=(sent.value, 80.0),
                measured_at=at + timedelta(seconds=0 if sent.clock == "none" else sent.correction),
                device_at=None if sent.clock == "none" else stamp.replace(tzinfo=None),
                slot=sent.slot,
                session=sent.session,
            )
        )
    return found


def series_of(several: Sequence[Observation], *, uneven: bool) -> Series:
    one, local = several[0], datetime(1970, 1, 1)
    clock = None if one.device_at is None else [(o.device_at - local) // MICROSECOND for o in several if o.device_at]
    columns: list[Any] = [list(column) for column in zip(*(o.values for o in several), strict=True)]
    return Series(
        device=one.device,
        kind=one.kind,
        unit=one.unit,
        values=[columns[0], [*columns[1], 80.0] if uneven else columns[1]],
        measured_us=[(o.measured_at - local.replace(tzinfo=UTC)) // MICROSECOND for o in several],
        device_us=clock,
        record_no=[o.record_no for o in several],
        slot=one.slot,
        session=one.session,
    )


class Rules:
    """One reading a key, the first wins; told one observation at a time."""

    def __init__(self, refused_device: str | None) -> None:
        self.kept: dict[Any, Any] = {}
        self.refused_device = refused_device

    def fate(self, one: Observation) -> Reason | bool:
        """True: stored; False: a duplicate."""
        if one.measured_at < NOW - timedelta(days=1100):
            return Reason.ANCIENT_TIME
        if one.device == self.refused_device:
            return Reason.UNKNOWN_DEVICE
        key = (one.device, one.device_at or one.measured_at, one.record_no)
        reading = (one.values, one.slot)
        first = self.kept.setdefault(key, reading)
        if first is reading:
            return True
        return False if first == reading else Reason.RECORD_REUSED


def message_of(sents: Sequence[Sent], prefix: str) -> tuple[bytes, list[Observation | None]]:
    """The payload, and what stands under each index; None: a series that is refused as one."""
    lone = [one for sent in sents if not sent.in_series for one in observations(sent, prefix)]
    order: list[Observation | None] = list(lone)
    series = []
    for sent in sents:
        if sent.in_series:
            several = observations(sent, prefix)
            series.append(series_of(several, uneven=sent.uneven))
            order.extend([None] if sent.uneven else several)
    return encode(Message(message_id="m", sent_at=NOW, observations=lone, series=series)), order


async def put(url: str, batches: Sequence[Sequence[bytes]], prefix: str, *, refuse: bool) -> list[Receipt]:
    conn = await database.connect(url)
    how = UnknownDevices.REFUSE if refuse else UnknownDevices.STORE
    try:
        await conn.execute(
            "INSERT INTO telemetry.device (device_uid, registered_at, first_seen_at, last_seen_at)"
            " SELECT %s || n, now(), now(), now() FROM generate_series(0, 1) AS n",
            (f"{prefix}-",),
        )
        directory, receipts = Directory(), []
        for batch in batches:
            intakes = [taken(payload, source=prefix.removeprefix("ble:")) for payload in batch]
            stored = await commit.store_with_retry(conn, directory, intakes, now=NOW, unknown_devices=how)
            receipts += stored.receipts
            for intake, receipt in zip(intakes, stored.receipts, strict=True):
                assert intake.sent == receipt.stored + receipt.duplicate + len(receipt.refused)
    finally:
        await conn.close()
    return receipts


def sent(count: int, value: float, *, in_series: bool, slot: int | None = None) -> Sent:
    """Records 0 to `count` of device 1, as their clock says."""
    return Sent(1, 0, count, "right", 0, value, far=False, uneven=False, in_series=in_series, slot=slot, session=None)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    batches=st.lists(st.lists(st.lists(sents, min_size=1, max_size=4), min_size=1, max_size=3), min_size=1, max_size=3),
    refuse=st.booleans(),
)
@example(
    batches=[[[sent(1, 121.0, in_series=False), sent(3, 120.0, in_series=True)]]],
    refuse=False,
)
@example(
    batches=[
        [
            [
                sent(count, value, in_series=False, slot=slot)
                for count, value, slot in ((1, 122.0, None), (26, 121.0, 1), (26, 120.0, None))
            ]
        ]
    ],
    refuse=False,
)
def test_each_observation_has_the_fate_the_rules_give_it(
    migrated_database_url: str, batches: list[list[list[Sent]]], refuse: bool
) -> None:
    prefix = f"ble:fates-{next(EXAMPLE)}"
    rules = Rules(f"{prefix}-2" if refuse else None)
    made = [[message_of(each, prefix) for each in batch] for batch in batches]
    receipts = asyncio.run(
        put(migrated_database_url, [[payload for payload, _ in batch] for batch in made], prefix, refuse=refuse)
    )
    quarantined: dict[tuple[Reason, int], list[Observation | None]] = {}
    stored = 0
    for receipt, (_, order) in zip(receipts, itertools.chain(*made), strict=True):
        refused, counts = {}, {True: 0, False: 0}
        for index, one in enumerate(order):
            fate = Reason.MALFORMED if one is None else rules.fate(one)
            if isinstance(fate, Reason):
                refused[index] = fate
                quarantined.setdefault((fate, index), []).append(one)
            else:
                counts[fate] += 1
        assert {remark.index: remark.reason for remark in receipt.refused} == refused
        assert (receipt.stored, receipt.duplicate) == (counts[True], counts[False])
        stored += receipt.stored
    found = ask(
        migrated_database_url,
        "SELECT count(*) FROM telemetry.observation JOIN telemetry.device USING (device_id) WHERE device_uid LIKE %s",
        f"{prefix}-%",
    )
    assert found == [(stored,)]
    for item, reason, content in ask(
        migrated_database_url,
        "SELECT item, reason, content FROM telemetry.quarantine WHERE topic LIKE %s",
        f"%/{prefix.removeprefix('ble:')}/%",
    ):
        one = decode_observation(content)
        assert (one if isinstance(one, Observation) else None) in quarantined[Reason(reason), item]

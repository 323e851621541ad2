"""The readings that benchmarks of ingest send, and the same as ready-made COPY streams for the limits."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final

import numpy as np
import psycopg

from devices.message import Leaf, Message, Topic, encode
from devices.nomenclature import BLOOD_PRESSURE
from devices.observation import Observation
from devices.series import Series
from ingest import columns, intake
from ingest.columns import Rows
from ingest.placing import place
from ingest.rows import HEADER, TRAILER

PER_MESSAGE: Final = 100
PER_COMMIT: Final = 5000
VALUES: Final = 4
NARROW_COLUMNS: Final = "identity_at, measured_at, value, device_id, code, record_no, subject_id, unit, flags"
NARROW_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS narrow (identity_at timestamptz NOT NULL, measured_at timestamptz NOT NULL,"
    " value float8 NOT NULL, device_id int NOT NULL, code int NOT NULL, record_no int NOT NULL,"
    " subject_id int NOT NULL, unit smallint NOT NULL, flags smallint NOT NULL)"
)
_NARROW: Final = struct.Struct(">hiqiqidiiiiiiiiihih")
_SINCE: Final = datetime(1970, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)


def observations(count: int, began: datetime) -> list[Observation]:
    """`count` cuff records: each device delivers 100 of them, one a minute, devices interleave message by message."""
    made = []
    for number in range(count):
        device, record = divmod(number, PER_MESSAGE)
        at = began + timedelta(minutes=record, seconds=device % 60)
        made.append(
            Observation(
                device=f"ble:{device:012x}",
                kind=BLOOD_PRESSURE,
                values=(100.0 + number % 60, 60.0 + number % 30, 80.0, 55.0 + number % 40),
                unit="mm[Hg]",
                measured_at=at + timedelta(milliseconds=number % 900),
                device_at=(at + timedelta(hours=8)).replace(tzinfo=None),
                record_no=record,
            )
        )
    return made


def series_of(observations: Sequence[Observation]) -> Series:
    """The same readings in columns. They are of one device and kind, and it has a clock."""
    first = observations[0]
    stamps = [one.device_at - _SINCE for one in observations if one.device_at is not None]
    return Series(
        device=first.device,
        kind=first.kind,
        unit=first.unit,
        values=[list(column) for column in zip(*(one.values for one in observations), strict=True)],
        measured_us=[(one.measured_at - _SINCE.replace(tzinfo=UTC)) // _MICROSECOND for one in observations],
        device_us=[stamp // _MICROSECOND for stamp in stamps],
        record_no=[one.record_no for one in observations],
    )


def next_of(device: int, turn: int, began: datetime) -> Series:
    """The `turn`-th hundred readings of a cuff: one a second, record numbers follow each other."""
    first = (began - _SINCE.replace(tzinfo=UTC)) // _MICROSECOND + turn * PER_MESSAGE * 1_000_000
    numbers = range(turn * PER_MESSAGE, (turn + 1) * PER_MESSAGE)
    times = [first + number * 1_000_000 for number in range(PER_MESSAGE)]
    systolic = [100.0 + (device + number) % 60 for number in numbers]
    return Series(
        device=f"ble:{device:012x}",
        kind=BLOOD_PRESSURE,
        unit="mm[Hg]",
        values=[systolic, [one - 40.0 for one in systolic], [one - 20.0 for one in systolic], [72.0] * PER_MESSAGE],
        measured_us=times,
        device_us=[at + 8 * 3_600_000_000 for at in times],
        record_no=list(numbers),
    )


def payloads_of(made: Sequence[Observation], form: str, now: datetime, devices: int = 1) -> list[bytes]:
    """A message for each `PER_MESSAGE` of so many devices; form: "observations" or "series"."""
    payloads = []
    for number in range(len(made) // (PER_MESSAGE * devices)):
        first = number * PER_MESSAGE * devices
        parts = [list(made[first + one * PER_MESSAGE : first + (one + 1) * PER_MESSAGE]) for one in range(devices)]
        if form == "series":
            message = Message(message_id=f"b-{number}", sent_at=now, series=[series_of(part) for part in parts])
        else:
            message = Message(message_id=f"b-{number}", sent_at=now, observations=list(chain.from_iterable(parts)))
        payloads.append(encode(message))
    return payloads


def rows_of(payloads: Sequence[bytes], now: datetime) -> Rows:
    """As ingest reads them."""
    topic = str(Topic("bench", "gw-1", Leaf.OBSERVATIONS))
    return columns.joined([intake.take(topic, one, now, intake.Limits()).rows for one in payloads])


def copy_rows(url: str, table: str, columns: str, streams: Sequence[bytes]) -> float:
    """Seconds for COPY of ready-made streams, one commit each."""
    with psycopg.connect(url, autocommit=True) as conn:
        began = time.perf_counter()
        for stream in streams:
            with conn.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT binary)") as copy:
                copy.write(stream)
        return time.perf_counter() - began


def narrow_streams(rows: Rows, values: Sequence[tuple[float | None, ...]]) -> list[bytes]:
    """One row a value: identity_at, measured_at, value, device_id, code, record_no, subject_id, unit, flags."""
    packed = [
        _NARROW.pack(
            9, 8, stamp, 8, measured, 8, value, 4, number // PER_MESSAGE, 4, slot, 4, record, 4, 7, 2, 3872, 2, 0
        )
        for number, (stamp, measured, record, together) in enumerate(
            zip(rows.stamps.tolist(), rows.measured.tolist(), rows.records.tolist(), values, strict=True)
        )
        for slot, value in enumerate(together)
    ]
    return _streams(packed)


def compound_streams(rows: Rows) -> list[bytes]:
    """The rows exactly as ingest writes them."""
    device_ids = np.arange(len(rows)) // PER_MESSAGE
    placed = place(rows, device_ids, rows.stamps, batch_id=1, sessions={}, unregistered=set())
    return _streams([placed.packed[ordinal] for ordinal in placed.order.tolist()])


def _streams(packed: Sequence[bytes]) -> list[bytes]:
    return [
        b"".join((HEADER, *packed[start : start + PER_COMMIT], TRAILER)) for start in range(0, len(packed), PER_COMMIT)
    ]

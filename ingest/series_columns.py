"""A series of the data contract as columns of rows: it comes in columns already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from devices.series import Series
from ingest.columns import NO_STAMP, NONE, Rows, circumstances_of, fact_bits
from ingest.packing import possible, tails
from ingest.rows import EPOCH, LOCAL_EPOCH, SHAPES

_UNIX_EPOCH: Final = (EPOCH - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
_LOCAL: Final = (LOCAL_EPOCH - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001 - a device's clock


def plain_series(series: Series, first: int, earliest: int, latest: int) -> tuple[Rows, Sequence[int]]:
    """The plain ones of a series whose columns fit each other, and the positions of the others. first: the index of its
    first observation in the message."""
    count = len(series)
    shape = SHAPES.get((series.kind, series.unit))
    facts = fact_bits(series.facts)
    circumstances = circumstances_of(series.context)
    strange = shape is None or len(series.values) > len(shape.bounds) or facts < 0
    if shape is None or strange or (series.context is not None and not circumstances):
        return NONE, range(count)
    numbers = np.array(series.values, np.float64).T
    measured = np.array(series.measured_us, np.int64) - _UNIX_EPOCH
    records = np.zeros(count, np.int64) if series.record_no is None else np.array(series.record_no, np.int64)
    fit = possible(shape, numbers) & (measured >= earliest) & (measured <= latest)
    slots = None if series.slot is None else np.full(count, series.slot, np.int64)
    rows = Rows(
        list(range(first, first + count)),
        [series.device] * count,
        np.full(count, series.kind, np.int64),
        records,
        measured,
        np.full(count, NO_STAMP) if series.device_us is None else np.array(series.device_us, np.int64) - _LOCAL,
        np.full(count, facts, np.int64),
        None if series.session is None else [series.session] * count,
        tails(
            shape,
            records,
            numbers,
            slots=slots,
            circumstances=None if series.context is None else np.full(count, circumstances, np.int64),
        ),
    )
    if fit.all():
        return rows, ()
    return rows.at(np.flatnonzero(fit).tolist()), np.flatnonzero(~fit).tolist()

"""The rows of a batch with what only the database can say of them: surrogates, identity time, batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from ingest import columns
from ingest.columns import Rows
from ingest.packing import Integers, octets
from ingest.rows import DAY, UNREGISTERED

_FOUR: Final = 4 << 32
_HEAD: Final = [
    *(("fields", ">i2"), ("device", ">i8"), ("identity_length", ">i4"), ("identity", ">i8")),
    *(("measured_length", ">i4"), ("measured", ">i8"), ("batch_length", ">i4"), ("batch", ">i8")),
    *(("facts_length", ">i4"), ("facts", ">i8")),
]
_WITHOUT_SESSION: Final = np.dtype([*_HEAD, ("session", ">i4")])
_FIELDS: Final = 17


class Placed(NamedTuple):
    """Rows message by message; `order`: their ordinals by the key of the table. packed: a whole tuple of the COPY
    stream each. items, firsts: index in the message, and the ordinal of the first row of each message."""

    device_ids: Integers
    identities: Integers
    kinds: Integers
    records: Integers
    order: Integers
    packed: list[bytes]
    items: list[int]
    firsts: Sequence[int]

    def in_turn(self) -> Placed:
        """With rows of one key in the order of their delivery: a message's rows are grouped by form until then."""
        message = np.searchsorted(self.firsts, np.arange(len(self.items)), side="right")
        keys = (self.records, self.kinds, self.identities, self.device_ids)
        return self._replace(order=np.lexsort((np.array(self.items, np.int64), message, *keys)))

    def repeated(self) -> set[int]:
        """Positions in `order` whose key is the one before."""
        same = np.ones(max(0, len(self.order) - 1), np.bool_)
        for column in (self.device_ids, self.identities, self.kinds, self.records):
            ordered = column[self.order]
            same &= ordered[1:] == ordered[:-1]
        return {position + 1 for position in np.flatnonzero(same).tolist()}


NOWHERE: Final = Placed(*(columns.NONE.kinds,) * 5, [], [], ())
"""Of no rows."""


def place(
    rows: Rows,
    device_ids: Integers,
    identities: Integers,
    *,
    batch_id: int,
    sessions: Mapping[str, int],
    unregistered: set[int],
    firsts: Sequence[int] = (0,),
) -> Placed:
    """sessions: their numbers; unregistered: device_ids whose rows carry that fact; firsts: as in `Placed`."""
    # A repeat of an odd record may claim a time days from the first delivery's. It will collapse into that row, and
    # until the database says so it must satisfy the table's check: it takes the identity time.
    near = np.abs(rows.measured - identities) <= DAY
    measured = rows.measured if near.all() else np.where(near, rows.measured, identities)
    facts = rows.facts
    if unregistered:
        facts = np.where(np.isin(device_ids, list(unregistered)), facts | UNREGISTERED, facts)
    heads = np.zeros(len(rows), _WITHOUT_SESSION)
    heads["fields"] = _FIELDS
    heads["device"] = device_ids | _FOUR
    heads["identity_length"] = heads["measured_length"] = heads["batch_length"] = heads["facts_length"] = 8
    heads["identity"], heads["measured"], heads["batch"], heads["facts"] = identities, measured, batch_id, facts
    heads["session"] = -1
    packed = [head + tail for head, tail in zip(octets(heads), rows.tails, strict=True)]
    if rows.sessions is not None:
        length, cut = _WITHOUT_SESSION.itemsize, _WITHOUT_SESSION.itemsize - 4
        for ordinal, uid in enumerate(rows.sessions):
            if uid is not None:
                whole = packed[ordinal]
                packed[ordinal] = whole[:cut] + (_FOUR | sessions[uid]).to_bytes(8) + whole[length:]
    order = np.lexsort((rows.records, rows.kinds, identities, device_ids))
    return Placed(device_ids, identities, rows.kinds, rows.records, order, packed, rows.items, firsts)

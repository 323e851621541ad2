"""Many rows at once into the octets of PostgreSQL's binary COPY: what `ingest.rows` says of one, for columns of them.

Each form of row (how many numbers, with or without user slot and circumstances) has one fixed layout; all rows of a
form are an array of that layout, filled column by column.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ingest.rows import FLOAT8_OID, Shape

Integers = NDArray[np.int64]

_FOUR: Final = 4 << 32
_IN_COLUMNS: Final = 4
"""So many numbers have a column each (v0 to v3); the others share an array."""


def possible(shape: Shape, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Of each row: is every number present, and none of them impossible? numbers: a row an observation."""
    low, high = _bounds(shape, numbers.shape[1])
    fit: NDArray[np.bool_] = np.all((numbers >= low) & (numbers <= high), axis=1)
    if shape.is_pressure and numbers.shape[1] > 1:
        fit &= numbers[:, 1] < numbers[:, 0]
    return fit


@cache
def _bounds(shape: Shape, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = np.array(shape.bounds[:width]).T
    return low.copy(), high.copy()


def tails(
    shape: Shape,
    records: Integers,
    numbers: NDArray[np.float64],
    *,
    slots: Integers | None,
    circumstances: Integers | None,
) -> list[bytes]:
    """The columns from `kind` on, as `ingest.rows` packs them. slots, circumstances: of all rows or of none."""
    width = numbers.shape[1]
    layout, filled = _layout(shape, width, slots is not None, circumstances is not None)
    packed = np.frombuffer(bytearray(filled * len(records)), layout)
    packed["record"] = records | _FOUR
    if slots is not None:
        packed["slot"] = slots
    if circumstances is not None:
        packed["context"] = circumstances | _FOUR
    packed["numbers"]["value"] = numbers[:, :_IN_COLUMNS]
    if width > _IN_COLUMNS:
        packed["more"]["value"] = numbers[:, _IN_COLUMNS:]
    return octets(packed)


def octets(packed: NDArray[Any]) -> list[bytes]:
    """Each row of a structured array."""
    rows: list[bytes] = packed.view(f"V{packed.dtype.itemsize}").tolist()
    return rows


@cache
def _layout(shape: Shape, width: int, has_slot: bool, has_context: bool) -> tuple[np.dtype[Any], bytes]:
    """The layout, and the octets of a row in which everything stands that does not vary."""
    number = np.dtype([("length", ">i4"), ("value", ">f8")])
    in_columns, more = min(width, _IN_COLUMNS), max(0, width - _IN_COLUMNS)
    fields: list[tuple[Any, ...]] = [("kind", ">i8"), ("record", ">i8"), ("absent_length", ">i4"), ("absent", ">i8")]
    fields += [("unit_length", ">i4"), ("unit", ">i2"), ("slot_length", ">i4")]
    fields += [("slot", ">i2")] if has_slot else []
    fields += [("context", ">i8")] if has_context else [("no_context", ">i4")]
    fields += [("numbers", number, (in_columns,)), ("nulls", ">i4", (_IN_COLUMNS - in_columns,))]
    fields += [("array", ">i4", (6,)), ("more", number, (more,))] if more else [("no_more", ">i4")]
    layout = np.dtype(fields)
    filled = np.zeros((), layout)
    filled["kind"], filled["unit"] = _FOUR | shape.kind, shape.term
    filled["absent_length"], filled["unit_length"] = 8, 2
    filled["slot_length"] = 2 if has_slot else -1
    filled["numbers"]["length"], filled["nulls"] = 8, -1
    if not has_context:
        filled["no_context"] = -1
    if more:
        # dimensions, has nulls, type of the elements, length, lower bound
        filled["array"] = (20 + number.itemsize * more, 1, 0, FLOAT8_OID, more, 1)
        filled["more"]["length"] = 8
    else:
        filled["no_more"] = -1
    return layout, filled.tobytes()

"""Attribute value assertions: an id and its octets. The octets are read by `attribute_values` where they are needed.

Source: ISO/IEEE 11073-20601, annex A.2 (AttributeList, AVA-Type, AttrValMap).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from devices.ieee11073.mder import Reader, octets, pack, sequence, u16

_PAIR: Final = struct.Struct(">HH")


class Attribute(NamedTuple):
    """One attribute as it was sent."""

    id: int
    value: bytes


class Mapped(NamedTuple):
    """One row of an Attribute-Value-Map: which attribute, in how many octets."""

    attribute: int
    size: int


def read_attributes(reader: Reader, field: str) -> tuple[Attribute, ...]:
    """AttributeList. Truncated, BadValue."""
    count, inner = reader.sequence(4, field)
    found = tuple(Attribute(inner.u16("attribute-id"), inner.octets("attribute-value")) for _ in range(count))
    inner.finish(field)
    return found


def write_attributes(attributes: Iterable[Attribute]) -> bytes:
    """AttributeList. BadValue."""
    return sequence((u16(one.id, "attribute-id") + octets(one.value) for one in attributes), "attribute-list")


def read_value_map(reader: Reader) -> tuple[Mapped, ...]:
    """AttrValMap. Truncated, BadValue."""
    count, inner = reader.sequence(4, "attribute-value-map")
    found = tuple(Mapped(*inner.fields(_PAIR, "attribute-value-map")) for _ in range(count))
    inner.finish("attribute-value-map")
    return found


def write_value_map(rows: Iterable[Mapped]) -> bytes:
    """AttrValMap. BadValue."""
    return sequence((pack(_PAIR, "attribute-value-map", *row) for row in rows), "attribute-value-map")

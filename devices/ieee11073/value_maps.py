"""Attribute-Value-Maps: which octets of an observation are which attribute.

Source: ISO/IEEE 11073-20601, clause 6.3.3.3 (Attribute-Value-Map).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from devices.errors import BadValue, Truncated
from devices.ieee11073.attribute import Mapped
from devices.ieee11073.attribute_values import READ
from devices.ieee11073.codes import Attr
from devices.ieee11073.fixed_values import READ_FIXED


class Plan(NamedTuple):
    """A map as it is read: attribute, from, to, how."""

    size: int
    rows: tuple[tuple[int, int, int, Callable[[bytes], Any]], ...]


@functools.lru_cache(maxsize=256)
def plan_of(rows: tuple[Mapped, ...]) -> Plan:
    """How this map is read."""
    at, found = 0, []
    for attribute, size in rows:
        found.append((attribute, at, at + size, READ_FIXED.get((attribute, size)) or READ.get(attribute) or bytes))
        at += size
    return Plan(at, tuple(found))


NO_PLAN: Final = Plan(0, ())
"""Of a map without rows."""


def read_mapped(rows: Sequence[Mapped], data: bytes, at: int) -> tuple[dict[int, Any], int]:
    """The values that a map names, from data[at:], and where they end. Truncated: names the attribute."""
    values: dict[int, Any] = {}
    for attribute, size in rows:
        end = at + size
        part = data[at:end]
        if len(part) < size:
            raise Truncated(f"{size} octets are mapped, {len(part)} are left", field=_name(attribute))
        read = READ.get(attribute)
        try:
            values[attribute] = part if read is None else read(part)
        except (Truncated, BadValue) as error:
            raise type(error)(error.detail, field=_name(attribute)) from error
        at = end
    return values, at


def _name(attribute: int) -> str:
    try:
        return Attr(attribute).name.lower().replace("_", "-")
    except ValueError:
        return str(attribute)

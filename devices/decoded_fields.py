"""A decoded characteristic as JSON for people: its fields by the names of the standard, and what is too much in it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from devices.clock import DateTime
from devices.errors import DeviceError
from devices.gatt.characteristic import Characteristic
from devices.gatt.health_observation import HealthObservation
from devices.medfloat import Medfloat
from devices.observation import Absent
from devices.octets import Layout

_TOO_MUCH: Final = frozenset({"reserved", "trailing"})
_SAID_ALREADY: Final = frozenset({"header", "time"})
"""Properties that only put other fields together."""


def rendered(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON: a special value is null, and its reason stands under `absent`; the digits of an SFLOAT or FLOAT, which
    say how precise it is, stand under `exact`."""
    found: dict[str, Any] = {}
    absent: dict[str, str] = {}
    exact: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Medfloat):
            found[name] = value.value
            if value.absent:
                absent[name] = _reason(value.absent)
            else:
                exact[name] = str(value.decimal)
        else:
            found[name] = _plain(value)
    return found | ({"absent": absent} if absent else {}) | ({"exact": exact} if exact else {})


def _plain(value: Any) -> Any:
    found = value
    match value:
        case DateTime():
            found = str(value)
        case bytes():
            found = value.hex()
        case Characteristic():
            found = fields_of(value)
        case HealthObservation():
            found = _body(value)
        case Medfloat():
            found = {"absent": _reason(value.absent)} if value.absent else value.value
        case tuple():
            members = getattr(value, "_asdict", None)
            found = [_plain(item) for item in value] if members is None else rendered(members())
    return found


def _reason(absent: Absent) -> str:
    return absent.name.lower().replace("_", "-")


def _body(body: HealthObservation) -> dict[str, Any]:
    """What its flags announce, and its value by its class."""
    parts = {name: part for name, part in msgspec.structs.asdict(body).items() if part not in (None, ())}
    # where it cannot be read, its octets are shown, and the error is the answer's
    with contextlib.suppress(DeviceError):
        parts["content"] = body.content
    return rendered(parts)


def fields_of(value: Characteristic, layout: Layout | None = None) -> dict[str, Any]:
    """The fields that the frame has and what follows from them."""
    layout = layout or getattr(type(value), "layout", None)
    values: dict[str, Any] = {}
    if layout is not None and layout.flags:
        values["flags"] = value.flags_in(layout)
    unsuccessful: dict[str, str] = {}
    for field in msgspec.structs.fields(value):
        part = getattr(value, field.name)
        if part is None and field.required:
            values[field.name] = None
            unsuccessful[field.name] = _reason(Absent.UNSUCCESSFUL)
        elif part is not None and (part or field.name not in _TOO_MUCH):
            values[field.name] = part
    for name, _ in inspect.getmembers(type(value), lambda member: isinstance(member, property)):
        if name in _SAID_ALREADY:
            continue
        try:
            part = getattr(value, name)
        except DeviceError:
            continue  # a part that does not hold what is announced; its octets are shown
        if part is not None and part != ():
            values[name] = part
    found = rendered(values)
    if unsuccessful:
        found["absent"] = unsuccessful | found.get("absent", {})
    return found


def warnings_of(value: Characteristic, within: str = "") -> Iterator[dict[str, str]]:
    """What the frame has beside its fields: reserved flags that are set, octets that nothing announces.

    Nobody has reserved the flags of a vendor's own frames: what they mean is not known.
    """
    if value.reserved and ":" not in value.uuid:
        yield {"field": f"{within}flags", "detail": f"reserved bits 0x{value.reserved:02x} are set"}
    if value.trailing:
        detail = f"{len(value.trailing)} octets after the last field: {value.trailing.hex()}"
        yield {"field": f"{within}trailing", "detail": detail}
    for field in msgspec.structs.fields(value):
        part = getattr(value, field.name)
        for index, item in enumerate(part if isinstance(part, tuple) else ()):
            if isinstance(item, Characteristic):
                yield from warnings_of(item, f"{within}{field.name}[{index}].")

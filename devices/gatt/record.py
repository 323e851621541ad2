"""From a decoded record to an `Observation`: what all services have in common."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from devices.clock import CorrectedTime
from devices.medfloat import Medfloat
from devices.observation import Absent, Context, Fact, Observation, fact_names
from devices.plausibility import PLAUSIBLE

UNKNOWN_USER: Final = 0xFF
_REASONS: Final = tuple(str(absent.name).lower().replace("_", "-") for absent in Absent)
# plain integers: an IntFlag makes a new member for each `|`, which costs more than the decoding
_NO_FACTS: Final = Fact(0)
_IMPLAUSIBLE: Final = Fact.IMPLAUSIBLE.value
_TRAILING_BYTES: Final = Fact.TRAILING_BYTES.value
_BEYOND: Final[dict[str, int]] = {
    _REASONS[Absent.POSITIVE_INFINITY]: Fact.RESULT_TOO_HIGH.value,
    _REASONS[Absent.NEGATIVE_INFINITY]: Fact.RESULT_TOO_LOW.value,
}
remembered = functools.lru_cache(maxsize=4096)
"""For what depends on status bits alone: a device has few of them, and raises the same ones again and again."""
_names = remembered(fact_names)


class DeviceFacts(NamedTuple):
    """Whose record it is. device: as in `Observation.device`.  session: a kiosk session.  facts: true of each record
    of this device (SIMULATED, UNREGISTERED_DEVICE)."""

    device: str
    session: str | None = None
    facts: Fact = _NO_FACTS


Value: TypeAlias = Medfloat | float | Absent | None
"""One slot: a number, why there is none, or None where the field is not in the frame."""


def nonzero(value: Medfloat | float | None) -> Value:
    """A zero that stands for "not computed" is no reading."""
    number = value.value if isinstance(value, Medfloat) else value
    return None if number == 0 else value


def slot_of(user_id: int | None) -> int | None:
    """The user's number. None: the frame has none, or 0xFF, the unknown user."""
    return None if user_id == UNKNOWN_USER else user_id


def facts_of(status: int | None, table: Sequence[tuple[int, Fact]]) -> int:
    """The facts that the bits of a status word stand for; a bit without a row has no fact."""
    found = 0
    if status:
        for mask, fact in table:
            if status & mask:
                found |= fact.value
    return found


def observe(
    kind: int,
    values: Sequence[Value],
    unit: str,
    *,
    source: DeviceFacts,
    time: CorrectedTime,
    facts: int,
    trailing: bytes = b"",
    record_no: int = 0,
    slot: int | None = None,
    context: Context | None = None,
) -> Observation:
    """The observation of one record: `values` in the kind's slot order and in the units that `unit` implies there.

    Adds IMPLAUSIBLE, TRAILING_BYTES and, for a leading value of plus or minus infinity, RESULT_TOO_HIGH or _LOW.
    """
    numbers: list[float | None] = []
    absent: dict[int, str] = {}
    for value in values:
        if isinstance(value, Medfloat):
            number = value.value
            if number is None:
                absent[len(numbers)] = _REASONS[value.absent]
            numbers.append(number)
        elif value is None or isinstance(value, Absent):
            absent[len(numbers)] = _REASONS[value or Absent.NOT_SENT]
            numbers.append(None)
        else:
            numbers.append(value)
    bits = facts | time.facts
    if source.facts is not _NO_FACTS:
        bits |= int(source.facts)
    if not PLAUSIBLE[kind, unit](*numbers):
        bits |= _IMPLAUSIBLE
    if trailing:
        bits |= _TRAILING_BYTES
    if 0 in absent:
        bits |= _BEYOND.get(absent[0], 0)
    return Observation(
        device=source.device,
        kind=kind,
        values=tuple(numbers),
        unit=unit,
        measured_at=time.measured_at,
        device_at=time.device_at,
        record_no=record_no,
        slot=slot,
        session=source.session,
        absent=absent,
        facts=_names(bits),
        context=context,
    )

"""From a decoded record to an `Observation`: what all services have in common."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

from devices.clock import CorrectedTime
from devices.medfloat import Medfloat
from devices.nomenclature import BY_CODE
from devices.observation import Absent, Context, Fact, Observation, fact_names
from devices.plausibility import implausible_slots

UNKNOWN_USER: Final = 0xFF
_REASONS: Final = {absent: str(absent.name).lower().replace("_", "-") for absent in Absent}
# plain integers: an IntFlag makes a new member for each `|`, which costs more than the decoding
_IMPLAUSIBLE: Final = Fact.IMPLAUSIBLE.value
_TRAILING_BYTES: Final = Fact.TRAILING_BYTES.value
_RESULT_TOO_HIGH: Final = Fact.RESULT_TOO_HIGH.value
_RESULT_TOO_LOW: Final = Fact.RESULT_TOO_LOW.value
_names = functools.lru_cache(maxsize=1024)(fact_names)


class DeviceFacts(NamedTuple):
    """Whose record it is. device: as in `Observation.device`.  session: a kiosk session.  facts: true of each record
    of this device (SIMULATED, UNREGISTERED_DEVICE)."""

    device: str
    session: str | None = None
    facts: Fact = Fact(0)


class Value(NamedTuple):
    """One slot: a number, or the reason why there is none."""

    number: float | None
    absent: Absent = Absent.PRESENT


NOT_SENT: Final = Value(None, Absent.NOT_SENT)
UNSUCCESSFUL: Final = Value(None, Absent.UNSUCCESSFUL)


def of_medfloat(number: Medfloat | None) -> Value:
    """None: the field was not in the frame."""
    return NOT_SENT if number is None else Value(number.value, number.absent)


def of_number(number: float | None) -> Value:
    """None: the field was not in the frame."""
    return NOT_SENT if number is None else Value(number)


def nonzero(value: Value) -> Value:
    """A zero that stands for "not computed" is no reading."""
    return NOT_SENT if value.number == 0 else value


def slot_of(user_id: int | None) -> int | None:
    """The user's number. None: the frame has none, or 0xFF, the unknown user."""
    return None if user_id == UNKNOWN_USER else user_id


def facts_of(status: int | None, table: Sequence[tuple[int, Fact]]) -> Fact:
    """The facts that the bits of a status word stand for; a bit without a row has no fact."""
    found = Fact(0)
    if status:
        for mask, fact in table:
            if status & mask:
                found |= fact
    return found


def observe(
    kind: int,
    values: Sequence[Value],
    unit: str,
    *,
    source: DeviceFacts,
    time: CorrectedTime,
    facts: Fact,
    trailing: bytes = b"",
    record_no: int = 0,
    slot: int | None = None,
    context: Context | None = None,
) -> Observation:
    """The observation of one record: `values` in the kind's slot order and in the units that `unit` implies there.

    Adds IMPLAUSIBLE, TRAILING_BYTES and, for a leading value of plus or minus infinity, RESULT_TOO_HIGH or _LOW.
    """
    numbers = tuple(value.number for value in values)
    bits = facts.value | time.facts.value | source.facts.value
    if implausible_slots(BY_CODE[kind], numbers, unit):
        bits |= _IMPLAUSIBLE
    if trailing:
        bits |= _TRAILING_BYTES
    if values[0].absent is Absent.POSITIVE_INFINITY:
        bits |= _RESULT_TOO_HIGH
    elif values[0].absent is Absent.NEGATIVE_INFINITY:
        bits |= _RESULT_TOO_LOW
    return Observation(
        device=source.device,
        kind=kind,
        values=numbers,
        unit=unit,
        measured_at=time.measured_at,
        device_at=time.device_at,
        record_no=record_no,
        slot=slot,
        session=source.session,
        absent={index: _REASONS[value.absent] for index, value in enumerate(values) if value.absent},
        facts=_names(bits),
        context=context,
    )

"""From a decoded record to an `Observation`: what all services have in common."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from devices.clock import CorrectedTime
from devices.medfloat import Medfloat
from devices.observation import Absent, Context, Fact, Observation, fact_names
from devices.plausibility import NUMBERS, PLAUSIBLE, Value

UNKNOWN_USER: Final = 0xFF
_REASONS: Final = tuple(str(absent.name).lower().replace("_", "-") for absent in Absent)
_PRESENT: Final = Absent.PRESENT
_NOT_SENT: Final = Absent.NOT_SENT
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


def nonzero(value: Medfloat | float | None) -> Value:
    """A zero that stands for "not computed" is no reading."""
    number = value.value if type(value) is Medfloat else value
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


def observe(  # noqa: PLR0917  every record comes here, and ten keywords cost as much as what is done with them
    kind: int,
    values: Sequence[Value],
    unit: str,
    source: DeviceFacts,
    time: CorrectedTime,
    facts: int,
    trailing: bytes = b"",
    slot: int | None = None,
    context: Context | None = None,
    record_no: int = 0,
) -> Observation:
    """The observation of one record: `values` in the kind's slot order and in the units that `unit` implies there.

    Adds IMPLAUSIBLE, TRAILING_BYTES and, for a leading value of plus or minus infinity, RESULT_TOO_HIGH or _LOW.
    """
    device, session, own = source
    bits = facts | time.facts
    if own is not _NO_FACTS:
        bits |= int(own)
    if trailing:
        bits |= _TRAILING_BYTES
    numbers: tuple[float | None, ...] | None = NUMBERS[kind][unit](*values)
    if numbers is not None:
        return Observation(
            device, kind, numbers, unit, time.measured_at, time.device_at, record_no, slot, session, {}, _names(bits),
            context,
        )  # fmt: skip
    numbers, absent = _sorted(values)
    if not PLAUSIBLE[kind, unit](*numbers):
        bits |= _IMPLAUSIBLE
    if 0 in absent:
        bits |= _BEYOND.get(absent[0], 0)
    return Observation(
        device, kind, numbers, unit, time.measured_at, time.device_at, record_no, slot, session, absent, _names(bits),
        context,
    )  # fmt: skip


def _sorted(values: Iterable[Value]) -> tuple[tuple[float | None, ...], dict[int, str]]:
    """The numbers in slot order, and by slot why there is none."""
    numbers: list[float | None] = []
    absent: dict[int, str] = {}
    for value in values:
        if isinstance(value, Medfloat):
            number, reason = value.value, value.absent
        elif value is None or isinstance(value, Absent):
            number, reason = None, value or _NOT_SENT
        else:
            number, reason = value, _PRESENT
        if number is None:
            absent[len(numbers)] = _REASONS[reason]
        numbers.append(number)
    return tuple(numbers), absent

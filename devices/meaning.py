"""What the types of the data contract cannot say of an observation: its kind, its time, whether it can be measured."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from devices.message import Reason, Remark
from devices.nomenclature import BY_CODE
from devices.observation import ABSENT_NAMES, FACT_NAMES, Observation
from devices.plausibility import implausible_slots

_SLOTS: Final = {(kind.code, unit): len(kind.slots) for kind in BY_CODE.values() for unit in kind.units}
_FACTS: Final = frozenset(FACT_NAMES)


def meaning_error(index: int, observation: Observation) -> Remark | None:
    """What the types cannot say: is the kind known, do values, unit, facts and absent reasons fit it?"""
    slots = _SLOTS.get((observation.kind, observation.unit))
    if slots is None:
        return _kind_or_unit_error(index, observation)
    count = len(observation.values)
    if not 1 <= count <= slots:
        return Remark(index, "values", Reason.WRONG_VALUE_COUNT, f"this kind takes 1 to {slots}, got {count}")
    if observation.absent and (remark := _absent_error(index, observation, slots)):
        return remark
    if not _FACTS.issuperset(observation.facts):
        position, name = next(item for item in enumerate(observation.facts) if item[1] not in _FACTS)
        return Remark(index, f"facts[{position}]", Reason.UNKNOWN_FACT, short(name))
    return None


def _kind_or_unit_error(index: int, observation: Observation) -> Remark:
    kind = BY_CODE.get(observation.kind)
    if kind is None:
        return Remark(index, "kind", Reason.UNKNOWN_KIND, short(f"{observation.kind} is not in the table of kinds"))
    return Remark(index, "unit", Reason.UNKNOWN_UNIT, f"{kind.ref} takes {' or '.join(kind.units)}")


def _absent_error(index: int, observation: Observation, slots: int) -> Remark | None:
    for slot, reason in observation.absent.items():
        if reason not in ABSENT_NAMES or not 0 <= slot < slots:
            where = short(f"absent[{slot}]")
            return Remark(index, where, Reason.UNKNOWN_ABSENT_REASON, f"one of {', '.join(ABSENT_NAMES)}")
        if slot < len(observation.values) and observation.values[slot] is not None:
            return Remark(index, f"absent[{slot}]", Reason.MALFORMED, "a slot holds a number or is absent, not both")
    return None


def time_error(
    index: int, observation: Observation, received_at: datetime, *, future: timedelta, ancient: timedelta
) -> Remark | None:
    """A time beyond tolerance cannot be placed: the reading waits in quarantine, where an operator sees it."""
    if observation.measured_at > received_at + future:
        return Remark(index, "measured_at", Reason.FUTURE_TIME, f"ahead of reception by more than {future}")
    if observation.measured_at < received_at - ancient:
        return Remark(index, "measured_at", Reason.ANCIENT_TIME, f"before reception by more than {ancient}")
    return None


def value_notices(index: int, observation: Observation) -> list[Remark]:
    """Impossible values: stored, flagged, never judged; the sender is told."""
    kind = BY_CODE[observation.kind]
    return [
        Remark(index, f"values[{slot}]", Reason.IMPLAUSIBLE_VALUE, f"{kind.slots[slot].ref} cannot be measured")
        for slot in implausible_slots(kind, observation.values, observation.unit)
    ]


def short(text: str) -> str:
    """What a stranger wrote, fit for a log line, a receipt and a text column: printable, at most 200 characters."""
    clean = "".join(character if character.isprintable() else "\ufffd" for character in text[:201])
    return clean if len(clean) <= 200 else clean[:197] + "..."

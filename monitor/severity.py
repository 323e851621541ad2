"""How much a matter presses, and the sections of the queue.

Order (domain: queue): emergency, worsening, referral check, two weeks, screening, regular, technical.
"""

from __future__ import annotations

import enum
from typing import Final


class Severity(enum.StrEnum):
    """From the most to the least pressing."""

    EMERGENCY = "emergency"
    WORSENING = "worsening"
    DUE = "due"
    ROUTINE = "routine"
    TECHNICAL = "technical"

    @property
    def rank(self) -> int:
        """0 for the most pressing."""
        return _RANKS[self]

    def outranks(self, other: Severity) -> bool:
        """Whether this presses more than `other`."""
        return self.rank < other.rank


_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


class ItemKind(enum.StrEnum):
    """The sections of the queue, in their order."""

    EMERGENCY = "emergency"
    WORSENING = "worsening"
    REFERRAL_CHECK = "referral_check"
    TWO_WEEKS = "two_weeks"
    SCREENING = "screening"
    REGULAR = "regular"
    TECHNICAL = "technical"


KIND_ORDER: Final = tuple(str(kind) for kind in ItemKind)

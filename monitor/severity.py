"""How much a matter presses, and the sections of the queue.

Order (domain: queue): emergency, worsening, referral check, two weeks, screening, regular, technical. The recheck is
ours: what would press like the first two if it were certain, but is doubtful or arrived late. It stands below what is
certain, and above the work that has days.
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
    RECHECK = "recheck"
    REFERRAL_CHECK = "referral_check"
    TWO_WEEKS = "two_weeks"
    SCREENING = "screening"
    REGULAR = "regular"
    TECHNICAL = "technical"


PRESSING: Final = frozenset({Severity.EMERGENCY, Severity.WORSENING})
"""What does not wait for a day."""

KIND_ORDER: Final = tuple(str(kind) for kind in ItemKind)

"""What a gateway lets its 11073-20601 manager do, the same for every association."""

from __future__ import annotations

from datetime import tzinfo
from typing import NamedTuple

from devices.clock import IDENTITY_ZONE
from devices.ieee11073.states import TIMEOUTS, Timeouts
from devices.observation import Fact


class Terms(NamedTuple):
    """What holds for every association. zone: where device clocks are read.  facts: on each observation.
    interviews: whether the manager asks anything by itself.  sets_time: an agent that wants its clock set gets it.
    clears: segments that were kept to the last entry are cleared on the agent."""

    system_id: bytes
    zone: tzinfo = IDENTITY_ZONE
    facts: Fact = Fact(0)
    session: str | None = None
    interviews: bool = True
    sets_time: bool = True
    clears: bool = False
    timeouts: Timeouts = TIMEOUTS

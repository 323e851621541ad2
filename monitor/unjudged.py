"""Why a reading of a known subject meets no rule, beyond what the rules themselves say."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Final

from devices.observation import Fact
from ingest.observations import StoredObservation
from monitor.evaluation_finding import NotJudged
from monitor.evidence import device_reading
from monitor.judging import LiveRules, unjudged_reason
from monitor.patients import Resident
from monitor.programme_pack import Pack

_SIMULATED: Final = int(Fact.SIMULATED)  # plain numbers: this runs for every reading of a window
_TIME_FAULT: Final = int(Fact.TIME_FAULT)


class Unjudged(enum.StrEnum):
    """Stored and shown, but no rule saw it; beside `monitor.evaluation_finding.NotJudged`."""

    NO_RESIDENT = "no_resident"  # assigned to a subject the monitor does not know
    NOT_ACTIVE = "not_active"  # moved away or dead: whose reading is it?
    SIMULATED_ON_REAL = "simulated_on_real"  # a simulated reading bound to a real resident
    REAL_ON_SIMULATED = "real_on_simulated"
    TIME_FAULT = "time_fault"  # its time is not known
    JUDGING_FAILED = "judging_failed"  # the rules could not be applied: see the log


MISMATCHES: Final = frozenset({Unjudged.SIMULATED_ON_REAL, Unjudged.REAL_ON_SIMULATED})


def why_barred(reading: StoredObservation, resident: Resident | None) -> Unjudged | None:
    """Why no rule may see this reading of this person, whatever it says; None: it may."""
    if resident is None:
        return Unjudged.NO_RESIDENT
    simulated = bool(reading.facts & _SIMULATED)
    if simulated != resident.simulated:
        return Unjudged.SIMULATED_ON_REAL if simulated else Unjudged.REAL_ON_SIMULATED
    if resident.state != "active":
        return Unjudged.NOT_ACTIVE
    return Unjudged.TIME_FAULT if reading.facts & _TIME_FAULT else None


def why_unjudged(
    reading: StoredObservation, resident: Resident | None, packs: tuple[Pack, ...], rules: LiveRules, now: datetime
) -> Unjudged | NotJudged | None:
    """The gravest reason, or None: the rules see it. `NotJudged.NO_RULE` is nothing to report."""
    return why_barred(reading, resident) or unjudged_reason(packs, device_reading(reading), now, rules)

"""`Waveform`: samples at an even pace, beside `Observation`: an oximeter's pleth, an ECG, the breath of a flow meter.

A waveform is shown and handed on (`devices.fhir.waveform`, `suifang-decode`). It has no kind in the table of kinds, so
it is not part of the message contract, and no rule judges it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from devices.observation import FACT_NAMES, Context, DeviceUid, SessionUid


class Waveform(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One array of samples. The members that `Observation` has too mean what they mean there.

    kind: 32-bit MDC code of what is sampled.  unit: UCUM, of the values.  measured_at: of the first sample.
    period: milliseconds between two samples.  samples: as sent; value = sample * factor + origin; None: there is none,
    and `absent` says by its index why (`unsuccessful`, `positive-infinity` above what the device can measure,
    `negative-infinity` below).  low, high: the least and the greatest sample that the device reports, where it says so.
    """

    device: DeviceUid
    kind: int
    unit: str
    measured_at: Annotated[datetime, Meta(tz=True)]
    period: Annotated[float, Meta(gt=0)]
    samples: tuple[int | float | None, ...]
    origin: float = 0.0
    factor: float = 1.0
    low: float | None = None
    high: float | None = None
    absent: dict[int, str] = {}
    device_at: datetime | None = None
    record_no: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 0
    slot: Annotated[int, Meta(ge=0, le=255)] | None = None
    session: SessionUid | None = None
    facts: tuple[str, ...] = ()
    context: Context | None = None

    @property
    def values(self) -> tuple[float | None, ...]:
        """The samples in `unit`."""
        return tuple(None if one is None else one * self.factor + self.origin for one in self.samples)

    def fact_bits(self) -> int:
        """The facts as one integer. KeyError: a name outside `FACT_NAMES`."""
        bits = 0
        for name in self.facts:
            bits |= FACT_NAMES[name].value
        return bits

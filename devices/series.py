"""Many observations of one device and kind in columns: the same data as one by one, in a quarter of the octets.

A source that sends a backlog, or all day long, sends it so; what differs from the others (an absent value, a quality of
its own) goes one by one beside it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from devices.observation import Context, DeviceUid, Observation, SessionUid

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - a device's clock has no zone
Microseconds = Annotated[int, Meta(ge=-62_135_596_800_000_000, le=253_402_300_799_999_999)]
"""Since 1970-01-01 00:00, over the years 1 to 9999."""


class Uneven(NamedTuple):
    """Which column is not as long as `measured_us`."""

    field: str
    detail: str


class Series(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Columns of one length. device, kind, unit, slot, session, facts, context: as in an observation, of all of them.

    values: a list a value of the kind, in the order of the kind; null where an observation has no number.
    measured_us: microseconds since 1970-01-01 UTC.  device_us: the device's own stamps, without a zone, as microseconds
    since 1970-01-01 00:00 on its clock; left out where it has no clock.  record_no: left out where it has none.
    """

    device: DeviceUid
    kind: int
    unit: str
    values: Annotated[list[list[float | None]], Meta(min_length=1, max_length=64)]
    measured_us: Annotated[list[Microseconds], Meta(min_length=1)]
    device_us: list[Microseconds] | None = None
    record_no: list[Annotated[int, Meta(ge=0, le=2**31 - 1)]] | None = None
    slot: Annotated[int, Meta(ge=0, le=255)] | None = None
    session: SessionUid | None = None
    facts: tuple[str, ...] = ()
    context: Context | None = None

    def __len__(self) -> int:
        return len(self.measured_us)

    def uneven(self) -> Uneven | None:
        """None: the columns fit each other."""
        count = len(self)
        columns = {f"values[{slot}]": column for slot, column in enumerate(self.values)}
        for field, column in {**columns, "device_us": self.device_us, "record_no": self.record_no}.items():
            if column is not None and len(column) != count:
                return Uneven(field, f"{len(column)} entries beside {count} in measured_us")
        return None

    def observation(self, position: int) -> Observation:
        """One of them. IndexError: the columns do not fit each other."""
        stamps, numbers = self.device_us, self.record_no
        return Observation(
            device=self.device,
            kind=self.kind,
            unit=self.unit,
            values=tuple(column[position] for column in self.values),
            measured_at=_EPOCH + timedelta(microseconds=self.measured_us[position]),
            device_at=None if stamps is None else _LOCAL_EPOCH + timedelta(microseconds=stamps[position]),
            record_no=0 if numbers is None else numbers[position],
            slot=self.slot,
            session=self.session,
            facts=self.facts,
            context=self.context,
        )

"""What a continuous glucose sensor says of its session, and when its records were measured.

Source: Bluetooth CGM Service 1.0.2, clauses 3.2 to 3.5. Records are numbered by the minutes since the session began.
The beginning is a date that some collector once wrote (0x2AAA), or was never told; the status (0x2AA9) says how many
minutes ago it was, which needs no clock. docs/decisions/0056-a-sensor-is-listened-to-as-long-as-it-talks.md
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from devices.clock import DateTime
from devices.gatt.cgm import (
    E2E_CRC_SUPPORTED,
    SESSION_STOPPED,
    CgmFeature,
    CgmMeasurement,
    CgmRecord,
    CgmSessionRunTime,
    CgmSessionStartTime,
    CgmStatus,
)
from devices.observation import Observation
from gateway.connected import ConnectedDevice
from gateway.outbox import Mark
from gateway.sensors import SensorSession

SERVICE: Final = "181F"
_MINUTE: Final = timedelta(minutes=1)
_MIDDLE: Final = timedelta(seconds=30)
"""Minutes that are counted whole have gone on for half of one, on average."""
_SAME_WITHIN: Final = timedelta(minutes=5)
"""What a sensor's clock may drift between two connections: a second session does not begin so soon after the first."""
_UNKNOWN: Final = CgmSessionStartTime(session_start_time=DateTime(0, 0, 0))
_NOT_KNOWN: Final = "-"


class CgmSession(NamedTuple):
    """start: as the sensor has it; None: not readable.  offset: minutes that the session had lasted at `read_at`; None:
    not readable, or the session is over and its minutes may stand still.  run_time: hours.  feature:
    None: not readable."""

    read_at: datetime
    start: CgmSessionStartTime | None = None
    offset: int | None = None
    stopped: bool = False
    run_time: int | None = None
    feature: CgmFeature | None = None

    @property
    def e2e_crc(self) -> bool | None:
        """Do records carry a CRC? None: the feature is not readable."""
        return None if self.feature is None else bool(self.feature.features & E2E_CRC_SUPPORTED)

    @property
    def shown(self) -> datetime | None:
        """The start, a wall time. None: not known."""
        return None if self.start is None else self.start.session_start_time.naive()

    @property
    def began_at(self) -> datetime | None:
        """When the session began by the gateway's clock, aware, to the minute. None: the sensor does not say."""
        return None if self.offset is None else self.read_at.astimezone(UTC) - self.offset * _MINUTE - _MIDDLE

    def sheet(self, device: ConnectedDevice) -> SensorSession:
        """For the status."""
        began, shown = self.began_at, self.shown
        if began is None and self.start is not None and shown is not None:
            try:
                began = shown.replace(tzinfo=self.start.zone() or device.terms.zone).astimezone(UTC)
            except OverflowError:
                began = None
        return SensorSession(
            device=device.plate.device,
            began_at=None if began is None else began.replace(microsecond=0),
            run_time=self.run_time,
            stopped=self.stopped,
            read_at=self.read_at,
        )

    def observed(self, device: ConnectedDevice, records: list[CgmRecord], *, live: bool) -> list[Observation]:
        """The observations in records of this session.

        With a start: at its time plus their minutes; the start's clock is compared with ours by the status. Without:
        counted back from the status, and no stamp identifies them. With neither, what was stored has lost its timeline.
        """
        moment = device.moment(live=live)
        shown, began = self.shown, self.began_at
        if shown is None and began is not None:
            return [
                observation
                for one in records
                for observation in device.observed(
                    CgmMeasurement(records=(one,)),
                    moment._replace(
                        received_at=min(began + one.time_offset * _MINUTE, moment.received_at),
                        live=True,
                    ),
                    feature=self.feature,
                )
            ]
        if shown is not None and began is not None:
            try:
                # the sensor's clock as it would be shown now
                device_now = shown + (moment.received_at - began)
            except OverflowError:
                device_now = None
            moment = moment._replace(device_now=device_now, gateway_now=moment.received_at)
        start = self.start or _UNKNOWN
        return list(device.observed(CgmMeasurement(records=tuple(records)), moment, start=start, feature=self.feature))

    def follows(self, mark: Mark) -> bool | None:
        """Is the mark of this session? None: the sensor does not tell enough."""
        start, began, _ = _parts(mark)
        if self.offset is not None and mark.sequence > self.offset + 1:
            return False
        if self.began_at is not None and began != _NOT_KNOWN:
            return abs(self.began_at - datetime.fromisoformat(began)) <= _SAME_WITHIN
        return None if self.shown is None else start == self.shown.isoformat()

    def mark(self, device: str, record: CgmRecord) -> Mark:
        """That this record is kept, and all before it."""
        shown, began = self.shown, self.began_at
        stamp = (
            _NOT_KNOWN if shown is None else shown.isoformat(),
            _NOT_KNOWN if began is None else began.isoformat(timespec="seconds"),
            digest(record),
        )
        return Mark(device, SERVICE, record.time_offset, " ".join(stamp))


def is_marked(record: CgmRecord, mark: Mark) -> bool:
    """Is this the very record of the mark?"""
    return record.time_offset == mark.sequence and digest(record) == _parts(mark)[2]


def _parts(mark: Mark) -> tuple[str, str, str]:
    start, began, of_record = mark.stamp.split(" ")
    return start, began, of_record


def digest(record: CgmRecord) -> str:
    """What tells this record from another of its number."""
    return hashlib.sha256(CgmMeasurement(records=(record,)).encode()).hexdigest()[:16]


async def read_session(device: ConnectedDevice) -> CgmSession:
    """Ask the sensor. What it does not tell is left open. LinkLost, NoAnswer."""
    feature = await device.value(SERVICE, CgmFeature.uuid)
    start = await device.value(SERVICE, CgmSessionStartTime.uuid)
    run_time = await device.value(SERVICE, CgmSessionRunTime.uuid)
    before = device.clock()
    status = await device.value(SERVICE, CgmStatus.uuid)
    # the answer was made somewhere between question and receipt
    session = CgmSession(before + (device.clock() - before) / 2)
    if isinstance(status, CgmStatus):
        stopped = bool(status.status & SESSION_STOPPED)
        session = session._replace(offset=None if stopped else status.time_offset, stopped=stopped)
    return session._replace(
        start=start if isinstance(start, CgmSessionStartTime) else None,
        run_time=run_time.run_time if isinstance(run_time, CgmSessionRunTime) else None,
        feature=feature if isinstance(feature, CgmFeature) else None,
    )

"""A body composition that comes in two indications (Body Composition Service 1.0, clause 3.2, multiple packet).

The device sends the second part when it has heard that the first was received, so the first is on disk by then, as a
reading of its own that waits to be sent. The second part is written into it. If none comes the first goes as it is: the
values that it does not have are `not-sent`. docs/decisions/0048-two-indications-are-one-reading.md
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from devices.clock import Moment
from devices.errors import BadValue
from devices.gatt.body_composition import BodyCompositionMeasurement, merge
from gateway.connected import ConnectedDevice

UUID: Final = BodyCompositionMeasurement.uuid
WITHIN: Final = timedelta(seconds=30)
"""An indication that is not confirmed for so long is given up (Core, Vol 3, Part F, 3.3.3), and so is a part."""


class _First(NamedTuple):
    row: int
    value: BodyCompositionMeasurement
    moment: Moment


class TwoParts:
    """The compositions of one connection."""

    def __init__(self, device: ConnectedDevice) -> None:
        self._device = device
        self._first: _First | None = None

    def on_indication(self, raw: bytes) -> None:
        """A frame: commit before this returns. OutboxFull, OutboxBroken."""
        device = self._device
        value = device.decoded(UUID, raw)
        if not isinstance(value, BodyCompositionMeasurement):
            return
        first, self._first = self._first, None
        if value.multiple_packet and first is not None and self._completed(first, value):
            return
        if first is not None:
            device.log.warning("the second part did not come", characteristic=UUID)
            device.outbox.let_go(first.row)
        if not value.multiple_packet:
            device.hear(value)
            return
        moment = device.moment(live=True)
        (observation,) = device.observed(value, moment)
        self._first = _First(device.hold(observation, moment.received_at + WITHIN), value, moment)

    def _completed(self, first: _First, second: BodyCompositionMeasurement) -> bool:
        """False: it is no second part of this, or comes too late."""
        device = self._device
        try:
            whole = merge(first.value, second)
        except BadValue as error:
            device.log.warning("not the second part", characteristic=UUID, field=error.field, why=error.detail)
            return False
        (observation,) = device.observed(whole, first.moment)
        return device.outbox.complete(first.row, observation)

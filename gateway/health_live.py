"""Health observations as they are measured (0x2B8B), in segments, once their sensor has been told to send them.

Source: as `devices.gatt.generic_health_sensor`.
"""

from __future__ import annotations

from typing import Final

from devices.gatt.generic_health_sensor import HealthSensorControlPoint, LiveHealthObservations, SensorCommand
from gateway.connected import ConnectedDevice
from gateway.errors import AccessRefused
from gateway.segments import Segment, Segments, together

UUID: Final = LiveHealthObservations.uuid
SERVICE: Final = "1840"
_CONTROL: Final = HealthSensorControlPoint.uuid


class HealthLive:
    """The live observations of one connection."""

    def __init__(self, device: ConnectedDevice) -> None:
        self._device = device
        self.segments = Segments(device, UUID, self._on_observation)

    async def start(self) -> None:
        """Tell the sensor to send, where it has a control point. LinkLost, NoAnswer."""
        link = self._device.link
        if _CONTROL not in link.services[SERVICE]:
            return
        start = HealthSensorControlPoint(command=SensorCommand.START_LIVE_OBSERVATIONS)
        try:
            await link.subscribe(SERVICE, _CONTROL, self._device.guarded(self._on_answer))
            await link.write(SERVICE, _CONTROL, start.encode())
        except AccessRefused as error:
            # a sensor may send without being told
            self._device.log.warning("live observations refused", why=error.detail)

    def _on_answer(self, raw: bytes) -> None:
        value = self._device.decoded(_CONTROL, raw)
        if isinstance(value, HealthSensorControlPoint) and value.command != SensorCommand.SUCCESS:
            self._device.log.warning("live observations refused", command=value.command)

    def _on_observation(self, parts: tuple[Segment, ...]) -> None:
        self._device.hear(together(parts))

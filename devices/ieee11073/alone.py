"""One APDU by itself, outside of any association: a captured frame, a vendor's check.

What its observations mean depends on a configuration: the number of a standard one, or the APDU in which the agent
reported it.
"""

from __future__ import annotations

from datetime import datetime

from devices.errors import BadValue
from devices.gatt.record import DeviceFacts
from devices.ieee11073 import apdu
from devices.ieee11073.codes import Act, Noti
from devices.ieee11073.data_apdu import ActionResult, EventReport
from devices.ieee11073.events import read_config, read_data_response
from devices.ieee11073.objects import Configuration, Reported
from devices.ieee11073.observing import observe
from devices.ieee11073.scan_report import SHAPES, read_scan
from devices.ieee11073.specializations import standard
from devices.ieee11073.stamping import Heard
from devices.ieee11073.waveform import waveforms_of
from devices.observation import Observation
from devices.waveform import Waveform


def configuration_of(text: str) -> Configuration:
    """From four hex digits of a standard id, or the hex of the APDU with the agent's configuration report.

    UnknownConfiguration, BadValue, Truncated.
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise BadValue(str(error), field="config") from error
    if len(raw) == 2:
        return standard(int.from_bytes(raw))
    found = apdu.decode(raw)
    if not isinstance(found, EventReport) or found.type != Noti.CONFIG:
        raise BadValue("neither an id of four digits nor an APDU with a configuration report", field="config")
    return Configuration.of(read_config(found.info))


def observations_in(
    found: apdu.Apdu, configuration: Configuration | None, source: DeviceFacts, received_at: datetime
) -> tuple[Observation, ...]:
    """What an APDU says by itself, under this configuration. Truncated, BadValue."""
    reported, heard = _reported(found, configuration, received_at)
    return observe(reported, source, heard)


def waveforms_in(
    found: apdu.Apdu, configuration: Configuration | None, source: DeviceFacts, received_at: datetime
) -> tuple[Waveform, ...]:
    """The sample arrays in an APDU, under this configuration. Truncated, BadValue."""
    reported, heard = _reported(found, configuration, received_at)
    return waveforms_of(reported, source, heard)


def _reported(
    found: apdu.Apdu, configuration: Configuration | None, received_at: datetime
) -> tuple[tuple[Reported, ...], Heard]:
    handle, kind, info = 0, 0, b""
    heard = Heard.at(received_at)
    if isinstance(found, EventReport):
        handle, kind, info = found.handle, found.type, found.info
        heard = heard._replace(relative=found.time)
    elif isinstance(found, ActionResult) and found.type == Act.DATA_REQUEST:
        answer = read_data_response(found.info)
        kind, info = answer.type, answer.info
    shape = SHAPES.get(kind)
    if shape is None or configuration is None:
        return (), heard
    return configuration.read(read_scan(shape, info), handle), heard

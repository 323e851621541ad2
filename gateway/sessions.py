"""One session with one device: `follow` hears all it has to say.

A device that falls silent, drops the link or sends nonsense ends its own session and nobody else's.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import partial

from devices.gatt.blood_pressure import BloodPressureMeasurement
from devices.gatt.blood_pressure_enhanced import EnhancedBloodPressureMeasurement
from devices.gatt.glucose import GlucoseMeasurement
from gateway import cgm, cgm_session, health_live, records, stored, two_parts
from gateway.connected import ConnectedDevice
from gateway.errors import AccessRefused, LinkLost, NoAnswer, OutboxFull
from gateway.health_live import HealthLive
from gateway.radio import INDICATED, STORED
from gateway.record_procedure import CONTROL, Report
from gateway.roster import note
from gateway.two_parts import TwoParts
from gateway.vendor_clock import set_clock


class Outcome(enum.StrEnum):
    """How a session ended."""

    COLLECTED = "collected"
    """At least one reading; then the device hung up or had no more."""
    NOTHING_NEW = "nothing-new"
    """The device said that it has no (new) record."""
    NOT_YET = "not-yet"
    """A continuous sensor has measured nothing new: it does so every few minutes, or its session is over."""
    SILENT = "silent"
    """The device sent nothing."""
    LINK_LOST = "link-lost"
    """The link broke while something was asked."""
    NO_ANSWER = "no-answer"
    """A request was not answered in time."""
    REFUSED = "refused"
    """The device refused a request (pairing, perhaps)."""
    NO_SERVICE = "no-service"
    """None of its services is known here."""
    NO_CONNECTION = "no-connection"
    """The device advertised and could not be connected to: at the edge of range, or busy with something else."""
    OUTBOX_FULL = "outbox-full"
    """A reading could not be kept, and was not confirmed to the device."""


async def follow(device: ConnectedDevice) -> Outcome:
    """All that the device has to say. Nothing that a device does raises; OutboxBroken does."""
    try:
        outcome = await _hear(device)
    except LinkLost:
        outcome = Outcome.COLLECTED if device.kept else Outcome.LINK_LOST
    except NoAnswer:
        outcome = Outcome.NO_ANSWER
    except AccessRefused as error:
        device.log.warning("refused", why=error.detail)
        outcome = Outcome.REFUSED
    except OutboxFull:
        outcome = Outcome.OUTBOX_FULL
    if isinstance(device.failure, OutboxFull):
        outcome = Outcome.OUTBOX_FULL
    elif device.failure is not None:
        raise device.failure
    try:
        note(device.outbox, device.sheet(outcome.value))
    except OutboxFull:
        device.log.warning("the roster cannot be written: the disk is full")
    device.log.info("session over", outcome=outcome.value, kept=device.kept)
    return outcome


async def _hear(device: ConnectedDevice) -> Outcome:
    services = device.link.services
    await device.get_acquainted()
    await set_clock(device)
    declared = _declared(services)
    memories = [
        (service, characteristic)
        for service, characteristic in STORED
        if {characteristic, CONTROL} <= services.get(service, frozenset())
    ]
    senses = cgm.MEASUREMENT in services.get(cgm_session.SERVICE, frozenset())
    reported: list[Report] = []
    if GlucoseMeasurement.uuid in services.get(records.SERVICE, frozenset()):
        reported.append(await records.collect(device))
    elif not declared and not memories and not senses:
        return Outcome.NO_SERVICE
    live = HealthLive(device)
    try:
        await _subscribe(device, declared, live)
        for service, characteristic in memories:
            reported.append(await _stored(device, service, characteristic))
        if senses:
            sensor, report = await cgm.collect(device)
            reported.append(report)
            await sensor.listen()
        elif declared:
            await device.quiet(device.terms.idle_s)
    finally:
        live.segments.end()
    if device.kept:
        return Outcome.COLLECTED
    if not reported:
        return Outcome.SILENT
    if set(reported) == {Report.REFUSED}:
        return Outcome.REFUSED
    return Outcome.NOT_YET if senses else Outcome.NOTHING_NEW


def _declared(services: Mapping[str, frozenset[str]]) -> list[tuple[str, str]]:
    """What the device sends by itself and is known here; of a plain and an enhanced blood pressure the latter, which
    would say the same again."""
    found = [(service, one) for service, one in INDICATED if one in services.get(service, frozenset())]
    if ("1810", EnhancedBloodPressureMeasurement.uuid) in found:
        found = [pair for pair in found if pair != ("1810", BloodPressureMeasurement.uuid)]
    return found


async def _subscribe(device: ConnectedDevice, declared: list[tuple[str, str]], live: HealthLive) -> None:
    own = {two_parts.UUID: TwoParts(device).on_indication, health_live.UUID: live.segments.on_frame}
    for service, characteristic in declared:
        hear = own.get(characteristic, partial(device.on_indication, characteristic))
        await device.link.subscribe(service, characteristic, device.guarded(hear))
        if characteristic == health_live.UUID:
            await live.start()


async def _stored(device: ConnectedDevice, service: str, characteristic: str) -> Report:
    """A device that refuses its records may still send what it measures now."""
    try:
        return await stored.collect(device, service, characteristic)
    except AccessRefused as error:
        device.log.warning("records refused", service=service, why=error.detail)
        return Report.REFUSED

"""One session with one device: `follow` hears all it has to say.

A device that falls silent, drops the link or sends nonsense ends its own session and nobody else's.
"""

from __future__ import annotations

import enum
from functools import partial

from devices import catalogue
from devices.gatt.glucose import GlucoseMeasurement
from gateway import records, two_parts
from gateway.connected import ConnectedDevice
from gateway.errors import AccessRefused, LinkLost, NoAnswer, OutboxFull
from gateway.radio import INDICATED
from gateway.roster import note


class Outcome(enum.StrEnum):
    """How a session ended."""

    COLLECTED = "collected"
    """At least one reading; then the device hung up or had no more."""
    NOTHING_NEW = "nothing-new"
    """The device said that it has no (new) record."""
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
    link = device.link
    await device.get_acquainted()
    declared = [
        (service, characteristic)
        for service, characteristic in INDICATED
        if characteristic in catalogue.BY_UUID and characteristic in link.services.get(service, frozenset())
    ]
    reported: records.Report | None = None
    own = {two_parts.UUID: two_parts.TwoParts(device).on_indication}
    if GlucoseMeasurement.uuid in link.services.get(records.SERVICE, frozenset()):
        reported = await records.collect(device)
    elif not declared:
        return Outcome.NO_SERVICE
    for service, characteristic in declared:
        hear = own.get(characteristic, partial(device.on_indication, characteristic))
        await link.subscribe(service, characteristic, device.guarded(hear))
    if declared:
        await device.quiet(device.terms.idle_s)
    if device.kept:
        return Outcome.COLLECTED
    return {None: Outcome.SILENT, records.Report.REFUSED: Outcome.REFUSED}.get(reported, Outcome.NOTHING_NEW)

"""What is known of 20601 agents beside their readings: who is associated, what the roster says, their configurations.

The sheets are those of `gateway.roster`, so that `suifang-gateway devices` shows agents and Bluetooth devices alike.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog

from devices.errors import DeviceError
from devices.ieee11073.attribute import Attribute
from devices.ieee11073.attribute_values import value_of
from devices.ieee11073.codes import Attr
from devices.ieee11073.specializations import BY_CONFIGURATION, BY_PROFILE
from devices.ieee11073.states import Event
from gateway.errors import OutboxFull
from gateway.outbox import Outbox
from gateway.phd_configurations import Configurations
from gateway.roster import Sheet, known, note

_log = structlog.get_logger()
_LONGEST: Final = 64
"""Characters of one string of a nameplate."""


class Outcome(enum.StrEnum):
    """How an agent's last association stands."""

    ASSOCIATED = "associated"
    RELEASED = "released"
    """Ended in good order."""
    ABORTED = "aborted"
    """Ended by an abort: a fault of the protocol, a full outbox, or no answer in time."""
    LINK_LOST = "link-lost"
    """The connection broke, or the gateway did."""


_OUTCOMES: Final[dict[str, Outcome]] = {
    Event.RX_RLRQ: Outcome.RELEASED,
    Event.RX_RLRE: Outcome.RELEASED,
    Event.TRANSPORT_DOWN: Outcome.LINK_LOST,
}


class Agents:
    """The agents of one gateway. told: called when one comes or goes. All calls: OutboxBroken.
    waveforms: how many they have sent since the start; none is kept.

    A full disk costs the roster its news, never an association.
    """

    def __init__(self, outbox: Outbox, clock: Callable[[], datetime], told: Callable[[], None]) -> None:
        self._outbox = outbox
        self._clock = clock
        self._told = told
        self._present: dict[Hashable, Sheet] = {}
        self.waveforms = 0
        self._configurations = Configurations(outbox, clock)
        self.remembered = self._configurations.remembered
        if outbox.read("SELECT 1 FROM device WHERE outcome = ? LIMIT 1", Outcome.ASSOCIATED):
            # of a gateway that was killed
            outcomes = {"now": Outcome.LINK_LOST, "then": Outcome.ASSOCIATED}
            outbox.write("UPDATE device SET outcome = :now WHERE outcome = :then", outcomes)

    @property
    def associated(self) -> tuple[str, ...]:
        """The devices that are associated now, in order."""
        return tuple(sorted({sheet.device for sheet in self._present.values()}))

    def came(self, connection: Hashable, device: str, address: str, configuration: int = 0) -> None:
        """An association is operating. address: of the agent's host.  configuration: what it operates under."""
        before = known(self._outbox, device) or Sheet(device=device, address=address, seen_at=self._clock())
        self._present[connection] = before
        services = before.services
        if not services and configuration in BY_CONFIGURATION:
            # some agents leave the list of their specializations empty; a standard configuration is of one
            services = (BY_CONFIGURATION[configuration].standard,)
        now = self._clock()
        self._change(connection, address=address, services=services, seen_at=now, outcome=Outcome.ASSOCIATED)
        self._write_configurations()
        self._told()

    def described(self, connection: Hashable, attributes: Iterable[Attribute]) -> None:
        """What the agent says of itself: the attributes of its MDS object."""
        if connection in self._present:
            self._change(connection, **_plate(attributes))

    def heard(self, times: Mapping[Hashable, datetime]) -> None:
        """When each connection's agent said something last."""
        changed = {
            connection: msgspec.structs.replace(sheet, seen_at=times[connection])
            for connection, sheet in self._present.items()
            if connection in times and sheet.seen_at < times[connection]
        }
        if changed:
            self._present.update(changed)
            self._note(*changed.values())

    def mistaken(self, system_id: bytes, configuration: int) -> None:
        """What came under this configuration could not be read: the next association asks for it anew."""
        self.remembered.forget(system_id, configuration)

    def went(self, connection: Hashable, event: str, at: datetime) -> None:
        """The association is over. event: of the state table.  at: when the agent was heard last."""
        self._write_configurations()
        sheet = self._present.pop(connection, None)
        if sheet is None:
            return
        if sheet.device not in self.associated:
            # else it has come again before its old connection was seen to be gone
            outcome = _OUTCOMES.get(event, Outcome.ABORTED)
            self._note(msgspec.structs.replace(sheet, seen_at=at, outcome=outcome))
        self._told()

    def _change(self, connection: Hashable, **changes: Any) -> None:
        sheet = msgspec.structs.replace(self._present[connection], **changes)
        self._present[connection] = sheet
        self._note(sheet)

    def _note(self, *sheets: Sheet) -> None:
        try:
            note(self._outbox, *sheets)
        except OutboxFull:
            _log.warning("the roster cannot be written: the disk is full")

    def _write_configurations(self) -> None:
        try:
            self._configurations.write()
        except OutboxFull:
            _log.warning("a configuration is not remembered: the disk is full")


def _plate(attributes: Iterable[Attribute]) -> dict[str, Any]:
    """The fields of a sheet that these attributes fill; what an agent does not say, or says badly, is left open."""
    values: dict[int, Any] = {}
    for one in attributes:
        try:
            values[one.id] = value_of(one.id, one.value)
        except DeviceError:
            continue
    found: dict[str, Any] = {}
    for name, text in values.get(Attr.ID_MODEL, {}).items():
        found[name] = _printable(text)
    specifications = dict(values.get(Attr.ID_PROD_SPECN, ()))
    for name, kind in (("serial", "serial-number"), ("firmware", "fw-revision")):
        if kind in specifications:
            found[name] = _printable(specifications[kind])
    profiles = [BY_PROFILE[code].standard for code, _ in values.get(Attr.SYS_TYPE_SPEC_LIST, ()) if code in BY_PROFILE]
    if profiles:
        found["services"] = tuple(profiles)
    charge = values.get(Attr.VAL_BATT_CHARGE)
    # fed neither by the mains nor by a battery: an agent that fills what it does not know with zeros
    unknown = not charge and values.get(Attr.POWER_STAT) == 0
    if isinstance(charge, int) and charge <= 100 and not unknown:
        found["battery"] = charge
    return found


def _printable(text: str) -> str:
    """Some agents fill their strings with zeros."""
    return "".join(character for character in text if character.isprintable()).strip()[:_LONGEST]

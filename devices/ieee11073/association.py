"""The APDUs that open and close an association: AARQ, AARE, RLRQ, RLRE, ABRT.

Source: ISO/IEEE 11073-20601, annex A.8 (association protocol definitions), clause 8.7 (association procedure).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from devices.errors import BadValue
from devices.ieee11073.attribute import Attribute, read_attributes, write_attributes
from devices.ieee11073.codes import (
    MDER,
    PROTOCOL_20601,
    SYSTEM_AGENT,
    SYSTEM_MANAGER,
    VERSION_1,
    AbortReason,
    AssociateResult,
    ReleaseReason,
)
from devices.ieee11073.mder import Reader, octets, pack, sequence, u16, u32

_INFORMATION: Final = struct.Struct(">IHIII")
_MODES: Final = struct.Struct(">HHBB")


class Information(msgspec.Struct, frozen=True, kw_only=True):
    """PhdAssociationInformation. The words are bit strings, bit 0 is the most significant bit.

    system_id: EUI-64.  dev_config_id: 0 in a manager's answer.  data_req_mode_flags and the two counts: which data
    requests an agent allows, and how many at a time on its own and the manager's initiative.
    """

    protocol_version: int = VERSION_1
    encoding_rules: int = MDER
    nomenclature_version: int = VERSION_1
    functional_units: int = 0
    system_type: int
    system_id: bytes
    dev_config_id: int = 0
    data_req_mode_flags: int = 0
    init_agent_count: int = 0
    init_manager_count: int = 0
    options: tuple[Attribute, ...] = ()

    @classmethod
    def of_agent(cls, system_id: bytes, dev_config_id: int, *, flags: int = 1, managers: int = 0) -> Information:
        """What an agent says of itself. managers: data requests that a manager may have under way, 0 or 1."""
        return cls(
            system_type=SYSTEM_AGENT,
            system_id=system_id,
            dev_config_id=dev_config_id,
            data_req_mode_flags=flags,
            init_agent_count=1 if flags & 1 else 0,
            init_manager_count=managers,
        )

    @classmethod
    def of_manager(
        cls, system_id: bytes, *, functional_units: int = 0, protocol_version: int = VERSION_1
    ) -> Information:
        """What a manager says of itself."""
        return cls(
            system_type=SYSTEM_MANAGER,
            system_id=system_id,
            functional_units=functional_units,
            protocol_version=protocol_version,
        )

    @classmethod
    def decode(cls, raw: bytes) -> Information:
        """Truncated, BadValue: name the field."""
        reader = Reader.over(raw)
        protocol, rules, nomenclature, units, system_type = reader.fields(_INFORMATION, "association-information")
        system_id = reader.octets("system-id")
        config, flags, agents, managers = reader.fields(_MODES, "data-req-mode-capab")
        options = read_attributes(reader, "option-list")
        reader.finish("association-information")
        return cls(
            protocol_version=protocol,
            encoding_rules=rules,
            nomenclature_version=nomenclature,
            functional_units=units,
            system_type=system_type,
            system_id=system_id,
            dev_config_id=config,
            data_req_mode_flags=flags,
            init_agent_count=agents,
            init_manager_count=managers,
            options=options,
        )

    def encode(self) -> bytes:
        """BadValue: a number does not fit."""
        head = pack(
            _INFORMATION,
            "association-information",
            self.protocol_version,
            self.encoding_rules,
            self.nomenclature_version,
            self.functional_units,
            self.system_type,
        )
        modes = pack(
            _MODES,
            "data-req-mode-capab",
            self.dev_config_id,
            self.data_req_mode_flags,
            self.init_agent_count,
            self.init_manager_count,
        )
        return head + octets(self.system_id, "system-id") + modes + write_attributes(self.options)


class Protocol(NamedTuple):
    """One entry of a data-proto-list. info: `Information` of 20601 (id 20601), otherwise another protocol's own."""

    id: int
    info: bytes

    def information(self) -> Information:
        """BadValue: it is another protocol. Truncated."""
        if self.id != PROTOCOL_20601:
            raise BadValue(f"{self.id} is not {PROTOCOL_20601}", field="data-proto-id")
        return Information.decode(self.info)


class Aarq(msgspec.Struct, frozen=True):
    """An agent asks to be associated; its protocols in the order in which it prefers them."""

    protocols: tuple[Protocol, ...]
    assoc_version: int = VERSION_1

    @classmethod
    def of(cls, information: Information) -> Aarq:
        """With 20601 alone."""
        return cls((Protocol(PROTOCOL_20601, information.encode()),))

    def informations(self) -> Iterator[Information]:
        """Each of 20601, the preferred first: an agent may offer it more than once. Truncated, BadValue."""
        return (protocol.information() for protocol in self.protocols if protocol.id == PROTOCOL_20601)

    def information(self) -> Information | None:
        """The preferred one of 20601. None: the agent does not speak it. Truncated, BadValue."""
        return next(self.informations(), None)


class Aare(msgspec.Struct, frozen=True):
    """A manager's answer; `protocol` has id 0 and no information where there is none in common."""

    result: int
    protocol: Protocol = Protocol(0, b"")

    @classmethod
    def of(cls, result: AssociateResult, information: Information | None = None) -> Aare:
        """With 20601, or with no protocol."""
        if information is None:
            return cls(result)
        return cls(result, Protocol(PROTOCOL_20601, information.encode()))

    def information(self) -> Information | None:
        """Of 20601. None: no protocol in common. Truncated, BadValue."""
        return self.protocol.information() if self.protocol.id == PROTOCOL_20601 else None


class Rlrq(msgspec.Struct, frozen=True):
    """One side wants to release the association."""

    reason: int = ReleaseReason.NORMAL


class Rlre(msgspec.Struct, frozen=True):
    """The other side agrees."""

    reason: int = ReleaseReason.NORMAL


class Abrt(msgspec.Struct, frozen=True):
    """One side ends the association at once; there is no answer."""

    reason: int = AbortReason.UNDEFINED


def read_aarq(reader: Reader) -> Aarq:
    """The body of an AARQ. Truncated, BadValue."""
    version = reader.u32("assoc-version")
    count, inner = reader.sequence(4, "data-proto-list")
    protocols = tuple(Protocol(inner.u16("data-proto-id"), inner.octets("data-proto-info")) for _ in range(count))
    inner.finish("data-proto-list")
    return Aarq(protocols, version)


def write_aarq(apdu: Aarq) -> bytes:
    """BadValue."""
    protocols = (u16(protocol.id, "data-proto-id") + octets(protocol.info) for protocol in apdu.protocols)
    return u32(apdu.assoc_version, "assoc-version") + sequence(protocols, "data-proto-list")


def read_aare(reader: Reader) -> Aare:
    """The body of an AARE. Truncated."""
    return Aare(reader.u16("result"), Protocol(reader.u16("data-proto-id"), reader.octets("data-proto-info")))


def write_aare(apdu: Aare) -> bytes:
    """BadValue."""
    return u16(apdu.result, "result") + u16(apdu.protocol.id, "data-proto-id") + octets(apdu.protocol.info)

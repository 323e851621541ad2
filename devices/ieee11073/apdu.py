"""APDUs: from octets to values and back, and their boundaries in a stream.

Source: ISO/IEEE 11073-20601, annex A.8 (ApduType); clause 8.4 (transport). On a stream the APDUs follow each other
without anything between them: the tag and the length of each say where it ends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from devices.errors import BadValue, Truncated
from devices.ieee11073 import data_apdu
from devices.ieee11073.association import (
    Aare,
    Aarq,
    Abrt,
    Rlre,
    Rlrq,
    read_aare,
    read_aarq,
    write_aare,
    write_aarq,
)
from devices.ieee11073.data_apdu import DataApdu, EventReport
from devices.ieee11073.errors import UnknownApdu
from devices.ieee11073.mder import Reader, octets, pack, u16

Apdu = Aarq | Aare | Rlrq | Rlre | Abrt | DataApdu

AARQ: Final = 0xE200
AARE: Final = 0xE300
RLRQ: Final = 0xE400
RLRE: Final = 0xE500
ABRT: Final = 0xE600
PRST: Final = 0xE700
NAMES: Final = {AARQ: "AARQ", AARE: "AARE", RLRQ: "RLRQ", RLRE: "RLRE", ABRT: "ABRT", PRST: "PRST"}

_HEAD: Final = struct.Struct(">HH")
_ANSWERS: Final = frozenset({0x02, 0x03, 0x04})
"""The upper octet of the operations that answer a question."""
# a confirmed event report, to the length of its information
_REPORT: Final = struct.Struct(">HHHHHHHIHH")
_REASONS: Final[dict[int, type[Rlrq | Rlre | Abrt]]] = {RLRQ: Rlrq, RLRE: Rlre, ABRT: Abrt}


def decode(data: bytes) -> Apdu:
    """The one APDU that `data` holds. A presentation APDU is answered by the data APDU inside it.

    UnknownApdu; UnknownOperation; Truncated, BadValue: name the field.
    """
    size = len(data)
    if size >= 22:
        tag, length, inner, invoke_id, operation, message, handle, time, kind, info = _REPORT.unpack_from(data)
        if (
            operation == 0x0101 and tag == PRST and info == size - 22
            and length == size - 4 and inner == size - 6 and message == size - 12
        ):  # fmt: skip
            # by far the most frequent, and read without a Reader: a report is half the time of its decoding
            return EventReport(invoke_id, handle, kind, data[22:], time)
    reader = Reader(data)
    tag, length = reader.fields(_HEAD, "apdu")
    if tag not in NAMES:
        raise UnknownApdu(f"0x{tag:04x} is no tag of an APDU", field="apdu")
    if length > reader.left:
        raise Truncated(f"{length} octets are announced, {reader.left} are there", field="apdu")
    if length < reader.left:
        raise BadValue(f"{reader.left - length} octets after the APDU", field="apdu")
    found: Apdu
    if tag == PRST:
        presented = reader.inner("presentation")
        reader.finish("presentation")
        return data_apdu.read(data, presented.at, presented.end)
    if tag == AARQ:
        found = read_aarq(reader)
    elif tag == AARE:
        found = read_aare(reader)
    else:
        found = _REASONS[tag](reader.u16("reason"))
    reader.finish(NAMES[tag])
    return found


def encode(apdu: Apdu) -> bytes:
    """`decode`'s exact inverse. BadValue: a number does not fit, or all together is longer than 65535 octets."""
    match apdu:
        case Aarq():
            return _framed(AARQ, write_aarq(apdu))
        case Aare():
            return _framed(AARE, write_aare(apdu))
        case Rlrq():
            return _framed(RLRQ, u16(apdu.reason, "reason"))
        case Rlre():
            return _framed(RLRE, u16(apdu.reason, "reason"))
        case Abrt():
            return _framed(ABRT, u16(apdu.reason, "reason"))
        case _:
            return _framed(PRST, octets(data_apdu.write(apdu), "presentation"))


def _framed(tag: int, body: bytes) -> bytes:
    return pack(_HEAD, "apdu", tag, len(body)) + body


def invoke_id_of(data: bytes) -> int | None:
    """The invoke id of a presentation APDU that cannot be read any further. None: not even that."""
    if len(data) < 8 or _HEAD.unpack_from(data)[0] != PRST:
        return None
    return int.from_bytes(data[6:8])


def is_answer(data: bytes) -> bool:
    """A presentation APDU with a rors, a roer or a rorj, whether or not it can be read any further."""
    return len(data) >= 10 and _HEAD.unpack_from(data)[0] == PRST and data[8] in _ANSWERS


class Frames:
    """APDUs out of a stream of octets. Holds at most one APDU that is not yet whole: 65539 octets."""

    def __init__(self) -> None:
        self._kept = b""
        self.whole = 0
        """APDUs that were found."""

    @property
    def partial(self) -> int:
        """Octets of an APDU that has begun."""
        return len(self._kept)

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """The APDUs that are whole now, each with its header.

        UnknownApdu: what begins here is no APDU; a stream cannot find its place again, so nothing follows.
        """
        data = self._kept + octets if self._kept else bytes(octets)
        at, size = 0, len(data)
        try:
            while size - at >= 4:
                tag, length = _HEAD.unpack_from(data, at)
                end = at + 4 + length
                if tag not in NAMES or end > size:
                    break
                whole = data[at:end]
                at = end
                self.whole += 1
                yield whole
            if size - at >= 2 and (tag := int.from_bytes(data[at : at + 2])) not in NAMES:
                at = size
                raise UnknownApdu(f"0x{tag:04x} is no tag of an APDU", field="apdu")
        finally:
            self._kept = data[at:]

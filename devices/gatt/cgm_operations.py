"""CGM Specific Ops Control Point (0x2AAC): interval, calibration, alert levels, start and stop of a session.

Source: Bluetooth CGM Service 1.0.2; op codes, operand sizes and response codes as three open stacks have
them (RivieraWaves cgms.h, STM32 cgms_socp.c, nRF Toolbox CGMSpecificOpsControlPointParser). Written with response by
the gateway, answered by indication. Levels are in mg/dL, rates in mg/dL/min.
"""

from __future__ import annotations

import enum
import struct
from typing import ClassVar, Final, NamedTuple, Self

from devices.errors import BadValue, Truncated
from devices.gatt.characteristic import Characteristic
from devices.medfloat import Medfloat, decode_sfloat, encode_sfloat
from devices.octets import U8, Field, Layout, crc16


class CgmOpCode(enum.IntEnum):
    """What to do, or what the answer is."""

    SET_COMMUNICATION_INTERVAL = 1
    GET_COMMUNICATION_INTERVAL = 2
    COMMUNICATION_INTERVAL = 3
    SET_CALIBRATION = 4
    GET_CALIBRATION = 5
    CALIBRATION = 6
    SET_PATIENT_HIGH = 7
    GET_PATIENT_HIGH = 8
    PATIENT_HIGH = 9
    SET_PATIENT_LOW = 10
    GET_PATIENT_LOW = 11
    PATIENT_LOW = 12
    SET_HYPO = 13
    GET_HYPO = 14
    HYPO = 15
    SET_HYPER = 16
    GET_HYPER = 17
    HYPER = 18
    SET_RATE_OF_DECREASE = 19
    GET_RATE_OF_DECREASE = 20
    RATE_OF_DECREASE = 21
    SET_RATE_OF_INCREASE = 22
    GET_RATE_OF_INCREASE = 23
    RATE_OF_INCREASE = 24
    RESET_DEVICE_SPECIFIC_ALERT = 25
    START_SESSION = 26
    STOP_SESSION = 27
    RESPONSE_CODE = 28


class CgmResponse(enum.IntEnum):
    """How it ended."""

    SUCCESS = 1
    OP_CODE_NOT_SUPPORTED = 2
    INVALID_OPERAND = 3
    PROCEDURE_NOT_COMPLETED = 4
    PARAMETER_OUT_OF_RANGE = 5


_LEVELS: Final = frozenset(
    code
    for code in range(CgmOpCode.SET_PATIENT_HIGH, CgmOpCode.RATE_OF_INCREASE + 1)
    if code % 3 != 2  # get
)
_INTERVALS: Final = (CgmOpCode.SET_COMMUNICATION_INTERVAL, CgmOpCode.COMMUNICATION_INTERVAL)
_CALIBRATIONS: Final = (CgmOpCode.SET_CALIBRATION, CgmOpCode.CALIBRATION)
_CALIBRATION: Final = struct.Struct("<HHBHHB")
_SIZES: Final[dict[int, int]] = {
    **dict.fromkeys(map(int, CgmOpCode), 0),
    **dict.fromkeys(_LEVELS, 2),
    **dict.fromkeys(map(int, _INTERVALS), 1),
    **dict.fromkeys(map(int, _CALIBRATIONS), _CALIBRATION.size),
    int(CgmOpCode.GET_CALIBRATION): 2,
    int(CgmOpCode.RESPONSE_CODE): 2,
}
FASTEST: Final = 0xFF
"""As a communication interval: as fast as the sensor can. 0 stops it."""
LAST_CALIBRATION: Final = 0xFFFF


class Calibration(NamedTuple):
    """concentration in mg/dL; time and next_time in minutes since the session start; type, sample_location: as in
    glucose; status: bits 0 rejected, 1 out of range, 2 pending."""

    concentration: Medfloat
    time: int
    type: int
    sample_location: int
    next_time: int
    record_number: int
    status: int


class CgmOperation(Characteristic, frozen=True, kw_only=True):
    """0x2AAC. op_code: `CgmOpCode`.  operand: as sent, its shape depends on the op code.  e2e_crc: a CRC follows.

    Two octets more than the op code takes are the CRC, and have to be right; of an op code that is not known, all that
    follows is operand. One octet more is half a CRC, but not of an interval that is answered: the GATT Specification
    Supplement gives that one two octets, where the service and all stacks give it one.
    """

    uuid: ClassVar[str] = "2AAC"
    layout: ClassVar[Layout] = Layout((Field("op_code", U8),), flags="")

    op_code: int
    operand: bytes = b""
    e2e_crc: bool = False

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: a part of the operand is missing, or of the CRC. BadValue: a wrong CRC."""
        values = (layout or cls.layout).unpack(data)
        rest = values.pop("trailing", b"")
        size = _SIZES.get(values["op_code"], len(rest))
        if len(rest) < size:
            raise Truncated(f"{len(rest)} of {size} octets", field="operand")
        operand, rest = rest[:size], rest[size:]
        if len(rest) == 1 and values["op_code"] != CgmOpCode.COMMUNICATION_INTERVAL:
            raise Truncated("one octet of two", field="e2e_crc")
        crc, more = rest[:2], rest[2:]
        right = len(crc) == 2 and crc16(bytes(data[: 1 + size])) == int.from_bytes(crc, "little")
        if len(rest) == 2 and not right:
            raise BadValue(f"0x{crc[::-1].hex()} is not the CRC", field="e2e_crc")
        return cls(operand=operand, e2e_crc=right, trailing=more if right else rest, **values)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets, with the CRC where `e2e_crc`. BadValue: the op code does not fit an octet."""
        frame = (layout or self.layout).pack({"op_code": self.op_code}) + self.operand
        return frame + (crc16(frame).to_bytes(2, "little") if self.e2e_crc else b"") + self.trailing

    @property
    def interval(self) -> int | None:
        """Minutes between measurements, `FASTEST`. None: not about it."""
        return self.operand[0] if self.op_code in _INTERVALS and self.operand else None

    @property
    def level(self) -> Medfloat | None:
        """The level or rate that is set or answered. None: not about one."""
        return decode_sfloat(int.from_bytes(self.operand, "little")) if self.op_code in _LEVELS else None

    @property
    def calibration(self) -> Calibration | None:
        """The calibration that is set or answered. None: not about one."""
        if self.op_code not in _CALIBRATIONS:
            return None
        if len(self.operand) != _CALIBRATION.size:
            raise BadValue(f"{len(self.operand)} octets are no calibration", field="operand")
        word, time, place, following, number, status = _CALIBRATION.unpack(self.operand)
        return Calibration(decode_sfloat(word), time, place & 0x0F, place >> 4, following, number, status)

    @property
    def request_op_code(self) -> int | None:
        """The op code that is answered. None: not an answer of success or failure."""
        return self.operand[0] if self.op_code == CgmOpCode.RESPONSE_CODE and self.operand else None

    @property
    def response_code(self) -> int | None:
        """`CgmResponse`. None: not an answer of success or failure."""
        return self.operand[1] if self.op_code == CgmOpCode.RESPONSE_CODE and len(self.operand) > 1 else None


def command(op_code: CgmOpCode, *, crc: bool = False) -> CgmOperation:
    """An operation without an operand: start, stop, reset, and each get but that of a calibration."""
    if _SIZES[op_code]:
        raise BadValue(f"{op_code.name} takes an operand", field="operand")
    return CgmOperation(op_code=op_code, e2e_crc=crc)


def set_interval(minutes: int, *, crc: bool = False) -> CgmOperation:
    """01 nn: measure so often. BadValue: not 0 to 255."""
    if not 0 <= minutes <= 0xFF:
        raise BadValue(f"{minutes} does not fit an octet", field="operand")
    return CgmOperation(op_code=CgmOpCode.SET_COMMUNICATION_INTERVAL, operand=bytes([minutes]), e2e_crc=crc)


def set_level(op_code: CgmOpCode, level: Medfloat, *, crc: bool = False) -> CgmOperation:
    """One of the set op codes for alert levels. BadValue: another op code, or the number does not fit."""
    if op_code not in _LEVELS:
        raise BadValue(f"{op_code.name} takes no level", field="op_code")
    return CgmOperation(op_code=op_code, operand=encode_sfloat(level).to_bytes(2, "little"), e2e_crc=crc)


def answer(request_op_code: int, response: CgmResponse, *, crc: bool = False) -> CgmOperation:
    """1C op code: how it ended."""
    return CgmOperation(op_code=CgmOpCode.RESPONSE_CODE, operand=bytes([request_op_code, response]), e2e_crc=crc)

"""User Data Service (0x181C): control point 0x2A9F, and what a scale asks of a user: sex, birth, height, increment.

Source: Bluetooth User Data Service 1.1, clause 3.2 (control point); GATT Specification Supplement for the values; op
codes 4 and 5 and their answers as one open stack has them (Goodix uds.c). A scale for several users sends nothing
before one of them has consented.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Final, Self

from devices.errors import BadValue, Truncated
from devices.gatt.characteristic import Characteristic
from devices.octets import U8, U16, U32, Field, Layout, scaled

HIGHEST_CONSENT: Final = 9999


class UserOpCode(enum.IntEnum):
    """What to do, or the answer."""

    REGISTER_NEW_USER = 0x01
    CONSENT = 0x02
    DELETE_USER_DATA = 0x03
    LIST_ALL_USERS = 0x04
    DELETE_USERS = 0x05
    RESPONSE_CODE = 0x20


class UserResponse(enum.IntEnum):
    """How it ended."""

    SUCCESS = 1
    OP_CODE_NOT_SUPPORTED = 2
    INVALID_PARAMETER = 3
    OPERATION_FAILED = 4
    USER_NOT_AUTHORIZED = 5


_OPERAND_SIZE: Final[dict[int, int]] = {
    UserOpCode.REGISTER_NEW_USER: 2,
    UserOpCode.CONSENT: 3,
    UserOpCode.DELETE_USER_DATA: 0,
    UserOpCode.LIST_ALL_USERS: 0,
    UserOpCode.DELETE_USERS: 1,
}
_PARAMETER_SIZE: Final[dict[int, int]] = {
    UserOpCode.REGISTER_NEW_USER: 1,
    UserOpCode.CONSENT: 0,
    UserOpCode.DELETE_USER_DATA: 0,
    UserOpCode.LIST_ALL_USERS: 1,
    UserOpCode.DELETE_USERS: 1,
}
"""Octets after the two codes of an answer of success, where there are any; a failure has none."""
_OF_A_USER: Final = frozenset((UserOpCode.REGISTER_NEW_USER, UserOpCode.DELETE_USERS))


def _operand_size(op_code: int, rest: bytes) -> int:
    """Octets of the operand that begins `rest`; all of them where nothing says how many."""
    if op_code != UserOpCode.RESPONSE_CODE:
        return _OPERAND_SIZE.get(op_code, len(rest))
    if len(rest) < 2 or (rest[1] != UserResponse.SUCCESS and rest[0] in _PARAMETER_SIZE):
        return 2
    return 2 + min(_PARAMETER_SIZE.get(rest[0], len(rest)), len(rest) - 2)


class UserControlPoint(Characteristic, frozen=True, kw_only=True):
    """0x2A9F, written, and answered by indication. operand: as sent, its shape depends on the op code."""

    uuid: ClassVar[str] = "2A9F"
    layout: ClassVar[Layout] = Layout((Field("op_code", U8),), flags="")

    op_code: int
    operand: bytes = b""

    @classmethod
    def decode(cls, data: bytes, layout: Layout | None = None) -> Self:
        """From octets. Truncated: an answer without its two codes, a request without its parameter."""
        values = (layout or cls.layout).unpack(data)
        rest = values.pop("trailing", b"")
        size = _operand_size(values["op_code"], rest)
        if len(rest) < size:
            raise Truncated(f"{len(rest)} of {size} octets", field="operand")
        return cls(operand=rest[:size], trailing=rest[size:], **values)

    def encode(self, layout: Layout | None = None) -> bytes:
        """To octets. BadValue: the op code does not fit an octet."""
        return (layout or self.layout).pack({"op_code": self.op_code}) + self.operand + self.trailing

    @property
    def request_op_code(self) -> int | None:
        """The op code answered. None: not an answer."""
        return self.operand[0] if self.op_code == UserOpCode.RESPONSE_CODE else None

    @property
    def response_value(self) -> int | None:
        """`UserResponse`. None: not an answer."""
        return self.operand[1] if self.op_code == UserOpCode.RESPONSE_CODE else None

    def _parameter(self) -> int | None:
        """What follows the two codes of an answer of success."""
        return self.operand[2] if len(self.operand) > 2 else None

    @property
    def user_index(self) -> int | None:
        """The user in a consent or deletion (255: all of them), or newly registered in an answer. None: neither."""
        if self.op_code in (UserOpCode.CONSENT, UserOpCode.DELETE_USERS):
            return self.operand[0]
        return self._parameter() if self.request_op_code in _OF_A_USER else None

    @property
    def number_of_users(self) -> int | None:
        """In the answer that ends a list of them. None: not that."""
        return self._parameter() if self.request_op_code == UserOpCode.LIST_ALL_USERS else None

    @property
    def consent_code(self) -> int | None:
        """The code in a registration or consent. None: neither."""
        if self.op_code == UserOpCode.REGISTER_NEW_USER:
            return int.from_bytes(self.operand[:2], "little")
        return int.from_bytes(self.operand[1:3], "little") if self.op_code == UserOpCode.CONSENT else None


def _code(consent_code: int) -> bytes:
    if not 0 <= consent_code <= HIGHEST_CONSENT:
        raise BadValue(f"{consent_code} is not 0 to {HIGHEST_CONSENT}", field="consent_code")
    return consent_code.to_bytes(2, "little")


def register(consent_code: int) -> UserControlPoint:
    """01 cc cc: make a new user with this code."""
    return UserControlPoint(op_code=UserOpCode.REGISTER_NEW_USER, operand=_code(consent_code))


def consent(user_index: int, consent_code: int) -> UserControlPoint:
    """02 uu cc cc: this user agrees to be read."""
    if not 0 <= user_index <= 0xFF:
        raise BadValue(f"{user_index} does not fit an octet", field="user_index")
    return UserControlPoint(op_code=UserOpCode.CONSENT, operand=bytes([user_index]) + _code(consent_code))


def delete_users(user_index: int) -> UserControlPoint:
    """05 uu: delete this user with all data; 255: every user."""
    if not 0 <= user_index <= 0xFF:
        raise BadValue(f"{user_index} does not fit an octet", field="user_index")
    return UserControlPoint(op_code=UserOpCode.DELETE_USERS, operand=bytes([user_index]))


def answer(request_op_code: int, response: UserResponse, parameter: bytes = b"") -> UserControlPoint:
    """20 op code: how it ended."""
    return UserControlPoint(op_code=UserOpCode.RESPONSE_CODE, operand=bytes([request_op_code, response]) + parameter)


class DatabaseChangeIncrement(Characteristic, frozen=True, kw_only=True):
    """0x2A99. Raised by whoever changed the user's data last; the higher one wins."""

    uuid: ClassVar[str] = "2A99"
    layout: ClassVar[Layout] = Layout((Field("increment", U32),), flags="")

    increment: int


class UserIndex(Characteristic, frozen=True, kw_only=True):
    """0x2A9A. 0xFF: unknown user."""

    uuid: ClassVar[str] = "2A9A"
    layout: ClassVar[Layout] = Layout((Field("user_index", U8),), flags="")

    user_index: int


class Gender(Characteristic, frozen=True, kw_only=True):
    """0x2A8C. 0 male, 1 female, 2 unspecified."""

    uuid: ClassVar[str] = "2A8C"
    layout: ClassVar[Layout] = Layout((Field("gender", U8),), flags="")

    gender: int


class DateOfBirth(Characteristic, frozen=True, kw_only=True):
    """0x2A85. A part of 0 is not known."""

    uuid: ClassVar[str] = "2A85"
    layout: ClassVar[Layout] = Layout((Field("year", U16), Field("month", U8), Field("day", U8)), flags="")

    year: int
    month: int
    day: int


class Height(Characteristic, frozen=True, kw_only=True):
    """0x2A8E. height in m, counted in 0.01 m (the scale's own measurement counts in 0.001 m)."""

    uuid: ClassVar[str] = "2A8E"
    layout: ClassVar[Layout] = Layout((Field("height", scaled(1, 100)),), flags="")

    height: float

"""Registered User (0x2B37): the users of a scale, one after the other, when its control point is told to list them.

From one implementation (Goodix uds.c): a segmentation header as of a Blood Pressure Record, then flags, index and name.
"""

from __future__ import annotations

from typing import ClassVar, Final, NamedTuple

from devices.errors import Truncated
from devices.gatt.segment import Segment

_NAME_PRESENT: Final = 0x01
_NAME_TRUNCATED: Final = 0x02


class ListedUser(NamedTuple):
    """flags: bits 0 name present, 1 name truncated.  user_index: 255 is unknown.  name: what a person typed."""

    flags: int
    user_index: int
    name: str

    @property
    def name_present(self) -> bool:
        """Bit 0."""
        return bool(self.flags & _NAME_PRESENT)

    @property
    def name_truncated(self) -> bool:
        """Bit 1."""
        return bool(self.flags & _NAME_TRUNCATED)


class RegisteredUser(Segment, frozen=True, kw_only=True):
    """0x2B37, indicated: one segment of a user."""

    uuid: ClassVar[str] = "2B37"

    @property
    def user(self) -> ListedUser | None:
        """The user, where one segment holds all of it. Truncated."""
        return user_in(self.segment) if self.first and self.last else None


def user_in(whole: bytes) -> ListedUser:
    """The user in its segments, put together. Truncated: names the field."""
    if len(whole) < 2:
        raise Truncated(f"{len(whole)} of 2 octets", field="user_index" if whole else "flags")
    return ListedUser(whole[0], whole[1], whole[2:].decode("utf-8", errors="replace"))


def why_none(value: RegisteredUser) -> Truncated | None:
    """Why one segment that shall hold a user does not. None: it does, or is one of several."""
    try:
        _ = value.user
    except Truncated as error:
        return error
    return None

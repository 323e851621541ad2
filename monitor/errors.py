"""The errors of the monitor: one root, leaves are facts, the docstring is the default message."""

from __future__ import annotations


class MonitorError(Exception):
    """The monitor cannot do this."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.detail)


class BadKey(MonitorError):
    """A key is the base64 of 32 octets; this one is not."""


class UnknownKey(MonitorError):
    """An identity is sealed with a key that this process does not hold."""


class Unsealable(MonitorError):
    """An identity field does not open: wrong key, or the row was altered or moved."""


class UnknownResident(MonitorError):
    """There is no such resident."""


class DuplicateIdentity(MonitorError):
    """A resident with this identity number or record code exists already."""


class LoginTaken(MonitorError):
    """The login name is in use."""


class NotAllowed(MonitorError):
    """The role of this user does not see clinical detail."""


class WeakPassword(MonitorError):
    """The password is shorter than 10 characters."""

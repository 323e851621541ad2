"""The errors of the devices room: one root, leaves are facts, the docstring is the default message."""

from __future__ import annotations


class DeviceError(Exception):
    """What a device or a message said cannot be understood."""

    def __init__(self, detail: str | None = None, *, field: str = "") -> None:
        self.field = field
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(f"{field}: {self.detail}" if field else self.detail)


class Truncated(DeviceError):
    """The frame ends inside a field."""


class UnknownCharacteristic(DeviceError):
    """No codec is declared for this characteristic."""


class BadValue(DeviceError):
    """A field holds a value that its definition does not allow."""


class MalformedMessage(DeviceError):
    """The payload is not a message of this contract."""

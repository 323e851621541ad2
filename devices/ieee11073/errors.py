"""What 11073-20601 adds to the errors of the devices room."""

from __future__ import annotations

from devices.errors import DeviceError


class UnknownApdu(DeviceError):
    """The tag is none of the six that an APDU can have."""


class UnknownOperation(DeviceError):
    """The data APDU holds an operation that the standard does not have."""


class UnknownConfiguration(DeviceError):
    """Nothing is known under this configuration id."""


class WrongState(DeviceError):
    """The association is not in a state in which this can be asked."""

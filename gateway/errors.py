"""The errors of the gateway: one root, leaves are facts, the docstring is the default message."""

from __future__ import annotations

from collections.abc import Iterator


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors themselves, out of whatever groups they are in."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


class GatewayError(Exception):
    """The gateway cannot go on with this."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.detail)


class RadioGone(GatewayError):
    """There is no Bluetooth adapter, or it has stopped answering."""


class LinkLost(GatewayError):
    """The connection to the device is over."""


class NoAnswer(GatewayError):
    """The device did not answer in time."""


class AccessRefused(GatewayError):
    """The device refused the request."""

    def __init__(self, detail: str, code: int) -> None:
        super().__init__(detail)
        self.code = code
        """ATT error code (Core, Vol 3, Part F, 3.4.1.1)."""


class OutboxFull(GatewayError):
    """The outbox has reached its size limit or the disk is full: nothing new is accepted, nothing old is dropped."""


class OutboxBroken(GatewayError):
    """The outbox cannot be read or written."""


class OutboxBusy(GatewayError):
    """Another gateway process uses this outbox."""


class BadSetting(GatewayError):
    """A setting cannot be used."""

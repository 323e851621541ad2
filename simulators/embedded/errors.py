"""The errors of the embedded servers: one root, leaves are facts, the docstring is the default message."""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded server cannot be had or cannot run."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.detail)


class NoPackages(EmbeddedError):
    """Debian's packages cannot be fetched on this machine."""


class ForeignLibrary(EmbeddedError):
    """A program of the tree would load a library of the host."""


class FolderClosed(EmbeddedError):
    """The folder cannot be used by the user the server runs as."""


class NotStarted(EmbeddedError):
    """The server did not start."""


class NoDatabase(EmbeddedError):
    """There is no PostgreSQL this project could use."""


class NoBroker(EmbeddedError):
    """There is no MQTT broker this project could use."""


class NoBrowser(EmbeddedError):
    """There is no Chromium this project could drive."""

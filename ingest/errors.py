"""The errors of the ingest room: one root, leaves are facts, the docstring is the default message."""

from __future__ import annotations


class IngestError(Exception):
    """Ingest cannot do what was asked."""

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        super().__init__(self.detail)


class DatabaseUnavailable(IngestError):
    """The database does not answer."""


class NotMigrated(IngestError):
    """The telemetry schema is missing or older than this program: run `suifang-ingest migrate`."""


class UnknownName(IngestError):
    """There is no such device, session, subject or row."""


class AssignmentOverlap(IngestError):
    """The device or session is already assigned in that period."""


class CannotAssign(IngestError):
    """It cannot be assigned like this."""


class CannotCorrect(IngestError):
    """The reading cannot be corrected like this."""

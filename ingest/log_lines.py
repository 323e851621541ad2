"""How the server side logs: one JSON object a line on standard error; libraries' warnings in the same form.

The gateway has its own copy: nothing but the standard library and msgspec is common to both sides.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

_log = structlog.get_logger()


def configure_logging(level: int = logging.INFO) -> None:
    """Fields: `event`, `level`, `at` (UTC) and what the line is about; never a resident's name or number."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


class _ToStructlog(logging.Handler):
    """The standard library's records in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        text: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            text["exc_info"] = record.exc_info
        _log.log(record.levelno, record.getMessage(), **text)

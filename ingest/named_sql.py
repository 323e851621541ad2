"""SQL is a source: this room's queries stand in `sql/queries.sql`, each under a line `-- name: words_like_this`."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

from psycopg import sql

_NAME: Final = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load(package: str, path: str) -> dict[str, sql.SQL]:
    """Name → query. ValueError: a name stands twice."""
    text = files(package).joinpath(path).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    queries: dict[str, sql.SQL] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"{path}: {name} stands twice")
        # the file is part of the program; nothing of a message is ever spliced into it
        queries[name] = sql.SQL(body.strip().rstrip(";"))
    return queries


QUERIES: Final = load("ingest", "sql/queries.sql")

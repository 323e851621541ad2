"""Named queries: `sql/NAME.sql` holds sections that begin with `-- name: query_name`."""

from __future__ import annotations

import re
from importlib.resources import files
from types import MappingProxyType
from typing import Final

_HEAD: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(name: str, package: str = "monitor") -> MappingProxyType[str, bytes]:
    """The queries of one file by name. KeyError later: the query is not there; ValueError: one name stands twice."""
    text = files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    _, *parts = _HEAD.split(text)
    names = parts[::2]
    if len(set(names)) != len(names):
        raise ValueError(f"sql/{name}.sql names a query twice")
    return MappingProxyType({head: body.strip().encode() for head, body in zip(names, parts[1::2], strict=True)})

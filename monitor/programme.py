"""Programme packs from YAML: read, refuse with file:line:column and the reason, give back `Pack`s.

Refused: unknown and doubled keys, a rule without a citation, a citation without a clause, a limit in a unit its fact
is not compared in, a convention without a reason, a template with an unknown placeholder. Numbers with a point are
read as exact decimals, as printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from pydantic import ValidationError

from monitor.programme_consistency import inconsistencies
from monitor.programme_pack import Pack

FOLDER: Final = Path(str(files("monitor"))) / "programmes"


class Problem(NamedTuple):
    """One reason to refuse a pack; line and column count from 1."""

    file: str
    line: int
    column: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.reason}"


class PackRefused(Exception):
    """A programme pack is not fit to judge anybody."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class NoSuchEdition(Exception):
    """No pack of this edition is installed."""


_DEEPEST: Final = 30

_Path = tuple[str | int, ...]
_Marks = dict[_Path, tuple[int, int]]


def load_packs(edition: str, folder: Path = FOLDER) -> tuple[Pack, ...]:
    """The packs of one edition, sorted by id. PackRefused: any file of the folder is bad; NoSuchEdition: none."""
    packs = [load_pack(path) for path in sorted(folder.glob("*.yaml"))]
    chosen = tuple(pack for pack in packs if pack.edition == edition)
    if not chosen:
        known = ", ".join(sorted({pack.edition for pack in packs})) or "none"
        raise NoSuchEdition(f"no programme pack of edition {edition} in {folder} (editions there: {known})")
    return chosen


def load_pack(path: Path) -> Pack:
    """One pack. PackRefused: with every problem found; OSError: the file cannot be read."""
    return parse_pack(path.read_text(encoding="utf-8"), str(path))


def parse_pack(text: str, name: str) -> Pack:
    """A pack from YAML text; `name` stands before the line numbers. PackRefused: with every problem found."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise PackRefused([Problem(name, line, column, f"not YAML: {error.problem}")]) from error
    if node is None:
        raise PackRefused([Problem(name, 1, 1, "the file is empty")])
    reading = _Reading(name)
    data = reading.plain(node, ())
    marks = reading.marks
    if reading.problems:
        raise PackRefused(reading.problems)
    try:
        pack = Pack.model_validate(data)
    except ValidationError as error:
        raise PackRefused(list(_validation_problems(error, marks, name))) from error
    problems = [Problem(name, *_mark(marks, path), reason) for path, reason in inconsistencies(pack)]
    if problems:
        raise PackRefused(problems)
    return pack


class _Reading:
    """YAML nodes to plain values, keeping where each stood and what could not be read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.marks: _Marks = {}
        self.problems: list[Problem] = []
        self._scalars = yaml.SafeLoader("")  # only its constructors are used

    def plain(self, node: yaml.Node, path: _Path) -> Any:
        self.marks.setdefault(path, _place(node))
        if len(path) > _DEEPEST:
            self.problems.append(Problem(self.name, *_place(node), "nested too deep: an alias to itself?"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            if node.tag == "tag:yaml.org,2002:float":
                return Decimal(node.value)
            return self._scalars.construct_object(node)
        except (yaml.MarkedYAMLError, ValueError, InvalidOperation):
            self.problems.append(Problem(self.name, *_place(node), f"{node.value!r} cannot be read"))
            return None

    def _mapping(self, node: yaml.MappingNode, path: _Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in result:
                self.problems.append(Problem(self.name, *_place(key_node), f"{key} stands twice"))
            self.marks[(*path, key)] = _place(key_node)
            result[key] = self.plain(value_node, (*path, key))
        return result


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _validation_problems(error: ValidationError, marks: _Marks, name: str) -> Iterator[Problem]:
    for item in error.errors(include_url=False, include_input=False):
        path: _Path = ()
        for step in item["loc"]:
            if (*path, step) in marks:
                path = (*path, step)
        where = ".".join(str(step) for step in item["loc"])
        yield Problem(name, *_mark(marks, path), f"{where or 'pack'}: {item['msg']}")


def _mark(marks: _Marks, path: _Path) -> tuple[int, int]:
    while path not in marks and path:
        path = path[:-1]
    return marks.get(path, (1, 1))

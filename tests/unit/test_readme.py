"""What the two READMEs name is there: folders, files and commands."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
READMES = ["README.md", "README.zh-CN.md"]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]


def commands_of(script: str) -> set[str]:
    """The commands of a console script; empty: it has none."""
    module = importlib.import_module(SCRIPTS[script].partition(":")[0])
    app = getattr(module, "app", None)
    click = typer.main.get_command(app) if isinstance(app, typer.Typer) else None
    return set(getattr(click, "commands", {}))


@pytest.mark.parametrize("name", READMES)
def test_what_a_readme_links_to_is_there(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_folders_has_every_folder(name: str) -> None:
    rows = re.findall(r"^\| `([a-z]+)/` \|", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    there = {each.parent.name for each in ROOT.glob("*/__init__.py")} | {"tests", "docs"}
    assert set(rows) == there


@pytest.mark.parametrize("script", sorted(set(SCRIPTS) - {"suifang-demo"}))
def test_the_table_of_commands_has_every_command(script: str) -> None:
    (row,) = re.findall(rf"^\| (`{script}.*?`) \| ", ENGLISH, re.MULTILINE)
    told = {each.strip("` ") for each in row.replace(script, "").split(",")} - {""}
    assert told == commands_of(script)

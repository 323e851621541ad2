"""The decision records: each says why, what follows, and which check holds it; the index names them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
SECTIONS = ("Context", "Decision", "Consequences", "check")


def title_of(record: Path) -> tuple[str, str]:
    found = re.fullmatch(r"# (\d{4}) (.+)", record.read_text(encoding="utf-8").splitlines()[0])
    assert found, f"{record.name}: the first line is '# NNNN The title'"
    return found[1], found[2]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem[:4])
def test_a_record_has_its_number_and_its_four_parts(record: Path) -> None:
    assert record.name.startswith(title_of(record)[0])
    parts = re.split(r"^## (.+)$", record.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    headings = ["check" if heading in {"The check", "The checks that hold it"} else heading for heading in parts[::2]]
    assert headings == list(SECTIONS)
    assert [heading for heading, text in zip(headings, parts[1::2], strict=True) if not text.strip()] == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem[:4])
def test_the_files_a_record_names_as_its_checks_are_there(record: Path) -> None:
    checks = re.split(r"^## The check.*$", record.read_text(encoding="utf-8"), flags=re.MULTILINE)[-1]
    named = re.findall(r"`((?:tests|\.ci|docs|simulators|monitor|ingest|gateway|devices)/[\w./\-]+\.\w+)`", checks)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_index_has_one_line_for_each_record() -> None:
    rows = re.findall(r"^\| \[(\d{4})\]\((.+?)\) \| (.+) \|$", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    assert rows == [(number, record.name, title) for record in RECORDS for number, title in [title_of(record)]]

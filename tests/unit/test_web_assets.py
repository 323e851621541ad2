"""The scripts of the pages: copied whole, checked, and made good again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from monitor.web import assets


def test_both_scripts_are_copied_as_published(tmp_path: Path) -> None:
    copied = assets.ensure(tmp_path / "vendor")
    assert [path.name for path in copied] == ["htmx.min.js", "htmx-ext-sse.min.js"]
    for asset, path in zip(assets.ASSETS, copied, strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == asset.sha256


def test_an_altered_script_is_replaced(tmp_path: Path) -> None:
    first, _ = assets.ensure(tmp_path)
    good = first.read_bytes()
    first.write_bytes(good + b"// altered")
    assets.ensure(tmp_path)
    assert first.read_bytes() == good


def test_present_scripts_need_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets.ensure(tmp_path)
    monkeypatch.setattr(assets, "_PACKAGE", "no_such_package")
    assert len(assets.ensure(tmp_path)) == 2


def test_a_missing_package_is_said_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "_PACKAGE", "no_such_package")
    with pytest.raises(assets.AssetsMissing, match="make setup"):
        assets.ensure(tmp_path)


def test_a_file_other_than_expected_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = assets.Asset("htmx.min.js", "static/django_htmx/htmx-4.min.js", assets.ASSETS[0].sha256)
    monkeypatch.setattr(assets, "ASSETS", (stranger,))
    with pytest.raises(assets.AssetsMissing, match="not the file expected"):
        assets.ensure(tmp_path)
    assert list(tmp_path.iterdir()) == []

"""The two scripts of other people that the pages load: htmx and its extension for server-sent events.

They are not kept in the repository. The package `django-htmx` (pinned in uv.lock, MIT; its Django part is not used)
carries both unchanged; `python -m monitor.web.assets` checks them and copies them to `static/vendor/`, and a built
wheel includes that folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Final, NamedTuple

VENDOR: Final = Path(__file__).with_name("static") / "vendor"
_PACKAGE: Final = "django_htmx"


class Asset(NamedTuple):
    """One file: its name here, its place in the package, and its SHA-256 (the same as of npm's file)."""

    name: str
    source: str
    sha256: str


ASSETS: Final = (
    Asset(
        "htmx.min.js",  # htmx.org 2.0.10
        "static/django_htmx/htmx-2.min.js",
        "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de",
    ),
    Asset(
        "htmx-ext-sse.min.js",  # htmx-ext-sse 2.2.4
        "static/django_htmx/ext/hx-sse-2.min.js",
        "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136",
    ),
)


class AssetsMissing(Exception):
    """A script of the pages is missing and cannot be copied here."""


def ensure(folder: Path = VENDOR) -> list[Path]:
    """The assets in `folder`, copied now where they are missing or altered.

    AssetsMissing: the package is not installed, or its file is not the one expected.
    """
    return [_ensure(asset, folder / asset.name) for asset in ASSETS]


def _ensure(asset: Asset, path: Path) -> Path:
    if not path.is_file() or _sha256(path.read_bytes()) != asset.sha256:
        content = _packaged(asset)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".new")
        partial.write_bytes(content)
        partial.replace(path)
    return path


def _packaged(asset: Asset) -> bytes:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise AssetsMissing(f"{asset.name} is missing: run `make setup` (its package, django-htmx, is not installed)")
    source = Path(next(iter(spec.submodule_search_locations))) / asset.source
    content = source.read_bytes() if source.is_file() else b""
    if _sha256(content) != asset.sha256:
        raise AssetsMissing(f"{source} is not the file expected: run `.ci/bootstrap` again")
    return content


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    """Copy what is missing; exit status 1 with one line if that cannot be done."""
    try:
        ensure()
    except AssetsMissing as error:
        sys.stderr.write(f"assets: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

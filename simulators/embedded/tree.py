"""A private tree of Debian 13 programs: PostgreSQL 17 with TimescaleDB, and Mosquitto.

`ensure` unpacks some forty packages (about 40 MB) into the cache folder once and points every program at the tree's own
loader and libraries (patchelf, from the same archive), so that the tree runs the same on Debian 12, 13 and their
relatives. Two processes do not build at once; a tree that was moved, or that an older recipe made, is made anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulators.embedded import apt
from simulators.embedded.announce import Announce, to_stderr
from simulators.embedded.errors import FolderClosed, ForeignLibrary, NoPackages
from simulators.embedded.unprivileged import require_reachable

RELEASE: Final = "trixie"
PACKAGES: Final = (
    # the programs
    *("postgresql-17", "postgresql-17-timescaledb", "postgresql-client-17", "mosquitto", "patchelf"),
    # what they load; `_check` says when a later release needs more
    *("libc6", "libgcc-s1", "libstdc++6", "libpq5", "libssl3t64", "zlib1g", "libzstd1", "liblz4-1", "libxxhash0"),
    *("libicu76", "libxml2", "liblzma5", "libxslt1.1", "libuuid1", "libpam0g", "libaudit1", "libcap-ng0"),
    *("libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0", "libcom-err2", "libkeyutils1"),
    *("libldap2", "libsasl2-2", "libsystemd0", "libcap2", "libselinux1", "libpcre2-8-0", "libffi8"),
    *("libreadline8t64", "libtinfo6"),
    *("libmosquitto1", "libcjson1", "libdlt2", "libwebsockets19t64", "libwrap0"),
)
_PROGRAMS: Final = ("postgres", "initdb", "pg_ctl", "pg_dump", "pg_restore", "psql")
_UNUSED: Final = (
    *("etc", "var", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug"),
    *("usr/lib/postgresql/17/lib/bitcode", "usr/lib/postgresql/17/lib/pgxs"),
)
_FOREIGN_LANGUAGES: Final = ("plperl", "plpython", "pltcl", "llvmjit")
_MACHINES: Final = {
    "x86_64": ("x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "aarch64": ("aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}


@dataclass(frozen=True, slots=True)
class Programs:
    """One PostgreSQL installation: its name for people, its `bin` folder, and whether TimescaleDB comes with it."""

    name: str
    folder: Path
    timescale: bool

    def path(self, program: str) -> Path:
        """A program, as `initdb`."""
        return self.folder / program


@dataclass(frozen=True, slots=True)
class Tree:
    """Where the unpacked programs stand."""

    root: Path

    @property
    def libraries(self) -> Path:
        """The folder of the shared libraries, the loader among them."""
        return self.root / "usr/lib" / _machine()[0]

    @property
    def loader(self) -> Path:
        """The ELF interpreter of this tree."""
        return self.libraries / _machine()[1]

    @property
    def mosquitto(self) -> Path:
        """The broker."""
        return self.root / "usr/sbin/mosquitto"

    @property
    def programs(self) -> Programs:
        """PostgreSQL with TimescaleDB."""
        folder = self.root / "usr/lib/postgresql/17/bin"
        return Programs("TimescaleDB (Apache edition) on PostgreSQL 17", folder, timescale=True)


def cache_folder() -> Path:
    """Where trees and run folders live: `SUIFANG_CACHE`, else a folder that the server's user can reach.

    FolderClosed: the folder cannot be made, or belongs to somebody else.
    """
    uid = os.geteuid()
    shared = Path(f"/var/tmp/suifang-{uid}")  # noqa: S108 - survives a reboot; its owner is checked below
    chosen = os.environ.get("SUIFANG_CACHE")
    # root's own ~/.cache is closed to the user that root's servers run as
    usual = Path("/var/cache") if uid == 0 else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in [Path(chosen).absolute()] if chosen else [usual / "suifang", shared]:
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError:
            continue
        if folder.stat().st_uid == uid and os.access(folder, os.W_OK):
            require_reachable(folder)
            return folder.resolve()
    raise FolderClosed("no folder for the servers' programs can be made: name one of your own in SUIFANG_CACHE")


def ensure(cache: Path | None = None, announce: Announce | None = None) -> Tree:
    """The tree below `cache` (default `cache_folder()`), made now if it is missing: about 10 s and 36 MB once.

    NoPackages: no apt here, no mirror, no key. ForeignLibrary: the package list has become incomplete.
    FolderClosed: as root, the server's user cannot reach `cache`.
    """
    folder = (cache or cache_folder()).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    require_reachable(folder)
    tree, mark = Tree(folder / "tree"), folder / "tree.ok"
    wanted = _fingerprint(tree)
    if _read(mark) == wanted:
        return tree
    say = announce or to_stderr()
    with _alone(folder / "tree.lock", say):
        if _read(mark) != wanted:
            mark.unlink(missing_ok=True)
            try:
                _build(tree, folder / "tree.apt", say)
            finally:
                shutil.rmtree(folder / "tree.apt", ignore_errors=True)
            mark.write_text(wanted, encoding="utf-8")
    return tree


def _build(tree: Tree, state: Path, announce: Announce) -> None:
    announce(f"fetching PostgreSQL 17, TimescaleDB and Mosquitto into {tree.root} (once, about 40 MB)")
    shutil.rmtree(tree.root, ignore_errors=True)
    debs = apt.PrivateApt(state, RELEASE, announce).fetch(PACKAGES)
    announce("unpacking")
    for deb in debs:
        apt.unpack(deb, tree.root)
    for name in _UNUSED:
        shutil.rmtree(tree.root / name, ignore_errors=True)
    programs = [tree.mosquitto, *(tree.programs.path(name) for name in _PROGRAMS)]
    for program in programs:
        _point_at_tree(tree, program)
    for path in tree.root.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    tree.root.chmod(0o755)
    modules = (tree.root / "usr/lib/postgresql/17/lib").glob("*.so")
    _check(tree, [*programs, *(m for m in modules if not any(word in m.name for word in _FOREIGN_LANGUAGES))])
    announce("the programs are ready")


def _point_at_tree(tree: Tree, program: Path) -> None:
    """Let `program` use the tree's loader and libraries; RPATH (not RUNPATH) also holds for modules it loads later."""
    patchelf: list[str | Path] = [tree.loader, "--library-path", tree.libraries, tree.root / "usr/bin/patchelf"]
    wish: list[str | Path] = ["--set-interpreter", tree.loader, "--force-rpath", "--set-rpath", tree.libraries]
    done = subprocess.run([*patchelf, *wish, program], check=False, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise NoPackages(f"{program.name} cannot be adapted: {done.stderr.strip()}")


def _check(tree: Tree, files: list[Path]) -> None:
    """ForeignLibrary: one of `files` needs a library from outside the tree."""
    strangers: list[str] = []
    for path in files:
        listed = subprocess.run(
            [tree.loader, "--library-path", tree.libraries, "--list", path],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
        )
        for line in (listed.stdout + listed.stderr).splitlines():
            own = str(tree.root) in line or "linux-vdso" in line or "statically linked" in line
            if line.strip() and not own:
                strangers.append(f"{path.name}: {line.strip()}")
    if strangers:
        raise ForeignLibrary(f"outside the tree: {'; '.join(strangers[:5])}")


def _machine() -> tuple[str, str]:
    try:
        return _MACHINES[platform.machine()]
    except KeyError:
        raise NoPackages(f"no recipe for a machine of type {platform.machine()}") from None


def _fingerprint(tree: Tree) -> str:
    """The place (ELF interpreters are absolute) and the recipe."""
    recipe = hashlib.sha256("\n".join((RELEASE, *PACKAGES, *_PROGRAMS)).encode()).hexdigest()
    return f"{tree.root}\n{recipe}\n"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


@contextmanager
def _alone(path: Path, announce: Announce) -> Iterator[None]:
    """Hold the lock file `path`; the lock ends with the process even if it is killed."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            announce("another process is fetching the programs: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield

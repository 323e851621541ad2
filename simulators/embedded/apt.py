"""Debian's packages without touching the machine: a private apt state, `apt-get download`, `dpkg-deb -x`.

apt checks the archive's signature against the keyring and each package against the signed index. The mirror is the one
this machine already uses. No root is needed; the machine's own apt state is only read.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from os import environ
from pathlib import Path

from simulators.embedded.announce import Announce
from simulators.embedded.errors import NoPackages

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
_RETRIES = 3
_DEB822 = re.compile(r"^URIs:[ \t]*(.+)$", re.MULTILINE)
_ONE_LINE = re.compile(r"^deb[ \t]+(?:\[[^\]]*\][ \t]+)?(\S+)", re.MULTILINE)
_KEY_MISSING = re.compile(r"NO_PUBKEY|Missing key|not signed", re.IGNORECASE)


def configured_uris(etc: Path = Path("/etc/apt")) -> list[str]:
    """The archive URIs this machine's apt uses, in order; a local mirror list counts with its first entry."""
    found: list[str] = []
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not path.is_file() or path.suffix not in {".list", ".sources"}:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = _DEB822.findall(text) if path.suffix == ".sources" else _ONE_LINE.findall(text)
        for uri in " ".join(lines).split():
            if uri.startswith("mirror+file:"):
                listed = Path(uri.removeprefix("mirror+file:").replace("//", "/", 1))
                first = listed.read_text(encoding="utf-8").split() if listed.is_file() else []
                found += first[:1]
            else:
                found.append(uri)
    return found


def mirror_of(uris: Sequence[str]) -> tuple[str, str]:
    """The Debian archive and its security archive among `uris`. NoPackages: none is a Debian mirror.

    `SUIFANG_DEBIAN_MIRROR` (as `http://host/debian`) goes before what the machine uses.
    """
    chosen = environ.get("SUIFANG_DEBIAN_MIRROR")
    plain = [uri.rstrip("/") for uri in uris]
    main = (chosen or next((uri for uri in plain if uri.endswith("/debian")), "")).rstrip("/")
    if not main:
        raise NoPackages("no Debian mirror in this machine's apt sources: set SUIFANG_DEBIAN_MIRROR=http://…/debian")
    security = None if chosen else next((uri for uri in plain if uri.endswith("/debian-security")), None)
    return main, security or f"{main}-security"


def keyring() -> Path:
    """The archive keyring, `SUIFANG_DEBIAN_KEYRING` first. NoPackages: there is none."""
    chosen = environ.get("SUIFANG_DEBIAN_KEYRING")
    for path in (Path(chosen),) if chosen else KEYRINGS:
        if path.is_file() and path.stat().st_size:
            return path
    raise NoPackages(
        f"no Debian archive keyring at {chosen or KEYRINGS[0]}: "
        "install debian-archive-keyring or set SUIFANG_DEBIAN_KEYRING"
    )


class PrivateApt:
    """apt with a state of its own under `folder` for one Debian release."""

    def __init__(self, folder: Path, release: str, announce: Announce) -> None:
        """NoPackages: this machine has no apt-get or no dpkg-deb."""
        for tool in ("apt-get", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise NoPackages(f"{tool} is missing: this machine is not a Debian relative")
        self._folder = folder
        self._release = release
        self._announce = announce

    def fetch(self, names: Sequence[str]) -> list[Path]:
        """Download the newest `names` (dependencies are not followed) and return the `.deb` files.

        NoPackages: the archive cannot be reached, does not know a name, or its signature is not by a known key.
        """
        main, security = mirror_of(configured_uris())
        self._announce(f"reading the package index of Debian {self._release} from {main}")
        complaint = self._update(main, security, keyring())
        if _KEY_MISSING.search(complaint):
            self._announce("this machine's archive keyring is older than that release: fetching the present one")
            complaint = self._update(main, security, self._newer_keyring())
        debs = self._folder / "debs"
        debs.mkdir()
        self._announce(f"downloading {len(names)} packages")
        done = self._apt(["download", *names], cwd=debs)
        if done.returncode:
            # a list that could not be fetched explains a package that is then unknown
            raise NoPackages(
                f"Debian's packages cannot be fetched from {main}: {_last_lines(complaint or done.stderr)}"
            )
        return sorted(debs.glob("*.deb"))

    def _update(self, main: str, security: str, key: Path) -> str:
        """Refresh the lists; what apt complained about. Whether that matters, the download shows."""
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in ("lists/partial", "archives/partial"):
            (self._folder / name).mkdir(parents=True)
        (self._folder / "status").touch()
        (self._folder / "sources.list").write_text(
            f"deb [signed-by={key}] {main} {self._release} main\n"
            f"deb [signed-by={key}] {security} {self._release}-security main\n",
            encoding="utf-8",
        )
        return self._apt(["update"]).stderr

    def _newer_keyring(self) -> Path:
        """The keyring package of the machine's own release, checked with the keys it already trusts."""
        state = self._folder.with_name(f"{self._folder.name}-own")
        shutil.rmtree(state, ignore_errors=True)
        (state / "lists/partial").mkdir(parents=True)
        own = ["-qq", "-o", f"Dir::State::Lists={state}/lists", "-o", f"Dir::Cache={state}", "-o", "Debug::NoLocking=1"]
        own += ["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"]
        for action in (["update"], ["download", "debian-archive-keyring"]):
            done = subprocess.run(
                ["apt-get", *own, *action], cwd=state, check=False, capture_output=True, text=True, errors="replace"
            )
        if done.returncode:
            raise NoPackages(f"the archive keyring is too old and cannot be renewed: {_last_lines(done.stderr)}")
        unpack(next(state.glob("*.deb")), state / "root")
        for path in KEYRINGS:
            if (found := state / "root" / path.relative_to("/")).is_file():
                return found.resolve()
        raise NoPackages("the package debian-archive-keyring holds no keyring")

    def _apt(self, action: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        options = {
            "Dir::State": self._folder,
            "Dir::State::status": self._folder / "status",
            "Dir::Cache": self._folder,
            "Dir::Etc::SourceList": self._folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": str(_RETRIES),
        }
        flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        return subprocess.run(
            ["apt-get", "-qq", *flags, *action],
            cwd=cwd or self._folder,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env={**environ, "LC_ALL": "C"},
        )


def unpack(deb: Path, root: Path) -> None:
    """Unpack one package below `root`; nothing of it is run. NoPackages: the file is damaged."""
    done = subprocess.run(["dpkg-deb", "-x", deb, root], check=False, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise NoPackages(f"{deb.name}: {_last_lines(done.stderr)}")


def _last_lines(text: str, count: int = 4) -> str:
    return " | ".join(line.strip() for line in text.strip().splitlines()[-count:]) or "no message"

"""Where the servers' programs come from, and what is said when they cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simulators.embedded import apt, database, tree
from simulators.embedded.announce import silent
from simulators.embedded.errors import EmbeddedError, FolderClosed, NoDatabase, NoPackages
from simulators.embedded.unprivileged import account, require_reachable


def test_deb822_and_one_line_sources_name_the_mirror(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://no.example/debian x\ndeb [arch=amd64] http://a.example/debian trixie main\n"
    )
    (tmp_path / "sources.list.d/b.sources").write_text(
        "Types: deb\nURIs: https://sec.example/debian-security\nSuites: trixie-security\n"
    )
    uris = apt.configured_uris(tmp_path)
    assert uris == ["http://a.example/debian", "https://sec.example/debian-security"]
    assert apt.mirror_of(uris) == ("http://a.example/debian", "https://sec.example/debian-security")


def test_a_mirror_list_of_a_cloud_image_counts_with_its_first_entry(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "mirrors").write_text("https://cdn.example/debian\nhttps://other.example/debian\n")
    (tmp_path / "sources.list.d/debian.sources").write_text(f"Types: deb\nURIs: mirror+file://{tmp_path}/mirrors\n")
    assert apt.configured_uris(tmp_path) == ["https://cdn.example/debian"]


def test_security_updates_come_from_beside_the_mirror_unless_the_machine_says_otherwise() -> None:
    assert apt.mirror_of(["http://m.example/debian/"]) == (
        "http://m.example/debian",
        "http://m.example/debian-security",
    )


def test_a_machine_without_a_debian_mirror_is_told_the_setting() -> None:
    with pytest.raises(NoPackages, match="SUIFANG_DEBIAN_MIRROR"):
        apt.mirror_of(["http://archive.example/ubuntu"])


def test_a_chosen_mirror_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUIFANG_DEBIAN_MIRROR", "http://chosen.example/debian/")
    expected = ("http://chosen.example/debian", "http://chosen.example/debian-security")
    assert apt.mirror_of(["http://a.example/debian", "http://b.example/debian-security"]) == expected


def test_a_missing_keyring_is_said_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUIFANG_DEBIAN_KEYRING", "/no/such/keyring.gpg")
    with pytest.raises(NoPackages, match="debian-archive-keyring"):
        apt.keyring()


def test_an_unreachable_mirror_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUIFANG_DEBIAN_MIRROR", "http://127.0.0.1:9/debian")
    monkeypatch.setattr(apt, "_RETRIES", 0)
    with pytest.raises(NoPackages, match=r"127\.0\.0\.1:9"):
        apt.PrivateApt(tmp_path / "apt", "trixie", silent).fetch(["patchelf"])


def test_a_finished_tree_is_not_built_again_but_a_moved_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Path] = []
    monkeypatch.setattr(tree, "_build", lambda made, _state, _say: built.append(made.root))
    monkeypatch.setattr(tree, "require_reachable", lambda _path: None)
    tree.ensure(tmp_path / "one", silent)
    tree.ensure(tmp_path / "one", silent)
    assert built == [tmp_path / "one/tree"]
    (tmp_path / "one").rename(tmp_path / "two")
    tree.ensure(tmp_path / "two", silent)
    assert built == [tmp_path / "one/tree", tmp_path / "two/tree"]


def test_a_failed_build_leaves_no_finished_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise NoPackages("the mirror is away")

    monkeypatch.setattr(tree, "_build", fail)
    monkeypatch.setattr(tree, "require_reachable", lambda _path: None)
    with pytest.raises(NoPackages, match="away"):
        tree.ensure(tmp_path, silent)
    assert not (tmp_path / "tree.ok").exists()


def test_nothing_of_the_host_is_loaded() -> None:
    made = tree.ensure(announce=silent)
    tree._check(made, [made.mosquitto, made.programs.path("postgres"), made.programs.path("psql")])


def test_no_database_at_all_is_said_with_both_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise NoPackages("no apt")

    monkeypatch.setattr(database, "ensure", none)
    monkeypatch.setattr(database, "plain_available", lambda: False)
    with pytest.raises(NoDatabase, match=r"no apt.*DATABASE_URL.*plainpg"):
        database.choose_programs(silent)


def test_plain_postgresql_steps_in_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise EmbeddedError("no apt")

    monkeypatch.setattr(database, "ensure", none)
    said: list[str] = []
    assert not database.choose_programs(said.append).timescale
    assert "without hypertables" in said[0]


@pytest.mark.skipif(not account().changes, reason="only root's servers change their user; run as root to run this test")
def test_a_folder_the_servers_user_cannot_enter_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    closed.chmod(0o700)
    with pytest.raises(FolderClosed, match=r"is closed to .*SUIFANG_CACHE"):
        require_reachable(closed / "inner")


def test_nothing_but_the_standard_library_is_needed() -> None:
    root = Path(tree.__file__).parents[2]
    names = ", ".join(f"simulators.embedded.{path.stem}" for path in Path(tree.__file__).parent.glob("[a-z]*.py"))
    # -S: without the site-packages of this environment
    script = f"import sys; sys.path.insert(0, {str(root)!r}); import {names}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

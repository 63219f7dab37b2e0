"""How tests come by a browser and Java: on PATH, else the distribution's package, else a line on what to do."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from mlotel_stack import StackError
from mlotel_stack.distribution import CHROMIUM, JAVA

APT_GET = """#!/bin/sh
echo "$@" >> "{log}"
case "$1" in
  update) touch "{folder}/lists" ;;
  install) [ -e "{folder}/lists" ] || {{ echo "E: Unable to locate package chromium" >&2; exit 100; }}
           {install} ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH is one empty folder, which is returned, and whose user is root."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "touch", "chmod"):
        (folder / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("MLOTEL_STACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return folder


def program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def apt_get(folder: Path, install: str) -> Path:
    log = folder.parent / "asked"
    program(folder / "apt-get", APT_GET.format(log=log, folder=folder.parent, install=install))
    return log


@pytest.mark.parametrize("name", CHROMIUM.commands)
def test_a_browser_on_path_is_used(name: str, machine: Path) -> None:
    """By any name that distributions give it; nothing is installed then."""
    there = program(machine / name)
    assert CHROMIUM.ensure() == there
    assert CHROMIUM.lacking() == []


def test_without_one_root_installs_the_package(machine: Path) -> None:
    """With fresh package lists where they are missing, and without recommended packages."""
    log = apt_get(machine, f'touch "{machine}/chromium"; chmod 755 "{machine}/chromium"')
    said: list[str] = []

    assert CHROMIUM.lacking() == []
    assert CHROMIUM.ensure(said.append) == machine / "chromium"
    install = "install --yes --no-install-recommends chromium"
    assert log.read_text().splitlines() == [install, "update", install]
    assert len(said) == 1


def test_why_it_could_not_be_installed_is_told(machine: Path) -> None:
    """The message ends in apt-get's own last line."""
    apt_get(machine, 'echo "E: no space left" >&2; exit 100')
    with pytest.raises(StackError, match=r"failed: E: no space left$"):
        CHROMIUM.ensure(lambda _: None)


@pytest.mark.parametrize(("user", "has_apt"), [(1000, True), (0, False)])
def test_where_it_cannot_be_had_that_is_said(
    user: int, has_apt: bool, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is not root, or has no apt-get, is told to install one, in one line."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    if has_apt:
        apt_get(machine, "exit 0")
    (problem,) = CHROMIUM.lacking()
    assert problem == "no Chromium on PATH: install it, or run this as root on a system with apt-get"
    with pytest.raises(StackError, match=r"^no Chromium on PATH"):
        CHROMIUM.ensure()


@pytest.mark.parametrize(
    ("version", "fits"), [("17.0.19", True), ("21", True), ("11.0.2", False), ("1.8.0_402", False)]
)
def test_a_java_that_is_too_old_is_none(version: str, fits: bool, machine: Path) -> None:
    """Spark needs 17; Java tells its version on standard error."""
    program(machine / "java", f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-20' >&2\n")
    assert (JAVA.find() is not None) is fits

"""Where the embedded store is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlotel.store.location import find_store


def test_the_nearest_store_upwards(tmp_path: Path) -> None:
    """The nearest `.mlotel` folder above counts, as git finds its repository."""
    (tmp_path / ".mlotel").mkdir()
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (tmp_path / "a" / ".mlotel").mkdir()

    found = [find_store(folder, env={}) for folder in (tmp_path, tmp_path / "a", deep)]

    assert found == [tmp_path / ".mlotel", tmp_path / "a" / ".mlotel", tmp_path / "a" / ".mlotel"]


def test_none_yet(tmp_path: Path) -> None:
    """Without any, it is `.mlotel` where one stands; nothing is made. A file of that name is not a store."""
    (tmp_path / ".mlotel").write_text("")
    folder = tmp_path / "work"
    folder.mkdir()

    assert find_store(folder, env={}) == folder / ".mlotel"
    assert list(folder.iterdir()) == []


def test_the_variable_wins(tmp_path: Path) -> None:
    """MLOTEL_STORE is taken as it is, relative to where one stands, with `~` for the home folder."""
    (tmp_path / ".mlotel").mkdir()

    said = {value: find_store(tmp_path, env={"MLOTEL_STORE": value}) for value in ("/var/runs", "runs", "~/runs", "")}

    assert said == {
        "/var/runs": Path("/var/runs"),
        "runs": tmp_path / "runs",
        "~/runs": Path.home() / "runs",
        "": tmp_path / ".mlotel",
    }


@pytest.mark.parametrize("value", ["none", "off", "None", " OFF "])
def test_switched_off(tmp_path: Path, value: str) -> None:
    """`none` and `off` mean no store at all."""
    assert find_store(tmp_path, env={"MLOTEL_STORE": value}) is None


def test_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no start is said, the working directory is."""
    monkeypatch.chdir(tmp_path)

    assert find_store(env={}) == tmp_path / ".mlotel"


def test_a_working_directory_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose working directory was removed still gets an answer."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    found = find_store(env={})

    assert found is not None
    assert found.is_absolute()
    monkeypatch.chdir(tmp_path)

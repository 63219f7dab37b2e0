"""The locks in `requirements/` go with what `pyproject.toml` declares, and say nothing of where packages come from."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
NOT_AT_THEIR_LOWEST = {"pyspark"}  # its tests need Java, and run in the development environment alone
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def pins(lock: Path) -> dict[str, set[str]]:
    """The versions that a lock pins; a package has several where they differ by Python or platform."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"(?m)^([a-z0-9-]+)==([^\s;\\]+)", lock.read_text("utf-8")):
        found.setdefault(name, set()).add(version)
    return found


def lower_bounds() -> dict[str, str]:
    """Package → lowest version declared, for mlotel itself and its extras."""
    declared = list(chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()))
    split = (re.fullmatch(r"([a-z0-9-]+)>=([\d.]+)", line) for line in declared if not line.startswith("mlotel["))
    return {match[1]: match[2] for match in split if match}


def release(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in re.match(r"\d+(\.\d+)*", version)[0].split(".")]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def test_every_dependency_declares_a_lower_bound_and_no_upper_one() -> None:
    """Each line reads NAME>=VERSION, so that mlotel installs beside what its users have."""
    names = {re.match(r"[a-z0-9-]+", line)[0] for line in PROJECT["dependencies"]}
    assert names <= set(lower_bounds())


def test_the_lowest_lock_pins_the_lower_bounds() -> None:
    """What `make test-lowest` runs on is what pyproject.toml declares, for the oldest Python."""
    pinned = pins(ROOT / "requirements/lowest.lock")
    declared = {name: release(version) for name, version in lower_bounds().items() if name not in NOT_AT_THEIR_LOWEST}
    assert {name: min(map(release, pinned[name])) for name in declared} == declared


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_has_every_dependency(lock: Path) -> None:
    """A lock was made after the last dependency was added."""
    names = {re.match(r"[a-z0-9-]+", line)[0] for line in PROJECT["dependencies"]}
    assert names <= set(pins(lock))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_index(lock: Path) -> None:
    """A lock works with whatever index an installer is set up for."""
    text = lock.read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"(?m)^\s*--(?!hash=)", text)

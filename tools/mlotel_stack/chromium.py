"""A Chromium for the tests that look at pages: on PATH, else installed from the distribution."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from mlotel_stack.errors import StackError
from mlotel_stack.programs import cache_dir

__all__ = ["COMMANDS", "ensure", "find", "lacking"]

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PACKAGE = "chromium"


def find() -> Path | None:
    """Return the Chromium on PATH, or None."""
    return next((Path(path) for path in map(shutil.which, COMMANDS) if path), None)


def lacking() -> list[str]:
    """Return what stands in the way of having one; nothing where there is one or it can be installed."""
    if find() is not None or (os.geteuid() == 0 and shutil.which("apt-get")):
        return []
    return [f"no {_PACKAGE} on PATH: install it, or run this as root on a system with apt-get"]


def ensure(say: Callable[[str], None] = print) -> Path:
    """Return a Chromium, installing the distribution's package where there is none and root asks.

    Unlike Prometheus it is not unpacked into the cache: it needs dozens of libraries where they are installed.

    Args:
        say: takes each line of progress.

    Raises:
        StackError: there is none, and it cannot be installed.
    """
    if (found := find()) is not None:
        return found
    if problems := lacking():
        raise StackError("; ".join(problems))
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # apt-get does not wait for another one at work
        if (found := find()) is None:
            say("Chromium: installing Debian's package (about 100 MB)")
            install = ["apt-get", "install", "--yes", "--no-install-recommends", _PACKAGE]
            if _failure(install):  # the package lists are missing or old
                _failure(["apt-get", "update"])
                if failure := _failure(install):
                    raise StackError(f"`{' '.join(install)}` failed: {failure}")
            found = find()
    if found is None:
        raise StackError(f"the package {_PACKAGE} was installed, but PATH has no {' or '.join(COMMANDS)}")
    return found


def _failure(command: list[str]) -> str:
    """Run a command and return the last line that it wrote if it failed, or nothing."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environ)
    if done.returncode == 0:
        return ""
    return ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1]

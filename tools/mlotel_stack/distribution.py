"""Programs that tests need and that the distribution has: on PATH, else its package is installed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlotel_stack.errors import StackError
from mlotel_stack.programs import cache_dir

__all__ = ["ALL", "CHROMIUM", "JAVA", "Program"]


def _runs(path: Path) -> bool:
    return True


def _is_new_enough(java: Path) -> bool:
    """Whether a Java is one that Spark runs on."""
    done = subprocess.run([java, "-version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r'version "(\d+)', done.stderr)
    return done.returncode == 0 and found is not None and int(found[1]) >= 17


@dataclass(frozen=True)
class Program:
    """A program, and the package that it comes in.

    Attributes:
        title: what it is, for people.
        package: Debian's package.
        commands: the names that it may have on PATH.
        fits: whether one on PATH will do.
    """

    title: str
    package: str
    commands: tuple[str, ...]
    fits: Callable[[Path], bool] = _runs

    def find(self) -> Path | None:
        """Return the one on PATH, or None."""
        found = (Path(path) for path in map(shutil.which, self.commands) if path)
        return next((path for path in found if self.fits(path)), None)

    def lacking(self) -> list[str]:
        """Return what stands in the way of having it; nothing where it is there or can be installed."""
        if self.find() is not None or (os.geteuid() == 0 and shutil.which("apt-get")):
            return []
        return [f"no {self.title} on PATH: install it, or run this as root on a system with apt-get"]

    def ensure(self, say: Callable[[str], None] = print) -> Path:
        """Return it, installing the distribution's package where there is none and root asks.

        Unlike Prometheus it is not unpacked into the cache: it needs many libraries where they are installed.

        Args:
            say: takes each line of progress.

        Raises:
            StackError: there is none, and it cannot be installed.
        """
        if (found := self.find()) is not None:
            return found
        if problems := self.lacking():
            raise StackError("; ".join(problems))
        cache = cache_dir()
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "packages.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # apt-get does not wait for another one at work
            if (found := self.find()) is None:
                say(f"{self.title}: installing Debian's package {self.package} (about 100 MB)")
                install = ["apt-get", "install", "--yes", "--no-install-recommends", self.package]
                if _failure(install):  # the package lists are missing or old
                    _failure(["apt-get", "update"])
                    if failure := _failure(install):
                        raise StackError(f"`{' '.join(install)}` failed: {failure}")
                found = self.find()
        if found is None:
            raise StackError(f"{self.package} was installed, but PATH has no {' or '.join(self.commands)} that will do")
        return found


CHROMIUM = Program("Chromium", "chromium", ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
JAVA = Program("Java 17 or newer", "openjdk-17-jre-headless", ("java",), _is_new_enough)
ALL = (CHROMIUM, JAVA)


def _failure(command: list[str]) -> str:
    """Run a command and return the last line that it wrote if it failed, or nothing."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environ)
    if done.returncode == 0:
        return ""
    return ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1]

"""What a process can say of itself: the commit it runs, its packages, its code, its identity and its use of resources.

Everything is found once per process, when the first run asks; nothing is found at import.
"""

from __future__ import annotations

import linecache
import os
import platform
import re
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import blake3
from msgspec import Struct

from mlotel import uris

__all__ = [
    "Git",
    "ProcessIdentity",
    "children_usage",
    "code_digest",
    "cpu_time_ns",
    "environment_digest",
    "git",
    "identity",
    "usage",
]

try:
    import resource
except ImportError:  # POSIX only
    resource = None  # type: ignore[assignment]

_GIT_SECONDS = 1.0
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


class Git(Struct, frozen=True):
    """The state of the repository that the code lies in; None where git did not say so within a second."""

    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    repository: str | None = None


class ProcessIdentity(Struct, frozen=True):
    """What tells this process from every other one, on this host and since its boot.

    `start_ticks` counts from the boot, and so does not move when the clock is set, as `created` does.
    """

    pid: int
    created: str | None
    start_ticks: int | None
    boot_id: str | None
    pid_namespace: str | None
    host: str


@lru_cache(maxsize=1)
def git() -> Git:
    """Return the state of the repository of the main script, or else of the working directory.

    A program that is installed (pytest, an orchestrator's worker) is no script of the user's, whatever repository its
    environment lies in. Nothing is written and no program of the repository's configuration is run (``core.fsmonitor``
    may name one). Waits for one second at most, once per process.
    """
    folder = _repository(_code_folders())
    if folder is None:
        return Git()
    commit, branch, status, remote = _ask_git(
        folder,
        ("rev-parse", "--verify", "HEAD"),
        ("symbolic-ref", "--short", "-q", "HEAD"),
        ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=all"),
        ("config", "--get", "remote.origin.url"),
    )
    repository = None if not remote else _remote(remote)
    return Git(commit or None, branch or None, None if status is None else bool(status), repository)


def _code_folders() -> Iterable[Path]:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if main and not _is_installed(folder := Path(os.path.abspath(main)).parent):
        yield folder
    try:
        yield Path.cwd()
    except OSError:  # the working directory was removed
        return


def _is_installed(folder: Path) -> bool:
    paths = sysconfig.get_paths()
    if folder == Path(paths["scripts"]):
        return True
    return any(folder.is_relative_to(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _repository(folders: Iterable[Path]) -> Path | None:
    for folder in folders:
        for candidate in (folder, *folder.parents):
            if (candidate / ".git").exists():
                return folder
    return None


def _ask_git(folder: Path, *questions: tuple[str, ...]) -> list[str | None]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment.update(GIT_OPTIONAL_LOCKS="0", GIT_TERMINAL_PROMPT="0", LC_ALL="C")
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-C", str(folder)]
    deadline = time.monotonic() + _GIT_SECONDS
    processes: list[subprocess.Popen[bytes]] = []
    answers: list[str | None] = []
    try:
        for question in questions:  # all at once: together they take as long as the slowest
            processes.append(
                subprocess.Popen(
                    [*command, *question],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                )
            )
        for process in processes:
            answers.append(_answer(process, deadline))
    except OSError:  # no git
        pass
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                # reaped by a thread: even a killed process may take its time on a hanging file system
                threading.Thread(target=process.wait, daemon=True).start()
            if process.stdout is not None:
                process.stdout.close()
    return answers + [None] * (len(questions) - len(answers))


def _answer(process: subprocess.Popen[bytes], deadline: float) -> str | None:
    try:
        output, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    if process.returncode == 0:
        return output.decode("utf-8", "replace").strip()
    return "" if process.returncode == 1 else None  # 1: no such setting, no branch (detached)


def _remote(url: str) -> str:
    scp = re.fullmatch(r"(?:[^@/:]+@)?([^/:]+\.[^/:]+|localhost):(?!//)(.+)", url)  # git@host:owner/name
    return f"ssh://{scp[1]}/{scp[2]}" if scp else uris.clean(url)


@lru_cache(maxsize=1)
def environment_digest() -> str:
    """Return a digest of the Python version and of every installed distribution's name and version.

    Names and versions are taken from the metadata folders' names, without opening any: a thousand take a millisecond.
    """
    found: set[str] = set()
    for folder in dict.fromkeys(sys.path):
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            stem, _, suffix = name.rpartition(".")
            if suffix in ("dist-info", "egg-info"):
                project, _, version = stem.partition("-")
                found.add(f"{re.sub(r'[-_.]+', '-', project).lower()}=={version}")
    lines = [f"python=={platform.python_version()}", *sorted(found)]
    return _digest("\n".join(lines).encode())


@lru_cache(maxsize=256)
def code_digest(filename: str) -> str | None:
    """Return the digest of a source file's text (a notebook's cell included), or None where there is no source."""
    lines = linecache.getlines(filename)
    return _digest("".join(lines).encode("utf-8", "surrogatepass")) if lines else None


def identity() -> ProcessIdentity:
    """Return this process's identity; found anew in a forked child."""
    return _identity(os.getpid())


@lru_cache(maxsize=1)
def _identity(pid: int) -> ProcessIdentity:
    ticks = _start_ticks()
    return ProcessIdentity(
        pid=pid,
        created=_created(ticks),
        start_ticks=ticks,
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        pid_namespace=_readlink("/proc/self/ns/pid"),
        host=platform.node(),
    )


def _start_ticks() -> int | None:
    # field 22 of stat is the start in clock ticks since boot; the name in field 2 may hold spaces and parentheses
    stat = _read("/proc/self/stat")
    return None if stat is None else int(stat.rpartition(")")[2].split()[19])


def _created(ticks: int | None) -> str | None:
    boot = _read("/proc/stat")
    match = None if boot is None else re.search(r"^btime (\d+)$", boot, re.MULTILINE)
    if ticks is None or match is None:
        return None
    milliseconds = int(match[1]) * 1000 + ticks * 1000 // os.sysconf("SC_CLK_TCK")
    seconds, rest = divmod(milliseconds, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:03d}Z"


def cpu_time_ns() -> int:
    """Return the CPU time of this process so far, all threads, user and system, in nanoseconds."""
    return time.process_time_ns()


def usage() -> tuple[int, int | None]:
    """Return the CPU time of this process so far in nanoseconds, and the high-water mark of its resident memory.

    The latter is in bytes; None where the system does not tell.
    """
    if resource is None:
        return time.process_time_ns(), None
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int((used.ru_utime + used.ru_stime) * 1e9), used.ru_maxrss * _MAXRSS_BYTES


def children_usage() -> tuple[float, int] | tuple[None, None]:
    """Return the CPU time in seconds of this process's ended children, and the largest one's peak memory in bytes."""
    if resource is None:
        return None, None
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * _MAXRSS_BYTES


def _digest(data: bytes) -> str:
    return f"blake3:{blake3.blake3(data).hexdigest()}"


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return None


def _readlink(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None

"""Processes that are recognised again: started apart from the terminal, ended only when they are the same ones."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_PARENT_DIES = ("--pdeathsig", "KILL")
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def start(
    command: Sequence[str], environ: Mapping[str, str], folder: Path, log: Path, die_with_parent: bool = False
) -> int:
    """Start `command` in a session of its own, its output appended to `log`, and return its pid.

    Args:
        command: program and arguments.
        environ: the whole environment.
        folder: working directory.
        log: file that stdout and stderr go to.
        die_with_parent: let the kernel end it when this process dies (Linux with util-linux's setpriv).
    """
    setpriv = shutil.which("setpriv") if die_with_parent else None
    wrapped = [setpriv, *_PARENT_DIES, *command] if setpriv else list(command)
    with log.open("ab") as out:
        process = subprocess.Popen(
            wrapped, env=dict(environ), cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    # This module waits for processes by pid, as it also ends some that an earlier command started.
    process.returncode = 0
    return process.pid


def identity(pid: int) -> str | None:
    """Return what tells this process from a later one of the same pid (its start time), or None when it is gone."""
    _reap(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _identity_by_ps(pid)
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    if fields[0] in "ZX":
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{fields[19]}"


def end(pid: int, known_as: str, number: int = signal.SIGTERM, patience: float = 15.0) -> None:
    """Signal the process if it is still the one `known_as`, and return once it is gone.

    Args:
        pid: process id.
        known_as: its `identity` when it was started; a process of another identity is left alone.
        number: first signal.
        patience: seconds until SIGKILL follows.
    """
    deadline = time.monotonic() + patience
    while identity(pid) == known_as:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        while identity(pid) == known_as and time.monotonic() < deadline:
            time.sleep(0.02)
        if time.monotonic() >= deadline:
            number, deadline = signal.SIGKILL, time.monotonic() + patience


def free_port(taken: set[int]) -> int:
    """Return a loopback port that nothing listens on, and add it to `taken`.

    It lies below the range that the kernel takes ports of outgoing connections from, so that a service which is
    stopped for a while finds its port free again.
    """
    try:
        below = int(_EPHEMERAL.read_text(encoding="ascii").split()[0])
    except OSError:
        below = 32768
    low = 20000 if below > 22000 else 1024
    for _ in range(1000):
        port = random.randrange(low, below)
        if port in taken:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken.add(port)
        return port
    raise OSError(f"no free port between {low} and {below}")


def _reap(pid: int) -> None:
    # A child that ended stays in the process table until its parent asks for its status.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _identity_by_ps(pid: int) -> str | None:
    if Path("/proc/self/stat").exists():
        return None
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return answer.stdout.strip() or None

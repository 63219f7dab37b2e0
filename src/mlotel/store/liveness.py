"""Whether a run that has a start and no end is still running, or was lost with its process."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mlotel import provenance
from mlotel.semconv import attributes as A

__all__ = ["HEARTBEATS_MISSED_NS", "is_alive", "state_of_open_run"]

# Three heartbeats of 30 s.
HEARTBEATS_MISSED_NS = 90 * 10**9
# The start time counts from the boot time, which moves by a second when the clock is set.
_CREATION_TOLERANCE_S = 2.0


def state_of_open_run(
    start: Mapping[str, Any], last_seen_ns: int, now_ns: int, me: provenance.ProcessIdentity | None = None
) -> str:
    """``running`` or ``lost`` for a run that has not ended.

    On this host, boot and process id namespace the process itself is looked for. After a reboot of this host the run is
    lost. From anywhere else it is running until three heartbeats are missed.

    Args:
        start: attributes of the run's start record.
        last_seen_ns: time of the latest heartbeat or else of the start, nanoseconds since the epoch.
        now_ns: the present time, nanoseconds since the epoch.
        me: identity of the process that asks.
    """
    me = provenance.identity() if me is None else me
    boot, namespace = start.get(A.MLOTEL_PROCESS_BOOT_ID), start.get(A.MLOTEL_PROCESS_PID_NAMESPACE)
    pid = start.get(A.PROCESS_PID)
    if boot and isinstance(pid, int) and start.get(A.HOST_NAME) == me.host and namespace == me.pid_namespace:
        if boot != me.boot_id:
            return "lost"
        ticks, created = start.get(A.MLOTEL_PROCESS_START_TICKS), start.get(A.PROCESS_CREATION_TIME)
        return "running" if is_alive(pid, created, ticks) else "lost"
    return "running" if now_ns - last_seen_ns < HEARTBEATS_MISSED_NS else "lost"


def is_alive(pid: int, created: object = None, start_ticks: object = None) -> bool:
    """Whether process `pid` exists here, and is the one meant, as far as its beginning is known.

    Args:
        pid: its number, which another process may have got since.
        created: when it was created (RFC 3339); derived from the boot time, which moves when the clock is set.
        start_ticks: the same in clock ticks since the boot, which does not; it decides where it is known.
    """
    if pid <= 0:
        return False
    stat = _stat(pid)
    if stat is None:
        return _answers(pid)
    state, ticks, seconds = stat
    if state in ("Z", "X"):  # dead, only its parent has not asked yet
        return False
    if isinstance(start_ticks, int):
        return ticks == start_ticks
    expected = _seconds(created)
    return expected is None or seconds is None or abs(seconds - expected) <= _CREATION_TOLERANCE_S


def _answers(pid: int) -> bool:
    if os.name != "posix":
        return True  # signal 0 would end the process there: the heartbeats must tell
    if os.path.exists("/proc/self/stat"):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process
        return True
    return True


def _stat(pid: int) -> tuple[str, int, float | None] | None:
    """State letter, start in ticks since the boot and in seconds since the epoch; None where there is no /proc."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        with open("/proc/stat", encoding="utf-8", errors="replace") as file:
            boot = re.search(r"^btime (\d+)$", file.read(), re.MULTILINE)
        created = None if boot is None else int(boot[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return fields[0], int(fields[19]), created
    except (OSError, IndexError, ValueError):
        return None


def _seconds(time: object) -> float | None:
    if not isinstance(time, str):
        return None
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return None

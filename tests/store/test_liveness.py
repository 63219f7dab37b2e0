"""Telling a run that is still going from one that was lost with its process."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from mlotel import provenance
from mlotel.semconv import attributes as A
from mlotel.store.liveness import is_alive, state_of_open_run

SECOND = 10**9


def test_this_process_is_alive() -> None:
    """The identity that a process gives itself is recognised."""
    me = provenance.identity()

    assert is_alive(me.pid, me.created)
    assert is_alive(me.pid)


def test_another_process_of_the_same_number_is_not_meant() -> None:
    """A process id that came back to another process, created at another time, is told apart."""
    created = datetime.fromisoformat(provenance.identity().created or "")

    assert not is_alive(os.getpid(), (created - timedelta(minutes=1)).isoformat())
    assert is_alive(os.getpid(), (created + timedelta(seconds=1)).isoformat())
    assert is_alive(os.getpid(), created.astimezone(UTC).isoformat().replace("+00:00", "Z"))
    assert is_alive(os.getpid(), "not a time")


def test_a_clock_that_was_set_makes_no_run_lost() -> None:
    """The ticks since the boot decide, whatever the clock made of the creation time."""
    me = provenance.identity()
    moved = (datetime.fromisoformat(me.created or "") + timedelta(minutes=1)).isoformat()

    assert me.start_ticks is not None
    assert is_alive(me.pid, moved, me.start_ticks)
    assert not is_alive(me.pid, me.created, me.start_ticks + 1)


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_numbers_that_are_no_process(pid: int) -> None:
    """Numbers that no process has are not alive; 0 and -1, which address groups of processes, are not asked."""
    assert not is_alive(pid)


def test_a_process_that_nobody_waited_for_is_dead() -> None:
    """A zombie runs no component any more."""
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # the end of the output comes with the end of the process
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert not is_alive(process.pid)
    process.stdout.close()
    process.wait()


ME = provenance.ProcessIdentity(
    pid=1, created=None, start_ticks=None, boot_id="boot", pid_namespace="pid:[1]", host="host"
)


def said(me: provenance.ProcessIdentity, pid: int) -> dict[str, object]:
    return {
        A.HOST_NAME: me.host,
        A.MLOTEL_PROCESS_BOOT_ID: me.boot_id,
        A.MLOTEL_PROCESS_PID_NAMESPACE: me.pid_namespace,
        A.PROCESS_PID: pid,
    }


@pytest.mark.parametrize(
    ("writer", "fresh", "stale"),
    [
        (ME, "lost", "lost"),
        (replace(ME, boot_id="earlier"), "lost", "lost"),
        (replace(ME, host="other"), "running", "lost"),
        (replace(ME, pid_namespace="pid:[2]"), "running", "lost"),
        (replace(ME, pid_namespace="pid:[2]", boot_id="earlier"), "running", "lost"),
        (replace(ME, boot_id=None), "running", "lost"),
    ],
    ids=["same, process gone", "rebooted", "another host", "a container", "a container elsewhere", "unknown"],
)
def test_who_is_believed(writer: provenance.ProcessIdentity, fresh: str, stale: str) -> None:
    """The process decides where its number means the same; elsewhere a heartbeat within 90 s does."""
    start = said(writer, 2**22 + 1)

    assert state_of_open_run(start, 0, 89 * SECOND, ME) == fresh
    assert state_of_open_run(start, 0, 90 * SECOND, ME) == stale

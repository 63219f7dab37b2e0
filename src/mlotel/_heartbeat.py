"""A sign of life from each open run every 30 seconds, by one daemon thread a process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from mlotel._runtime import guard
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["SECONDS", "add", "beat", "remove"]

SECONDS = 30.0

# Open runs by their object's id: single dict operations need no lock, which a fork might find held
_open: dict[int, ActiveRun] = {}
_thread: threading.Thread | None = None
_pid = 0


def add(run: ActiveRun) -> None:
    """Let `run` be told alive until it is removed."""
    global _open, _thread, _pid
    if _pid != os.getpid():
        # a forked child has neither the thread nor the runs of its parent
        _pid, _open = os.getpid(), {}
        _thread = threading.Thread(target=_loop, args=(_open,), name="mlotel-heartbeat", daemon=True)
        _open[id(run)] = run
        _thread.start()
    else:
        _open[id(run)] = run


def remove(run: ActiveRun) -> None:
    """Stop telling that `run` is alive."""
    _open.pop(id(run), None)


def beat() -> None:
    """Emit one heartbeat for each open run."""
    for run in list(_open.values()):
        try:
            run._runtime.events.emit(
                E.MLOTEL_RUN_HEARTBEAT,
                time_ns=run._now(),
                context=run.span.get_span_context(),
                attributes={A.MLOTEL_RUN_ID: run.run_id},
            )
        except Exception as error:
            guard("heartbeat", error)


def _loop(mine: dict[int, ActiveRun]) -> None:
    stop = threading.Event()
    while mine is _open:
        stop.wait(SECONDS)
        beat()

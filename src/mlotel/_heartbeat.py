"""A sign of life from each open run every 30 seconds, by one daemon thread a process."""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING

from mlotel._forks import Lock
from mlotel._runtime import guard
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["SECONDS", "add", "beat", "remove"]

SECONDS = 30.0
_STANDS_ASIDE_S = 5.0

# Open runs by their object's id: single dict operations need no lock, which a fork might find held
_open: dict[int, ActiveRun] = {}
_starting = Lock()
_thread: threading.Thread | None = None
_stop = threading.Event()


def add(run: ActiveRun) -> None:
    """Let `run` be told alive until it is removed."""
    _open[id(run)] = run
    if _thread is None:
        _start()


def remove(run: ActiveRun) -> None:
    """Stop telling that `run` is alive."""
    _open.pop(id(run), None)


def beat() -> None:
    """Emit one heartbeat for each open run."""
    for run in list(_open.values()):
        try:
            # The wall clock's time, not the run's: that one stands still while the machine sleeps, and who asks
            # whether the run is alive compares with a clock that was perhaps set since the run began.
            run._runtime.events.emit(
                E.MLOTEL_RUN_HEARTBEAT,
                time_ns=run._runtime.clock.time_ns(),
                context=run.span.get_span_context(),
                attributes={A.MLOTEL_RUN_ID: run.run_id},
            )
        except Exception as error:
            guard("heartbeat", error)


def _start() -> None:
    global _thread, _stop
    _register()
    with _starting:
        if _thread is not None:
            return
        stop = threading.Event()
        thread = threading.Thread(target=_loop, args=(stop,), name="mlotel-heartbeat", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter is ending, or there are as many threads as are allowed
            guard("runs tell no sign of life", error)
            return
        _thread, _stop = thread, stop


def _loop(stop: threading.Event) -> None:
    while not stop.wait(SECONDS):
        beat()


@functools.cache
def _register() -> None:
    # A fork copies the forking thread alone. This one stands aside meanwhile: it then holds no lock that the child
    # would wait for, and Python (3.12) does not warn of a thread that its user never started.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_pause, after_in_parent=_resume, after_in_child=_begin_anew)


def _pause() -> None:
    global _thread
    thread = _thread
    if thread is not None and thread is not threading.current_thread():
        _stop.set()
        # Not for ever: it may be waiting for a lock (of a log handler, say) that the thread that forks holds.
        thread.join(_STANDS_ASIDE_S)
        _thread = None


def _resume() -> None:
    if _open and _thread is None:
        _start()


def _begin_anew() -> None:
    global _thread
    _thread = None  # another thread of the parent's may have started one since
    _open.clear()  # they are the parent's, which tells that they are alive

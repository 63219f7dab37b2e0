"""A sign of life from each open run every 30 seconds, by one daemon thread a process."""

from __future__ import annotations

import functools
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
            run._runtime.events.emit(
                E.MLOTEL_RUN_HEARTBEAT,
                time_ns=run._now(),
                context=run.span.get_span_context(),
                attributes={A.MLOTEL_RUN_ID: run.run_id},
            )
        except Exception as error:
            guard("heartbeat", error)


def _start() -> None:
    global _thread, _stop
    _register()
    _stop = threading.Event()
    _thread = threading.Thread(target=_loop, args=(_stop,), name="mlotel-heartbeat", daemon=True)
    _thread.start()


def _loop(stop: threading.Event) -> None:
    while not stop.wait(SECONDS):
        beat()


@functools.cache
def _register() -> None:
    # A fork copies the forking thread alone. This one stands aside meanwhile: it then holds no lock that the child
    # would wait for, and Python (3.12) does not warn of a thread that its user never started.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_pause, after_in_parent=_resume, after_in_child=_open.clear)


def _pause() -> None:
    global _thread
    if _thread is not None:
        _stop.set()
        _thread.join()
        _thread = None


def _resume() -> None:
    if _open and _thread is None:
        _start()

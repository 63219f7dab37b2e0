"""What a forked child has to make anew: locks that another thread of its parent held, connections, numbers.

A fork copies one thread. What the others held stays held in the child for ever, so that whoever owns a lock over which
a child may come replaces it there. Others cannot be replaced: Python's of modules that are being imported, and SQLite's
own. A fork waits for those.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

__all__ = ["Lock", "SteadyLock", "after_in_child", "no_fork_meanwhile"]

_WAITS_S = 5.0

_methods: dict[int, tuple[weakref.ref[Any], Any]] = {}


def after_in_child(method: Callable[[], None]) -> None:
    """Call a bound method in each child that is forked while its object lives; in the order of these calls.

    Python can take no registration back and would keep the object alive, so there is one of this module's for all.
    """
    assert isinstance(method, MethodType)
    _register()
    reference = weakref.ref(method.__self__, _drop)
    _methods[id(reference)] = reference, method.__func__


class Lock:
    """A reentrant lock that is free in a forked child, whoever held it in the parent."""

    __slots__ = ("__weakref__", "_lock", "_registered")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._registered = False

    def _renew(self) -> None:
        if self._lock.acquire(blocking=False):  # free, or held by the thread that forked, which will let go of it
            self._lock.release()
        else:
            self._lock = threading.RLock()

    def __enter__(self) -> None:
        if not self._registered:  # not before it is used: modules make some when they are imported
            self._registered = True
            after_in_child(self._renew)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Gate:
    """Lets threads be busy side by side, or one of them fork while no other one is."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy: dict[int, int] = {}
        self._forking = 0

    def enter(self) -> None:
        me = threading.get_ident()
        with self._changed:
            depth = self._busy.get(me, 0)
            if not depth:
                self._changed.wait_for(lambda: not self._forking, _WAITS_S)
            self._busy[me] = depth + 1

    def leave(self) -> None:
        me = threading.get_ident()
        with self._changed:
            self._busy[me] -= 1
            if not self._busy[me]:
                del self._busy[me]
                self._changed.notify_all()

    def before(self) -> None:
        me = threading.get_ident()
        with self._changed:
            self._forking += 1
            # not for ever: whoever is busy may be waiting for something that the thread which forks holds
            self._changed.wait_for(lambda: not self._busy.keys() - {me}, _WAITS_S)

    def after_in_parent(self) -> None:
        with self._changed:
            self._forking -= 1
            self._changed.notify_all()

    def after_in_child(self) -> None:
        me = threading.get_ident()
        self._changed = threading.Condition()
        self._busy = {me: self._busy[me]} if me in self._busy else {}
        self._forking = 0


_gate = _Gate()


@contextmanager
def no_fork_meanwhile() -> Iterator[None]:
    """Let forks of other threads wait until the block is left, for five seconds at most.

    For what holds locks that nobody can replace in the child: Python's while modules are imported, SQLite's own.
    """
    _register()
    _gate.enter()
    try:
        yield
    finally:
        _gate.leave()


class SteadyLock(Lock):
    """A lock whose holder no other thread's fork interrupts, nor those who wait for it."""

    __slots__ = ()

    def __enter__(self) -> None:
        _gate.enter()
        try:
            super().__enter__()
        except BaseException:
            _gate.leave()
            raise

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        _gate.leave()


@functools.cache
def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_gate.before, after_in_parent=_gate.after_in_parent, after_in_child=_after_in_child)
        _gate.enter()
        try:
            # The SDK loads it. Loaded while a fork waits, its hook would be called after that fork and not before it.
            import concurrent.futures.thread  # noqa: F401
        finally:
            _gate.leave()


def _after_in_child() -> None:
    _gate.after_in_child()
    for reference, function in list(_methods.values()):
        owner = reference()
        try:
            if owner is not None:
                function(owner)
        except Exception as error:  # the other ones matter more
            import logging  # `import mlotel` does without

            logging.getLogger("mlotel").debug("mlotel: after a fork", exc_info=error)


# what it needs is bound here: objects go when the interpreter ends, too, and this module's names before them
def _drop(reference: weakref.ref[Any], forget: Callable[..., Any] = _methods.pop, number: Any = id) -> None:
    forget(number(reference), None)

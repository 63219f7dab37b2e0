"""What a forked child has to make anew: locks that another thread of its parent held, connections, numbers.

A fork copies one thread. What the others held stays held in the child for ever, so that whoever owns a lock over which
a child may come replaces it there.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable
from weakref import WeakMethod

__all__ = ["Lock", "after_in_child"]

logger = logging.getLogger("mlotel")

_methods: list[WeakMethod[Callable[[], None]]] = []


def after_in_child(method: Callable[[], None]) -> None:
    """Call a bound method in each child that is forked while its object lives; in the order of these calls.

    Python can take no registration back and would keep the object alive, so there is one of this module's for all.
    """
    _register()
    _methods.append(WeakMethod(method, _methods.remove))


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


@functools.cache
def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_run)


def _run() -> None:
    for reference in list(_methods):
        method = reference()
        try:
            if method is not None:
                method()
        except Exception as error:  # the other ones matter more
            logger.debug("mlotel: after a fork", exc_info=error)

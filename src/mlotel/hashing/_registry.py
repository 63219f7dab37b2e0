"""Fingerprint functions for types that mlotel does not know: registered by hand, or found as entry points."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mlotel._forks import Lock
from mlotel._log import logger
from mlotel.model import Fingerprint

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from typing_extensions import Buffer

__all__ = ["ENTRY_POINT_GROUP", "FingerprintFunction", "FingerprintRegistry"]

ENTRY_POINT_GROUP = "mlotel.fingerprints"
FingerprintFunction = Callable[[Any], "Fingerprint | Buffer"]
"""Takes the object; returns its content as bytes that are the same in every process, or a whole Fingerprint."""


def _installed() -> Iterable[EntryPoint]:
    # Imported late: it costs more than all of this package.
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINT_GROUP)


class FingerprintRegistry:
    """Finds the function for an object's class or the nearest of its base classes, as `functools.singledispatch` does.

    Entry points of the group ``mlotel.fingerprints`` are named ``package:Class`` after the class they are for, where
    ``package`` is the class's module or any package above it (``xgboost:Booster`` stands for `xgboost.core.Booster`).
    Their names are read once, when the first object of an unknown class comes; each is loaded when it is needed.

    Args:
        discover: yields the entry points.
    """

    def __init__(self, discover: Callable[[], Iterable[EntryPoint]] = _installed) -> None:
        self._functions: dict[type, FingerprintFunction] = {}
        self._discover = discover
        self._found: dict[str, EntryPoint] | None = None
        self._lock = Lock()

    def register(self, type_: type, function: FingerprintFunction) -> None:
        """Use `function` for objects of `type_` and of its subclasses, from now on and instead of any other way."""
        if not isinstance(type_, type) or not callable(function):
            raise TypeError("register(type, function) takes a class and a function of one object")
        with self._lock:
            self._functions[type_] = function

    def registered(self, cls: type) -> FingerprintFunction | None:
        """Return the function registered for `cls` or its nearest base class; entry points are not asked."""
        if not self._functions:
            return None
        for base in cls.__mro__:
            function = self._functions.get(base)
            if function is not None:
                return function
        return None

    def find(self, cls: type) -> FingerprintFunction | None:
        """Return the function for `cls`: a registered one, else an installed package's."""
        function = self.registered(cls)
        if function is not None:
            return function
        with self._lock:
            if self._found is None:
                self._found = {point.name: point for point in self._discover()}
            found = self._found
        if not found:
            return None
        for base in cls.__mro__:
            for name in _names(base):
                point = found.get(name)
                if point is not None:
                    return self._loaded(base, point)
        return None

    def _loaded(self, base: type, point: EntryPoint) -> FingerprintFunction | None:
        try:
            function: FingerprintFunction = point.load()
        except Exception:
            # Somebody else's package is broken: say it once, go on without it.
            logger.warning("the fingerprint entry point %r cannot be loaded", point.name, exc_info=True)
            with self._lock:
                if self._found is not None:
                    self._found.pop(point.name, None)
            return None
        self.register(base, function)
        return function


def _names(cls: type) -> Iterable[str]:
    module = cls.__module__
    while module:
        yield f"{module}:{cls.__qualname__}"
        module = module.rpartition(".")[0]

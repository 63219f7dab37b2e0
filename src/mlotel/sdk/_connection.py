"""The connection of a process to its collector, which a forked child does not share."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from mlotel._forks import after_in_child

__all__ = ["Connection"]

# What the HTTP client loads with its first request. By then it is the exporter's thread that does so, and a child that
# is forked meanwhile would wait for ever for the lock of a module.
_LOADED_LATE = ("encodings.idna", "netrc")


class Connection:
    """An official exporter that is made anew in a forked child.

    The exporters keep their connections open. Parent and child would write their requests into the same one, and each
    read the answers to the other's.

    Args:
        make: Makes the exporter.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._exporter: Any = make()
        for name in _LOADED_LATE:
            importlib.import_module(name)
        after_in_child(self._leave)

    def export(self, batch: Any) -> Any:
        """Send a batch; return what the exporter says of it."""
        exporter = self._exporter
        if exporter is None:
            exporter = self._exporter = self._make()
        return exporter.export(batch)

    def shutdown(self) -> None:
        """End the connection of this process; the exporter takes nothing any more."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def _leave(self) -> None:
        # Not closed: gRPC's channels would wait for threads that there are none of in the child.
        self._exporter = None

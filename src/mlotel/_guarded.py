"""The one boundary over which nothing of mlotel's own may pass into the user's code."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from mlotel._runtime import guard
from mlotel.errors import RetractedError

if TYPE_CHECKING:
    from mlotel._run import ActiveRun

__all__ = ["guarded"]

P = ParamSpec("P")


def guarded(method: Callable[Concatenate[ActiveRun, P], None]) -> Callable[Concatenate[ActiveRun, P], None]:
    """Return a method of a run that does nothing where nothing is recorded, and warns of what it cannot record.

    `RetractedError` comes out: the component asked for it.
    """

    @wraps(method)
    def call(self: ActiveRun, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            if self._recording:
                method(self, *args, **kwargs)
        except RetractedError:
            raise
        except Exception as error:
            guard(f"{method.__name__} of component {self.name!r}", error)

    return call

"""Functions that take the context of a run along, to other threads, tasks and processes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

from mlotel import carriers

__all__ = ["wrapped"]


def wrapped(function: Callable[..., Any], context: Context | None, traceparent: str) -> Callable[..., Any]:
    """Return `function` so that it runs in a context, and awaitable where it is.

    Args:
        function: Any callable.
        context: The context; None in a process that was not handed it.
        traceparent: The ids of its span, which another process is handed in its place.
    """
    awaits = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    return (_WrappedCoroutine if awaits else _Wrapped)(function, context, traceparent)


class _Wrapped:
    """A function that runs in a run's context; pickled, it takes the ids along and leaves the context behind."""

    def __init__(self, function: Callable[..., Any], context: Context | None, traceparent: str) -> None:
        update_wrapper(self, function)
        self._function = function
        self._context = context
        self._traceparent = traceparent

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._attached():
            value = self._function(*args, **kwargs)
        # as of a lambda: the body of an async function runs when it is awaited
        return self._awaited(value) if inspect.iscoroutine(value) else value

    async def _awaited(self, value: Awaitable[Any]) -> Any:
        with self._attached():
            return await value

    @contextmanager
    def _attached(self) -> Iterator[None]:
        context = self._context
        if context is None:
            parent = carriers.parse_traceparent(self._traceparent)
            context = context_api.get_current()
            if parent is not None:
                context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        token = context_api.attach(context)
        try:
            yield
        finally:
            context_api.detach(token)

    def __reduce__(self) -> tuple[Any, ...]:
        return wrapped, (self._function, None, self._traceparent)


class _WrappedCoroutine(_Wrapped):
    """The same of a coroutine function, which frameworks are to know for one: they run others in threads."""

    def __init__(self, function: Callable[..., Any], context: Context | None, traceparent: str) -> None:
        super().__init__(function, context, traceparent)
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await self._awaited(self._function(*args, **kwargs))

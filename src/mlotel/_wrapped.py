"""Functions that take the context of a run along, to other threads, tasks and processes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

from mlotel import carriers

__all__ = ["Wrapped"]


class Wrapped:
    """A function that runs in a run's context; pickled, it takes the ids along and leaves the context behind."""

    def __init__(self, function: Callable[..., Any], context: Context | None, traceparent: str) -> None:
        update_wrapper(self, function)
        self._function = function
        self._context = context
        self._traceparent = traceparent

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._attached():
            value = self._function(*args, **kwargs)
        # the body of an async function runs when it is awaited
        return self._awaited(value) if inspect.iscoroutine(value) else value

    async def _awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        with self._attached():
            return await coroutine

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
        return Wrapped, (self._function, None, self._traceparent)

"""`component`: one object that makes runs as a context manager and as a decorator."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

from mlotel import _runtime, carriers
from mlotel._capture import Capture, Selection
from mlotel._run import ActiveRun, Settings, caller_file, check_name, current_run
from mlotel._runtime import guard
from mlotel.carriers import headers
from mlotel.errors import ConfigurationError
from mlotel.model import ArtifactContext
from mlotel.parameters import attribute_value
from mlotel.semconv import attributes as A

__all__ = ["component", "extract", "inject", "start_component"]

P = ParamSpec("P")
T = TypeVar("T")


class component:  # noqa: N801 - read as a verb: with component(...), @component(...)
    """A component of a pipeline: each ``with`` block over it, and each call of a function it decorates, is a run.

    The same object may be entered many times, one within another, from many threads and tasks. It decorates plain,
    async, generator and async-generator functions, methods, static and class methods, and keeps their signatures.

    Args:
        name: What the component is called: 1 to 255 characters of text, no control characters.
        version: The component's version, as its users count it.
        pipeline: The pipeline it belongs to; a nested run inherits its parent's.
        params: On a decorated function, True records the arguments that are no artifacts: scalars by value, other
            objects by their type's name. A mapping is recorded as it is.
        inputs: On a decorated function, which arguments are recorded when they are artifacts (tables, arrays, paths
            that exist, models): True for all, False for none, names, or a mapping of parameters to artifacts' names.
        outputs: The same for what it returns, and for paths among the arguments that it made or rewrote. A name
            stands for the return value (several, for a tuple's items; keys, for a dict's), or for a parameter that
            holds a path to write.
        description: One sentence on what it does.
        owner: Who answers for it.
        tags: Words to find it by.
        experiment: The experiment that its runs belong to.
        parent: The context of a caller elsewhere, as `extract` found it; the current span by default.

    Raises:
        InvalidNameError: `name` cannot name a component.
        ConfigurationError: another argument is of a type that cannot be used.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str | None = None,
        pipeline: str | None = None,
        params: bool | Mapping[str, Any] = False,
        inputs: Selection = True,
        outputs: Selection = True,
        description: str | None = None,
        owner: str | None = None,
        tags: Sequence[str] = (),
        experiment: str | None = None,
        parent: ArtifactContext | None = None,
    ) -> None:
        self.name = check_name(name, "a component's name")
        if pipeline is not None:
            check_name(pipeline, "a pipeline's name")
        if not isinstance(params, (bool, Mapping)):
            raise ConfigurationError(f"params must be True, False or a mapping, not {type(params).__name__}")
        if isinstance(tags, str):
            raise ConfigurationError(f"tags must be a list of words: write tags=[{tags!r}]")
        known = {
            A.MLOTEL_COMPONENT_VERSION: version,
            A.MLOTEL_COMPONENT_DESCRIPTION: description,
            A.MLOTEL_COMPONENT_OWNER: owner,
            A.MLOTEL_EXPERIMENT_NAME: experiment,
        }
        attributes: dict[str, Any] = {key: str(attribute_value(v)) for key, v in known.items() if v is not None}
        if tags:
            attributes[A.MLOTEL_COMPONENT_TAGS] = [str(attribute_value(tag)) for tag in tags]
        self._settings = Settings(name, pipeline, attributes)
        self._params = params
        self._inputs = inputs
        self._outputs = outputs
        self._parent = parent
        self._lock = threading.Lock()
        self._entered: list[tuple[ActiveRun, Any]] = []

    # -- context manager

    def __enter__(self) -> ActiveRun:
        params = self._params if isinstance(self._params, Mapping) else None
        run = self._start(params, caller_file(1))
        token = context_api.attach(run._context)
        with self._lock:
            self._entered.append((run, token))
        return run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run, token = self._leave()
        context_api.detach(token)
        run.end(error)

    async def __aenter__(self) -> ActiveRun:
        params = self._params if isinstance(self._params, Mapping) else None
        run = self._start(params, caller_file(1))
        token = context_api.attach(run._context)
        with self._lock:
            self._entered.append((run, token))
        return run

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _leave(self) -> tuple[ActiveRun, Any]:
        """Return the innermost run of this context that this object opened.

        One object may be open in many threads and tasks at once, so it is the current context that says which.
        """
        with self._lock:
            index = len(self._entered) - 1
            mine = {id(run): place for place, (run, _) in enumerate(self._entered)}
            run: object = current_run()
            while isinstance(run, ActiveRun):
                if id(run) in mine:
                    index = mine[id(run)]
                    break
                run = run._outer
            # else: a block left in another context than it was entered in, as when an event loop closes an async
            # generator; the latest one is the best there is
            if index >= 0:
                return self._entered.pop(index)
        raise RuntimeError(f"component {self.name!r} was left without having been entered")

    def _start(self, params: Mapping[str, Any] | None, code: str | None) -> ActiveRun:
        runtime = _runtime.current()
        return ActiveRun(runtime, self._settings, parent=_context(self._parent), params=params, code=code)

    # -- decorator

    @overload
    def __call__(self, function: staticmethod[P, T]) -> staticmethod[P, T]: ...
    @overload
    def __call__(self, function: classmethod[Any, P, T]) -> classmethod[Any, P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T]) -> Callable[P, T]: ...
    def __call__(self, function: Any) -> Any:
        """Return `function` so that each of its calls is a run."""
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self(function.__func__))
        if not callable(function) or isinstance(function, type):
            raise ConfigurationError(
                f"component({self.name!r}) decorates functions and methods, not {type(function).__name__}"
            )
        capture = Capture(function, self._inputs, self._outputs, self._params)
        code = getattr(inspect.unwrap(function), "__code__", None)
        call = _Call(self, capture, None if code is None else code.co_filename)
        if inspect.isasyncgenfunction(function):
            return call.async_generator(function)
        if inspect.isgeneratorfunction(function):
            return call.generator(function)
        if inspect.iscoroutinefunction(function):
            return call.coroutine(function)
        return call.plain(function)


class _Call:
    """The four ways to run a decorated function as a component run."""

    def __init__(self, owner: component, capture: Capture, code: str | None) -> None:
        self._owner = owner
        self._capture = capture
        self._code = code

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[ActiveRun, dict[str, Any]]:
        arguments: dict[str, Any] = {}
        params: Mapping[str, Any] | None = None
        try:
            arguments = self._capture.arguments(args, kwargs)
            params = self._capture.parameters(arguments)
        except Exception as error:
            guard(f"arguments of component {self._owner.name!r}", error)
        return self._owner._start(params, self._code), arguments

    def plain(self, function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            run, arguments = self._start(args, kwargs)
            if not run._recording:
                return function(*args, **kwargs)
            paths = self._capture.enter(run, arguments)
            token = context_api.attach(run._context)
            try:
                value = function(*args, **kwargs)
                self._capture.leave(run, paths, value)
            except BaseException as error:
                context_api.detach(token)
                run.end(error)
                raise
            context_api.detach(token)
            run.end()
            return value

        return call

    def coroutine(self, function: Callable[P, Any]) -> Callable[P, Any]:
        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            run, arguments = self._start(args, kwargs)
            paths = self._capture.enter(run, arguments)
            token = context_api.attach(run._context)
            try:
                value = await function(*args, **kwargs)
                self._capture.leave(run, paths, value)
            except BaseException as error:
                context_api.detach(token)
                run.end(error)
                raise
            context_api.detach(token)
            run.end()
            return value

        return call

    def generator(self, function: Callable[P, Generator[Any, Any, Any]]) -> Callable[P, Generator[Any, Any, Any]]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            run, arguments = self._start(args, kwargs)
            paths = self._capture.enter(run, arguments)
            inner = function(*args, **kwargs)
            step: Callable[[Any], Any] = inner.send
            sent: Any = None
            try:
                while True:
                    # the run is current while the body runs, not while its consumer does
                    with run.activate():
                        item = step(sent)
                    try:
                        sent = yield item
                        step = inner.send
                    except GeneratorExit:
                        with run.activate():
                            inner.close()
                        raise
                    except BaseException as error:
                        step, sent = inner.throw, error
            except StopIteration as stop:
                value = stop.value
            except BaseException as error:
                run.end(error)
                raise
            self._capture.leave(run, paths, value)
            run.end()
            return value

        return call

    def async_generator(self, function: Callable[P, AsyncGenerator[Any, Any]]) -> Callable[P, AsyncGenerator[Any, Any]]:
        @functools.wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
            run, arguments = self._start(args, kwargs)
            paths = self._capture.enter(run, arguments)
            inner = function(*args, **kwargs)
            step: Callable[[Any], Any] = inner.asend
            sent: Any = None
            try:
                while True:
                    with run.activate():
                        item = await step(sent)
                    try:
                        sent = yield item
                        step = inner.asend
                    except GeneratorExit:
                        with run.activate():
                            await inner.aclose()
                        raise
                    except BaseException as error:
                        step, sent = inner.athrow, error
            except StopAsyncIteration:
                pass
            except BaseException as error:
                run.end(error)
                raise
            self._capture.leave(run, paths, None)
            run.end()

        return call


def start_component(
    name: str,
    *,
    version: str | None = None,
    pipeline: str | None = None,
    params: Mapping[str, Any] | None = None,
    description: str | None = None,
    owner: str | None = None,
    tags: Sequence[str] = (),
    experiment: str | None = None,
    parent: ArtifactContext | None = None,
) -> ActiveRun:
    """Start a run that `ActiveRun.end` ends, for hooks that see start and end apart.

    It does not become the current run: `ActiveRun.activate` does that for a block. The arguments and what is raised
    are those of `component`.
    """
    made = component(
        name,
        version=version,
        pipeline=pipeline,
        params=params or False,
        description=description,
        owner=owner,
        tags=tags,
        experiment=experiment,
        parent=parent,
    )
    return made._start(params, caller_file(1))


def inject(carrier: Any, artifact: str | None = None) -> None:
    """Put the context of the current run, or of its output named `artifact`, into a message's headers.

    Args:
        carrier: A mutable mapping of header names to text.
        artifact: The name of an output of the current run. Outside of a run nothing is put in.
    """
    run = current_run()
    if run is not None:
        run.inject(carrier, artifact)


def extract(carrier: headers.Headers) -> ArtifactContext | None:
    """Return the context that a message's headers hold, for ``log_input(…, context=)`` or ``component(…, parent=)``.

    Args:
        carrier: A mapping, or a sequence of pairs as Kafka clients and ASGI give them; text or bytes.
    """
    try:
        return headers.read(carrier)
    except Exception as error:
        guard("extract", error)
        return None


def _context(parent: ArtifactContext | None) -> Context | None:
    span_context = None if parent is None else carriers.parse_traceparent(parent.traceparent)
    if span_context is None:
        return None
    return trace.set_span_in_context(trace.NonRecordingSpan(span_context), Context())

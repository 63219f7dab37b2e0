"""`component`: one object that makes runs as a context manager and as a decorator."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial, wraps
from types import FrameType, TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, overload

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

from mlotel import _headroom, _runtime, carriers
from mlotel._capture import Capture, Selection, Watched, chosen
from mlotel._component_settings import ComponentSettings
from mlotel._current import current_run
from mlotel._names import check_name, clean_name
from mlotel._run import ActiveRun
from mlotel._runtime import guard
from mlotel.carriers import headers
from mlotel.errors import ConfigurationError, InvalidNameError
from mlotel.freshness import STALE_AFTER_NS
from mlotel.model import ArtifactContext
from mlotel.parameters import attribute_value, parameter_value
from mlotel.semconv import attributes as A

__all__ = ["component", "extract", "inject", "start_component"]

P = ParamSpec("P")
T = TypeVar("T")

_STALE_AFTER = timedelta(microseconds=STALE_AFTER_NS / 1000)


class component:  # noqa: N801 - read as a verb: with component(...), @component(...)
    """A component of a pipeline: each ``with`` block over it, and each call of a function it decorates, is a run.

    The same object may be entered many times, one within another, from many threads and tasks. It decorates plain,
    async, generator and async-generator functions, methods, static and class methods, and keeps their signatures.

    Args:
        name: What the component is called: 1 to 255 characters of text, no control characters.
        version: The component's version, as its users count it.
        pipeline: The pipeline it belongs to; a nested run inherits its parent's.
        params: On a decorated function, True records the arguments that are no artifacts: numbers, text, dates and
            enum members by value, other objects by their type's name. A mapping is recorded as it is.
        inputs: On a decorated function, which arguments are recorded when they are artifacts (tables, arrays, paths
            that exist, models): True for all, False for none, names, or a mapping of parameters to artifacts' names.
            An object that is asked for by name is recorded also where it has no digest; text and numbers never are.
        outputs: The same for what it returns, and for paths among the arguments that it made or rewrote. A name
            stands for the return value (several, for a tuple's items; keys, for a dict's), or for a parameter that
            holds a path to write.
        description: One sentence on what it does.
        owner: Who answers for it.
        tags: Words to find it by.
        experiment: The experiment that its runs belong to.
        stale_after: How old an input may be when a run begins before the run is called stale; 30 days by default,
            None for any age.
        on_retracted: What comes of reading what bears a retracted label whose time is up: ``warn`` (the default), or
            ``block``: `RetractedError` is raised where it is read, or before the decorated function runs.
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
        stale_after: timedelta | None = _STALE_AFTER,
        on_retracted: Literal["warn", "block"] = "warn",
        parent: ArtifactContext | None = None,
    ) -> None:
        self.name = check_name(name, "a component's name")
        if pipeline is not None:
            check_name(pipeline, "a pipeline's name")
        if not isinstance(params, (bool, Mapping)):
            raise ConfigurationError(f"params must be True, False or a mapping, not {type(params).__name__}")
        if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
            raise ConfigurationError(f"tags must be a list of words, not {type(tags).__name__}: write tags=['nightly']")
        known = {
            A.MLOTEL_COMPONENT_VERSION: version,
            A.MLOTEL_COMPONENT_DESCRIPTION: description,
            A.MLOTEL_COMPONENT_OWNER: owner,
            A.MLOTEL_EXPERIMENT_NAME: experiment,
        }
        attributes: dict[str, Any] = {key: str(parameter_value(key, v)) for key, v in known.items() if v is not None}
        words = [str(attribute_value(tag)) for tag in tags]
        if words:
            attributes[A.MLOTEL_COMPONENT_TAGS] = words
        stale_after_ns = _checked_threshold(stale_after)
        if stale_after_ns != STALE_AFTER_NS:
            attributes[A.MLOTEL_COMPONENT_STALE_AFTER] = (stale_after_ns or 0) / 1e9
        if on_retracted not in ("warn", "block"):
            raise ConfigurationError(f"on_retracted must be 'warn' or 'block', not {on_retracted!r}")
        self._settings = ComponentSettings(name, pipeline, attributes, stale_after_ns, on_retracted == "block")
        self._params = params
        self._inputs = chosen(inputs, "inputs")
        self._outputs = chosen(outputs, "outputs")
        self._parent = _context(parent)
        # Runs that a `with` block over this object opened and has not left, by their own id: one object may be open in
        # many threads and tasks. Single dict operations need no lock, which a fork might find held.
        self._entered: dict[int, tuple[ActiveRun, Any]] = {}

    def __repr__(self) -> str:
        return f"mlotel.component({self.name!r})"

    # -- context manager

    def __enter__(self) -> ActiveRun:
        return self._enter(_caller_file(1))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, MemoryError):  # leaving takes some as well
            _headroom.give_up()
        self._leave().end(error)

    async def __aenter__(self) -> ActiveRun:
        return self._enter(_caller_file(1))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def _enter(self, code: str | None) -> ActiveRun:
        run = self._start(self._params if isinstance(self._params, Mapping) else None, code)
        self._entered[id(run)] = run, context_api.attach(run._context)
        return run

    def _leave(self) -> ActiveRun:
        """Return the innermost run of this context that this object opened, which is not the current one any more."""
        run = current_run()
        while run is not None:
            entry = self._entered.pop(id(run), None)
            if entry is not None:
                context_api.detach(entry[1])
                return run
            run = run._outer
        # left in another context than it was entered in, as when an event loop closes an async generator: the latest
        # one is the best there is, and this context was not changed by it
        try:
            return self._entered.popitem()[1][0]
        except KeyError:
            raise RuntimeError(f"component {self.name!r} was left without having been entered") from None

    def _start(self, params: Mapping[str, Any] | None, code: str | None) -> ActiveRun:
        return ActiveRun(_runtime.current(), self._settings, parent=self._parent, params=params, code=code)

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
                f"component({self.name!r}) decorates functions and methods, not {_kind(function)}: "
                "decorate the method that does the work"
            )
        call = _Call(self, function)
        # what decides of an object that can be called is its class's method
        body = function if inspect.isroutine(function) or isinstance(function, partial) else type(function).__call__
        if inspect.isasyncgenfunction(body):
            return call.async_generator(function)
        if inspect.isgeneratorfunction(body):
            return call.generator(function)
        if inspect.iscoroutinefunction(body):
            return call.coroutine(function)
        return call.plain(function)


class _Call:
    """The four ways to run a decorated function as a component run.

    The context is set in each of them by hand: a context manager would add its frames to the user's tracebacks, and
    its time to each item of a generator.
    """

    def __init__(self, owner: component, function: Callable[..., Any]) -> None:
        self._owner = owner
        self._capture = Capture(function, owner._inputs, owner._outputs, owner._params)
        code = getattr(inspect.unwrap(function), "__code__", None)
        self._code: str | None = getattr(code, "co_filename", None)

    def _start(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[ActiveRun, Sequence[Watched]]:
        owner, capture = self._owner, self._capture
        runtime = _runtime.current()
        if not runtime.recording:  # a run all the same: the user's code may ask for the current one
            return ActiveRun(runtime, owner._settings, parent=owner._parent), ()
        arguments: Mapping[str, Any] = {}
        params: Mapping[str, Any] | None = None
        try:
            arguments = capture.arguments(args, kwargs)
            params = capture.parameters(arguments)
        except Exception as error:
            guard(f"arguments of component {owner.name!r}", error)
        run = ActiveRun(runtime, owner._settings, parent=owner._parent, params=params, code=self._code)
        try:
            return run, capture.enter(run, arguments)
        except BaseException as error:  # Ctrl-C while a large input is digested
            run.end(error)
            raise

    def plain(self, function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            run, paths = self._start(args, kwargs)
            token = context_api.attach(run._context)
            try:
                value = function(*args, **kwargs)
                self._capture.leave(run, paths, value)
            except BaseException as error:
                _detach(run, token)
                run.end(error)
                raise
            _detach(run, token)
            run.end()
            return value

        return call

    def coroutine(self, function: Callable[P, Any]) -> Callable[P, Any]:
        @wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            run, paths = self._start(args, kwargs)
            token = context_api.attach(run._context)
            try:
                value = await function(*args, **kwargs)
                self._capture.leave(run, paths, value)
            except BaseException as error:
                _detach(run, token)
                run.end(error)
                raise
            _detach(run, token)
            run.end()
            return value

        return call

    def generator(self, function: Callable[P, Generator[Any, Any, Any]]) -> Callable[P, Generator[Any, Any, Any]]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
            run, paths = self._start(args, kwargs)
            context, sent = run._context, None
            try:
                inner = function(*args, **kwargs)
                step: Callable[[Any], Any] = inner.send
                while True:
                    # the run is current while the body runs, not while its consumer does; what the body made current
                    # itself (a span around its `yield`) is so again when it goes on
                    token = context_api.attach(context)
                    try:
                        item = step(sent)
                        context = context_api.get_current()
                    except StopIteration as stop:
                        value = stop.value
                        break
                    finally:
                        _detach(run, token)
                    try:
                        sent = yield item
                        step = inner.send
                    except BaseException as error:  # GeneratorExit too: the body decides what comes of it
                        step, sent = inner.throw, _as_thrown(error)
                self._capture.leave(run, paths, value)
            except BaseException as error:
                run.end(error)
                raise
            finally:
                sent = None  # an exception that was thrown in holds this frame
            run.end()
            return value

        return call

    def async_generator(self, function: Callable[P, AsyncGenerator[Any, Any]]) -> Callable[P, AsyncGenerator[Any, Any]]:
        @wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Any, Any]:
            run, paths = self._start(args, kwargs)
            context, sent = run._context, None
            try:
                inner = function(*args, **kwargs)
                step: Callable[[Any], Any] = partial(_begin, inner)
                while True:
                    token = context_api.attach(context)
                    try:
                        item = await step(sent)
                        context = context_api.get_current()
                    except StopAsyncIteration:
                        break
                    finally:
                        _detach(run, token)
                    try:
                        sent = yield item
                        step = inner.asend
                    except BaseException as error:
                        step, sent = inner.athrow, _as_thrown(error)
                self._capture.leave(run, paths, None)
            except BaseException as error:
                run.end(error)
                raise
            finally:
                sent = None
            run.end()

        return call


def _as_thrown(error: BaseException) -> BaseException:
    """Return what was thrown into the caller without the caller's frame, which it gets again when it comes out."""
    trace = error.__traceback__
    return error.with_traceback(None if trace is None else trace.tb_next)


def _begin(generator: AsyncGenerator[Any, Any], value: Any) -> Any:
    """Take the first step of `generator` unknown to the event loop, which closes what is left open when it ends.

    The generator around it is known and closes this one: both at once would meet in the middle.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(value)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _detach(run: ActiveRun, token: Any) -> None:
    """Restore the context that was current before `run`, unless this is another one (a task that is thrown away)."""
    current = current_run()
    while current is not None and current is not run:
        current = current._outer
    if current is run:
        context_api.detach(token)


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
    stale_after: timedelta | None = _STALE_AFTER,
    on_retracted: Literal["warn", "block"] = "warn",
    attempt: int | None = None,
    queue_time: timedelta | None = None,
    parent: ArtifactContext | None = None,
) -> ActiveRun:
    """Start a run that `ActiveRun.end` ends, for hooks that see start and end apart.

    It does not become the current run: `ActiveRun.activate` does that for a block. The arguments and what is raised
    are those of `component`, but for the name: hooks make it of task ids and the like while a pipeline runs, so one
    that cannot be used is mended, with a warning. Two more say what an orchestrator knows of a run: `attempt`, which
    attempt at the same work it is, counted from 1, and `queue_time`, how long it waited for its start.
    """
    try:
        check_name(name, "a component's name")
    except InvalidNameError as error:
        guard("start_component", error)
        name = clean_name(str(name) if isinstance(name, str) else type(name).__name__)
    if params is not None and not isinstance(params, Mapping):
        raise ConfigurationError(f"params must be a mapping, not {type(params).__name__}")
    made = component(
        name,
        version=version,
        pipeline=pipeline,
        description=description,
        owner=owner,
        tags=tags,
        experiment=experiment,
        stale_after=stale_after,
        on_retracted=on_retracted,
        parent=parent,
    )
    made._settings.attributes.update(_scheduling(attempt, queue_time))
    return made._start(params, _caller_file(1))


def inject(carrier: headers.WritableHeaders, artifact: str | None = None) -> None:
    """Put the context of the current run, or of its output named `artifact`, into a message's headers.

    Args:
        carrier: A mutable mapping of header names to text, or a list of pairs of a name and bytes, as Kafka clients
            send them. A context that is in it is replaced.
        artifact: The name of an output of the current run. Outside of a run nothing is put in.
    """
    run = current_run()
    if run is not None:
        run.inject(carrier, artifact)


def extract(carrier: headers.Headers | None) -> ArtifactContext | None:
    """Return the context that a message's headers hold, for ``log_input(…, context=)`` or ``component(…, parent=)``.

    Args:
        carrier: A mapping, or a sequence of pairs as Kafka clients and ASGI give them; text or bytes. None, which
            Kafka clients give for a message without headers, holds nothing.
    """
    try:
        return headers.read(carrier)
    except Exception as error:
        guard("extract", error)
        return None


def _context(parent: ArtifactContext | None) -> Context | None:
    """Return the context that makes `parent` the parent of a run. Raises ConfigurationError."""
    if parent is None:
        return None
    traceparent = getattr(parent, "traceparent", None)
    span_context = carriers.parse_traceparent(traceparent)
    if span_context is None:
        raise ConfigurationError(
            f"parent must be what mlotel.extract(headers) returned, not {_kind(parent)}"
            if traceparent is None
            else "parent holds no valid traceparent: pass what mlotel.extract(headers) returned"
        )
    return trace.set_span_in_context(trace.NonRecordingSpan(span_context), Context())


def _checked_threshold(stale_after: object) -> int | None:
    """Return `stale_after` in nanoseconds. Raises ConfigurationError."""
    if stale_after is None:
        return None
    if not isinstance(stale_after, timedelta) or stale_after <= timedelta(0):
        raise ConfigurationError(f"stale_after must be a timedelta above 0, or None for any age, not {stale_after!r}")
    return stale_after // timedelta(microseconds=1) * 1000


def _scheduling(attempt: object, queue_time: object) -> dict[str, Any]:
    """Return the attributes of what an orchestrator knows of a run. Raises ConfigurationError."""
    found: dict[str, Any] = {}
    if attempt is not None:
        if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
            raise ConfigurationError(f"attempt must be an integer from 1 on, not {attempt!r}")
        found[A.MLOTEL_RUN_ATTEMPT] = attempt
    if queue_time is not None:
        if not isinstance(queue_time, timedelta) or queue_time < timedelta(0):
            raise ConfigurationError(f"queue_time must be a timedelta from 0 on, not {queue_time!r}")
        found[A.MLOTEL_RUN_QUEUE_TIME] = queue_time.total_seconds()
    return found


def _kind(value: object) -> str:
    return f"the class {value.__qualname__}" if isinstance(value, type) else f"a {type(value).__qualname__}"


def _caller_file(depth: int) -> str | None:
    """Return the file name of the code `depth` frames above the caller; `contextlib` (ExitStack) is looked through."""
    try:
        frame: FrameType | None = sys._getframe(depth + 1)
    except ValueError:
        return None
    while frame is not None and frame.f_code.co_filename == contextlib.__file__:
        frame = frame.f_back
    return None if frame is None else frame.f_code.co_filename

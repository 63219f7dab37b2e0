"""A component run while it runs: its span, the artifacts it reads and writes, and how it ends."""

from __future__ import annotations

import os
import sys
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import blake3
import orjson
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from mlotel import _heartbeat, carriers, provenance, uris
from mlotel._runtime import Runtime, guard
from mlotel.carriers import arrow, environment, headers, sidecar
from mlotel.errors import InvalidNameError
from mlotel.model import ArtifactContext, Fingerprint
from mlotel.parameters import attribute_value, numbers, parameter_value
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

if TYPE_CHECKING:
    from mlotel._predictions import Predictions

__all__ = ["ActiveRun", "Settings", "caller_file", "check_name", "current_run"]

P = ParamSpec("P")
T = TypeVar("T")

# Caps: the SDK keeps 128 attributes a span and drops the ones set first, which is where identity stands.
MAX_PARAMS = 32
MAX_METRICS = 32
MAX_TAGS = 16
MAX_CLASSES = 50
MAX_ARTIFACTS = 100
"""Artifacts of one direction that get a span of their own; the rest is told by one manifest."""
_MANIFEST_PART = 500  # entries in one event: a record of some 50 KB

_RUN = context_api.create_key("mlotel-run")

Direction = Literal["input", "output"]


def check_name(name: object, what: str) -> str:
    """Return `name` if it can name a component or artifact, else raise InvalidNameError."""
    if not isinstance(name, str):
        raise InvalidNameError(f"{what} must be text, not {type(name).__name__}: give a name such as 'train'")
    if not 1 <= len(name) <= 255:
        raise InvalidNameError(f"{what} must have 1 to 255 characters, this one has {len(name)}")
    if not (name.isascii() and name.isprintable()) and any(
        ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in name
    ):
        raise InvalidNameError(f"{what} {name!r} holds a control character or half a surrogate pair: remove it")
    return name


class Settings:
    """What stays the same over all runs of one component."""

    __slots__ = ("attributes", "labels", "name", "pipeline")

    def __init__(self, name: str, pipeline: str | None, attributes: Mapping[str, Any]) -> None:
        self.name = name
        self.pipeline = pipeline
        self.attributes = {A.MLOTEL_COMPONENT_NAME: name, **attributes}
        self.labels = {A.MLOTEL_COMPONENT_NAME: name}
        if A.MLOTEL_COMPONENT_VERSION in attributes:
            self.labels[A.MLOTEL_COMPONENT_VERSION] = attributes[A.MLOTEL_COMPONENT_VERSION]


def current_run() -> ActiveRun | None:
    """Return the innermost component run of this context (thread or task), or None outside of any."""
    run = context_api.get_value(_RUN)
    return run if isinstance(run, ActiveRun) else None


def _guarded(method: Callable[Concatenate[ActiveRun, P], None]) -> Callable[Concatenate[ActiveRun, P], None]:
    # the one boundary over which nothing of mlotel's own may pass into the user's code
    @wraps(method)
    def call(self: ActiveRun, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            if self._recording:
                method(self, *args, **kwargs)
        except Exception as error:
            guard(f"{method.__name__} of component {self.name!r}", error)

    return call


class ActiveRun:
    """One run of a component. Made by `mlotel.component` and `mlotel.start_component`, not by hand.

    Its methods never raise: what they cannot record is logged as a warning.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: Settings,
        *,
        parent: Context | None = None,
        params: Mapping[str, Any] | None = None,
        code: str | None = None,
    ) -> None:
        self.name = settings.name
        self.ended = False
        self._runtime = runtime
        self._settings = settings
        self._params: dict[str, Any] = {}
        self._recording = False
        self._span: trace.Span = trace.INVALID_SPAN
        context = context_api.get_current() if parent is None else parent
        self._outer = context.get(_RUN)
        self._context = context
        if not runtime.recording:
            self.run_id = ""
            self._context = context_api.set_value(_RUN, self, context)
            return
        self.run_id = runtime.new_run_id()
        try:
            self._start(context, params, code)
        except Exception as error:
            guard(f"start of component {self.name!r}", error)
            self._context = context_api.set_value(_RUN, self, context)

    def _start(self, context: Context, params: Mapping[str, Any] | None, code: str | None) -> None:
        runtime, settings = self._runtime, self._settings
        outer = self._outer
        attributes = {**settings.attributes, A.MLOTEL_RUN_ID: self.run_id, **runtime.attributes}
        self._labels = settings.labels
        pipeline = settings.pipeline or (outer.pipeline if isinstance(outer, ActiveRun) else None)
        self.pipeline = pipeline
        if pipeline is not None:
            attributes[A.CICD_PIPELINE_NAME] = pipeline
            self._labels = {**settings.labels, A.CICD_PIPELINE_NAME: pipeline}
        digest = None if code is None else provenance.code_digest(code)
        if digest is not None:
            attributes[A.MLOTEL_CODE_DIGEST] = digest
        if params:
            attributes.update(self._add_params(params))
        parent = trace.get_current_span(context).get_span_context()
        if not parent.is_valid and runtime.parent is not None:
            parent = runtime.parent
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        clock = runtime.clock
        self._pid = os.getpid()
        self._start_ns = clock.time_ns()
        self._origin_ns = self._start_ns - clock.monotonic_ns()
        self._cpu_ns = provenance.cpu_time_ns()
        self._span = span = runtime.tracer.start_span(
            self.name, context=context, attributes=attributes, start_time=self._start_ns
        )
        self._context = context_api.set_value(_RUN, self, trace.set_span_in_context(span, context))
        self._state: str | None = None
        self._inputs: list[tuple[str, weakref.ref[Any] | str | None, SpanContext]] = []
        self._written: dict[str, ArtifactContext] = {}
        self._counts = {"input": 0, "output": 0}
        self._rest: dict[Direction, list[tuple[str, Fingerprint]]] = {"input": [], "output": []}
        self._metrics: set[str] = set()
        self._tags: set[str] = set()
        self._predictions: Predictions | None = None
        self._dropped = 0
        self._recording = True
        runtime.instruments.run_started(self._labels)
        if span.is_recording():
            attributes.update(runtime.start_attributes)
            if parent.is_valid:
                attributes[A.MLOTEL_PARENT_SPAN_ID] = f"{parent.span_id:016x}"
            runtime.events.emit(
                E.MLOTEL_RUN_START,
                time_ns=self._start_ns,
                context=span.get_span_context(),
                attributes=attributes,
            )
            _heartbeat.add(self)

    # -- identity

    pipeline: str | None = None

    @property
    def trace_id(self) -> str:
        """The run's trace id: 32 hex digits, all zero where nothing is recorded."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str:
        """The id of the run's span: 16 hex digits, all zero where nothing is recorded."""
        return f"{self._span.get_span_context().span_id:016x}"

    @property
    def span(self) -> trace.Span:
        """The run's OpenTelemetry span."""
        return self._span

    @property
    def _sampled(self) -> bool:
        return self._recording and self._span.is_recording()

    def _now(self) -> int:
        # durations are monotonic: a wall clock that is set back does not make a run end before it began
        return self._origin_ns + self._runtime.clock.monotonic_ns()

    # -- artifacts

    def log_input(
        self,
        obj: T,
        name: str | None = None,
        *,
        type: str | None = None,
        uri: str | os.PathLike[str] | None = None,
        scope: str | None = None,
        context: ArtifactContext | None = None,
    ) -> T:
        """Record that this run read `obj`, and return `obj`.

        Args:
            obj: A path (file or folder), bytes, a table, an array, or an object with a registered fingerprint.
            name: What the artifact is called; a path's last part by default.
            type: dataset, features, model, predictions, labels, report, …; found from the object by default.
            uri: Where it lies. Credentials and signatures are removed.
            scope: ``bytes`` digests a Parquet or Feather file by its bytes instead of by its rows.
            context: Who wrote it, as `mlotel.extract` found it in a message's headers.
        """
        try:
            if self._recording:
                self._artifact("input", obj, name, type, uri, scope, context, ())
        except Exception as error:
            guard(f"log_input of component {self.name!r}", error)
        return obj

    def log_output(
        self,
        obj: T,
        name: str | None = None,
        *,
        type: str | None = None,
        uri: str | os.PathLike[str] | None = None,
        scope: str | None = None,
        derived_from: object = (),
        sidecar: bool = False,
    ) -> T:
        """Record that this run wrote `obj`, and return `obj`.

        Args:
            obj: As for `log_input`.
            name: What the artifact is called; a path's last part by default.
            type: dataset, features, model, predictions, labels, report, …; found from the object by default.
            uri: Where it lies. Credentials and signatures are removed.
            scope: ``bytes`` digests a Parquet or Feather file by its bytes instead of by its rows.
            derived_from: The inputs (a name or a logged object, or a list of them) that it was made of; all of the
                run's inputs by default.
            sidecar: Whether to write the trace context into a file beside it, ``NAME.mlotel.json``.
        """
        try:
            if self._recording:
                sources = self._sources(derived_from)
                written = self._artifact("output", obj, name, type, uri, scope, None, sources)
                if sidecar and written is not None and isinstance(obj, os.PathLike):
                    _write_sidecar(Path(obj), written)
        except Exception as error:
            guard(f"log_output of component {self.name!r}", error)
        return obj

    def _artifact(
        self,
        direction: Direction,
        obj: object,
        name: str | None,
        type: str | None,
        uri: str | os.PathLike[str] | None,
        scope: str | None,
        context: ArtifactContext | None,
        sources: Iterable[SpanContext],
    ) -> ArtifactContext | None:
        start_ns = self._now()
        found = self._fingerprint(obj, scope)
        span, written = self._open(direction, obj, name, type, uri, found, context, sources, start_ns)
        if span is not None:
            self._close(span, written, found)
        return written

    def _fingerprint(self, obj: object, scope: str | None) -> Fingerprint:
        if scope == "none":
            return Fingerprint(size=os.path.getsize(obj), note="larger than 1 GiB: digested only when asked for")  # type: ignore[arg-type] # a path
        try:
            found: Fingerprint = self._runtime.fingerprint(obj, scope=scope)
        except Exception as error:
            # what is known of it (its name, where it should be) is kept all the same
            guard(f"artifact of component {self.name!r}", error)
            return Fingerprint(note=str(error)[:500] or error.__class__.__name__)
        return found

    def _open(
        self,
        direction: Direction,
        obj: object,
        name: str | None,
        type: str | None,
        uri: str | os.PathLike[str] | None,
        found: Fingerprint,
        context: ArtifactContext | None,
        sources: Iterable[SpanContext],
        start_ns: int,
    ) -> tuple[trace.Span | None, ArtifactContext | None]:
        """Return the artifact's I/O span, still open, and for an output the context that a carrier may take along."""
        path = os.path.abspath(obj) if isinstance(obj, os.PathLike) else None
        if name is None:
            name = direction if path is None else os.path.basename(path) or "root"
        check_name(name, "an artifact's name")
        if found.rows is not None:
            self._runtime.instruments.artifact(
                self._labels,
                direction=direction,
                name=name,
                rows=found.rows,
                columns=found.columns,
                missing=found.missing,
            )
        self._counts[direction] += 1
        if self._counts[direction] > MAX_ARTIFACTS:
            self._rest[direction].append((name, found))
            return None, None
        attributes: dict[str, Any] = {
            A.MLOTEL_IO_DIRECTION: direction,
            A.MLOTEL_RUN_ID: self.run_id,
            A.MLOTEL_ARTIFACT_NAME: name,
        }
        if uri is not None:
            attributes[A.MLOTEL_ARTIFACT_URI] = uris.clean(os.fspath(uri))
        elif path is not None:
            attributes[A.MLOTEL_ARTIFACT_URI] = uris.of_absolute(path)
        if type is not None:
            attributes[A.MLOTEL_ARTIFACT_TYPE] = str(type)[:255]
        for key, value in zip(_DESCRIPTION, _describe(found), strict=True):
            if value is not None:
                attributes.setdefault(key, value)
        links: list[Link] = []
        if direction == "input":
            producer = self._producer(obj, path, found, context, attributes)
            if producer is not None:
                links.append(producer)
        else:
            links.extend(Link(source, {A.MLOTEL_LINK_TYPE: "derived_from"}) for source in sources)
            if links:
                attributes[A.MLOTEL_ARTIFACT_DERIVED_FROM] = [f"{link.context.span_id:016x}" for link in links]
        span = self._runtime.tracer.start_span(
            f"{'read' if direction == 'input' else 'write'} {name}",
            context=self._context,
            attributes=attributes,
            links=links,
            start_time=start_ns,
        )
        span_context = span.get_span_context()
        if direction == "input":
            self._inputs.append((name, path or _reference(obj), span_context))
            return span, None
        written = ArtifactContext(carriers.format_traceparent(span_context), found.digest)
        self._written[name] = written
        return span, written

    def _close(self, span: trace.Span, written: ArtifactContext | None, found: Fingerprint) -> None:
        span.end(self._now())
        if written is not None and found.digest is not None and not found.empty:
            context = span.get_span_context()
            self._runtime.producers.remember(found.digest, context.trace_id, context.span_id)

    def _read(self, path: Path, content: object, name: str | None, type: str | None) -> None:
        """Record a file as an input by the table that was read from it, so that it is not read twice."""
        try:
            if self._recording:
                start_ns = self._now()
                found = replace(self._fingerprint(content, None), size=path.stat().st_size)
                span, _ = self._open("input", path, name, type, None, found, None, (), start_ns)
                if span is not None:
                    self._close(span, None, found)
        except Exception as error:
            guard(f"read_table of component {self.name!r}", error)

    @contextmanager
    def _writing(
        self, content: object, path: Path, name: str | None, type: str | None, derived_from: object
    ) -> Iterator[ArtifactContext | None]:
        """Hold the write span of a file open while it is written with the context that this yields inside."""
        span: trace.Span | None = None
        written: ArtifactContext | None = None
        found = Fingerprint()
        try:
            start_ns = self._now()
            found = self._fingerprint(content, None)
            sources = self._sources(derived_from)
            span, written = self._open(
                "output", path, name, type, None, replace(found, size=None), None, sources, start_ns
            )
        except Exception as error:
            guard(f"write_table of component {self.name!r}", error)
        try:
            yield written if found.digest is not None else None
        except BaseException as error:
            if span is not None:  # nothing was written: no artifact that a reader could have
                span.set_status(Status(StatusCode.ERROR, _message(error)))
                span.end(self._now())
            raise
        try:
            if span is not None:
                span.set_attribute(A.MLOTEL_ARTIFACT_SIZE, path.stat().st_size)
                self._close(span, written, found)
        except Exception as error:
            guard(f"write_table of component {self.name!r}", error)

    def _producer(
        self,
        obj: object,
        path: str | None,
        found: Fingerprint,
        context: ArtifactContext | None,
        attributes: dict[str, Any],
    ) -> Link | None:
        """Return the link to the span that wrote an input, in order of how much the ways can be trusted."""
        producer: SpanContext | None = None
        way = ""
        for candidate, name in self._carried(obj, path, found, context):
            # who hands over headers vouches for them; what stands in or beside a file may be older than its content
            if candidate.digest != found.digest and not (name == "header" and candidate.digest is None):
                attributes.setdefault(A.MLOTEL_ARTIFACT_NOTE, f"{name} context is of other content: not believed")
                continue
            producer, way = carriers.parse_traceparent(candidate.traceparent), name
            if producer is not None:
                break
        if producer is None and found.digest is not None and not found.empty:
            ids = self._runtime.producers.find(found.digest)
            if ids is not None:
                producer, way = SpanContext(ids[0], ids[1], is_remote=True), "digest"
        if producer is None:
            return None
        attributes[A.MLOTEL_LINK_TYPE] = "consumes"
        attributes[A.MLOTEL_LINK_RESOLVED_BY] = way
        link = {A.MLOTEL_LINK_TYPE: "consumes", A.MLOTEL_LINK_RESOLVED_BY: way}
        if found.digest is not None:
            link[A.MLOTEL_ARTIFACT_DIGEST] = found.digest
        return Link(producer, link)

    def _carried(
        self, obj: object, path: str | None, found: Fingerprint, context: ArtifactContext | None
    ) -> Iterator[tuple[ArtifactContext, str]]:
        if context is not None:
            yield context, "header"
        if path is not None:
            embedded = arrow.from_file(path) if found.scope == "logical" else None
            if embedded is not None:
                yield embedded, "embedded"
            beside = sidecar.read(path)
            if beside is not None:
                yield beside, "sidecar"
        else:
            embedded = arrow.from_metadata(getattr(getattr(obj, "schema", None), "metadata", None))
            if embedded is not None:
                yield embedded, "embedded"
        inherited = self._runtime.inherited.get(found.digest or "")
        if inherited is not None:
            yield inherited, "env"

    def _sources(self, derived_from: object) -> list[SpanContext]:
        """Return the read spans of the inputs named, or given, in `derived_from`."""
        if derived_from is None or (isinstance(derived_from, tuple) and not derived_from):
            return []
        wanted = derived_from if isinstance(derived_from, (list, tuple, set, frozenset)) else [derived_from]
        found: list[SpanContext] = []
        for item in wanted:
            matches = [span for name, logged, span in self._inputs if _is_input(item, name, logged)]
            if not matches:
                what = repr(item) if isinstance(item, str) else f"a {type(item).__qualname__}"
                guard(
                    f"derived_from of component {self.name!r}",
                    ValueError(f"{what} is no input of this run: log it with log_input first"),
                )
            found.extend(matches)
        return found

    # -- values

    @_guarded
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters: scalars by value, other objects by their type's name; secrets by name are redacted."""
        self._span.set_attributes(self._add_params(params))

    def _add_params(self, params: Mapping[str, Any]) -> dict[str, Any]:
        attributes: dict[str, Any] = {}
        for key, value in params.items():
            key = str(key)[:255]
            self._params[key] = shown = parameter_value(key, value)
            if len(self._params) <= MAX_PARAMS:
                attributes[f"{A.MLOTEL_PARAM}.{key}"] = shown
        text = orjson.dumps(self._params, option=orjson.OPT_SORT_KEYS)
        attributes[A.MLOTEL_PARAMS_DIGEST] = f"blake3:{blake3.blake3(text).hexdigest()}"
        return attributes

    @_guarded
    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record numbers that say how well the run did; the latest value of each name stands on the span."""
        for name, value in numbers(metrics):
            if name not in self._metrics and len(self._metrics) >= MAX_METRICS:
                self._dropped += 1
                guard(f"log_metrics of component {self.name!r}", ValueError(f"more than {MAX_METRICS} metrics"))
                continue
            self._metrics.add(name)
            self._span.set_attribute(f"{A.MLOTEL_METRIC}.{name[:255]}", value)
            self._runtime.instruments.metric(self._labels, name[:255], value)

    @_guarded
    def set_tag(self, key: str, value: str) -> None:
        """Record a tag: a word to find the run by."""
        if key not in self._tags and len(self._tags) >= MAX_TAGS:
            self._dropped += 1
            raise ValueError(f"more than {MAX_TAGS} tags")
        self._tags.add(key)
        self._span.set_attribute(f"{A.MLOTEL_TAG}.{str(key)[:255]}", str(attribute_value(value)))

    @_guarded
    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes of the run's span by their full names, for what the conventions of others define."""
        self._span.set_attributes({key: attribute_value(value) for key, value in attributes.items()})

    @_guarded
    def log_predictions(
        self,
        values: Any,
        *,
        keys: Any = None,
        probabilities: Any = None,
        model: object = None,
        version: str | None = None,
    ) -> None:
        """Record the statistics of a batch of predictions on the span and in metrics; calls of one run add up.

        Numbers give count, mean, standard deviation, min, max, skewness, excess kurtosis and missing; labels (text,
        booleans, or integers of at most 50 values) give counts by class.

        Args:
            values: n predictions: an array, Arrow array, column, or list.
            keys: n keys that tell the predictions apart, to find one by; their number is checked.
            probabilities: n probabilities, or n × classes; shapes are checked.
            model: The model's name, or the model itself (an object with a fingerprint, a path), whose digest is taken.
            version: The model's version.
        """
        from mlotel import _predictions  # NumPy is loaded when predictions come

        _predictions.log(self, values, keys, probabilities, model, version)

    # -- context for others

    @contextmanager
    def activate(self) -> Iterator[ActiveRun]:
        """Make this run the current one within a ``with`` block; it does not end there."""
        token = context_api.attach(self._context)
        try:
            yield self
        finally:
            context_api.detach(token)

    def wrap(self, function: Callable[P, T]) -> Callable[P, T]:
        """Return `function` so that runs which it starts are children of this one, in any thread, task or process.

        What it returns can be pickled if `function` can: another process receives the ids alone.
        """
        return _Wrapped(function, self._context, carriers.format_traceparent(self._span.get_span_context()))

    def environment(self) -> dict[str, str]:
        """Return the variables that make runs in a child process children of this one."""
        if not self._recording:
            return {}
        traceparent = carriers.format_traceparent(self._span.get_span_context())
        return environment.variables(traceparent, self._written.values())

    def inject(self, carrier: MutableMapping[str, str], artifact: str | None = None) -> None:
        """Put the context of this run, or of its output named `artifact`, into a message's headers."""
        try:
            if not self._recording:
                return
            context = ArtifactContext(carriers.format_traceparent(self._span.get_span_context()))
            if artifact is not None:
                if artifact not in self._written:
                    raise ValueError(f"{artifact!r} is no output of this run: log it with log_output first")
                context = self._written[artifact]
            headers.write(carrier, context)
        except Exception as error:
            guard(f"inject of component {self.name!r}", error)

    # -- end

    def end(self, error: BaseException | str | None = None) -> None:
        """End the run: ok without an error, failed or cancelled with one. A second call does nothing.

        Args:
            error: The exception that ended it, or a sentence saying what went wrong.
        """
        # in a forked child the run is its parent's, which will end it
        if self.ended or (self._recording and self._pid != os.getpid()):
            return
        self.ended = True
        if not self._recording:
            return
        try:
            self._end(error)
        except Exception as fault:
            guard(f"end of component {self.name!r}", fault)
        finally:
            self._recording = False
            _heartbeat.remove(self)
            if self._span.is_recording():  # whatever happened above
                self._span.end()

    def _end(self, error: BaseException | str | None) -> None:
        state, error_type = _outcome(error)
        span = self._span
        for direction in self._rest:
            if self._rest[direction]:
                self._manifest(direction)
        end_ns = self._now()
        cpu_s = (provenance.cpu_time_ns() - self._cpu_ns) / 1e9
        memory = provenance.peak_memory()
        if span.is_recording():
            attributes: dict[str, Any] = {A.MLOTEL_RUN_STATE: state, A.MLOTEL_RUN_CPU_TIME: cpu_s}
            if memory is not None:
                attributes[A.MLOTEL_RUN_MEMORY_PEAK] = memory
            if len(self._params) > MAX_PARAMS:
                self._dropped += len(self._params) - MAX_PARAMS
            if self._dropped:
                attributes[A.MLOTEL_RUN_DROPPED] = self._dropped
            if error_type is not None:
                attributes[A.ERROR_TYPE] = error_type
                if state == "failed":
                    span.set_status(Status(StatusCode.ERROR, _message(error)))
            span.set_attributes(attributes)
            if isinstance(error, BaseException) and error_type is not None:
                self._exception(error, error_type, end_ns)
            span.end(end_ns)
            if not self._runtime.span_ends_run:
                ended = {A.MLOTEL_RUN_ID: self.run_id, A.MLOTEL_RUN_STATE: state}
                self._runtime.events.emit(
                    E.MLOTEL_RUN_END, time_ns=end_ns, context=span.get_span_context(), attributes=ended
                )
        self._runtime.instruments.run_ended(
            self._labels,
            state=state,
            error_type=error_type,
            end_ns=end_ns,
            duration_s=(end_ns - self._start_ns) / 1e9,
            cpu_s=cpu_s,
            memory=memory,
            context=self._context,
        )

    def _exception(self, error: BaseException, error_type: str, time_ns: int) -> None:
        lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-50)
        self._runtime.events.emit(
            E.EXCEPTION,
            time_ns=time_ns,
            context=self._span.get_span_context(),
            attributes={
                A.MLOTEL_RUN_ID: self.run_id,
                A.EXCEPTION_TYPE: error_type,
                A.EXCEPTION_MESSAGE: _text(error)[:4000],
                A.EXCEPTION_STACKTRACE: "".join(lines)[-16_000:],
            },
            severity=17,  # ERROR
        )

    def _manifest(self, direction: Direction) -> None:
        """Tell the artifacts past the cap by a manifest: a span with the digest of the list, the list as events."""
        from mlotel.hashing import digest_manifest

        entries = self._rest[direction]
        digest = digest_manifest((name, found.digest or "") for name, found in entries)
        name = "manifest"
        now = self._now()
        attributes: dict[str, Any] = {
            A.MLOTEL_IO_DIRECTION: direction,
            A.MLOTEL_RUN_ID: self.run_id,
            A.MLOTEL_ARTIFACT_NAME: name,
            A.MLOTEL_ARTIFACT_DIGEST: digest,
            A.MLOTEL_ARTIFACT_DIGEST_SCOPE: "manifest",
            A.MLOTEL_ARTIFACT_ROWS: len(entries),
        }
        span = self._runtime.tracer.start_span(
            f"{'read' if direction == 'input' else 'write'} {name}",
            context=self._context,
            attributes=attributes,
            start_time=now,
        )
        span.end(now)
        for first in range(0, len(entries), _MANIFEST_PART):
            part = [{"name": name, "digest": found.digest} for name, found in entries[first : first + _MANIFEST_PART]]
            self._runtime.events.emit(
                E.MLOTEL_ARTIFACT_MANIFEST,
                time_ns=now,
                context=span.get_span_context(),
                attributes={
                    A.MLOTEL_RUN_ID: self.run_id,
                    A.MLOTEL_ARTIFACT_DIGEST: digest,
                    A.MLOTEL_IO_DIRECTION: direction,
                },
                body=orjson.dumps(part).decode(),
            )


class _Wrapped:
    """A function that runs in a run's context; pickled, it takes the ids along and leaves the context behind."""

    def __init__(self, function: Callable[..., Any], context: Context | None, traceparent: str) -> None:
        self._function = function
        self._context = context
        self._traceparent = traceparent

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        context = self._context
        if context is None:
            parent = carriers.parse_traceparent(self._traceparent)
            context = context_api.get_current()
            if parent is not None:
                context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        token = context_api.attach(context)
        try:
            return self._function(*args, **kwargs)
        finally:
            context_api.detach(token)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Wrapped, (self._function, None, self._traceparent)


_describe = attrgetter("type", "digest", "scope", "size", "rows", "columns", "schema_digest", "missing", "note")
_DESCRIPTION = (
    A.MLOTEL_ARTIFACT_TYPE,
    A.MLOTEL_ARTIFACT_DIGEST,
    A.MLOTEL_ARTIFACT_DIGEST_SCOPE,
    A.MLOTEL_ARTIFACT_SIZE,
    A.MLOTEL_ARTIFACT_ROWS,
    A.MLOTEL_ARTIFACT_COLUMNS,
    A.MLOTEL_ARTIFACT_SCHEMA_DIGEST,
    A.MLOTEL_ARTIFACT_MISSING,
    A.MLOTEL_ARTIFACT_NOTE,
)


def _write_sidecar(path: Path, context: ArtifactContext) -> None:
    sidecar.write(path, context)


def _reference(obj: object) -> weakref.ref[Any] | None:
    """Return what an input is known again by without keeping it alive, or None for what takes no weak reference."""
    try:
        return weakref.ref(obj)
    except TypeError:
        return None


def _is_input(item: object, name: str, logged: weakref.ref[Any] | str | None) -> bool:
    if isinstance(item, str):
        return item == name
    if isinstance(logged, str):
        return isinstance(item, os.PathLike) and os.path.abspath(item) == logged
    return logged is not None and logged() is item


def _outcome(error: BaseException | str | None) -> tuple[str, str | None]:
    """Return the state a run ends in, and the error's type where it is one.

    SystemExit is success or failure by its code. A generator that is closed early did what it was asked. What else
    is no Exception (KeyboardInterrupt, CancelledError, trio's Cancelled) asks the run to stop: cancelled, no failure.
    """
    if error is None or isinstance(error, GeneratorExit):
        return "ok", None
    if isinstance(error, str):
        return "failed", "_OTHER"
    if isinstance(error, SystemExit):
        return ("ok", None) if error.code in (None, 0) else ("failed", "SystemExit")
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return ("failed" if isinstance(error, Exception) else "cancelled"), name


def _message(error: BaseException | str | None) -> str:
    if isinstance(error, BaseException):
        return f"{type(error).__name__}: {_text(error)}"[:1000]
    return str(error)[:1000]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception whose __str__ fails is still an exception
        return "(its message cannot be shown)"


def caller_file(depth: int) -> str | None:
    """Return the file name of the code `depth` frames above the caller."""
    try:
        return sys._getframe(depth + 1).f_code.co_filename
    except ValueError:
        return None

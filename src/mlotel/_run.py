"""A component run while it runs: its span, the artifacts it reads and writes, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Status, StatusCode

from mlotel import _headroom, _heartbeat, carriers, provenance
from mlotel._artifacts import Artifacts, Item
from mlotel._component_settings import ComponentSettings
from mlotel._current import run_in, with_run
from mlotel._guarded import guarded
from mlotel._outcome import exception_attributes, outcome, status_text
from mlotel._run_values import RunValues
from mlotel._runtime import Runtime, guard
from mlotel._span_room import FOR_END, FOR_PREDICTIONS, SpanRoom
from mlotel._wrapped import wrapped
from mlotel.carriers import environment, headers
from mlotel.carriers import sidecar as sidecar_file
from mlotel.errors import ConfigurationError, RetractedError
from mlotel.freshness import Made
from mlotel.model import ArtifactContext, Run
from mlotel.parameters import numbers
from mlotel.semconv import attributes as A
from mlotel.semconv import events as E

if TYPE_CHECKING:
    from mlotel._predictions import Predictions
    from mlotel.drift import Reference

__all__ = ["ActiveRun"]

P = ParamSpec("P")
T = TypeVar("T")

_NOT_SAMPLED = (
    "the tracer provider's sampler drops runs, so that lineage has holes: set OTEL_TRACES_SAMPLER=mlotel_lineage, or "
    "make the provider with mlotel.sdk.sampling.LineageSampler"
)


class ActiveRun:
    """One run of a component. Made by `mlotel.component` and `mlotel.start_component`, not by hand.

    Its methods do not raise: what they cannot record is logged as a warning. One exception can be asked for: what
    bears a retracted label is not read where the component says ``on_retracted="block"``.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: ComponentSettings,
        *,
        parent: Context | None = None,
        params: Mapping[str, Any] | None = None,
        code: str | None = None,
    ) -> None:
        self.name = settings.name
        self.ended = False
        self._runtime = runtime
        self._settings = settings
        self._io: Artifacts | None = None
        self._recording = False
        self._span: trace.Span = trace.INVALID_SPAN
        context = context_api.get_current() if parent is None else parent
        self._outer = run_in(context)
        self._context = self._started_in = context
        self.run_id = ""
        if not runtime.recording:
            self._context = with_run(self, context)
            return
        try:
            _headroom.set_aside()
            self.run_id = runtime.new_run_id()
            self._start(context, params, code)
        except Exception as error:
            guard(f"start of component {self.name!r}", error)
            self._context = with_run(self, context)

    def _start(self, context: Context, params: Mapping[str, Any] | None, code: str | None) -> None:
        runtime, settings = self._runtime, self._settings
        outer = self._outer
        self._values = RunValues()
        self._room = SpanRoom(runtime.attributes_kept)
        attributes = {**settings.attributes, A.MLOTEL_RUN_ID: self.run_id, **runtime.attributes}
        self._labels = settings.labels
        pipeline = settings.pipeline or (runtime.pipeline if outer is None else outer.pipeline)
        self.pipeline = pipeline
        if pipeline is not None:
            attributes[A.CICD_PIPELINE_NAME] = pipeline
            self._labels = {**settings.labels, A.CICD_PIPELINE_NAME: pipeline}
        digest = None if code is None else provenance.code_digest(code)
        if digest is not None:
            attributes[A.MLOTEL_CODE_DIGEST] = digest
        if params:
            attributes.update(self._values.params(params))
            attributes.update(self._values.params_digest())
        parent = trace.get_current_span(context).get_span_context()
        if not parent.is_valid and runtime.parent is not None:
            parent = runtime.parent
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent), context)
        above = None if outer is None else outer.span.get_span_context()
        if above is not None and above.trace_id == parent.trace_id and above.span_id != parent.span_id:
            attributes[A.MLOTEL_PARENT_SPAN_ID] = f"{above.span_id:016x}"  # spans of other libraries stand between
        clock = runtime.clock
        self._pid = os.getpid()
        self._start_ns = clock.time_ns()
        self._origin_ns = self._start_ns - clock.monotonic_ns()
        self._cpu_ns = provenance.cpu_time_ns()
        self._span = span = runtime.tracer.start_span(
            self.name, context=context, attributes=self._room.fit(attributes, FOR_END), start_time=self._start_ns
        )
        self._context = with_run(self, trace.set_span_in_context(span, context))
        self._predictions: Predictions | None = None
        self._recording = True
        runtime.instruments.run_started(self._labels)
        if runtime.foreign_sampler and not span.get_span_context().trace_flags.sampled:
            runtime.instruments.not_sampled(self._labels)
            guard("sampling", ConfigurationError(_NOT_SAMPLED))
        if span.is_recording():
            attributes.update(runtime.start_attributes)
            if parent.is_valid:
                attributes.setdefault(A.MLOTEL_PARENT_SPAN_ID, f"{parent.span_id:016x}")
            runtime.events.emit(
                E.MLOTEL_RUN_START,
                time_ns=self._start_ns,
                context=span.get_span_context(),
                attributes=attributes,
            )
            _heartbeat.add(self)

    def __repr__(self) -> str:
        return f"<mlotel run {self.name!r} {self.run_id[:8]} {'ended' if self.ended else 'running'}>"

    # A run is one of a kind: a copy of what holds it (sklearn.clone, dataclasses.asdict) holds the same run.

    def __copy__(self) -> ActiveRun:
        return self

    def __deepcopy__(self, memo: object) -> ActiveRun:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a run cannot be pickled: pass run.wrap(function) or run.environment() to another process")

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

    def _made(self, ended_ok_ns: int | None = None) -> Made:
        written = () if self._io is None or ended_ok_ns is None else self._io.written.values()
        digests = [each.digest for each in written if each.digest is not None] if written else ()
        return Made(self.name, self.pipeline, self.run_id, self._start_ns, ended_ok_ns, digests)

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
        labels: Sequence[str] = (),
        reference: Reference | str | os.PathLike[str] | None = None,
        profile: bool = False,
    ) -> T:
        """Record that this run read `obj`, and return `obj`.

        Args:
            obj: A path (file or folder), bytes, a table, an array, or an object with a registered fingerprint.
            name: What the artifact is called; a path's last part by default.
            type: dataset, features, model, predictions, labels, report, …; found from the object by default.
            uri: Where it lies. Credentials and signatures are removed.
            scope: ``bytes`` digests a Parquet or Feather file by its bytes instead of by its rows.
            context: Who wrote it, as `mlotel.extract` found it in a message's headers.
            labels: Labels to give it, which pass to what is derived from it.
            reference: A `mlotel.drift.Reference`, or the path of a saved one, that a table is compared with in the pass
                in which it is digested: what has drifted stands on its span, in events and in metrics.
            profile: Whether statistics of a table's columns (missing values, moments, quantiles, distinct values) are
                computed in that pass, for the span and for metrics.

        Raises:
            RetractedError: It bears a retracted label whose time is up, and the component was made with
                ``on_retracted="block"``.
        """
        try:
            if self._recording:
                self._artifacts.log(Item("input", obj, name, type, uri, scope, context, (), labels, reference, profile))
        except RetractedError:
            raise
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
        labels: Sequence[str] = (),
        reference: Reference | str | os.PathLike[str] | None = None,
        profile: bool = False,
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
            labels: Labels to give it, which pass to what is derived from it.
            reference: What a table is compared with, as for `log_input`.
            profile: Whether its columns are profiled, as for `log_input`.
            sidecar: Whether to write the trace context into a file beside it, ``NAME.mlotel.json``.
        """
        try:
            if self._recording:
                item = Item("output", obj, name, type, uri, scope, None, derived_from, labels, reference, profile)
                written = self._artifacts.log(item)
                if sidecar and written is not None and item.path is not None:
                    sidecar_file.write(Path(item.path), written)
        except Exception as error:
            guard(f"log_output of component {self.name!r}", error)
        return obj

    @property
    def _artifacts(self) -> Artifacts:
        if self._io is None:
            self._io = Artifacts(self)
        return self._io

    @guarded
    def depends_on(self, other: ActiveRun | Run | ArtifactContext) -> None:
        """Record that this run depends on another one, for what no artifact shows: a lock, a table in a database.

        Args:
            other: A run of this process, one read from a store, or what `mlotel.extract` found in a message's headers.
                The first hundred are kept.
        """
        context = other.span.get_span_context() if isinstance(other, ActiveRun) else carriers.span_context_of(other)
        if context is None or not context.is_valid:
            raise TypeError(
                f"a run depends on a run or on what mlotel.extract returned, not on a {type(other).__name__}"
            )
        if context.span_id == self._span.get_span_context().span_id:
            raise ValueError("a run cannot depend on itself")
        self._values.dependency(f"{context.span_id:016x}")
        link_type = {A.MLOTEL_LINK_TYPE: "depends_on"}
        self._span.add_link(context, link_type)
        self._span.set_attributes(self._room.fit(link_type))  # backends may drop the attributes of links

    # -- values

    @guarded
    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record parameters: scalars by value, other objects by their type's name; secrets by name are redacted.

        The first 32 stand on the span; the digest of all of them does too.
        """
        self._set(self._values.params(params))

    @guarded
    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Record numbers that say how well the run did; the latest value of each name stands on the span."""
        for name, value in numbers(metrics):
            try:
                attributes = self._values.metric(name, value)
            except ValueError as error:  # the other metrics are kept
                guard(f"log_metrics of component {self.name!r}", error)
                continue
            self._set(attributes)
            self._runtime.instruments.metric(self._labels, name, value)

    @guarded
    def set_tag(self, key: str, value: str) -> None:
        """Record a tag: a word to find the run by."""
        self._set(self._values.tag(key, value))

    @guarded
    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes of the run's span by their full names, for what the conventions of others define.

        The first 32 names are kept. What identifies the run cannot be set.
        """
        accepted, wrong = self._values.others(attributes)
        self._set(accepted)
        if wrong is not None:
            raise wrong

    def _set(self, attributes: Mapping[str, Any]) -> None:
        fit = self._room.fit(attributes, FOR_PREDICTIONS)
        self._values.left_out(len(attributes) - len(fit))
        self._span.set_attributes(fit)

    @guarded
    def log_predictions(
        self,
        values: Any,
        *,
        keys: Any = None,
        probabilities: Any = None,
        variant: str | None = None,
        model: object = None,
        version: str | None = None,
        reference: Reference | str | os.PathLike[str] | None = None,
    ) -> None:
        """Record the statistics of a batch of predictions on the span and in metrics; calls of one run add up.

        Numbers give count, mean, standard deviation, min, max, skewness, excess kurtosis and missing; labels (text,
        booleans, or integers of at most 50 values) give counts by class.

        Args:
            values: n predictions: an array, Arrow array, column, or list.
            keys: n keys of the records that they are for. Each such prediction is kept, to be found by its key.
            probabilities: n probabilities, or n × classes, of which the largest is kept.
            variant: The variant of the model that made them, in a test of several.
            model: The model's name, or the model itself (an object with a fingerprint, a path), which becomes an input.
            version: The model's version.
            reference: A `mlotel.drift.Reference`, or the path of a saved one, of predictions: of one column, or with
                one that is called ``prediction``. All predictions of the run are compared with it.
        """
        from mlotel import _predictions  # NumPy is loaded when predictions come

        about = {"keys": keys, "probabilities": probabilities, "variant": variant, "model": model, "version": version}
        _predictions.log(self, values, reference=reference, **about)

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
        return wrapped(function, self._context, carriers.format_traceparent(self._span.get_span_context()))

    def environment(self) -> dict[str, str]:
        """Return the variables that make runs in a child process children of this one."""
        if not self._recording:
            return {}
        traceparent = carriers.format_traceparent(self._span.get_span_context())
        return environment.variables(traceparent, self.pipeline, () if self._io is None else self._io.written.values())

    def inject(self, carrier: headers.WritableHeaders, artifact: str | None = None) -> None:
        """Put the context of this run, or of its output named `artifact`, into a message's headers."""
        try:
            if not self._recording:
                return
            context = ArtifactContext(carriers.format_traceparent(self._span.get_span_context()))
            if artifact is not None:
                if artifact not in self._artifacts.written:
                    raise ValueError(f"{artifact!r} is no output of this run: log it with log_output first")
                context = self._artifacts.written[artifact]
            headers.write(carrier, context)
        except Exception as error:
            guard(f"inject of component {self.name!r}", error)

    # -- end

    def end(
        self,
        error: BaseException | str | None = None,
        *,
        cpu_time: float | None = None,
        peak_memory: int | None = None,
    ) -> None:
        """End the run: ok without an error, failed or cancelled with one. A second call does nothing.

        Args:
            error: The exception that ended it, or a sentence saying what went wrong.
            cpu_time: Seconds of CPU time, where another process did the work; this process's own by default.
            peak_memory: The same for the high-water mark of resident memory, in bytes.
        """
        # in a forked child the run is its parent's, which will end it
        if self.ended or (self._recording and self._pid != os.getpid()):
            return
        self.ended = True
        if not self._recording:
            return
        if isinstance(error, MemoryError):
            _headroom.give_up()
        try:
            self._end(error, cpu_time, peak_memory)
        except Exception as fault:
            guard(f"end of component {self.name!r}", fault)
        finally:
            self._recording = False
            _heartbeat.remove(self)
            if self._span.is_recording():  # whatever happened above
                self._end_span(isinstance(error, (Exception, str)))
            # a context that holds the run which holds the context would have to wait for the cycle collector
            self._context, self._io = self._started_in, None

    def _end_span(self, failed: bool) -> None:
        try:
            if failed:  # without a status it would read as ok
                self._span.set_status(StatusCode.ERROR)
            self._span.end()
        except Exception as fault:
            guard(f"span of component {self.name!r}", fault)

    def _end(self, error: BaseException | str | None, cpu_time: float | None, peak_memory: int | None) -> None:
        state, error_type = outcome(error)
        span = self._span
        if self._io is not None:
            self._io.finish()
        end_ns = self._now()
        used_ns, memory = provenance.usage()
        cpu_s = max(0, used_ns - self._cpu_ns) / 1e9 if cpu_time is None else cpu_time
        memory = memory if peak_memory is None else peak_memory
        if span.is_recording():
            attributes: dict[str, Any] = {A.MLOTEL_RUN_STATE: state, A.MLOTEL_RUN_CPU_TIME: cpu_s}
            if memory is not None:
                attributes[A.MLOTEL_RUN_MEMORY_PEAK] = memory
            attributes.update(self._values.params_digest())
            attributes.update(self._values.dropped())
            if error_type is not None:
                attributes[A.ERROR_TYPE] = error_type
                if state == "failed":
                    span.set_status(Status(StatusCode.ERROR, status_text(error)))
            span.set_attributes(self._room.fit(attributes))
            if isinstance(error, BaseException) and error_type is not None:
                self._runtime.events.emit(
                    E.EXCEPTION,
                    time_ns=end_ns,
                    context=span.get_span_context(),
                    attributes={A.MLOTEL_RUN_ID: self.run_id, **exception_attributes(error, error_type)},
                    severity=17,  # ERROR
                )
            span.end(end_ns)
            if not self._runtime.span_ends_run:
                ended = {A.MLOTEL_RUN_ID: self.run_id, A.MLOTEL_RUN_STATE: state}
                self._runtime.events.emit(
                    E.MLOTEL_RUN_END, time_ns=end_ns, context=span.get_span_context(), attributes=ended
                )
        if state == "ok":
            self._runtime.producers.ended(self._made(end_ns))
        self._runtime.instruments.run_ended(
            self._labels,
            state=state,
            error_type=error_type,
            end_ns=end_ns,
            duration_s=(end_ns - self._start_ns) / 1e9,
            cpu_s=cpu_s,
            memory=memory,
            queue_s=self._settings.attributes.get(A.MLOTEL_RUN_QUEUE_TIME),
            context=self._context,
        )

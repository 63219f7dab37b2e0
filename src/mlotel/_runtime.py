"""What the writing side is handed from above: tracer, event sink, instruments, producers, clock and ids.

The writing side knows the OpenTelemetry API alone. Which SDK stands behind it (the application's, or one of mlotel's
own) is decided in `mlotel.sdk`, which is loaded by name at the first run, as opentelemetry-api loads its SDK.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import NoOpTracer, SpanContext, Tracer

from mlotel._forks import no_fork_meanwhile
from mlotel._log import logger
from mlotel.store.predictions.keys import RecordKeys

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from mlotel.freshness import Made
    from mlotel.instruments import Instruments
    from mlotel.model import Artifact, ArtifactContext, RetractedLabel
    from mlotel.store.predictions.rows import KeyedRows

__all__ = [
    "Clock",
    "EventSink",
    "NoRetractions",
    "Producers",
    "Retractions",
    "Runtime",
    "ServingMeters",
    "current",
    "describe",
    "guard",
    "install",
    "message",
    "no_meters",
    "nothing",
]


class Clock(Protocol):
    """Wall time to say when, monotonic time to say how long; both in nanoseconds."""

    def time_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...


class SystemClock:
    """The clocks of this machine."""

    time_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(time.perf_counter_ns)


class EventSink(Protocol):
    """Where events go: an OpenTelemetry logger, or the embedded store."""

    def emit(
        self,
        name: str,
        *,
        time_ns: int,
        context: SpanContext,
        attributes: Mapping[str, Any],
        severity: int = 9,
        body: str | None = None,
    ) -> None: ...


class Producers(Protocol):
    """Which span wrote a digest, and what its run was, as far as this machine's store knows."""

    def remember(self, digest: str, trace_id: int, span_id: int) -> None: ...

    def find(self, digest: str) -> tuple[int, int] | None: ...

    def wrote(self, span_id: int, made: Made, written_ns: int) -> None: ...

    def ended(self, made: Made) -> None: ...

    def origin(self, trace_id: int, span_id: int) -> tuple[Made, int] | None: ...

    def later(self, producer: Made, after_ns: int, before_ns: int) -> Sequence[Made]: ...


class Retractions(Protocol):
    """Which artifacts bear a retracted label, as far as this machine's store knows; none of it raises.

    `any` may leave out what nobody has indexed yet; `whole` waits for that.
    """

    def any(self, *, whole: bool = False) -> bool: ...

    def of(self, artifact: Artifact) -> Sequence[RetractedLabel]: ...

    def look_again(self) -> None: ...


class NoRetractions:
    """Nothing is retracted."""

    def any(self, *, whole: bool = False) -> bool:
        """No."""
        return False

    def of(self, artifact: Artifact) -> Sequence[RetractedLabel]:
        """None."""
        return ()

    def look_again(self) -> None:
        """There is nothing to see."""


class Fingerprinter(Protocol):
    """How artifacts are digested: the algorithm and the cache are its own.

    `readers` are called with each record batch of a table while it is read for its digest.
    """

    def __call__(
        self, obj: object, *, scope: str | None = None, readers: Sequence[Callable[[RecordBatch], None]] = ()
    ) -> Any: ...


class PredictionSink(Protocol):
    """Where keyed predictions are kept; never raises."""

    def add(self, rows: KeyedRows) -> None: ...

    def lost(self, number: int) -> None: ...


class ServingMeters(Protocol):
    """Whose meters a service counts with: those of this process, which is told from its siblings."""

    def __call__(self) -> tuple[MeterProvider | None, bool]:
        """Return the provider, None where nothing is exported, and whether it is this process's alone.

        The application's own may have been made before a fork, and then says of all children the same.
        """
        ...


def no_meters() -> tuple[MeterProvider | None, bool]:
    """Return that nothing is exported."""
    return None, True


class Runtime(Struct, frozen=True):
    """Everything a run needs. `recording` is False where telemetry is switched off: then nothing else is touched.

    `span_ends_run` says that the run's span arrives where its start record went, so that no end record is needed.
    `logs` is the logger among the sinks of events, None where there is none.
    `foreign_sampler` says that spans are sampled by what knows nothing of lineage.
    `predictions` is None where no data set of keyed predictions is written. `spans_leave` says that spans go to where
    that data set is not, so that a few keyed predictions of a run are told by spans too.
    `attributes_kept` is how many attributes a span keeps, None for all.
    """

    recording: bool
    tracer: Tracer
    events: EventSink
    instruments: Instruments
    producers: Producers
    fingerprint: Fingerprinter
    clock: Clock
    new_run_id: Callable[[], str]
    attributes: Mapping[str, Any]
    start_attributes: Mapping[str, Any]
    span_ends_run: bool = True
    digest_algorithm: str = "blake3"
    inherited: Mapping[str, ArtifactContext] = field(default_factory=dict)
    parent: SpanContext | None = None
    pipeline: str | None = None
    logs: EventSink | None = None
    retractions: Retractions = field(default_factory=NoRetractions)
    record_keys: RecordKeys = field(default_factory=RecordKeys)
    predictions: PredictionSink | None = None
    spans_leave: bool = True
    serving_meters: ServingMeters = no_meters
    foreign_sampler: bool = False
    attributes_kept: int | None = None


class _Edge(Protocol):
    def __call__(self) -> Runtime: ...


_resolve: _Edge | None = None


def install(resolve: _Edge | None) -> _Edge | None:
    """Let `resolve` decide which runtime is current (None: `mlotel.sdk`), and return what decided before."""
    global _resolve
    before, _resolve = _resolve, resolve
    return before


def current() -> Runtime:
    """Return the runtime for a run that starts now; one that records nothing where none can be had."""
    global _resolve
    try:
        if _resolve is None:
            with no_fork_meanwhile():
                _resolve = importlib.import_module("mlotel.sdk").runtime
        return _resolve()
    except Exception as error:
        guard("telemetry could not be set up, runs are not recorded", error)
        return nothing()


class _Nothing:
    """Stands for every part of a runtime that records nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@functools.cache
def nothing() -> Runtime:
    """Return the runtime that records nothing."""
    none: Any = _Nothing()
    return Runtime(
        recording=False,
        tracer=NoOpTracer(),
        events=none,
        instruments=none,
        producers=none,
        fingerprint=none,
        clock=SystemClock(),
        new_run_id=str,
        attributes={},
        start_attributes={},
    )


_told: set[tuple[str, str]] = set()


def guard(what: str, error: Exception) -> None:
    """Log a fault of mlotel's own (or bad input in a running pipeline) as a warning: each kind once per place.

    The traceback goes to the debug level: a user who did nothing wrong needs the sentence, who mends it needs the rest.
    """
    text = describe(error)
    key = (what, text[:200])
    if key in _told:
        return
    if len(_told) > 1000:  # messages that differ each time must not fill the memory
        _told.clear()
    _told.add(key)
    logger.warning("mlotel: %s: %s", what, text)
    logger.debug("mlotel: %s", what, exc_info=error)


def describe(error: BaseException) -> str:
    """Return ``Type: message`` of an exception, also of one whose message cannot be made."""
    return f"{type(error).__name__}: {message(error)}"


def message(error: BaseException) -> str:
    """Return an exception's message, also where its ``__str__`` fails."""
    try:
        return str(error)
    except Exception:
        return "(its message cannot be shown)"

"""Which runtime a run gets: the application's providers, mlotel's own towards a collector, or the embedded store."""

from __future__ import annotations

import atexit
import functools
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import NoOpLoggerProvider

from mlotel import carriers, provenance
from mlotel._forks import Lock, no_fork_meanwhile
from mlotel._log import logger
from mlotel._runtime import EventSink, Runtime, ServingMeters, SystemClock, guard, no_meters, nothing
from mlotel._version import __version__
from mlotel.carriers import environment
from mlotel.errors import ConfigurationError, StoreError
from mlotel.instruments import Instruments
from mlotel.model import Fingerprint
from mlotel.sdk._losses import Losses
from mlotel.sdk._recorder import Recorder
from mlotel.sdk._redaction import Redaction
from mlotel.sdk._retractions import RetractionLookup
from mlotel.sdk._settings import Settings
from mlotel.sdk._sinks import CountedLines, JournalEvents, LoggerEvents, NoEvents, Tee
from mlotel.sdk._tracer import JournalTracer, Lines, RandomIds
from mlotel.semconv import SCOPE_NAME
from mlotel.semconv import attributes as A
from mlotel.store.encoding import LineEncoder
from mlotel.store.journal import Journal
from mlotel.store.predictions.keys import RecordKeys, make_secret_of_store
from mlotel.store.predictions.writer import PredictionLog
from mlotel.store.producers import ProducerLookup

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader

    from mlotel.sdk._providers import Collector

__all__ = [
    "configure",
    "default_store",
    "flush",
    "journal",
    "read_metrics",
    "recorder",
    "retractions_changed",
    "runtime",
    "shutdown",
]

EXIT_SECONDS = 2.0

_lock = Lock()
_settings = Settings()
_state: _State | None = None
_retired: list[Collector] = []
_losses: list[Losses] = []
"""What counts the losses of the runtimes that were in use, to be said at exit."""
_reader: MetricReader | None = None
"""What reads this process's metrics where no collector is sent them."""
_scraped: Any = None
"""The provider that it reads: a reader takes one in its life, and runtimes come and go."""
_journal: Journal | None = None
"""Where what is said of runs after the fact was last written to."""
_written_by: weakref.WeakKeyDictionary[object, Path] = weakref.WeakKeyDictionary()
"""The store that each provider's spans go to."""


@dataclass(slots=True)
class _State:
    """The runtime in use, and what it was made for: it is made anew when any of that changes."""

    runtime: Runtime
    pid: int
    seen: tuple[object, object, object]
    collector: Collector | None = None
    losses: Losses = field(default_factory=Losses)
    look_again: float = 0.0


def runtime() -> Runtime:
    """Return the runtime for a run that starts now.

    An application may set its providers after mlotel was first used: they are taken from then on.
    """
    state = _state
    if state is not None and state.pid == os.getpid() and state.seen[0] is trace.get_tracer_provider():
        now = time.monotonic()
        if now < state.look_again:
            return state.runtime
        # loggers and meters are set together with tracers as a rule: once a second is often enough
        state.look_again = now + 1.0
        if state.seen == _globals():
            return state.runtime
    with no_fork_meanwhile(), _lock:
        return _renew().runtime


def configure(
    *,
    store: str | os.PathLike[str] | Literal[False] | None = None,
    endpoint: str | None = None,
    protocol: Literal["grpc", "http/protobuf"] | None = None,
    headers: Mapping[str, str] | None = None,
    service_name: str | None = None,
    resource_attributes: Mapping[str, Any] | None = None,
    digest: Literal["blake3", "sha256"] | None = None,
    record_key_secret: str | bytes | Literal[False] | None = None,
    redact: Callable[[str, Any], Any] | Literal[False] | None = None,
    exception_text: bool | None = None,
) -> None:
    """Say where runs go, where the standard ``OTEL_*`` variables and ``MLOTEL_STORE`` do not say it.

    What is given here wins over the environment; what is left out stays as it was. Providers that the application set
    are used in any case.

    Args:
        store: The folder of the embedded store, made if need be; False for none.
        endpoint: The collector's base URL, such as ``http://localhost:4318`` (for gRPC ``http://localhost:4317``).
        protocol: ``http/protobuf`` (the default) or ``grpc``.
        headers: Headers of each request to the collector; never written to disk.
        service_name: The resource attribute ``service.name``.
        resource_attributes: More resource attributes: few values each.
        digest: The algorithm of artifacts' digests, ``blake3`` (the default) or ``sha256``.
        record_key_secret: What the keys of predictions are hashed with, so that the keys themselves are nowhere on
            disk; by default that of ``MLOTEL_RECORD_KEY_SECRET``, or else one that the store makes for itself. False
            keeps them in clear.
        redact: A function that takes an attribute's name and value, and returns what leaves the process in its place:
            in spans, log records, the store and labels of metrics (docs/privacy.md). False for none.
        exception_text: Whether messages and stack traces of exceptions leave the process; by default they do, unless
            ``MLOTEL_EXCEPTION_TEXT`` says ``false``.

    Raises:
        ConfigurationError: a value cannot be used; the message says what to write.
        StoreError: the store cannot be written.
    """
    global _settings
    with _lock:
        changes: dict[str, Any] = {
            "store": store if store is None or store is False else _writable(store),
            "endpoint": endpoint,
            "protocol": protocol,
            "headers": headers,
            "service_name": service_name,
            "resource_attributes": resource_attributes,
            "digest": digest,
            "record_key_secret": record_key_secret,
            "redact": redact,
            "exception_text": exception_text,
        }
        _settings = _settings.updated(changes)
        _retire()


def flush() -> bool:
    """Send what waits to be sent; return whether it arrived. What is in the embedded store is there already."""
    with _lock:
        collectors = [*_retired, *([] if _state is None or _state.collector is None else [_state.collector])]
    arrived = [collector.flush() for collector in collectors]
    return all(arrived)


def shutdown(timeout: float = EXIT_SECONDS) -> bool:
    """Send what waits for `timeout` seconds at most and let go of everything; a later run starts anew.

    Returns whether all of it was sent. It is called at exit by itself; functions that are frozen between calls
    (serverless) call `flush` instead.
    """
    with _lock:
        _retire()
        collectors, losses = list(_retired), list(_losses)
        _retired.clear()
        _losses.clear()
    until = time.monotonic() + timeout
    done = [collector.close(until) for collector in collectors]
    for each in losses:
        each.say()
    return all(done)


def read_metrics(reader: MetricReader | None) -> None:
    """Let `reader` read the metrics of this process from now on, in place of the one before; None ends that.

    Raises:
        ConfigurationError: telemetry is switched off, or metrics go elsewhere already.
    """
    global _reader, _scraped
    with _lock:
        if reader is not None:
            if _settings.disabled:
                raise ConfigurationError("OTEL_SDK_DISABLED switches telemetry off: unset it to have metrics scraped")
            if _application()[2] is not None:
                raise ConfigurationError(
                    "the application has a meter provider of its own: give that one a reader for Prometheus"
                )
            if _settings.exports("metrics"):
                raise ConfigurationError(
                    "metrics go to a collector already, which offers them for scraping: set "
                    "OTEL_METRICS_EXPORTER=none to have this process scraped instead"
                )
        _reader, _scraped = reader, None
        _retire()


def default_store() -> Path | None:
    """Return the folder of the embedded store, whether it is there or not; None where it is switched off."""
    return _settings.store_root


def journal(root: Path) -> Journal:
    """Return what writes to the store at `root`: the same one as last time, so that records share a segment."""
    global _journal
    with _lock:
        if _journal is None or _journal.root != Path(os.path.abspath(root)):
            _journal = Journal(root)
        return _journal


def recorder(lines: Lines | None) -> Recorder:
    """Return what writes a record of something that was said after the fact.

    Args:
        lines: the store, None for none. The logger of the application or of a collector takes it in any case.
    """
    resource = _settings.resource()
    logs = None
    if not _settings.disabled and (_settings.otlp or _application()[1] is not None):  # else there is no need for a run
        logs = runtime().logs
    return Recorder(lines, LineEncoder(resource, SCOPE_NAME, __version__), logs, _settings.redaction)


def retractions_changed() -> None:
    """Let the runs of this process see at once that this process retracted a label, or gave one."""
    with _lock:
        if _state is not None:
            _state.runtime.retractions.look_again()


def _retire() -> None:
    """Let go of the runtime in use, with the lock held.

    Runs may be open that hold on to it, and what they still write must arrive: its collector is closed at exit, and its
    journal when the last run has let go of it.
    """
    global _state
    if _state is not None:
        _losses.append(_state.losses)
        if _state.collector is not None:
            _retired.append(_state.collector)
    _state = None


@functools.cache
def _register_exit() -> None:
    atexit.register(shutdown)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _register_process_end()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _register_process_end(*_: object) -> None:
    """Let go of everything at the end of a process of `multiprocessing`, which never comes to `atexit`."""
    from multiprocessing.util import Finalize

    Finalize(None, shutdown, exitpriority=0)


def _after_fork() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # not at once: a child of multiprocessing forgets what its parent wanted done first
        util.register_after_fork(shutdown, _register_process_end)


def _globals() -> tuple[object, object, object]:
    return trace.get_tracer_provider(), _logs.get_logger_provider(), metrics.get_meter_provider()


def _application() -> tuple[Any, Any, Any]:
    """Return the providers that the application has set; None for each that it has not."""
    tracers, loggers, meters = _globals()
    # the API's stand-ins for providers that are still to come
    own_tracers = None if isinstance(tracers, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)) else tracers
    own_loggers = None if isinstance(loggers, NoOpLoggerProvider) or _is_proxy(loggers) else loggers
    own_meters = None if isinstance(meters, metrics.NoOpMeterProvider) or _is_proxy(meters) else meters
    return own_tracers, own_loggers, own_meters


def _is_proxy(provider: object) -> bool:
    # the API does not export these two classes; their modules are its own
    return type(provider).__name__.lstrip("_").startswith("Proxy") and type(provider).__module__.startswith(
        ("opentelemetry._logs", "opentelemetry.metrics")
    )


def _renew() -> _State:
    global _state
    state = _state
    seen = _globals()
    if state is not None and state.seen == seen:
        if state.pid == os.getpid():
            return state
        # a forked child keeps its parent's providers (the SDK mends them), counts by itself and has its own attributes
        state.pid = os.getpid()
        state.runtime = _with_process(state.runtime)
        application = _application()[2]
        meters = application or (_scraped if state.collector is None else state.collector.meter_provider)
        if meters is not None:
            state.losses.count_with(meters.get_meter(SCOPE_NAME, __version__), sends=state.collector is not None)
            if application is None:
                state.runtime = replace(state.runtime, instruments=_instruments(meters, _settings.redaction))
        return state
    _retire()
    try:
        _state = _build(_settings, seen)
    except Exception as error:
        guard("telemetry could not be set up, runs are not recorded", error)
        _state = _State(nothing(), os.getpid(), seen)
    _register_exit()
    return _state


def _build(settings: Settings, seen: tuple[object, object, object]) -> _State:
    global _scraped
    if settings.disabled:
        return _State(nothing(), os.getpid(), seen)
    tracers, loggers, meters = _application()
    if tracers is None:
        settings.warn_of_exporters()
    scraped = None
    if meters is None and _reader is not None and not settings.exports("metrics"):
        from mlotel.sdk._providers import scraped_provider

        if _scraped is None:
            _scraped = scraped_provider(settings, _reader)
        meters = scraped = _scraped
    root = settings.store_root
    otlp = settings.otlp
    embedded = root is not None and (settings.store_wanted or (tracers is None and not otlp))
    journal = None if root is None else Journal(root)
    encoder = LineEncoder(settings.resource(), SCOPE_NAME, __version__)
    ids = RandomIds()

    losses = Losses()
    lines = None if journal is None else CountedLines(journal, losses)
    collector = kept = None
    foreign_sampler = False
    tracer: trace.Tracer
    if tracers is None and not otlp and lines is not None:
        tracer = JournalTracer(lines, encoder, ids)
    elif tracers is None and not otlp and scraped is None:
        return _State(nothing(), os.getpid(), seen)  # the user switched off the store, and there is no other
    elif tracers is None and not otlp:
        tracer = trace.NoOpTracer()
    else:
        provider = tracers
        if provider is None:
            # the SDK is loaded where there is something for it to do
            from mlotel.sdk._providers import Collector

            collector = Collector(settings, root, encoder)
            provider = collector.tracer_provider
            loggers = loggers or collector.logger_provider
            meters = meters or collector.meter_provider
        if embedded and lines is not None and root is not None:
            _write_to(provider, lines, root)
        from mlotel.sdk._limits import attributes_kept, check_limits

        kept = attributes_kept(provider)
        if tracers is not None:
            check_limits(provider)
        tracer = provider.get_tracer(SCOPE_NAME, __version__)
        from mlotel.sdk.sampling import LineageSampler

        foreign_sampler = not isinstance(getattr(provider, "sampler", None), LineageSampler)

    sinks: list[EventSink] = []
    if loggers is not None:
        own = collector is not None and loggers is collector.logger_provider
        waiting = collector.waiting_events if own and collector is not None else None
        from mlotel.sdk._limits import log_attributes_kept

        most = log_attributes_kept(settings.environment)
        sinks.append(LoggerEvents(loggers.get_logger(SCOPE_NAME, __version__), waiting, most))
    # without a logger the start record goes to the store all the same: a run that is killed must be on record
    if lines is not None and (embedded or (loggers is None and not otlp)):
        sinks.append(JournalEvents(lines, encoder))
    events = sinks[0] if len(sinks) == 1 else Tee(sinks) if sinks else NoEvents()

    redaction = settings.redaction
    made = Runtime(
        recording=True,
        tracer=tracer,
        events=events,
        instruments=_instruments(meters, redaction),
        producers=ProducerLookup(root if embedded else None),
        fingerprint=_fingerprinter(settings.digest, root if embedded else None),
        clock=SystemClock(),
        new_run_id=ids.run_id,
        attributes={},
        start_attributes={},
        span_ends_run=embedded and loggers is None,
        digest_algorithm=settings.digest,
        inherited=environment.artifacts(settings.environment),
        parent=carriers.parse_traceparent(settings.environment.get(environment.TRACEPARENT)),
        pipeline=settings.environment.get(environment.PIPELINE, "").strip()[:255] or None,
        logs=sinks[0] if loggers is not None else None,
        retractions=RetractionLookup(root if embedded else None),
        record_keys=_record_keys(settings, root if embedded else None),
        predictions=PredictionLog(root) if embedded and root is not None else None,
        spans_leave=tracers is not None or otlp,
        serving_meters=_serving_meters(meters, collector, scraped),
        foreign_sampler=foreign_sampler,
        attributes_kept=kept,
    )
    if redaction:
        from mlotel.sdk._redacting import redacted  # where nothing is kept back, nothing stands in the way

        made = redacted(made, redaction)
    if meters is not None:
        losses.count_with(meters.get_meter(SCOPE_NAME, __version__), sends=False)
    return _State(_with_process(made), os.getpid(), seen, collector, losses)


def _instruments(meters: Any, redaction: Redaction) -> Instruments:
    """Return what runs are counted with, of whose labels no more leaves than may."""
    meter = None if meters is None else meters.get_meter(SCOPE_NAME, __version__)
    if meter is not None and redaction:
        from mlotel.sdk._redacting import RedactingMeter

        meter = RedactingMeter(meter, redaction)
    return Instruments(meter)


def _record_keys(settings: Settings, store: Path | None) -> RecordKeys:
    if settings.record_secret is not None or settings.keys_in_clear or store is None:
        return RecordKeys(settings.record_secret)
    return RecordKeys(functools.partial(make_secret_of_store, store))


def _serving_meters(meters: Any, collector: Collector | None, scraped: Any) -> ServingMeters:
    if scraped is not None:
        return lambda: (scraped, True)  # each process has one of its own, forked children too
    if collector is not None and meters is not None and meters is collector.meter_provider:
        return collector.serving_meters
    return no_meters if meters is None else lambda: (meters, False)


def _write_to(provider: Any, lines: Lines, root: Path) -> None:
    """Let spans of `provider` go to the store too; a processor cannot be taken away again, so there is one at most."""
    if _written_by.get(provider) == root:
        return
    if not hasattr(provider, "add_span_processor"):
        logger.warning("mlotel: the application's tracer provider takes no span processor: the store gets no spans")
        return
    from mlotel.sdk._processor import JournalProcessor

    provider.add_span_processor(JournalProcessor(lines))
    _written_by[provider] = root


def _with_process(made: Runtime) -> Runtime:
    me = provenance.identity()
    state = provenance.git()
    found = {
        A.VCS_REF_HEAD_REVISION: state.commit,
        A.VCS_REF_HEAD_NAME: state.branch,
        A.MLOTEL_VCS_DIRTY: state.dirty,
        A.VCS_REPOSITORY_URL_FULL: state.repository,
        A.MLOTEL_ENVIRONMENT_DIGEST: provenance.environment_digest(),
        A.PROCESS_PID: me.pid,
    }
    start = {
        A.PROCESS_CREATION_TIME: me.created,
        A.MLOTEL_PROCESS_START_TICKS: me.start_ticks,
        A.MLOTEL_PROCESS_BOOT_ID: me.boot_id,
        A.MLOTEL_PROCESS_PID_NAMESPACE: me.pid_namespace,
        A.HOST_NAME: me.host,
    }
    return replace(
        made,
        attributes={key: value for key, value in found.items() if value is not None},
        start_attributes={key: value for key, value in start.items() if value is not None},
    )


def _fingerprinter(algorithm: str, root: Path | None) -> Any:
    made: Any = None

    def fingerprint(obj: object, *, scope: str | None = None, readers: Sequence[Any] = ()) -> Fingerprint:
        nonlocal made
        if made is None:
            with no_fork_meanwhile():
                from mlotel import hashing  # loaded when the first artifact comes

            cache = hashing.StatCache(None if root is None else root / "digests.sqlite")
            made = functools.partial(hashing.fingerprint, algorithm=algorithm, cache=cache)
        found: Fingerprint = made(obj, scope=scope, readers=readers)
        return found

    return fingerprint


def _writable(store: object) -> Path:
    """Return the folder of a store if one can be written there. Raises ConfigurationError and StoreError."""
    if not isinstance(store, (str, os.PathLike)) or not os.fspath(store):
        raise ConfigurationError(f"store must be a folder's path, or False for none, not {store!r}")
    root = Path(os.path.abspath(Path(os.fsdecode(store)).expanduser()))
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = root / f".probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise StoreError(f"the store {root} cannot be written ({error.strerror}): name another folder") from error
    return root

"""Making the runtime that settings ask for: which providers, sinks, store and keys the runs of a process get."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import NoOpLoggerProvider

from mlotel import carriers, provenance
from mlotel._forks import no_fork_meanwhile
from mlotel._log import logger
from mlotel._runtime import EventSink, Runtime, ServingMeters, SystemClock, no_meters, nothing
from mlotel._version import __version__
from mlotel.carriers import environment
from mlotel.instruments import Instruments
from mlotel.model import Fingerprint
from mlotel.sdk._gauges import meter_of
from mlotel.sdk._losses import Losses
from mlotel.sdk._redaction import Redaction
from mlotel.sdk._retractions import RetractionLookup
from mlotel.sdk._settings import Settings
from mlotel.sdk._sinks import CountedLines, CountedPredictions, JournalEvents, LoggerEvents, NoEvents, Tee
from mlotel.sdk._tracer import JournalTracer, Lines, RandomIds
from mlotel.semconv import SCOPE_NAME
from mlotel.semconv import attributes as A
from mlotel.store.encoding import LineEncoder
from mlotel.store.journal import Journal
from mlotel.store.predictions.keys import RecordKeys, make_secret_of_store
from mlotel.store.predictions.writer import PredictionLog
from mlotel.store.producers import ProducerLookup

if TYPE_CHECKING:
    from mlotel.sdk._providers import Collector

__all__ = ["application_providers", "build", "global_providers", "make_instruments", "with_process"]

_written_by: weakref.WeakKeyDictionary[object, Path] = weakref.WeakKeyDictionary()
"""The store that each provider's spans go to."""


def global_providers() -> tuple[object, object, object]:
    """Return OpenTelemetry's global providers of tracers, loggers and meters, as they are now."""
    return trace.get_tracer_provider(), _logs.get_logger_provider(), metrics.get_meter_provider()


def application_providers() -> tuple[Any, Any, Any]:
    """Return the providers that the application has set; None for each that it has not."""
    tracers, loggers, meters = global_providers()
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


def build(settings: Settings, scraped: Any) -> tuple[Runtime, Collector | None, Losses]:
    """Return the runtime for settings, what sends its telemetry, and what counts the losses of its store.

    Args:
        settings: what the user asked for.
        scraped: the meter provider that is scraped, where there is one and no other.
    """
    losses = Losses()
    if settings.disabled:
        return nothing(), None, losses
    tracers, loggers, meters = application_providers()
    if tracers is None:
        settings.warn_of_exporters()
    meters = meters or scraped
    root = settings.store_root
    otlp = settings.otlp
    embedded = root is not None and (settings.store_wanted or (tracers is None and not otlp))
    journal = None if root is None else Journal(root)
    encoder = LineEncoder(settings.resource(), SCOPE_NAME, __version__)
    ids = RandomIds()

    lines = None if journal is None else CountedLines(journal, losses)
    collector = kept = None
    foreign_sampler = False
    tracer: trace.Tracer
    if tracers is None and not otlp and lines is not None:
        tracer = JournalTracer(lines, encoder, ids)
    elif tracers is None and not otlp and scraped is None:
        return nothing(), None, losses  # the user switched off the store, and there is no other
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
        instruments=make_instruments(meters, redaction),
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
        predictions=CountedPredictions(PredictionLog(root), losses) if embedded and root is not None else None,
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
    return with_process(made), collector, losses


def make_instruments(meters: Any, redaction: Redaction) -> Instruments:
    """Return what runs are counted with, of whose labels no more leaves than may."""
    meter = None if meters is None else meter_of(meters)
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


def with_process(made: Runtime) -> Runtime:
    """Return a runtime whose runs say what process and code they are of."""
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

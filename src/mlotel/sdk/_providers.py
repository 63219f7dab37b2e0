"""Providers of mlotel's own, for processes whose application has none. They are never made global."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler

from mlotel._runtime import guard
from mlotel.sdk._exporters import (
    Backend,
    LogExporter,
    MetricsExporter,
    Pending,
    TraceExporter,
    TraceProcessor,
    make_exporter,
)
from mlotel.sdk._settings import Settings
from mlotel.sdk._sinks import Event
from mlotel.sdk._tracer import RandomIds
from mlotel.sdk.sampling import SAMPLER_NAME, lineage_sampler
from mlotel.semconv import attributes as A
from mlotel.store.encoding import LineEncoder
from mlotel.store.journal import Journal

__all__ = ["Collector", "SdkIds", "make_resource", "scraped_provider"]


class SdkIds(RandomIds, IdGenerator):
    """The same ids for the SDK's tracers."""

    def is_trace_id_random(self) -> bool:
        """Say that the ids are random, as W3C trace context level 2 lets tracers tell."""
        return True


def make_resource(settings: Settings) -> Resource:
    """Return the SDK's resource with what `Settings.resource` holds."""
    return Resource.create().merge(Resource(settings.resource()))


def _sampler(environment: Mapping[str, str]) -> Sampler | None:
    """Return mlotel's sampler where it is asked for; None for one that the SDK knows how to make."""
    # the SDK takes a sampler of this name from its entry point in `opentelemetry-instrument` alone
    if environment.get("OTEL_TRACES_SAMPLER", "").strip().lower() != SAMPLER_NAME:
        return None
    return lineage_sampler(environment.get("OTEL_TRACES_SAMPLER_ARG"))


def _metrics_resource(resource: Resource, environment: Mapping[str, str]) -> Resource:
    """Return `resource` without an instance id that is new in each process: a series must outlive a batch job.

    Replicas that run at the same time are told apart by `service.instance.id` in OTEL_RESOURCE_ATTRIBUTES, or by
    MLOTEL_REPLICA.
    """
    attributes = dict(resource.attributes)
    said = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if f"{A.SERVICE_INSTANCE_ID}=" not in said:
        attributes.pop(A.SERVICE_INSTANCE_ID, None)
    replica = environment.get("MLOTEL_REPLICA", "").strip()
    if replica:
        attributes[A.SERVICE_INSTANCE_ID] = replica
    return Resource(attributes, resource.schema_url)


def _serving_resource(resource: Resource, environment: Mapping[str, str]) -> Resource:
    """Return `resource` with an identity of this process: replicas and forked workers count side by side.

    It is MLOTEL_REPLICA or the host's name, and the process id, as a machine or a pod runs several workers.
    """
    attributes = dict(resource.attributes)
    replica = environment.get("MLOTEL_REPLICA", "").strip() or f"{attributes.get(A.HOST_NAME, 'host')}"
    attributes[A.SERVICE_INSTANCE_ID] = attributes[A.MLOTEL_REPLICA] = f"{replica}/{os.getpid()}"
    return Resource(attributes, resource.schema_url)


def scraped_provider(settings: Settings, reader: MetricReader) -> MeterProvider:
    """Return a provider of what one reader reads."""
    return MeterProvider([reader], make_resource(settings), shutdown_on_exit=False)


class Collector:
    """The three providers that send to a collector; None for a signal that is not configured.

    The tracer provider is always there: where spans are not exported they may go to the embedded store.
    """

    def __init__(self, settings: Settings, spool: Journal | None, encoder: LineEncoder) -> None:
        resource = make_resource(settings)
        self._exporters: list[TraceExporter | LogExporter | MetricsExporter] = []
        self._providers: list[Any] = []
        self._settings, self._resource = settings, resource
        self._serving_lock = threading.Lock()
        self._serving: tuple[MeterProvider, MetricsExporter] | None = None
        self._pid = os.getpid()
        self._close = threading.Event()
        self._closed = threading.Event()
        self.logger_provider: LoggerProvider | None = None
        self.meter_provider: MeterProvider | None = None
        self.waiting_events: Pending[Event] | None = None
        self.tracer_provider = TracerProvider(
            sampler=_sampler(settings.environment), resource=resource, shutdown_on_exit=False, id_generator=SdkIds()
        )
        if settings.exports("traces"):
            traces = TraceExporter(make_exporter(settings, "traces"), spool, Backend(settings, "traces"))
            self.tracer_provider.add_span_processor(TraceProcessor(traces))
            self._add(traces, self.tracer_provider)
        if settings.exports("logs"):
            logs = LogExporter(make_exporter(settings, "logs"), spool, encoder, Backend(settings, "logs"))
            self.waiting_events = logs.pending
            self.logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
            self.logger_provider.add_log_record_processor(BatchLogRecordProcessor(logs))
            self._add(logs, self.logger_provider)
        if settings.exports("metrics"):
            numbers = MetricsExporter(make_exporter(settings, "metrics"), Backend(settings, "metrics"))
            self.meter_provider = MeterProvider(
                [PeriodicExportingMetricReader(numbers)],
                _metrics_resource(resource, settings.environment),
                shutdown_on_exit=False,
            )
            self._add(numbers, self.meter_provider)
        self._start_closing()
        if hasattr(os, "register_at_fork"):
            reference = weakref.ref(self)  # a hook cannot be taken away again
            os.register_at_fork(after_in_child=lambda: _forked(reference))

    def serving_meters(self) -> tuple[MeterProvider | None, bool]:
        """Return the provider of what this process counts as one of several replicas, made when it is asked for."""
        with self._serving_lock:
            if self._serving is None:
                if self._pid != os.getpid():
                    self._pid = os.getpid()
                    self._start_closing()  # a forked child has none of its parent's threads
                numbers = MetricsExporter(make_exporter(self._settings, "metrics"), Backend(self._settings, "metrics"))
                provider = MeterProvider(
                    [PeriodicExportingMetricReader(numbers)],
                    _serving_resource(self._resource, self._settings.environment),
                    shutdown_on_exit=False,
                )
                self._serving = provider, numbers
                self._add(numbers, provider)
            return self._serving[0], True

    def _forget_parent(self) -> None:
        self._serving_lock = threading.Lock()
        if self._serving is not None:
            provider, exporter = self._serving
            exporter.gate.turn_off()  # its identity is the parent's, and the SDK goes on with it in the child
            self._providers.remove(provider)
            self._exporters.remove(exporter)
            self._serving = None
        self._close, self._closed = threading.Event(), threading.Event()

    def _start_closing(self) -> None:
        # started now: at interpreter exit no thread can be started any more (Python 3.12)
        threading.Thread(target=self._wait_to_close, name="mlotel-close", daemon=True).start()

    def _add(self, exporter: TraceExporter | LogExporter | MetricsExporter, provider: Any) -> None:
        self._exporters.append(exporter)
        self._providers.append(provider)

    def flush(self) -> bool:
        """Send what waits; return whether all of it arrived or was refused for good."""
        for provider in self._providers:
            provider.force_flush()
        return not any(exporter.gate.failing for exporter in self._exporters)

    def close(self, seconds: float) -> bool:
        """Send what waits for `seconds` at most, spool the rest; return whether everything was done by then."""
        self._close.set()
        done = self._closed.wait(seconds)
        if not done:
            for exporter in self._exporters:
                exporter.shutdown()  # interrupts the waiting between tries
            done = self._closed.wait(0.2)
        for exporter in self._exporters:
            if not done:
                exporter.gate.tell()
            if not isinstance(exporter, MetricsExporter):
                exporter.pending.drain()  # a backend that takes a request and never answers holds the thread
        return done

    def _wait_to_close(self) -> None:
        self._close.wait()
        for provider in self._providers:
            try:
                provider.shutdown()
            except Exception as error:
                guard("shutdown", error)
        self._closed.set()


def _forked(reference: weakref.ref[Collector]) -> None:
    collector = reference()
    if collector is not None:
        collector._forget_parent()

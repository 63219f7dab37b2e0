"""Providers of mlotel's own, for processes whose application has none. They are never made global."""

from __future__ import annotations

import os
import platform
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator

from mlotel._runtime import guard
from mlotel.sdk._exporters import LogExporter, MetricsExporter, TraceExporter, make_exporter, refusal
from mlotel.sdk._settings import Settings
from mlotel.semconv import attributes as A
from mlotel.store.journal import Journal

__all__ = ["Collector", "RandomIds", "make_resource"]


class RandomIds(IdGenerator):
    """Ids from a generator of its own.

    The SDK's draws from Python's shared one: a pipeline that calls ``random.seed(0)``, as most do, would give the same
    trace and span ids in each of its processes.
    """

    def __init__(self) -> None:
        self._random = random.Random(os.urandom(32))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reseed)

    def _reseed(self) -> None:
        self._random.seed(os.urandom(32))

    def generate_span_id(self) -> int:
        return self._random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return self._random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        return True

    def run_id(self) -> str:
        """Return a new run id: 32 hex digits."""
        return f"{self._random.getrandbits(128):032x}"


def make_resource(settings: Settings) -> Resource:
    """Return the resource of this process: few values each, since a collector may make labels of them."""
    attributes: dict[str, Any] = {
        A.PROCESS_RUNTIME_NAME: platform.python_implementation().lower(),
        A.PROCESS_RUNTIME_VERSION: platform.python_version(),
        A.HOST_NAME: platform.node(),
        A.HOST_ARCH: platform.machine(),
        A.OS_TYPE: platform.system().lower(),
    }
    # OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win over what was found, arguments over both
    resource = Resource(attributes).merge(Resource.create())
    said: dict[str, Any] = dict(settings.resource_attributes)
    if settings.service_name is not None:
        said[A.SERVICE_NAME] = settings.service_name
    return resource.merge(Resource(said)) if said else resource


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


@dataclass(slots=True)
class Collector:
    """The three providers that send to a collector, each where its signal is configured."""

    settings: Settings
    resource: Resource
    spool: Journal | None
    meter_provider: Any = None
    logger_provider: Any = None
    exporters: list[TraceExporter | LogExporter | MetricsExporter] = field(default_factory=list)
    _closers: list[Callable[[], Any]] = field(default_factory=list)
    _flushers: list[Callable[[], Any]] = field(default_factory=list)
    _close: threading.Event = field(default_factory=threading.Event)
    _closed: threading.Event = field(default_factory=threading.Event)

    def start(self, tracer_provider: TracerProvider | None) -> None:
        """Build what is configured; spans of `tracer_provider` are sent."""
        settings = self.settings
        if tracer_provider is not None and settings.exports("traces"):
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            traces = TraceExporter(make_exporter(settings, "traces"), self.spool, refusal(settings, "traces"))
            tracer_provider.add_span_processor(BatchSpanProcessor(traces))
            self._add(traces, tracer_provider)
        if settings.exports("logs"):
            from opentelemetry.sdk._logs import LoggerProvider
            from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

            logs = LogExporter(make_exporter(settings, "logs"), self.spool, refusal(settings, "logs"))
            self.logger_provider = LoggerProvider(self.resource, shutdown_on_exit=False)
            self.logger_provider.add_log_record_processor(BatchLogRecordProcessor(logs))
            self._add(logs, self.logger_provider)
        if settings.exports("metrics"):
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

            numbers = MetricsExporter(make_exporter(settings, "metrics"), refusal(settings, "metrics"))
            self.meter_provider = MeterProvider(
                [PeriodicExportingMetricReader(numbers)],
                _metrics_resource(self.resource, settings.environment),
                shutdown_on_exit=False,
            )
            self._add(numbers, self.meter_provider)
        # started now: at interpreter exit no thread can be started any more (Python 3.12)
        threading.Thread(target=self._wait_to_close, name="mlotel-close", daemon=True).start()

    def _add(self, exporter: TraceExporter | LogExporter | MetricsExporter, provider: Any) -> None:
        self.exporters.append(exporter)
        self._flushers.append(provider.force_flush)
        self._closers.append(provider.shutdown)

    def flush(self) -> bool:
        """Send what waits; return whether all of it arrived or was refused for good."""
        return all([flusher() is not False for flusher in self._flushers])

    def close(self, seconds: float) -> bool:
        """Send what waits for `seconds` at most, spool the rest; return whether everything was done by then."""
        self._close.set()
        if self._closed.wait(seconds):
            return True
        for exporter in self.exporters:
            exporter.shutdown()  # interrupts the waiting between tries; what is still queued goes to the spool
        return self._closed.wait(0.5)

    def _wait_to_close(self) -> None:
        self._close.wait()
        for closer in self._closers:
            try:
                closer()
            except Exception as error:
                guard("shutdown", error)
        self._closed.set()

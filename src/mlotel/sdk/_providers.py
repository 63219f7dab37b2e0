"""Providers of mlotel's own, for processes whose application has none. They are never made global."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler

from mlotel._forks import Lock, after_in_child
from mlotel._runtime import guard
from mlotel._version import __version__
from mlotel.sdk._courier import Courier, Lane
from mlotel.sdk._exporters import LogExporter, MetricsExporter, Patience, Pending, TraceExporter, TraceProcessor
from mlotel.sdk._held import MOST_HELD, Held
from mlotel.sdk._limits import span_limits
from mlotel.sdk._losses import Losses
from mlotel.sdk._settings import SIGNALS, Settings, Signal
from mlotel.sdk._sinks import Event
from mlotel.sdk._tracer import RandomIds
from mlotel.sdk._transport import Answer, make_transport
from mlotel.sdk.replay import Replayer
from mlotel.sdk.sampling import SAMPLER_NAME, lineage_sampler
from mlotel.sdk.spool import Spool
from mlotel.semconv import SCOPE_NAME
from mlotel.semconv import attributes as A
from mlotel.store.encoding import LineEncoder

_SOON_S, _LATER_S, _SELDOM_S = 0.5, 5.0, 30.0
"""When the spool is looked at again: after something was sent, after nothing was, and where there is no point in it."""

_MARGIN_S = 0.1
"""How long before the latest end nothing is waited for any more."""

__all__ = ["Collector", "SdkIds", "make_resource", "scraped_provider"]


class SdkIds(RandomIds, IdGenerator):
    """The same ids for the SDK's tracers."""

    def is_trace_id_random(self) -> bool:
        """Say that the ids are random, as W3C trace context level 2 lets tracers tell."""
        return True


def make_resource(settings: Settings) -> Resource:
    """Return the SDK's resource with what `Settings.resource` holds."""
    found = Resource.create()
    return Resource(settings.resource(found.attributes), found.schema_url)


def _sampler(environment: Mapping[str, str]) -> Sampler | None:
    """Return mlotel's sampler where it is asked for; None for one that the SDK knows how to make."""
    # the SDK takes a sampler of this name from its entry point in `opentelemetry-instrument` alone
    if environment.get("OTEL_TRACES_SAMPLER", "").strip().lower() != SAMPLER_NAME:
        return None
    return lineage_sampler(environment.get("OTEL_TRACES_SAMPLER_ARG"))


def _metrics_resource(resource: Resource, settings: Settings) -> Resource:
    """Return `resource` without an instance id that is new in each process: a series must outlive a batch job.

    Replicas that run at the same time are told apart by `service.instance.id` in OTEL_RESOURCE_ATTRIBUTES, or by
    MLOTEL_REPLICA.
    """
    attributes = dict(resource.attributes)
    said = settings.environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if f"{A.SERVICE_INSTANCE_ID}=" not in said:
        attributes.pop(A.SERVICE_INSTANCE_ID, None)
    if settings.replica:
        attributes[A.SERVICE_INSTANCE_ID] = settings.replica
    return Resource(attributes, resource.schema_url)


def _serving_resource(resource: Resource, settings: Settings) -> Resource:
    """Return `resource` with an identity of this process: replicas and forked workers count side by side.

    It is MLOTEL_REPLICA or the host's name, and the process id, as a machine or a pod runs several workers.
    """
    attributes = dict(resource.attributes)
    replica = settings.replica or f"{attributes.get(A.HOST_NAME, 'host')}"
    attributes[A.SERVICE_INSTANCE_ID] = attributes[A.MLOTEL_REPLICA] = f"{replica}/{os.getpid()}"
    return Resource(attributes, resource.schema_url)


def scraped_provider(settings: Settings, reader: MetricReader) -> MeterProvider:
    """Return a provider of what one reader reads."""
    return MeterProvider([reader], make_resource(settings), shutdown_on_exit=False)


class Collector:
    """The three providers that send to a collector; None for a signal that is not configured.

    The tracer provider is always there: where spans are not exported they may go to the embedded store.

    Args:
        settings: where to, and what.
        root: the folder of the store in which is spooled what does not arrive; None where there is none.
        encoder: makes lines of events.
    """

    def __init__(self, settings: Settings, root: Path | None, encoder: LineEncoder) -> None:
        resource = make_resource(settings)
        self._settings, self._resource = settings, resource
        self._losses = Losses()
        self._spool = None if root is None else Spool(root, self._losses, settings.spool_bytes)
        self._replayer: Replayer | Held
        self._keeper: Spool | Held
        if self._spool is None:
            self._keeper = self._replayer = Held(self._send, self._losses, min(settings.spool_bytes, MOST_HELD))
        else:
            self._keeper = self._spool
            self._replayer = Replayer(self._spool.root, self._send, self._losses, self._spool)
        self._lanes: dict[Signal, Lane] = {
            signal: Lane(signal, make_transport(settings, signal), kept=root is not None)
            for signal in SIGNALS
            if settings.exports(signal)
        }
        self._courier = Courier(self._catch_up, self._hang_up)
        self._patience = Patience()
        self._pending: dict[Signal, Pending[Any]] = {}
        self._providers: list[Any] = []
        self._making_meters = Lock()
        self._meters: MeterProvider | None = None
        self._serving: MeterProvider | None = None
        self._numbers: list[tuple[MeterProvider, MetricsExporter]] = []
        self._close = threading.Event()
        self._closed = threading.Event()
        self.logger_provider: LoggerProvider | None = None
        self.waiting_events: Pending[Event] | None = None
        self.tracer_provider = TracerProvider(
            sampler=_sampler(settings.environment),
            resource=resource,
            shutdown_on_exit=False,
            id_generator=SdkIds(),
            span_limits=span_limits(),
        )
        way = self._courier, self._patience, self._keeper, self._losses
        if "traces" in self._lanes:
            traces = TraceExporter(self._lanes["traces"], *way)
            self.tracer_provider.add_span_processor(TraceProcessor(traces))
            self._pending["traces"] = traces.pending
            self._providers.append(self.tracer_provider)
        if "logs" in self._lanes:
            logs = LogExporter(self._lanes["logs"], *way, encoder)
            self.waiting_events = logs.pending
            self.logger_provider = LoggerProvider(resource, shutdown_on_exit=False)
            self.logger_provider.add_log_record_processor(BatchLogRecordProcessor(logs))
            self._pending["logs"] = logs.pending
            self._providers.append(self.logger_provider)
        self._start_closing()
        after_in_child(self._begin_anew)

    @property
    def meter_provider(self) -> MeterProvider | None:
        """What the runs of this process are counted with; None where metrics are not exported."""
        with self._making_meters:
            if self._meters is None and "metrics" in self._lanes:
                self._meters = self._make_meters(_metrics_resource(self._resource, self._settings))
                self._losses.count_with(self._meters.get_meter(SCOPE_NAME, __version__))
            return self._meters

    def serving_meters(self) -> tuple[MeterProvider | None, bool]:
        """Return the provider of what this process counts as one of several replicas, made when it is asked for."""
        with self._making_meters:
            if self._serving is None:
                self._serving = self._make_meters(_serving_resource(self._resource, self._settings))
            return self._serving, True

    def flush(self) -> bool:
        """Send what waits; return whether all of it arrived or was refused for good."""
        before = sum(pending.kept for pending in self._pending.values())
        for provider in self._providers:
            provider.force_flush()
        kept = sum(pending.kept for pending in self._pending.values())
        return kept == before and not any(lane.failing for lane in self._lanes.values())

    def close(self, until: float) -> bool:
        """Send what waits, and what was spooled before; spool the rest. Return whether nothing waits any more.

        Args:
            until: the latest end, in seconds of `time.monotonic`.
        """
        left = max(until - time.monotonic(), 0.0)
        before = {signal: pending.kept for signal, pending in self._pending.items()}
        self._patience.seconds = left / 5  # each signal has its turn
        self._close.set()
        self._closed.wait(left * 0.8)  # the rest is for what is spooled
        self._patience.seconds = 0.0
        for pending in self._pending.values():
            pending.drain()  # a backend that takes a request and never answers holds the thread
        late = [signal for signal, pending in self._pending.items() if pending.kept > before[signal]]
        done = self._closed.is_set() and not any(lane.failing for lane in self._lanes.values())
        if done and not self._send_spool(until - _MARGIN_S) and late:
            done = False
        for signal in late if not done else ():
            self._lanes[signal].tell("not all of it in time")
        if isinstance(self._keeper, Held):
            self._keeper.give_up()
        self._losses.say()
        self._courier.stop()
        return done

    def _make_meters(self, resource: Resource) -> MeterProvider:
        exporter = MetricsExporter(self._lanes["metrics"], self._courier, self._patience, self._spool, self._losses)
        provider = MeterProvider([PeriodicExportingMetricReader(exporter)], resource, shutdown_on_exit=False)
        self._providers.append(provider)
        self._numbers.append((provider, exporter))
        return provider

    def _send(self, signal: Signal, body: bytes, *, json: bool) -> Answer:
        lane = self._lanes.get(signal)
        # another process had that signal exported
        return Answer("later", f"no {signal} are exported") if lane is None else lane.send(body, json=json)

    def _catch_up(self, stop: Callable[[], bool]) -> float:
        """Send what is in the spool, between other things; return in how many seconds to look again."""
        if not (pause := self._pause()):
            done = self._replayer.run(stop)
            if done.error is None:
                return _SOON_S if done.sent else _LATER_S
            pause = self._pause() or _LATER_S
        return min(pause, _SELDOM_S)

    def _send_spool(self, until: float) -> bool:
        """Send what is in the spool; return whether all of it was in time."""
        sent: list[bool] = []
        if self._replayer is not None:
            run = self._replayer.run
            task = self._courier.submit(lambda: sent.append(run(lambda: time.monotonic() >= until).error is None))
            task.wait(lambda _: time.monotonic() >= until)
        return sent == [True] and time.monotonic() < until

    def _pause(self) -> float:
        """Return for how many seconds nothing of the spool can be sent."""
        traces, logs = self._lanes.get("traces"), self._lanes.get("logs")
        if traces is None or traces.refused:
            return _SELDOM_S
        return traces.opens_in if logs is None or logs.refused else min(traces.opens_in, logs.opens_in)

    def _hang_up(self) -> None:
        for lane in self._lanes.values():
            lane.close()

    def _begin_anew(self) -> None:
        """In a forked child: count from zero, and have a thread of its own by which to end."""
        for provider, exporter in self._numbers:
            exporter.turn_off()  # what it counted is the parent's, and the SDK goes on with it in the child
            self._providers.remove(provider)
        self._numbers = []
        self._meters = self._serving = None
        if not self._close.is_set():
            self._close, self._closed = threading.Event(), threading.Event()
            self._start_closing()

    def _start_closing(self) -> None:
        # started now: at interpreter exit no thread can be started any more (Python 3.12)
        threading.Thread(target=self._wait_to_close, name="mlotel-close", daemon=True).start()

    def _wait_to_close(self) -> None:
        self._close.wait()
        for provider in self._providers:
            try:
                provider.shutdown()
            except Exception as error:
                guard("shutdown", error)
        self._closed.set()

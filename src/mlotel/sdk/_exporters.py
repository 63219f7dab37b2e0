"""Exporters for the SDK's processors and readers, which a collector that is away costs nothing and makes lose nothing.

What could not be sent is spooled, and sent when the collector is back (`mlotel.sdk.replay`). A signal that the backend
refuses for good (Jaeger takes neither logs nor metrics) is switched off with one warning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Generic, TypeVar

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from mlotel._forks import after_in_child
from mlotel._runtime import describe
from mlotel.sdk._courier import Courier, Lane
from mlotel.sdk._held import Held
from mlotel.sdk._losses import Item, Losses
from mlotel.sdk._sinks import Event
from mlotel.sdk._transport import Answer
from mlotel.sdk._underway import Underway
from mlotel.sdk.spool import Spool, metrics_name, points
from mlotel.store.encoding import LineEncoder, SpanLines

__all__ = ["LogExporter", "MetricsExporter", "Patience", "Pending", "TraceExporter", "TraceProcessor"]

T = TypeVar("T")
U = TypeVar("U")


class Patience:
    """How long an export waits for its answer: as long as it takes, until the process ends."""

    def __init__(self) -> None:
        self.seconds = float("inf")

    def ends(self, waited: float = 0.0) -> bool:
        """Return whether it has been long enough."""
        return waited >= self.seconds


class Pending(Generic[T]):
    """What was handed over and not yet taken by the collector, in order, to be spooled if it never is.

    The SDK's batch processors drop the oldest items of a full queue, and keep to themselves what is still queued when
    the process ends. Single dict operations need no lock, which a fork might find held. Where there is a store, what
    waits is on disk too, for the case that the process is killed.

    Args:
        item: What an item is.
        encode: Makes an item a line of OTLP/JSON.
        spool: Where lines go.
        losses: Where is counted what has no place.
        limit: How many items may wait, beside those of a request that is on its way; the oldest goes to the spool then.
    """

    def __init__(
        self, item: Item, encode: Callable[[T], bytes], spool: Spool | Held, losses: Losses, limit: int
    ) -> None:
        self.item = item
        self.losses = losses
        self.kept = 0
        """How many did not arrive when they were sent."""
        self._encode = encode
        self._spool = spool
        self._limit = limit
        self._items: dict[int, T | bytes] = {}  # as lines, where they had to be encoded
        self._on_their_way: dict[int, T | bytes] = {}  # what a request holds that is not answered yet
        self._underway = Underway(spool.root) if isinstance(spool, Spool) else None
        after_in_child(self._forget)

    def add(self, key: int, item: T) -> None:
        """Take an item that is about to be queued."""
        if self._underway is None:
            self._items[key] = item
        else:
            line = self._encode(item)
            self._underway.add(key, line)
            self._items[key] = line
        if len(self._items) > self._limit:
            self.keep(self._oldest())

    def __contains__(self, key: int) -> bool:
        return key in self._items

    def begin_batch(self) -> None:
        """Take notice that a batch is about to be sent."""
        if self._underway is not None:
            self._underway.begin_batch()

    def done(self, keys: Sequence[int]) -> None:
        """Forget items that arrived."""
        for key in keys:
            self._pop(key)
        if self._underway is not None:
            self._underway.done(keys)

    @property
    def is_crowded(self) -> bool:
        """Whether half of the room is taken: time to spool what comes next."""
        return len(self._items) > self._limit // 2

    def leave(self, keys: Iterable[int]) -> Sequence[int]:
        """Note that a request is on its way with these items, as far as they were not spooled since; return those."""
        left = []
        for key in keys:
            item = self._items.get(key)
            if item is not None:
                self._on_their_way[key] = item  # before it goes from the others, so that it is never in neither
                if self._items.pop(key, None) is None:  # another thread was faster, and spools it
                    self._on_their_way.pop(key, None)
                else:
                    left.append(key)
        return left

    def keep(self, keys: Sequence[int], *, unanswered: bool = False) -> None:
        """Spool items that did not arrive, or of which nobody knows."""
        for key in keys:
            item = self._pop(key)
            if item is not None:
                self.kept += 1
                line = item if isinstance(item, bytes) else self._encode(item)
                self._spool.keep(self.item, line, unanswered=unanswered)
        if self._underway is not None:
            self._underway.done(keys)
            if not self._limit:  # there will be no more batches
                self._underway.close()

    def drain(self) -> None:
        """Spool all that is left, and from now on what comes at once."""
        self._limit = 0
        self.keep(list(self._on_their_way), unanswered=True)
        self.keep(list(self._items))
        if self._underway is not None:
            self._underway.close()

    def _oldest(self) -> Sequence[int]:
        while True:
            with suppress(RuntimeError):  # another thread added or took one
                return list(islice(self._items, 1))

    def _pop(self, key: int) -> T | bytes | None:
        item, sent = self._items.pop(key, None), self._on_their_way.pop(key, None)
        return sent if item is None else item

    def _forget(self) -> None:
        self._items, self._on_their_way = {}, {}  # they are the parent's


class _Exporter(Generic[T]):
    """What the exporters of spans and log records have in common: a batch is sent by the courier, or spooled."""

    def __init__(self, lane: Lane, courier: Courier, patience: Patience, pending: Pending[T]) -> None:
        self.lane = lane
        self.pending = pending
        self._courier = courier
        self._patience = patience

    def shutdown(self, *_: Any, **__: Any) -> None:
        """There is nothing to end: the courier's end is that of its connections."""

    def force_flush(self, *_: Any, **__: Any) -> bool:
        return True

    def _deliver(self, items: Mapping[int, U], encode: Callable[[Sequence[U]], bytes]) -> bool:
        """Return whether items arrived or are refused for good; else they are, or will be, spooled."""
        keys = list(items)
        self.pending.begin_batch()
        if self.lane.opens_in > 0 or self._patience.ends():
            self._settle(keys, Answer("refused" if self.lane.refused else "later"))
            return self.lane.refused and not self.lane.failing
        done: list[bool] = []
        task = self._courier.submit(lambda: done.append(self._send(items, encode)))
        # a collector that is slow must not make the queue overflow
        if not task.wait(lambda waited: self._patience.ends(waited) or self.pending.is_crowded) and task.withdraw():
            self.pending.keep(keys)
        return done == [True]

    def _send(self, items: Mapping[int, U], encode: Callable[[Sequence[U]], bytes]) -> bool:
        keys = self.pending.leave(items)
        if not keys:
            return False
        try:
            body = encode([items[key] for key in keys])
        except Exception as error:  # our own encoder takes what the official one does not
            self._settle(keys, Answer("malformed", describe(error)))
            return False
        answer = self.lane.send(body)
        self._settle(keys, answer)
        return answer.outcome == "taken"

    def _settle(self, keys: Sequence[int], answer: Answer) -> None:
        if answer.outcome == "taken":
            self.pending.done(keys)
            self.pending.losses.dropped(self.pending.item, min(answer.rejected, len(keys)), "rejected", answer.detail)
        elif answer.outcome == "refused" and not self.lane.failing:
            self.pending.done(keys)
        else:  # one item that is malformed is found when the spool is sent
            self.pending.keep(keys, unanswered=answer.outcome == "unanswered")


class TraceProcessor(BatchSpanProcessor):
    """The SDK's batch processor, which also notes what is on its way."""

    def __init__(self, exporter: TraceExporter) -> None:
        super().__init__(exporter)
        self._waiting = exporter.pending

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is not None and span.context.trace_flags.sampled:
            self._waiting.add(_key(span), span)
        super().on_end(span)


class TraceExporter(_Exporter[ReadableSpan], SpanExporter):
    """Sends spans to the collector, or spools them."""

    def __init__(self, lane: Lane, courier: Courier, patience: Patience, spool: Spool | Held, losses: Losses) -> None:
        limit = _queue_size("OTEL_BSP")
        super().__init__(lane, courier, patience, Pending("span", SpanLines().span, spool, losses, limit))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        # the rest is in the spool already
        waiting = {key: span for span in spans if (key := _key(span)) in self.pending}
        arrived = not waiting or self._deliver(waiting, lambda left: encode_spans(left).SerializePartialToString())
        return SpanExportResult.SUCCESS if arrived else SpanExportResult.FAILURE


def _key(span: ReadableSpan) -> int:
    """What tells a span from all others: its id, as what Python calls one is given to another when the span is gone."""
    return span.context.span_id if span.context is not None else 0


class LogExporter(_Exporter[Event], LogRecordExporter):
    """Sends log records to the collector, or spools them.

    `LoggerEvents` notes each record in `pending` under its observed time, which it makes unique; the SDK copies records
    on their way.
    """

    def __init__(
        self,
        lane: Lane,
        courier: Courier,
        patience: Patience,
        spool: Spool | Held,
        losses: Losses,
        encoder: LineEncoder,
    ) -> None:
        limit = _queue_size("OTEL_BLRP")
        pending = Pending[Event]("log_record", lambda event: event.encode(encoder), spool, losses, limit)
        super().__init__(lane, courier, patience, pending)

    def export(self, batch: Sequence[Any]) -> LogRecordExportResult:
        waiting = {key: data for data in batch if (key := data.log_record.observed_timestamp) in self.pending}
        arrived = not waiting or self._deliver(waiting, lambda left: encode_logs(left).SerializePartialToString())
        return LogRecordExportResult.SUCCESS if arrived else LogRecordExportResult.FAILURE


def _queue_size(prefix: str) -> int:
    """Return how many items the SDK's batch processor may hold, queued or on their way."""
    sizes = (("MAX_QUEUE_SIZE", 2048), ("MAX_EXPORT_BATCH_SIZE", 512))
    values = [os.environ.get(f"{prefix}_{name}", "").strip() or str(usual) for name, usual in sizes]
    return sum(int(value) if value.isdigit() else usual for value, (_, usual) in zip(values, sizes, strict=True))


class MetricsExporter(MetricExporter):
    """Sends metrics to the collector, or spools them: the latest only, which hold what those before said."""

    def __init__(self, lane: Lane, courier: Courier, patience: Patience, spool: Spool | None, losses: Losses) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        asked = OTLPMetricExporter()  # it reads the variables on temporality and aggregation; it sends nothing
        super().__init__(
            preferred_temporality=asked._preferred_temporality, preferred_aggregation=asked._preferred_aggregation
        )
        self.lane = lane
        self._courier = courier
        self._patience = patience
        self._spool = spool
        self._losses = losses
        self._name = metrics_name()
        self._pid = os.getpid()
        self._kept = self._off = False

    def turn_off(self) -> None:
        """Let everything go from now on."""
        self._off = True

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        if self.lane.refused or self._off:
            return MetricExportResult.SUCCESS
        body = encode_metrics(metrics_data).SerializeToString()
        answers: list[Answer] = []
        if self.lane.opens_in == 0 and not self._patience.ends():
            task = self._courier.submit(lambda: answers.append(self.lane.send(body)))
            if not task.wait(lambda waited: self._patience.ends(waited) or waited > timeout_millis / 1e3):
                task.withdraw()
        answer = answers[0] if answers else Answer("later")
        if answer.outcome == "taken":
            self._losses.dropped("metric", answer.rejected, "rejected", answer.detail)
        elif answer.outcome == "malformed":
            self._losses.dropped("metric", points(body), "rejected", answer.detail)
        elif answer.outcome != "refused":
            self._keep(body)
            return MetricExportResult.FAILURE
        self._forget()
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
        """There is nothing to end: the courier's end is that of its connections."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def _keep(self, body: bytes) -> None:
        if self._pid != os.getpid():  # a forked child's are not its parent's
            self._pid, self._name = os.getpid(), metrics_name()
        self._kept = self._spool is not None and self._spool.keep_metrics(self._name, body)

    def _forget(self) -> None:
        if self._kept and self._spool is not None and self._pid == os.getpid():
            self._spool.forget_metrics(self._name)
        self._kept = False

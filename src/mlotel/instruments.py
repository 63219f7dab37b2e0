"""The metrics of component runs, over the OpenTelemetry metrics API: few labels, each of low cardinality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.metrics import Meter

from mlotel.semconv import attributes as A
from mlotel.semconv import metrics as M

__all__ = ["Instruments"]


class Instruments:
    """Every instrument of a run, or none of them where no meter is given: then each call returns at once."""

    def __init__(self, meter: Meter | None) -> None:
        self.enabled = meter is not None
        if meter is None:
            return
        self._duration = meter.create_histogram(
            *M.MLOTEL_RUN_DURATION[:3], explicit_bucket_boundaries_advisory=M.MLOTEL_RUN_DURATION.boundaries
        )
        self._cpu = meter.create_histogram(
            *M.MLOTEL_RUN_CPU_TIME[:3], explicit_bucket_boundaries_advisory=M.MLOTEL_RUN_CPU_TIME.boundaries
        )
        self._active = meter.create_up_down_counter(*M.MLOTEL_RUN_ACTIVE[:3])
        self._success = meter.create_gauge(*M.MLOTEL_RUN_LAST_SUCCESS_TIME[:3])
        self._failure = meter.create_gauge(*M.MLOTEL_RUN_LAST_FAILURE_TIME[:3])
        self._queue = meter.create_histogram(
            *M.MLOTEL_RUN_QUEUE_TIME[:3], explicit_bucket_boundaries_advisory=M.MLOTEL_RUN_QUEUE_TIME.boundaries
        )
        self._memory = meter.create_gauge(*M.MLOTEL_RUN_MEMORY_PEAK[:3])
        self._metric = meter.create_gauge(*M.MLOTEL_RUN_METRIC[:3])
        self._rows = meter.create_gauge(*M.MLOTEL_DATA_ROWS[:3])
        self._missing = meter.create_gauge(*M.MLOTEL_DATA_MISSING_RATIO[:3])
        self._stale = meter.create_counter(*M.MLOTEL_DATA_STALE[:3])
        self._predictions = meter.create_counter(*M.MLOTEL_PREDICTION_COUNT[:3])
        self._statistic = meter.create_gauge(*M.MLOTEL_DATA_STATISTIC[:3])
        self._dropped = meter.create_counter(*M.MLOTEL_TELEMETRY_DROPPED[:3])
        self._drift = meter.create_gauge(*M.MLOTEL_DRIFT_SCORE[:3])
        self._alarm = meter.create_gauge(*M.MLOTEL_DRIFT_ALARM[:3])
        self._statistics = {
            metric.name: meter.create_gauge(*metric[:3])
            for metric in (
                M.MLOTEL_PREDICTION_MEAN,
                M.MLOTEL_PREDICTION_STD,
                M.MLOTEL_PREDICTION_MIN,
                M.MLOTEL_PREDICTION_MAX,
                M.MLOTEL_PREDICTION_SKEW,
                M.MLOTEL_PREDICTION_KURTOSIS,
                M.MLOTEL_PREDICTION_MISSING,
            )
        }

    def run_started(self, component: Mapping[str, str]) -> None:
        """Count a run as active; `component` holds its name and, if it has one, its version and pipeline."""
        if self.enabled:
            self._active.add(1, component)

    def run_ended(
        self,
        component: Mapping[str, str],
        *,
        state: str,
        error_type: str | None,
        end_ns: int,
        duration_s: float,
        cpu_s: float,
        memory: int | None,
        queue_s: float | None = None,
        context: Context,
    ) -> None:
        """Record how a run ended: `end_ns` since the epoch, `memory` in bytes; exemplars lead to `context`'s span.

        `queue_s` is how long it waited for its start, where its orchestrator said so.
        """
        if not self.enabled:
            return
        self._active.add(-1, component)
        labels = {**component, A.MLOTEL_RUN_STATE: state}
        if error_type is not None:
            labels[A.ERROR_TYPE] = error_type
        self._duration.record(duration_s, labels, context)
        self._cpu.record(cpu_s, component, context)
        if memory is not None:
            self._memory.set(memory, component)
        if queue_s is not None:
            self._queue.record(queue_s, component, context)
        if state == "ok":
            self._success.set(end_ns / 1e9, component)
        elif state == "failed":  # one that was cancelled has not failed, nor succeeded
            self._failure.set(end_ns / 1e9, component)

    def artifact(
        self,
        component: Mapping[str, str],
        *,
        direction: str,
        name: str,
        rows: int,
        columns: int | None,
        missing: int | None,
    ) -> None:
        """Record a table's rows, and the share of its cells that is null."""
        if not self.enabled:
            return
        labels = {**component, A.MLOTEL_IO_DIRECTION: direction, A.MLOTEL_ARTIFACT_NAME: name}
        self._rows.set(rows, labels)
        if missing is not None and rows and columns:
            self._missing.set(missing / (rows * columns), labels)

    def input_judged(self, component: Mapping[str, str], *, stale: bool) -> None:
        """Count an input that was stale; one that was not makes the counter begin at 0, so that its rise is seen."""
        if self.enabled:
            self._stale.add(int(stale), component)  # the encoder takes no booleans

    def not_sampled(self, component: Mapping[str, str]) -> None:
        """Count a run that the tracer provider's sampler dropped."""
        if self.enabled:
            self._dropped.add(1, {**component, A.MLOTEL_TELEMETRY_ITEM: "run", A.ERROR_TYPE: "not_sampled"})

    def metric(self, component: Mapping[str, str], name: str, value: float) -> None:
        """Record a metric that the user logged."""
        if self.enabled:
            self._metric.set(value, {**component, A.MLOTEL_METRIC_NAME: name})

    def statistics(self, labels: Mapping[str, str], values: Mapping[str, float]) -> None:
        """Record statistics of a column of the latest table, by their names."""
        if self.enabled:
            for name, value in values.items():
                self._statistic.set(value, {**labels, A.MLOTEL_DATA_STATISTIC_NAME: name})

    def drift(
        self, labels: Mapping[str, str], feature: str, *, alarm: bool, scores: Mapping[str, float | None]
    ) -> None:
        """Record whether a feature of the latest batch alarms, and its distances from the reference by method."""
        if not self.enabled:
            return
        about = {**labels, A.MLOTEL_FEATURE_NAME: feature}
        self._alarm.set(int(alarm), about)
        for method, score in scores.items():
            if score is not None:
                self._drift.set(score, {**about, A.MLOTEL_DRIFT_METHOD: method})

    def predictions(
        self,
        labels: Mapping[str, str],
        *,
        count: int,
        statistics: Mapping[str, Any],
        classes: Mapping[str, int],
        context: Context,
    ) -> None:
        """Record a batch of predictions: `statistics` by attribute name, `classes` as counts by label."""
        if not self.enabled:
            return
        for name, value in statistics.items():
            if name in self._statistics:
                self._statistics[name].set(value, labels)
        if not classes:
            self._predictions.add(count, labels, context)
        for label, number in classes.items():
            self._predictions.add(number, {**labels, A.MLOTEL_PREDICTION_CLASS: label}, context)

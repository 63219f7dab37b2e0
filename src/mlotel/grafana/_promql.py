"""Pieces that the queries of all dashboards are made of."""

from __future__ import annotations

from mlotel.exposition import label_name, metric_name
from mlotel.grafana._values import ALL, Link, Options, Variable
from mlotel.semconv import attributes as A
from mlotel.semconv import metrics as M
from mlotel.semconv.metrics import Metric

__all__ = [
    "ALERTING",
    "ARTIFACT",
    "ATTEMPT",
    "BY_RUN",
    "CALLS",
    "CLASS",
    "COMPONENT",
    "COMPONENT_VERSION",
    "DIRECTION",
    "DURATIONS",
    "ERROR",
    "FEATURE",
    "ITEM",
    "METHOD",
    "METRIC",
    "MODEL",
    "PIPELINE",
    "STATE",
    "STATISTIC",
    "TO_COMPONENT",
    "VARIANT",
    "VERSION",
    "Series",
    "ages",
    "any_of",
    "choice",
    "mean_of_latest",
    "pipelines",
    "prometheus",
    "quantile",
    "replicas",
    "values_of",
]

PIPELINE, COMPONENT = label_name(A.CICD_PIPELINE_NAME), label_name(A.MLOTEL_COMPONENT_NAME)
COMPONENT_VERSION = label_name(A.MLOTEL_COMPONENT_VERSION)
STATE, ERROR, ATTEMPT = label_name(A.MLOTEL_RUN_STATE), label_name(A.ERROR_TYPE), label_name(A.MLOTEL_RUN_ATTEMPT)
MODEL, VERSION = label_name(A.MLOTEL_MODEL_NAME), label_name(A.MLOTEL_MODEL_VERSION)
VARIANT, CLASS = label_name(A.FEATURE_FLAG_RESULT_VARIANT), label_name(A.MLOTEL_PREDICTION_CLASS)
FEATURE, METHOD = label_name(A.MLOTEL_FEATURE_NAME), label_name(A.MLOTEL_DRIFT_METHOD)
ARTIFACT, DIRECTION = label_name(A.MLOTEL_ARTIFACT_NAME), label_name(A.MLOTEL_IO_DIRECTION)
STATISTIC = label_name(A.MLOTEL_DATA_STATISTIC_NAME)
METRIC, ITEM = label_name(A.MLOTEL_METRIC_NAME), label_name(A.MLOTEL_TELEMETRY_ITEM)

CALLS, DURATIONS = "mlotel_span_calls_total", "mlotel_span_duration_seconds"
"""The collector's span metrics: they add up the runs of all processes, also of those that have ended."""

ALERTING = ('alertname=~"Mlotel.+"', 'alertstate="firing"')
"""The matchers of what fires of mlotel's alerts."""

BY_RUN = f"({PIPELINE}, {COMPONENT})"

TO_COMPONENT = Link(
    "Component",
    f"/d/mlotel-component?${{__url_time_range}}&${{datasource:queryparam}}"
    f"&${{pipeline:queryparam}}&var-component=${{__field.labels.{COMPONENT}}}",
)
"""From a series to the dashboard of its component, where a variable chooses the pipeline."""


class Series:
    """Selects series, with the labels that were asked for by `Options`."""

    def __init__(self, options: Options, *matchers: str) -> None:
        self.options = options
        self._matchers = matchers

    def __call__(self, metric: Metric | str, *matchers: str) -> str:
        """Return the selector of a scraped metric: those of mlotel, and of the collector by their names."""
        name = metric if isinstance(metric, str) else metric_name(metric)
        return self._selector(name, (*self._matchers, *matchers, *self.options.selectors))

    def part(self, histogram: Metric | str, part: str, *matchers: str) -> str:
        """Return the selector of a histogram's ``bucket``, ``sum`` or ``count``."""
        name = histogram if isinstance(histogram, str) else metric_name(histogram)
        return self(f"{name}_{part}", *matchers)

    def recorded(self, name: str, *matchers: str) -> str:
        """Return the selector of what a rule records, by the name after ``mlotel:``."""
        return self._selector(f"mlotel:{name}", (*matchers, *self.options.recorded_selectors))

    def bare(self, name: str, *matchers: str) -> str:
        """Return the selector of what is Prometheus' own."""
        return self._selector(name, (*matchers, *self.options.recorded_selectors))

    @staticmethod
    def _selector(name: str, matchers: tuple[str, ...]) -> str:
        return f"{name}{{{', '.join(matchers)}}}" if matchers else name


def any_of(label: str, variable: str) -> str:
    """Return the matcher of a label that has one of a variable's values."""
    return f'{label}=~"${variable}"'


def quantile(share: float, buckets: str, window: str, by: str) -> str:
    """Return the quantile of what was observed within a window, by some labels with commas between them."""
    return f"histogram_quantile({share:g}, sum by (le, {by}) (rate({buckets}[{window}])))"


def prometheus() -> Variable:
    """Return the variable of the data source that all queries of metrics go to."""
    return Variable("datasource", "Prometheus", "datasource", "prometheus")


def values_of(name: str, label: str, title: str, series: str, *, several: bool = True) -> Variable:
    """Return the variable that has the values of a label as choices."""
    return Variable(name, title, "query", f"label_values({series}, {label})", several, ALL if several else None)


def choice(name: str, label: str, values: str, default: str) -> Variable:
    """Return the variable that has one of some values."""
    return Variable(name, label, "choice", values, default=default)


def pipelines(at: Series) -> Variable:
    """Return the variable of pipelines."""
    return values_of("pipeline", PIPELINE, "Pipeline", at(CALLS))


def mean_of_latest(at: Series, histogram: Metric, by: str) -> str:
    """Return the mean of a histogram that a process began anew: what it has observed since it started."""
    return f"sum by {by} ({at.part(histogram, 'sum')})\n/ (sum by {by} ({at.part(histogram, 'count')}) > 0)"


def ages(at: Series, by: str) -> str:
    """Return how long ago the latest success was, in seconds."""
    return f"time() - max by {by} ({at(M.MLOTEL_RUN_LAST_SUCCESS_TIME)})"


def replicas(at: Series) -> str:
    """Return how many processes counted something for each version of a model.

    That they export something says nothing: the collector goes on to offer what an ended process sent.
    """
    counted = f"sum by ({MODEL}, {VERSION}, job, instance) (increase({at(M.MLOTEL_FEATURE_VALUES)}[$__rate_interval]))"
    return f"count by ({MODEL}, {VERSION}) ({counted} > 0)"

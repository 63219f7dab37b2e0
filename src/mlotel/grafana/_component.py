"""One component: its runs, what they cost, what they read and wrote, and what they predicted."""

from __future__ import annotations

from mlotel.grafana._promql import (
    ARTIFACT,
    CALLS,
    CLASS,
    COMPONENT,
    COMPONENT_VERSION,
    DIRECTION,
    DURATIONS,
    ERROR,
    FEATURE,
    METRIC,
    MODEL,
    PIPELINE,
    STATE,
    STATISTIC,
    VARIANT,
    VERSION,
    Series,
    ages,
    any_of,
    mean_of_latest,
    pipelines,
    prometheus,
    values_of,
)
from mlotel.grafana._traceql import COMPONENT_CHOSEN, TRACE_COLUMNS, TRACE_LINKS, recent, tempo
from mlotel.grafana._values import Dashboard, Options, Panel, Query, Row
from mlotel.semconv import metrics as M
from mlotel.semconv.metrics import Metric

__all__ = ["component"]

_GOOD, _WARN, _BAD = "green", "orange", "red"
_BY = f"({COMPONENT_VERSION})"
_OF_VERSION = f"{{{{{COMPONENT_VERSION}}}}}"
_TABLES = f"({ARTIFACT}, {DIRECTION})"
_OF_TABLE = f"{{{{{DIRECTION}}}}} {{{{{ARTIFACT}}}}}"


def component(options: Options) -> Dashboard:
    """Return the dashboard of one component."""
    everything = Series(options)
    pipeline = any_of(PIPELINE, "pipeline")
    at = Series(options, pipeline, f'{COMPONENT}="$component"')
    return Dashboard(
        "mlotel-component",
        "mlotel: one component",
        "Runs of one component: outcome, durations, CPU, memory, tables, metrics, predictions, and its latest traces.",
        (
            prometheus(),
            tempo(),
            pipelines(everything),
            values_of("component", COMPONENT, "Component", Series(options, pipeline)(CALLS), several=False),
            values_of("column", FEATURE, "Column", at(M.MLOTEL_DATA_STATISTIC)),
            values_of("statistic", STATISTIC, "Statistic", at(M.MLOTEL_DATA_STATISTIC)),
        ),
        (
            Row("At a glance, over the time that is shown", _glance(at)),
            Row("Runs", _runs(at)),
            Row("What a run costs", _costs(at)),
            Row("What it reads and writes", _tables(at)),
            Row("What it finds", _results(at)),
        ),
    )


def _glance(at: Series) -> tuple[Panel, ...]:
    ended = at(CALLS, f'{STATE}=~"ok|failed"')
    failed = at(CALLS, f'{STATE}="failed"')
    everything = f"sum(increase({ended}[$__range]))"
    p95 = f"histogram_quantile(0.95, sum by (le) (rate({at.part(DURATIONS, 'bucket')}[$__range])))"
    return (
        Panel(
            "Runs", "stat",
            "Runs that ended. None, though it should have run: see whether its scheduler started it.",
            (Query(f"sum(increase({at(CALLS)}[$__range]))", instant=True),),
            width=4, height=4, decimals=0,
        ),
        Panel(
            "Success ratio", "stat",
            "Of the runs that ended well or failed. The errors stand below, by type.",
            (
                Query(
                    f"1 - (sum(increase({failed}[$__range])) or 0 * {everything})\n/ ({everything} > 0)", instant=True
                ),
            ),
            unit="percentunit", width=4, height=4, decimals=2, high=1,
        ),
        Panel(
            "Time since the latest success", "stat",
            "What it makes is this old, or older. Compare with how often it ought to run.",
            (Query(f"min({ages(at, _BY)})", instant=True),),
            unit="s", width=4, height=4,
        ),
        Panel(
            "Active runs", "stat",
            "Runs that have started and not ended. One that was killed stays here until the component runs again.",
            (Query(f"sum({at(M.MLOTEL_RUN_ACTIVE)})", instant=True),),
            width=4, height=4,
        ),
        Panel(
            "Duration, 95th percentile", "stat",
            "Of all runs shown. The heat map says whether it is some runs that are slow, or all of them.",
            (Query(p95, instant=True),),
            unit="s", width=4, height=4,
        ),
        Panel(
            "Features in alarm", "stat",
            "Features of its latest batch that have left their reference. The dashboard of drift has each.",
            (Query(f"sum({at(M.MLOTEL_DRIFT_ALARM)}) or vector(0)", instant=True),),
            width=4, height=4, thresholds=((None, _GOOD), (1, _BAD)),
        ),
    )  # fmt: skip


def _runs(at: Series) -> tuple[Panel, ...]:
    return (
        Panel(
            "Runs by outcome", "bars",
            "Each step's. The points are single runs; click on one to see its trace, with the exception's message.",
            (
                Query(
                    f"sum by ({STATE}, {ERROR}) (increase({at(CALLS)}[$__rate_interval]))",
                    f"{{{{{STATE}}}}} {{{{{ERROR}}}}}", exemplars=True,
                ),
            ),
        ),
        Panel(
            "Durations", "heatmap",
            "How many runs took how long. Two bands are two kinds of work, or a cache that is hit or missed; a band "
            "that climbs grows with the data. The points lead to traces.",
            (Query(f"sum by (le) (increase({at.part(DURATIONS, 'bucket')}[$__rate_interval]))", "{{le}}",
                   exemplars=True),),
            unit="s",
        ),
        Panel(
            "Latest runs", "table",
            "As Tempo has them, of the time that is shown. Click on a trace for what was read and written, by digest.",
            (recent(COMPONENT_CHOSEN),),
            width=24, columns=TRACE_COLUMNS, column_links=TRACE_LINKS,
        ),
    )  # fmt: skip


def _costs(at: Series) -> tuple[Panel, ...]:
    return (
        Panel(
            "CPU time of a run", "timeseries",
            "On average over the runs of the current process, by version. More for the same rows is the code's, or the "
            "packages': `mlotel diff` of two runs shows both.",
            (Query(mean_of_latest(at, M.MLOTEL_RUN_CPU_TIME, _BY), _OF_VERSION),),
            unit="s", width=8, low=0,
        ),
        Panel(
            "Peak memory", "timeseries",
            "The process's high-water mark when the latest run ended. It never falls within a process; if it climbs "
            "from run to run, something is kept.",
            (Query(f"max by {_BY} ({at(M.MLOTEL_RUN_MEMORY_PEAK)})", _OF_VERSION),),
            unit="bytes", width=8, low=0,
        ),
        Panel(
            "Time in the queue", "timeseries",
            "How long runs waited for their start, on average over the current process, if the orchestrator says so.",
            (Query(mean_of_latest(at, M.MLOTEL_RUN_QUEUE_TIME, _BY), _OF_VERSION),),
            unit="s", width=8, low=0,
        ),
    )  # fmt: skip


def _tables(at: Series) -> tuple[Panel, ...]:
    return (
        Panel(
            "Rows", "timeseries",
            "Of the tables that the latest run read and wrote. Half the rows of yesterday is a source that was late, "
            "or a join that lost some.",
            (Query(f"max by {_TABLES} ({at(M.MLOTEL_DATA_ROWS)})", _OF_TABLE),),
            width=8, low=0,
        ),
        Panel(
            "Missing cells", "timeseries",
            "The share of null cells in those tables. Higher in what it writes than in what it reads: it makes them "
            "itself.",
            (Query(f"max by {_TABLES} ({at(M.MLOTEL_DATA_MISSING_RATIO)})", _OF_TABLE),),
            unit="percentunit", width=8, low=0,
        ),
        Panel(
            "Stale inputs and drift", "timeseries",
            "Inputs that were stale when the current process read them, and features that alarm. With either, do not "
            "trust what it wrote before you know why: `mlotel explain`.",
            (
                Query(f"sum({at(M.MLOTEL_DATA_STALE)})", "stale inputs"),
                Query(f"max by ({FEATURE}) ({at(M.MLOTEL_DRIFT_ALARM)})", f"alarm: {{{{{FEATURE}}}}}"),
            ),
            width=8, low=0,
        ),
        Panel(
            "Statistics of columns", "timeseries",
            "Of tables that were logged with `profile=True`, the latest run's; choose a column and a statistic above. "
            "What changes at once with a version of the component is its own doing.",
            (
                Query(
                    f"max by ({ARTIFACT}, {DIRECTION}, {FEATURE}, {STATISTIC}) "
                    f"({at(M.MLOTEL_DATA_STATISTIC, any_of(FEATURE, 'column'), any_of(STATISTIC, 'statistic'))})",
                    f"{_OF_TABLE}: {{{{{FEATURE}}}}} {{{{{STATISTIC}}}}}",
                ),
            ),
            width=24,
        ),
    )  # fmt: skip


def _results(at: Series) -> tuple[Panel, ...]:
    by = f"({MODEL}, {VERSION}, {VARIANT})"
    whose = f"{{{{{MODEL}}}}} {{{{{VERSION}}}}} {{{{{VARIANT}}}}}"

    def latest(metric: Metric, called: str) -> Query:
        return Query(f"max by {by} ({at(metric)})", f"{whose} {called}")

    counts = at(M.MLOTEL_PREDICTION_COUNT)
    return (
        Panel(
            "Logged metrics", "timeseries",
            "The latest value of whatever it logged by `log_metrics`. A step without a change of the code is the "
            "data's.",
            (Query(f"max by ({METRIC}) ({at(M.MLOTEL_RUN_METRIC)})", f"{{{{{METRIC}}}}}"),),
        ),
        Panel(
            "Predictions", "timeseries",
            "How many the current process made, by class where it predicts labels.",
            (
                Query(
                    f"sum by ({MODEL}, {VERSION}, {VARIANT}, {CLASS}) ({counts})",
                    f"{whose} {{{{{CLASS}}}}}",
                ),
            ),
            low=0,
        ),
        Panel(
            "Range of the predictions", "timeseries",
            "Mean, smallest and largest of the latest batch. Values that cannot be are a fault of the inputs.",
            (
                latest(M.MLOTEL_PREDICTION_MIN, "min"),
                latest(M.MLOTEL_PREDICTION_MEAN, "mean"),
                latest(M.MLOTEL_PREDICTION_MAX, "max"),
            ),
            width=8,
        ),
        Panel(
            "Form of their distribution", "timeseries",
            "Standard deviation, skewness and excess kurtosis of the latest batch: a change at the same mean is seen "
            "here.",
            (
                latest(M.MLOTEL_PREDICTION_STD, "std"),
                latest(M.MLOTEL_PREDICTION_SKEW, "skewness"),
                latest(M.MLOTEL_PREDICTION_KURTOSIS, "excess kurtosis"),
            ),
            width=8,
        ),
        Panel(
            "Missing predictions", "timeseries",
            "Null or NaN in the latest batch: rows that whoever reads them has no answer for.",
            (latest(M.MLOTEL_PREDICTION_MISSING, ""),),
            width=8, low=0, thresholds=((None, _GOOD), (1, _WARN)),
        ),
    )  # fmt: skip

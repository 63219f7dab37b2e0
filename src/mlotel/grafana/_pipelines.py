"""Pipeline health: robustness, reliability, resilience and elasticity (R3E) of all components."""

from __future__ import annotations

from mlotel.grafana._promql import (
    ALERTING,
    ARTIFACT,
    ATTEMPT,
    BY_RUN,
    CALLS,
    COMPONENT,
    DIRECTION,
    DURATIONS,
    ERROR,
    ITEM,
    MODEL,
    PIPELINE,
    STATE,
    TO_COMPONENT,
    VERSION,
    Series,
    ages,
    any_of,
    choice,
    mean_of_latest,
    pipelines,
    prometheus,
    quantile,
    replicas,
    values_of,
)
from mlotel.grafana._runs import FAILED, OK, burn, failing, recovery, slowest, success
from mlotel.grafana._values import Dashboard, Link, Options, Panel, Query, Row
from mlotel.semconv import metrics as M

__all__ = ["pipeline_health"]

_NAME = f"{{{{{COMPONENT}}}}}"
_GOOD, _WARN, _BAD = "green", "orange", "red"
_SERVED, _INPUT = f'{VERSION}!=""', f'{DIRECTION}="input"'


def pipeline_health(options: Options) -> Dashboard:
    """Return the dashboard of all pipelines."""
    chosen = (any_of(PIPELINE, "pipeline"), any_of(COMPONENT, "component"))
    at, everything = Series(options, *chosen), Series(options)
    return Dashboard(
        "mlotel-pipelines",
        "mlotel: pipeline health",
        "Robustness, reliability, resilience and elasticity of pipelines: runs, failures, recovery, durations, load.",
        (
            prometheus(),
            pipelines(everything),
            values_of("component", COMPONENT, "Component", Series(options, chosen[0])(CALLS)),
            choice("objective", "Objective", _objectives(options.objective), f"{options.objective:g}"),
            choice("window", "Window", "5m,1h,6h,1d,7d,30d", "1d"),
        ),
        (
            Row("At a glance, over the time that is shown", _glance(at)),
            Row("Reliability: does it succeed?", _reliability(at)),
            Row("Resilience: does it recover?", _resilience(at)),
            Row("Robustness: what does it have to bear?", _robustness(at)),
            Row("Elasticity: does it keep up with the load?", _elasticity(at, everything)),
            Row("Telemetry: can the other panels be believed?", _telemetry(at, everything, options)),
        ),
    )


def _glance(at: Series) -> tuple[Panel, ...]:
    succeeded = success(at, "$__range")
    columns = {
        PIPELINE: "Pipeline",
        COMPONENT: "Component",
        "Value #A": "Runs",
        "Value #B": "Succeeded",
        "Value #C": "p95",
        "Value #D": "Latest success",
        "Value #E": "Failing",
    }
    return (
        Panel(
            "Runs", "stat",
            "Runs that ended. None at all: nothing was started, or the collector is not reached; see Telemetry below.",
            (Query(f"sum(increase({at(CALLS)}[$__range]))", instant=True),),
            width=4, height=4, decimals=0,
        ),
        Panel(
            "Success ratio", "stat",
            "Runs that ended well, of those that ended well or failed; cancelled ones count as neither. If it is below "
            "the objective, look at which errors it is, under Reliability.",
            (Query(succeeded, instant=True),),
            unit="percentunit", width=4, height=4, decimals=2, high=1,
        ),
        Panel(
            "Error budget left", "stat",
            "1 is all of it, 0 is none: as many runs failed as the objective allows for. Below 0, put reliability "
            "before everything else.",
            (Query(f"1 - (1 - {succeeded})\n/ (1 - $objective)", instant=True),),
            unit="percentunit", width=4, height=4, decimals=1,
            thresholds=((None, _BAD), (0, _WARN), (0.5, _GOOD)),
        ),
        Panel(
            "Components failing now", "stat",
            "Components whose latest run failed, and that have not succeeded since. Which ones the table says.",
            (Query(f"sum({failing(at)}) or vector(0)", instant=True),),
            width=4, height=4, thresholds=((None, _GOOD), (1, _BAD)),
        ),
        Panel(
            "Active runs", "stat",
            "Runs that have started and not ended. A process that was killed leaves its runs here until it runs again, "
            "or until the collector forgets it after 26 h; `mlotel runs --state lost` tells which they were.",
            (Query(f"sum({at(M.MLOTEL_RUN_ACTIVE)})", instant=True),),
            width=4, height=4,
        ),
        Panel(
            "Inputs that were stale", "stat",
            "Inputs that were too old, or had been made anew, when the current processes read them. `mlotel explain` "
            "says which: run what makes them first.",
            (Query(f"sum({at(M.MLOTEL_DATA_STALE)}) or vector(0)", instant=True),),
            width=4, height=4, thresholds=((None, _GOOD), (1, _WARN)),
        ),
        Panel(
            "Components", "table",
            "Each component over the time that is shown. Begin with what is failing, then with the oldest success: a "
            "component that nobody starts fails without an error. Click on a name for its own dashboard.",
            (
                Query(f"sum by {BY_RUN} (increase({at(CALLS)}[$__range]))", instant=True),
                Query(success(at, "$__range", BY_RUN), instant=True),
                Query(slowest(at, "$__range"), instant=True),
                Query(ages(at, BY_RUN), instant=True),
                Query(failing(at), instant=True),
            ),
            width=24, height=8, columns=columns, decimals=1,
            units={"Succeeded": "percentunit", "p95": "s", "Latest success": "s"},
            column_links={"Component": _from_table()},
        ),
    )  # fmt: skip


def _reliability(at: Series) -> tuple[Panel, ...]:
    return (
        Panel(
            "Runs by outcome", "bars",
            "Runs that ended, each step's. The points are single runs: click on one to see its trace.",
            (
                Query(
                    f"sum by ({STATE}) (increase({at(CALLS)}[$__rate_interval]))", f"{{{{{STATE}}}}}", exemplars=True
                ),
            ),
        ),
        Panel(
            "Failures by error type", "bars",
            "What ended the runs that failed. One type in many components has its cause outside of them; the points "
            "lead to traces with the error's message.",
            (
                Query(
                    f"sum by ({COMPONENT}, {ERROR}) (increase({at(CALLS, FAILED)}[$__rate_interval]))",
                    f"{_NAME}: {{{{{ERROR}}}}}", exemplars=True,
                ),
            ),
            links=(TO_COMPONENT,),
        ),
        Panel(
            "Success ratio against the objective", "timeseries",
            "At each time over the window before it. Choose a window of several runs: one failure of a daily job is "
            "all of a day.",
            (
                Query(success(at, "$window", BY_RUN), _NAME),
                Query("vector($objective)", "objective"),
            ),
            unit="percentunit", high=1, links=(TO_COMPONENT,),
        ),
        Panel(
            "How fast the error budget burns", "timeseries",
            "How many times faster than the objective allows, over an hour and over six; a component without a "
            "failure has no line (needs the rules of `mlotel rules`). MlotelRunErrors alerts at 14.4 over one hour, "
            "and at 6 over six: then stop what is being rolled out.",
            (
                Query(burn(at, "1h"), f"{_NAME}, 1 h"),
                Query(burn(at, "6h"), f"{_NAME}, 6 h"),
            ),
            thresholds=((None, _GOOD), (6, _WARN), (14.4, _BAD)),
        ),
    )  # fmt: skip


def _resilience(at: Series) -> tuple[Panel, ...]:
    again = f'{ATTEMPT}!=""'
    tried = f"sum by {BY_RUN} (increase({at(CALLS, again)}[$window]))"
    helped = f"sum by {BY_RUN} (increase({at(CALLS, again, OK)}[$window]))"
    unsuccessful = f"{failing(at)} == 1"
    since_success = f"({ages(at, BY_RUN)})"
    since_failure = f"(time() - max by {BY_RUN} ({at(M.MLOTEL_RUN_LAST_FAILURE_TIME)}))"
    return (
        Panel(
            "Retries", "bars",
            "Runs that were a second or later attempt at the same work. Many of them hide a fault that costs time "
            "even where the work is done in the end.",
            (
                Query(
                    f"sum by {BY_RUN} (increase({at(CALLS, again)}[$__rate_interval]))", _NAME, exemplars=True
                ),
            ),
            width=8, links=(TO_COMPONENT,),
        ),
        Panel(
            "Retries that helped", "timeseries",
            "Of the retries in the window, the share that succeeded. Near 0 retrying is of no use: the fault is not a "
            "passing one.",
            (Query(f"({helped} or 0 * {tried})\n/ ({tried} > 0)", _NAME),),
            unit="percentunit", width=8, low=0, high=1, links=(TO_COMPONENT,),
        ),
        Panel(
            "Mean time to recover", "bargauge",
            "Over the window, from a first failure to the next success, on average; while a component is failing, the "
            "time until now counts. Long ones need an alert that somebody hears, or a retry.",
            (Query(recovery(at, "$window"), _NAME, instant=True),),
            unit="s", width=8, low=0, links=(TO_COMPONENT,),
        ),
        Panel(
            "Failing, without a success for", "timeseries",
            "Components whose latest run failed, and the time since their latest success (since the failure, where "
            "there was none). What they make is that old.",
            (Query(f"({since_success} and {unsuccessful})\nor ({since_failure} and {unsuccessful})", _NAME),),
            unit="s", low=0, links=(TO_COMPONENT,),
        ),
        Panel(
            "Time since the latest success", "timeseries",
            "It saws: up until a run succeeds, down to 0 then. A line that goes on upwards is a component that no "
            "longer runs or succeeds; MlotelRunOverdue alerts on those that are expected to.",
            (Query(ages(at, BY_RUN), _NAME),),
            unit="s", low=0, links=(TO_COMPONENT,),
        ),
    )  # fmt: skip


def _robustness(at: Series) -> tuple[Panel, ...]:
    return (
        Panel(
            "Missing cells of inputs", "timeseries",
            "The share of null cells in the tables that were last read. A step upwards is a fault of the source: ask "
            "those who make it, and look at the lineage for who.",
            (
                Query(
                    f"max by ({PIPELINE}, {COMPONENT}, {ARTIFACT}) "
                    f"({at(M.MLOTEL_DATA_MISSING_RATIO, _INPUT)})",
                    f"{_NAME}: {{{{{ARTIFACT}}}}}",
                ),
            ),
            unit="percentunit", width=8, low=0, links=(TO_COMPONENT,),
        ),
        Panel(
            "Stale inputs", "timeseries",
            "Inputs that were stale when the current process read them: too old, or made anew since. Run what makes "
            "them first, or widen `stale_after`.",
            (Query(f"sum by {BY_RUN} ({at(M.MLOTEL_DATA_STALE)})", _NAME),),
            width=8, low=0, links=(TO_COMPONENT,),
        ),
        Panel(
            "Features that have left their reference", "timeseries",
            "How many features of the latest batch alarm, of those that were compared with `reference=`. The "
            "dashboard of drift says which.",
            (Query(f"sum by {BY_RUN} ({at(M.MLOTEL_DRIFT_ALARM)})", _NAME),),
            width=8, low=0,
            links=(
                Link(
                    "Drift",
                    "/d/mlotel-drift?${__url_time_range}&${datasource:queryparam}"
                    f"&var-component=${{__field.labels.{COMPONENT}}}",
                ),
            ),
        ),
    )  # fmt: skip


def _elasticity(at: Series, everything: Series) -> tuple[Panel, ...]:
    by = f"{PIPELINE}, {COMPONENT}"
    model = f"{{{{{MODEL}}}}} {{{{{VERSION}}}}}"
    by_model = f"({MODEL}, {VERSION})"
    return (
        Panel(
            "Duration: median and 95th percentile", "timeseries",
            "Of the runs within the window, from the buckets of the collector's span metrics, to which the first run "
            "since the collector's start is not a rise. If the data has not "
            "grown, compare a slow run with a fast one by `mlotel diff`; the points lead to them.",
            (
                Query(quantile(0.5, at.part(DURATIONS, "bucket"), "$window", by), f"{_NAME} p50"),
                Query(slowest(at, "$window"), f"{_NAME} p95", exemplars=True),
            ),
            unit="s", low=0, links=(TO_COMPONENT,),
        ),
        Panel(
            "Runs under way", "timeseries",
            "Runs that are under way. More of them while nothing ends is a jam.",
            (Query(f"sum by {BY_RUN} ({at(M.MLOTEL_RUN_ACTIVE)})", _NAME),),
            low=0, links=(TO_COMPONENT,),
        ),
        Panel(
            "Time in the queue", "timeseries",
            "How long runs waited for their start, on average over the current process, where the orchestrator says so "
            "(`queue_time=`). If it grows with the active runs, more workers are needed.",
            (Query(mean_of_latest(at, M.MLOTEL_RUN_QUEUE_TIME, BY_RUN), _NAME),),
            unit="s", width=8, low=0, links=(TO_COMPONENT,),
        ),
        Panel(
            "Serving: predictions a second", "timeseries",
            "The load on each version of a model, all replicas together. Compare with the replicas beside.",
            (
                Query(
                    f"sum by {by_model} (rate({at(M.MLOTEL_PREDICTION_COUNT, _SERVED)}[$__rate_interval]))",
                    model,
                ),
            ),
            unit="ops", width=8, low=0,
        ),
        Panel(
            "Serving: replicas at work", "timeseries",
            "Processes that were asked something. Fewer than were deployed: some are down or get no requests, or their "
            "telemetry is lost.",
            (Query(replicas(everything), model),),
            width=8, low=0, decimals=0,
        ),
    )  # fmt: skip


def _telemetry(at: Series, everything: Series, options: Options) -> tuple[Panel, ...]:
    jobs = f'job=~"{"|".join(options.jobs)}"'
    return (
        Panel(
            "Alerts that fire", "table",
            "Of the rules of `mlotel rules`. Each alert's runbook stands in docs/alerts.md.",
            (
                Query(
                    "sum by (alertname, severity, mlotel_component_name, mlotel_model_name, mlotel_feature_name) "
                    f"({everything.bare('ALERTS', *ALERTING)})",
                    instant=True,
                ),
            ),
            width=12,
            columns={
                "alertname": "Alert", "severity": "Severity", COMPONENT: "Component", MODEL: "Model",
                "mlotel_feature_name": "Feature",
            },
        ),
        Panel(
            "Telemetry dropped", "bars",
            "What mlotel could not count or deliver; the process's log has one warning that says why. What is shown "
            "elsewhere lacks it.",
            (
                Query(
                    f"sum by ({ITEM}, {ERROR}) (increase({everything(M.MLOTEL_TELEMETRY_DROPPED)}[$__rate_interval]))",
                    f"{{{{{ITEM}}}}} {{{{{ERROR}}}}}",
                ),
            ),
            width=6,
        ),
        Panel(
            "Targets that are scraped", "state-timeline",
            "While a target is down, every panel that shows what it exports is silent, and so are the alerts.",
            (Query(f"min by (job, instance) ({everything.bare('up', jobs)})", "{{job}} {{instance}}"),),
            width=6, names={"0": ("down", _BAD), "1": ("up", _GOOD)},
        ),
    )  # fmt: skip


def _objectives(chosen: float) -> str:
    return ",".join(f"{each:g}" for each in sorted({0.9, 0.95, 0.99, 0.995, 0.999, chosen}))


def _from_table() -> Link:
    return Link(
        "Component",
        "/d/mlotel-component?${__url_time_range}&${datasource:queryparam}&${pipeline:queryparam}"
        "&var-component=${__data.fields.Component}",
    )

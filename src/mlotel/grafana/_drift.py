"""Drift of models and data: of the batches that runs compared, and of what is served, by the rules."""

from __future__ import annotations

from mlotel.exposition import label_name, metric_name
from mlotel.grafana._promql import (
    ALERTING,
    CLASS,
    COMPONENT,
    ERROR,
    FEATURE,
    METHOD,
    MODEL,
    PIPELINE,
    VARIANT,
    VERSION,
    Series,
    any_of,
    pipelines,
    prometheus,
    quantile,
    replicas,
    values_of,
)
from mlotel.grafana._values import Dashboard, Link, Options, Panel, Query, Row
from mlotel.semconv import attributes as A
from mlotel.semconv import metrics as M

__all__ = ["drift"]

_BIN = label_name(A.MLOTEL_FEATURE_BIN)
_GOOD, _WARN, _BAD = "green", "orange", "red"
_MODEL_NAME, _FEATURE_NAME = f"{{{{{MODEL}}}}} {{{{{VERSION}}}}}", f"{{{{{FEATURE}}}}}"
_BY_FEATURE = f"({MODEL}, {VERSION}, {FEATURE})"
_BY_MODEL = f"({MODEL}, {VERSION})"
_SERVED, _CLASSIFIED = f'{VERSION}!=""', f'{CLASS}!=""'
_ALARMS = {"0": ("as its reference", _GOOD), "1": ("alarm", _BAD)}


def drift(options: Options) -> Dashboard:
    """Return the dashboard of models and data."""
    everything = Series(options)
    models = [any_of(MODEL, "model"), any_of(VERSION, "version")]
    batch = Series(options, any_of(PIPELINE, "pipeline"), any_of(COMPONENT, "component"), *models)
    compared = "|".join(
        metric_name(each)
        for each in (M.MLOTEL_DRIFT_ALARM, M.MLOTEL_FEATURE_REFERENCE_RATIO, M.MLOTEL_PREDICTION_COUNT)
    )
    whichever = f'__name__=~"{compared}"'

    def choices(*matchers: str) -> str:
        return "{" + ", ".join((whichever, *matchers, *options.selectors)) + "}"

    return Dashboard(
        "mlotel-drift",
        "mlotel: model and data drift",
        "Whether what models are asked, and what they answer, is still what they were trained on.",
        (
            prometheus(),
            pipelines(everything),
            values_of("component", COMPONENT, "Component", choices(any_of(PIPELINE, "pipeline"))),
            values_of("model", MODEL, "Model", choices()),
            values_of("version", VERSION, "Version", choices(models[0])),
            values_of("feature", FEATURE, "Feature", choices(*models)),
        ),
        (
            Row("Batch runs: the latest batch, as run.log_input(reference=…) compared it", _batch(batch)),
            Row("Serving: all replicas together (needs the rules of mlotel rules)", _serving(batch, models)),
            Row("One feature, or a few of them", _distribution(batch, models)),
            Row("Predictions", _predictions(batch, models)),
        ),
    )  # fmt: skip


def _batch(at: Series) -> tuple[Panel, ...]:
    by = f"({PIPELINE}, {COMPONENT}, {MODEL}, {VERSION}, {FEATURE})"
    feature, psi = any_of(FEATURE, "feature"), f'{METHOD}="psi"'
    to_component = Link(
        "Component",
        "/d/mlotel-component?${__url_time_range}&${datasource:queryparam}"
        f"&var-component=${{__field.labels.{COMPONENT}}}",
    )
    return (
        Panel(
            "Features in alarm", "stat",
            "Features of the latest batches that left their reference by more than is tolerated and chance explains. "
            "`mlotel show` of the run says by what: distribution, tails, missing values, unseen categories.",
            (Query(f"sum({at(M.MLOTEL_DRIFT_ALARM, feature)}) or vector(0)", instant=True),),
            width=4, thresholds=((None, _GOOD), (1, _BAD)),
        ),
        Panel(
            "Alarms", "state-timeline",
            "Each feature's latest batch, over time. One that stays in alarm asks for a decision: mend the source, or "
            "train anew and fit a new reference.",
            (
                Query(
                    f"max by ({COMPONENT}, {FEATURE}) ({at(M.MLOTEL_DRIFT_ALARM, feature)})",
                    f"{{{{{COMPONENT}}}}}: {_FEATURE_NAME}",
                ),
            ),
            width=20, names=_ALARMS, links=(to_component,),
        ),
        Panel(
            "PSI of the latest batch", "timeseries",
            "The population stability index. What it must exceed to alarm depends on the rows and on how much windows "
            "of the reference differ among themselves, so the height alone says little: see Alarms.",
            (
                Query(
                    f"max by {by} ({at(M.MLOTEL_DRIFT_SCORE, feature, psi)})",
                    f"{{{{{COMPONENT}}}}}: {_FEATURE_NAME}",
                ),
            ),
            low=0, links=(to_component,),
        ),
        Panel(
            "Distances of the latest batch", "table",
            "All distances from the reference that were computed. Where PSI is large and Kolmogorov–Smirnov's is "
            "small, it is a few categories or the tails that have changed.",
            (
                Query(
                    f"max by ({COMPONENT}, {FEATURE}, {METHOD}) ({at(M.MLOTEL_DRIFT_SCORE, feature)})", instant=True
                ),
            ),
            columns={COMPONENT: "Component", FEATURE: "Feature", METHOD: "Distance", "Value": "Score"},
            decimals=4,
        ),
    )  # fmt: skip


def _serving(at: Series, models: list[str]) -> tuple[Panel, ...]:
    def recorded(name: str, *more: str) -> str:
        return at.recorded(f"feature:{name}", *models, any_of(FEATURE, "feature"), *more)

    of_model = f'{MODEL}!=""'
    shares = (
        ("missing", "missing"),
        ("unseen", "unseen categories"),
        ("tails", "in the tails"),
        ("awake", "no longer constant"),
    )
    columns = {
        MODEL: "Model", VERSION: "Version", FEATURE: "Feature", "Value #A": "Rows", "Value #B": "PSI",
        "Value #C": "Alarms above", "Value #D": "Jensen–Shannon", "Value #E": "Kolmogorov–Smirnov",
        "Value #F": "Wasserstein",
    }  # fmt: skip
    return (
        Panel(
            "PSI, as a share of what alarms", "timeseries",
            "1 is the threshold of MlotelFeatureDrift, whatever the number of rows. Of several that rise together, "
            "look for the source that they share: the lineage dashboard has it.",
            (Query(f"{recorded('psi')}\n/ {recorded('psi_threshold')}", f"{_MODEL_NAME}: {_FEATURE_NAME}"),),
            low=0, thresholds=((None, _GOOD), (1, _BAD)),
        ),
        Panel(
            "Shares that should stay small", "timeseries",
            "Missing values, categories that the reference lacks, values beyond its outer bounds, and other values of "
            "what was constant. Steps are faults of the source or of its parsing more often than of the world.",
            tuple(
                Query(recorded(f"{name}_ratio"), f"{_MODEL_NAME}: {_FEATURE_NAME} {said}") for name, said in shares
            ),
            unit="percentunit", low=0,
        ),
        Panel(
            "Features", "table",
            "The window of the rules, all replicas together. With fewer than 500 rows nothing alarms. Wasserstein's "
            "distance is in the feature's own unit.",
            tuple(
                Query(recorded(name), instant=True)
                for name in ("rows", "psi", "psi_threshold", "jensen_shannon", "kolmogorov_smirnov", "wasserstein")
            ),
            width=16, columns=columns, decimals=4, units={"Rows": "short"},
        ),
        Panel(
            "Alerts on models that fire", "table",
            "What to do about each stands in docs/alerts.md.",
            (
                Query(
                    f"sum by (alertname, severity, {MODEL}, {VERSION}, {FEATURE}) "
                    f"({at.bare('ALERTS', *ALERTING, of_model, *models)})",
                    instant=True,
                ),
            ),
            width=8,
            columns={
                "alertname": "Alert", MODEL: "Model", VERSION: "Version", FEATURE: "Feature", "severity": "Severity",
            },
        ),
    )  # fmt: skip


def _distribution(at: Series, models: list[str]) -> tuple[Panel, ...]:
    def bins(name: str) -> str:
        return at.recorded(f"feature_bin:{name}", *models, any_of(FEATURE, "feature"))

    by = f"({FEATURE}, {_BIN})"
    named = f"{_FEATURE_NAME} bin {{{{{_BIN}}}}}"
    return (
        Panel(
            "Shares of the bins, over time", "bars",
            "How the window's values are spread over the bins of the reference, which `mlotel reference FILE` lists. "
            "Choose one feature.",
            (Query(f"avg by {by} ({bins('share')})", named),),
            unit="percentunit", high=1,
        ),
        Panel(
            "Shares of the bins, now less the reference", "bargauge",
            "Which bins have gained, and which have lost. The last bin is that of missing values, of a categorical "
            "feature the one before it that of all categories without a bin.",
            (
                Query(f"avg by {by} ({bins('share')})\n- avg by {by} ({bins('reference_share')})", named, instant=True),
            ),
            unit="percentunit", thresholds=((None, _WARN), (-0.02, _GOOD), (0.02, _WARN)),
        ),
    )  # fmt: skip


def _predictions(at: Series, models: list[str]) -> tuple[Panel, ...]:
    by = f"({COMPONENT}, {MODEL}, {VERSION}, {VARIANT})"
    whose = f"{{{{{COMPONENT}}}}} {_MODEL_NAME} {{{{{VARIANT}}}}}"

    raised = f'{ERROR}!=""'
    failed, requests = (
        f"sum by {_BY_MODEL} (rate({at.part(M.MLOTEL_PREDICTION_DURATION, 'count', *more)}[$__rate_interval]))"
        for more in ((raised,), ())
    )

    def latest(metric: M.Metric, called: str) -> Query:
        return Query(f"max by {by} ({at(metric)})", f"{whose} {called}")

    return (
        Panel(
            "Predictions a second", "timeseries",
            "What is served, by version and variant. A version that ought to be retired and still answers, or one that "
            "does not answer, is a fault of the deployment.",
            (
                Query(
                    f"sum by ({MODEL}, {VERSION}, {VARIANT}) "
                    f"(rate({at(M.MLOTEL_PREDICTION_COUNT, _SERVED)}[$__rate_interval]))",
                    f"{_MODEL_NAME} {{{{{VARIANT}}}}}",
                ),
            ),
            unit="ops", width=8, low=0,
        ),
        Panel(
            "Predicted classes", "timeseries",
            "Of models that predict labels, each label's share of the latest batches. A label that vanishes, or takes "
            "all, is seen here before the labels that are true are known.",
            (
                Query(
                    f"sum by ({COMPONENT}, {MODEL}, {CLASS}) ({at(M.MLOTEL_PREDICTION_COUNT, _CLASSIFIED)})\n"
                    f"/ on ({COMPONENT}, {MODEL}) group_left ()\n"
                    f"sum by ({COMPONENT}, {MODEL}) ({at(M.MLOTEL_PREDICTION_COUNT, _CLASSIFIED)})",
                    f"{{{{{COMPONENT}}}}} {{{{{MODEL}}}}}: {{{{{CLASS}}}}}",
                ),
            ),
            unit="percentunit", width=8, low=0, high=1,
        ),
        Panel(
            "Duration of requests", "timeseries",
            "Median and 95th percentile, where `observe` is told the duration. MlotelRequestLatency alerts on what is "
            "slower than the objective allows.",
            tuple(
                Query(
                    quantile(
                        share, at.part(M.MLOTEL_PREDICTION_DURATION, "bucket"), "$__rate_interval",
                        f"{MODEL}, {VERSION}",
                    ),
                    f"{_MODEL_NAME} p{share * 100:g}", exemplars=share == 0.95,
                )
                for share in (0.5, 0.95)
            ),
            unit="s", width=8, low=0,
        ),
        Panel(
            "Mean and standard deviation", "timeseries",
            "Of the latest batch of predictions. Compare with the metrics of the training run; with the inputs "
            "unchanged, a step is another model.",
            (latest(M.MLOTEL_PREDICTION_MEAN, "mean"), latest(M.MLOTEL_PREDICTION_STD, "std")),
            width=8,
        ),
        Panel(
            "Skewness and excess kurtosis", "timeseries",
            "Of the latest batch of predictions: the form of their distribution, where mean and deviation are as ever. "
            "Kurtosis that rises is a few extreme answers.",
            (latest(M.MLOTEL_PREDICTION_SKEW, "skewness"), latest(M.MLOTEL_PREDICTION_KURTOSIS, "excess kurtosis")),
            width=8,
        ),
        Panel(
            "Missing predictions", "timeseries",
            "Null or NaN in the latest batch. Any at all is a fault of the model or of its inputs.",
            (latest(M.MLOTEL_PREDICTION_MISSING, ""),),
            width=8, low=0,
        ),
        Panel(
            "Rows that are judged", "timeseries",
            "Rows of each model within the window of the rules, those of the feature with the fewest. Below 500 the "
            "drift alerts are silent: lengthen the window.",
            (Query(f"min by {_BY_MODEL} ({at.recorded('feature:rows', *models)})", _MODEL_NAME),),
            width=8, low=0, thresholds=((None, _WARN), (500, _GOOD)),
        ),
        Panel(
            "Replicas at work", "timeseries",
            "Processes that were asked something, whose counts the rules add up. Fewer than were deployed: some are "
            "down or get no requests, or their telemetry is lost.",
            (Query(replicas(Series(at.options, *models)), _MODEL_NAME),),
            width=8, low=0, decimals=0,
        ),
        Panel(
            "Requests that failed", "timeseries",
            "Of the requests that `monitor.request()` saw, or that `observe` was told the duration of. "
            "MlotelRequestErrors alerts when the budget burns fast; the service's own log has the error.",
            (
                Query(
                    f"({failed} or 0 * {requests})\n/ ({requests} > 0)", _MODEL_NAME
                ),
            ),
            unit="percentunit", width=8, low=0,
        ),
    )  # fmt: skip

"""The alerts: what is worth waking somebody for, or telling him in the morning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlotel.drift import Reference
from mlotel.drift.tolerance import LEAST_ROWS
from mlotel.exposition import label_name, metric_name
from mlotel.rules._drift import RATIO, VALUES, matchers, ratios
from mlotel.rules._promql import (
    BY_MODEL,
    BY_REFERENCE,
    FEATURE,
    MODEL,
    REFERENCE,
    VERSION,
    any_of,
    number,
    quoted,
)
from mlotel.rules._values import AlertRule, Options, RecordingRule, Rule, seconds
from mlotel.semconv import attributes as A
from mlotel.semconv import metrics as M

__all__ = ["drift_alerts", "pipeline_rules", "telemetry_alerts"]

COMPONENT = label_name(A.MLOTEL_COMPONENT_NAME)
STATE, ERROR, ITEM = label_name(A.MLOTEL_RUN_STATE), label_name(A.ERROR_TYPE), label_name(A.MLOTEL_TELEMETRY_ITEM)

_REFERENCE = metric_name(M.MLOTEL_MODEL_REFERENCE_ROWS)
_WARNING, _CRITICAL = "warning", "critical"
_DRIFT, _PIPELINES = "mlotel-drift", "mlotel-pipelines"
_WINDOWS = ("5m", "30m", "1h", "6h")
# How many times faster than allowed the budget of errors burns: 2 % of a month's in an hour, 5 % in six hours
# (The Site Reliability Workbook, chapter 5)
_FAST, _SLOW = 14.4, 6.0
_HERE = "{{ $labels.%s }}"
_FEATURE = f"{_HERE % FEATURE} of {_HERE % MODEL} {_HERE % VERSION}"
_SHARE = "{{ $value | humanizePercentage }}"


def drift_alerts(reference: Reference, model: str, version: str, options: Options) -> Iterator[AlertRule]:
    """Yield the alerts on what one version of a model is asked and answers."""
    chosen = matchers(model, version)
    own = f"{FEATURE}={quoted(options.prediction)}"
    others = f"{FEATURE}!={quoted(options.prediction)}"
    tested = {name: features for name, features in ratios(reference) if features}

    def at(record: str, who: str) -> str:
        return f"mlotel:feature:{record}{{{chosen}, {who}}}"

    def enough(who: str) -> str:
        return f"and {at('rows', who)} >= {LEAST_ROWS}"

    def exceeded(name: str, who: str) -> str:
        return f"{at(f'{name}_z', who)} > {at('quantile', who)}"

    def alert(name: str, value: str, expr: str, summary: str, description: str, severity: str = _WARNING) -> AlertRule:
        return _alert(
            name, f"{value}\nand {expr}\n{enough(own if severity == _CRITICAL else others)}", options, severity,
            summary, description, _DRIFT, {"model": MODEL, "version": VERSION, "feature": FEATURE},
        )  # fmt: skip

    names = {each.name for each in reference.features}
    if names - {options.prediction}:
        yield alert(
            "MlotelFeatureDrift",
            at("psi", others),
            f"{at('psi', others)} > {at('psi_threshold', others)}",
            f'{_FEATURE} has drifted: its PSI is {{{{ $value | printf "%.3f" }}}}',
            f"Over {options.window}, all replicas together, its distribution differs from the reference's by more than "
            "is tolerated and chance explains.",
        )
        texts = {
            "tails": ("MlotelFeatureTails", f"{_SHARE} of {_FEATURE} lie beyond the reference's outer bounds",
                      "Far more values than before are extreme, whatever the rest of the distribution looks like."),
            "missing": ("MlotelMissingValues", f"{_SHARE} of {_FEATURE} are missing",
                        "More than twice the reference's share, or half a percentage point above it."),
            "unseen": ("MlotelUnseenCategories", f"{_SHARE} of {_FEATURE} are categories that the reference lacks",
                       "The model was not trained on them."),
            "awake": ("MlotelConstantFeatureChanged", f"{_SHARE} of {_FEATURE} differ from its only value",
                      "The reference has one value in all its rows, or none: the model cannot have learnt of others."),
        }  # fmt: skip
        for name, features in tested.items():
            if any(each.name != options.prediction for each in features):
                called, summary, description = texts[name]
                yield alert(called, at(f"{name}_ratio", others), exceeded(name, others), summary, description)
    if options.prediction in names:
        any_test = [f"{at('psi', own)} > {at('psi_threshold', own)}"]
        any_test += [
            exceeded(name, own)
            for name, features in tested.items()
            if any(each.name == options.prediction for each in features)
        ]
        yield alert(
            "MlotelPredictionShift",
            at("psi", own),
            "(" + "\nor ".join(any_test) + ")",
            f"predictions of {_HERE % MODEL} {_HERE % VERSION} have shifted: their PSI is "
            '{{ $value | printf "%.3f" }}',
            "What the model answers is distributed otherwise than on the reference, by its distribution, its tails, "
            "its missing or its unseen values.",
            _CRITICAL,
        )


def pipeline_rules(options: Options) -> Iterator[Rule]:
    """Yield the rules of runs and requests: errors, latency, staleness, and what did not run."""
    if options.runs == "spans":
        runs, durations = "mlotel_span_calls_total", "mlotel_span_duration_seconds"
    else:
        durations = metric_name(M.MLOTEL_RUN_DURATION)
        runs = f"{durations}_count"
    requests = metric_name(M.MLOTEL_PREDICTION_DURATION)
    by_component = f"({COMPONENT})"
    by_model = f"({MODEL}, {VERSION}, {COMPONENT})"
    yield from _burn("Run", "errors", by_component, f'{runs}{{{STATE}="failed"}}', runs, options)
    slow = _bucket(options.run_seconds)
    yield from _burn("Run", "latency", by_component, f"{durations}_bucket{{{slow}}}", f"{durations}_count", options)
    yield from _burn("Request", "errors", by_model, f'{requests}_count{{{ERROR}!=""}}', f"{requests}_count", options)
    slow = _bucket(options.request_seconds)
    yield from _burn("Request", "latency", by_model, f"{requests}_bucket{{{slow}}}", f"{requests}_count", options)

    drifted = f"({COMPONENT}, {MODEL}, {VERSION}, {FEATURE})"
    yield _alert(
        "MlotelDriftOfBatch", f"max by {drifted} ({metric_name(M.MLOTEL_DRIFT_ALARM)}) > 0", options, _WARNING,
        f"{_HERE % FEATURE} of what {_HERE % COMPONENT} last read or wrote has left its reference",
        "`mlotel show` of the run says which table it was; the event mlotel.drift.detected says by what.",
        _DRIFT, {"model": MODEL, "version": VERSION, "feature": FEATURE},
    )  # fmt: skip
    stale, success = metric_name(M.MLOTEL_DATA_STALE), metric_name(M.MLOTEL_RUN_LAST_SUCCESS_TIME)
    yield _alert(
        "MlotelStaleInput", f"sum by {by_component} (increase({stale}[{options.window}])) > 0", options, _WARNING,
        f"{_HERE % COMPONENT} read a stale input",
        "`mlotel explain` shows which; the event mlotel.artifact.stale says why.", _PIPELINES, {"component": COMPONENT},
    )  # fmt: skip
    for component, age in options.expect.items():
        # A batch job's counter does not rise: each process begins anew, and the latest one's value is what there is
        who = f"{COMPONENT}={quoted(component)}"
        yield _alert(
            "MlotelStaleInputOfBatch", f"max by {by_component} ({stale}{{{who}}}) > 0", options, _WARNING,
            f"the latest run of {_HERE % COMPONENT} read a stale input",
            "`mlotel explain` shows which; the event mlotel.artifact.stale says why.",
            _PIPELINES, {"component": COMPONENT},
        )  # fmt: skip
        back = f"{3 * int(seconds(age))}s"
        latest = f"max by {by_component} (max_over_time({success}{{{who}}}[{back}]))"
        yield _alert(
            "MlotelRunOverdue", f"time() - {latest} > {number(seconds(age))}", options, _CRITICAL,
            f"{_HERE % COMPONENT} has not succeeded for {{{{ $value | humanizeDuration }}}}",
            f"It is expected to succeed every {age}: what it makes, a model or data, is stale.",
            _PIPELINES, {"component": COMPONENT},
        )  # fmt: skip
        yield _alert(
            "MlotelRunAbsent", f"absent_over_time({success}{{{who}}}[{back}])", options, _CRITICAL,
            f"{_HERE % COMPONENT} has never succeeded, or not for long",
            f"It is expected to succeed every {age}, and nothing was heard of it for three times as long.",
            _PIPELINES, {"component": COMPONENT},
        )  # fmt: skip


def telemetry_alerts(models: Mapping[tuple[str, str], Reference], options: Options) -> Iterator[AlertRule]:
    """Yield the alerts on the telemetry itself: when it fails, all the others are silent."""
    job = any_of("job", options.jobs)
    yield _alert(
        "MlotelTargetDown", f"up{{{job}}} == 0", options, _CRITICAL,
        "{{ $labels.job }} at {{ $labels.instance }} cannot be scraped",
        "While it is down no alert on what it exports can fire.",
    )  # fmt: skip
    for (model, version), reference in models.items():
        chosen = matchers(model, version)
        yield _alert(
            "MlotelModelSilent", f"absent({VALUES}{{{chosen}}})", options, _CRITICAL,
            f"nothing is heard of {_HERE % MODEL} {_HERE % VERSION}",
            "No replica exports what the model is asked: it is down, or its telemetry is.",
            _DRIFT, {"model": MODEL, "version": VERSION},
        )  # fmt: skip
        others = f"{chosen}, {REFERENCE}!={quoted(reference.digest)}"
        yield _alert(
            "MlotelRulesOutdated", f"count by {BY_MODEL} ({_REFERENCE}{{{others}}})", options, _WARNING,
            f"the rules for {_HERE % MODEL} {_HERE % VERSION} are of another reference than {{{{ $value }}}} replicas'",
            f"They are of {reference.digest}: generate them from the reference that is served with.",
            _DRIFT, {"model": MODEL, "version": VERSION},
        )  # fmt: skip
    yield _alert(
        "MlotelRulesLacking",
        f"count by {BY_MODEL} ({RATIO})\nunless on {BY_MODEL} "
        f"count by {BY_MODEL} (last_over_time(mlotel:feature:psi[15m]))",
        options, _WARNING,
        f"there are no rules for {_HERE % MODEL} {_HERE % VERSION}",
        "It is served and monitored, and nobody judges it: generate the rules from its reference, and load them.",
        _DRIFT, {"model": MODEL, "version": VERSION},
    )  # fmt: skip
    yield _alert(
        "MlotelReplicasDisagree",
        f"count by {BY_MODEL} (count by {BY_REFERENCE} ({_REFERENCE})) > 1", options, _WARNING,
        f"replicas of {_HERE % MODEL} {_HERE % VERSION} have different references",
        "Their counts are of different bins, and sums of them mean nothing: one of them serves an older deployment.",
        _DRIFT, {"model": MODEL, "version": VERSION},
    )  # fmt: skip
    yield _alert(
        "MlotelRulesFailing",
        'sum by (rule_group) (increase(prometheus_rule_evaluation_failures_total{rule_group=~".*;mlotel.*"}[15m])) > 0',
        options, _CRITICAL,
        "rules of {{ $labels.rule_group }} cannot be evaluated",
        "Prometheus' log says why. This needs Prometheus to scrape itself.",
    )  # fmt: skip
    yield _alert(
        "MlotelSeriesOverflow", 'count by (job) ({__name__=~"mlotel_.+", otel_metric_overflow="true"})',
        options, _WARNING,
        "series are lost in {{ $labels.job }}: an SDK has put several into one",
        "Some labels have too many values for the SDK's limit: what is computed of the sums is wrong.",
    )  # fmt: skip
    dropped = metric_name(M.MLOTEL_TELEMETRY_DROPPED)
    yield _alert(
        "MlotelTelemetryDropped", f"sum by ({ITEM}, {MODEL}, {VERSION}) (increase({dropped}[{options.window}])) > 0",
        options, _WARNING,
        f"mlotel dropped {{{{ $value | printf \"%.0f\" }}}} items of kind {_HERE % ITEM}",
        "They could not be counted or delivered; the process's log has one warning that says why.",
    )  # fmt: skip


def _burn(what: str, kind: str, by: str, bad: str, all_: str, options: Options) -> Iterator[Rule]:
    """Yield how fast a budget burns over several windows, and two alerts: on a fast burn, and on a slow one."""
    unit = f"mlotel:{what.lower()}:{kind}"
    for window in _WINDOWS:
        ratio = f"sum by {by} (rate({bad}[{window}]))\n/ (sum by {by} (rate({all_}[{window}])) > 0)"
        yield RecordingRule(f"{unit}_ratio_rate{window}", f"1 - {ratio}" if kind == "latency" else ratio)
    noun = f"{what.lower()}s"
    limit = options.run_seconds if what == "Run" else options.request_seconds
    done = "fail" if kind == "errors" else f"take longer than {limit:g} s"
    of = _HERE % COMPONENT if what == "Run" else f"{_HERE % MODEL} {_HERE % VERSION}"
    variables = {"component": COMPONENT} if what == "Run" else {"model": MODEL, "version": VERSION}
    for short, long, factor, severity in (("5m", "1h", _FAST, _CRITICAL), ("30m", "6h", _SLOW, _WARNING)):
        threshold = number(round(factor * (1 - options.objective), 12))
        yield _alert(
            f"Mlotel{what}{kind.capitalize()}",
            f"{unit}_ratio_rate{long} > {threshold}\nand {unit}_ratio_rate{short} > {threshold}",
            options, severity,
            f"{_SHARE} of the {noun} of {of} {done}",
            f"Over {long} as over {short}: {factor:g} times what the objective of {options.objective:.4g} leaves.",
            _PIPELINES if what == "Run" else _DRIFT, variables, hold="0s" if severity == _CRITICAL else None,
        )  # fmt: skip


def _bucket(limit: float) -> str:
    # Prometheus 3 writes le="1.0" where 2 wrote le="1"
    text = f"{limit:g}"
    return f'le="{text}"' if "." in text else f'le=~"{text}(\\\\.0)?"'


def _alert(
    name: str, expr: str, options: Options, severity: str, summary: str, description: str,
    dashboard: str = "", variables: Mapping[str, str] | None = None, *, hold: str | None = None,
) -> AlertRule:  # fmt: skip
    annotations = {
        "summary": summary,
        "description": description,
        "runbook_url": f"{options.runbooks}#{name.lower()}",
    }
    if dashboard:
        chosen = "&".join(f"var-{key}={{{{ $labels.{label} | urlquery }}}}" for key, label in (variables or {}).items())
        annotations["dashboard_url"] = f"{options.dashboards.rstrip('/')}/d/{dashboard}?{chosen}"
    return AlertRule(name, expr, options.hold if hold is None else hold, {"severity": severity}, annotations)

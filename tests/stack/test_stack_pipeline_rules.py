"""Rules on runs, requests and the telemetry itself in the real promtool, firing and not firing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from backends import Prometheus, eventually
from promtool import MINUTES, STEP, Case, check

from mlotel.drift import Reference
from mlotel.rules import Group, Options, RecordingRule, generate, to_yaml
from mlotel_stack import Programs, Stack

pytestmark = pytest.mark.stack

TRAIN = {"mlotel_component_name": "train"}
MODEL = {"mlotel_model_name": "m", "mlotel_model_version": "1"}
OPTIONS = Options(hold="2m", expect={"train": "2h"})


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.fit(pa.table({"x": np.arange(1_000.0)}), model="m", version="1", bins=4)


def moved(reference: Reference) -> Reference:
    """Another reference, which differs by nothing but where its bins begin and end."""
    other = Reference.fit(pa.table({"x": np.arange(1_000.0) + 50}), model="m", version="1", bins=4)
    assert [each.counts for each in other.features] == [each.counts for each in reference.features]
    return other


def healthy(reference: Reference, *, up: bool = True, step: int = STEP) -> Case:
    """Where all is well: the model is served by two replicas, everything is up, the pipeline runs."""
    made = Case(step=step)
    for job in ("mlotel", "otelcol"):
        made.gauge("up", {"job": job, "instance": f"{job}:1"}, float(up or job == "mlotel"))
    (feature,) = reference.features
    for replica in ("a", "b"):
        served_with(made, reference, replica)
        for place, count in enumerate(feature.counts):
            labels = {**MODEL, "mlotel_feature_name": "x", "mlotel_feature_bin": f"{place}", "instance": replica}
            made.counter("mlotel_feature_values_total", labels, count / 60)
            made.gauge("mlotel_feature_reference_ratio", labels, count / reference.rows)
    runs(made, TRAIN, ok=10.0, failed=0.05, slow=0.05)
    requests(made, ok=100.0, failed=0.5, slow=0.5)
    made.series['mlotel_run_last_success_time_seconds{mlotel_component_name="train"}'] = (
        f"0+{60 * step}x{MINUTES // step}"
    )
    made.gauge("mlotel_data_stale_total", TRAIN, 0)
    made.counter("mlotel_telemetry_dropped_total", {"mlotel_telemetry_item": "observation", **MODEL}, 0)
    made.counter("prometheus_rule_evaluation_failures_total", {"rule_group": "/etc/r.yml;mlotel-drift:m:1"}, 0)
    return made


def served_with(made: Case, reference: Reference, replica: str) -> None:
    """A replica says which reference it counts with."""
    labels = {**MODEL, "mlotel_drift_reference_digest": reference.document()["digest"], "instance": replica}
    made.gauge("mlotel_model_reference_rows", labels, reference.rows)


def runs(made: Case, component: dict[str, str], *, ok: float, failed: float, slow: float) -> None:
    for state, number in (("ok", ok), ("failed", failed)):
        made.counter("mlotel_span_calls_total", {**component, "mlotel_run_state": state}, number)
    made.counter("mlotel_span_duration_seconds_count", component, ok + failed)
    made.counter("mlotel_span_duration_seconds_bucket", {**component, "le": "3600"}, ok + failed - slow)


def requests(made: Case, *, ok: float, failed: float, slow: float) -> None:
    labels = {**MODEL, "mlotel_component_name": "score"}
    made.counter("mlotel_prediction_duration_seconds_count", labels, ok)
    made.counter("mlotel_prediction_duration_seconds_count", {**labels, "error_type": "KeyError"}, failed)
    made.counter("mlotel_prediction_duration_seconds_bucket", {**labels, "le": "0.5"}, ok + failed - slow)


def alert(name: str, severity: str = "warning", **labels: str) -> dict[str, str]:
    return {"alertname": name, "severity": severity, **labels}


def test_all_is_silent_where_all_is_well(reference: Reference, programs: Programs, tmp_path: Path) -> None:
    """Half the budget of errors spent, a pipeline in time, all targets up: nothing fires."""
    made = healthy(reference)
    made.firing([])
    check(programs.promtool, tmp_path, to_yaml(generate([reference], OPTIONS)), [made])


def test_budgets_burn_fast_and_slowly(reference: Reference, programs: Programs, tmp_path: Path) -> None:
    """A fifth of runs or requests failing or late is critical (and a warning); a tenth a warning; by component."""
    cases = []
    # Prometheus 3 leaves out a sample at the beginning of a window: in five minutes there have to be two others
    score = {**MODEL, "mlotel_component_name": "score"}
    for failed, slow, kind in ((1.0, 0.0, "Errors"), (0.0, 1.0, "Latency")):
        for bad, severities in ((0.2, ("critical", "warning")), (0.1, ("warning",)), (0.05, ())):
            made = healthy(reference, step=2)
            share = bad * 10
            runs(
                made,
                {"mlotel_component_name": "other"},
                ok=10 - failed * share,
                failed=failed * share,
                slow=slow * share,
            )
            expected = [alert(f"MlotelRun{kind}", each, mlotel_component_name="other") for each in severities]
            made.firing(expected)
            cases.append(made)
            made = healthy(reference, step=2)
            share = bad * 100
            requests(made, ok=100 - failed * share, failed=failed * share, slow=slow * share)
            made.firing(alert(f"MlotelRequest{kind}", each, **score) for each in severities)
            cases.append(made)

    check(programs.promtool, tmp_path, to_yaml(generate([reference], OPTIONS)), cases)


def test_burn_rates_are_shares(reference: Reference, programs: Programs, tmp_path: Path) -> None:
    """What is recorded over each window is the share of bad ones among all."""
    made = healthy(reference)
    runs(made, TRAIN, ok=8.0, failed=2.0, slow=3.0)
    requests(made, ok=60.0, failed=40.0, slow=30.0)
    for window in ("30m", "1h", "6h"):
        made.near(f"mlotel:run:errors_ratio_rate{window}", 0.2)
        made.near(f"mlotel:run:latency_ratio_rate{window}", 0.3)
        made.near(f"mlotel:request:errors_ratio_rate{window}", 0.4)
        made.near(f"mlotel:request:latency_ratio_rate{window}", 0.3)
    check(programs.promtool, tmp_path, to_yaml(generate([reference], OPTIONS)), [made])


def test_what_did_not_run_is_missed(reference: Reference, programs: Programs, tmp_path: Path) -> None:
    """An expected component whose last success is too old, and one that was never seen."""
    late, never = healthy(reference), healthy(reference)
    key = 'mlotel_run_last_success_time_seconds{mlotel_component_name="train"}'
    late.series[key] = "60x80"
    late.firing([], at="110m")
    late.firing([alert("MlotelRunOverdue", "critical", **TRAIN)], at="150m")
    late.series = {name: values.replace("x24", "x80") for name, values in late.series.items()}
    del never.series[key]
    never.firing([alert("MlotelRunAbsent", "critical", **TRAIN)])
    check(programs.promtool, tmp_path, to_yaml(generate([reference], OPTIONS)), [late, never])


def test_stale_inputs_are_told(reference: Reference, programs: Programs, tmp_path: Path) -> None:
    """A service whose counter rises, and a batch job whose latest run read some."""
    service, batch = healthy(reference), healthy(reference)
    service.counter("mlotel_data_stale_total", {"mlotel_component_name": "serve"}, 0.2)
    service.firing([alert("MlotelStaleInput", mlotel_component_name="serve")])
    batch.gauge("mlotel_data_stale_total", TRAIN, 2)
    batch.firing([alert("MlotelStaleInputOfBatch", **TRAIN)])
    check(programs.promtool, tmp_path, to_yaml(generate([reference], OPTIONS)), [service, batch])


def test_a_batch_that_drifted_is_told(reference: Reference, programs: Programs, tmp_path: Path) -> None:
    """By feature, as long as the latest batch alarms."""
    labels = {**TRAIN, **MODEL}
    drifted, same = healthy(reference), healthy(reference)
    drifted.gauge("mlotel_drift_alarm", {**labels, "mlotel_feature_name": "x"}, 1)
    drifted.gauge("mlotel_drift_alarm", {**labels, "mlotel_feature_name": "y"}, 0)
    drifted.firing([alert("MlotelDriftOfBatch", mlotel_feature_name="x", **labels)])
    same.gauge("mlotel_drift_alarm", {**labels, "mlotel_feature_name": "x"}, 0)
    check(programs.promtool, tmp_path, to_yaml(generate([reference], OPTIONS)), [drifted, same])


def test_telemetry_that_fails_is_told(reference: Reference, programs: Programs, tmp_path: Path) -> None:
    """Targets that are down, models that fall silent or have no rules, replicas that disagree, series that are lost."""
    cases = [healthy(reference, up=False)]
    cases[-1].firing([alert("MlotelTargetDown", "critical", job="otelcol", instance="otelcol:1")])

    cases.append(healthy(reference))
    silent = cases[-1]
    silent.series = {
        name: each for name, each in silent.series.items() if not re.match("mlotel_(feature|model)_", name)
    }
    silent.firing([alert("MlotelModelSilent", "critical", **MODEL)])

    cases.append(healthy(reference))
    other = {**MODEL, "mlotel_model_version": "2", "mlotel_feature_name": "x", "mlotel_feature_bin": "0"}
    cases[-1].gauge("mlotel_feature_reference_ratio", other, 1.0)
    cases[-1].firing([alert("MlotelRulesLacking", mlotel_model_name="m", mlotel_model_version="2")])

    cases.append(healthy(reference))
    served_with(cases[-1], moved(reference), "c")
    cases[-1].firing([alert(name, **MODEL) for name in ("MlotelReplicasDisagree", "MlotelRulesOutdated")])

    # As many bins, as many rows in each of them, at other edges
    cases.append(healthy(reference))
    outdated = cases[-1]
    outdated.series = {name: each for name, each in outdated.series.items() if "mlotel_model_reference" not in name}
    for replica in ("a", "b"):
        served_with(outdated, moved(reference), replica)
    outdated.firing([alert("MlotelRulesOutdated", **MODEL)])

    cases.append(healthy(reference))
    labels = {"rule_group": "/etc/r.yml;mlotel-drift:m:1"}
    cases[-1].counter("prometheus_rule_evaluation_failures_total", labels, 1)
    cases[-1].firing([alert("MlotelRulesFailing", "critical", **labels)])

    cases.append(healthy(reference))
    cases[-1].counter("mlotel_run_metric_total", {"job": "j", "otel_metric_overflow": "true"}, 1)
    cases[-1].firing([alert("MlotelSeriesOverflow", job="j")])

    cases.append(healthy(reference))
    dropped = {"mlotel_telemetry_item": "observation", **MODEL}
    cases[-1].counter("mlotel_telemetry_dropped_total", dropped, 1)
    cases[-1].firing([alert("MlotelTelemetryDropped", **dropped)])

    check(programs.promtool, tmp_path, to_yaml(generate([reference], OPTIONS)), cases)


def test_rules_that_cannot_be_evaluated_are_told(
    reference: Reference, own_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    """Prometheus scrapes itself as the stack's configuration says: of a group that fails there is an alert."""
    broken = Group("mlotel-drift:m:1", (RecordingRule("mlotel:broken", "up * on () up"),))  # of several targets
    healthy_groups = generate([reference], Options(hold="1s"))[1:]
    (tmp_path / "rules.yml").write_text(to_yaml([broken, *healthy_groups]), encoding="utf-8")
    stack = own_stack(rules=(tmp_path / "rules.yml",))
    prometheus = Prometheus(stack.endpoints["prometheus"])

    alerts = 'ALERTS{alertname="MlotelRulesFailing", alertstate="firing"}'
    ((labels, _),) = eventually(lambda: prometheus.query(alerts), within=180)

    assert labels["rule_group"].endswith("rules.yml;mlotel-drift:m:1")

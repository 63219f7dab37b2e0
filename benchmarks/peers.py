"""What other libraries say where nothing changed, and what they cost, beside mlotel's drift: `make bench-peers`.

They need an environment of their own, which the target makes (Evidently does not import beside pandas 3):

    python3 -m venv .venv-peers
    .venv-peers/bin/pip install --requirement requirements/peers.in --editable .
    .venv-peers/bin/python benchmarks/peers.py              all of it, a quarter of an hour of the processor or more
    .venv-peers/bin/python benchmarks/peers.py independent  one part: speed, independent or flights

All are used with their defaults. Nothing is tuned but what has no default: NannyML's chunks have the window's size, and
all are told which columns are numbers and which categories.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version

# Two of them report their use to their makers otherwise. Read when they are imported.
os.environ.update(DO_NOT_TRACK="1", NML_DISABLE_USAGE_LOGGING="1", PYTHONWARNINGS="ignore")
warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
from bench_drift_speed import table as speed_table  # noqa: E402
from drift_simulation import flights  # noqa: E402

from mlotel.drift import Reference, compare  # noqa: E402

PEERS = ("evidently", "nannyml", "alibi-detect")
# Rows of a window, and how many windows; Evidently takes a second for a small one, and gets fewer.
WINDOWS = {500: 200, 1_000: 200, 5_000: 50, 50_000: 20}
FEWER = {500: 40, 1_000: 40, 5_000: 10, 50_000: 4}
Windows = list[pd.DataFrame]


# -- the libraries: a reference and windows in, whether each window alarms out, by the name of the verdict


def mlotel(then: pd.DataFrame, windows: Windows) -> dict[str, list[bool]]:
    reference = Reference.fit(pa.Table.from_pandas(then, preserve_index=False))
    tables = [pa.Table.from_pandas(each, preserve_index=False) for each in windows]
    return {"mlotel": [compare(reference, each).alarm for each in tables]}


def evidently(then: pd.DataFrame, windows: Windows) -> dict[str, list[bool]]:
    """DataDriftPreset: whether any column drifted, and its verdict on the data set, which is that half of them did."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    texts = text_columns(then)
    kinds = DataDefinition(
        numerical_columns=[name for name in then if name not in texts], categorical_columns=sorted(texts)
    )
    found: dict[str, list[bool]] = {"Evidently, a column": [], "Evidently, the data set": []}
    for each in windows:
        report = Report([DataDriftPreset()]).run(
            Dataset.from_pandas(each, data_definition=kinds), Dataset.from_pandas(then, data_definition=kinds)
        )
        drifted = report.dict()["metrics"][0]["value"]
        found["Evidently, a column"].append(drifted["count"] > 0)
        found["Evidently, the data set"].append(drifted["share"] >= 0.5)
    return found


def nannyml(then: pd.DataFrame, windows: Windows) -> dict[str, list[bool]]:
    from nannyml import UnivariateDriftCalculator

    calculator = UnivariateDriftCalculator(column_names=list(then), chunk_size=len(windows[0])).fit(then)
    result = calculator.calculate(pd.concat(windows, ignore_index=True)).filter(period="analysis").to_df()
    alerts = result.xs("alert", axis=1, level=2)
    return {"NannyML, a column": alerts.any(axis=1).tolist()}


def alibi_detect(then: pd.DataFrame, windows: Windows) -> dict[str, list[bool]]:
    """KSDrift of the numbers alone, TabularDrift of all columns: p < 0.05, Bonferroni over columns."""
    from alibi_detect.cd import KSDrift, TabularDrift

    texts = text_columns(then)
    numbers = [name for name in then if name not in texts]
    every = pd.concat([then, *windows])  # a category that only a window has needs a code too
    kinds = {name: pd.CategoricalDtype(sorted(every[name].unique())) for name in texts}

    def matrix(frame: pd.DataFrame) -> np.ndarray:
        return frame.assign(**{name: frame[name].astype(kinds[name]).cat.codes for name in texts}).to_numpy(float)

    ks = KSDrift(then[numbers].to_numpy(float))
    tabular = TabularDrift(
        matrix(then), categories_per_feature={i: None for i, name in enumerate(then) if name in texts}
    )
    return {
        "alibi-detect, KSDrift": [
            bool(ks.predict(each[numbers].to_numpy(float))["data"]["is_drift"]) for each in windows
        ],
        "alibi-detect, TabularDrift": [bool(tabular.predict(matrix(each))["data"]["is_drift"]) for each in windows],
    }


def text_columns(frame: pd.DataFrame) -> set[str]:
    return {name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])}


# -- false alarms: data in which nothing changes


Rounds = Iterator[tuple[pd.DataFrame, Windows]]


def independent(n: int) -> Rounds:
    """A reference of ten windows, and ten more: 6 numbers of several shapes, and 3 categories."""
    rng = np.random.default_rng(n)

    def rows(count: int) -> pd.DataFrame:
        columns: dict[str, np.ndarray] = {
            "normal": rng.normal(size=count),
            "gamma": rng.gamma(2, size=count),
            "t": rng.standard_t(3, count),
            "lognormal": rng.lognormal(size=count),
            "uniform": rng.random(count),
            "exponential": rng.exponential(size=count),
        }
        for values in (5, 20, 50):
            weights = 1 / np.arange(1, values + 1) ** 1.2
            texts = np.array([f"v{i}" for i in range(values)], object)
            columns[f"of {values}"] = rng.choice(texts, count, p=weights / weights.sum())
        return pd.DataFrame(columns)

    while True:
        yield rows(10 * n), [rows(n) for _ in range(10)]


def permuted(n: int) -> Rounds:
    """Flights that lack nothing, in random order; at 50,000 rows the reference has four windows, and two remain."""
    frame = flights().to_pandas().dropna()
    before, after = (10, 10) if 20 * n <= len(frame) else (4, 2)
    rng = np.random.default_rng(n)
    while True:
        mixed = frame.iloc[rng.permutation(len(frame))[: (before + after) * n]].reset_index(drop=True)
        yield mixed.iloc[: before * n], [mixed.iloc[i * n : (i + 1) * n] for i in range(before, before + after)]


def false_alarms(source: Callable[[int], Rounds]) -> None:
    for n, count in WINDOWS.items():
        alarms: Counter[str] = Counter()
        judged: Counter[str] = Counter()
        rounds = source(n)
        done = 0
        few = max(1, FEWER[n] * 10 // count)  # of ten windows
        while done < count:
            then, windows = next(rounds)
            for library in (mlotel, nannyml, alibi_detect, evidently):
                some = windows
                if library is evidently:
                    some = windows[: min(few, FEWER[n] - judged["Evidently, a column"])]
                for name, verdicts in library(then, some).items() if some else ():
                    alarms[name] += sum(verdicts)
                    judged[name] += len(verdicts)
            done += len(windows)
        cells = "; ".join(f"{name} {alarms[name]} of {made}" for name, made in judged.items())
        print(f"  n={n:,}, reference {len(then):,}: {cells}", flush=True)


# -- speed


SPEED: dict[str, Callable[[pd.DataFrame, Windows], object]] = {
    "mlotel": mlotel,
    "nannyml": nannyml,
    "evidently": evidently,
}


def cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def one(name: str, rows: int) -> None:
    """Print the CPU seconds of one comparison in this process, after a small one that imports and warms up."""
    small, then, now = (speed_table(count, seed) for count, seed in ((1_000, 0), (rows, 1), (rows, 2)))
    if name == "mlotel":
        compare(small, small)
        before = cpu_seconds()
        compare(then, now)
    else:
        frames = [each.to_pandas() for each in (small, then, now)]
        SPEED[name](frames[0], [frames[0]])
        before = cpu_seconds()
        SPEED[name](frames[1], [frames[2]])
    print(cpu_seconds() - before)


def speed(rows: int = 1_000_000) -> None:
    print(f"\n{rows:,} + {rows:,} rows × (20 floats + 5 texts) in memory, CPU seconds, a process each")
    seconds: dict[str, list[float]] = {"mlotel": [], "nannyml": [], "evidently": []}
    for number in range(3):  # they take turns, as the machine is not always as fast
        for name, took in seconds.items():
            if name == "evidently" and number:
                continue
            command = [sys.executable, __file__, "one", name, str(rows)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            took.append(float(done.stdout.split()[-1]))
            print(f"  {name:<10}{took[-1]:>8.2f}  {took[-1] / seconds['mlotel'][-1]:>6.1f} ×", flush=True)


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else "all"
    if part == "one":
        one(sys.argv[2], int(sys.argv[3]))
        return 0
    began = time.perf_counter(), cpu_seconds()
    print(", ".join(f"{name} {version(name)}" for name in (*PEERS, "numpy", "pandas", "pyarrow", "scipy")))
    if part in ("all", "speed"):
        speed()
    if part in ("all", "independent"):
        print("\nNothing changed, independent rows, 9 columns: windows that alarm", flush=True)
        false_alarms(independent)
    if part in ("all", "flights"):
        print("\nNothing changed, real flights in random order, 9 columns: windows that alarm", flush=True)
        false_alarms(permuted)
    print(f"\n{time.perf_counter() - began[0]:.0f} s, {cpu_seconds() - began[1]:.0f} s of the processor")
    return 0


if __name__ == "__main__":
    sys.exit(main())

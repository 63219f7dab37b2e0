"""What a run of MLflow costs on its default store, beside one of mlotel and three raw spans: `make bench-mlflow`.

MLflow needs an environment of its own, which the target makes. Its default store is what it chooses in an empty
folder. All take turns in one process; microseconds of wall time.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="1")  # read when it is imported
warnings.simplefilter("ignore")

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
from bench_run import raw_spans, times  # noqa: E402

import mlotel  # noqa: E402

ROUNDS, CALLS = 20, 10


def mlflow_run() -> None:
    with mlflow.start_run():
        pass


def mlflow_run_with_values() -> None:
    with mlflow.start_run():
        mlflow.log_params({"rate": 0.1, "depth": 3})
        mlflow.log_metrics({"loss": 0.1})


def mlotel_run() -> None:
    with mlotel.component("bench"):
        pass


def mlotel_run_with_values() -> None:
    with mlotel.component("bench") as run:
        run.log_params({"rate": 0.1, "depth": 3})
        run.log_metrics({"loss": 0.1})


def main() -> int:
    logging.disable(logging.WARNING)
    variants: dict[str, Callable[[], object]] = {
        "three raw SDK spans": raw_spans(),
        "mlotel: a run": mlotel_run,
        "mlotel: … with two parameters and a metric": mlotel_run_with_values,
        "MLflow: start_run": mlflow_run,
        "MLflow: … with two parameters and a metric": mlflow_run_with_values,
    }
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        mlotel.configure(store=Path(name, "store"))
        found: dict[str, list[float]] = {what: [] for what in variants}
        for call in variants.values():
            times(call, CALLS)
        for _ in range(ROUNDS):
            for what, call in variants.items():
                found[what] += times(call, CALLS)
        mlotel.shutdown()
        print(f"MLflow {mlflow.__version__}, {mlflow.get_tracking_uri().partition(':')[0]} in an empty folder")
        os.chdir("/")
    median = {what: float(np.median(values)) for what, values in found.items()}
    print(f"{'':46}{'p50':>9}{'p99':>9}{'beside raw spans':>18}")
    for what, values in found.items():
        beside = median[what] / median["three raw SDK spans"]
        print(f"{what:46}{median[what]:9.0f}{np.percentile(values, 99):9.0f}{beside:17.1f}×")
    for what, ours, theirs in (
        ("a run", "mlotel: a run", "MLflow: start_run"),
        ("… with values", "mlotel: … with two parameters and a metric", "MLflow: … with two parameters and a metric"),
    ):
        print(f"{f'{what}: MLflow beside mlotel':46}{median[theirs] / median[ours]:9.0f}×   goal ≥ 50")
    return 0


if __name__ == "__main__":
    sys.exit(main())

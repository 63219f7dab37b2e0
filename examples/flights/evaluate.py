"""Evaluate: how far each month's predictions were from what happened, in minutes.

The naive prediction to beat: a flight arrives as late as it left.

    python evaluate.py predictions arrivals.parquet scores.parquet
"""

import sys
from pathlib import Path

import pyarrow as pa
from sklearn.metrics import mean_absolute_error

import mlotel
from mlotel.io import read_table, write_table


@mlotel.component("evaluate", version="1", pipeline="flights", inputs=False, outputs=False)
def evaluate(predictions: Path, arrivals: Path, scores: Path) -> None:
    landed = read_table(arrivals, "arrivals", type="labels")
    months = [evaluate_month(file, landed) for file in sorted(predictions.glob("*.parquet"))]
    write_table(pa.Table.from_pylist(months), scores, "scores", type="report")


def evaluate_month(file: Path, landed: pa.Table) -> dict[str, object]:
    predicted = read_table(file, f"predictions/{file.stem}", type="predictions")
    rows = predicted.join(landed, "key", join_type="inner").sort_by("key")
    error = mean_absolute_error(rows["arr_delay"], rows["predicted_delay"])
    naive = mean_absolute_error(rows["arr_delay"], rows["dep_delay"])
    mlotel.current_run().log_metrics({f"error.{file.stem}": error, f"naive.{file.stem}": naive})
    return {"month": file.stem, "flights": rows.num_rows, "error": error, "naive": naive}


if __name__ == "__main__":
    evaluate(*map(Path, sys.argv[1:]))

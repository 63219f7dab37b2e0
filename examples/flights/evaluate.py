"""Evaluate: how far each month's predictions were from what happened.

    python evaluate.py scores.parquet arrivals.parquet predictions/2013-01.parquet predictions/2013-02.parquet ...
"""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import mean_absolute_error, r2_score


def evaluate(scores: Path, arrivals: Path, months: list[Path]) -> None:
    arrived = pq.read_table(arrivals)
    rows = []
    for month in months:
        joined = pq.read_table(month).join(arrived, "key", join_type="inner").sort_by("key")
        actual, predicted = joined["arr_delay"].to_numpy(), joined["predicted_delay"].to_numpy()
        rows.append({
            "month": month.stem,
            "flights": joined.num_rows,
            "mae": mean_absolute_error(actual, predicted),
            "bias": (predicted - actual).mean(),
            "r2": r2_score(actual, predicted),
        })  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), scores)


if __name__ == "__main__":
    target, labels, *predictions = map(Path, sys.argv[1:])
    evaluate(target, labels, predictions)

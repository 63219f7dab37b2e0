"""Predict: how late each flight of one month arrives, as known when it leaves the gate.

    python predict.py features/2013-12.parquet model.joblib reference.json predictions/2013-12.parquet

What the predictions look like (mean, spread, skewness and so on) is recorded by log_predictions; how the features
differ from the reference, by read_table.
"""

import sys
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa

import mlotel
from mlotel.io import read_table, write_table


def predict(features: Path, model: Path, reference: Path, predictions: Path) -> None:
    with mlotel.component("predict", version="1", pipeline="flights") as run:
        month = features.stem
        run.set_tag("month", month)
        run.log_input(reference, "reference", type="reference")
        rows = read_table(features, f"features/{month}", type="features", reference=reference)
        estimator = joblib.load(run.log_input(model, "model", type="model"))

        lost = estimator.predict(np.column_stack([rows[name] for name in rows.column_names if name != "key"]))
        delays = rows["dep_delay"].to_numpy() + lost
        run.log_predictions(delays, keys=rows["key"], model="arrival-delay", version="1")

        predictions.parent.mkdir(exist_ok=True)
        table = pa.table({"key": rows["key"], "dep_delay": rows["dep_delay"], "predicted_delay": delays})
        write_table(table, predictions, f"predictions/{month}", type="predictions")


if __name__ == "__main__":
    predict(*map(Path, sys.argv[1:]))
